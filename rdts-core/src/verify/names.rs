//! Which key of the source is which of the target.

use std::borrow::Cow;

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};

/// Where keys of the source are in the target.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    /// The one database that is taken, and which it is in the target.
    only: Option<(u32, u32)>,
}

impl Mapping {
    pub(super) fn new(from: &Endpoint, to: &Endpoint) -> Result<Self> {
        let only = match (named_db(from), named_db(to)) {
            (None, None) => None,
            (Some(db), Some(target)) => Some((db, target)),
            // Those with slots have no other.
            (Some(db), None) if matches!(to, Endpoint::Node { .. } | Endpoint::Sentinel { .. }) => Some((db, db)),
            (Some(db), None) => Some((db, 0)),
            (None, Some(target)) if !matches!(from, Endpoint::Node { .. } | Endpoint::Sentinel { .. }) => {
                Some((0, target))
            }
            (None, Some(_)) => {
                let text = "comparing all databases with one is not supported: name the source's database as well, as in redis://host/0";
                return Err(Error::new(ErrorKind::Unsupported, text).at(to));
            }
        };
        Ok(Self { only })
    }

    /// The target's database for one of the source; `None` if that is not wanted.
    pub(super) fn target_db(&self, db: u32) -> Option<u32> {
        match self.only {
            None => Some(db),
            Some((only, target)) => (only == db).then_some(target),
        }
    }

    /// The source's database for one of the target; `None` if nothing of the source is there.
    pub(super) fn source_db(&self, db: u32) -> Option<u32> {
        match self.only {
            None => Some(db),
            Some((only, target)) => (target == db).then_some(only),
        }
    }

    /// What a key of the source is in the target; `None` if it is not wanted.
    pub(super) fn target<'k>(&self, db: u32, key: &'k [u8]) -> Option<(u32, Cow<'k, [u8]>)> {
        Some((self.target_db(db)?, Cow::Borrowed(key)))
    }
}

/// The database that a URL names.
fn named_db(endpoint: &Endpoint) -> Option<u32> {
    match endpoint {
        Endpoint::Node { db, .. } | Endpoint::Sentinel { db, .. } => *db,
        _ => None,
    }
}
