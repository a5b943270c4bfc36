//! What a server of a given family and version understands.

use std::fmt;

use rdts_rdb::{Dialect, ValueType};

use crate::error::{Error, ErrorKind, Result};
use crate::net::info_field;

/// The two families of servers, which have gone different ways since Redis 7.2.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Redis, and forks that report a Redis version.
    Redis,
    /// Valkey.
    Valkey,
}

/// A server's family and version, and what follows from them.
///
/// The limits between versions were measured on real servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    family: Family,
    version: (u16, u16, u16),
}

impl Target {
    /// Redis `major.minor.patch`.
    pub const fn redis(major: u16, minor: u16, patch: u16) -> Self {
        Self { family: Family::Redis, version: (major, minor, patch) }
    }

    /// Valkey `major.minor.patch`.
    pub const fn valkey(major: u16, minor: u16, patch: u16) -> Self {
        Self { family: Family::Valkey, version: (major, minor, patch) }
    }

    /// Reads family and version from the reply to `INFO server`.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] if there is no version in it, [`ErrorKind::Unsupported`] for a server before 2.8.
    pub fn from_info(info: &str) -> Result<Self> {
        let field = |name| info_field(info, name).map(str::trim);
        let target = match (field("valkey_version"), field("redis_version")) {
            (Some(text), _) => Self { family: Family::Valkey, version: version(text)? },
            (None, Some(text)) => Self { family: Family::Redis, version: version(text)? },
            (None, None) => return Err(Error::protocol("INFO server names neither redis_version nor valkey_version")),
        };
        if target.version < (2, 8, 0) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("{target} is too old: the oldest server supported is Redis 2.8"),
            ));
        }
        Ok(target)
    }

    /// The family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// `(major, minor, patch)`.
    pub fn version(&self) -> (u16, u16, u16) {
        self.version
    }

    /// The newest RDB version that this server writes and `RESTORE` takes; 80 is Valkey's first own one.
    pub fn rdb_version(&self) -> u16 {
        let (major, minor, _) = self.version;
        match (self.family, (major, minor)) {
            (Family::Valkey, version) if version >= (9, 0) => 80,
            (Family::Valkey, _) => 11,
            (_, version) if version >= (8, 10) => 15,
            (_, version) if version >= (8, 8) => 14,
            (_, version) if version >= (8, 6) => 13,
            (_, version) if version >= (7, 4) => 12,
            (_, version) if version >= (7, 2) => 11,
            (_, version) if version >= (7, 0) => 10,
            (_, version) if version >= (5, 0) => 9,
            (_, version) if version >= (4, 0) => 8,
            (_, version) if version >= (3, 2) => 7,
            _ => 6,
        }
    }

    /// Whether `RESTORE` takes a value of this type as a source of `dialect` wrote it.
    ///
    /// Redis and Valkey share everything up to RDB 11; what came later, one of them does not know or reads as something else.
    pub fn restores(&self, value_type: ValueType, dialect: Dialect) -> bool {
        // Release candidates only; references that mean nothing outside of their file; a fork's own.
        use ValueType::{
            HashListpackExPreGa, HashMetadataPreGa, HashTemplateArrayRef, HashTemplateListpackRef, KeydbCron, Module,
        };
        if matches!(
            value_type,
            HashListpackExPreGa
                | HashMetadataPreGa
                | HashTemplateArrayRef
                | HashTemplateListpackRef
                | KeydbCron
                | Module
        ) {
            return false;
        }
        let needed = value_type.min_rdb_version();
        let same_family =
            matches!((self.family, dialect), (Family::Redis, Dialect::Redis) | (Family::Valkey, Dialect::Valkey));
        needed <= self.rdb_version() && (needed <= 11 || same_family)
    }

    /// `RESTORE … ABSTTL`, `IDLETIME` and `FREQ`.
    pub fn restore_options(&self) -> bool {
        self.at_least((5, 0))
    }

    /// `RESTORE … REPLACE`.
    pub fn restore_replace(&self) -> bool {
        self.at_least((3, 0))
    }

    /// Streams.
    pub fn streams(&self) -> bool {
        self.at_least((5, 0))
    }

    /// `SET … PXAT`.
    pub fn set_pxat(&self) -> bool {
        self.at_least((6, 2))
    }

    /// `HSET` with several fields; `HMSET` does it everywhere.
    pub fn variadic_hset(&self) -> bool {
        self.at_least((4, 0))
    }

    /// `UNLINK`.
    pub fn unlink(&self) -> bool {
        self.at_least((4, 0))
    }

    /// Function libraries.
    pub fn functions(&self) -> bool {
        self.at_least((7, 0))
    }

    /// Expiry times of hash fields.
    pub fn field_expiry(&self) -> bool {
        match self.family {
            Family::Redis => self.at_least((7, 4)),
            Family::Valkey => self.at_least((9, 0)),
        }
    }

    fn at_least(&self, version: (u16, u16)) -> bool {
        (self.version.0, self.version.1) >= version
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.family {
            Family::Redis => "Redis",
            Family::Valkey => "Valkey",
        };
        let (major, minor, patch) = self.version;
        write!(f, "{name} {major}.{minor}.{patch}")
    }
}

fn version(text: &str) -> Result<(u16, u16, u16)> {
    let mut parts =
        text.split('.').map(|part| part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse());
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor)), patch) => {
            Ok((major, minor, patch.and_then(std::result::Result::ok).unwrap_or(0)))
        }
        _ => Err(Error::protocol(format!("'{}' is no server version", text.escape_debug()))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_servers_print_them() {
        for (info, expected) in [
            ("# Server\r\nredis_version:2.8.17\r\n", Target::redis(2, 8, 17)),
            ("redis_version:7.4-rc1\r\n", Target::redis(7, 4, 0)),
            ("redis_version:255.255.255\r\n", Target::redis(255, 255, 255)),
            ("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n", Target::valkey(9, 1, 2)),
        ] {
            assert_eq!(Target::from_info(info).unwrap(), expected, "{info}");
        }
        for (info, kind) in [
            ("", ErrorKind::Protocol),
            ("redis_version:x.y\r\n", ErrorKind::Protocol),
            ("redis_version:2.6.17\r\n", ErrorKind::Unsupported),
        ] {
            assert_eq!(Target::from_info(info).unwrap_err().kind(), kind, "{info}");
        }
    }

    #[test]
    fn rdb_versions_at_their_first_release() {
        for (target, version) in [
            (Target::redis(2, 8, 0), 6),
            (Target::redis(3, 0, 5), 6),
            (Target::redis(3, 2, 0), 7),
            (Target::redis(3, 9, 102), 7),
            (Target::redis(4, 0, 14), 8),
            (Target::redis(6, 2, 5), 9),
            (Target::redis(7, 0, 15), 10),
            (Target::redis(7, 2, 0), 11),
            (Target::redis(8, 4, 0), 12),
            (Target::redis(8, 10, 2), 15),
            (Target::valkey(8, 1, 8), 11),
            (Target::valkey(9, 0, 0), 80),
        ] {
            assert_eq!(target.rdb_version(), version, "{target}");
        }
    }
}
