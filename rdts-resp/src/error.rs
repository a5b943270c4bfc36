//! Why bytes were not RESP.

use std::borrow::Cow;
use std::fmt;

use crate::Escaped;

/// How many of the offending bytes an error keeps.
const FOUND: usize = 24;

/// Bytes that are not RESP, or that go beyond the [`Limits`](crate::Limits).
///
/// There is no way to go on behind it: where the next frame starts is unknown. Close the connection.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: DecodeErrorKind,
    offset: usize,
    expected: Cow<'static, str>,
    found: Vec<u8>,
}

/// What kind of thing was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// A type byte that RESP does not have here.
    UnknownType,
    /// An integer that is none, or does not fit into 64 bits.
    InvalidInteger,
    /// The length of a string or of an aggregate that is no number, or below what is allowed there.
    InvalidLength,
    /// A string that does not end in CR LF where its length says.
    MissingTerminator,
    /// A null of RESP3 with something in it.
    InvalidNull,
    /// A boolean that is neither `t` nor `f`.
    InvalidBoolean,
    /// A double that is no number.
    InvalidDouble,
    /// A big number with something else in it than digits.
    InvalidBigNumber,
    /// A verbatim string that does not start with the three bytes of its format and a colon.
    InvalidVerbatim,
    /// A string or an aggregate whose length is `?`: it would come in pieces. RESP3 describes that; neither Redis nor
    /// Valkey sends it, and it is not supported here.
    Streamed,
    /// An inline command with a quote left open, or closed in the middle of a word.
    UnbalancedQuotes,
    /// A byte that cannot be in an inline command.
    InvalidInline,
    /// A line beyond [`Limits::max_line`](crate::Limits::max_line).
    LineTooLong,
    /// A bulk string, bulk error or verbatim string beyond [`Limits::max_bulk`](crate::Limits::max_bulk).
    BulkTooLong,
    /// A command beyond [`Limits::max_args`](crate::Limits::max_args), or an aggregate beyond
    /// [`Limits::max_elements`](crate::Limits::max_elements).
    TooManyElements,
    /// Aggregates nested beyond [`Limits::max_depth`](crate::Limits::max_depth).
    TooDeep,
    /// A frame beyond [`Limits::max_frame`](crate::Limits::max_frame).
    FrameTooLong,
}

impl DecodeError {
    /// `src` is the frame and `offset` the place in it that is wrong.
    #[cold]
    #[inline(never)]
    pub(crate) fn new(
        kind: DecodeErrorKind,
        src: &[u8],
        offset: usize,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        let found = src.get(offset..).unwrap_or_default();
        DecodeError(Box::new(Inner {
            kind,
            offset,
            expected: expected.into(),
            found: found[..found.len().min(FOUND)].to_vec(),
        }))
    }

    /// A length that is beyond one of the limits.
    #[cold]
    #[inline(never)]
    pub(crate) fn beyond(kind: DecodeErrorKind, src: &[u8], offset: usize, limit: usize, what: &str) -> Self {
        Self::new(kind, src, offset, format!("at most {limit} {what}"))
    }

    /// What kind of thing was wrong.
    #[must_use]
    pub fn kind(&self) -> DecodeErrorKind {
        self.0.kind
    }

    /// Where: in bytes from the start of the frame, which is the start of what `decode` was given.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.0.offset
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { offset, expected, found, .. } = &*self.0;
        let found = Escaped::new(found);
        write!(f, "invalid RESP at byte {offset} of a frame: expected {expected}, found {found}")
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeError")
            .field("kind", &self.0.kind)
            .field("offset", &self.0.offset)
            .field("expected", &self.0.expected)
            .field("found", &Escaped::new(&self.0.found))
            .finish()
    }
}

impl std::error::Error for DecodeError {}
