//! The resumable decoder of replies.

use super::ReplyRef;
use super::aggregate::Aggregate;
use super::token::{Token, any_token, token};
use crate::Limits;
use crate::error::{DecodeError, DecodeErrorKind as Kind};
use crate::scan::{Int, int};

/// Decodes replies, one at a time, from a buffer that the caller owns.
///
/// It takes RESP2 and RESP3 without being told which: each reply starts with a byte that says its type. A server speaks
/// RESP3 from its reply to `HELLO 3` on; the reply may be read with the same decoder as those before it.
///
/// ```
/// use rdts_resp::ReplyDecoder;
///
/// let mut decoder = ReplyDecoder::new();
/// // Half a frame: nothing is consumed, the decoder remembers how far it has looked.
/// assert!(decoder.decode(b"$5\r\nhel")?.is_none());
/// // The same bytes and more.
/// let (consumed, reply) = decoder.decode(b"$5\r\nhello\r\n:1\r\n")?.expect("a whole frame");
/// assert_eq!(consumed, 11);
/// assert_eq!(reply.as_str(), Some("hello"));
/// # Ok::<(), rdts_resp::DecodeError>(())
/// ```
///
/// What a server answers to `HELLO 3`, and what it sends when it likes:
///
/// ```
/// use rdts_resp::ReplyDecoder;
///
/// let stream = b"%3\r\n$6\r\nserver\r\n$6\r\nvalkey\r\n$5\r\nproto\r\n:3\r\n$4\r\nrole\r\n$6\r\nmaster\r\n\
///                >2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nkey\r\n";
/// let mut decoder = ReplyDecoder::new();
/// let (consumed, reply) = decoder.decode(stream)?.expect("a whole frame");
/// let hello = reply.as_map().expect("a map");
/// assert_eq!(hello.get("proto").and_then(|value| value.as_integer()), Some(3));
/// assert_eq!(hello.get("role").and_then(|value| value.as_str()), Some("master"));
///
/// let (_, push) = decoder.decode(&stream[consumed..])?.expect("a whole frame");
/// let kind = push.as_push().and_then(|elements| elements.iter().next());
/// assert_eq!(kind.and_then(|kind| kind.as_str()), Some("invalidate"));
/// # Ok::<(), rdts_resp::DecodeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ReplyDecoder {
    limits: Limits,
    /// The token to read next, from the start of the frame; 0 when no frame is open.
    at: usize,
    /// Less than this much of the frame tells nothing new.
    need: usize,
    /// No terminator of the line at `at` starts before this.
    searched: usize,
    /// The replies still to come of each open aggregate, outermost first.
    open: Vec<usize>,
    /// What the outermost aggregate is.
    outermost: Aggregate,
    /// The length that its header says.
    len: usize,
    /// Where the replies in it start.
    start: usize,
}

impl ReplyDecoder {
    /// A decoder with the default [`Limits`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder with other limits.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        ReplyDecoder { limits, ..Self::default() }
    }

    /// Forgets about an unfinished frame, for use on a new connection.
    pub fn reset(&mut self) {
        *self = Self::with_limits(self.limits);
    }

    /// Decodes the reply that `src` starts with: how many bytes it takes, and what it is.
    ///
    /// `None` asks for more: nothing is consumed, and the next call must be given the same bytes followed by more of
    /// them. The decoder goes on where it stopped, so that a big reply in small pieces costs no more than in one.
    /// For how many more it is worth waiting, see [`missing`](ReplyDecoder::missing).
    ///
    /// # Errors
    ///
    /// Bytes that are no reply of RESP2 or RESP3, streamed strings and aggregates (RESP3's `$?` and `*?`, which neither
    /// Redis nor Valkey sends), and replies beyond the [`Limits`]. The stream cannot be used any further.
    // Always, as this is hot where it is called, and the reply is then taken apart in registers.
    #[inline(always)]
    pub fn decode<'a>(&mut self, src: &'a [u8]) -> Result<Option<(usize, ReplyRef<'a>)>, DecodeError> {
        // What a pipeline of writes is answered with, before everything else.
        if self.at == 0 {
            match src {
                [b'+', b'O', b'K', b'\r', b'\n', ..] => {
                    self.finish();
                    return Ok(Some((5, ReplyRef::Simple(&src[1..3]))));
                }
                [b':', ..] => {
                    if let Int::Done(value, next) = int(src, 1) {
                        self.finish();
                        return Ok(Some((next, ReplyRef::Integer(value))));
                    }
                }
                _ => {}
            }
        }
        self.decode_any(src)
    }

    /// How many bytes more than `have` the unfinished frame needs at least before another call can tell anything new.
    /// At least 1. A reader may use it to size its next read.
    #[must_use]
    pub fn missing(&self, have: usize) -> usize {
        self.need.saturating_sub(have).max(1)
    }

    fn decode_any<'a>(&mut self, src: &'a [u8]) -> Result<Option<(usize, ReplyRef<'a>)>, DecodeError> {
        if src.len() < self.need {
            return Ok(None);
        }
        self.run::<false>(src)
    }

    /// Reads token after token, with or without those of RESP3: RESP2 is quicker where they are not in sight.
    fn run<'a, const RESP3: bool>(&mut self, src: &'a [u8]) -> Result<Option<(usize, ReplyRef<'a>)>, DecodeError> {
        loop {
            let read = if RESP3 { any_token } else { token };
            match read(src, self.at, self.searched, &self.limits)? {
                // All that was read so far is in `self`.
                Token::Other => return self.run::<true>(src),
                Token::Need(need, searched) => return self.wait(src, need, searched),
                Token::Scalar(reply, next) => {
                    self.go_to(src, next)?;
                    if self.open.is_empty() {
                        self.finish();
                        return Ok(Some((next, reply)));
                    }
                    if self.close() {
                        let reply = self.outermost.reply(self.len, &src[self.start..next]);
                        self.finish();
                        return Ok(Some((next, reply)));
                    }
                }
                Token::Open(aggregate, len, next) => {
                    if self.open.len() >= self.limits.depth {
                        let limit = self.limits.depth;
                        return Err(DecodeError::beyond(
                            Kind::TooDeep,
                            src,
                            self.at,
                            limit,
                            "aggregates inside each other (Limits::max_depth)",
                        ));
                    }
                    self.go_to(src, next)?;
                    if self.open.is_empty() {
                        self.outermost = aggregate;
                        self.len = len;
                        self.start = next;
                    }
                    self.open.push(aggregate.children(len));
                }
            }
        }
    }

    /// Counts one reply as complete, and every aggregate that is complete with it. Whether that was the outermost one.
    #[inline(always)]
    fn close(&mut self) -> bool {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return false;
            }
            self.open.pop();
        }
        true
    }

    #[inline(always)]
    fn go_to(&mut self, src: &[u8], next: usize) -> Result<(), DecodeError> {
        if next > self.limits.frame {
            return Err(self.frame_too_long(src));
        }
        self.at = next;
        self.searched = 0;
        Ok(())
    }

    fn wait<'a>(
        &mut self,
        src: &'a [u8],
        need: usize,
        searched: usize,
    ) -> Result<Option<(usize, ReplyRef<'a>)>, DecodeError> {
        if need > self.limits.frame {
            return Err(self.frame_too_long(src));
        }
        self.need = need;
        self.searched = searched;
        Ok(None)
    }

    #[cold]
    fn frame_too_long(&self, src: &[u8]) -> DecodeError {
        DecodeError::beyond(Kind::FrameTooLong, src, self.at, self.limits.frame, "bytes in a frame (Limits::max_frame)")
    }

    #[inline(always)]
    fn finish(&mut self) {
        self.at = 0;
        self.need = 0;
        self.searched = 0;
    }
}
