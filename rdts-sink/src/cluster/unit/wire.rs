//! RESP that this process has written or checked.

/// The first line, without its type byte and its end, and what follows.
pub(super) fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\r')?;
    Some((bytes.get(1..end)?, bytes.get(end + 2..)?))
}

/// The first bulk string, and what follows.
pub(super) fn bulk(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = line(bytes)?;
    let (text, rest) = rest.split_at_checked(number(header))?;
    Some((text, rest.get(2..)?))
}

pub(super) fn number(digits: &[u8]) -> usize {
    digits.iter().fold(0usize, |n, digit| n.saturating_mul(10).saturating_add(usize::from(digit.wrapping_sub(b'0'))))
}

/// What a `SET` has in front of its key and behind its value, with `NX` or without.
pub(super) fn around_pair(nx: bool) -> (&'static [u8], &'static [u8]) {
    if nx { (b"*4\r\n$3\r\nSET\r\n", b"$2\r\nNX\r\n") } else { (b"*3\r\n$3\r\nSET\r\n", b"") }
}
