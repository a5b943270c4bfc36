//! The smallest tokens, shared by both decoders.

/// What became of reading a decimal number and its CR LF.
pub(crate) enum Int {
    /// The number, and the index behind its CR LF.
    Done(i64, usize),
    /// So far so good, but the input ends before its CR LF does.
    Need,
    /// No number.
    Bad,
}

/// How many digits are read at most, leading zeros included.
const LONGEST: usize = 20;
/// So many digits fit into 64 bits, whatever they are.
const SAFE: usize = 18;

/// Reads a decimal number that starts at `at` and ends in CR LF.
#[inline(always)]
pub(crate) fn int(src: &[u8], at: usize) -> Int {
    match src.get(at..) {
        // Nearly every length on the wire has one or two digits.
        Some([a @ b'0'..=b'9', b'\r', b'\n', ..]) => Int::Done(i64::from(a - b'0'), at + 3),
        Some([a @ b'0'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..]) => {
            Int::Done(i64::from(a - b'0') * 10 + i64::from(b - b'0'), at + 4)
        }
        Some(rest) => int_any(rest, at),
        None => Int::Need,
    }
}

/// `text` starts at `at` of the frame.
fn int_any(text: &[u8], at: usize) -> Int {
    let (sign, digits) = match text.first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let skipped = text.len() - digits.len();
    let mut value: i64 = 0;
    for (index, &byte) in digits.iter().enumerate() {
        match byte {
            // Below zero all the way, so that the least number of 64 bits fits too.
            b'0'..=b'9' if index < SAFE => value = value * 10 - i64::from(byte - b'0'),
            b'0'..=b'9' if index < LONGEST => {
                let next = value.checked_mul(10).and_then(|v| v.checked_sub(i64::from(byte - b'0')));
                let Some(next) = next else { return Int::Bad };
                value = next;
            }
            b'\r' if index > 0 => {
                return match digits.get(index + 1) {
                    None => Int::Need,
                    Some(b'\n') => match if sign < 0 { Some(value) } else { value.checked_neg() } {
                        Some(value) => Int::Done(value, at + skipped + index + 2),
                        None => Int::Bad,
                    },
                    Some(_) => Int::Bad,
                };
            }
            _ => return Int::Bad,
        }
    }
    Int::Need
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(i64, usize)> {
        match int(text.as_bytes(), 1) {
            Int::Done(value, next) => Some((value, next)),
            Int::Need | Int::Bad => None,
        }
    }

    #[test]
    fn numbers_of_every_length_and_no_more_than_64_bits() {
        for value in [0, 7, 10, 99, 100, -1, -99, 1_048_576, i64::MAX, i64::MIN, i64::MIN + 1] {
            let text = format!(":{value}\r\nrest");
            assert_eq!(read(&text), Some((value, text.len() - 4)), "{text:?}");
        }
        assert_eq!(read(":+5\r\n"), Some((5, 5)));
        assert_eq!(read(":-0\r\n"), Some((0, 5)));
        let bad = [
            ":\r\n",
            ":-\r\n",
            ":+\r\n",
            ":1 \r\n",
            ": 1\r\n",
            ":1\n",
            ":1\r\r\n",
            ":--1\r\n",
            ":0x1\r\n",
            ":9223372036854775808\r\n",
            ":-9223372036854775809\r\n",
            ":000000000000000000000\r\n",
        ];
        for text in bad {
            assert!(matches!(int(text.as_bytes(), 1), Int::Bad), "{text:?}");
        }
    }

    #[test]
    fn an_unfinished_number_asks_for_more() {
        let text = b":-9223372036854775808\r\n";
        for end in 0..text.len() {
            assert!(matches!(int(&text[..end], 1), Int::Need), "{end}");
        }
    }
}
