//! The arithmetic of `INCRBYFLOAT` and `HINCRBYFLOAT`: C's `long double` as x86-64 has it, a mantissa of 64 bits, printed with
//! 17 decimals and without trailing zeros.
//!
//! Exact for numbers of up to 18 decimals and 38 digits; beyond that the number is read as a double first. Primaries put the
//! result in the stream, not the sum, so this serves callers that send such a command themselves.

use super::number;

/// A finite number: `±mantissa × 2^exponent`, with the top bit of the mantissa set unless it is zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct LongDouble {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

/// Bits that come after the 64 of the mantissa: whether any of them was lost decides a tie.
struct Wide {
    bits: u128,
    exponent: i32,
    inexact: bool,
}

impl Wide {
    fn round(self, negative: bool) -> LongDouble {
        let Wide { bits, exponent, inexact } = self;
        let width = 128 - bits.leading_zeros();
        if width <= 64 {
            let shift = if bits == 0 { 0 } else { 64 - width };
            return LongDouble {
                negative,
                mantissa: low_half(bits << shift),
                exponent: exponent - shift.cast_signed(),
            };
        }
        let drop = width - 64;
        let (mut kept, lost) = (bits >> drop, bits & ((1 << drop) - 1));
        let half = 1_u128 << (drop - 1);
        if lost > half || lost == half && (inexact || kept & 1 == 1) {
            kept += 1;
        }
        let exponent = exponent + drop.cast_signed();
        if kept >> 64 == 0 {
            LongDouble { negative, mantissa: low_half(kept), exponent }
        } else {
            LongDouble { negative, mantissa: low_half(kept >> 1), exponent: exponent + 1 }
        }
    }
}

fn low_half(bits: u128) -> u64 {
    u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}

impl LongDouble {
    pub(super) const ZERO: Self = Self { negative: false, mantissa: 0, exponent: 0 };

    /// Reads the whole of `text` as servers do; `None` for what is no finite number.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let double = number::double(text).filter(|value| value.is_finite())?;
        Some(Self::from_decimal(text).unwrap_or_else(|| Self::from_double(double)))
    }

    fn from_decimal(text: &[u8]) -> Option<Self> {
        let (mut digits, mut scale, mut seen_point) = (0_u128, 0_i32, false);
        let (negative, unsigned) = match text.first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        for &byte in unsigned {
            match byte {
                b'0'..=b'9' => {
                    digits = digits.checked_mul(10)?.checked_add(u128::from(byte - b'0'))?;
                    scale += i32::from(seen_point);
                }
                b'.' => seen_point = true,
                _ => return None, // an exponent, or hexadecimal
            }
        }
        while scale > 0 && digits.is_multiple_of(10) {
            digits /= 10;
            scale -= 1;
        }
        if scale > 18 || digits == 0 {
            return if digits == 0 { Some(Self { negative, mantissa: 0, exponent: 0 }) } else { None };
        }
        let divisor = 10_u128.pow(scale.unsigned_abs());
        let shift = digits.leading_zeros();
        let dividend = digits << shift;
        let wide = Wide { bits: dividend / divisor, exponent: -shift.cast_signed(), inexact: dividend % divisor != 0 };
        Some(wide.round(negative))
    }

    fn from_double(value: f64) -> Self {
        let bits = value.to_bits();
        let (fraction, biased) = (bits & ((1 << 52) - 1), (bits >> 52) & 0x7ff);
        let mantissa = if biased == 0 { fraction } else { fraction | 1 << 52 };
        let exponent = i32::try_from(biased.max(1)).unwrap_or_default() - 1075;
        Wide { bits: u128::from(mantissa), exponent, inexact: false }.round(value.is_sign_negative())
    }

    /// The sum, rounded to a mantissa of 64 bits.
    pub(super) fn add(self, other: Self) -> Self {
        if self.mantissa == 0 {
            return other;
        }
        if other.mantissa == 0 {
            return self;
        }
        let (big, small) = if (self.exponent, self.mantissa) >= (other.exponent, other.mantissa) {
            (self, other)
        } else {
            (other, self)
        };
        let distance = big.exponent.abs_diff(small.exponent);
        let upper = u128::from(big.mantissa) << 62;
        let (lower, inexact) = if distance <= 62 {
            (u128::from(small.mantissa) << (62 - distance), false)
        } else {
            let drop = (distance - 62).min(127);
            (u128::from(small.mantissa) >> drop, u128::from(small.mantissa) & ((1 << drop) - 1) != 0)
        };
        let bits = if big.negative == small.negative { upper + lower } else { upper - lower - u128::from(inexact) };
        let negative = big.negative && bits != 0;
        Wide { bits, exponent: big.exponent - 62, inexact }.round(negative)
    }

    /// The text that servers store: `%.17Lf` without trailing zeros.
    pub(super) fn text(self) -> String {
        const DECIMALS: u128 = 100_000_000_000_000_000;
        let (whole, decimals) = if self.exponent >= 0 {
            match u128::from(self.mantissa).checked_shl(self.exponent.unsigned_abs()) {
                Some(whole) if self.exponent <= 64 => (whole, 0),
                _ => return self.huge_text(),
            }
        } else {
            let shift = self.exponent.unsigned_abs();
            let mantissa = u128::from(self.mantissa);
            let whole = mantissa.checked_shr(shift).unwrap_or(0);
            let fraction = if shift < 64 { mantissa & ((1 << shift) - 1) } else { mantissa };
            let scaled = fraction * DECIMALS;
            let (kept, lost) =
                (scaled.checked_shr(shift).unwrap_or(0), if shift < 128 { scaled & ((1 << shift) - 1) } else { 0 });
            let half = 1_u128.checked_shl(shift - 1).unwrap_or(u128::MAX);
            let up = lost > half || lost == half && kept & 1 == 1;
            let kept = kept + u128::from(up);
            (whole + kept / DECIMALS, kept % DECIMALS)
        };
        let text = format!("{whole}.{decimals:017}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if self.negative && text != "0" { format!("-{text}") } else { text.to_owned() }
    }

    /// At least 2^128: the nearest double's digits.
    fn huge_text(self) -> String {
        #[allow(clippy::cast_precision_loss)]
        let magnitude = self.mantissa as f64 * 2f64.powi(self.exponent);
        format!("{}{magnitude:.0}", if self.negative { "-" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sum(a: &str, b: &str) -> String {
        LongDouble::parse(a.as_bytes()).unwrap().add(LongDouble::parse(b.as_bytes()).unwrap()).text()
    }

    #[test]
    fn sums_that_doubles_get_wrong() {
        assert_eq!(sum("0.1", "0.2"), "0.3");
        assert_eq!(sum("3.0", "1.10"), "4.1");
        assert_eq!(sum("1.5", "-1.5"), "0");
        assert_eq!(sum("-0.1", "0"), "-0.1");
        assert_eq!(sum("5.0e3", "2.0e2"), "5200");
        assert_eq!(sum("9223372036854775807", "1"), "9223372036854775808");
    }
}
