//! Slots of a cluster: which one a key is in, and a text for each that is in it.
//!
//! The rule is that of Redis Cluster and Valkey Cluster, the same in every version. Codis has [another one](codis).

pub mod codis;

use std::sync::OnceLock;

/// How many slots a cluster has.
pub const SLOTS: u16 = 16_384;

/// The slot of a key: CRC16 (XMODEM) of its [hash tag](hash_tag), modulo [`SLOTS`].
///
/// ```
/// use rdts_core::slot::slot;
///
/// assert_eq!(slot(b"123456789"), 12739);
/// assert_eq!(slot(b"{user}:a"), slot(b"user"));
/// assert_eq!(slot(b"{}a"), 10875);
/// ```
pub fn slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) % SLOTS
}

/// The part of a key that decides about its slot: what is between its first `{` and the first `}` after that, or the
/// whole key if there is no such part or it is empty.
pub fn hash_tag(key: &[u8]) -> &[u8] {
    braced(key).filter(|tag| !tag.is_empty()).unwrap_or(key)
}

/// A text of three letters and digits that is in `slot`, for the hash tag of keys that have to be there.
///
/// It is the same text always, also in other processes. `slot` counts modulo [`SLOTS`].
///
/// ```
/// use rdts_core::slot::{slot, tag};
///
/// assert_eq!(slot(format!("{{{}}}:1", tag(4711)).as_bytes()), 4711);
/// ```
pub fn tag(slot: u16) -> &'static str {
    static TAGS: OnceLock<Tags> = OnceLock::new();
    TAGS.get_or_init(|| Tags::new(usize::from(SLOTS), |text| crc16(text) % SLOTS)).of(slot)
}

/// What is between the first `{` and the first `}` after it.
fn braced(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let rest = &key[open + 1..];
    rest.iter().position(|byte| *byte == b'}').map(|close| &rest[..close])
}

/// A text for each slot.
struct Tags(String);

const TAG_LENGTH: usize = 3;

impl Tags {
    fn new(slots: usize, slot: impl Fn(&[u8]) -> u16) -> Self {
        const LETTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mut texts = vec![[0; TAG_LENGTH]; slots];
        let mut missing = slots;
        // Digits and small letters first. All 238,328 texts reach every slot; for a cluster about 80,000 are looked at.
        let mut digits = [0; TAG_LENGTH];
        while missing > 0 && digits[0] < LETTERS.len() {
            let text = digits.map(|digit| LETTERS[digit]);
            let place = &mut texts[usize::from(slot(&text))];
            if place[0] == 0 {
                *place = text;
                missing -= 1;
            }
            for at in (0..TAG_LENGTH).rev() {
                digits[at] += 1;
                if digits[at] < LETTERS.len() || at == 0 {
                    break;
                }
                digits[at] = 0;
            }
        }
        Self(texts.as_flattened().iter().map(|byte| char::from(*byte)).collect())
    }

    fn of(&self, slot: u16) -> &str {
        let at = usize::from(slot) * TAG_LENGTH % self.0.len();
        &self.0[at..at + TAG_LENGTH]
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| crc << 8 ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte: u16 = 0;
    while byte < 256 {
        let mut crc = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
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
    fn slots_are_those_of_real_servers() {
        // As CLUSTER KEYSLOT answers; the integration tests ask servers for many more.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        let known: [(&str, u16); 4] = [("{}a", 10875), ("foo{}{bar}", 8363), ("foo", 12182), ("", 0)];
        for (key, expected) in known {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn hash_tags_are_what_is_in_the_first_braces() {
        let known = [
            ("{a}b", "a"),
            ("x{a}{b}", "a"),
            ("{{a}}b", "{a"),
            ("}{a}", "a"),
            ("{}{a}", "{}{a}"),
            ("{a", "{a"),
            ("a}", "a}"),
            ("", ""),
        ];
        for (key, expected) in known {
            assert_eq!(hash_tag(key.as_bytes()), expected.as_bytes(), "{key}");
        }
    }

    #[test]
    fn every_slot_has_a_tag_of_its_own() {
        for expected in 0..SLOTS {
            let tag = tag(expected);
            assert!(tag.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{tag:?}");
            assert_eq!(slot(format!("rdts:{{{tag}}}:7").as_bytes()), expected);
        }
        assert_eq!(tag(SLOTS), tag(0));
    }
}
