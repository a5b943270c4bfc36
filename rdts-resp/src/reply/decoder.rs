//! The resumable decoder of replies.

use super::token::{Token, token};
use super::{ArrayRef, ReplyRef};
use crate::Limits;
use crate::error::{DecodeError, DecodeErrorKind as Kind};
use crate::scan::{Int, int};

/// Decodes replies, one at a time, from a buffer that the caller owns.
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
#[derive(Clone, Debug, Default)]
pub struct ReplyDecoder {
    limits: Limits,
    /// The token to read next, from the start of the frame; 0 when no frame is open.
    at: usize,
    /// Less than this much of the frame tells nothing new.
    need: usize,
    /// No terminator of the line at `at` starts before this.
    searched: usize,
    /// The elements still to come of each open array, outermost first.
    open: Vec<usize>,
    /// Elements of the outermost array.
    len: usize,
    /// Where the elements of the outermost array start.
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
    /// Bytes that are no reply of RESP2, and replies beyond the [`Limits`]. The stream cannot be used any further.
    #[inline]
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
        loop {
            match token(src, self.at, self.searched, &self.limits)? {
                Token::Need(need, searched) => return self.wait(src, need, searched),
                Token::Scalar(reply, next) => {
                    self.go_to(src, next)?;
                    if self.open.is_empty() {
                        self.finish();
                        return Ok(Some((next, reply)));
                    }
                    if self.close() {
                        let array = ArrayRef { len: self.len, bytes: &src[self.start..next] };
                        self.finish();
                        return Ok(Some((next, ReplyRef::Array(array))));
                    }
                }
                Token::Array(len, next) => {
                    if self.open.len() >= self.limits.depth {
                        let limit = self.limits.depth;
                        return Err(DecodeError::beyond(
                            Kind::TooDeep,
                            src,
                            self.at,
                            limit,
                            "arrays inside each other (Limits::max_depth)",
                        ));
                    }
                    self.go_to(src, next)?;
                    if self.open.is_empty() {
                        self.len = len;
                        self.start = next;
                    }
                    self.open.push(len);
                }
            }
        }
    }

    /// Counts one element as complete, and every array that is complete with it. Whether that was the outermost one.
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
