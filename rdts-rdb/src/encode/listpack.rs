//! Making listpacks.

use super::canonical_i64;
use crate::packed::listpack::{END, HEADER};
use crate::version::{Dialect, Version};

/// A listpack that is being made.
pub(super) struct Listpack {
    bytes: Vec<u8>,
    count: usize,
    version: Version,
}

impl Listpack {
    pub(super) fn new(version: Version) -> Self {
        Self { bytes: vec![0; HEADER], count: 0, version }
    }

    pub(super) fn int(&mut self, value: i64) {
        let start = self.bytes.len();
        let le = value.to_le_bytes();
        match value {
            0..128 => self.bytes.push(le[0]),
            -4096..4096 => self.bytes.extend([0xC0 | (le[1] & 0x1F), le[0]]),
            -32_768..32_768 => {
                self.bytes.push(0xF1);
                self.bytes.extend(&le[..2]);
            }
            -8_388_608..8_388_608 => {
                self.bytes.push(0xF2);
                self.bytes.extend(&le[..3]);
            }
            -2_147_483_648..2_147_483_648 => {
                self.bytes.push(0xF3);
                self.bytes.extend(&le[..4]);
            }
            _ => {
                self.bytes.push(0xF4);
                self.bytes.extend(le);
            }
        }
        self.end_element(start);
    }

    /// A string; as an integer if it is the text of one.
    pub(super) fn string(&mut self, s: &[u8]) {
        if let Some(value) = canonical_i64(s) {
            return self.int(value);
        }
        let start = self.bytes.len();
        let len = u32::try_from(s.len()).unwrap_or(u32::MAX).to_le_bytes();
        match s.len() {
            0..64 => self.bytes.push(0x80 | len[0]),
            64..4096 => self.bytes.extend([0xE0 | len[1], len[0]]),
            _ => {
                self.bytes.push(0xF0);
                self.bytes.extend(len);
            }
        }
        self.bytes.extend_from_slice(s);
        self.end_element(start);
    }

    /// Puts the element's length behind it, seven bits a byte, so that it can be read backwards.
    ///
    /// Where the length is just the greatest for a number of bytes, Redis and Valkey up to 9.0 take one more; Valkey from 9.1 on does not, and
    /// each refuses or crashes on the other's form. `VALKEY080` stands for both; the newer is taken.
    fn end_element(&mut self, start: usize) {
        let size = self.bytes.len() - start;
        let long = u32::from(self.version.dialect == Dialect::Redis);
        let limit = |bits: u32| (1usize << bits) - long as usize;
        let len = [7, 14, 21, 28]
            .iter()
            .position(|&bits| size < if bits == 7 { 128 } else { limit(bits) })
            .map_or(5, |i| i + 1);
        for i in (0..len).rev() {
            let seven = u8::try_from(size >> (7 * i) & 0x7F).unwrap_or(0);
            self.bytes.push(if i + 1 == len { seven } else { seven | 0x80 });
        }
        self.count += 1;
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(END);
        let total = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let count = u16::try_from(self.count).unwrap_or(u16::MAX).to_le_bytes();
        self.bytes[..4].copy_from_slice(&total);
        self.bytes[4..6].copy_from_slice(&count);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]
    use super::*;
    use crate::packed::Element;
    use crate::packed::listpack::{element, header};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_made_is_read(ints in prop::collection::vec(any::<i64>(), 0..20), shift in 0u32..63, lens in prop::collection::vec(0usize..20_000, 0..5)) {
            for version in [Version::redis(12), Version::valkey(80)] {
                let mut made = Listpack::new(version);
                for &i in &ints {
                    made.int(i >> shift);
                }
                for &len in lens.iter().chain(&[16_377, 16_378, 16_379]) {
                    made.string(&vec![b'x'; len]);
                }
                let bytes = made.finish();
                let (total, count) = header(&bytes).unwrap();
                prop_assert_eq!(total as usize, bytes.len());
                prop_assert_eq!(count, Some((ints.len() + lens.len() + 3) as u16));
                let mut at = HEADER;
                for &i in &ints {
                    let (found, next) = element(&bytes, at, usize::MAX).unwrap();
                    prop_assert_eq!(found, Element::Int(i >> shift));
                    at = next;
                }
                for &len in lens.iter().chain(&[16_377, 16_378, 16_379]) {
                    let (found, next) = element(&bytes, at, usize::MAX).unwrap();
                    let Element::Bytes { start, end } = found else { panic!() };
                    prop_assert_eq!(end - start, len);
                    at = next;
                }
                prop_assert_eq!(bytes[at], END);
            }
        }
    }
}
