//! The tokens that replies are made of.

use super::aggregate::Aggregate;
use super::{ReplyRef, resp3};
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
    /// A reply with no other replies in it, and the index behind it.
    Scalar(ReplyRef<'a>, usize),
    /// The header of an aggregate that has replies in it: which, the length that it says, and the index behind the
    /// header.
    Open(Aggregate, usize, usize),
    /// Its end has not been seen. It takes at least this many bytes of the frame to see more, and no terminator of a
    /// line starts before the second number.
    Need(usize, usize),
    /// None of RESP2's.
    Other,
}

/// Reads what starts at `at`, if it is of RESP2. No terminator of a line starts before `searched`.
#[inline(always)]
pub(super) fn token<'a>(src: &'a [u8], at: usize, searched: usize, limits: &Limits) -> Result<Token<'a>, DecodeError> {
    let Some(&kind) = src.get(at) else {
        return Ok(Token::Need(at + 1, 0));
    };
    match kind {
        b'+' | b'-' => {
            let Some((text, next)) = line(src, at, searched, limits)? else {
                return Ok(unfinished_line(src));
            };
            let reply = if kind == b'+' { ReplyRef::Simple(text) } else { ReplyRef::Error(text) };
            Ok(Token::Scalar(reply, next))
        }
        b':' => match int(src, at + 1) {
            Int::Done(value, next) => Ok(Token::Scalar(ReplyRef::Integer(value), next)),
            Int::Need => Ok(Token::Need(src.len() + 1, 0)),
            Int::Bad => Err(DecodeError::new(Kind::InvalidInteger, src, at, "an integer as in \":42\\r\\n\"")),
        },
        b'$' => match int(src, at + 1) {
            Int::Done(len, next) => bulk(src, at, len, next, limits),
            Int::Need => Ok(Token::Need(src.len() + 1, 0)),
            Int::Bad => Err(bad_length(src, at, "the length of a bulk string as in \"$5\\r\\n\"")),
        },
        b'*' => match int(src, at + 1) {
            Int::Done(len, next) => array(src, at, len, next, limits),
            Int::Need => Ok(Token::Need(src.len() + 1, 0)),
            Int::Bad => Err(bad_length(src, at, "the length of an array as in \"*3\\r\\n\"")),
        },
        _ => Ok(Token::Other),
    }
}

/// Reads what starts at `at`, be it of RESP2 or RESP3.
#[inline(always)]
pub(super) fn any_token<'a>(
    src: &'a [u8],
    at: usize,
    searched: usize,
    limits: &Limits,
) -> Result<Token<'a>, DecodeError> {
    match token(src, at, searched, limits)? {
        Token::Other => resp3::token(src, at, searched, limits),
        token => Ok(token),
    }
}

/// The text of the line at `at`, and the index behind its terminator; `None` if that is still to come.
#[inline]
pub(super) fn line<'a>(
    src: &'a [u8],
    at: usize,
    searched: usize,
    limits: &Limits,
) -> Result<Option<(&'a [u8], usize)>, DecodeError> {
    let start = at + 1;
    let from = searched.max(start).min(src.len());
    let end = line_end(src, from);
    if end.unwrap_or(src.len().saturating_sub(1)) > start.saturating_add(limits.line) {
        return Err(DecodeError::beyond(Kind::LineTooLong, src, at, limits.line, "bytes in a line (Limits::max_line)"));
    }
    Ok(end.map(|end| (&src[start..end], end + 2)))
}

/// What a line without an end is.
#[inline]
pub(super) fn unfinished_line(src: &[u8]) -> Token<'_> {
    // A CR at the very end may be the first half of the terminator.
    Token::Need(src.len() + 1, src.len() - 1)
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
pub(super) fn bulk<'a>(
    src: &'a [u8],
    at: usize,
    len: i64,
    start: usize,
    limits: &Limits,
) -> Result<Token<'a>, DecodeError> {
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
        Ok(len) if len > limits.elements => Err(too_many(src, at, limits)),
        Ok(0) => Ok(Token::Scalar(Aggregate::Array.reply(0, &[]), next)),
        Ok(len) => Ok(Token::Open(Aggregate::Array, len, next)),
        Err(_) if len == -1 => Ok(Token::Scalar(ReplyRef::Null, next)),
        Err(_) => Err(DecodeError::new(Kind::InvalidLength, src, at, "the length of an array, or -1 for none")),
    }
}

#[cold]
pub(super) fn too_many(src: &[u8], at: usize, limits: &Limits) -> DecodeError {
    let limit = limits.elements;
    DecodeError::beyond(Kind::TooManyElements, src, at, limit, "elements in an aggregate (Limits::max_elements)")
}

/// A length that is no number: `?` where RESP3 announces a stream of pieces, or nonsense.
#[cold]
pub(super) fn bad_length(src: &[u8], at: usize, expected: &'static str) -> DecodeError {
    if src.get(at + 1) == Some(&b'?') {
        let expected = "a length known beforehand: RESP3's streamed strings and aggregates, which neither Redis nor \
                        Valkey sends, are not supported";
        return DecodeError::new(Kind::Streamed, src, at, expected);
    }
    DecodeError::new(Kind::InvalidLength, src, at, expected)
}

/// The first reply in bytes that a decoder has accepted, and what follows it.
pub(super) fn element(bytes: &[u8]) -> Option<(ReplyRef<'_>, &[u8])> {
    match token(bytes, 0, 0, &ANY).ok()? {
        Token::Scalar(reply, end) => Some((reply, bytes.get(end..)?)),
        Token::Open(aggregate, len, start) => opened(bytes, aggregate, len, start),
        Token::Other => element3(bytes),
        Token::Need(..) => None,
    }
}

/// [`element`] of a reply that RESP2 has not, apart from it, so that RESP2's do not pay for these.
#[inline(never)]
fn element3(bytes: &[u8]) -> Option<(ReplyRef<'_>, &[u8])> {
    match resp3::token(bytes, 0, 0, &ANY).ok()? {
        Token::Scalar(reply, end) => Some((reply, bytes.get(end..)?)),
        Token::Open(aggregate, len, start) => opened(bytes, aggregate, len, start),
        Token::Other | Token::Need(..) => None,
    }
}

/// [`element`] of an aggregate whose header has been read.
fn opened(bytes: &[u8], aggregate: Aggregate, len: usize, start: usize) -> Option<(ReplyRef<'_>, &[u8])> {
    let end = skip(bytes, start, aggregate.children(len))?;
    Some((aggregate.reply(len, bytes.get(start..end)?), bytes.get(end..)?))
}

/// The index behind `left` replies from `at` on, in bytes that a decoder has accepted.
pub(super) fn skip(bytes: &[u8], mut at: usize, mut left: usize) -> Option<usize> {
    while left > 0 {
        left -= 1;
        at = match any_token(bytes, at, 0, &ANY).ok()? {
            Token::Scalar(_, next) => next,
            Token::Open(aggregate, len, next) => {
                left = left.saturating_add(aggregate.children(len));
                next
            }
            Token::Need(..) | Token::Other => return None,
        };
    }
    Some(at)
}
