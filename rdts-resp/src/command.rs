//! Commands: what a client sends, and what a replication stream consists of.

mod decoder;
mod inline;

use std::fmt;

use crate::Escaped;

pub use decoder::CommandDecoder;

/// Where an argument lies in the bytes it is cut from. 32 bits are enough: no frame is longer.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[inline(always)]
    fn of<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        // Outside only if the caller gave other bytes than before: unspecified then, but no reason to panic.
        data.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// One command, borrowed from the bytes that were decoded and from the decoder.
///
/// A command may be empty: bare newlines, which servers send as keep-alives, and `*0` are consumed as commands of no
/// arguments, so that a caller that counts offsets sees every byte.
#[derive(Clone, Copy)]
pub struct CommandRef<'a> {
    raw: &'a [u8],
    /// What the spans refer to: the frame itself, or the unquoted text of an inline command.
    data: &'a [u8],
    args: &'a [Span],
    inline: bool,
}

impl<'a> CommandRef<'a> {
    /// How many arguments there are, the name included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.args.len()
    }

    /// Whether there is nothing to run: a bare newline, `*0` or a blank inline command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.args.is_empty()
    }

    /// The argument at `index`; the name is at 0.
    #[inline]
    #[must_use]
    pub fn arg(&self, index: usize) -> Option<&'a [u8]> {
        self.args.get(index).map(|span| span.of(self.data))
    }

    /// Goes through the arguments, the name first.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> Args<'a> {
        Args { data: self.data, spans: self.args.iter() }
    }

    /// The name as it was sent; nothing if the command is empty.
    #[inline]
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.arg(0).unwrap_or_default()
    }

    /// Whether the name is `name`, in upper or lower case.
    #[inline]
    #[must_use]
    pub fn name_is(&self, name: &[u8]) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }

    /// The whole frame as it came. Its length is what replication offsets count, and it can be forwarded as it is.
    #[inline]
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether it came as a line of words and not as an array.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        self.inline
    }
}

impl<'a> IntoIterator for CommandRef<'a> {
    type Item = &'a [u8];
    type IntoIter = Args<'a>;

    fn into_iter(self) -> Args<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &CommandRef<'a> {
    type Item = &'a [u8];
    type IntoIter = Args<'a>;

    fn into_iter(self) -> Args<'a> {
        self.iter()
    }
}

impl fmt::Debug for CommandRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Escaped::new)).finish()
    }
}

/// Goes through the arguments of a [`CommandRef`].
#[derive(Clone)]
pub struct Args<'a> {
    data: &'a [u8],
    spans: std::slice::Iter<'a, Span>,
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.spans.next().map(|span| span.of(self.data))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl DoubleEndedIterator for Args<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.spans.next_back().map(|span| span.of(self.data))
    }
}

impl ExactSizeIterator for Args<'_> {}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone().map(Escaped::new)).finish()
    }
}
