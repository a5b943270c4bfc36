//! What is to be checked.

use std::sync::Arc;
use std::time::Duration;

use rdts_rdb::ValueKind;

use crate::endpoint::Endpoint;
use crate::filter::Rules;
use crate::net::Deadlines;
use crate::translate::{Losses, OnConflict};

/// The migration that is planned, and how it is to be looked at.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the data is.
    pub from: Endpoint,
    /// Where it goes.
    pub to: Endpoint,
    /// What is wanted of the source, and under which name. Default: all, as it is. A database that an endpoint names is not looked at here: a
    /// rule says it.
    pub rules: Option<Arc<Rules>>,
    /// What to do with keys that the target has. Default: [`OnConflict::Fail`].
    pub on_conflict: OnConflict,
    /// What is to become of what the target cannot hold. Default: it stops the copy, but for modules.
    pub losses: Losses,
    /// How long to wait for what. [`Deadlines::ready`] is not waited: a server that is loading is told of. Default: 5 s to connect, 10 s for a
    /// reply.
    pub deadlines: Deadlines,
    /// Whether the copy is to be resumable, so that checkpoints are kept in the target: it needs permissions for them. Default: no.
    pub checkpoints: bool,
    /// Whether a source that lets nobody replicate it may be read by `SCAN` instead: a warning then, otherwise a failure. Default: yes.
    pub scan: bool,
    /// Connections at a time to each side. Default: 4.
    pub connections: usize,
    /// Keys that are looked at in each primary of the source. Default: 1000; 0 looks at none.
    pub sample_keys: u32,
    /// From how many bytes in memory a key is big. Default: 64 MiB.
    pub big_key: u64,
    /// How many bytes in memory a stream or a value of a module may have at most, which are moved as a whole. Default: 512 MiB, what servers take as
    /// one payload.
    pub largest_value: u64,
    /// Bytes of the source's memory that are copied in a second from each of its shards, for the estimated duration. Default: 50 MiB, about what a
    /// server makes of a snapshot of small keys while it serves others.
    pub rate: u64,
    /// How long the copy may take. Default: 24 hours.
    pub time_limit: Duration,
}

impl Plan {
    /// From `from` to `to`, with the defaults.
    pub fn new(from: Endpoint, to: Endpoint) -> Self {
        Self {
            from,
            to,
            rules: None,
            on_conflict: OnConflict::default(),
            losses: Losses::default(),
            deadlines: Deadlines::default().reply(Duration::from_secs(10)),
            checkpoints: false,
            scan: true,
            connections: 4,
            sample_keys: 1000,
            big_key: 64 << 20,
            largest_value: 512 << 20,
            rate: 50 << 20,
            time_limit: Duration::from_secs(24 * 3600),
        }
    }

    /// Sets [`rules`](Self::rules).
    #[must_use]
    pub fn rules(mut self, rules: Option<Arc<Rules>>) -> Self {
        self.rules = rules;
        self
    }

    /// Sets [`on_conflict`](Self::on_conflict).
    #[must_use]
    pub fn on_conflict(mut self, policy: OnConflict) -> Self {
        self.on_conflict = policy;
        self
    }

    /// Sets [`losses`](Self::losses).
    #[must_use]
    pub fn losses(mut self, losses: Losses) -> Self {
        self.losses = losses;
        self
    }

    /// Sets [`deadlines`](Self::deadlines).
    #[must_use]
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// Sets [`checkpoints`](Self::checkpoints).
    #[must_use]
    pub fn checkpoints(mut self, kept: bool) -> Self {
        self.checkpoints = kept;
        self
    }

    /// Sets [`scan`](Self::scan).
    #[must_use]
    pub fn scan(mut self, allowed: bool) -> Self {
        self.scan = allowed;
        self
    }

    /// Sets [`connections`](Self::connections).
    #[must_use]
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = count;
        self
    }

    /// Sets [`sample_keys`](Self::sample_keys).
    #[must_use]
    pub fn sample_keys(mut self, keys: u32) -> Self {
        self.sample_keys = keys;
        self
    }

    /// Sets [`big_key`](Self::big_key).
    #[must_use]
    pub fn big_key(mut self, bytes: u64) -> Self {
        self.big_key = bytes;
        self
    }

    /// Sets [`largest_value`](Self::largest_value).
    #[must_use]
    pub fn largest_value(mut self, bytes: u64) -> Self {
        self.largest_value = bytes;
        self
    }

    /// Sets [`rate`](Self::rate).
    #[must_use]
    pub fn rate(mut self, bytes: u64) -> Self {
        self.rate = bytes;
        self
    }

    /// Sets [`time_limit`](Self::time_limit).
    #[must_use]
    pub fn time_limit(mut self, time: Duration) -> Self {
        self.time_limit = time;
        self
    }

    /// Where keys of the source's database `db` go; `None` if they are not wanted.
    pub(super) fn map_db(&self, db: u32) -> Option<u32> {
        self.rules.as_ref().map_or(Some(db), |rules| rules.db(db))
    }

    /// Whether a key is wanted whose type `TYPE` names so.
    pub(super) fn wants(&self, db: u32, key: &[u8], value_type: &str) -> bool {
        let Some(rules) = &self.rules else { return true };
        let kind = match value_type {
            "string" => ValueKind::String,
            "list" => ValueKind::List,
            "set" => ValueKind::Set,
            "zset" => ValueKind::ZSet,
            "hash" => ValueKind::Hash,
            "stream" => ValueKind::Stream,
            "array" => ValueKind::Array,
            _ => ValueKind::Module,
        };
        rules.takes(kind) && rules.key(db, key).is_some()
    }
}
