//! Zipmaps: `u8 count`, then for each pair: length and field, length, number of unused bytes, value, unused bytes; `0xFF`.

use super::{Element, Stop, bytes, reach, string};

/// Bytes before the first pair.
pub(crate) const HEADER: usize = 1;
/// The byte after the last pair.
pub(crate) const END: u8 = 0xFF;

/// The number of pairs (`None`: not stored).
pub(crate) fn header(window: &[u8]) -> Result<Option<u8>, Stop> {
    let [count] = bytes(window, 0)?;
    Ok((count < 254).then_some(count))
}

/// The pair at `at`, and the position behind it.
pub(crate) fn pair(window: &[u8], at: usize, max: usize) -> Result<(Element, Element, usize), Stop> {
    let (len, start) = length(window, at)?;
    let (field, end) = string(start, len, max)?;
    reach(window, end)?;
    let (len, at) = length(window, end)?;
    let [unused] = bytes(window, at)?;
    let (value, end) = string(at + 1, len, max)?;
    let next = end.saturating_add(usize::from(unused));
    reach(window, next)?;
    Ok((field, value, next))
}

fn length(window: &[u8], at: usize) -> Result<(usize, usize), Stop> {
    match bytes(window, at)? {
        [254] => Ok((u32::from_le_bytes(bytes(window, at + 1)?) as usize, at + 5)),
        [END] => Err(Stop::Bad("the end is where a pair should be")),
        [len] => Ok((usize::from(len), at + 1)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pairs_with_unused_bytes_and_long_lengths() {
        let w = [&[1, b'a', 254, 2, 0, 0, 0, 3, b'x', b'y', 0, 0, 0][..], &[END]].concat();
        let (field, value, next) = pair(&w, 0, 9).unwrap();
        assert_eq!(field, Element::Bytes { start: 1, end: 2 });
        assert_eq!(value, Element::Bytes { start: 8, end: 10 });
        assert_eq!(next, 13);
        for cut in 0..13 {
            assert!(matches!(pair(&w[..cut], 0, 9), Err(Stop::Short(n)) if n > cut && n <= 13));
        }
    }
}
