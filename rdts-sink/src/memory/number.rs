//! Numbers as servers read and write them.

/// A signed 64-bit integer in its one canonical form, the only one that servers take: no sign `+`, no leading zero, no space.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.len() < 19 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// An unsigned 64-bit integer, as in the two halves of a stream id: digits only, leading zeros allowed.
pub(super) fn unsigned(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A double as C's `strtod` reads the whole of `text`: decimal, hexadecimal (`0x1.8p3`), `inf`, `infinity`, in any case.
///
/// `None` for what servers refuse: `nan`, an empty text, a space, a number that overflows or vanishes.
pub(super) fn double(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = unsigned.to_ascii_lowercase();
    let magnitude = if lower == "inf" || lower == "infinity" {
        f64::INFINITY
    } else if let Some(hex) = lower.strip_prefix("0x") {
        hexadecimal(hex)?
    } else if lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        let value: f64 = lower.parse().ok()?;
        let mantissa = lower.split('e').next().unwrap_or_default();
        let vanished = value == 0.0 && mantissa.bytes().any(|b| matches!(b, b'1'..=b'9'));
        if value.is_infinite() || vanished {
            return None;
        }
        value
    } else {
        return None;
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// The digits of a hexadecimal double, after `0x`.
fn hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = match text.split_once('p') {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || digits.len() > 15 {
        return None; // beyond 13 hex digits a rounding rule would be needed; nobody sends such scores
    }
    let mantissa = u64::from_str_radix(&format!("{whole}{fraction}"), 16).ok()?;
    let shift = exponent.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
    if mantissa >= 1 << 53 || shift.unsigned_abs() > 900 {
        return None;
    }
    #[allow(clippy::cast_precision_loss)] // below 2^53
    Some(mantissa as f64 * 2f64.powi(shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_form() {
        assert_eq!(integer(b"0"), Some(0));
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer(b"9223372036854775807"), Some(i64::MAX));
        for bad in
            [&b""[..], b"-", b"-0", b"+1", b"01", b" 1", b"1 ", b"9223372036854775808", b"99999999999999999999", b"1.0"]
        {
            assert_eq!(integer(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn doubles_like_strtod() {
        assert_eq!(double(b"1e17"), Some(1e17));
        assert_eq!(double(b"+.5"), Some(0.5));
        assert_eq!(double(b"5."), Some(5.0));
        assert_eq!(double(b"-Infinity"), Some(f64::NEG_INFINITY));
        assert_eq!(double(b"0x1.8p1"), Some(3.0));
        assert_eq!(double(b"0.10000000000000001"), Some(0.1));
        assert_eq!(double(b"5e-324"), Some(5e-324));
        for bad in [&b""[..], b"nan", b" 1", b"1 ", b"1e400", b"1e-400", b"--1", b"e5", b"1x", b"0x", b"-"] {
            assert_eq!(double(bad), None, "{}", bad.escape_ascii());
        }
    }
}
