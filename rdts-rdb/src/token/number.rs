//! Numbers in text.

/// A double as C's `strtod` takes it in the C locale, all of the text used. NaN is none.
pub(crate) fn double(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    if value.is_nan() { None } else { Some(value) }
}

#[cfg(test)]
mod tests {
    use super::double;

    #[test]
    fn texts_that_servers_write() {
        assert_eq!(double(b"0.10000000000000001"), Some(0.1));
        assert_eq!(double(b"1e+17"), Some(1e17));
        assert_eq!(double(b"-0").map(f64::to_bits), Some((-0.0f64).to_bits()));
        assert_eq!(double(b"inf"), Some(f64::INFINITY));
        assert_eq!(double(b"-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(double(b"9.9998886718268301e-321"), Some(9.999_888_671_826_83e-321));
        for bad in [&b""[..], b"nan", b"abc", b"1x", b" 1", b"0x10"] {
            assert_eq!(double(bad), None);
        }
    }
}
