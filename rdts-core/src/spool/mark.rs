//! The mark at the end of a snapshot whose length nobody knows.

use memchr::memmem;

/// Looks for the delimiter in a transfer that comes in pieces.
///
/// The parser knows better where the snapshot ends, but it may be far behind. The mark is 40 random characters that no client
/// knows, so that it is in no value; the parser checks it all the same.
#[derive(Debug)]
pub(super) struct Mark {
    mark: [u8; 40],
    /// The end of what came before.
    tail: Vec<u8>,
}

impl Mark {
    pub(super) fn new(mark: [u8; 40]) -> Self {
        Self { mark, tail: Vec::new() }
    }

    /// How many of `bytes` belong to the transfer, if it ends in them.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let overlap = self.tail.len();
        self.tail.extend_from_slice(&bytes[..bytes.len().min(self.mark.len() - 1)]);
        let found = match memmem::find(&self.tail, &self.mark) {
            Some(at) => Some(at + self.mark.len() - overlap),
            None => memmem::find(bytes, &self.mark).map(|at| at + self.mark.len()),
        };
        let keep = self.mark.len() - 1;
        if bytes.len() >= keep {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - keep..]);
        } else {
            let surplus = self.tail.len().saturating_sub(keep);
            self.tail.drain(..surplus);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_found_however_the_transfer_is_cut() {
        let mark: [u8; 40] = std::array::from_fn(|i| b"0123456789abcdef"[i * 7 % 16]);
        // The beginning of the mark comes again and again before it does as a whole.
        let transfer = [&mark[..39], &mark[..20], b"xyz", &mark[..1], &mark[..], b"stream"].concat();
        let end = transfer.len() - 6;
        for piece in 1..=transfer.len() {
            let mut finder = Mark::new(mark);
            let mut at = 0;
            let found = transfer.chunks(piece).find_map(|bytes| {
                let found = finder.find(bytes).map(|n| at + n);
                at += bytes.len();
                found
            });
            assert_eq!(found, Some(end), "pieces of {piece}");
        }
        assert_eq!(Mark::new(mark).find(&mark[1..]), None);
    }
}
