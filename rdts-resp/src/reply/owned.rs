//! Replies that own their bytes.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::discriminant;

use bytes::Bytes;

use super::{MapRef, ReplyRef, error_code, resp3};
use crate::Escaped;

/// One reply that owns its bytes; see [`ReplyRef`] for what each kind is.
///
/// Two replies are the same if they are of one kind and hold the same, with all that is in them in the same order.
/// Unlike two `f64`, two doubles that are no number are the same.
///
/// The methods `as_…` and `is_…` look through attributes at the reply that has them.
#[derive(Clone)]
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
    /// `$-1` or `*-1`, in RESP3 `_`: nothing.
    Null,
    /// `*3`: replies in a row.
    Array(Vec<Reply>),
    /// `#t` or `#f`, of RESP3.
    Boolean(bool),
    /// `,3.25`, `,inf`, `,-inf` or `,nan`, of RESP3.
    Double(f64),
    /// `(12345678901234567890`, of RESP3: decimal digits behind an optional sign.
    BigNumber(Bytes),
    /// `!21`, of RESP3: an error whose text may have newlines.
    BulkError(Bytes),
    /// `=15`, of RESP3: a text for people.
    Verbatim {
        /// How it is written: `txt`, or `mkd` for Markdown.
        format: [u8; 3],
        /// The text, without the format and the colon in front of it.
        text: Bytes,
    },
    /// `%2`, of RESP3: keys and values, in the order in which they came.
    Map(Vec<(Reply, Reply)>),
    /// `~3`, of RESP3: elements, in the order in which they came.
    Set(Vec<Reply>),
    /// `>3`, of RESP3: a message that answers no command, its kind first.
    Push(Vec<Reply>),
    /// `|1`, of RESP3: a reply with something said about it.
    Attributed {
        /// What the server says about the reply.
        attributes: Vec<(Reply, Reply)>,
        /// The reply itself.
        reply: Box<Reply>,
    },
}

impl Reply {
    /// The bytes of a simple, bulk or verbatim string.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self.without_attributes() {
            Reply::Simple(bytes) | Reply::Bulk(bytes) | Reply::Verbatim { text: bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// The text of a simple, bulk or verbatim string that is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The value of an integer reply.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self.without_attributes() {
            Reply::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of a boolean; also of the integers 1 and 0, which RESP2 has in its place.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.without_attributes() {
            Reply::Boolean(value) => Some(*value),
            Reply::Integer(value @ 0..=1) => Some(*value == 1),
            _ => None,
        }
    }

    /// The value of a double; also of a bulk string that says one, which RESP2 has in its place.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self.without_attributes() {
            Reply::Double(value) => Some(*value),
            Reply::Bulk(text) => resp3::double(text),
            _ => None,
        }
    }

    /// The digits of a big number, with its sign if it has one.
    #[must_use]
    pub fn as_big_number(&self) -> Option<&[u8]> {
        match self.without_attributes() {
            Reply::BigNumber(digits) => Some(digits),
            _ => None,
        }
    }

    /// The elements of an array or a set.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Reply]> {
        match self.without_attributes() {
            Reply::Array(elements) | Reply::Set(elements) => Some(elements),
            _ => None,
        }
    }

    /// The pairs of a map; also of an array of keys and values by turns, which RESP2 has in its place.
    #[must_use]
    pub fn as_map(&self) -> Option<impl Iterator<Item = (&Reply, &Reply)>> {
        let (pairs, flat): (&[_], &[_]) = match self.without_attributes() {
            Reply::Map(pairs) => (pairs, &[]),
            Reply::Array(elements) if elements.len().is_multiple_of(2) => (&[], elements),
            _ => return None,
        };
        let flat = flat.chunks_exact(2).map(|pair| (&pair[0], &pair[1]));
        Some(pairs.iter().map(|(key, value)| (key, value)).chain(flat))
    }

    /// The value of the first pair of a map, as [`as_map`](Reply::as_map) has them, whose key is the string `key`.
    #[must_use]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&Reply> {
        let key = key.as_ref();
        self.as_map()?.find(|(found, _)| found.as_bytes() == Some(key)).map(|(_, value)| value)
    }

    /// The elements of a push, its kind first.
    #[must_use]
    pub fn as_push(&self) -> Option<&[Reply]> {
        match self.without_attributes() {
            Reply::Push(elements) => Some(elements),
            _ => None,
        }
    }

    /// The text of an error, code and message.
    #[must_use]
    pub fn as_error(&self) -> Option<&[u8]> {
        match self.without_attributes() {
            Reply::Error(text) | Reply::BulkError(text) => Some(text),
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
        self.as_error().is_some()
    }

    /// Whether it is the status `OK`.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self.without_attributes(), Reply::Simple(text) if text == "OK")
    }

    /// Whether it is null, in any of its forms.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.without_attributes(), Reply::Null)
    }

    /// Whether it is a push, which answers no command.
    #[must_use]
    pub fn is_push(&self) -> bool {
        matches!(self.without_attributes(), Reply::Push(_))
    }

    /// What the server says about the reply, if anything.
    #[must_use]
    pub fn attributes(&self) -> Option<&[(Reply, Reply)]> {
        match self {
            Reply::Attributed { attributes, .. } => Some(attributes),
            _ => None,
        }
    }

    /// The reply itself, whatever the server says about it.
    #[must_use]
    pub fn without_attributes(&self) -> &Reply {
        let mut bare = self;
        while let Reply::Attributed { reply, .. } = bare {
            bare = reply;
        }
        bare
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
            ReplyRef::Boolean(value) => Reply::Boolean(value),
            ReplyRef::Double(value) => Reply::Double(value),
            ReplyRef::BigNumber(digits) => Reply::BigNumber(Bytes::copy_from_slice(digits)),
            ReplyRef::BulkError(text) => Reply::BulkError(Bytes::copy_from_slice(text)),
            ReplyRef::Verbatim { format, text } => Reply::Verbatim { format, text: Bytes::copy_from_slice(text) },
            ReplyRef::Map(map) => Reply::Map(pairs(map)),
            ReplyRef::Set(elements) => Reply::Set(elements.iter().map(Reply::from).collect()),
            ReplyRef::Push(elements) => Reply::Push(elements.iter().map(Reply::from).collect()),
            ReplyRef::Attributed(attributed) => Reply::Attributed {
                attributes: pairs(attributed.attributes()),
                reply: Box::new(attributed.reply().into()),
            },
        }
    }
}

fn pairs(map: MapRef<'_>) -> Vec<(Reply, Reply)> {
    map.iter().map(|(key, value)| (key.into(), value.into())).collect()
}

/// One number for all doubles that are the same.
fn same(value: f64) -> u64 {
    if value.is_nan() {
        f64::NAN.to_bits()
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    }
}

impl PartialEq for Reply {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Reply::Simple(a), Reply::Simple(b))
            | (Reply::Error(a), Reply::Error(b))
            | (Reply::Bulk(a), Reply::Bulk(b))
            | (Reply::BigNumber(a), Reply::BigNumber(b))
            | (Reply::BulkError(a), Reply::BulkError(b)) => a == b,
            (Reply::Integer(a), Reply::Integer(b)) => a == b,
            (Reply::Null, Reply::Null) => true,
            (Reply::Array(a), Reply::Array(b)) | (Reply::Set(a), Reply::Set(b)) | (Reply::Push(a), Reply::Push(b)) => {
                a == b
            }
            (Reply::Boolean(a), Reply::Boolean(b)) => a == b,
            (Reply::Double(a), Reply::Double(b)) => same(*a) == same(*b),
            (Reply::Verbatim { format, text }, Reply::Verbatim { format: other_format, text: other_text }) => {
                format == other_format && text == other_text
            }
            (Reply::Map(a), Reply::Map(b)) => a == b,
            (
                Reply::Attributed { attributes, reply },
                Reply::Attributed { attributes: other_attributes, reply: other_reply },
            ) => attributes == other_attributes && reply == other_reply,
            _ => false,
        }
    }
}

impl Eq for Reply {}

impl Hash for Reply {
    fn hash<H: Hasher>(&self, state: &mut H) {
        discriminant(self).hash(state);
        match self {
            Reply::Simple(bytes)
            | Reply::Error(bytes)
            | Reply::Bulk(bytes)
            | Reply::BigNumber(bytes)
            | Reply::BulkError(bytes) => bytes.hash(state),
            Reply::Integer(value) => value.hash(state),
            Reply::Null => {}
            Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => elements.hash(state),
            Reply::Boolean(value) => value.hash(state),
            Reply::Double(value) => same(*value).hash(state),
            Reply::Verbatim { format, text } => (format, text).hash(state),
            Reply::Map(pairs) => pairs.hash(state),
            Reply::Attributed { attributes, reply } => (attributes, reply).hash(state),
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
            Reply::Boolean(value) => write!(f, "Boolean({value})"),
            Reply::Double(value) => write!(f, "Double({value:?})"),
            Reply::BigNumber(digits) => write!(f, "BigNumber({})", Escaped::new(digits)),
            Reply::BulkError(text) => write!(f, "BulkError({})", Escaped::new(text)),
            Reply::Verbatim { format, text } => {
                write!(f, "Verbatim({}, {})", Escaped::new(format), Escaped::new(text))
            }
            Reply::Map(pairs) => fmt::Debug::fmt(&DebugPairs(pairs), f),
            Reply::Set(elements) => f.debug_set().entries(elements).finish(),
            Reply::Push(elements) => f.debug_tuple("Push").field(elements).finish(),
            Reply::Attributed { attributes, reply } => {
                let attributes = DebugPairs(attributes);
                f.debug_struct("Attributed").field("attributes", &attributes).field("reply", reply).finish()
            }
        }
    }
}

struct DebugPairs<'a>(&'a [(Reply, Reply)]);

impl fmt::Debug for DebugPairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(key, value)| (key, value))).finish()
    }
}
