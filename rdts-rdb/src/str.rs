//! An element as the file has it.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, BytesMut};

/// A string inside of a value: bytes borrowed from the input, or an integer that the file packs. What the server shows of an integer is its
/// decimal text; it is left to the consumer whether and where to make that text.
#[derive(Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "the format has these two and consumers should match on both")]
pub enum Str<'a> {
    /// The bytes.
    Bytes(&'a [u8]),
    /// An integer; it stands for its decimal text.
    Int(i64),
}

/// The longest text of an `i64`.
pub(crate) const INT_TEXT: usize = 20;

impl<'a> Str<'a> {
    /// Length of the text in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match *self {
            Self::Bytes(b) => b.len(),
            Self::Int(i) => int_len(i),
        }
    }

    /// Whether the text has no bytes.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Bytes(b) if b.is_empty())
    }

    /// The text, in `buffer` if it has to be made.
    ///
    /// ```
    /// use rdts_rdb::{IntBuffer, Str};
    /// let mut buffer = IntBuffer::new();
    /// assert_eq!(Str::Int(-7).as_bytes(&mut buffer), b"-7");
    /// ```
    #[inline]
    pub fn as_bytes<'b>(&self, buffer: &'b mut IntBuffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            Self::Bytes(b) => b,
            Self::Int(i) => buffer.0.format(i).as_bytes(),
        }
    }

    /// Appends the text to `out`.
    #[inline]
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Bytes(b) => out.extend_from_slice(b),
            Self::Int(i) => out.extend_from_slice(itoa::Buffer::new().format(i).as_bytes()),
        }
    }

    /// Appends the text to `out`.
    #[inline]
    pub fn put_to(&self, out: &mut BytesMut) {
        match *self {
            Self::Bytes(b) => out.put_slice(b),
            Self::Int(i) => out.put_slice(itoa::Buffer::new().format(i).as_bytes()),
        }
    }

    /// The text, owned only if it has to be made.
    #[must_use]
    pub fn to_cow(&self) -> Cow<'a, [u8]> {
        match *self {
            Self::Bytes(b) => Cow::Borrowed(b),
            Self::Int(_) => Cow::Owned(self.to_vec()),
        }
    }

    /// The text, owned.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        match *self {
            Self::Bytes(b) => b.to_vec(),
            Self::Int(i) => itoa::Buffer::new().format(i).as_bytes().to_vec(),
        }
    }

    /// The number that a score, a count or an id in text stands for, as C's `strtod` reads it in the C locale, or `None` if it is none.
    #[must_use]
    pub fn to_f64(&self) -> Option<f64> {
        match *self {
            #[expect(clippy::cast_precision_loss, reason = "a score is a double; servers convert it the same way")]
            Self::Int(i) => Some(i as f64),
            Self::Bytes(b) => crate::token::number::double(b),
        }
    }
}

/// Space for the text of an integer: see [`Str::as_bytes`].
#[derive(Clone, Copy, Default)]
pub struct IntBuffer(itoa::Buffer);

impl IntBuffer {
    /// Uninitialised space.
    #[must_use]
    #[inline]
    pub fn new() -> Self {
        Self(itoa::Buffer::new())
    }
}

impl fmt::Debug for IntBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntBuffer")
    }
}

/// Digits and sign of an integer, without writing them.
#[inline]
pub(crate) fn int_len(i: i64) -> usize {
    let digits = i.unsigned_abs().checked_ilog10().map_or(1, |d| d as usize + 1);
    digits + usize::from(i < 0)
}

impl PartialEq for Str<'_> {
    /// Equal text: `Int(7)` equals `Bytes(b"7")`.
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Int(i), Self::Bytes(b)) | (Self::Bytes(b), Self::Int(i)) => {
                itoa::Buffer::new().format(i).as_bytes() == b
            }
        }
    }
}

impl Eq for Str<'_> {}

impl PartialEq<[u8]> for Str<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        *self == Str::Bytes(other)
    }
}

impl<'a> From<&'a [u8]> for Str<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl fmt::Debug for Str<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Int(i) => write!(f, "{i}"),
            Self::Bytes(b) => write!(f, "\"{}\"", b.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_and_its_text_are_the_same_string() {
        for i in [0, 9, 10, -1, -10, 99, 100, i64::MAX, i64::MIN] {
            let text = i.to_string();
            assert_eq!(Str::Int(i), Str::Bytes(text.as_bytes()));
            assert_eq!(Str::Int(i).len(), text.len());
            assert!(text.len() <= INT_TEXT);
        }
        assert_ne!(Str::Int(7), Str::Bytes(b"007"));
    }
}
