//! The version line of a file, and the two dialects that share the format.

use std::fmt;

/// Whose format it is. Redis and Valkey agree up to RDB 11 and gave different meanings to the same bytes after that
/// (value types 22 and 23, opcodes 242 and 243).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// Magic `REDIS`: Redis, KeyDB, Dragonfly's `.rdb`, and Valkey up to 8.
    #[default]
    Redis,
    /// Magic `VALKEY`: Valkey from 9.0 on.
    Valkey,
}

/// Format version: dialect and number, as in `REDIS0012` or `VALKEY080`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Version {
    /// Which magic the file starts with.
    pub dialect: Dialect,
    /// The number after it: 1 to 15 for Redis, 80 and up for Valkey.
    pub number: u16,
}

impl Version {
    /// The newest version of the Redis dialect that this crate reads.
    pub const NEWEST_REDIS: u16 = 15;
    /// The newest version of the Valkey dialect that this crate reads.
    pub const NEWEST_VALKEY: u16 = 80;
    /// Smallest number of the Valkey dialect. Servers keep 12 to 79 as "foreign" to Valkey.
    pub const FIRST_VALKEY: u16 = 80;

    /// A version of the Redis dialect.
    #[must_use]
    pub const fn redis(number: u16) -> Self {
        Self { dialect: Dialect::Redis, number }
    }

    /// A version of the Valkey dialect.
    #[must_use]
    pub const fn valkey(number: u16) -> Self {
        Self { dialect: Dialect::Valkey, number }
    }

    /// The version that a bare number stands for, as in the footer of a DUMP payload, which has no magic: 80 and up is Valkey.
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        if number >= Self::FIRST_VALKEY { Self::valkey(number) } else { Self::redis(number) }
    }

    /// Whether a file of this version ends with a checksum (from 5 on).
    #[must_use]
    pub const fn has_checksum(self) -> bool {
        self.number >= 5
    }

    /// Whether this crate reads the version. The others are refused with
    /// [`ErrorKind::UnsupportedVersion`](crate::ErrorKind::UnsupportedVersion).
    #[must_use]
    pub const fn is_supported(self) -> bool {
        match self.dialect {
            Dialect::Redis => self.number >= 1 && self.number <= Self::NEWEST_REDIS,
            Dialect::Valkey => self.number >= Self::FIRST_VALKEY && self.number <= Self::NEWEST_VALKEY,
        }
    }
}

impl fmt::Display for Version {
    /// As in the file: `REDIS0012`, `VALKEY080`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dialect {
            Dialect::Redis => write!(f, "REDIS{:04}", self.number),
            Dialect::Valkey => write!(f, "VALKEY{:03}", self.number),
        }
    }
}
