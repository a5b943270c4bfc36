//! CRC-64 as Redis uses it ("Jones": reflected, starts at 0), computed in big pieces over input that is consumed in small ones.

use crc_fast::{CrcAlgorithm, Digest};

/// Checksum of `data`, as in the footer of a DUMP payload.
pub(crate) fn checksum(data: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Redis, data)
}

/// How far the digest may run ahead of what was consumed. Large enough for the vector code, small enough to find the bytes in the cache again.
const AHEAD: usize = 16 * 1024;

/// The bit-reversed polynomial 0xad93d23594c935a9.
const POLYNOMIAL: u64 = 0x95AC_9329_AC4B_C9B5;

/// Checksum over everything that the parser has consumed.
///
/// Tokens are far too small to be digested one by one, so the digest covers bytes that the caller has shown but the parser has not consumed
/// yet; they are shown again, so they are counted, not digested twice. Only at the end of the file may there be bytes that do not belong to
/// it: [`Self::finish`] takes them out again, since a CRC can be run backwards.
#[derive(Debug)]
pub(crate) struct Running {
    digest: Digest,
    /// How many unconsumed bytes are in the digest already.
    ahead: usize,
}

impl Running {
    pub(crate) fn new() -> Self {
        Self { digest: Digest::new(CrcAlgorithm::Crc64Redis), ahead: 0 }
    }

    /// The checksum of what was consumed, if all that was shown and is not consumed is in `data`.
    pub(crate) fn so_far(&self, data: &[u8]) -> Option<u64> {
        let ahead = data.get(..self.ahead)?;
        Some(ahead.iter().rev().fold(self.digest.finalize(), |crc, &b| undo(crc, b)))
    }

    /// The first `n` bytes of `data` are consumed.
    #[inline]
    pub(crate) fn consume(&mut self, data: &[u8], n: usize) {
        if n > self.ahead {
            self.extend(data, n);
        }
        self.ahead -= n;
    }

    #[inline(never)]
    fn extend(&mut self, data: &[u8], n: usize) {
        let end = data.len().min(n.max(self.ahead + AHEAD));
        self.digest.update(&data[self.ahead..end]);
        self.ahead = end;
    }

    /// Bytes of the input that must be there to finish after `n` of them.
    pub(crate) fn needed(&self, n: usize) -> usize {
        self.ahead.max(n)
    }

    /// The checksum when the first `n` bytes of `data` are the last ones.
    pub(crate) fn finish(&mut self, data: &[u8], n: usize) -> u64 {
        self.consume(data, n);
        data[n..n + self.ahead].iter().rev().fold(self.digest.finalize(), |crc, &b| undo(crc, b))
    }
}

/// Goes on behind bytes with this checksum.
impl From<u64> for Running {
    fn from(checksum: u64) -> Self {
        // It starts at 0 and is not inverted at the end: the register is the checksum.
        Self { digest: Digest::new_with_init_state(CrcAlgorithm::Crc64Redis, checksum), ahead: 0 }
    }
}

const TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// Which entry of the table has a given top byte: each has a different one, which is what makes a step reversible.
#[expect(clippy::cast_possible_truncation, reason = "the table has 256 entries")]
const BY_TOP: [u8; 256] = {
    let mut index = [0; 256];
    let mut i = 0;
    while i < 256 {
        index[(TABLE[i] >> 56) as usize] = i as u8;
        i += 1;
    }
    index
};

/// The register before it took `byte`.
fn undo(crc: u64, byte: u8) -> u64 {
    let i = BY_TOP[(crc >> 56) as usize];
    (crc ^ TABLE[usize::from(i)]) << 8 | u64::from(i ^ byte)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation)]
    use super::*;

    #[test]
    fn the_known_answer() {
        assert_eq!(checksum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(checksum(b""), 0);
    }

    #[test]
    fn running_ahead_and_back_gives_the_checksum_of_what_was_consumed() {
        let data: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(i) >> 3) as u8).collect();
        for end in [0, 1, 9, 100, 65_535, 65_536, 65_537, 150_000, 200_000] {
            for step in [1, 7, 4096, 70_000] {
                let mut crc = Running::new();
                let mut at = 0;
                while at + step < end {
                    crc.consume(&data[at..], step);
                    at += step;
                }
                assert_eq!(crc.finish(&data[at..], end - at), checksum(&data[..end]), "{end} by {step}");
            }
        }
    }
}
