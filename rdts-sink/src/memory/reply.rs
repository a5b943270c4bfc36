//! What a command that was applied answers.

/// A server's answer to a command, in the shape of RESP2; scores stay numbers, because their text differs between
/// versions (`%.17g` up to Redis 7.0, the shortest text since 7.2).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// A status line, `+OK`.
    Status(&'static str),
    /// An integer.
    Integer(i64),
    /// A score or a distance; a bulk string on the wire.
    Double(f64),
    /// A bulk string.
    Bulk(Vec<u8>),
    /// The null bulk string, or the null array.
    Nil,
    /// An array.
    Array(Vec<Reply>),
}

impl Reply {
    /// `+OK`.
    pub(super) const OK: Self = Self::Status("OK");

    /// A number of things: they live in memory, so there are never more than `i64::MAX`.
    pub(super) fn count(n: usize) -> Self {
        Self::Integer(i64::try_from(n).unwrap_or(i64::MAX))
    }

    /// 1 or 0.
    pub(super) fn flag(yes: bool) -> Self {
        Self::Integer(i64::from(yes))
    }

    pub(super) fn bulk(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bulk(bytes.into())
    }

    pub(super) fn bulk_or_nil(bytes: Option<impl Into<Vec<u8>>>) -> Self {
        bytes.map_or(Self::Nil, |b| Self::Bulk(b.into()))
    }
}
