//! Keys by the first parts of their names, however many different ones there are.

use std::collections::HashMap;

use super::report::Tally;

/// Longer prefixes are no help to anybody, and would let a hostile file fill the memory.
const LONGEST: usize = 256;

/// Tallies per prefix, of a bounded number of prefixes.
#[derive(Debug)]
pub(super) struct Prefixes {
    separator: Vec<u8>,
    depth: u32,
    capacity: usize,
    kept: HashMap<Box<[u8]>, Tally>,
    /// What was counted under prefixes that are not kept.
    pub(super) other: Tally,
    /// How many times a prefix was given up.
    pub(super) given_up: u64,
    /// Most bytes and most keys that may have been counted as other for one prefix that is kept.
    pub(super) may_lack: Tally,
}

impl Prefixes {
    pub(super) fn new(separator: &str, depth: u32, capacity: usize) -> Self {
        Self {
            separator: separator.as_bytes().to_vec(),
            depth,
            capacity,
            kept: HashMap::new(),
            other: Tally::default(),
            given_up: 0,
            may_lack: Tally::default(),
        }
    }

    pub(super) fn count(&mut self, key: &[u8], tally: &Tally) {
        let prefix = self.prefix(key);
        if prefix.len() > LONGEST {
            self.other.add(tally);
            return;
        }
        if let Some(sum) = self.kept.get_mut(prefix) {
            sum.add(tally);
            return;
        }
        let prefix = prefix.into();
        if self.kept.len() >= self.capacity {
            self.give_up_half();
        }
        self.kept.insert(prefix, *tally);
    }

    /// The key's first parts with the separator behind them; empty if it has fewer.
    fn prefix<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        let mut end = 0;
        for _ in 0..self.depth {
            match find(&key[end..], &self.separator) {
                Some(at) => end += at + self.separator.len(),
                None => break,
            }
        }
        &key[..end]
    }

    fn give_up_half(&mut self) {
        let mut bytes: Vec<u64> = self.kept.values().map(|tally| tally.bytes).collect();
        let (_, &mut median, _) = bytes.select_nth_unstable(self.capacity / 2);
        // Of many with as many bytes as the median only some may go.
        let mut surplus = self.kept.len() - self.capacity / 2;
        surplus -= self.kept.values().filter(|tally| tally.bytes < median).count().min(surplus);
        let (mut lost, other, given_up) = (Tally::default(), &mut self.other, &mut self.given_up);
        self.kept.retain(|_, tally| {
            let keep = match tally.bytes.cmp(&median) {
                std::cmp::Ordering::Less => false,
                std::cmp::Ordering::Equal if surplus > 0 => {
                    surplus -= 1;
                    false
                }
                _ => true,
            };
            if !keep {
                other.add(tally);
                *given_up += 1;
                lost = lost.greatest(tally);
            }
            keep
        });
        self.may_lack.add(&lost);
    }

    /// The `count` prefixes with the most bytes, and what all the others have together: how many they are, and their
    /// tally.
    pub(super) fn biggest(&self, count: usize) -> (Vec<(Vec<u8>, Tally)>, u64, Tally) {
        let mut all: Vec<_> = self.kept.iter().collect();
        all.sort_unstable_by(|(a, left), (b, right)| right.bytes.cmp(&left.bytes).then_with(|| a.cmp(b)));
        let hidden = all.split_off(count.min(all.len()));
        let mut other = self.other;
        for (_, tally) in &hidden {
            other.add(tally);
        }
        (all.into_iter().map(|(prefix, tally)| (prefix.to_vec(), *tally)).collect(), hidden.len() as u64, other)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    match needle {
        [byte] => haystack.iter().position(|b| b == byte),
        _ => haystack.windows(needle.len()).position(|window| window == needle),
    }
}
