//! The resumable decoder of commands.

use super::{CommandRef, Span, inline};
use crate::Limits;
use crate::error::{DecodeError, DecodeErrorKind as Kind};
use crate::scan::{Int, int};

/// How many spans are kept for the next command; a command of more gives its memory back.
const KEEP: usize = 16 << 10;

/// Decodes commands, one at a time, from a buffer that the caller owns: the input of a server, and the replication
/// stream.
///
/// ```
/// use rdts_resp::CommandDecoder;
///
/// let mut decoder = CommandDecoder::new();
/// let stream = b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$1\r\nv\r\n\n";
/// // Cut anywhere: nothing is consumed until the frame is whole.
/// assert!(decoder.decode(&stream[..20])?.is_none());
/// let (consumed, command) = decoder.decode(stream)?.expect("a whole frame");
/// assert!(command.name_is(b"SET"));
/// assert_eq!(command.arg(1), Some(&b"k"[..]));
/// assert_eq!(command.raw(), &stream[..consumed]);
/// // The keep-alive behind it is one byte of the offset.
/// let (consumed, command) = decoder.decode(&stream[consumed..])?.expect("a newline");
/// assert!(command.is_empty() && consumed == 1);
/// # Ok::<(), rdts_resp::DecodeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CommandDecoder {
    limits: Limits,
    /// The token to read next, from the start of the frame; 0 when no frame is open.
    at: usize,
    /// Less than this much of the frame tells nothing new.
    need: usize,
    /// Arguments still to come.
    left: usize,
    /// Arguments found so far.
    args: Vec<Span>,
    /// The words of an inline command, unquoted.
    text: Vec<u8>,
}

impl CommandDecoder {
    /// A decoder with the default [`Limits`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder with other limits.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        CommandDecoder { limits, ..Self::default() }
    }

    /// Forgets about an unfinished frame, for use on a new connection.
    pub fn reset(&mut self) {
        *self = Self::with_limits(self.limits);
    }

    /// How many bytes more than `have` the unfinished frame needs at least before another call can tell anything new.
    /// At least 1. A reader may use it to size its next read.
    #[must_use]
    pub fn missing(&self, have: usize) -> usize {
        self.need.saturating_sub(have).max(1)
    }

    /// Decodes the command that `src` starts with: how many bytes it takes, and what it is.
    ///
    /// `None` asks for more: nothing is consumed, and the next call must be given the same bytes followed by more of
    /// them. The decoder goes on where it stopped, so that a command of a million arguments in small pieces costs no
    /// more than in one.
    ///
    /// # Errors
    ///
    /// Bytes that are no command, and commands beyond the [`Limits`]. The stream cannot be used any further.
    #[inline]
    pub fn decode<'a>(&'a mut self, src: &'a [u8]) -> Result<Option<(usize, CommandRef<'a>)>, DecodeError> {
        if src.is_empty() || src.len() < self.need {
            return Ok(None);
        }
        let inline = src[0] != b'*';
        let end = if inline { self.inline(src)? } else { self.array(src)? };
        let Some(end) = end else { return Ok(None) };
        let raw = &src[..end];
        let data = if inline { &self.text[..] } else { raw };
        Ok(Some((end, CommandRef { raw, data, args: &self.args, inline })))
    }

    /// Reads on in an array and gives its end.
    fn array(&mut self, src: &[u8]) -> Result<Option<usize>, DecodeError> {
        let mut at = self.at;
        if at == 0 {
            let Some(next) = self.array_header(src)? else {
                return Ok(None);
            };
            at = next;
        }
        while self.left > 0 {
            let start = match src.get(at) {
                Some(b'$') => match int(src, at + 1) {
                    Int::Done(len, start) => {
                        let end = self.bulk_end(src, at, len, start)?;
                        match src.get(end..) {
                            Some([b'\r', b'\n', ..]) => {}
                            Some([] | [_]) | None => return self.wait(src, at, end + 2),
                            Some(_) => {
                                return Err(DecodeError::new(
                                    Kind::MissingTerminator,
                                    src,
                                    end,
                                    "CR LF behind an argument",
                                ));
                            }
                        }
                        self.args.push(Span { start: position(start), end: position(end) });
                        end + 2
                    }
                    Int::Need => return self.wait(src, at, src.len() + 1),
                    Int::Bad => return Err(bad_bulk_length(src, at)),
                },
                Some(_) => {
                    return Err(DecodeError::new(
                        Kind::UnknownType,
                        src,
                        at,
                        "an argument as in \"$3\\r\\nSET\\r\\n\"",
                    ));
                }
                None => return self.wait(src, at, at + 1),
            };
            at = start;
            self.left -= 1;
        }
        if at > self.limits.frame {
            return Err(self.frame_too_long(src, at));
        }
        self.at = 0;
        self.need = 0;
        Ok(Some(at))
    }

    /// Reads the header of an array and gives the index behind it.
    #[inline(always)]
    fn array_header(&mut self, src: &[u8]) -> Result<Option<usize>, DecodeError> {
        match int(src, 1) {
            Int::Done(len, next) => {
                // Servers take an array of a negative length for an empty one.
                let len = usize::try_from(len).unwrap_or(0);
                if len > self.limits.args {
                    let limit = self.limits.args;
                    return Err(DecodeError::beyond(
                        Kind::TooManyElements,
                        src,
                        0,
                        limit,
                        "arguments in a command (Limits::max_args)",
                    ));
                }
                self.left = len;
                self.clear();
                Ok(Some(next))
            }
            Int::Need => {
                self.need = src.len() + 1;
                Ok(None)
            }
            Int::Bad => {
                Err(DecodeError::new(Kind::InvalidLength, src, 0, "the number of arguments as in \"*3\\r\\n\""))
            }
        }
    }

    /// Where an argument of `len` bytes ends.
    #[inline(always)]
    fn bulk_end(&self, src: &[u8], at: usize, len: i64, start: usize) -> Result<usize, DecodeError> {
        let Ok(len) = usize::try_from(len) else {
            return Err(bad_bulk_length(src, at));
        };
        if len > self.limits.bulk {
            return Err(DecodeError::beyond(
                Kind::BulkTooLong,
                src,
                at,
                self.limits.bulk,
                "bytes in an argument (Limits::max_bulk)",
            ));
        }
        let end = start.saturating_add(len);
        if end > self.limits.frame {
            return Err(self.frame_too_long(src, at));
        }
        Ok(end)
    }

    /// Remembers where to go on once `need` bytes of the frame are there.
    fn wait(&mut self, src: &[u8], at: usize, need: usize) -> Result<Option<usize>, DecodeError> {
        if need > self.limits.frame {
            return Err(self.frame_too_long(src, at));
        }
        self.at = at;
        self.need = need;
        Ok(None)
    }

    /// Reads a line and gives its end.
    fn inline(&mut self, src: &[u8]) -> Result<Option<usize>, DecodeError> {
        let from = self.at.min(src.len());
        let Some(newline) = memchr::memchr(b'\n', &src[from..]) else {
            // A CR at the very end may belong to the terminator.
            if src.len() > self.limits.line.saturating_add(1) {
                return Err(self.line_too_long(src));
            }
            self.clear();
            return self.wait(src, src.len(), src.len() + 1);
        };
        let end = from + newline + 1;
        if end > self.limits.frame {
            return Err(self.frame_too_long(src, 0));
        }
        let line = &src[..end - 1];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > self.limits.line {
            return Err(self.line_too_long(src));
        }
        self.clear();
        inline::split(line, &mut self.text, &mut self.args)?;
        self.at = 0;
        self.need = 0;
        Ok(Some(end))
    }

    #[inline(always)]
    fn clear(&mut self) {
        self.args.clear();
        self.text.clear();
        if self.args.capacity() > KEEP {
            self.args.shrink_to(KEEP);
        }
    }

    #[cold]
    fn line_too_long(&self, src: &[u8]) -> DecodeError {
        DecodeError::beyond(
            Kind::LineTooLong,
            src,
            0,
            self.limits.line,
            "bytes in an inline command (Limits::max_line)",
        )
    }

    #[cold]
    fn frame_too_long(&self, src: &[u8], at: usize) -> DecodeError {
        DecodeError::beyond(Kind::FrameTooLong, src, at, self.limits.frame, "bytes in a frame (Limits::max_frame)")
    }
}

#[cold]
fn bad_bulk_length(src: &[u8], at: usize) -> DecodeError {
    DecodeError::new(Kind::InvalidLength, src, at, "the length of an argument as in \"$3\\r\\n\"")
}

/// [`Limits::max_frame`] is never above what fits.
#[inline(always)]
fn position(index: usize) -> u32 {
    u32::try_from(index).expect("a frame is shorter than 4 GiB")
}
