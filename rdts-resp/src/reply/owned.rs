//! Replies that own their bytes.

use std::fmt;

use bytes::Bytes;

use super::{ReplyRef, error_code};
use crate::Escaped;

/// One reply that owns its bytes; see [`ReplyRef`] for what each kind is.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reply {
    /// `+OK`: a status.
    Simple(Bytes),
    /// `-ERR …`: an error, with its code as the first word.
    Error(Bytes),
    /// `:1`
    Integer(i64),
    /// `$5`: a string of bytes.
    Bulk(Bytes),
    /// `$-1` or `*-1`: nothing.
    Null,
    /// `*3`: replies in a row.
    Array(Vec<Reply>),
}

impl Reply {
    /// The bytes of a simple or bulk string.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Reply::Simple(bytes) | Reply::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text of a simple or bulk string that is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The value of an integer reply.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Reply::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The elements of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Reply]> {
        match self {
            Reply::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The text of an error, code and message.
    #[must_use]
    pub fn as_error(&self) -> Option<&[u8]> {
        match self {
            Reply::Error(text) => Some(text),
            _ => None,
        }
    }

    /// The code of an error, its first word: `MOVED`, `OOM`, `ERR`.
    #[must_use]
    pub fn error_code(&self) -> Option<&str> {
        self.as_error().map(error_code)
    }

    /// Whether it is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// Whether it is the status `OK`.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Reply::Simple(text) if text == "OK")
    }

    /// Whether it is the null string or the null array.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Reply::Null)
    }
}

impl From<ReplyRef<'_>> for Reply {
    fn from(reply: ReplyRef<'_>) -> Self {
        match reply {
            ReplyRef::Simple(text) => Reply::Simple(Bytes::copy_from_slice(text)),
            ReplyRef::Error(text) => Reply::Error(Bytes::copy_from_slice(text)),
            ReplyRef::Integer(value) => Reply::Integer(value),
            ReplyRef::Bulk(bytes) => Reply::Bulk(Bytes::copy_from_slice(bytes)),
            ReplyRef::Null => Reply::Null,
            ReplyRef::Array(array) => Reply::Array(array.iter().map(Reply::from).collect()),
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Simple(text) => write!(f, "Simple({})", Escaped::new(text)),
            Reply::Error(text) => write!(f, "Error({})", Escaped::new(text)),
            Reply::Integer(value) => write!(f, "Integer({value})"),
            Reply::Bulk(bytes) => write!(f, "Bulk({})", Escaped::new(bytes)),
            Reply::Null => f.write_str("Null"),
            Reply::Array(elements) => f.debug_list().entries(elements).finish(),
        }
    }
}
