//! Sets of keys in few bytes.

use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// Stands for a key of a database: 128 bits. Two of a thousand million keys have the same one with a probability of
/// about 10^-21.
pub(crate) type KeyId = [u64; 2];

/// Makes [`KeyId`]s, different ones in each process, so that nobody can make a file with two keys of one id.
#[derive(Default)]
pub(crate) struct KeyIds([RandomState; 2]);

impl KeyIds {
    pub(crate) fn of(&self, db: u64, key: &[u8]) -> KeyId {
        self.0.each_ref().map(|state| state.hash_one((db, key)))
    }
}

/// For tables of [`KeyId`]s, which need no hashing once more.
pub(crate) type AsItIs = BuildHasherDefault<LastWord>;

/// Takes the last word as the hash.
#[derive(Default)]
pub(crate) struct LastWord(u64);

impl Hasher for LastWord {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.rchunks(8).take(1) {
            self.0 = word.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    fn write_usize(&mut self, _length: usize) {}
}
