//! Patterns for the names of keys.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use super::glob;
use crate::error::{Error, ErrorKind, Result};

/// Which names are meant.
///
/// ```
/// use rdts_core::filter::Pattern;
///
/// assert!(Pattern::glob("user:[0-9]*").matches(b"user:17"));
/// assert!(Pattern::prefix("user:").matches(b"user:\xff"));
/// assert!(Pattern::regex("^(user|group):[0-9]+$")?.matches(b"group:1"));
/// # Ok::<(), rdts_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Pattern(Kind);

#[derive(Clone)]
enum Kind {
    Glob(Vec<u8>),
    Prefix(Vec<u8>),
    Regex(Regex),
}

impl Pattern {
    /// Names as the `KEYS` command of servers takes them: `*` any bytes, `?` one byte, `[ae]`, `[^e]` and `[a-z]` one byte of (or not of)
    /// a class, `\` takes the next byte as it is. The whole name has to match; that takes at most as many steps as the product of both
    /// lengths, whatever the pattern.
    pub fn glob(pattern: impl Into<Vec<u8>>) -> Self {
        Self(Kind::Glob(pattern.into()))
    }

    /// Names that begin so.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        Self(Kind::Prefix(prefix.into()))
    }

    /// Names in which this regular expression is found: `^` and `$` bind it to the ends. It works on bytes (`.` is any of them, `(?u)`
    /// makes it a character), and takes time in proportion to the name's length.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) if it is none, or takes more than 1 MiB when it is compiled.
    pub fn regex(expression: &str) -> Result<Self> {
        let built = RegexBuilder::new(expression)
            .unicode(false)
            .dot_matches_new_line(true)
            .size_limit(1 << 20)
            .dfa_size_limit(1 << 20)
            .build();
        let wrong = |error| {
            Error::new(ErrorKind::Config, format!("'{expression}' is no regular expression that can be used"))
                .with_source(error)
        };
        Ok(Self(Kind::Regex(built.map_err(wrong)?)))
    }

    /// Whether `name` is meant.
    #[inline]
    pub fn matches(&self, name: &[u8]) -> bool {
        match &self.0 {
            Kind::Glob(pattern) => glob::matches(pattern, name),
            Kind::Prefix(prefix) => name.starts_with(prefix),
            Kind::Regex(regex) => regex.is_match(name),
        }
    }

    /// What every name that matches begins with, as far as that is plain to see.
    pub(super) fn beginning(&self) -> &[u8] {
        match &self.0 {
            Kind::Glob(pattern) => {
                let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
                &pattern[..pattern.iter().position(special).unwrap_or(pattern.len())]
            }
            Kind::Prefix(prefix) => prefix,
            Kind::Regex(_) => b"",
        }
    }

    /// The prefix, if every name that begins with it is meant.
    pub(super) fn whole_prefix(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Prefix(prefix) => Some(prefix),
            Kind::Glob(pattern) => {
                let beginning = self.beginning();
                (pattern.len() == beginning.len() + 1 && pattern.last() == Some(&b'*')).then_some(beginning)
            }
            Kind::Regex(_) => None,
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Glob(one), Kind::Glob(two)) | (Kind::Prefix(one), Kind::Prefix(two)) => one == two,
            (Kind::Regex(one), Kind::Regex(two)) => one.as_str() == two.as_str(),
            _ => false,
        }
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Glob(pattern) => write!(f, "glob {}", pattern.escape_ascii()),
            Kind::Prefix(prefix) => write!(f, "prefix {}", prefix.escape_ascii()),
            Kind::Regex(regex) => write!(f, "regex {}", regex.as_str()),
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
