//! Bytes as people read them.

use std::fmt::{self, Write as _};

/// Shows bytes the way `redis-cli` does: in double quotes, everything that is not printable ASCII escaped, cut off
/// after a given number of bytes.
///
/// ```
/// use rdts_resp::Escaped;
///
/// assert_eq!(Escaped::new(b"a\"b\r\n\x00\xff").to_string(), r#""a\"b\r\n\x00\xff""#);
/// assert_eq!(Escaped::new(b"abcdef").limit(3).to_string(), r#""abc"... (6 bytes)"#);
/// ```
#[derive(Clone, Copy)]
pub struct Escaped<'a> {
    bytes: &'a [u8],
    limit: usize,
}

impl<'a> Escaped<'a> {
    /// Shows at most 128 of these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Escaped { bytes, limit: 128 }
    }

    /// Shows at most `limit` bytes and, if there were more, how many there were.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for &byte in self.bytes.iter().take(self.limit) {
            match byte {
                b'"' | b'\\' => {
                    f.write_char('\\')?;
                    f.write_char(char::from(byte))?;
                }
                b'\n' => f.write_str("\\n")?,
                b'\r' => f.write_str("\\r")?,
                b'\t' => f.write_str("\\t")?,
                0x07 => f.write_str("\\a")?,
                0x08 => f.write_str("\\b")?,
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        f.write_char('"')?;
        if self.bytes.len() > self.limit {
            write!(f, "... ({} bytes)", self.bytes.len())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
