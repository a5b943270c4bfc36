//! The sorted set: members by score.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// A score, ordered; never NaN. −0 equals 0, as in servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Score(pub(super) f64);

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Score {}

/// A member and its score, as ranges give them back.
pub(super) type Scored = (Arc<[u8]>, f64);

/// A sorted set: each member once, with a score, ordered by score and then by member.
///
/// Scores are never NaN. Two sets are equal when they have the same members with equal scores; −0 equals 0, since packed
/// encodings of Redis 7.0 and newer lose that sign.
#[derive(Debug, Clone, Default)]
pub struct SortedSet {
    scores: HashMap<Arc<[u8]>, f64>,
    order: BTreeSet<(Score, Arc<[u8]>)>,
}

impl PartialEq for SortedSet {
    fn eq(&self, other: &Self) -> bool {
        self.scores == other.scores
    }
}

impl SortedSet {
    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// The member's score.
    #[must_use]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Members and scores, from the lowest.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], f64)> + '_ {
        self.order.iter().map(|(score, member)| (&**member, score.0))
    }

    /// Sets a member's score and gives back the old one. An equal score is left as it is, sign of zero included.
    pub(super) fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let Some((shared, old)) = self.scores.get_key_value(member) else {
            let shared: Arc<[u8]> = member.into();
            self.scores.insert(Arc::clone(&shared), score);
            self.order.insert((Score(score), shared));
            return None;
        };
        let (shared, old) = (Arc::clone(shared), *old);
        if old != score {
            self.order.remove(&(Score(old), Arc::clone(&shared)));
            self.order.insert((Score(score), Arc::clone(&shared)));
            self.scores.insert(shared, score);
        }
        Some(old)
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (shared, score) = self.scores.remove_entry(member)?;
        self.order.remove(&(Score(score), shared));
        Some(score)
    }

    pub(super) fn pop(&mut self, highest: bool) -> Option<Scored> {
        let (score, member) = if highest { self.order.pop_last() } else { self.order.pop_first() }?;
        self.scores.remove(&member);
        Some((member, score.0))
    }

    /// All members whose score is at least `from`, or only above it, in order.
    pub(super) fn starting_at(&self, from: Bound<f64>) -> impl Iterator<Item = Scored> + '_ {
        let lowest = match from {
            Bound::Included(score) | Bound::Excluded(score) => Bound::Included((Score(score), Arc::from(&b""[..]))),
            Bound::Unbounded => Bound::Unbounded,
        };
        let skipped = if let Bound::Excluded(score) = from { Some(score) } else { None };
        self.order
            .range((lowest, Bound::Unbounded))
            .skip_while(move |(score, _)| skipped == Some(score.0))
            .map(|(score, member)| (Arc::clone(member), score.0))
    }

    /// Members and scores, from the lowest, to keep.
    pub(super) fn scored(&self) -> impl DoubleEndedIterator<Item = Scored> + '_ {
        self.order.iter().map(|(score, member)| (Arc::clone(member), score.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_order_for_scores_and_members() {
        let mut zset = SortedSet::default();
        for (member, score) in [("b", 1.0), ("a", 1.0), ("z", -1.0), ("c", f64::INFINITY)] {
            assert_eq!(zset.insert(member.as_bytes(), score), None);
        }
        assert_eq!(zset.insert(b"z", 2.0), Some(-1.0));
        let members: Vec<_> = zset.iter().map(|(member, _)| member.to_vec()).collect();
        assert_eq!(members, [b"a", b"b", b"z", b"c"]);
        let above: Vec<_> = zset.starting_at(Bound::Excluded(1.0)).map(|(_, score)| score).collect();
        assert_eq!(above, [2.0, f64::INFINITY]);
    }
}
