//! The frame around the RDB of a full sync.

use crate::error::{Error, Result};

/// How the end of the RDB is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framing {
    /// `$<length>`: so many bytes, and nothing behind them.
    Length(u64),
    /// `$EOF:<delimiter>`: the delimiter follows the RDB (a primary that streams its snapshot without a file).
    Delimiter([u8; 40]),
}

impl Framing {
    /// Reads the line that comes before the RDB (without CR LF).
    ///
    /// # Errors
    /// [`Protocol`](crate::ErrorKind::Protocol), with the line.
    pub fn parse(line: &[u8]) -> Result<Self> {
        let unknown = || {
            let shown = &line[..line.len().min(200)];
            Error::protocol(format!("expected the header of an RDB payload, got '{}'", shown.escape_ascii()))
        };
        let rest = line.strip_prefix(b"$").ok_or_else(unknown)?;
        if let Some(delimiter) = rest.strip_prefix(b"EOF:") {
            return delimiter.try_into().map(Self::Delimiter).map_err(|_| unknown());
        }
        let length = std::str::from_utf8(rest).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        length.and_then(|text| text.parse().ok()).map(Self::Length).ok_or_else(unknown)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_frames_and_nothing_else() {
        let delimiter = [b'5'; 40];
        let line = [b"$EOF:".as_slice(), &delimiter].concat();
        assert_eq!(Framing::parse(&line).unwrap(), Framing::Delimiter(delimiter));
        assert_eq!(Framing::parse(b"$0").unwrap(), Framing::Length(0));
        assert_eq!(Framing::parse(b"$18446744073709551615").unwrap(), Framing::Length(u64::MAX));
        for bad in ["", "$", "$-1", "$+1", "$18446744073709551616", "$EOF:", "$EOF:55", "+OK", "-ERR x"] {
            assert!(Framing::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
