//! Many small strings in one command.

use std::ops::Range;

use rdts_resp::encode;

use super::OnConflict;
use super::snapshot::bulk_at;
use crate::record::{BatchBuilder, Expect, Kind, Mark};

/// Strings that wait to be sent together.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Keys and values as bulk strings.
    pairs: Vec<u8>,
    count: u32,
    first_key: Range<usize>,
    db: u32,
}

/// A server spends about as much on a command as on a key of it: with so many keys the command no longer counts.
const MOST_PAIRS: u32 = 64;
/// Longer values are none of those that the saving is about, and would only be copied once more.
pub(super) const LONGEST_VALUE: usize = 1024;

impl Group {
    /// Whether a string for database `db` has to wait until this group has been sent.
    pub(super) fn is_closed_to(&self, db: u32) -> bool {
        self.count == MOST_PAIRS || (self.count > 0 && self.db != db)
    }

    pub(super) fn push(&mut self, db: u32, key: &[u8], value: &[u8]) {
        let at = bulk_at(&mut self.pairs, key);
        if self.count == 0 {
            (self.first_key, self.db) = (at, db);
        }
        encode::bulk(&mut self.pairs, value);
        self.count += 1;
    }

    /// Sends what waits.
    pub(super) fn send(&mut self, on_conflict: OnConflict, offset: u64, out: &mut BatchBuilder) {
        if self.count == 0 {
            return;
        }
        let (name, expect): (&[u8], _) = match on_conflict {
            OnConflict::Replace => (b"MSET", Expect::Success),
            _ => (b"MSETNX", Expect::Created),
        };
        let arena = out.arena();
        encode::array_header(arena, 1 + 2 * self.count as usize);
        encode::bulk(arena, name);
        let start = arena.len();
        arena.extend_from_slice(&self.pairs);
        let key = start + self.first_key.start..start + self.first_key.end;
        out.commit(Mark::new(self.db, Kind::Snapshot).expect(expect).keys(self.count), Some(key), offset);
        self.pairs.clear();
        self.count = 0;
    }
}
