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
    let (eights, rest) = bytes.as_chunks::<8>();
    let crc = eights.iter().fold(0u16, |crc, bytes| {
        let [first, second] = crc.to_be_bytes();
        let bytes = [bytes[0] ^ first, bytes[1] ^ second, bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]];
        (0..8).fold(0, |crc, at| crc ^ TABLES[7 - at][usize::from(bytes[at])])
    });
    rest.iter().fold(crc, |crc, byte| crc << 8 ^ TABLES[0][usize::from((crc >> 8) as u8 ^ byte)])
}

/// What a byte becomes that is followed by so many zeros: eight look-ups at once need not wait for each other.
static TABLES: [[u16; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte: u16 = 0;
    while byte < 256 {
        let mut crc = byte << 8;
        let mut zeros = 0;
        while zeros < 8 {
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
                bit += 1;
            }
            tables[zeros][byte as usize] = crc;
            zeros += 1;
        }
        byte += 1;
    }
    tables
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_at_once_are_as_one_by_one() {
        let bytes: Vec<u8> = (0..200u32).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        for start in 0..16 {
            for end in start..bytes.len() {
                let by_bits = bytes[start..end].iter().fold(0u16, |crc, byte| {
                    let shift = |crc: u16| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
                    (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| shift(crc))
                });
                assert_eq!(crc16(&bytes[start..end]), by_bits, "{start}..{end}");
            }
        }
    }

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
