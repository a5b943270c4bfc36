//! The rules themselves.

use std::borrow::Cow;

use rdts_rdb::ValueKind;

use super::RulesBuilder;
use crate::error::Result;

/// What is wanted of a source, and under which name it goes to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub(super) spec: RulesBuilder,
}

impl Rules {
    /// Rules that take everything as it is, until they are told otherwise.
    pub fn builder() -> RulesBuilder {
        RulesBuilder::default()
    }

    pub(super) fn new(spec: RulesBuilder) -> Result<Self> {
        Ok(Self { spec })
    }

    /// Only the source's database `source`, whose keys go into the target's database `target`.
    pub fn one_db(source: u32, target: u32) -> Self {
        Self { spec: Self::builder().only_db(source).map_db(source, target) }
    }

    /// The target's database for keys of the source's database `db`; `None` if they are not wanted.
    pub fn db(&self, db: u32) -> Option<u32> {
        let spec = &self.spec;
        let wanted = (spec.only_dbs.is_empty() || spec.only_dbs.contains(&db)) && !spec.without_dbs.contains(&db);
        wanted.then(|| spec.db_map.get(&db).copied().unwrap_or(db))
    }

    /// The only databases that are wanted, if not all but some.
    pub(crate) fn only_dbs(&self) -> Option<Vec<u32>> {
        let spec = &self.spec;
        let only = || spec.only_dbs.difference(&spec.without_dbs).copied().collect();
        (!spec.only_dbs.is_empty()).then(only)
    }

    /// Where goes what belongs to no database.
    pub(crate) fn home(&self) -> u32 {
        let only = self.spec.only_dbs.iter().find_map(|db| self.db(*db));
        only.or_else(|| self.db(0)).unwrap_or_default()
    }

    /// The name in the target of a key of the source's database `db`; `None` if it is not wanted.
    pub fn key<'k>(&self, db: u32, key: &'k [u8]) -> Option<Cow<'k, [u8]>> {
        self.db(db).map(|_| Cow::Borrowed(key))
    }

    /// Whether values of this type are wanted.
    pub fn takes(&self, _kind: ValueKind) -> bool {
        true
    }
}
