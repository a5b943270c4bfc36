//! A keyspace in memory that replays a replication stream.
//!
//! [`MemoryStore::apply`] executes the write commands that Redis (2.8 to 8) and Valkey (8, 9) put in a replication stream, and those that RDTS
//! sends itself, as a replica would: it never expires keys or fields on its own, because the source deletes them with commands of their own, and
//! never drops anything silently. What it cannot replay exactly is refused with [`CommandErrorKind::Unsupported`].
//!
//! ```
//! use rdts_sink::memory::{MemoryStore, Value};
//!
//! let mut store = MemoryStore::new();
//! store.apply(0, &[b"SET", b"greeting", b"hello", b"PX", b"1000"], 5_000)?;
//! let entry = store.get(0, b"greeting").expect("just set");
//! assert_eq!(entry.value, Value::String(b"hello".to_vec()));
//! assert_eq!(entry.expires_at, Some(6_000));
//! # Ok::<(), rdts_sink::memory::CommandError>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};

use context::Context;
use database::Database;

mod args;
mod bits;
mod context;
mod database;
mod differences;
mod dispatch;
mod error;
mod expire;
mod geo;
mod hash;
mod hash_expire;
mod hll_commands;
mod hyperloglog;
mod keys;
mod list;
mod long_double;
mod number;
mod reply;
mod restore;
mod script;
mod set;
mod sort;
mod stream;
mod stream_commands;
mod stream_groups;
mod string;
mod value;
mod zset;
mod zset_commands;
mod zset_range;
mod zset_store;

pub use database::Entry;
pub use differences::{Difference, DifferenceKind};
pub use error::{CommandError, CommandErrorKind};
pub use reply::Reply;
pub use stream::{ConsumerGroup, PendingEntry, Stream, StreamId};
pub use value::{Hash, HashField, List, Opaque, Set, Value};
pub use zset::SortedSet;

/// Databases of keys, cached scripts and function libraries. See the [module](self) for what it is for.
///
/// It holds everything in memory, without a limit of its own on keys or databases; one string is at most 512 MiB, as on a server.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    databases: BTreeMap<u32, Database>,
    scripts: BTreeSet<Vec<u8>>,
    libraries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one command, name first, to database `db`.
    ///
    /// `now_ms` is the time in milliseconds since the Unix epoch that relative expiries count from: for a live stream, when the command was
    /// received. Blocking commands do not block. `SELECT`, `MULTI` and `EXEC` are the caller's to keep: `&mut self` makes any run of commands
    /// atomic already.
    ///
    /// # Errors
    ///
    /// What a server would answer (`WRONGTYPE …`, `ERR …`), or [`CommandErrorKind::Unsupported`] for a command that cannot be replayed
    /// exactly. A command that fails changes nothing, except a `ZADD` of several members that meets a NaN: servers keep those before it.
    pub fn apply(&mut self, db: u32, command: &[&[u8]], now_ms: i64) -> Result<Reply, CommandError> {
        let mut context = Context { store: self, index: db, now: now_ms };
        dispatch::apply(&mut context, command)
    }

    /// A key's value and expiry. Keys past their expiry are still there, see [`Entry::is_expired`].
    #[must_use]
    pub fn get(&self, db: u32, key: &[u8]) -> Option<&Entry> {
        self.databases.get(&db)?.entry(key)
    }

    /// The databases that hold keys, in ascending order.
    pub fn databases(&self) -> impl Iterator<Item = u32> + '_ {
        self.databases.iter().filter(|(_, database)| !database.entries.is_empty()).map(|(db, _)| *db)
    }

    /// The keys of one database, in no order.
    pub fn entries(&self, db: u32) -> impl Iterator<Item = (&[u8], &Entry)> + '_ {
        let entries = self.databases.get(&db).into_iter().flat_map(|database| &database.entries);
        entries.map(|(key, entry)| (key.as_slice(), entry))
    }

    /// The number of keys in all databases.
    #[must_use]
    pub fn len(&self) -> usize {
        self.databases.values().map(|database| database.entries.len()).sum()
    }

    /// Whether no database holds a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.databases.values().all(|database| database.entries.is_empty())
    }

    /// Drops the keys and hash fields whose expiry has passed at `now_ms`, and says how many keys went. For a store that no source keeps
    /// up to date any more; while a stream is applied the source does this.
    pub fn remove_expired(&mut self, now_ms: i64) -> usize {
        let before = self.len();
        for database in self.databases.values_mut() {
            database.entries.retain(|_, entry| {
                if let Value::Hash(hash) = &mut entry.value {
                    hash.retain(|_, field| field.expires_at.is_none_or(|at| at > now_ms));
                    return !hash.is_empty() && !entry.is_expired(now_ms);
                }
                !entry.is_expired(now_ms)
            });
        }
        before - self.len()
    }

    /// The bodies of the scripts that `SCRIPT LOAD` brought.
    pub fn scripts(&self) -> impl Iterator<Item = &[u8]> + '_ {
        self.scripts.iter().map(Vec::as_slice)
    }

    /// The function libraries: name and code.
    pub fn libraries(&self) -> impl Iterator<Item = (&[u8], &[u8])> + '_ {
        self.libraries.iter().map(|(name, code)| (name.as_slice(), code.as_slice()))
    }
}
