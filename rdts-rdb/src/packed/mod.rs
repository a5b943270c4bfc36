//! The packed blobs: one function each that reads an element at a position of a window. A window may be the blob or, while the blob is
//! still arriving, its beginning; whether running out of it means "wait" or "broken" is for the caller to know.

pub(crate) mod intset;
pub(crate) mod listpack;
pub(crate) mod ziplist;
pub(crate) mod zipmap;

use crate::str::Str;

/// An element of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Int(i64),
    /// Where in the window the bytes are.
    Bytes {
        start: usize,
        end: usize,
    },
}

impl Element {
    /// The element, with its bytes from the window.
    #[inline]
    pub(crate) fn resolve<'a>(&self, window: &'a [u8]) -> Str<'a> {
        match *self {
            Self::Int(i) => Str::Int(i),
            Self::Bytes { start, end } => Str::Bytes(window.get(start..end).unwrap_or_default()),
        }
    }
}

/// Why an element could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The window must have at least this many bytes.
    Short(usize),
    /// The terminator is where an element should be.
    End,
    /// The blob is broken.
    Bad(&'static str),
    /// An element claims more bytes than are admitted.
    Long(u64),
}

/// An element that cannot be read. Out of line: where the reason is put in line, the compiler prepares it for each element that has none.
#[cold]
#[inline(never)]
pub(crate) fn bad(stop: Stop) -> Result<(Element, usize), Stop> {
    Err(stop)
}

/// `N` bytes of a window.
#[inline(always)]
pub(crate) fn bytes<const N: usize>(window: &[u8], at: usize) -> Result<[u8; N], Stop> {
    match window.get(at..).and_then(|rest| rest.first_chunk::<N>()) {
        Some(bytes) => Ok(*bytes),
        None => Err(Stop::Short(at.saturating_add(N))),
    }
}

/// Fails unless the window reaches to `end`.
#[inline(always)]
pub(crate) fn reach(window: &[u8], end: usize) -> Result<(), Stop> {
    if end <= window.len() { Ok(()) } else { Err(Stop::Short(end)) }
}

/// Where a string of `len` bytes at `start` ends, if it is not longer than `max`.
#[inline]
pub(crate) fn string(start: usize, len: usize, max: usize) -> Result<(Element, usize), Stop> {
    if len > max {
        return Err(Stop::Long(len as u64));
    }
    let end = start.saturating_add(len);
    Ok((Element::Bytes { start, end }, end))
}
