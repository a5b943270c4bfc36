//! Whether two deployments hold the same: by the server's own digest, and key by key.

mod content;
mod hll;
mod shard;
mod side;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::deployment::Deployment;
use crate::{Server, wire};
use content::Entry;
use side::Side;

/// Keys that are read from both sides at a time.
const CHUNK: usize = 1000;

/// One difference between two deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The database.
    pub db: u32,
    /// The key.
    pub key: Vec<u8>,
    /// What about it differs.
    pub kind: DifferenceKind,
    /// The two states, for people.
    pub detail: String,
}

/// What about a key differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// The right side lacks it.
    Missing,
    /// The left side lacks it.
    Extra,
    /// Another type.
    Type,
    /// Another value, or another order of a list.
    Value,
    /// One expires and the other does not, or they do at different times.
    Expiry,
    /// The same of a field of a hash.
    FieldExpiry,
    /// Equal entries of a stream, but another last ID, group, consumer or pending entry.
    StreamState,
    /// On one of the sides it is at two servers.
    Twice,
    /// On one of the sides it is at a node of a cluster that does not have its slot. What that node has of it does not
    /// count.
    Misplaced,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "db {} key {}: {:?}: {}", self.db, wire::show(&self.key), self.kind, self.detail)
    }
}

/// How exactly [`compare_with`] compares.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CompareOptions {
    /// By how much the times may differ at which a key or a field expires, or at which a pending entry of a stream was
    /// delivered. A key or field with less than this to live may be on one side only. Default: 5 s, since before Redis
    /// 7.0 the stream says how long a key has to live, and not until when, so that a replica adds its lag.
    pub time_tolerance: Duration,
    /// Whether to compare what is in a stream's snapshot but not in every server's replication stream: consumers with
    /// nothing pending (no version tells its replicas of those that `XREADGROUP` or `XAUTOCLAIM` makes), and a group's
    /// `entries-read` (7.0 and 7.2 lose it). Only for data that came with a snapshot alone. Default: false.
    pub idle_stream_state: bool,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self { time_tolerance: Duration::from_secs(5), idle_stream_state: false }
    }
}

/// The server's own digest of all its databases (`DEBUG DIGEST`).
///
/// It knows of a TTL only whether there is one, and nothing of a stream's groups; a key that has expired counts until
/// it is removed. Only the digests of servers with [`Version::digests_like`](crate::Version::digests_like) each other
/// can be compared.
///
/// # Panics
/// When the server refuses.
#[track_caller]
#[must_use]
pub fn digest(server: &Server) -> String {
    String::from_utf8(wire::bytes(server.cmd(&["DEBUG", "DIGEST"]))).expect("a digest is hexadecimal")
}

/// All differences between what `left` and `right` hold, in all databases: keys, types, values, expiry of keys and,
/// where all servers know it, of hash fields, and the whole state of streams. Either side may be one server, a cluster
/// or several servers; each of its keys must be in one place. They must be at rest; a slot of a cluster may be open.
///
/// # Panics
/// When a server cannot be read.
#[track_caller]
#[must_use]
pub fn compare<'a>(left: impl Into<Deployment<'a>>, right: impl Into<Deployment<'a>>) -> Vec<Difference> {
    compare_with(left, right, &CompareOptions::default())
}

/// [`compare()`] with settings.
///
/// # Panics
/// When a server cannot be read.
#[track_caller]
#[must_use]
pub fn compare_with<'a>(
    left: impl Into<Deployment<'a>>,
    right: impl Into<Deployment<'a>>,
    options: &CompareOptions,
) -> Vec<Difference> {
    let tolerance = i64::try_from(options.time_tolerance.as_millis()).expect("a tolerance of less than an age");
    let mut left = Side::new(&left.into());
    let mut right = Side::new(&right.into());
    left.agree_on_abilities(&mut right, options.idle_stream_state);
    let mut differences = Vec::new();
    let dbs: BTreeSet<u32> = left.dbs().union(&right.dbs()).copied().collect();
    for db in dbs {
        let (left_wrong, right_wrong) = both(&mut left, &mut right, |side| side.scan(db));
        differences.extend(left_wrong.into_iter().chain(right_wrong));
        let all: BTreeSet<Vec<u8>> = left.keys().chain(right.keys()).cloned().collect();
        let all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        for keys in all.chunks(CHUNK) {
            let (left_entries, right_entries) = both(&mut left, &mut right, |side| side.entries(keys));
            for ((key, left), right) in keys.iter().zip(&left_entries).zip(&right_entries) {
                if let Some((kind, detail)) = Entry::difference(left, right, tolerance) {
                    differences.push(Difference { db, key: key.to_vec(), kind, detail });
                }
            }
        }
    }
    differences
}

/// # Panics
/// When the two differ; the message has the first differences.
#[track_caller]
pub fn assert_same<'a>(left: impl Into<Deployment<'a>>, right: impl Into<Deployment<'a>>) {
    let (left, right) = (left.into(), right.into());
    let differences = compare(left.clone(), right.clone());
    if !differences.is_empty() {
        let shown: Vec<String> = differences.iter().take(20).map(ToString::to_string).collect();
        let (count, left, right) = (differences.len(), left.name(), right.name());
        panic!("{count} differences between {left} and {right}:\n{}", shown.join("\n"));
    }
}

/// The same question to both sides at once.
fn both<T: Send>(left: &mut Side, right: &mut Side, ask: impl Fn(&mut Side) -> T + Sync) -> (T, T) {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| ask(right));
        let answer = ask(left);
        let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (answer, other)
    })
}
