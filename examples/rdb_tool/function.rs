//! Function libraries.

/// The name in `#!engine name=NAME`, or nothing.
pub(crate) fn name(code: &[u8]) -> &[u8] {
    let line = code.split(|b| *b == b'\n').next().unwrap_or_default();
    line.split(u8::is_ascii_whitespace).find_map(|word| word.strip_prefix(b"name=")).unwrap_or_default()
}
