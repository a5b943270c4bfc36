//! Slots of Codis: another checksum, another number, and a hash tag that may be empty.

use std::sync::OnceLock;

use super::{Tags, braced};

/// How many slots Codis has.
pub const SLOTS: u16 = 1024;

/// The slot of a key: CRC32 (IEEE, as in zlib) of its [hash tag](hash_tag), modulo [`SLOTS`].
///
/// ```
/// use rdts_core::slot::codis::slot;
///
/// assert_eq!(slot(b"foo"), 289);
/// assert_eq!(slot(b"a{}b"), 0);
/// ```
pub fn slot(key: &[u8]) -> u16 {
    // 1024 is a power of two: the last two bytes are enough.
    let [low, high, ..] = crc32(hash_tag(key)).to_le_bytes();
    u16::from_le_bytes([low, high]) % SLOTS
}

/// The part of a key that decides about its slot: what is between its first `{` and the first `}` after that, even if
/// it is empty, which differs from a [cluster](super::hash_tag); the whole key without such braces.
pub fn hash_tag(key: &[u8]) -> &[u8] {
    braced(key).unwrap_or(key)
}

/// A text of three letters and digits that is in `slot`, as [`slot::tag`](super::tag) has for a cluster. `slot` counts
/// modulo [`SLOTS`].
pub fn tag(slot: u16) -> &'static str {
    static TAGS: OnceLock<Tags> = OnceLock::new();
    TAGS.get_or_init(|| Tags::new(usize::from(SLOTS), self::slot)).of(slot)
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| crc >> 8 ^ TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)])
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte: u32 = 0;
    while byte < 256 {
        let mut crc = byte;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_a_real_codis() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let known: [(&[u8], u16); 5] = [(b"foo", 289), (b"", 0), (&[0xff, 0], 909), (b"a{}b", 0), (b"{}", 0)];
        for (key, expected) in known {
            assert_eq!(slot(key), expected, "{}", key.escape_ascii());
        }
        assert_eq!(slot(b"}{foo}"), 289);
        assert_eq!(slot(b"{{foo}}"), slot(b"{foo"));
    }

    #[test]
    fn every_slot_has_a_tag_of_its_own() {
        for expected in 0..SLOTS {
            assert_eq!(slot(format!("{{{}}}", tag(expected)).as_bytes()), expected);
        }
    }
}
