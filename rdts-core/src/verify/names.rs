//! Which key of the source is which of the target.

use std::borrow::Cow;
use std::sync::Arc;

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Rules;

/// Where keys of the source are in the target.
#[derive(Debug, Clone)]
pub(super) struct Mapping(Option<Arc<Rules>>);

impl Mapping {
    /// As the URLs say, or else the rules.
    pub(super) fn new(from: &Endpoint, to: &Endpoint, rules: Option<Arc<Rules>>) -> Result<Self> {
        if rules.is_some() {
            return Ok(Self(rules));
        }
        let has_databases = |side: &Endpoint| matches!(side, Endpoint::Node { .. } | Endpoint::Sentinel { .. });
        let one = match (named_db(from), named_db(to)) {
            (None, None) => return Ok(Self(None)),
            (Some(db), Some(target)) => Rules::one_db(db, target),
            (Some(db), None) if has_databases(to) => Rules::one_db(db, db),
            // Those with slots have no other.
            (Some(db), None) => Rules::one_db(db, 0),
            (None, Some(target)) if !has_databases(from) => Rules::one_db(0, target),
            (None, Some(_)) => {
                let text = "comparing all databases with one is not supported: name the source's database as well, as in redis://host/0";
                return Err(Error::new(ErrorKind::Unsupported, text).at(to));
            }
        };
        Ok(Self(Some(Arc::new(one))))
    }

    /// The target's database for one of the source; `None` if that is not wanted.
    pub(super) fn target_db(&self, db: u32) -> Option<u32> {
        match &self.0 {
            None => Some(db),
            Some(rules) => rules.db(db),
        }
    }

    /// The databases among `all` of the source whose keys are in the target's database `target`.
    pub(super) fn source_dbs(&self, target: u32, all: &[u32]) -> Vec<u32> {
        match &self.0 {
            None => vec![target],
            Some(_) => all.iter().copied().filter(|db| self.target_db(*db) == Some(target)).collect(),
        }
    }

    /// What a key of the source is in the target; `None` if it is not wanted.
    pub(super) fn target<'k>(&self, db: u32, key: &'k [u8]) -> Option<(u32, Cow<'k, [u8]>)> {
        match &self.0 {
            None => Some((db, Cow::Borrowed(key))),
            Some(rules) => Some((rules.db(db)?, rules.key(db, key)?)),
        }
    }

    /// Whether values of this type are wanted.
    pub(super) fn takes(&self, kind: rdts_rdb::ValueKind) -> bool {
        self.0.as_ref().is_none_or(|rules| rules.takes(kind))
    }
}

/// The database that a URL names.
fn named_db(endpoint: &Endpoint) -> Option<u32> {
    match endpoint {
        Endpoint::Node { db, .. } | Endpoint::Sentinel { db, .. } => *db,
        _ => None,
    }
}
