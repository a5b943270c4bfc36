//! The stream: entries by id, and consumer groups.

use std::collections::{BTreeMap, BTreeSet};

use rdts_rdb::value::Idempotency;

use super::error::{CommandError, Result};
use super::number;

pub use rdts_rdb::StreamId;
use rdts_rdb::value::StreamPairs;

/// `ms-seq`, or `ms` with the sequence number given here.
pub(super) fn parse_id(text: &[u8], sequence: u64) -> Result<StreamId> {
    let id = match text.iter().position(|byte| *byte == b'-') {
        None => number::unsigned(text).map(|ms| StreamId::new(ms, sequence)),
        Some(dash) => number::unsigned(&text[..dash])
            .zip(number::unsigned(&text[dash + 1..]))
            .map(|(ms, seq)| StreamId::new(ms, seq)),
    };
    id.ok_or_else(bad_id)
}

pub(super) fn bad_id() -> CommandError {
    CommandError::invalid("ERR Invalid stream ID specified as stream command argument")
}

/// A stream.
///
/// What only RDB carries and no command in a replication stream sets (seen and active times of consumers) is not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stream {
    /// Entries: fields and values, in the order given. A field may appear twice.
    pub entries: BTreeMap<StreamId, StreamPairs>,
    /// The highest id ever added.
    pub last_id: StreamId,
    /// The highest id that was deleted (Redis 7.0).
    pub max_deleted_id: StreamId,
    /// How many entries were ever added (Redis 7.0).
    pub entries_added: u64,
    /// Consumer groups by name.
    pub groups: BTreeMap<Vec<u8>, ConsumerGroup>,
    /// What a payload said of idempotent producers (Redis 8.6), if there were any. No command changes it here: those that would are refused.
    pub idempotency: Option<Idempotency>,
}

/// A consumer group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerGroup {
    /// The last id that was delivered.
    pub last_id: StreamId,
    /// How many entries were delivered, if that is known (Redis 7.0).
    pub entries_read: Option<u64>,
    /// Entries that were delivered and not acknowledged.
    pub pending: BTreeMap<StreamId, PendingEntry>,
    /// The consumers' names, those without pending entries too.
    pub consumers: BTreeSet<Vec<u8>>,
}

/// An entry that was delivered and not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingEntry {
    /// The consumer that has it; `None` if the last one gave it back (`XNACK`, Redis 8.8).
    pub consumer: Option<Vec<u8>>,
    /// When it was delivered last, in milliseconds since the Unix epoch.
    pub delivered_at: i64,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// What happens to the groups' references when an entry goes (Redis 8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum References {
    /// They stay.
    #[default]
    Keep,
    /// They go too.
    Delete,
    /// The entry goes only when no group needs it any more.
    Acknowledged,
}

impl Stream {
    /// Whether a group has the entry pending or has still to deliver it.
    pub(super) fn is_referenced(&self, id: StreamId) -> bool {
        self.groups.values().any(|group| group.last_id < id || group.pending.contains_key(&id))
    }

    /// Deletes one entry and says whether it was there.
    pub(super) fn delete(&mut self, id: StreamId) -> bool {
        let deleted = self.entries.remove(&id).is_some();
        if deleted {
            self.max_deleted_id = self.max_deleted_id.max(id);
        }
        deleted
    }

    /// Forgets that groups have this entry pending.
    pub(super) fn unreference(&mut self, id: StreamId) {
        for group in self.groups.values_mut() {
            group.pending.remove(&id);
        }
    }
}
