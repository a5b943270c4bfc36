//! Writing RESP: functions that append to a buffer.
//!
//! The buffer is anything that grows, in practice a `Vec<u8>` or a [`bytes::BytesMut`]. A [`BufMut`] of a fixed size
//! works as long as there is room; like all of its methods these panic when there is not.
//!
//! ```
//! use rdts_resp::encode;
//!
//! let mut buf = Vec::new();
//! encode::command(&mut buf, ["SET", "key", "value"]);
//! assert_eq!(buf, b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n");
//! assert_eq!(buf.len(), encode::command_len(["SET", "key", "value"]));
//! ```

mod resp3;

use bytes::BufMut;

use crate::Reply;

pub use resp3::{
    attribute_header, big_number, boolean, bulk_error, double, map_header, null3, push_header, reply3, set_header,
    verbatim,
};

/// A type byte, 20 characters of a number, CR LF.
const HEADER: usize = 23;

/// Appends a type byte, a decimal length and CR LF.
#[inline(always)]
fn header<B: BufMut>(buf: &mut B, kind: u8, len: usize) {
    // Nearly every length has one or two digits, and copies of a known size are single stores.
    match u8::try_from(len) {
        Ok(len @ 0..=9) => buf.put_slice(&[kind, b'0' + len, b'\r', b'\n']),
        Ok(len @ 10..=99) => buf.put_slice(&[kind, b'0' + len / 10, b'0' + len % 10, b'\r', b'\n']),
        _ => number(buf, kind, itoa::Buffer::new().format(len)),
    }
}

/// Appends a type byte, decimal digits and CR LF.
fn number<B: BufMut>(buf: &mut B, kind: u8, digits: &str) {
    let digits = digits.as_bytes();
    let mut line = [0; HEADER];
    let end = digits.len() + 1;
    line[0] = kind;
    line[1..end].copy_from_slice(digits);
    line[end] = b'\r';
    line[end + 1] = b'\n';
    buf.put_slice(&line[..end + 2]);
}

/// Appends the header of an array of `len` elements, which is also how a command of `len` arguments starts: `*3\r\n`.
#[inline]
pub fn array_header<B: BufMut>(buf: &mut B, len: usize) {
    header(buf, b'*', len);
}

/// Appends the header of a bulk string of `len` bytes, `$5\r\n`: the bytes and a CR LF are to follow.
#[inline]
pub fn bulk_header<B: BufMut>(buf: &mut B, len: usize) {
    header(buf, b'$', len);
}

/// Appends a bulk string: `$5\r\nvalue\r\n`.
#[inline]
pub fn bulk<B: BufMut>(buf: &mut B, bytes: &[u8]) {
    bulk_header(buf, bytes.len());
    buf.put_slice(bytes);
    buf.put_slice(b"\r\n");
}

/// Appends a number as a bulk string, in decimal: `$2\r\n-1\r\n`.
#[inline]
pub fn bulk_int<B: BufMut>(buf: &mut B, value: i64) {
    bulk(buf, itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a number without a sign as a bulk string, in decimal: `$2\r\n42\r\n`.
#[inline]
pub fn bulk_uint<B: BufMut>(buf: &mut B, value: u64) {
    bulk(buf, itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a whole command: an array of bulk strings.
pub fn command<B, I>(buf: &mut B, args: I)
where
    B: BufMut,
    I: IntoIterator<IntoIter: ExactSizeIterator, Item: AsRef<[u8]>>,
{
    let args = args.into_iter();
    array_header(buf, args.len());
    for arg in args {
        bulk(buf, arg.as_ref());
    }
}

/// Appends a simple string, `+OK\r\n`. A CR or LF in it becomes a space, since it would end the line.
pub fn simple<B: BufMut>(buf: &mut B, text: &[u8]) {
    line(buf, b'+', text);
}

/// Appends an error, `-ERR what is wrong\r\n`; `text` starts with the code. A CR or LF in it becomes a space, as
/// servers do.
pub fn error<B: BufMut>(buf: &mut B, text: &[u8]) {
    line(buf, b'-', text);
}

fn line<B: BufMut>(buf: &mut B, kind: u8, mut text: &[u8]) {
    buf.put_u8(kind);
    while let Some(index) = memchr::memchr2(b'\r', b'\n', text) {
        buf.put_slice(&text[..index]);
        buf.put_u8(b' ');
        text = &text[index + 1..];
    }
    buf.put_slice(text);
    buf.put_slice(b"\r\n");
}

/// Appends an integer reply: `:42\r\n`.
#[inline]
pub fn integer<B: BufMut>(buf: &mut B, value: i64) {
    number(buf, b':', itoa::Buffer::new().format(value));
}

/// Appends the null bulk string of RESP2: `$-1\r\n`.
#[inline]
pub fn null<B: BufMut>(buf: &mut B) {
    buf.put_slice(b"$-1\r\n");
}

/// Appends the null array of RESP2, `*-1\r\n`: what an aborted `EXEC` or a timed-out `BLPOP` answers.
#[inline]
pub fn null_array<B: BufMut>(buf: &mut B) {
    buf.put_slice(b"*-1\r\n");
}

/// Appends a reply of any kind for a peer that speaks RESP2. [`Reply::Null`] is written as [`null`]. What only RESP3
/// has is written as servers do for such a peer: a boolean as 1 or 0; a double, a big number and a verbatim string as
/// a bulk string; a bulk error as an error; a map, a set and a push as an array; attributes not at all.
///
/// For a peer that speaks RESP3 there is [`reply3`].
pub fn reply<B: BufMut>(buf: &mut B, value: &Reply) {
    match value {
        Reply::Simple(text) => simple(buf, text),
        Reply::Error(text) | Reply::BulkError(text) => error(buf, text),
        Reply::Integer(value) => integer(buf, *value),
        Reply::Bulk(bytes) | Reply::BigNumber(bytes) | Reply::Verbatim { text: bytes, .. } => bulk(buf, bytes),
        Reply::Null => null(buf),
        Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => {
            array_header(buf, elements.len());
            for element in elements {
                reply(buf, element);
            }
        }
        Reply::Boolean(value) => integer(buf, i64::from(*value)),
        Reply::Double(value) => bulk(buf, resp3::DoubleText::new(*value).as_bytes()),
        Reply::Map(pairs) => {
            array_header(buf, 2 * pairs.len());
            for (key, value) in pairs {
                reply(buf, key);
                reply(buf, value);
            }
        }
        Reply::Attributed { reply: bare, .. } => reply(buf, bare),
    }
}

/// How many decimal digits `value` has.
#[inline]
#[must_use]
fn digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// The length in bytes of what [`array_header`] writes for `len` elements.
#[inline]
#[must_use]
pub fn array_header_len(len: usize) -> usize {
    digits(len as u64) + 3
}

/// The length in bytes of what [`bulk`] writes for `len` bytes: header, bytes, CR LF.
#[inline]
#[must_use]
pub fn bulk_len(len: usize) -> usize {
    digits(len as u64) + 3 + len + 2
}

/// The length in bytes of what [`bulk_int`] writes.
#[inline]
#[must_use]
pub fn bulk_int_len(value: i64) -> usize {
    bulk_len(digits(value.unsigned_abs()) + usize::from(value < 0))
}

/// The length in bytes of what [`bulk_uint`] writes.
#[inline]
#[must_use]
pub fn bulk_uint_len(value: u64) -> usize {
    bulk_len(digits(value))
}

/// The length in bytes of what [`command`] writes for these arguments.
#[must_use]
pub fn command_len<I>(args: I) -> usize
where
    I: IntoIterator<IntoIter: ExactSizeIterator, Item: AsRef<[u8]>>,
{
    let args = args.into_iter();
    array_header_len(args.len()) + args.map(|arg| bulk_len(arg.as_ref().len())).sum::<usize>()
}
