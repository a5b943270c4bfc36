//! The end of the stream that is kept for replicas: for those that lag and for those that come back.

use std::collections::VecDeque;

/// Bytes in a piece; memory is taken and given back by the piece.
const PIECE: usize = 64 << 10;

/// The last bytes of the stream, by their offsets.
///
/// An offset counts bytes, so the byte at index 0 of a stream that starts at offset 0 takes the stream from offset 0
/// to 1.
#[derive(Debug)]
pub(super) struct Backlog {
    /// All are full but the last.
    pieces: VecDeque<Vec<u8>>,
    /// Where the first piece starts.
    base: u64,
    /// The first offset that can be read from; what is before it in the first piece is forgotten.
    first: u64,
    end: u64,
}

impl Backlog {
    /// An empty one, of a stream that starts at `offset`.
    pub(super) fn new(offset: u64) -> Self {
        Self { pieces: VecDeque::new(), base: offset, first: offset, end: offset }
    }

    /// The offset behind the last byte.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The earliest offset from which everything is there.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Whether everything from `offset` on is there.
    pub(super) fn reaches(&self, offset: u64) -> bool {
        (self.first..=self.end).contains(&offset)
    }

    pub(super) fn append(&mut self, mut bytes: &[u8]) {
        self.end += bytes.len() as u64;
        while !bytes.is_empty() {
            match self.pieces.back_mut() {
                Some(piece) if piece.len() < PIECE => {
                    let (now, later) = bytes.split_at(bytes.len().min(PIECE - piece.len()));
                    piece.extend_from_slice(now);
                    bytes = later;
                }
                _ => self.pieces.push_back(Vec::with_capacity(PIECE)),
            }
        }
    }

    /// Forgets what is before `offset`.
    pub(super) fn forget_before(&mut self, offset: u64) {
        self.first = self.first.max(offset.min(self.end));
        while self.first - self.base >= PIECE as u64 {
            self.pieces.pop_front();
            self.base += PIECE as u64;
        }
    }

    /// What stands at `offset` and is in one piece; nothing at the end.
    pub(super) fn read(&self, offset: u64) -> &[u8] {
        let Some(skip) = offset.checked_sub(self.base).and_then(|skip| usize::try_from(skip).ok()) else {
            return &[];
        };
        let piece = self.pieces.get(skip / PIECE);
        piece.and_then(|piece| piece.get(skip % PIECE..)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was appended, as one piece.
    fn stream(len: usize) -> Vec<u8> {
        (0..=250).cycle().take(len).collect()
    }

    fn read_all(backlog: &Backlog, mut offset: u64) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let part = backlog.read(offset);
            if part.is_empty() {
                return all;
            }
            all.extend_from_slice(part);
            offset += part.len() as u64;
        }
    }

    #[test]
    fn everything_is_read_back_from_any_offset() {
        let stream = stream(3 * PIECE + 17);
        let mut backlog = Backlog::new(1000);
        for part in stream.chunks(777) {
            backlog.append(part);
        }
        assert_eq!(backlog.end(), 1000 + stream.len() as u64);
        for skip in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, stream.len() - 1, stream.len()] {
            assert!(backlog.reaches(1000 + skip as u64));
            assert!(read_all(&backlog, 1000 + skip as u64) == stream[skip..], "from {skip}");
        }
        assert!(!backlog.reaches(999) && !backlog.reaches(backlog.end() + 1));
        assert!(backlog.read(999).is_empty() && backlog.read(u64::MAX).is_empty());
    }

    #[test]
    fn what_is_forgotten_gives_its_memory_back() {
        let stream = stream(10 * PIECE);
        let mut backlog = Backlog::new(5);
        for part in stream.chunks(1000) {
            backlog.append(part);
            backlog.forget_before(backlog.end().saturating_sub(100));
            assert!(backlog.pieces.len() <= 2);
        }
        assert_eq!(backlog.first(), backlog.end() - 100);
        assert_eq!(read_all(&backlog, backlog.first()), stream[stream.len() - 100..]);
        backlog.forget_before(0);
        assert_eq!(backlog.first(), backlog.end() - 100);
        backlog.forget_before(u64::MAX);
        assert_eq!(backlog.first(), backlog.end());
        backlog.append(b"on");
        assert_eq!(read_all(&backlog, backlog.first()), b"on");
    }
}
