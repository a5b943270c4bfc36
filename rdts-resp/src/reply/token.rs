//! The tokens that replies are made of.

use super::{ArrayRef, ReplyRef};
use crate::Limits;
use crate::error::{DecodeError, DecodeErrorKind as Kind};
use crate::limits::{DEPTH_CEILING, FRAME_CEILING};
use crate::scan::{Int, int};

/// No bound: for bytes that a decoder has accepted already.
const ANY: Limits = Limits {
    line: FRAME_CEILING,
    bulk: FRAME_CEILING,
    args: FRAME_CEILING,
    elements: FRAME_CEILING,
    depth: DEPTH_CEILING,
    frame: FRAME_CEILING,
};

/// What stands at a place of a frame.
pub(super) enum Token<'a> {
    /// A reply that is no array, and the index behind it.
    Scalar(ReplyRef<'a>, usize),
    /// The header of an array: how many elements, and the index behind the header.
    Array(usize, usize),
    /// Its end has not been seen. It takes at least this many bytes of the frame to see more, and no terminator of a
    /// line starts before the second number.
    Need(usize, usize),
}

/// Reads what starts at `at`. No terminator of a line starts before `searched`.
#[inline(always)]
pub(super) fn token<'a>(src: &'a [u8], at: usize, searched: usize, limits: &Limits) -> Result<Token<'a>, DecodeError> {
    let Some(&kind) = src.get(at) else {
        return Ok(Token::Need(at + 1, 0));
    };
    match kind {
        b'+' | b'-' => line(src, at, searched, limits),
        b':' => match int(src, at + 1) {
            Int::Done(value, next) => Ok(Token::Scalar(ReplyRef::Integer(value), next)),
            Int::Need => Ok(Token::Need(src.len() + 1, 0)),
            Int::Bad => Err(DecodeError::new(Kind::InvalidInteger, src, at, "an integer as in \":42\\r\\n\"")),
        },
        b'$' => match int(src, at + 1) {
            Int::Done(len, next) => bulk(src, at, len, next, limits),
            Int::Need => Ok(Token::Need(src.len() + 1, 0)),
            Int::Bad => {
                Err(DecodeError::new(Kind::InvalidLength, src, at, "the length of a bulk string as in \"$5\\r\\n\""))
            }
        },
        b'*' => match int(src, at + 1) {
            Int::Done(len, next) => array(src, at, len, next, limits),
            Int::Need => Ok(Token::Need(src.len() + 1, 0)),
            Int::Bad => {
                Err(DecodeError::new(Kind::InvalidLength, src, at, "the length of an array as in \"*3\\r\\n\""))
            }
        },
        _ => Err(DecodeError::new(Kind::UnknownType, src, at, "a reply of RESP2, one of + - : $ *")),
    }
}

fn line<'a>(src: &'a [u8], at: usize, searched: usize, limits: &Limits) -> Result<Token<'a>, DecodeError> {
    let start = at + 1;
    let from = searched.max(start).min(src.len());
    let end = line_end(src, from);
    if end.unwrap_or(src.len().saturating_sub(1)) > start.saturating_add(limits.line) {
        return Err(DecodeError::beyond(Kind::LineTooLong, src, at, limits.line, "bytes in a line (Limits::max_line)"));
    }
    let Some(end) = end else {
        // A CR at the very end may be the first half of the terminator.
        return Ok(Token::Need(src.len() + 1, src.len() - 1));
    };
    let text = &src[start..end];
    let reply = if src[at] == b'+' { ReplyRef::Simple(text) } else { ReplyRef::Error(text) };
    Ok(Token::Scalar(reply, end + 2))
}

/// Where the first CR LF from `from` on is. A lone CR or LF is text.
#[inline]
fn line_end(src: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let end = from + memchr::memchr(b'\r', &src[from..])?;
        if *src.get(end + 1)? == b'\n' {
            return Some(end);
        }
        from = end + 1;
    }
}

#[inline(always)]
fn bulk<'a>(src: &'a [u8], at: usize, len: i64, start: usize, limits: &Limits) -> Result<Token<'a>, DecodeError> {
    let Ok(len) = usize::try_from(len) else {
        return if len == -1 {
            Ok(Token::Scalar(ReplyRef::Null, start))
        } else {
            Err(DecodeError::new(Kind::InvalidLength, src, at, "the length of a bulk string, or -1 for none"))
        };
    };
    if len > limits.bulk {
        return Err(DecodeError::beyond(
            Kind::BulkTooLong,
            src,
            at,
            limits.bulk,
            "bytes in a bulk string (Limits::max_bulk)",
        ));
    }
    let end = start.saturating_add(len);
    match src.get(end..).unwrap_or_default() {
        [b'\r', b'\n', ..] => Ok(Token::Scalar(ReplyRef::Bulk(&src[start..end]), end + 2)),
        [] | [_] => Ok(Token::Need(end.saturating_add(2), 0)),
        _ => Err(DecodeError::new(Kind::MissingTerminator, src, end, "CR LF behind a bulk string")),
    }
}

#[inline(always)]
fn array<'a>(src: &'a [u8], at: usize, len: i64, next: usize, limits: &Limits) -> Result<Token<'a>, DecodeError> {
    match usize::try_from(len) {
        Ok(len) if len > limits.elements => Err(DecodeError::beyond(
            Kind::TooManyElements,
            src,
            at,
            limits.elements,
            "elements in an array (Limits::max_elements)",
        )),
        Ok(0) => Ok(Token::Scalar(ReplyRef::Array(ArrayRef { len: 0, bytes: &[] }), next)),
        Ok(len) => Ok(Token::Array(len, next)),
        Err(_) if len == -1 => Ok(Token::Scalar(ReplyRef::Null, next)),
        Err(_) => Err(DecodeError::new(Kind::InvalidLength, src, at, "the length of an array, or -1 for none")),
    }
}

/// The first reply in bytes that a decoder has accepted, and what follows it.
pub(super) fn element(bytes: &[u8]) -> Option<(ReplyRef<'_>, &[u8])> {
    match token(bytes, 0, 0, &ANY).ok()? {
        Token::Scalar(reply, end) => Some((reply, bytes.get(end..)?)),
        Token::Array(len, start) => {
            let mut end = start;
            let mut left = len;
            while left > 0 {
                left -= 1;
                end = match token(bytes, end, 0, &ANY).ok()? {
                    Token::Scalar(_, next) => next,
                    Token::Array(more, next) => {
                        left = left.saturating_add(more);
                        next
                    }
                    Token::Need(..) => return None,
                };
            }
            let array = ArrayRef { len, bytes: bytes.get(start..end)? };
            Some((ReplyRef::Array(array), bytes.get(end..)?))
        }
        Token::Need(..) => None,
    }
}
