//! The smallest tokens: lengths, string heads, numbers. Each function reads at a position of a slice and gives the position behind the
//! token; [`Halt`] says that more bytes are needed or that the bytes are wrong.

pub(crate) mod number;

use crate::error::{ErrorKind, Limit};

/// Why a token could not be read.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The slice must have at least this many bytes, counted from its start.
    Need(usize),
    /// The bytes are wrong. Boxed: it is the rare case, and the result of every token carries the space.
    Fail(Box<Fault>),
}

/// What is wrong, and where.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    pub(crate) at: At,
}

/// Where a fault is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At {
    /// Position in the slice that was being read.
    Here(usize),
    /// Absolute offset in the input.
    Absolute(u64),
}

pub(crate) type Leaf<T> = Result<T, Halt>;

impl Halt {
    #[cold]
    pub(crate) fn fail(kind: ErrorKind, at: usize) -> Self {
        Self::Fail(Box::new(Fault { kind, at: At::Here(at) }))
    }

    #[cold]
    pub(crate) fn fail_absolute(kind: ErrorKind, at: u64) -> Self {
        Self::Fail(Box::new(Fault { kind, at: At::Absolute(at) }))
    }
}

/// One byte.
#[inline(always)]
pub(crate) fn byte(data: &[u8], at: usize) -> Leaf<(u8, usize)> {
    match data.get(at) {
        Some(&b) => Ok((b, at + 1)),
        None => Err(Halt::Need(at.saturating_add(1))),
    }
}

/// `N` bytes.
#[inline(always)]
pub(crate) fn array<const N: usize>(data: &[u8], at: usize) -> Leaf<([u8; N], usize)> {
    match data.get(at..).and_then(|rest| rest.first_chunk::<N>()) {
        Some(bytes) => Ok((*bytes, at + N)),
        None => Err(Halt::Need(at.saturating_add(N))),
    }
}

/// A length or count.
#[inline(always)]
pub(crate) fn length(data: &[u8], at: usize) -> Leaf<(u64, usize)> {
    match data.get(at) {
        Some(&b) if b < 0x40 => Ok((u64::from(b), at + 1)),
        Some(&b) => long_length(data, at, b),
        None => Err(Halt::Need(at.saturating_add(1))),
    }
}

#[inline]
fn long_length(data: &[u8], at: usize, first: u8) -> Leaf<(u64, usize)> {
    match first {
        0x40..0x80 => {
            let (low, next) = byte(data, at + 1)?;
            Ok((u64::from(first & 0x3F) << 8 | u64::from(low), next))
        }
        0x80 => {
            let (bytes, next) = array(data, at + 1)?;
            Ok((u64::from(u32::from_be_bytes(bytes)), next))
        }
        0x81 => {
            let (bytes, next) = array(data, at + 1)?;
            Ok((u64::from_be_bytes(bytes), next))
        }
        other => Err(Halt::fail(ErrorKind::BadLength(other), at)),
    }
}

/// What stands before the bytes of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StrHead {
    /// So many bytes follow.
    Plain(u64),
    /// The string is the text of this integer; nothing follows.
    Int(i64),
    /// So many compressed bytes follow, which expand to so many.
    Lzf { packed: u64, full: u64 },
}

/// The head of a string.
#[inline(always)]
pub(crate) fn str_head(data: &[u8], at: usize) -> Leaf<(StrHead, usize)> {
    match data.get(at) {
        Some(&b) if b < 0x40 => Ok((StrHead::Plain(u64::from(b)), at + 1)),
        Some(&b) if b < 0xC0 => {
            let (len, next) = long_length(data, at, b)?;
            Ok((StrHead::Plain(len), next))
        }
        Some(&b) => special_head(data, at, b),
        None => Err(Halt::Need(at.saturating_add(1))),
    }
}

#[inline]
fn special_head(data: &[u8], at: usize, first: u8) -> Leaf<(StrHead, usize)> {
    match first {
        0xC0 => {
            let (bytes, next) = array(data, at + 1)?;
            Ok((StrHead::Int(i64::from(i8::from_le_bytes(bytes))), next))
        }
        0xC1 => {
            let (bytes, next) = array(data, at + 1)?;
            Ok((StrHead::Int(i64::from(i16::from_le_bytes(bytes))), next))
        }
        0xC2 => {
            let (bytes, next) = array(data, at + 1)?;
            Ok((StrHead::Int(i64::from(i32::from_le_bytes(bytes))), next))
        }
        0xC3 => {
            let (packed, next) = length(data, at + 1)?;
            let (full, next) = length(data, next)?;
            if !crate::lzf::plausible(packed, full) {
                return Err(Halt::fail(
                    ErrorKind::BadLzf("so few bytes cannot expand to so many, nor so many to so few"),
                    at,
                ));
            }
            Ok((StrHead::Lzf { packed, full }, next))
        }
        other => Err(Halt::fail(ErrorKind::BadStringEncoding(other & 0x3F), at)),
    }
}

/// Fails when a length is above a limit; else the length as a `usize`.
#[inline(always)]
pub(crate) fn admit(len: u64, max: usize, limit: Limit, at: usize) -> Leaf<usize> {
    match usize::try_from(len) {
        Ok(len) if len <= max => Ok(len),
        _ => Err(over_limit(len, max, limit, at)),
    }
}

#[cold]
fn over_limit(claimed: u64, max: usize, limit: Limit, at: usize) -> Halt {
    Halt::fail(ErrorKind::LimitExceeded { limit, claimed, max: max as u64 }, at)
}

/// The end of `len` bytes at `at`, if they are there.
#[inline(always)]
pub(crate) fn end_of(data: &[u8], at: usize, len: usize) -> Leaf<usize> {
    let end = at.saturating_add(len);
    if end <= data.len() { Ok(end) } else { Err(Halt::Need(end)) }
}

/// Passes over a string.
#[inline(always)]
pub(crate) fn skip_str(data: &[u8], at: usize) -> Leaf<u64> {
    let (head, next) = str_head(data, at)?;
    let len = match head {
        StrHead::Plain(len) => len,
        StrHead::Int(_) => 0,
        StrHead::Lzf { packed, .. } => packed,
    };
    Ok((next as u64).saturating_add(len))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn lengths_of_every_form() {
        for (bytes, value) in [
            (&[0x00][..], 0),
            (&[0x3F], 63),
            (&[0x40, 64], 64),
            (&[0x7F, 0xFF], 16383),
            (&[0x80, 0, 0, 0x40, 0], 16384),
            (&[0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], u64::MAX),
        ] {
            assert_eq!(length(bytes, 0).unwrap(), (value, bytes.len()));
            for cut in 0..bytes.len() {
                assert!(matches!(length(&bytes[..cut], 0), Err(Halt::Need(n)) if n > cut && n <= bytes.len()));
            }
        }
        for bad in [0x82, 0xBF, 0xC0, 0xFF] {
            assert!(matches!(length(&[bad], 0), Err(Halt::Fail(f)) if f.kind == ErrorKind::BadLength(bad)));
        }
    }

    #[test]
    fn heads_of_strings() {
        assert_eq!(str_head(&[0xC0, 0xFF], 0).unwrap(), (StrHead::Int(-1), 2));
        assert_eq!(str_head(&[0xC1, 0x00, 0x80], 0).unwrap(), (StrHead::Int(-32768), 3));
        assert_eq!(str_head(&[0xC2, 0xFF, 0xFF, 0xFF, 0x7F], 0).unwrap(), (StrHead::Int(2_147_483_647), 5));
        assert_eq!(str_head(&[0xC3, 9, 0x40, 0x40], 0).unwrap(), (StrHead::Lzf { packed: 9, full: 64 }, 4));
        assert!(matches!(str_head(&[0xC3, 1, 0x43, 0x40], 0), Err(Halt::Fail(_))), "a bomb");
        assert!(matches!(str_head(&[0xC4], 0), Err(Halt::Fail(f)) if f.kind == ErrorKind::BadStringEncoding(4)));
    }
}
