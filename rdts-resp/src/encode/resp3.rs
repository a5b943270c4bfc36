//! What RESP3 has and RESP2 has not. Only a peer that has said `HELLO 3` understands it.

use std::io::Write as _;

use bytes::BufMut;

use super::{array_header, bulk, error, header, integer, line, simple};
use crate::Reply;

/// Appends the null of RESP3: `_\r\n`. RESP2 has [`null`](super::null).
#[inline]
pub fn null3<B: BufMut>(buf: &mut B) {
    buf.put_slice(b"_\r\n");
}

/// Appends a boolean: `#t\r\n` or `#f\r\n`.
#[inline]
pub fn boolean<B: BufMut>(buf: &mut B, value: bool) {
    buf.put_slice(if value { b"#t\r\n" } else { b"#f\r\n" });
}

/// Appends a double: the shortest digits that are read as the same number again, with an exponent where that is
/// shorter; `inf`, `-inf`, or `nan` whatever its sign. `,3.25\r\n`.
pub fn double<B: BufMut>(buf: &mut B, value: f64) {
    line(buf, b',', DoubleText::new(value).as_bytes());
}

/// Appends a big number: `(12345678901234567890\r\n`. `digits` is taken as it is: decimal digits, perhaps behind a
/// sign. A CR or LF in it becomes a space, so that it cannot end the line; no decoder takes it then.
pub fn big_number<B: BufMut>(buf: &mut B, digits: &[u8]) {
    line(buf, b'(', digits);
}

/// Appends an error that may have newlines, `!17\r\nERR what is wrong\r\n`; `text` starts with the code.
pub fn bulk_error<B: BufMut>(buf: &mut B, text: &[u8]) {
    header(buf, b'!', text.len());
    buf.put_slice(text);
    buf.put_slice(b"\r\n");
}

/// Appends a verbatim string: `=8\r\ntxt:text\r\n`. `format` is `txt`, or `mkd` for Markdown.
pub fn verbatim<B: BufMut>(buf: &mut B, format: [u8; 3], text: &[u8]) {
    header(buf, b'=', text.len() + 4);
    buf.put_slice(&format);
    buf.put_u8(b':');
    buf.put_slice(text);
    buf.put_slice(b"\r\n");
}

/// Appends the header of a map of `pairs` pairs, `%2\r\n`: a key, its value, a key, its value are to follow.
#[inline]
pub fn map_header<B: BufMut>(buf: &mut B, pairs: usize) {
    header(buf, b'%', pairs);
}

/// Appends the header of a set of `len` elements, `~3\r\n`: they are to follow, none of them twice.
#[inline]
pub fn set_header<B: BufMut>(buf: &mut B, len: usize) {
    header(buf, b'~', len);
}

/// Appends the header of a push of `len` elements, `>3\r\n`: they are to follow, first its kind as a string.
#[inline]
pub fn push_header<B: BufMut>(buf: &mut B, len: usize) {
    header(buf, b'>', len);
}

/// Appends the header of `pairs` attributes, `|1\r\n`: as many pairs are to follow, and then the reply that they
/// belong to.
#[inline]
pub fn attribute_header<B: BufMut>(buf: &mut B, pairs: usize) {
    header(buf, b'|', pairs);
}

/// Appends a reply of any kind, as it is, for a peer that speaks RESP3. [`Reply::Null`] is written as [`null3`].
///
/// For a peer that speaks RESP2 there is [`reply`](super::reply).
pub fn reply3<B: BufMut>(buf: &mut B, value: &Reply) {
    match value {
        Reply::Simple(text) => simple(buf, text),
        Reply::Error(text) => error(buf, text),
        Reply::Integer(value) => integer(buf, *value),
        Reply::Bulk(bytes) => bulk(buf, bytes),
        Reply::Null => null3(buf),
        Reply::Array(elements) => {
            array_header(buf, elements.len());
            replies(buf, elements);
        }
        Reply::Boolean(value) => boolean(buf, *value),
        Reply::Double(value) => double(buf, *value),
        Reply::BigNumber(digits) => big_number(buf, digits),
        Reply::BulkError(text) => bulk_error(buf, text),
        Reply::Verbatim { format, text } => verbatim(buf, *format, text),
        Reply::Map(map) => {
            map_header(buf, map.len());
            pairs(buf, map);
        }
        Reply::Set(elements) => {
            set_header(buf, elements.len());
            replies(buf, elements);
        }
        Reply::Push(elements) => {
            push_header(buf, elements.len());
            replies(buf, elements);
        }
        Reply::Attributed { attributes, reply } => {
            attribute_header(buf, attributes.len());
            pairs(buf, attributes);
            reply3(buf, reply);
        }
    }
}

fn replies<B: BufMut>(buf: &mut B, elements: &[Reply]) {
    for element in elements {
        reply3(buf, element);
    }
}

fn pairs<B: BufMut>(buf: &mut B, pairs: &[(Reply, Reply)]) {
    for (key, value) in pairs {
        reply3(buf, key);
        reply3(buf, value);
    }
}

/// The text of a double, without an allocation.
pub(super) struct DoubleText {
    text: [u8; DoubleText::LONGEST],
    len: usize,
}

impl DoubleText {
    /// A sign, 17 digits, a point, an exponent of a sign and three digits behind its `e`; no more than four zeros
    /// behind a point before Rust takes an exponent.
    const LONGEST: usize = 32;

    pub(super) fn new(value: f64) -> Self {
        let mut text = [0; Self::LONGEST];
        let mut rest = &mut text[..];
        // Rust says `NaN`. Its `Debug` form is the one that takes exponents.
        let written = if value.is_nan() { rest.write_all(b"nan") } else { write!(rest, "{value:?}") };
        written.expect("no double has a longer text");
        let mut len = Self::LONGEST - rest.len();
        // Servers write 10 and not 10.0.
        if text[..len].ends_with(b".0") {
            len -= 2;
        }
        DoubleText { text, len }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }
}
