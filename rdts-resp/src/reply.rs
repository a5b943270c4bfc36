//! Replies: what a server answers.

mod decoder;
mod owned;
mod token;

use std::fmt;

use crate::Escaped;

pub use decoder::ReplyDecoder;
pub use owned::Reply;

/// One reply, borrowed from the bytes that were decoded.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum ReplyRef<'a> {
    /// `+OK`: a status.
    Simple(&'a [u8]),
    /// `-ERR …`: an error, with its code as the first word.
    Error(&'a [u8]),
    /// `:1`
    Integer(i64),
    /// `$5`: a string of bytes.
    Bulk(&'a [u8]),
    /// `$-1` or `*-1`: nothing.
    Null,
    /// `*3`: replies in a row.
    Array(ArrayRef<'a>),
}

impl<'a> ReplyRef<'a> {
    /// The bytes of a simple or bulk string.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            ReplyRef::Simple(bytes) | ReplyRef::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text of a simple or bulk string that is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The value of an integer reply.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            ReplyRef::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// The elements of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<ArrayRef<'a>> {
        match *self {
            ReplyRef::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The text of an error, code and message.
    #[must_use]
    pub fn as_error(&self) -> Option<&'a [u8]> {
        match *self {
            ReplyRef::Error(text) => Some(text),
            _ => None,
        }
    }

    /// The code of an error, its first word: `MOVED`, `OOM`, `ERR`.
    #[must_use]
    pub fn error_code(&self) -> Option<&'a str> {
        self.as_error().map(error_code)
    }

    /// Whether it is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, ReplyRef::Error(_))
    }

    /// Whether it is the status `OK`.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, ReplyRef::Simple(b"OK"))
    }

    /// Whether it is the null string or the null array.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, ReplyRef::Null)
    }

    /// A copy that owns its bytes.
    #[must_use]
    pub fn to_owned(&self) -> Reply {
        Reply::from(*self)
    }
}

impl fmt::Debug for ReplyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ReplyRef::Simple(text) => write!(f, "Simple({})", Escaped::new(text)),
            ReplyRef::Error(text) => write!(f, "Error({})", Escaped::new(text)),
            ReplyRef::Integer(value) => write!(f, "Integer({value})"),
            ReplyRef::Bulk(bytes) => write!(f, "Bulk({})", Escaped::new(bytes)),
            ReplyRef::Null => f.write_str("Null"),
            ReplyRef::Array(array) => fmt::Debug::fmt(&array, f),
        }
    }
}

/// The first word of an error. A code is ASCII; whatever is not is cut off.
fn error_code(text: &[u8]) -> &str {
    let end = text.iter().position(|&byte| !byte.is_ascii_graphic()).unwrap_or(text.len());
    std::str::from_utf8(&text[..end]).unwrap_or_default()
}

/// The elements of an array reply, borrowed from the bytes that were decoded.
///
/// Nothing is stored per element: iterating reads the bytes again, a few nanoseconds for each.
#[derive(Clone, Copy)]
pub struct ArrayRef<'a> {
    len: usize,
    bytes: &'a [u8],
}

impl<'a> ArrayRef<'a> {
    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Goes through the elements.
    #[must_use]
    pub fn iter(&self) -> Elements<'a> {
        Elements { left: self.len, bytes: self.bytes }
    }
}

impl<'a> IntoIterator for ArrayRef<'a> {
    type Item = ReplyRef<'a>;
    type IntoIter = Elements<'a>;

    fn into_iter(self) -> Elements<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &ArrayRef<'a> {
    type Item = ReplyRef<'a>;
    type IntoIter = Elements<'a>;

    fn into_iter(self) -> Elements<'a> {
        self.iter()
    }
}

impl fmt::Debug for ArrayRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Goes through the elements of an [`ArrayRef`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    left: usize,
    bytes: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = ReplyRef<'a>;

    fn next(&mut self) -> Option<ReplyRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        // The decoder has been over these bytes, so there always is one more.
        let (reply, rest) = token::element(self.bytes)?;
        self.bytes = rest;
        Some(reply)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Elements<'_> {}
