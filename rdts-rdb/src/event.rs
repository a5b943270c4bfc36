//! What the parser reports.

use std::borrow::Cow;

use crate::module::{ModuleId, ModuleItem};
use crate::str::Str;
use crate::stream::{StreamConsumer, StreamEntry, StreamGroup, StreamId, StreamMeta, StreamPending};
use crate::value_type::ValueType;
use crate::version::Version;

/// The next thing in the file. Borrows from the caller's buffer or from the parser, until the next call.
///
/// Order: [`Header`](Self::Header), then records in any order, then [`End`](Self::End). After a [`Key`](Self::Key) come the events of its
/// value: by [`ValueMode`](crate::ValueMode) the decoded elements and [`ValueEnd`](Self::ValueEnd); or [`RawChunk`](Self::RawChunk)s up to
/// the one that is `last`; or one [`Raw`](Self::Raw); or, skipped, [`ValueEnd`](Self::ValueEnd) alone.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The first nine bytes.
    Header(Version),
    /// A named piece of information about the file. Unknown names are to be ignored.
    Aux {
        /// Such as `redis-ver`, `ctime`, `repl-offset`; `lua` is the body of a cached script.
        name: &'a [u8],
        /// Numbers are decimal text.
        value: &'a [u8],
    },
    /// The keys that follow are in this database. Before the first one it is 0.
    SelectDb(u64),
    /// Hint about the database's size. Do not allocate by it.
    ResizeDb {
        /// Keys in the database.
        keys: u64,
        /// Keys with an expiry.
        expires: u64,
    },
    /// Hint about a cluster slot (Redis 7.4, cluster mode).
    SlotInfo {
        /// The slot.
        slot: u64,
        /// Keys in it.
        keys: u64,
        /// Keys in it with an expiry.
        expires: u64,
    },
    /// A cluster import was running when the file was saved (Valkey 9).
    SlotImport(SlotImport<'a>),
    /// A function library.
    Function(Function<'a>),
    /// A module's own data that belongs to no key. What it contains is passed over, without further events, unless
    /// [`set_value_mode`](crate::Parser::set_value_mode) is called right after this event; then it is delivered like a value.
    ModuleAux {
        /// The module's type.
        module: ModuleId,
        /// 1 = before the keys, 2 = after them.
        when: u64,
    },
    /// A hash template was defined (Redis 8.10). The parser keeps it; this is for information.
    HashTemplate {
        /// Number by which hashes refer to it.
        id: u64,
        /// How many fields it has.
        fields: u64,
    },
    /// A key; its value follows.
    Key(KeyHeader<'a>),
    /// A piece of a string value, in order. An empty string is one empty piece.
    String(StringChunk<'a>),
    /// The next item of a list, from the head.
    ListItem(Str<'a>),
    /// A member of a set.
    SetMember(Str<'a>),
    /// A member of a sorted set.
    ZSetMember {
        /// The member.
        member: Str<'a>,
        /// Its score, never NaN.
        score: f64,
    },
    /// A field of a hash.
    HashField {
        /// The field.
        field: Str<'a>,
        /// Its value.
        value: Str<'a>,
        /// When the field expires, in ms since 1970.
        expire_at_ms: Option<i64>,
    },
    /// Start of an array (Redis 8.8).
    ArrayHeader {
        /// Number of slots that are set.
        len: u64,
        /// Where the array's cursor for insertions stands.
        insert_index: Option<u64>,
    },
    /// A slot of an array; indexes ascend.
    ArrayItem {
        /// The slot.
        index: u64,
        /// What is in it.
        value: ArrayValue<'a>,
    },
    /// An entry of a stream, in order of ids; deleted ones are left out.
    StreamEntry(StreamEntry<'a>),
    /// What a stream knows about itself; after its entries.
    StreamMeta(StreamMeta),
    /// A consumer group; its pending entries and consumers follow.
    StreamGroup(StreamGroup<'a>),
    /// An entry that was delivered to a consumer of the group and not acknowledged; whose it is, the consumers tell.
    StreamPending(StreamPending),
    /// A consumer of the group; the ids of its pending entries follow.
    StreamConsumer(StreamConsumer<'a>),
    /// A pending entry of the consumer.
    StreamConsumerPending(StreamId),
    /// A pending entry of the group that no consumer owns (`XNACK`, Redis 8.8).
    StreamNacked(StreamId),
    /// Settings of idempotent producers (Redis 8.6).
    StreamIdempotency {
        /// How long ids are remembered, in s.
        duration_s: u64,
        /// How many are remembered for each producer.
        max_entries: u64,
    },
    /// An idempotent producer; its ids follow.
    StreamProducer {
        /// Its name.
        id: &'a [u8],
        /// How many ids follow.
        ids: u64,
    },
    /// An id of the producer, oldest first.
    StreamProducerId {
        /// The id that the producer gave.
        iid: &'a [u8],
        /// The entry that it became.
        id: StreamId,
    },
    /// Counters of idempotent producers; the end of a stream of that form.
    StreamIdempotencyStats {
        /// Ids ever added.
        added: u64,
        /// Duplicates ever refused.
        duplicates: u64,
    },
    /// A value of a module; its items follow.
    Module(ModuleId),
    /// The next item of a module's value.
    ModuleItem(ModuleItem<'a>),
    /// A cron job of KeyDB; its keys and arguments follow as [`CronKey`](Self::CronKey) and [`CronArg`](Self::CronArg).
    Cron {
        /// The script.
        script: &'a [u8],
        /// First run, as stored.
        start: u64,
        /// Interval, as stored.
        interval: u64,
    },
    /// A key that the cron job is given.
    CronKey(Str<'a>),
    /// An argument that the cron job is given.
    CronArg(Str<'a>),
    /// The value is complete.
    ValueEnd,
    /// A whole value as it is in the file: what follows the type byte.
    Raw(&'a [u8]),
    /// A piece of a value as it is in the file.
    RawChunk {
        /// The bytes; may be empty in the last piece.
        data: &'a [u8],
        /// Whether the value is complete with it.
        last: bool,
    },
    /// Expiry of one member of the *previous* key (KeyDB).
    SubkeyExpire {
        /// Member of the set or sorted set, or field of the hash.
        member: &'a [u8],
        /// When it expires, in ms since 1970.
        expire_at_ms: i64,
    },
    /// Nothing to report: bytes were passed over that the caller need not keep. Comes while a long value is skipped, and hardly ever otherwise;
    /// the readers do not show it.
    Consumed,
    /// The end of the file. What follows belongs to somebody else.
    End {
        /// What is known of the file's checksum.
        checksum: Checksum,
    },
}

/// A key and what belongs to it apart from the value.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct KeyHeader<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Encoding of the value.
    pub value_type: ValueType,
    /// When the key expires, in ms since 1970. May lie in the past: what to do then is the consumer's policy.
    pub expire_at_ms: Option<i64>,
    /// How long the key was not used, in s (sources with an LRU policy).
    pub idle_seconds: Option<u64>,
    /// Logarithmic access counter (sources with an LFU policy).
    pub lfu_frequency: Option<u8>,
    /// Attributes that hardly any file has.
    pub extras: Option<&'a KeyExtras>,
}

impl<'a> KeyHeader<'a> {
    /// A key without attributes.
    #[must_use]
    pub const fn new(key: &'a [u8], value_type: ValueType) -> Self {
        Self { key, value_type, expire_at_ms: None, idle_seconds: None, lfu_frequency: None, extras: None }
    }
}

/// Rare attributes of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyExtras {
    /// Metadata of modules (Redis 8.6), as stored: what follows the opcode byte 243. Belongs in front of the type byte in a DUMP payload.
    pub key_meta: Vec<u8>,
    /// Redis Enterprise's opcode 107.
    pub enterprise_ram_lru: Option<u64>,
    /// Redis Enterprise's opcode 121.
    pub enterprise_slot: Option<u64>,
}

/// A piece of a string value.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StringChunk<'a> {
    /// Length of the whole string.
    pub total_len: u64,
    /// Where in the string this piece starts.
    pub offset: u64,
    /// The bytes.
    pub data: &'a [u8],
    /// Set if the file has the string as an integer; `data` is its text.
    pub int: Option<i64>,
}

impl<'a> StringChunk<'a> {
    /// A piece of a string of `total_len` bytes that starts at `offset`: for those who read strings elsewhere than in a file.
    #[must_use]
    pub const fn new(total_len: u64, offset: u64, data: &'a [u8]) -> Self {
        Self { total_len, offset, data, int: None }
    }

    /// Whether the piece is the whole string.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.data.len() as u64 == self.total_len
    }

    /// Whether the string is complete with this piece.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.offset + self.data.len() as u64 == self.total_len
    }

    /// The piece as an element: an integer if the file has one.
    #[must_use]
    pub fn as_str(&self) -> Str<'a> {
        self.int.map_or(Str::Bytes(self.data), Str::Int)
    }
}

/// A function library.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Function<'a> {
    /// Redis 7.0 and later: the code with its `#!engine name=…` line, as `FUNCTION LOAD` takes it.
    Library {
        /// The code.
        code: &'a [u8],
    },
    /// Release candidates of Redis 7.0; see [`loadable`](Self::loadable).
    PreGa {
        /// The library's name.
        name: &'a [u8],
        /// Such as `LUA`.
        engine: &'a [u8],
        /// Free text.
        description: Option<&'a [u8]>,
        /// The code.
        code: &'a [u8],
    },
}

impl<'a> Function<'a> {
    /// The code with its first line, as `FUNCTION LOAD` and [`Writer::function`](crate::encode::Writer::function) take it; for a library of a
    /// release candidate that line is made.
    #[must_use]
    pub fn loadable(&self) -> Cow<'a, [u8]> {
        match self {
            Self::Library { code } => Cow::Borrowed(code),
            Self::PreGa { name, engine, code, .. } => {
                let engine = engine.to_ascii_lowercase();
                [b"#!", &engine[..], b" name=", name, b"\n", code].concat().into()
            }
        }
    }
}

/// A cluster import that was running (Valkey 9).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SlotImport<'a> {
    /// Name of the job.
    pub job: &'a [u8],
    pub(crate) ranges: &'a [u8],
}

impl SlotImport<'_> {
    /// The ranges of slots, both ends included.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (first, next) = crate::token::length(self.ranges, at).ok()?;
            let (last, next) = crate::token::length(self.ranges, next).ok()?;
            at = next;
            Some((first, last))
        })
    }
}

/// What a slot of an array holds.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ArrayValue<'a> {
    /// A string.
    Str(Str<'a>),
    /// An integer of 64 bits.
    Int(i64),
    /// A double.
    Double(f64),
}

/// What is known of a file's checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Checksum {
    /// Computed and equal. Says nothing about the structures inside: whoever forges a file can forge this too.
    Verified(u64),
    /// Stored but not verified, since the options say so.
    NotVerified(u64),
    /// The server was told not to compute it (`rdbchecksum no`): zero is stored.
    Disabled,
    /// Files before version 5 have none.
    Absent,
}
