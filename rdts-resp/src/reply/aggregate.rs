//! Replies that have other replies in them. Nothing is stored per element: iterating reads the bytes again, a few
//! nanoseconds for each.

use std::fmt;

use super::ReplyRef;
use super::token::{element, skip};

/// What kinds of aggregates there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Aggregate {
    #[default]
    Array,
    Set,
    Push,
    Map,
    /// Attributes and the reply that they belong to.
    Attributed,
}

impl Aggregate {
    /// How many replies are directly in one whose header says `len`.
    #[inline(always)]
    pub(super) fn children(self, len: usize) -> usize {
        match self {
            Aggregate::Array | Aggregate::Set | Aggregate::Push => len,
            Aggregate::Map => len.saturating_mul(2),
            Aggregate::Attributed => len.saturating_mul(2).saturating_add(1),
        }
    }

    /// The reply whose header says `len` and whose replies are in `bytes`.
    #[inline(always)]
    pub(super) fn reply(self, len: usize, bytes: &[u8]) -> ReplyRef<'_> {
        match self {
            Aggregate::Array => ReplyRef::Array(ArrayRef { len, bytes }),
            Aggregate::Set => ReplyRef::Set(ArrayRef { len, bytes }),
            Aggregate::Push => ReplyRef::Push(ArrayRef { len, bytes }),
            Aggregate::Map => ReplyRef::Map(MapRef { len, bytes }),
            Aggregate::Attributed => ReplyRef::Attributed(AttributedRef { len, bytes }),
        }
    }
}

/// The elements of an array, a set or a push, borrowed from the bytes that were decoded.
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

    /// The same, taken as key, value, key, value; `None` if one is left over.
    pub(super) fn to_map(self) -> Option<MapRef<'a>> {
        self.len.is_multiple_of(2).then_some(MapRef { len: self.len / 2, bytes: self.bytes })
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
        let (reply, rest) = element(self.bytes)?;
        self.bytes = rest;
        Some(reply)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Elements<'_> {}

/// The pairs of a map, borrowed from the bytes that were decoded, in the order in which they came.
///
/// Nothing is stored per pair: iterating reads the bytes again, a few nanoseconds for each key and each value.
#[derive(Clone, Copy)]
pub struct MapRef<'a> {
    len: usize,
    bytes: &'a [u8],
}

impl<'a> MapRef<'a> {
    /// How many pairs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Goes through the pairs, key and value.
    #[must_use]
    pub fn iter(&self) -> Pairs<'a> {
        Pairs { left: self.len, bytes: self.bytes }
    }

    /// The value of the first pair whose key is the string `key`. It looks at one pair after the other.
    #[must_use]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<ReplyRef<'a>> {
        let key = key.as_ref();
        self.iter().find(|(found, _)| found.as_bytes() == Some(key)).map(|(_, value)| value)
    }
}

impl<'a> IntoIterator for MapRef<'a> {
    type Item = (ReplyRef<'a>, ReplyRef<'a>);
    type IntoIter = Pairs<'a>;

    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &MapRef<'a> {
    type Item = (ReplyRef<'a>, ReplyRef<'a>);
    type IntoIter = Pairs<'a>;

    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

impl fmt::Debug for MapRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Goes through the pairs of a [`MapRef`].
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    left: usize,
    bytes: &'a [u8],
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (ReplyRef<'a>, ReplyRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // The decoder has been over these bytes, so there always is one more.
        let (key, rest) = element(self.bytes)?;
        let (value, rest) = element(rest)?;
        self.bytes = rest;
        Some((key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Pairs<'_> {}

/// A reply with attributes, borrowed from the bytes that were decoded.
#[derive(Clone, Copy)]
pub struct AttributedRef<'a> {
    /// How many pairs of attributes there are.
    len: usize,
    /// The attributes, and behind them the reply.
    bytes: &'a [u8],
}

impl<'a> AttributedRef<'a> {
    /// What the server says about the reply.
    #[must_use]
    pub fn attributes(&self) -> MapRef<'a> {
        MapRef { len: self.len, bytes: self.bytes }
    }

    /// The reply itself, which in theory can have attributes again. This reads over the attributes: keep the reply
    /// rather than ask twice.
    #[must_use]
    pub fn reply(&self) -> ReplyRef<'a> {
        // The decoder has been over these bytes, so there always is one.
        let start = skip(self.bytes, 0, Aggregate::Map.children(self.len));
        let reply = start.and_then(|start| element(self.bytes.get(start..)?));
        reply.map_or(ReplyRef::Null, |(reply, _)| reply)
    }

    /// What `look` sees of the reply itself, when that is not one with attributes again.
    #[inline(always)]
    pub(super) fn look<T>(self, look: fn(&ReplyRef<'a>) -> T) -> T {
        // Its parts, and not itself: what a call takes by reference has to be in memory, and so would every reply
        // that could have attributes.
        look_inside(self.len, self.bytes, look)
    }
}

#[cold]
#[inline(never)]
fn look_inside<'a, T>(len: usize, bytes: &'a [u8], look: fn(&ReplyRef<'a>) -> T) -> T {
    let mut attributed = AttributedRef { len, bytes };
    loop {
        match attributed.reply() {
            ReplyRef::Attributed(inner) => attributed = inner,
            reply => return look(&reply),
        }
    }
}

impl fmt::Debug for AttributedRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attributed").field("attributes", &self.attributes()).field("reply", &self.reply()).finish()
    }
}
