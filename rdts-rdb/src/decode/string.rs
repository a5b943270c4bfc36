//! String values: in one piece when short, else in pieces as they arrive.

use super::{Decoder, Env, State};
use crate::error::{ErrorKind, Limit};
use crate::str::INT_TEXT;
use crate::tok::{Maybe, Source, Span, Tok};
use crate::token::{self, Halt, Leaf, StrHead};

/// Where the string value at the start of `data` is, if it is plain, there as a whole and not above `max`: what most of them are.
#[inline(always)]
pub(crate) fn at_once(data: &[u8], max: usize) -> Option<Span> {
    let (start, len) = match *data {
        [len @ 0..0x40, ..] => (1, usize::from(len)),
        [high @ 0x40..0x80, low, ..] => (2, usize::from(high & 0x3F) << 8 | usize::from(low)),
        _ => return None,
    };
    (len <= max && len <= data.len() - start).then(|| Span::new(Source::Data, start, start + len))
}

impl Decoder {
    #[inline]
    pub(super) fn begin_string(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let (head, start) = token::str_head(data, *at)?;
        match head {
            StrHead::Plain(len) => {
                if len <= env.limits.chunk as u64 {
                    let end = token::end_of(data, start, token::admit(len, env.limits.chunk, Limit::String, *at)?)?;
                    *at = end;
                    self.state = State::End;
                    return env.give(Tok::String {
                        total: len,
                        offset: 0,
                        data: Span::new(Source::Data, start, end),
                        int: Maybe::NONE,
                    });
                }
                self.admit_string(env, len, *at)?;
                self.state = State::String;
            }
            StrHead::Int(i) => {
                let scratch = &mut env.buffers.scratch;
                scratch.reserve(INT_TEXT);
                scratch.extend_from_slice(itoa::Buffer::new().format(i).as_bytes());
                let len = scratch.len();
                *at = start;
                self.state = State::End;
                return env.give(Tok::String {
                    total: len as u64,
                    offset: 0,
                    data: Span::new(Source::Scratch, 0, len),
                    int: Some(i).into(),
                });
            }
            StrHead::Lzf { packed, full } => {
                if full <= env.limits.chunk as u64 {
                    let max = env.limits.chunk;
                    let (span, next) = super::whole_bytes(env, data, *at, max, Limit::String)?;
                    *at = next;
                    self.state = State::End;
                    return env.give(Tok::String { total: full, offset: 0, data: span, int: Maybe::NONE });
                }
                self.admit_string(env, full, *at)?;
                self.packed_left = packed;
                self.packed_start = env.base + *at as u64;
                env.buffers.lzf.start(full, env.limits.chunk);
                self.state = State::LzfString;
            }
        }
        *at = start;
        Ok(false)
    }

    fn admit_string(&mut self, env: &Env<'_>, len: u64, at: usize) -> Leaf<()> {
        if len > env.limits.max_string {
            return Err(Halt::fail(
                ErrorKind::LimitExceeded { limit: Limit::String, claimed: len, max: env.limits.max_string },
                at,
            ));
        }
        self.total = len;
        self.done = 0;
        Ok(())
    }

    /// A piece of a long string that is not compressed: whatever has arrived.
    pub(super) fn string(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let left = self.total - self.done;
        let here = data.len() - *at;
        if here == 0 {
            return Err(Halt::Need(
                *at + usize::try_from(left).map_or(env.limits.chunk, |left| left.min(env.limits.chunk)),
            ));
        }
        let n = usize::try_from(left).map_or(here, |left| left.min(here)).min(env.limits.chunk);
        let piece = Tok::String {
            total: self.total,
            offset: self.done,
            data: Span::new(Source::Data, *at, *at + n),
            int: Maybe::NONE,
        };
        *at += n;
        self.done += n as u64;
        if self.done == self.total {
            self.state = State::End;
        }
        env.give(piece)
    }

    /// A piece of a long string that is compressed. What is wrong with it is reported at the string's start: how far into it the machine is
    /// when it notices depends on how the input is cut.
    pub(super) fn lzf_string(&mut self, env: &mut Env<'_>, data: &[u8], at: &mut usize) -> Leaf<bool> {
        let here = &data[*at..];
        let (input, last) = match usize::try_from(self.packed_left) {
            Ok(left) if left <= here.len() => (&here[..left], true),
            _ => (here, false),
        };
        let lzf = &mut env.buffers.lzf;
        let used = lzf.run(input, last).map_err(|kind| Halt::fail_absolute(kind, self.packed_start))?;
        *at += used;
        self.packed_left -= used as u64;
        let (start, end) = lzf.piece();
        if start == end {
            // Less than a token was there. It has at most three bytes, and the head of the string says that more follow.
            return if last {
                Err(Halt::fail_absolute(ErrorKind::BadLzf("it ends inside of a token"), self.packed_start))
            } else {
                Err(Halt::Need(data.len() + 1))
            };
        }
        let piece = Tok::String {
            total: self.total,
            offset: self.done,
            data: Span::new(Source::Lzf, start, end),
            int: Maybe::NONE,
        };
        self.done += (end - start) as u64;
        if self.done == self.total {
            if self.packed_left > 0 {
                let kind = ErrorKind::BadLzf("it expands to more than it claims");
                return Err(Halt::fail_absolute(kind, self.packed_start));
            }
            self.state = State::End;
        }
        env.give(piece)
    }
}
