//! The readers' buffer.

use bytes::BytesMut;

/// Bytes that were read and not consumed. Grows only when it is full of them, to at most twice their number, whatever a file claims.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// How much is read at once: large enough for the system calls not to matter, small enough to stay in the cache.
pub(crate) const CAPACITY: usize = 128 * 1024;

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0 }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn with(unread: &[u8]) -> Self {
        Self { bytes: unread.to_vec(), start: 0, end: unread.len() }
    }

    #[inline]
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    #[inline]
    pub(crate) fn consume(&mut self, n: usize) {
        // Adding nothing would make all that follows wait for it.
        if n > 0 {
            self.start += n;
        }
    }

    /// The place of the first filled byte, for [`Self::since`].
    #[inline]
    pub(crate) fn mark(&self) -> usize {
        self.start
    }

    /// What was filled from a mark on, though it may be consumed by now. Valid until [`Self::room`] is called.
    #[inline]
    pub(crate) fn since(&self, mark: usize) -> &[u8] {
        &self.bytes[mark..self.end]
    }

    /// Room for more, behind the filled part.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            self.bytes.resize((self.end * 2).max(CAPACITY), 0);
        }
        &mut self.bytes[self.end..]
    }

    pub(crate) fn filled_more(&mut self, n: usize) {
        self.end += n;
    }

    pub(crate) fn into_unread(self) -> BytesMut {
        BytesMut::from(self.filled())
    }
}
