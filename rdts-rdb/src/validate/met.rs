//! Noticing that something occurs twice: keyed hashes of what was met.

use std::hash::{BuildHasher, RandomState};

/// Hashes strings with a key that nobody outside knows, to 64 bits.
///
/// The standard library's keyed hash took a quarter of the time of validation. This one multiplies 64 bits by 64 and folds the product's halves,
/// two words at a time. It is weaker against those who can watch many results; nobody can watch any here, and whoever made two names
/// collide would only have their own value refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key([u64; 4]);

impl Default for Key {
    fn default() -> Self {
        let random = RandomState::new();
        Self([0u8, 1, 2, 3].map(|i| random.hash_one(i)))
    }
}

impl Key {
    #[inline]
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        let [a, b, c, d] = self.0;
        let mut state = a;
        let mut rest = bytes;
        while rest.len() > 16
            && let Some((block, more)) = rest.split_first_chunk::<16>()
        {
            let (low, high) = halves(block);
            state = fold(low ^ b, high ^ state);
            rest = more;
        }
        // The last 16 bytes, of which some may have been in the block before; or, of less, words that overlap.
        let (low, high) = if let Some(block) = bytes.last_chunk::<16>() {
            halves(block)
        } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
        } else if let [first, .., last] = *bytes {
            (u64::from(first) << 8 | u64::from(bytes[bytes.len() / 2]), u64::from(last))
        } else {
            (bytes.first().map_or(0, |&byte| u64::from(byte)), 0)
        };
        // The length goes where no bytes go: beside them it could make up for a difference.
        fold(fold(low ^ c, high ^ state), d ^ bytes.len() as u64)
    }
}

fn halves(block: &[u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(*block);
    #[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
    let halves = (both as u64, (both >> 64) as u64);
    halves
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
    let folded = product as u64 ^ (product >> 64) as u64;
    folded
}

/// Which hashes were met. That two different names among the most that are compared (65,536 unless the limits say otherwise) have the same
/// hash is less likely than 1 in 10^9.
#[derive(Debug, Default)]
pub(super) struct Met {
    hashes: Vec<u64>,
    /// A bit for each value of a hash's first 16 bits. Values are mostly small, so mostly no bit is set twice and nothing needs to be sorted.
    bits: Vec<u64>,
    suspect: bool,
}

/// Words of [`Met::bits`].
const WORDS: usize = (1 << 16) / 64;

impl Met {
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    #[inline]
    pub(super) fn add(&mut self, hash: u64) {
        if self.bits.is_empty() {
            self.bits.resize(WORDS, 0);
        }
        let (word, bit) = place(hash);
        let before = self.bits[word];
        self.bits[word] = before | bit;
        self.suspect |= before & bit != 0;
        self.hashes.push(hash);
    }

    /// Whether one of them was met twice.
    pub(super) fn any_twice(&mut self) -> bool {
        if !self.suspect {
            return false;
        }
        self.hashes.sort_unstable();
        self.hashes.windows(2).any(|pair| pair[0] == pair[1])
    }

    pub(super) fn clear(&mut self) {
        if self.hashes.len() > WORDS / 8 {
            self.bits.fill(0);
        } else {
            for &hash in &self.hashes {
                self.bits[place(hash).0] = 0;
            }
        }
        self.hashes.clear();
        self.suspect = false;
    }
}

/// Word and bit of a hash.
#[inline(always)]
fn place(hash: u64) -> (usize, u64) {
    ((hash >> 54) as usize, 1 << (hash >> 48 & 63))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_that_differ_little_have_different_hashes() {
        let key = Key::default();
        let mut hashes = HashSet::new();
        let mut names = HashSet::new();
        for i in 0..50_000u32 {
            for name in [
                i.to_string(),
                format!("field:{i:08}"),
                format!("{i:x}:a longer name, of more than two blocks, that ends alike"),
                format!("a longer name, of more than two blocks, that begins alike:{i}"),
                "x".repeat(i as usize % 200),
                "\0".repeat(i as usize % 200),
            ] {
                hashes.insert(key.hash(name.as_bytes()));
                names.insert(name);
            }
        }
        assert_eq!(hashes.len(), names.len());
    }

    #[test]
    fn every_bit_of_a_name_changes_about_half_of_the_hash() {
        for len in [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100] {
            let mut changed = 0;
            let rounds = 64;
            for _ in 0..rounds {
                let key = Key::default();
                let mut name = vec![b'n'; len];
                let hash = key.hash(&name);
                for bit in 0..len * 8 {
                    name[bit / 8] ^= 1 << (bit % 8);
                    let difference = (key.hash(&name) ^ hash).count_ones();
                    assert_ne!(difference, 0, "bit {bit} of {len} bytes");
                    changed += difference as usize;
                    name[bit / 8] ^= 1 << (bit % 8);
                }
            }
            let mean = changed / (rounds * len * 8);
            assert!((28..=36).contains(&mean), "{mean} of 64 bits change, {len} bytes");
        }
    }

    #[test]
    fn what_is_met_twice_is_noticed_and_forgotten() {
        let mut met = Met::default();
        for n in [1u64, 2, 60, 200, 5000] {
            for i in 0..n {
                met.add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            }
            assert!(!met.any_twice(), "{n} different ones");
            met.add(0);
            assert!(met.any_twice(), "one of {n} twice");
            met.clear();
            assert_eq!(met.len(), 0);
            assert!(met.bits.iter().all(|&word| word == 0));
        }
    }
}
