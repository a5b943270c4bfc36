//! Reading one of the two sides that are compared, over all its servers.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{Content, Entry};
use super::shard::Shard;
use super::{Difference, DifferenceKind};
use crate::deployment::Deployment;

pub(super) struct Side {
    shards: Vec<Shard>,
    /// Which server has which key of the database that is being compared.
    keys: BTreeMap<Vec<u8>, usize>,
}

impl Side {
    pub(super) fn new(deployment: &Deployment<'_>) -> Self {
        let parts = deployment.parts().into_iter();
        Self { shards: parts.map(|(server, slots)| Shard::new(server, slots)).collect(), keys: BTreeMap::new() }
    }

    /// Only what all servers of both sides know can be compared.
    pub(super) fn agree_on_abilities(&mut self, other: &mut Self, idle_stream_state: bool) {
        let all = || self.shards.iter().chain(&other.shards);
        let field_expiry = all().all(Shard::knows_field_expiry) && all().any(Shard::has_field_expiry);
        let newer = all().all(Shard::knows_newer_stream_state);
        for shard in self.shards.iter_mut().chain(&mut other.shards) {
            shard.limit_to(field_expiry, newer, idle_stream_state);
        }
    }

    pub(super) fn dbs(&self) -> BTreeSet<u32> {
        self.shards.iter().flat_map(Shard::dbs).collect()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.keys.keys()
    }

    /// Finds all keys of a database, and those that are where they must not be.
    pub(super) fn scan(&mut self, db: u32) -> Vec<Difference> {
        self.keys.clear();
        let mut wrong = Vec::new();
        for number in 0..self.shards.len() {
            for key in self.shards[number].scan(db) {
                let mut report = |kind, detail| wrong.push(Difference { db, key: key.clone(), kind, detail });
                let here = self.shards[number].address();
                if !self.shards[number].may_hold(&key) {
                    report(DifferenceKind::Misplaced, format!("at {here}, which does not have its slot"));
                } else if let Some(other) = self.keys.get(&key) {
                    report(DifferenceKind::Twice, format!("at {here} and at {}", self.shards[*other].address()));
                } else {
                    self.keys.insert(key, number);
                }
            }
        }
        wrong
    }

    /// The states of `keys` in the database that was scanned last.
    pub(super) fn entries(&mut self, keys: &[&[u8]]) -> Vec<Entry> {
        let none = || Entry { kind: "none".to_owned(), expires: None, ttl: None, content: Content::None };
        let mut entries: Vec<Entry> = keys.iter().map(|_| none()).collect();
        for (number, shard) in self.shards.iter_mut().enumerate() {
            let places: Vec<usize> =
                (0..keys.len()).filter(|place| self.keys.get(keys[*place]) == Some(&number)).collect();
            let own: Vec<&[u8]> = places.iter().map(|place| keys[*place]).collect();
            for (place, entry) in places.into_iter().zip(shard.entries(&own)) {
                entries[place] = entry;
            }
        }
        entries
    }
}
