//! Names of keys, many in one piece of memory.

use std::ops::Range;

/// Some keys of one database. An owned `Vec` for each would cost more than all that is done with them.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        // What one page or one chunk holds is far from 4 GiB: a key has at most 512 MiB and replies are limited.
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    fn range(&self, index: usize) -> Range<usize> {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        start..self.ends[index] as usize
    }

    pub(super) fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.range(index)]
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// A key as `redis-cli` prints it, bounded, for a message.
pub(super) fn shown(db: u32, key: &[u8]) -> String {
    format!("key \"{}\" of db {db}", key[..key.len().min(128)].escape_ascii())
}

/// Whether a key is one that RDTS itself keeps in a target: checkpoints, values that are being built, names for a moment.
pub(super) fn is_own(key: &[u8]) -> bool {
    const OWN: [&[u8]; 4] = [crate::checkpoint::KEY_PREFIX.as_bytes(), b"rdts:partial:{", b"rdts:tmp:", b"rdts:probe:"];
    key.starts_with(b"rdts:") && OWN.iter().any(|prefix| key.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_they_were_put_in() {
        let mut keys = Keys::default();
        for key in ["a", "", "bcd"] {
            keys.push(key.as_bytes());
        }
        assert_eq!(keys.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"bcd"]);
        assert!(is_own(b"rdts:checkpoint:t/0") && is_own(b"rdts:tmp:{x}") && !is_own(b"rdts:x") && !is_own(b"a"));
    }
}
