//! The tokens that RESP3 adds to those of RESP2.

use super::ReplyRef;
use super::aggregate::Aggregate;
use super::token::{Token, bad_length, bulk, line, too_many, unfinished_line};
use crate::Limits;
use crate::error::{DecodeError, DecodeErrorKind as Kind};
use crate::scan::{Int, int};

/// Reads what starts at `at`, where there is a byte that is no type of RESP2.
///
/// Not inlined, so that RESP2's types do not pay for these.
#[inline(never)]
pub(super) fn token<'a>(src: &'a [u8], at: usize, searched: usize, limits: &Limits) -> Result<Token<'a>, DecodeError> {
    match src[at] {
        b'_' => null(src, at),
        b'#' => boolean(src, at),
        b',' | b'(' => number(src, at, searched, limits),
        b'!' | b'=' => blob(src, at, limits),
        b'%' => open(Aggregate::Map, src, at, limits),
        b'~' => open(Aggregate::Set, src, at, limits),
        b'>' => open(Aggregate::Push, src, at, limits),
        b'|' => open(Aggregate::Attributed, src, at, limits),
        _ => Err(DecodeError::new(
            Kind::UnknownType,
            src,
            at,
            "a reply, one of + - : $ * of RESP2 or _ # , ( ! = % ~ > | of RESP3",
        )),
    }
}

fn null(src: &[u8], at: usize) -> Result<Token<'_>, DecodeError> {
    match src.get(at + 1..at + 3) {
        Some(b"\r\n") => Ok(Token::Scalar(ReplyRef::Null, at + 3)),
        Some(_) => Err(DecodeError::new(Kind::InvalidNull, src, at, "null as in \"_\\r\\n\"")),
        None => Ok(Token::Need(at + 3, 0)),
    }
}

fn boolean(src: &[u8], at: usize) -> Result<Token<'_>, DecodeError> {
    match src.get(at + 1..at + 4) {
        Some(b"t\r\n") => Ok(Token::Scalar(ReplyRef::Boolean(true), at + 4)),
        Some(b"f\r\n") => Ok(Token::Scalar(ReplyRef::Boolean(false), at + 4)),
        Some(_) => Err(DecodeError::new(Kind::InvalidBoolean, src, at, "a boolean, \"#t\\r\\n\" or \"#f\\r\\n\"")),
        None => Ok(Token::Need(at + 4, 0)),
    }
}

/// A double or a big number.
fn number<'a>(src: &'a [u8], at: usize, searched: usize, limits: &Limits) -> Result<Token<'a>, DecodeError> {
    let Some((text, next)) = line(src, at, searched, limits)? else {
        return Ok(unfinished_line(src));
    };
    if src[at] == b'(' {
        let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            let expected = "a big number as in \"(12345678901234567890\\r\\n\"";
            return Err(DecodeError::new(Kind::InvalidBigNumber, src, at, expected));
        }
        return Ok(Token::Scalar(ReplyRef::BigNumber(text), next));
    }
    match double(text) {
        Some(value) => Ok(Token::Scalar(ReplyRef::Double(value), next)),
        None => {
            let expected = "a double as in \",3.25\\r\\n\", \",inf\\r\\n\" or \",nan\\r\\n\"";
            Err(DecodeError::new(Kind::InvalidDouble, src, at, expected))
        }
    }
}

/// Reads a number the way servers write it, with or without a fraction and an exponent; `inf` and `nan`, which C
/// libraries also write as `-nan`.
pub(super) fn double(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An error or a text whose length is told beforehand.
fn blob<'a>(src: &'a [u8], at: usize, limits: &Limits) -> Result<Token<'a>, DecodeError> {
    let (len, start) = match int(src, at + 1) {
        Int::Done(len @ 0.., start) => (len, start),
        Int::Need => return Ok(Token::Need(src.len() + 1, 0)),
        Int::Done(..) | Int::Bad => {
            let expected = "the length of an error or a verbatim string as in \"!21\\r\\n\" or \"=15\\r\\n\"";
            return Err(bad_length(src, at, expected));
        }
    };
    // They are framed like bulk strings.
    Ok(match bulk(src, at, len, start, limits)? {
        Token::Scalar(ReplyRef::Bulk(text), next) if src[at] == b'!' => Token::Scalar(ReplyRef::BulkError(text), next),
        Token::Scalar(ReplyRef::Bulk(text), next) => match *text {
            [a, b, c, b':', ref text @ ..] => Token::Scalar(ReplyRef::Verbatim { format: [a, b, c], text }, next),
            _ => {
                let expected = "a verbatim string that starts with its format as in \"=8\\r\\ntxt:text\\r\\n\"";
                return Err(DecodeError::new(Kind::InvalidVerbatim, src, at, expected));
            }
        },
        unfinished => unfinished,
    })
}

/// The header of an aggregate.
fn open<'a>(aggregate: Aggregate, src: &'a [u8], at: usize, limits: &Limits) -> Result<Token<'a>, DecodeError> {
    let (len, next) = match int(src, at + 1) {
        Int::Done(len, next) => (usize::try_from(len).ok(), next),
        Int::Need => return Ok(Token::Need(src.len() + 1, 0)),
        Int::Bad => (None, at),
    };
    let Some(len) = len else {
        return Err(bad_length(src, at, "the length of a map, set, push or attribute as in \"%2\\r\\n\""));
    };
    let children = aggregate.children(len);
    // The reply that attributes belong to is none of them.
    if children - usize::from(aggregate == Aggregate::Attributed) > limits.elements {
        return Err(too_many(src, at, limits));
    }
    Ok(match children {
        0 => Token::Scalar(aggregate.reply(0, &[]), next),
        _ => Token::Open(aggregate, len, next),
    })
}
