//! Where the servers are, and which version each of them is.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{LazyLock, Mutex};

/// A server's family and version, as `redis-server --version` says.
///
/// The server called `redis-4.0` is a release candidate that names itself 3.9.102.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    valkey: bool,
    number: (u16, u16, u16),
}

impl Version {
    /// Whether it is a Valkey.
    #[must_use]
    pub fn is_valkey(self) -> bool {
        self.valkey
    }

    /// Major, minor and patch number, of its own family.
    #[must_use]
    pub fn number(self) -> (u16, u16, u16) {
        self.number
    }

    /// Whether it is a Redis of this version or later, or a Valkey, which forked from Redis 7.2.4, with
    /// `(major, minor)` up to 7.2.
    #[must_use]
    pub fn has_redis(self, major: u16, minor: u16) -> bool {
        let number = if self.valkey { (7, 2, 4) } else { self.number };
        (number.0, number.1) >= (major, minor)
    }

    /// Whether it is a Valkey of this version or later.
    #[must_use]
    pub fn has_valkey(self, major: u16, minor: u16) -> bool {
        self.valkey && (self.number.0, self.number.1) >= (major, minor)
    }

    /// Whether the two have the same [`digest`](crate::digest()) of the same data. All tested versions have, but that
    /// of sorted sets changed in Redis 7.2 with the way in which scores are written.
    #[must_use]
    pub fn digests_like(self, other: Self) -> bool {
        self.has_redis(7, 2) == other.has_redis(7, 2)
    }

    /// Reads `Redis server v=7.0.15 sha=…` and `Valkey server v=9.1.2 sha=…`.
    fn parse(text: &str) -> Option<Self> {
        let number = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
        let mut parts = number.split('.').map(|part| part.parse().ok());
        let mut next = || parts.next().flatten();
        Some(Self { valkey: text.starts_with("Valkey"), number: (next()?, next()?, next()?) })
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.valkey { "valkey" } else { "redis" };
        let (major, minor, patch) = self.number;
        write!(f, "{family} {major}.{minor}.{patch}")
    }
}

/// The folder that `tools/fetch-servers` fills: `$RDTS_SERVERS`, or `rdts/servers` in `$XDG_CACHE_HOME` or `~/.cache`.
#[must_use]
pub fn server_folder() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("RDTS_SERVERS").unwrap_or_else(|| {
        set("XDG_CACHE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".cache")))
            .unwrap_or_else(|| {
                panic!("neither RDTS_SERVERS nor XDG_CACHE_HOME nor HOME is set: where are the servers?")
            })
            .join("rdts/servers")
    })
}

/// The executable of the server called `name`, and its version.
pub(crate) fn find(name: &str) -> (PathBuf, Version) {
    static KNOWN: LazyLock<Mutex<HashMap<String, Version>>> = LazyLock::new(Mutex::default);
    let folder = server_folder();
    let executable = folder.join(name).join("redis-server");
    if !executable.is_file() {
        panic!("the server {name} is not in {}: get it with `tools/fetch-servers {name}`", folder.display());
    }
    let known = KNOWN.lock().unwrap().get(name).copied();
    let version = known.unwrap_or_else(|| {
        let output = Command::new(&executable).arg("--version").output();
        let output = output.unwrap_or_else(|error| panic!("{} does not run: {error}", executable.display()));
        let text = String::from_utf8_lossy(&output.stdout);
        let version = Version::parse(&text)
            .unwrap_or_else(|| panic!("{} --version says no version: {output:?}", executable.display()));
        KNOWN.lock().unwrap().insert(name.to_owned(), version);
        version
    });
    (executable, version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_say_of_themselves() {
        let redis = Version::parse("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64").unwrap();
        assert_eq!(format!("{redis:?}"), "redis 7.0.15");
        assert!(redis.has_redis(6, 2) && redis.has_redis(7, 0) && !redis.has_redis(7, 2));
        assert!(!redis.is_valkey() && !redis.has_valkey(8, 0));
        let valkey = Version::parse("Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64").unwrap();
        assert!(valkey.has_redis(7, 2) && !valkey.has_redis(7, 4));
        assert!(valkey.has_valkey(9, 0) && !valkey.has_valkey(9, 2));
        assert_eq!(Version::parse("command not found"), None);
    }
}
