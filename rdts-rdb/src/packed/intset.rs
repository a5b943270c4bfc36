//! Intsets: `u32le width, u32le count`, then the integers, ascending.

use super::{Stop, bytes};

/// Bytes before the first integer.
pub(crate) const HEADER: usize = 8;

/// Width in bytes and number of the integers.
pub(crate) fn header(window: &[u8]) -> Result<(u8, u32), Stop> {
    let width = match u32::from_le_bytes(bytes(window, 0)?) {
        2 => 2,
        4 => 4,
        8 => 8,
        _ => return Err(Stop::Bad("the width is not 2, 4 or 8")),
    };
    Ok((width, u32::from_le_bytes(bytes(window, 4)?)))
}

/// The integer at `at`.
#[inline(always)]
pub(crate) fn integer(window: &[u8], at: usize, width: u8) -> Result<i64, Stop> {
    Ok(match width {
        2 => i64::from(i16::from_le_bytes(bytes(window, at)?)),
        4 => i64::from(i32::from_le_bytes(bytes(window, at)?)),
        _ => i64::from_le_bytes(bytes(window, at)?),
    })
}
