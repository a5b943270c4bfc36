//! Listpacks: `u32le total, u16le count, elements, 0xFF`; an element is encoding and data, then its own length backwards.

use super::{Element, Stop, bad, bytes, reach, string};

/// Bytes before the first element.
pub(crate) const HEADER: usize = 6;
/// The byte after the last element.
pub(crate) const END: u8 = 0xFF;

/// Total length and number of elements (`None`: not stored).
pub(crate) fn header(window: &[u8]) -> Result<(u32, Option<u16>), Stop> {
    let total = u32::from_le_bytes(bytes(window, 0)?);
    let count = u16::from_le_bytes(bytes(window, 4)?);
    Ok((total, (count != u16::MAX).then_some(count)))
}

/// The element at `at`, and the position behind it. Strings above 63 bytes are held against `max`.
#[inline(always)]
pub(crate) fn element(window: &[u8], at: usize, max: usize) -> Result<(Element, usize), Stop> {
    let Some(&first) = window.get(at) else { return Err(Stop::Short(at + 1)) };
    // The two forms that nearly all elements have, in line: 7-bit integers and strings of up to 63 bytes.
    if first < 0x80 {
        let Some(&back) = window.get(at + 1) else { return Err(Stop::Short(at + 2)) };
        return if back == 1 { Ok((Element::Int(i64::from(first)), at + 2)) } else { bad(BACK) };
    }
    if first < 0xC0 {
        let len = usize::from(first & 0x3F);
        let end = at + 1 + len;
        let Some(&back) = window.get(end) else { return Err(Stop::Short(end + 1)) };
        return if usize::from(back) == len + 1 {
            Ok((Element::Bytes { start: at + 1, end }, end + 1))
        } else {
            bad(BACK)
        };
    }
    long_element(window, at, first, max)
}

const BACK: Stop = Stop::Bad("an element's backward length is wrong");

#[inline(never)]
fn long_element(window: &[u8], at: usize, first: u8, max: usize) -> Result<(Element, usize), Stop> {
    let (element, end) = match first {
        0xC0..0xE0 => {
            let [low] = bytes(window, at + 1)?;
            // 13 bits, two's complement: shifted up so that the sign comes out right.
            let value = i16::from_be_bytes([first << 3 | low >> 5, low << 3]) >> 3;
            (Element::Int(i64::from(value)), at + 2)
        }
        0xE0..0xF0 => {
            let [low] = bytes(window, at + 1)?;
            string(at + 2, usize::from(first & 0x0F) << 8 | usize::from(low), max)?
        }
        0xF0 => string(at + 5, u32::from_le_bytes(bytes(window, at + 1)?) as usize, max)?,
        0xF1 => (Element::Int(i64::from(i16::from_le_bytes(bytes(window, at + 1)?))), at + 3),
        0xF2 => {
            let [a, b, c] = bytes(window, at + 1)?;
            (Element::Int(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)), at + 4)
        }
        0xF3 => (Element::Int(i64::from(i32::from_le_bytes(bytes(window, at + 1)?))), at + 5),
        0xF4 => (Element::Int(i64::from_le_bytes(bytes(window, at + 1)?)), at + 9),
        END => return Err(Stop::End),
        _ => return Err(Stop::Bad("unknown encoding of an element")),
    };
    reach(window, end)?;
    let next = back_length(window, end, end - at)?;
    Ok((element, next))
}

/// Checks the backward length at `at` of an element of `size` bytes.
///
/// Redis, and Valkey up to 9.0, take one byte more than needed when the size is exactly the greatest that fits; Valkey 9.1 does not. Both are read.
fn back_length(window: &[u8], at: usize, size: usize) -> Result<usize, Stop> {
    let mut len = back_len_len(size);
    let [first] = bytes(window, at)?;
    if first == 0 && matches!(size, 16_383 | 2_097_151 | 268_435_455) {
        len += 1;
    }
    let end = at + len;
    reach(window, end)?;
    let mut value = 0usize;
    for (i, &b) in window[at..end].iter().enumerate() {
        if (i > 0) != (b & 0x80 != 0) {
            return Err(BACK);
        }
        value = value << 7 | usize::from(b & 0x7F);
    }
    if value == size { Ok(end) } else { Err(BACK) }
}

/// The least number of bytes for a backward length.
fn back_len_len(size: usize) -> usize {
    match size {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        2_097_152..=268_435_455 => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]
    use super::*;

    fn with_back(mut bytes: Vec<u8>) -> Vec<u8> {
        let n = bytes.len();
        if n <= 127 {
            bytes.push(n as u8);
        } else {
            bytes.extend([(n >> 7) as u8, (n & 127) as u8 | 0x80]);
        }
        bytes
    }

    #[test]
    fn integers_of_every_width() {
        for (encoded, value) in [
            (vec![0x00], 0i64),
            (vec![0x7F], 127),
            (vec![0xC0, 0x80], 128),
            (vec![0xCF, 0xFF], 4095),
            (vec![0xD0, 0x00], -4096),
            (vec![0xDF, 0xFF], -1),
            (vec![0xF1, 0x00, 0x80], -32768),
            (vec![0xF2, 0xFF, 0xFF, 0x7F], 8_388_607),
            (vec![0xF2, 0x00, 0x00, 0x80], -8_388_608),
            (vec![0xF3, 0, 0, 0, 0x80], -2_147_483_648),
            (vec![0xF4, 0, 0, 0, 0, 0, 0, 0, 0x80], i64::MIN),
        ] {
            let w = with_back(encoded);
            assert_eq!(element(&w, 0, usize::MAX).unwrap(), (Element::Int(value), w.len()));
            for cut in 0..w.len() {
                assert!(matches!(element(&w[..cut], 0, usize::MAX), Err(Stop::Short(n)) if n > cut && n <= w.len()));
            }
        }
    }

    #[test]
    fn strings_of_every_width_and_wrong_backward_lengths() {
        for len in [0usize, 1, 63, 64, 4095, 4096] {
            let mut w = match len {
                0..64 => vec![0x80 | len as u8],
                64..4096 => vec![0xE0 | (len >> 8) as u8, len as u8],
                _ => [&[0xF0][..], &(len as u32).to_le_bytes()].concat(),
            };
            let start = w.len();
            w.resize(start + len, b'x');
            let w = with_back(w);
            assert_eq!(element(&w, 0, usize::MAX).unwrap(), (Element::Bytes { start, end: start + len }, w.len()));
            let mut bad = w;
            *bad.last_mut().unwrap() ^= 1;
            assert_eq!(element(&bad, 0, usize::MAX), Err(BACK));
        }
    }

    #[test]
    fn both_forms_of_the_backward_length_at_a_boundary() {
        let size = 16_383;
        let mut w = vec![0xF0];
        w.extend((size as u32 - 5).to_le_bytes());
        w.resize(size, b'q');
        for tail in [&[0x7F, 0xFF][..], &[0x00, 0xFF, 0xFF]] {
            let w = [&w[..], tail].concat();
            assert_eq!(element(&w, 0, usize::MAX).unwrap().1, w.len());
        }
    }
}
