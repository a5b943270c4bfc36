//! What streams are made of.

use std::fmt;

use crate::packed::listpack;
use crate::str::Str;

/// Id of a stream's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub struct StreamId {
    /// Milliseconds since 1970, or whatever the producer wrote.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

impl StreamId {
    /// `0-0`, which no entry has.
    pub const ZERO: Self = Self::new(0, 0);

    /// An id from its parts.
    #[must_use]
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// From the 16 bytes that files have: both parts big endian.
    pub(crate) fn from_be_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        #[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
        Self::new((both >> 64) as u64, both as u64)
    }

    /// The 16 bytes that files have.
    pub(crate) fn to_be_bytes(self) -> [u8; 16] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }
}

impl fmt::Display for StreamId {
    /// As servers print it: `1700000000000-0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// An entry of a stream.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StreamEntry<'a> {
    /// Its id.
    pub id: StreamId,
    /// Its fields and their values, in order.
    pub fields: StreamFields<'a>,
}

/// The fields of an entry with their values. An iterator; clone it to go over them again.
#[derive(Clone, Copy)]
pub struct StreamFields<'a> {
    /// Names that the entry shares with its node's first entry; `None`: names and values alternate in `body`.
    pub(crate) names: Option<&'a [u8]>,
    pub(crate) body: &'a [u8],
    pub(crate) left: usize,
}

impl<'a> StreamFields<'a> {
    fn take(list: &mut &'a [u8]) -> Option<Str<'a>> {
        let (element, next) = listpack::element(list, 0, usize::MAX).ok()?;
        let (taken, rest) = list.split_at_checked(next)?;
        *list = rest;
        Some(element.resolve(taken))
    }
}

impl<'a> Iterator for StreamFields<'a> {
    type Item = (Str<'a>, Str<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = match &mut self.names {
            Some(names) => Self::take(names)?,
            None => Self::take(&mut self.body)?,
        };
        Some((name, Self::take(&mut self.body)?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for StreamFields<'_> {}

impl fmt::Debug for StreamFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(*self).finish()
    }
}

/// What a stream knows about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StreamMeta {
    /// Number of entries as the stream counts them (`XLEN`). Old files exist in which it is not the number of entries that are there.
    pub length: u64,
    /// Last id that was generated.
    pub last_id: StreamId,
    /// First entry (from Redis 7.0 on).
    pub first_id: Option<StreamId>,
    /// Greatest id that was deleted (from Redis 7.0 on).
    pub max_deleted_id: Option<StreamId>,
    /// Entries ever added (from Redis 7.0 on).
    pub entries_added: Option<u64>,
    /// How many groups follow.
    pub groups: u64,
}

/// A consumer group.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StreamGroup<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Last id that was delivered.
    pub last_id: StreamId,
    /// Entries ever read (from Redis 7.0 on); -1 = not known.
    pub entries_read: Option<i64>,
    /// How many pending entries follow.
    pub pending: u64,
}

/// A pending entry of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamPending {
    /// The entry, which may have been deleted meanwhile.
    pub id: StreamId,
    /// Last delivery, ms since 1970.
    pub delivery_time_ms: i64,
    /// How often it was delivered.
    pub delivery_count: u64,
}

/// A consumer of a group.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StreamConsumer<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Last attempt to interact, ms since 1970.
    pub seen_time_ms: i64,
    /// Last successful interaction, ms since 1970, -1 = never (from Redis 7.2 on).
    pub active_time_ms: Option<i64>,
    /// How many pending entries follow.
    pub pending: u64,
}
