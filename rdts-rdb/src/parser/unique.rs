//! The keys that were met, for whoever wants none of them twice.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use crate::error::{ErrorKind, Limit};

/// The keys of all databases so far: 128 bits for each, made with secret keys, so that nobody can make a file in which two have the same.
#[derive(Debug, Default)]
pub(super) struct UniqueKeys {
    seen: HashSet<u128, BuildHasherDefault<LowHalf>>,
    states: [RandomState; 2],
    /// The database that was selected.
    pub(super) db: u64,
}

impl UniqueKeys {
    /// Remembers a key of the selected database; `max` keys at most.
    pub(super) fn add(&mut self, key: &[u8], max: u64) -> Result<(), ErrorKind> {
        let [high, low] = self.states.each_ref().map(|state| u128::from(state.hash_one((self.db, key))));
        if !self.seen.insert(high << 64 | low) {
            return Err(ErrorKind::Duplicate("key in a database"));
        }
        let claimed = self.seen.len() as u64;
        if claimed > max {
            return Err(ErrorKind::LimitExceeded { limit: Limit::UniqueKeys, claimed, max });
        }
        Ok(())
    }
}

/// What is put into the table are hashes already.
#[derive(Debug, Default)]
struct LowHalf(u64);

impl Hasher for LowHalf {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().take(8).fold(0, |n, byte| n << 8 | u64::from(*byte));
    }
}
