//! Owned keys with their values.

use std::io::Read;

use crate::error::{Error, ReadError};
use crate::event::{Event, KeyExtras, KeyHeader};
use crate::options::ValueMode;
use crate::reader::Reader;
use crate::value::{Builder, Value};
use crate::value_type::ValueType;

/// A key with its value, all of it in memory.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// The database.
    pub db: u64,
    /// The key.
    pub key: Vec<u8>,
    /// Encoding of the value in the file.
    pub value_type: ValueType,
    /// When the key expires, in ms since 1970.
    pub expire_at_ms: Option<i64>,
    /// How long the key was not used, in s.
    pub idle_seconds: Option<u64>,
    /// Logarithmic access counter.
    pub lfu_frequency: Option<u8>,
    /// Rare attributes.
    pub extras: Option<Box<KeyExtras>>,
    /// The value.
    pub value: Value,
    /// Expiries of members, in ms since 1970 (KeyDB).
    pub subkey_expires: Vec<(Vec<u8>, i64)>,
}

impl Entry {
    /// A key without expiry. `value_type` is that of the plainest encoding of the value's kind.
    #[must_use]
    pub fn new(db: u64, key: impl Into<Vec<u8>>, value: Value) -> Self {
        Self {
            db,
            key: key.into(),
            value_type: value.plain_type(),
            expire_at_ms: None,
            idle_seconds: None,
            lfu_frequency: None,
            extras: None,
            value,
            subkey_expires: Vec::new(),
        }
    }

    fn of(db: u64, header: &KeyHeader<'_>, max_value: u64) -> (Self, Builder) {
        let builder = Builder::new(header.value_type.kind(), max_value);
        let entry = Self {
            db,
            key: header.key.to_vec(),
            value_type: header.value_type,
            expire_at_ms: header.expire_at_ms,
            idle_seconds: header.idle_seconds,
            lfu_frequency: header.lfu_frequency,
            extras: header.extras.map(|extras| Box::new(extras.clone())),
            value: Value::String(Vec::new()),
            subkey_expires: Vec::new(),
        };
        (entry, builder)
    }
}

/// The keys of a file, one after the other: an iterator. Every value is decoded and held in memory as a whole, so this is for files whose
/// largest value fits ([`Limits::max_value`](crate::Limits::max_value)); everything else of the file (aux fields, functions) is passed over.
///
/// ```
/// use rdts_rdb::{Reader, Value};
///
/// let file = &b"REDIS0003\x00\x03key\x05value\xFF"[..];
/// for entry in Reader::new(file).entries() {
///     let entry = entry?;
///     assert_eq!(entry.value, Value::String(b"value".to_vec()));
/// }
/// # Ok::<(), rdts_rdb::ReadError>(())
/// ```
#[derive(Debug)]
pub struct Entries<R> {
    reader: Reader<R>,
    db: u64,
    /// Complete, but expiries of members may follow.
    ready: Option<Entry>,
    failed: bool,
}

impl<R: Read> Entries<R> {
    pub(crate) fn new(reader: Reader<R>) -> Self {
        Self { reader, db: 0, ready: None, failed: false }
    }

    /// The reader, with what was not read yet.
    #[must_use]
    pub fn into_reader(self) -> Reader<R> {
        self.reader
    }

    fn advance(&mut self) -> Result<Option<Entry>, ReadError> {
        let mut current: Option<(Entry, Builder)> = None;
        let max_value = self.reader.limits().max_value;
        loop {
            let offset = self.reader.offset();
            let Some(event) = self.reader.next_event()? else { return Ok(self.ready.take()) };
            match event {
                Event::SelectDb(db) => self.db = db,
                Event::Key(header) => {
                    current = Some(Entry::of(self.db, &header, max_value));
                    self.reader.set_value_mode(ValueMode::Decode);
                }
                Event::SubkeyExpire { member, expire_at_ms } => {
                    if let Some(entry) = &mut self.ready {
                        entry.subkey_expires.push((member.to_vec(), expire_at_ms));
                    }
                }
                Event::ValueEnd => {
                    if let Some((mut entry, builder)) = current.take() {
                        entry.value = builder.finish();
                        if let Some(before) = self.ready.replace(entry) {
                            return Ok(Some(before));
                        }
                    }
                }
                event => {
                    if let Some((_, builder)) = &mut current {
                        builder.push(&event).map_err(|kind| Error::new(kind, offset))?;
                    }
                }
            }
        }
    }
}

impl<R: Read> Iterator for Entries<R> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let result = self.advance();
        self.failed = result.is_err();
        result.transpose()
    }
}
