//! Replies: what a server answers.

mod aggregate;
mod decoder;
mod owned;
mod resp3;
mod token;

use std::fmt;

use crate::Escaped;

pub use aggregate::{ArrayRef, AttributedRef, Elements, MapRef, Pairs};
pub use decoder::ReplyDecoder;
pub use owned::Reply;

/// One reply, borrowed from the bytes that were decoded.
///
/// The methods that look into it, `as_…` and `is_…`, look through attributes at the reply that has them, so that code
/// which does not care for attributes need not know of them. A `match` sees them; see
/// [`without_attributes`](ReplyRef::without_attributes).
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
    /// `$-1` or `*-1`, in RESP3 `_`: nothing.
    Null,
    /// `*3`: replies in a row.
    Array(ArrayRef<'a>),
    /// `#t` or `#f`, of RESP3.
    Boolean(bool),
    /// `,3.25`, `,inf`, `,-inf` or `,nan`, of RESP3.
    Double(f64),
    /// `(12345678901234567890`, of RESP3: an integer of any length, as decimal digits behind an optional sign.
    BigNumber(&'a [u8]),
    /// `!21`, of RESP3: an error like [`Error`](ReplyRef::Error) whose text may have newlines.
    BulkError(&'a [u8]),
    /// `=15`, of RESP3: a text for people, what `INFO` and `CLIENT LIST` answer.
    Verbatim {
        /// How it is written: `txt`, or `mkd` for Markdown.
        format: [u8; 3],
        /// The text, without the format and the colon in front of it.
        text: &'a [u8],
    },
    /// `%2`, of RESP3: keys and values.
    Map(MapRef<'a>),
    /// `~3`, of RESP3: elements in no order. That none is twice there is the server's promise, not checked.
    Set(ArrayRef<'a>),
    /// `>3`, of RESP3: a message that answers no command, its kind first (`message`, `invalidate`). It may come in
    /// front of any reply; whoever counts replies must not count it.
    Push(ArrayRef<'a>),
    /// `|1`, of RESP3: a reply with something said about it.
    Attributed(AttributedRef<'a>),
}

// `inline`, as the compiler does not do that across crates by itself where there is a call, here for attributes.
impl<'a> ReplyRef<'a> {
    /// The bytes of a simple, bulk or verbatim string.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            ReplyRef::Simple(bytes) | ReplyRef::Bulk(bytes) | ReplyRef::Verbatim { text: bytes, .. } => Some(bytes),
            ReplyRef::Attributed(attributed) => attributed.look(ReplyRef::as_bytes),
            _ => None,
        }
    }

    /// The text of a simple, bulk or verbatim string that is UTF-8.
    #[inline]
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The value of an integer reply.
    #[inline]
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            ReplyRef::Integer(value) => Some(value),
            ReplyRef::Attributed(attributed) => attributed.look(ReplyRef::as_integer),
            _ => None,
        }
    }

    /// The value of a boolean; also of the integers 1 and 0, which RESP2 has in its place.
    #[inline]
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            ReplyRef::Boolean(value) => Some(value),
            ReplyRef::Integer(value @ 0..=1) => Some(value == 1),
            ReplyRef::Attributed(attributed) => attributed.look(ReplyRef::as_bool),
            _ => None,
        }
    }

    /// The value of a double; also of a bulk string that says one, which RESP2 has in its place.
    #[inline]
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            ReplyRef::Double(value) => Some(value),
            ReplyRef::Bulk(text) => resp3::double(text),
            ReplyRef::Attributed(attributed) => attributed.look(ReplyRef::as_f64),
            _ => None,
        }
    }

    /// The digits of a big number, with its sign if it has one.
    #[inline]
    #[must_use]
    pub fn as_big_number(&self) -> Option<&'a [u8]> {
        match *self {
            ReplyRef::BigNumber(digits) => Some(digits),
            ReplyRef::Attributed(attributed) => attributed.look(ReplyRef::as_big_number),
            _ => None,
        }
    }

    /// The elements of an array or a set.
    #[inline]
    #[must_use]
    pub fn as_array(&self) -> Option<ArrayRef<'a>> {
        match *self {
            ReplyRef::Array(array) | ReplyRef::Set(array) => Some(array),
            ReplyRef::Attributed(attributed) => attributed.look(ReplyRef::as_array),
            _ => None,
        }
    }

    /// The pairs of a map; also of an array of keys and values by turns, which RESP2 has in its place.
    ///
    /// ```
    /// use rdts_resp::ReplyDecoder;
    ///
    /// let mut decoder = ReplyDecoder::new();
    /// // What `CONFIG GET maxmemory` answers in RESP2 and in RESP3.
    /// for wire in ["*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n", "%1\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n"] {
    ///     let (_, reply) = decoder.decode(wire.as_bytes())?.expect("a whole frame");
    ///     let config = reply.as_map().expect("a map");
    ///     assert_eq!(config.get("maxmemory").and_then(|value| value.as_str()), Some("0"));
    /// }
    /// # Ok::<(), rdts_resp::DecodeError>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn as_map(&self) -> Option<MapRef<'a>> {
        match *self {
            ReplyRef::Map(map) => Some(map),
            ReplyRef::Array(array) => array.to_map(),
            ReplyRef::Attributed(attributed) => attributed.look(ReplyRef::as_map),
            _ => None,
        }
    }

    /// The elements of a push, its kind first.
    #[inline]
    #[must_use]
    pub fn as_push(&self) -> Option<ArrayRef<'a>> {
        match *self {
            ReplyRef::Push(elements) => Some(elements),
            ReplyRef::Attributed(attributed) => attributed.look(ReplyRef::as_push),
            _ => None,
        }
    }

    /// The text of an error, code and message.
    #[inline]
    #[must_use]
    pub fn as_error(&self) -> Option<&'a [u8]> {
        match *self {
            ReplyRef::Error(text) | ReplyRef::BulkError(text) => Some(text),
            ReplyRef::Attributed(attributed) => attributed.look(ReplyRef::as_error),
            _ => None,
        }
    }

    /// The code of an error, its first word: `MOVED`, `OOM`, `ERR`.
    #[must_use]
    pub fn error_code(&self) -> Option<&'a str> {
        self.as_error().map(error_code)
    }

    /// Whether it is an error.
    #[inline]
    #[must_use]
    pub fn is_error(&self) -> bool {
        match *self {
            ReplyRef::Error(_) | ReplyRef::BulkError(_) => true,
            ReplyRef::Attributed(attributed) => attributed.look(ReplyRef::is_error),
            _ => false,
        }
    }

    /// Whether it is the status `OK`.
    #[inline]
    #[must_use]
    pub fn is_ok(&self) -> bool {
        match *self {
            ReplyRef::Simple(text) => text == b"OK",
            ReplyRef::Attributed(attributed) => attributed.look(ReplyRef::is_ok),
            _ => false,
        }
    }

    /// Whether it is null, in any of its forms.
    #[inline]
    #[must_use]
    pub fn is_null(&self) -> bool {
        match *self {
            ReplyRef::Null => true,
            ReplyRef::Attributed(attributed) => attributed.look(ReplyRef::is_null),
            _ => false,
        }
    }

    /// Whether it is a push, which answers no command.
    #[inline]
    #[must_use]
    pub fn is_push(&self) -> bool {
        self.as_push().is_some()
    }

    /// What the server says about the reply, if anything.
    #[must_use]
    pub fn attributes(&self) -> Option<MapRef<'a>> {
        match *self {
            ReplyRef::Attributed(attributed) => Some(attributed.attributes()),
            _ => None,
        }
    }

    /// The reply itself, whatever the server says about it.
    #[inline]
    #[must_use]
    pub fn without_attributes(&self) -> ReplyRef<'a> {
        match *self {
            ReplyRef::Attributed(attributed) => attributed.look(|reply| *reply),
            reply => reply,
        }
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
            ReplyRef::Boolean(value) => write!(f, "Boolean({value})"),
            ReplyRef::Double(value) => write!(f, "Double({value:?})"),
            ReplyRef::BigNumber(digits) => write!(f, "BigNumber({})", Escaped::new(digits)),
            ReplyRef::BulkError(text) => write!(f, "BulkError({})", Escaped::new(text)),
            ReplyRef::Verbatim { format, text } => {
                write!(f, "Verbatim({}, {})", Escaped::new(&format), Escaped::new(text))
            }
            ReplyRef::Map(map) => fmt::Debug::fmt(&map, f),
            ReplyRef::Set(elements) => f.debug_set().entries(elements).finish(),
            ReplyRef::Push(elements) => f.debug_tuple("Push").field(&elements).finish(),
            ReplyRef::Attributed(attributed) => fmt::Debug::fmt(&attributed, f),
        }
    }
}

/// The first word of an error. A code is ASCII; whatever is not is cut off.
fn error_code(text: &[u8]) -> &str {
    let end = text.iter().position(|&byte| !byte.is_ascii_graphic()).unwrap_or(text.len());
    std::str::from_utf8(&text[..end]).unwrap_or_default()
}
