//! LZF, the compression of strings: decoding into a buffer, decoding in pieces, and encoding.
//!
//! A control byte below 32 announces a run of literals; any other one a copy of bytes that were output before, at most 8,192 back and
//! at most 264 long. So three bytes expand to at most 264, and a claim beyond that can be refused before anything is allocated.

use crate::error::ErrorKind;

/// How far back a copy can reach.
pub(crate) const WINDOW: usize = 8192;

/// Whether `packed` bytes can expand to `full`: not more than 88:1, and no control byte outputs nothing.
#[inline]
pub(crate) fn plausible(packed: u64, full: u64) -> bool {
    full <= packed.saturating_mul(88).saturating_add(264) && packed <= full.saturating_mul(2) && full != 0
}

const CUT: ErrorKind = ErrorKind::BadLzf("it ends inside of a token");
const LONG: ErrorKind = ErrorKind::BadLzf("it expands to more than it claims");
const SHORT: ErrorKind = ErrorKind::BadLzf("it expands to less than it claims");
const BEFORE: ErrorKind = ErrorKind::BadLzf("it refers to bytes before its start");

/// Expands `input` at the end of `out`, to exactly `full` bytes. The caller has checked `full` against a limit.
pub(crate) fn decode(input: &[u8], out: &mut Vec<u8>, full: usize) -> Result<(), ErrorKind> {
    let base = out.len();
    out.resize(base + full, 0);
    let result = decode_into(input, &mut out[base..]);
    if result.is_err() {
        out.truncate(base);
    }
    result
}

fn decode_into(input: &[u8], out: &mut [u8]) -> Result<(), ErrorKind> {
    let mut i = 0;
    let mut o = 0;
    while let Some(&control) = input.get(i) {
        i += 1;
        if control < 32 {
            let len = usize::from(control) + 1;
            let source = input.get(i..i + len).ok_or(CUT)?;
            out.get_mut(o..o + len).ok_or(LONG)?.copy_from_slice(source);
            i += len;
            o += len;
        } else {
            let mut len = usize::from(control >> 5);
            if len == 7 {
                len += usize::from(*input.get(i).ok_or(CUT)?);
                i += 1;
            }
            len += 2;
            let distance = (usize::from(control & 31) << 8 | usize::from(*input.get(i).ok_or(CUT)?)) + 1;
            i += 1;
            let start = o.checked_sub(distance).ok_or(BEFORE)?;
            let end = o + len;
            if end > out.len() {
                return Err(LONG);
            }
            copy_back(out, start, o, len, distance);
            o = end;
        }
    }
    if o == out.len() { Ok(()) } else { Err(SHORT) }
}

/// Copies `len` bytes from `start` to `to`, which lies `distance` behind it; the ranges may overlap, which repeats the bytes between.
#[inline]
fn copy_back(out: &mut [u8], start: usize, to: usize, len: usize, distance: usize) {
    if distance >= len {
        out.copy_within(start..start + len, to);
    } else if distance == 1 {
        let b = out[start];
        out[to..to + len].fill(b);
    } else {
        // Each round doubles what can be copied without overlap.
        let mut done = 0;
        while done < len {
            let n = (distance + done).min(len - done);
            out.copy_within(start..start + n, to + done);
            done += n;
        }
    }
}

/// Expands a long string piece by piece, with 8 KiB of memory for what copies refer to.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// `[0, kept)` is what was output before, `[kept, filled)` the piece that is being made.
    out: Vec<u8>,
    kept: usize,
    filled: usize,
    /// What is still to be output.
    left: u64,
    literals: usize,
    copy: usize,
    distance: usize,
}

impl Stream {
    /// Starts a string of `full` bytes that comes in pieces of at most `chunk`.
    pub(crate) fn start(&mut self, full: u64, chunk: usize) {
        self.out.clear();
        self.out.resize(WINDOW + chunk, 0);
        self.kept = 0;
        self.filled = 0;
        self.left = full;
        self.literals = 0;
        self.copy = 0;
        self.distance = 0;
    }

    /// The piece that was made, as a range of [`Self::buffer`].
    pub(crate) fn piece(&self) -> (usize, usize) {
        (self.kept, self.filled)
    }

    pub(crate) fn buffer(&self) -> &[u8] {
        &self.out
    }

    /// Makes the next piece out of `input`, of which `last` says that nothing follows. Gives the number of bytes used. The piece may be
    /// empty (`input` held less than a token); it is full, or `input` is used up, or what remains of it is an incomplete token.
    pub(crate) fn run(&mut self, input: &[u8], last: bool) -> Result<usize, ErrorKind> {
        if self.filled > WINDOW {
            self.out.copy_within(self.filled - WINDOW..self.filled, 0);
            self.kept = WINDOW;
        } else {
            self.kept = self.filled;
        }
        self.filled = self.kept;
        let room = self.out.len() - WINDOW;
        let end = self.kept + usize::try_from(self.left).map_or(room, |left| left.min(room));
        let mut i = 0;
        loop {
            if self.literals > 0 {
                let n = self.literals.min(end - self.filled).min(input.len() - i);
                self.out[self.filled..self.filled + n].copy_from_slice(&input[i..i + n]);
                i += n;
                self.filled += n;
                self.literals -= n;
                if self.literals > 0 {
                    break;
                }
            }
            if self.copy > 0 {
                let n = self.copy.min(end - self.filled);
                copy_back(&mut self.out, self.filled - self.distance, self.filled, n, self.distance);
                self.filled += n;
                self.copy -= n;
                if self.copy > 0 {
                    break;
                }
            }
            let Some(&control) = input.get(i) else { break };
            if self.filled == end {
                break;
            }
            if control < 32 {
                self.literals = usize::from(control) + 1;
                i += 1;
                continue;
            }
            let long = control >> 5 == 7;
            let size = if long { 3 } else { 2 };
            let Some(token) = input.get(i..i + size) else { break };
            self.copy = usize::from(control >> 5) + 2 + if long { usize::from(token[1]) } else { 0 };
            self.distance = (usize::from(control & 31) << 8 | usize::from(token[size - 1])) + 1;
            if self.distance > self.filled {
                return Err(BEFORE);
            }
            i += size;
        }
        self.left -= (self.filled - self.kept) as u64;
        if self.left == 0 && (self.literals > 0 || self.copy > 0 || i < input.len()) {
            return Err(LONG);
        }
        if last && self.left > 0 && self.filled < end {
            return Err(if i == input.len() && self.literals == 0 { SHORT } else { CUT });
        }
        Ok(i)
    }
}

/// Compresses `input` at the end of `out` if that makes it at least 4 bytes shorter, as servers do; gives the compressed length.
pub(crate) fn encode(input: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    const BITS: u32 = 14;
    let max = input.len().checked_sub(4)?;
    let base = out.len();
    let mut table = vec![0u32; 1 << BITS];
    let mut literal_start = 0;
    let mut i = 0;
    while i + 2 < input.len() {
        let key = u32::from(input[i]) << 16 | u32::from(input[i + 1]) << 8 | u32::from(input[i + 2]);
        let slot = (key.wrapping_mul(0x9E37_79B1) >> (32 - BITS)) as usize;
        // Positions are stored plus one, so that zero means none.
        let candidate = std::mem::replace(&mut table[slot], u32::try_from(i + 1).ok()?) as usize;
        let found =
            candidate > 0 && i + 1 - candidate <= WINDOW && input[candidate - 1..candidate + 2] == input[i..i + 3];
        if !found {
            i += 1;
            continue;
        }
        let from = candidate - 1;
        let longest = (input.len() - i).min(264);
        let len = 3 + input[from + 3..].iter().zip(&input[i + 3..i + longest]).take_while(|(a, b)| a == b).count();
        put_literals(&input[literal_start..i], out);
        let back = i - from - 1;
        let high = u8::try_from(back >> 8).ok()?;
        if len - 2 < 7 {
            out.push(u8::try_from(len - 2).ok()? << 5 | high);
        } else {
            out.push(7 << 5 | high);
            out.push(u8::try_from(len - 9).ok()?);
        }
        out.push(u8::try_from(back & 0xFF).ok()?);
        i += len;
        literal_start = i;
        if out.len() - base > max {
            out.truncate(base);
            return None;
        }
    }
    put_literals(&input[literal_start..], out);
    if out.len() - base > max {
        out.truncate(base);
        return None;
    }
    Some(out.len() - base)
}

fn put_literals(literals: &[u8], out: &mut Vec<u8>) {
    for run in literals.chunks(32) {
        out.push(u8::try_from(run.len() - 1).unwrap_or(0));
        out.extend_from_slice(run);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]
    use super::*;
    use proptest::prelude::*;

    fn whole(input: &[u8], full: usize) -> Result<Vec<u8>, ErrorKind> {
        let mut out = Vec::new();
        decode(input, &mut out, full).map(|()| out)
    }

    fn in_pieces(input: &[u8], full: usize, chunk: usize, feed: usize) -> Result<Vec<u8>, ErrorKind> {
        let mut stream = Stream::default();
        stream.start(full as u64, chunk);
        let mut out = Vec::new();
        let mut at = 0;
        let mut seen = feed;
        while out.len() < full || at < input.len() {
            let end = (at + seen).min(input.len());
            let used = stream.run(&input[at..end], end == input.len())?;
            let (a, b) = stream.piece();
            out.extend_from_slice(&stream.buffer()[a..b]);
            at += used;
            seen = if used == 0 { seen + 1 } else { feed };
        }
        Ok(out)
    }

    #[test]
    fn runs_and_overlaps() {
        assert_eq!(whole(&[0x01, 0x6D, 0x6D, 0xE0, 0x33, 0x00, 0x01, 0x6D, 0x6D], 64).unwrap(), vec![b'm'; 64]);
        assert_eq!(whole(&[0x02, b'a', b'b', b'c', 0xE0, 0x00, 0x02], 12).unwrap(), b"abcabcabcabc");
        for (bad, full) in
            [(&[0x20, 0x00][..], 3), (&[0x05, 1], 6), (&[0xE0], 9), (&[0x00, b'a'], 2), (&[0x01, b'a', b'b'], 1)]
        {
            assert!(whole(bad, full).is_err(), "{bad:?}");
            assert!(in_pieces(bad, full, 1024, 1).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_compressed_expands_again(
            words in prop::collection::vec((0u8..6, 1usize..40), 0..300), chunk in 1usize..600, feed in 1usize..50,
        ) {
            let text: Vec<u8> = words.iter().flat_map(|&(c, n)| (0..n).map(move |i| c.wrapping_mul(i as u8 % 5))).collect();
            let mut packed = Vec::new();
            if let Some(len) = encode(&text, &mut packed) {
                prop_assert_eq!(len, packed.len());
                prop_assert!(plausible(len as u64, text.len() as u64));
                prop_assert_eq!(&whole(&packed, text.len()).unwrap(), &text);
                prop_assert_eq!(&in_pieces(&packed, text.len(), chunk, feed).unwrap(), &text);
                prop_assert_eq!(&lzf::decompress(&packed, text.len()).unwrap(), &text);
            }
        }

        #[test]
        fn any_bytes_give_the_same_in_pieces_as_whole(
            input in prop::collection::vec(prop_oneof![0u8..4, 30u8..36, any::<u8>()], 0..60), full in 1usize..700, chunk in 1usize..90, feed in 1usize..9,
        ) {
            let a = whole(&input, full);
            let b = in_pieces(&input, full, chunk, feed);
            prop_assert_eq!(a.is_ok(), b.is_ok(), "{:?} {:?}", a, b);
            if let (Ok(a), Ok(b)) = (a, b) {
                prop_assert_eq!(&a, &b);
                prop_assert_eq!(lzf::decompress(&input, full).unwrap(), a);
            }
        }
    }
}
