//! Comparing two stores.

use std::collections::{BTreeSet, HashMap};

use super::MemoryStore;
use super::database::Entry;

/// How one key differs between two stores: the expected one and the other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The database.
    pub db: u32,
    /// The key.
    pub key: Vec<u8>,
    /// What differs. One key has one difference: the first of these in their order.
    pub kind: DifferenceKind,
}

/// What differs at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// Only the expected store has the key.
    Missing,
    /// Only the other store has the key.
    Extra,
    /// The types differ.
    Type {
        /// The expected type, as [`Value::type_name`](super::Value::type_name) gives it.
        expected: &'static str,
        /// The other type.
        actual: &'static str,
    },
    /// The types agree and the values differ. Scores are compared as numbers, so −0 equals 0; a hash's fields with their
    /// expiries; a stream with its ids, counters and groups; an opaque value byte for byte.
    Value,
    /// The values agree and the keys' expiries differ (milliseconds since the Unix epoch).
    Expiry {
        /// The expected expiry.
        expected: Option<i64>,
        /// The other expiry.
        actual: Option<i64>,
    },
}

impl MemoryStore {
    /// How `other` differs from this store, at most `limit` differences, ordered by database and key. Empty means equal: the same keys in the same
    /// databases, with the same values and expiries. Scripts and function libraries are not compared.
    #[must_use]
    pub fn differences(&self, other: &Self, limit: usize) -> Vec<Difference> {
        let nothing = HashMap::new();
        let mut found = Vec::new();
        let databases: BTreeSet<u32> = self.databases.keys().chain(other.databases.keys()).copied().collect();
        for db in databases {
            let ours = self.databases.get(&db).map_or(&nothing, |database| &database.entries);
            let theirs = other.databases.get(&db).map_or(&nothing, |database| &database.entries);
            let mut here: Vec<(&Vec<u8>, DifferenceKind)> = ours
                .iter()
                .filter_map(|(key, entry)| match theirs.get(key) {
                    None => Some((key, DifferenceKind::Missing)),
                    Some(other) => difference(entry, other).map(|kind| (key, kind)),
                })
                .collect();
            here.extend(theirs.keys().filter(|key| !ours.contains_key(*key)).map(|key| (key, DifferenceKind::Extra)));
            here.sort_unstable_by_key(|(key, _)| *key);
            here.truncate(limit - found.len());
            found.extend(here.into_iter().map(|(key, kind)| Difference { db, key: key.clone(), kind }));
        }
        found
    }
}

fn difference(expected: &Entry, actual: &Entry) -> Option<DifferenceKind> {
    let types = (expected.value.type_name(), actual.value.type_name());
    if types.0 != types.1 {
        Some(DifferenceKind::Type { expected: types.0, actual: types.1 })
    } else if expected.value != actual.value {
        Some(DifferenceKind::Value)
    } else if expected.expires_at != actual.expires_at {
        Some(DifferenceKind::Expiry { expected: expected.expires_at, actual: actual.expires_at })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn store(commands: &[&str]) -> MemoryStore {
        let mut store = MemoryStore::new();
        for command in commands {
            let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
            store.apply(0, &args, 1_000).unwrap();
        }
        store
    }

    #[test]
    fn one_difference_for_each_key_in_order() {
        let expected =
            store(&["SET a 1", "SET b 1", "SET c 1", "RPUSH d 1", "SET e 1 PX 5", "ZADD z 0 m", "HSET h f v"]);
        let other =
            store(&["SET b 2", "SADD c 1", "RPUSH d 1", "SET e 1 PX 6", "SET x 1", "ZADD z -0 m", "HSET h f v"]);
        let kinds: Vec<_> = expected.differences(&other, 10).into_iter().map(|d| (d.key, d.kind)).collect();
        let expiry = DifferenceKind::Expiry { expected: Some(1_005), actual: Some(1_006) };
        assert_eq!(
            kinds,
            [
                (b"a".to_vec(), DifferenceKind::Missing),
                (b"b".to_vec(), DifferenceKind::Value),
                (b"c".to_vec(), DifferenceKind::Type { expected: "string", actual: "set" }),
                (b"e".to_vec(), expiry),
                (b"x".to_vec(), DifferenceKind::Extra),
            ]
        );
        assert_eq!(expected.differences(&other, 2).len(), 2);
        assert_eq!(expected.differences(&expected.clone(), 10), []);
    }

    #[test]
    fn a_field_that_expires_at_another_time_is_another_value() {
        let expected = store(&["HSET h f v", "HPEXPIREAT h 5000 FIELDS 1 f"]);
        let other = store(&["HSET h f v"]);
        assert_eq!(expected.differences(&other, 1)[0].kind, DifferenceKind::Value);
    }
}
