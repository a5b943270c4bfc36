//! Ziplists: `u32le bytes, u32le tail, u16le count, entries, 0xFF`; an entry is the length of the one before, encoding and data.

use super::{Element, Stop, bad, bytes, reach, string};

/// Bytes before the first entry.
pub(crate) const HEADER: usize = 10;
/// The byte after the last entry.
pub(crate) const END: u8 = 0xFF;

/// What stands at the beginning.
pub(crate) struct Header {
    pub(crate) total: u32,
    /// Position of the last entry, or of the end if there is none.
    pub(crate) tail: u32,
    /// `None`: not stored.
    pub(crate) count: Option<u16>,
}

pub(crate) fn header(window: &[u8]) -> Result<Header, Stop> {
    let total = u32::from_le_bytes(bytes(window, 0)?);
    let tail = u32::from_le_bytes(bytes(window, 4)?);
    let count = u16::from_le_bytes(bytes(window, 8)?);
    Ok(Header { total, tail, count: (count != u16::MAX).then_some(count) })
}

/// The entry at `at`, and the position behind it. `previous` is the length of the entry before.
#[inline(always)]
pub(crate) fn element(window: &[u8], at: usize, previous: usize, max: usize) -> Result<(Element, usize), Stop> {
    let [first] = bytes(window, at)?;
    let (stated, at) = match first {
        0..254 => (usize::from(first), at + 1),
        254 => (u32::from_le_bytes(bytes(window, at + 1)?) as usize, at + 5),
        END => return Err(Stop::End),
    };
    if stated != previous {
        return bad(Stop::Bad("an entry misstates the length of the one before"));
    }
    let [code] = bytes(window, at)?;
    let (element, end) = match code {
        0..0x40 => string(at + 1, usize::from(code), max)?,
        0x40..0x80 => {
            let [low] = bytes(window, at + 1)?;
            string(at + 2, usize::from(code & 0x3F) << 8 | usize::from(low), max)?
        }
        0x80 => string(at + 5, u32::from_be_bytes(bytes(window, at + 1)?) as usize, max)?,
        0xC0 => (Element::Int(i64::from(i16::from_le_bytes(bytes(window, at + 1)?))), at + 3),
        0xD0 => (Element::Int(i64::from(i32::from_le_bytes(bytes(window, at + 1)?))), at + 5),
        0xE0 => (Element::Int(i64::from_le_bytes(bytes(window, at + 1)?)), at + 9),
        0xF0 => {
            let [a, b, c] = bytes(window, at + 1)?;
            (Element::Int(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)), at + 4)
        }
        0xFE => (Element::Int(i64::from(i8::from_le_bytes(bytes(window, at + 1)?))), at + 2),
        0xF1..=0xFD => (Element::Int(i64::from(code & 0x0F) - 1), at + 1),
        _ => return bad(Stop::Bad("unknown encoding of an entry")),
    };
    reach(window, end)?;
    Ok((element, end))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn integers_of_every_width() {
        for (encoded, value) in [
            (vec![0, 0xF1], 0i64),
            (vec![0, 0xFD], 12),
            (vec![0, 0xFE, 0xFB], -5),
            (vec![0, 0xC0, 0x00, 0x80], -32768),
            (vec![0, 0xF0, 0x01, 0x00, 0x80], -8_388_607),
            (vec![0, 0xD0, 0, 0, 0, 0x80], -2_147_483_648),
            (vec![0, 0xE0, 0, 0, 0, 0, 0, 0, 0, 0x80], i64::MIN),
            (vec![254, 0, 0, 0, 0, 0xF2], 1),
        ] {
            assert_eq!(element(&encoded, 0, 0, usize::MAX).unwrap(), (Element::Int(value), encoded.len()));
            for cut in 0..encoded.len() {
                assert!(
                    matches!(element(&encoded[..cut], 0, 0, usize::MAX), Err(Stop::Short(n)) if n > cut && n <= encoded.len())
                );
            }
        }
    }

    #[test]
    fn string_lengths_are_big_endian_and_the_previous_length_is_checked() {
        assert_eq!(element(&[3, 0x41, 0x00], 0, 3, usize::MAX), Err(Stop::Short(3 + 256)));
        assert_eq!(element(&[3, 0x80, 0, 0, 1, 0], 0, 3, usize::MAX), Err(Stop::Short(6 + 256)));
        assert_eq!(element(&[0, 2, b'a', b'b'], 0, 0, usize::MAX).unwrap(), (Element::Bytes { start: 2, end: 4 }, 4));
        assert!(matches!(element(&[4, 0xF1], 0, 3, usize::MAX), Err(Stop::Bad(_))));
        assert!(matches!(element(&[0, 0xFF], 0, 0, usize::MAX), Err(Stop::Bad(_))));
        assert!(matches!(element(&[0, 0x81], 0, 0, usize::MAX), Err(Stop::Bad(_))));
    }
}
