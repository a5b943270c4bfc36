//! Events without a lifetime. The state machine says where the bytes of an event are; only when it has come to rest they are borrowed.
//! This keeps the borrows out of the machine, and lets a reader own machine and buffer and still lend events.

use crate::event::{ArrayValue, Checksum, Event, Function, KeyExtras, KeyHeader, SlotImport, StringChunk};
use crate::module::{ModuleId, ModuleItem};
use crate::str::Str;
use crate::stream::{StreamConsumer, StreamEntry, StreamFields, StreamGroup, StreamId, StreamMeta, StreamPending};
use crate::value_type::ValueType;
use crate::version::Version;

/// Where bytes are. As wide as the positions beside it: the compiler copies padding in units that overlap what was written, and the processor
/// waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Source {
    /// In the caller's buffer.
    Data,
    /// In [`Buffers::scratch`].
    Scratch,
    /// In [`Buffers::blob`].
    Blob,
    /// In [`Buffers::names`].
    Names,
    /// In the buffer of the string that is being expanded.
    Lzf,
}

/// A range of bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) source: Source,
}

impl Span {
    #[inline(always)]
    pub(crate) fn new(source: Source, start: usize, end: usize) -> Self {
        Self { start, end, source }
    }

    pub(crate) fn len(self) -> usize {
        self.end - self.start
    }
}

/// A [`Str`] without a lifetime.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StrTok {
    Bytes(Span),
    Int(i64),
}

/// An `Option<i64>` of which both parts are always written, each in the unit in which it is read: of an option that is none the compiler
/// writes one part and copies two at once, for which the processor must wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Maybe {
    there: bool,
    value: i64,
}

impl Maybe {
    pub(crate) const NONE: Self = Self { there: false, value: 0 };

    #[inline(always)]
    fn get(self) -> Option<i64> {
        self.there.then_some(self.value)
    }
}

impl From<Option<i64>> for Maybe {
    #[inline(always)]
    fn from(value: Option<i64>) -> Self {
        Self { there: value.is_some(), value: value.unwrap_or(0) }
    }
}

/// Memory of the machine that events borrow from.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// What had to be made for the current event: expanded strings, texts of integers.
    pub(crate) scratch: Vec<u8>,
    /// An expanded blob, for as long as it is walked.
    pub(crate) blob: Vec<u8>,
    /// Field names that several entries share: of a stream's node, or of a template.
    pub(crate) names: Vec<u8>,
    /// A long string that is expanded in pieces.
    pub(crate) lzf: crate::lzf::Stream,
}

impl Buffers {
    #[inline(always)]
    pub(crate) fn bytes<'a>(&'a self, data: &'a [u8], span: Span) -> &'a [u8] {
        // One after the other instead of by a table: nearly all are in the first, and most of the others in the second.
        let from = if span.source == Source::Data {
            data
        } else if span.source == Source::Blob {
            &self.blob
        } else {
            self.rare(span.source)
        };
        &from[span.start..span.end]
    }

    #[cold]
    fn rare(&self, source: Source) -> &[u8] {
        match source {
            Source::Data => &[],
            Source::Blob => &self.blob,
            Source::Scratch => &self.scratch,
            Source::Names => &self.names,
            Source::Lzf => self.lzf.buffer(),
        }
    }

    #[inline(always)]
    pub(crate) fn str<'a>(&'a self, data: &'a [u8], tok: StrTok) -> Str<'a> {
        match tok {
            StrTok::Bytes(span) => Str::Bytes(self.bytes(data, span)),
            StrTok::Int(i) => Str::Int(i),
        }
    }
}

/// Attributes of a key; kept beside the event, since hardly any key has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) expire_at_ms: Option<i64>,
    pub(crate) idle_seconds: Option<u64>,
    pub(crate) lfu_frequency: Option<u8>,
    pub(crate) extras: Option<Box<KeyExtras>>,
}

/// An [`Event`] without a lifetime.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tok {
    Header(Version),
    Aux {
        name: Span,
        value: Span,
    },
    SelectDb(u64),
    ResizeDb {
        keys: u64,
        expires: u64,
    },
    SlotInfo {
        slot: u64,
        keys: u64,
        expires: u64,
    },
    SlotImport {
        job: Span,
        ranges: Span,
    },
    Library {
        code: Span,
    },
    PreGaFunction {
        name: Span,
        engine: Span,
        description: Option<Span>,
        code: Span,
    },
    ModuleAux {
        module: u64,
        when: u64,
    },
    HashTemplate {
        id: u64,
        fields: u64,
    },
    /// Its other parts are in [`Attributes`].
    Key {
        key: Span,
        value_type: ValueType,
    },
    String {
        total: u64,
        offset: u64,
        data: Span,
        int: Maybe,
    },
    ListItem(StrTok),
    SetMember(StrTok),
    ZSetMember {
        member: StrTok,
        score: f64,
    },
    HashField {
        field: StrTok,
        value: StrTok,
        expire_at_ms: Maybe,
    },
    ArrayHeader {
        len: u64,
        insert_index: Option<u64>,
    },
    ArrayItem {
        index: u64,
        value: ArrayTok,
    },
    StreamEntry {
        id: StreamId,
        names: Option<Span>,
        body: Span,
        fields: usize,
    },
    StreamMeta(StreamMeta),
    StreamGroup {
        name: Span,
        last_id: StreamId,
        entries_read: Option<i64>,
        pending: u64,
    },
    StreamPending(StreamPending),
    StreamConsumer {
        name: Span,
        seen_time_ms: i64,
        active_time_ms: Option<i64>,
        pending: u64,
    },
    StreamConsumerPending(StreamId),
    StreamNacked(StreamId),
    StreamIdempotency {
        duration_s: u64,
        max_entries: u64,
    },
    StreamProducer {
        id: Span,
        ids: u64,
    },
    StreamProducerId {
        iid: Span,
        id: StreamId,
    },
    StreamIdempotencyStats {
        added: u64,
        duplicates: u64,
    },
    Module(u64),
    ModuleItem(ModuleTok),
    Cron {
        script: Span,
        start: u64,
        interval: u64,
    },
    CronKey(StrTok),
    CronArg(StrTok),
    Consumed,
    ValueEnd,
    Raw(Span),
    RawChunk {
        data: Span,
        last: bool,
    },
    SubkeyExpire {
        member: Span,
        expire_at_ms: i64,
    },
    End(Checksum),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum ArrayTok {
    Str(StrTok),
    Int(i64),
    Double(f64),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum ModuleTok {
    Signed(i64),
    Unsigned(u64),
    Float(f32),
    Double(f64),
    Str(StrTok),
}

impl Tok {
    /// The event, borrowed from the caller's buffer and the machine's memory, as `wrap` wants it.
    ///
    /// Each kind is wrapped on its own: so the compiler builds it where the caller's caller wants it. An event that is built first and then
    /// moved there is read in other units than it was written in, for which the processor must wait.
    #[inline(always)]
    pub(crate) fn event<'a, T>(
        &self,
        data: &'a [u8],
        buffers: &'a Buffers,
        attributes: &'a Attributes,
        wrap: impl FnOnce(Event<'a>) -> T,
    ) -> T {
        let bytes = |span| buffers.bytes(data, span);
        let str = |tok| buffers.str(data, tok);
        match *self {
            Self::Key { key, value_type } => wrap(Event::Key(KeyHeader {
                key: bytes(key),
                value_type,
                expire_at_ms: attributes.expire_at_ms,
                idle_seconds: attributes.idle_seconds,
                lfu_frequency: attributes.lfu_frequency,
                extras: attributes.extras.as_deref(),
            })),
            Self::Raw(span) => wrap(Event::Raw(bytes(span))),
            Self::RawChunk { data, last } => wrap(Event::RawChunk { data: bytes(data), last }),
            Self::String { total, offset, data, int } => {
                wrap(Event::String(StringChunk { total_len: total, offset, data: bytes(data), int: int.get() }))
            }
            Self::ValueEnd => wrap(Event::ValueEnd),
            Self::ListItem(item) => match str(item) {
                Str::Bytes(b) => wrap(Event::ListItem(Str::Bytes(b))),
                Str::Int(i) => wrap(Event::ListItem(Str::Int(i))),
            },
            Self::SetMember(member) => match str(member) {
                Str::Bytes(b) => wrap(Event::SetMember(Str::Bytes(b))),
                Str::Int(i) => wrap(Event::SetMember(Str::Int(i))),
            },
            Self::ZSetMember { member, score } => wrap(Event::ZSetMember { member: str(member), score }),
            Self::HashField { field, value, expire_at_ms } => {
                wrap(Event::HashField { field: str(field), value: str(value), expire_at_ms: expire_at_ms.get() })
            }
            Self::StreamEntry { id, names, body, fields } => wrap(Event::StreamEntry(StreamEntry {
                id,
                fields: StreamFields { names: names.map(bytes), body: bytes(body), left: fields },
            })),
            _ => wrap(self.rare(data, buffers)),
        }
    }

    #[inline(never)]
    fn rare<'a>(&self, data: &'a [u8], buffers: &'a Buffers) -> Event<'a> {
        let bytes = |span| buffers.bytes(data, span);
        let str = |tok| buffers.str(data, tok);
        match *self {
            Self::Header(version) => Event::Header(version),
            Self::Aux { name, value } => Event::Aux { name: bytes(name), value: bytes(value) },
            Self::SelectDb(db) => Event::SelectDb(db),
            Self::ResizeDb { keys, expires } => Event::ResizeDb { keys, expires },
            Self::SlotInfo { slot, keys, expires } => Event::SlotInfo { slot, keys, expires },
            Self::SlotImport { job, ranges } => {
                Event::SlotImport(SlotImport { job: bytes(job), ranges: bytes(ranges) })
            }
            Self::Library { code } => Event::Function(Function::Library { code: bytes(code) }),
            Self::PreGaFunction { name, engine, description, code } => Event::Function(Function::PreGa {
                name: bytes(name),
                engine: bytes(engine),
                description: description.map(bytes),
                code: bytes(code),
            }),
            Self::ModuleAux { module, when } => Event::ModuleAux { module: ModuleId::from_raw(module), when },
            Self::HashTemplate { id, fields } => Event::HashTemplate { id, fields },
            Self::ArrayHeader { len, insert_index } => Event::ArrayHeader { len, insert_index },
            Self::ArrayItem { index, value } => Event::ArrayItem {
                index,
                value: match value {
                    ArrayTok::Str(s) => ArrayValue::Str(str(s)),
                    ArrayTok::Int(i) => ArrayValue::Int(i),
                    ArrayTok::Double(d) => ArrayValue::Double(d),
                },
            },
            Self::StreamMeta(meta) => Event::StreamMeta(meta),
            Self::StreamGroup { name, last_id, entries_read, pending } => {
                Event::StreamGroup(StreamGroup { name: bytes(name), last_id, entries_read, pending })
            }
            Self::StreamPending(pending) => Event::StreamPending(pending),
            Self::StreamConsumer { name, seen_time_ms, active_time_ms, pending } => {
                Event::StreamConsumer(StreamConsumer { name: bytes(name), seen_time_ms, active_time_ms, pending })
            }
            Self::StreamConsumerPending(id) => Event::StreamConsumerPending(id),
            Self::StreamNacked(id) => Event::StreamNacked(id),
            Self::StreamIdempotency { duration_s, max_entries } => Event::StreamIdempotency { duration_s, max_entries },
            Self::StreamProducer { id, ids } => Event::StreamProducer { id: bytes(id), ids },
            Self::StreamProducerId { iid, id } => Event::StreamProducerId { iid: bytes(iid), id },
            Self::StreamIdempotencyStats { added, duplicates } => Event::StreamIdempotencyStats { added, duplicates },
            Self::Module(id) => Event::Module(ModuleId::from_raw(id)),
            Self::ModuleItem(item) => Event::ModuleItem(match item {
                ModuleTok::Signed(i) => ModuleItem::Signed(i),
                ModuleTok::Unsigned(u) => ModuleItem::Unsigned(u),
                ModuleTok::Float(f) => ModuleItem::Float(f),
                ModuleTok::Double(d) => ModuleItem::Double(d),
                ModuleTok::Str(s) => ModuleItem::Str(str(s)),
            }),
            Self::Cron { script, start, interval } => Event::Cron { script: bytes(script), start, interval },
            Self::CronKey(s) => Event::CronKey(str(s)),
            Self::CronArg(s) => Event::CronArg(str(s)),
            Self::SubkeyExpire { member, expire_at_ms } => Event::SubkeyExpire { member: bytes(member), expire_at_ms },
            Self::Consumed => Event::Consumed,
            Self::End(checksum) => Event::End { checksum },
            // The rest is handled in line by `event`.
            _ => Event::ValueEnd,
        }
    }
}
