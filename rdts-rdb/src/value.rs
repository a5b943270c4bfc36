//! Owned values.

use crate::error::{ErrorKind, Limit};
use crate::event::{ArrayValue, Event};
use crate::module::{ModuleId, ModuleItem};
use crate::stream::{StreamId, StreamMeta};
use crate::value_type::{ValueKind, ValueType};

/// A value, all of it in memory.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A string.
    String(Vec<u8>),
    /// A list, from the head.
    List(Vec<Vec<u8>>),
    /// A set, in the order of the file.
    Set(Vec<Vec<u8>>),
    /// A sorted set, in the order of the file: ascending or descending by version.
    ZSet(Vec<(Vec<u8>, f64)>),
    /// A hash, in the order of the file.
    Hash(Vec<HashField>),
    /// A stream.
    Stream(Stream),
    /// A module's value.
    Module(ModuleValue),
    /// A sparse array.
    Array(Array),
    /// A cron job of KeyDB.
    Cron(Cron),
}

/// A field of a hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub struct HashField {
    /// The field.
    pub field: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// When it expires, in ms since 1970.
    pub expire_at_ms: Option<i64>,
}

impl HashField {
    /// A field that does not expire.
    #[must_use]
    pub fn new(field: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { field: field.into(), value: value.into(), expire_at_ms: None }
    }

    /// A field that expires, in ms since 1970.
    #[must_use]
    pub fn expiring(field: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>, expire_at_ms: i64) -> Self {
        Self { field: field.into(), value: value.into(), expire_at_ms: Some(expire_at_ms) }
    }
}

/// Fields of a stream's entry with their values.
pub type StreamPairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stream {
    /// Entries by id.
    pub entries: Vec<(StreamId, StreamPairs)>,
    /// What the stream knows about itself.
    pub meta: StreamMeta,
    /// Consumer groups.
    pub groups: Vec<Group>,
    /// State of idempotent producers (Redis 8.6).
    pub idempotency: Option<Idempotency>,
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Group {
    /// Its name.
    pub name: Vec<u8>,
    /// Last id that was delivered.
    pub last_id: StreamId,
    /// Entries ever read (from Redis 7.0 on); -1 = not known.
    pub entries_read: Option<i64>,
    /// Entries that were delivered and not acknowledged, by id.
    pub pending: Vec<Pending>,
    /// Consumers.
    pub consumers: Vec<Consumer>,
}

/// An entry that was delivered and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Pending {
    /// The entry.
    pub id: StreamId,
    /// Index of its owner in [`Group::consumers`]; `None` in the NACK zone.
    pub consumer: Option<usize>,
    /// Last delivery, ms since 1970.
    pub delivery_time_ms: i64,
    /// How often it was delivered.
    pub delivery_count: u64,
}

/// A consumer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Consumer {
    /// Its name.
    pub name: Vec<u8>,
    /// Last attempt to interact, ms since 1970.
    pub seen_time_ms: i64,
    /// Last successful interaction, ms since 1970, -1 = never (from Redis 7.2 on).
    pub active_time_ms: Option<i64>,
}

/// State of idempotent producers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Idempotency {
    /// How long ids are remembered, in s.
    pub duration_s: u64,
    /// How many are remembered for each producer.
    pub max_entries: u64,
    /// Producers.
    pub producers: Vec<Producer>,
    /// Ids ever added.
    pub added: u64,
    /// Duplicates ever refused.
    pub duplicates: u64,
}

/// An idempotent producer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Producer {
    /// Its name.
    pub id: Vec<u8>,
    /// The ids that it gave and the entries that they became, oldest first.
    pub iids: Vec<(Vec<u8>, StreamId)>,
}

/// A module's value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ModuleValue {
    /// Type and version of its encoding.
    pub id: ModuleId,
    /// Its items.
    pub items: Vec<OwnedItem>,
}

/// An item of a module's value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OwnedItem {
    /// A signed integer.
    Signed(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A single-precision number.
    Float(f32),
    /// A double.
    Double(f64),
    /// A string.
    Bytes(Vec<u8>),
}

/// A sparse array.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Array {
    /// Where the cursor for insertions stands.
    pub insert_index: Option<u64>,
    /// The slots that are set, by index.
    pub items: Vec<(u64, ArrayItem)>,
}

/// What a slot of an array holds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ArrayItem {
    /// A string.
    Bytes(Vec<u8>),
    /// An integer.
    Int(i64),
    /// A double.
    Double(f64),
}

/// A cron job of KeyDB.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Cron {
    /// The script.
    pub script: Vec<u8>,
    /// First run, as stored.
    pub start: u64,
    /// Interval, as stored.
    pub interval: u64,
    /// Keys that it is given.
    pub keys: Vec<Vec<u8>>,
    /// Arguments that it is given.
    pub args: Vec<Vec<u8>>,
}

impl Value {
    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> ValueKind {
        match self {
            Self::String(_) => ValueKind::String,
            Self::List(_) => ValueKind::List,
            Self::Set(_) => ValueKind::Set,
            Self::ZSet(_) => ValueKind::ZSet,
            Self::Hash(_) => ValueKind::Hash,
            Self::Stream(_) => ValueKind::Stream,
            Self::Module(_) => ValueKind::Module,
            Self::Array(_) => ValueKind::Array,
            Self::Cron(_) => ValueKind::Cron,
        }
    }

    /// The plainest encoding of its kind.
    #[must_use]
    pub fn plain_type(&self) -> ValueType {
        match self {
            Self::String(_) => ValueType::String,
            Self::List(_) => ValueType::List,
            Self::Set(_) => ValueType::Set,
            Self::ZSet(_) => ValueType::ZSet2,
            Self::Hash(fields) if fields.iter().any(|f| f.expire_at_ms.is_some()) => ValueType::HashMetadata,
            Self::Hash(_) => ValueType::Hash,
            Self::Stream(stream) if stream.groups.iter().any(|g| g.pending.iter().any(|p| p.consumer.is_none())) => {
                ValueType::Stream5
            }
            Self::Stream(stream) if stream.idempotency.as_ref().is_some_and(|i| !i.producers.is_empty()) => {
                ValueType::Stream4
            }
            Self::Stream(_) => ValueType::Stream3,
            Self::Module(_) => ValueType::Module2,
            Self::Array(_) => ValueType::Array,
            Self::Cron(_) => ValueType::KeydbCron,
        }
    }

    /// Number of elements; of a string its length, of a module its items.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::String(s) => s.len(),
            Self::List(items) | Self::Set(items) => items.len(),
            Self::ZSet(members) => members.len(),
            Self::Hash(fields) => fields.len(),
            Self::Stream(stream) => stream.entries.len(),
            Self::Module(module) => module.items.len(),
            Self::Array(array) => array.items.len(),
            Self::Cron(cron) => cron.keys.len() + cron.args.len(),
        }
    }

    /// Whether [`len`](Self::len) is 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Makes a value out of the events that describe it.
#[derive(Debug)]
pub(crate) struct Builder {
    value: Value,
    /// Where in its group's pending entries a consumer's id is looked for first.
    hint: usize,
    /// About how many bytes the value takes, and may take.
    size: u64,
    max: u64,
}

impl Builder {
    /// Of a value that may take `max` bytes.
    pub(crate) fn new(kind: ValueKind, max: u64) -> Self {
        let value = match kind {
            ValueKind::String => Value::String(Vec::new()),
            ValueKind::List => Value::List(Vec::new()),
            ValueKind::Set => Value::Set(Vec::new()),
            ValueKind::ZSet => Value::ZSet(Vec::new()),
            ValueKind::Hash => Value::Hash(Vec::new()),
            ValueKind::Stream => Value::Stream(Stream::default()),
            ValueKind::Module => Value::Module(ModuleValue { id: ModuleId::from_raw(0), items: Vec::new() }),
            ValueKind::Array => Value::Array(Array::default()),
            ValueKind::Cron => Value::Cron(Cron::default()),
        };
        Self { value, hint: 0, size: 0, max }
    }

    pub(crate) fn finish(self) -> Value {
        self.value
    }

    /// Takes the next event of the value.
    pub(crate) fn push(&mut self, event: &Event<'_>) -> Result<(), ErrorKind> {
        self.size = self.size.saturating_add(size(event) as u64);
        if self.size > self.max {
            return Err(ErrorKind::LimitExceeded { limit: Limit::Value, claimed: self.size, max: self.max });
        }
        match (&mut self.value, event) {
            (Value::String(s), Event::String(piece)) => s.extend_from_slice(piece.data),
            (Value::List(items), Event::ListItem(item)) => items.push(item.to_vec()),
            (Value::Set(members), Event::SetMember(member)) => members.push(member.to_vec()),
            (Value::ZSet(members), Event::ZSetMember { member, score }) => members.push((member.to_vec(), *score)),
            (Value::Hash(fields), Event::HashField { field, value, expire_at_ms }) => {
                fields.push(HashField { field: field.to_vec(), value: value.to_vec(), expire_at_ms: *expire_at_ms });
            }
            (Value::Stream(stream), event) => return push_stream(stream, &mut self.hint, event),
            (Value::Module(module), Event::Module(id)) => module.id = *id,
            (Value::Module(module), Event::ModuleItem(item)) => module.items.push(match item {
                ModuleItem::Signed(i) => OwnedItem::Signed(*i),
                ModuleItem::Unsigned(u) => OwnedItem::Unsigned(*u),
                ModuleItem::Float(f) => OwnedItem::Float(*f),
                ModuleItem::Double(d) => OwnedItem::Double(*d),
                ModuleItem::Str(s) => OwnedItem::Bytes(s.to_vec()),
            }),
            (Value::Array(array), Event::ArrayHeader { insert_index, .. }) => array.insert_index = *insert_index,
            (Value::Array(array), Event::ArrayItem { index, value }) => {
                let item = match value {
                    ArrayValue::Str(s) => ArrayItem::Bytes(s.to_vec()),
                    ArrayValue::Int(i) => ArrayItem::Int(*i),
                    ArrayValue::Double(d) => ArrayItem::Double(*d),
                };
                array.items.push((*index, item));
            }
            (Value::Cron(cron), Event::Cron { script, start, interval }) => {
                cron.script = script.to_vec();
                cron.start = *start;
                cron.interval = *interval;
            }
            (Value::Cron(cron), Event::CronKey(key)) => cron.keys.push(key.to_vec()),
            (Value::Cron(cron), Event::CronArg(arg)) => cron.args.push(arg.to_vec()),
            _ => return Err(ErrorKind::BadStructure("an element of another type")),
        }
        Ok(())
    }
}

/// About how many bytes an element takes when it is kept: its place in a vector, and its bytes.
fn size(event: &Event<'_>) -> usize {
    const STRING: usize = size_of::<Vec<u8>>();
    match event {
        Event::String(piece) => piece.data.len(),
        Event::ListItem(item) | Event::SetMember(item) | Event::CronKey(item) | Event::CronArg(item) => {
            STRING + item.len()
        }
        Event::ZSetMember { member, .. } => size_of::<(Vec<u8>, f64)>() + member.len(),
        Event::HashField { field, value, .. } => size_of::<HashField>() + field.len() + value.len(),
        Event::ArrayItem { value, .. } => {
            let bytes = if let ArrayValue::Str(s) = value { s.len() } else { 0 };
            size_of::<(u64, ArrayItem)>() + bytes
        }
        Event::ModuleItem(item) => {
            let bytes = if let ModuleItem::Str(s) = item { s.len() } else { 0 };
            size_of::<OwnedItem>() + bytes
        }
        Event::StreamEntry(entry) => {
            let pairs = entry.fields.map(|(field, value)| 2 * STRING + field.len() + value.len());
            size_of::<(StreamId, StreamPairs)>() + pairs.sum::<usize>()
        }
        Event::StreamGroup(group) => size_of::<Group>() + group.name.len(),
        Event::StreamPending(_) => size_of::<Pending>(),
        Event::StreamConsumer(consumer) => size_of::<Consumer>() + consumer.name.len(),
        Event::StreamProducer { id, .. } => size_of::<Producer>() + id.len(),
        Event::StreamProducerId { iid, .. } => size_of::<(Vec<u8>, StreamId)>() + iid.len(),
        Event::Cron { script, .. } => script.len(),
        _ => 0,
    }
}

fn push_stream(stream: &mut Stream, hint: &mut usize, event: &Event<'_>) -> Result<(), ErrorKind> {
    const ORDER: ErrorKind = ErrorKind::BadStream("its parts come in another order");
    match event {
        Event::StreamEntry(entry) => {
            let pairs = entry.fields.map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
            stream.entries.push((entry.id, pairs));
        }
        Event::StreamMeta(meta) => stream.meta = *meta,
        Event::StreamGroup(group) => stream.groups.push(Group {
            name: group.name.to_vec(),
            last_id: group.last_id,
            entries_read: group.entries_read,
            ..Group::default()
        }),
        Event::StreamPending(row) => {
            let group = stream.groups.last_mut().ok_or(ORDER)?;
            let (delivery_time_ms, delivery_count) = (row.delivery_time_ms, row.delivery_count);
            group.pending.push(Pending { id: row.id, consumer: None, delivery_time_ms, delivery_count });
        }
        Event::StreamConsumer(consumer) => {
            let group = stream.groups.last_mut().ok_or(ORDER)?;
            *hint = 0;
            group.consumers.push(Consumer {
                name: consumer.name.to_vec(),
                seen_time_ms: consumer.seen_time_ms,
                active_time_ms: consumer.active_time_ms,
            });
        }
        Event::StreamConsumerPending(id) => {
            let group = stream.groups.last_mut().ok_or(ORDER)?;
            // A consumer's ids ascend like the group's, so the next one is near.
            let found = group.pending.get(*hint).is_some_and(|row| row.id == *id).then_some(*hint);
            let place = found.or_else(|| group.pending.binary_search_by_key(id, |row| row.id).ok()).ok_or(ORDER)?;
            *hint = place + 1;
            group.pending[place].consumer = group.consumers.len().checked_sub(1);
        }
        Event::StreamNacked(_) => {}
        Event::StreamIdempotency { duration_s, max_entries } => {
            stream.idempotency =
                Some(Idempotency { duration_s: *duration_s, max_entries: *max_entries, ..Idempotency::default() });
        }
        Event::StreamProducer { id, .. } => {
            stream.idempotency.as_mut().ok_or(ORDER)?.producers.push(Producer { id: id.to_vec(), iids: Vec::new() });
        }
        Event::StreamProducerId { iid, id } => {
            let producers = &mut stream.idempotency.as_mut().ok_or(ORDER)?.producers;
            producers.last_mut().ok_or(ORDER)?.iids.push((iid.to_vec(), *id));
        }
        Event::StreamIdempotencyStats { added, duplicates } => {
            let idempotency = stream.idempotency.as_mut().ok_or(ORDER)?;
            idempotency.added = *added;
            idempotency.duplicates = *duplicates;
        }
        _ => return Err(ErrorKind::BadStream("an element of another type")),
    }
    Ok(())
}
