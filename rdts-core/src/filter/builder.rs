//! Putting rules together.

use std::collections::{BTreeMap, BTreeSet};

use super::Rules;
use crate::error::Result;

/// Puts [`Rules`] together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RulesBuilder {
    /// Empty: all.
    pub(super) only_dbs: BTreeSet<u32>,
    pub(super) without_dbs: BTreeSet<u32>,
    pub(super) db_map: BTreeMap<u32, u32>,
}

impl RulesBuilder {
    /// Takes this database of the source, and others only if they are named, too.
    #[must_use]
    pub fn only_db(mut self, db: u32) -> Self {
        self.only_dbs.insert(db);
        self
    }

    /// Leaves this database of the source out.
    #[must_use]
    pub fn without_db(mut self, db: u32) -> Self {
        self.without_dbs.insert(db);
        self
    }

    /// Puts the keys of the source's database `source` into the target's database `target`; the others keep their number.
    #[must_use]
    pub fn map_db(mut self, source: u32, target: u32) -> Self {
        self.db_map.insert(source, target);
        self
    }

    /// The rules.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) if they contradict each other.
    pub fn build(self) -> Result<Rules> {
        Rules::new(self)
    }
}
