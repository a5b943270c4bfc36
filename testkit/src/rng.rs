//! Random numbers that are the same in every run from the same seed.

/// A splitmix64 generator: small, fast, and good enough to spread tests over their cases.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The numbers that belong to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    #[allow(clippy::should_implement_trait)] // There is no end to it.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of them.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = usize::try_from(self.below(from.len() as u64)).expect("below a length");
        &from[index]
    }

    /// Bytes of all 256 kinds.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Bytes that LZF can shorten.
    pub fn repetitive(&mut self, length: usize) -> Vec<u8> {
        let word = self.bytes(11);
        word.iter().copied().cycle().take(length).collect()
    }

    /// A value as applications have them: mostly short; numbers, empty and binary ones, now and then a long one.
    pub fn value(&mut self) -> Vec<u8> {
        match self.below(64) {
            0..=2 => Vec::new(),
            3..=12 => self.integer().into_bytes(),
            13..=22 => format!("value-{}", self.next()).into_bytes(),
            23 => {
                let length = self.length(1_000, 20_000);
                self.repetitive(length)
            }
            24 => {
                let length = self.length(1_000, 20_000);
                self.bytes(length)
            }
            _ => {
                let length = self.length(1, 80);
                self.bytes(length)
            }
        }
    }

    /// An integer near one of the places where encodings change.
    pub fn integer(&mut self) -> String {
        let edges = [0, 12, 127, 4095, 32_767, 8_388_607, 2_147_483_647, i64::MAX - 9];
        let edge = *self.pick(&edges) + i64::try_from(self.below(9)).expect("below 9");
        if self.one_in(2) { format!("-{edge}") } else { edge.to_string() }
    }

    /// A length from `low` to `high`, both included.
    pub fn length(&mut self, low: u64, high: u64) -> usize {
        usize::try_from(self.between(low, high)).expect("a length that was asked for")
    }
}
