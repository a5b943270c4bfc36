//! What a command's handler works on.

use super::MemoryStore;
use super::database::Database;

/// The store, the database that the command is for, and the time.
#[derive(Debug)]
pub(super) struct Context<'s> {
    pub(super) store: &'s mut MemoryStore,
    pub(super) index: u32,
    /// Milliseconds since the Unix epoch; relative expiries count from here.
    pub(super) now: i64,
}

impl Context<'_> {
    /// The database that the command is for.
    pub(super) fn db(&mut self) -> &mut Database {
        self.database(self.index)
    }

    pub(super) fn database(&mut self, index: u32) -> &mut Database {
        self.store.databases.entry(index).or_default()
    }
}
