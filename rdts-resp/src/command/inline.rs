//! Inline commands: a line of words, with the servers' rules of quoting.

use super::Span;
use crate::error::{DecodeError, DecodeErrorKind as Kind};

/// Splits a line, without its newline, into words. Their bytes go to `text`, where they are in `words`.
///
/// In double quotes `\xHH`, `\n`, `\r`, `\t`, `\b`, `\a` are those bytes and `\` before anything else is dropped; in
/// single quotes `\'` is a quote. A closing quote ends the word. (Redis, `sdssplitargs`.)
pub(super) fn split(line: &[u8], text: &mut Vec<u8>, words: &mut Vec<Span>) -> Result<(), DecodeError> {
    if let Some(at) = memchr::memchr(0, line) {
        return Err(DecodeError::new(Kind::InvalidInline, line, at, "an inline command without a NUL byte"));
    }
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|&byte| is_space(byte)) {
            at += 1;
        }
        if at == line.len() {
            return Ok(());
        }
        let start = position(text.len());
        at = word(line, at, text)?;
        words.push(Span { start, end: position(text.len()) });
    }
}

/// Reads the word that starts at `at` and gives the index behind it.
fn word(line: &[u8], mut at: usize, text: &mut Vec<u8>) -> Result<usize, DecodeError> {
    while let Some(&byte) = line.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => break,
            b'"' | b'\'' => {
                let end = quoted(line, at, text)?;
                return match line.get(end) {
                    Some(&next) if !is_space(next) => Err(DecodeError::new(
                        Kind::UnbalancedQuotes,
                        line,
                        end,
                        "a blank behind a closing quote of an inline command",
                    )),
                    _ => Ok(end),
                };
            }
            _ => {
                text.push(byte);
                at += 1;
            }
        }
    }
    Ok(at)
}

/// Reads what stands in the quotes that open at `open` and gives the index behind the closing one.
fn quoted(line: &[u8], open: usize, text: &mut Vec<u8>) -> Result<usize, DecodeError> {
    let quote = line[open];
    let mut at = open + 1;
    while let Some(rest) = line.get(at..) {
        let (byte, taken) = match *rest {
            [] => break,
            [byte, ..] if byte == quote => return Ok(at + 1),
            [b'\\', b'x', high, low, ..] if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex(high) << 4 | hex(low), 4)
            }
            [b'\\', byte, ..] if quote == b'"' => (unescape(byte), 2),
            [b'\\', b'\'', ..] if quote == b'\'' => (b'\'', 2),
            [byte, ..] => (byte, 1),
        };
        text.push(byte);
        at += taken;
    }
    Err(DecodeError::new(Kind::UnbalancedQuotes, line, open, "a closing quote in an inline command"))
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// What C calls a space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// An unquoted line is never longer than the line, and that fits.
fn position(len: usize) -> u32 {
    u32::try_from(len).expect("a frame is shorter than 4 GiB")
}
