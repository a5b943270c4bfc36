//! What each kind of proxy passes on.
//!
//! Only commands of one key count here: of several keys a proxy asks the first one for the way and answers wrongly, without an
//! error, when the others are elsewhere. The lists are those of Codis 3.2.2, and what twemproxy 0.5.0 and Envoy passed on of all commands
//! that servers up to Redis 8.10 and Valkey 9.1 have.

use std::fmt;

/// What a proxy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    Codis,
    Twemproxy,
    Envoy,
    /// A cloud's own, or one that nobody has looked at.
    Other,
}

impl Profile {
    /// Whether it passes on the command `name`, of one key and with so many arguments, its name among them.
    pub(super) fn passes(self, name: &[u8], args: usize) -> bool {
        let is_in = |list: &[&str]| list.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()));
        // twemproxy closes the connection also when there is an argument too many; newer servers have options here.
        if self == Self::Twemproxy && args > 3 && is_in(&["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"]) {
            return false;
        }
        is_in(EVERYWHERE)
            || match self {
                Self::Codis => is_in(CODIS),
                Self::Twemproxy => is_in(SINCE_3_2),
                Self::Envoy => is_in(SINCE_3_2) || is_in(ENVOY),
                Self::Other => is_in(SINCE_3_2) || is_in(ENVOY) || is_in(OTHER),
            }
    }

    /// How many bytes a key can have. twemproxy closes the connection over one that does not fit into a buffer of its own (16 KiB, if
    /// not set otherwise).
    pub(super) fn longest_key(self) -> usize {
        if self == Self::Twemproxy { 16_300 } else { usize::MAX }
    }

    /// Whether connections can select other databases than 0.
    pub(super) fn databases(self) -> bool {
        self == Self::Codis
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Codis => "a Codis proxy",
            Self::Twemproxy => "twemproxy",
            Self::Envoy => "Envoy",
            Self::Other => "a proxy",
        })
    }
}

/// Those of Redis 3.2 and before that every proxy passes on.
const EVERYWHERE: &[&str] = &[
    "SET",
    "DEL",
    "HSET",
    "SADD",
    "ZADD",
    "INCR",
    "LPUSH",
    "RPUSH",
    "PEXPIREAT",
    "EXPIRE",
    "SETEX",
    "HDEL",
    "SREM",
    "ZREM",
    "LPOP",
    "RPOP",
    "HINCRBY",
    "INCRBY",
    "ZINCRBY",
    "HMSET",
    "APPEND",
    "BITFIELD",
    "DECR",
    "DECRBY",
    "EVAL",
    "EXPIREAT",
    "GEOADD",
    "GETSET",
    "HINCRBYFLOAT",
    "HSETNX",
    "INCRBYFLOAT",
    "LINSERT",
    "LPUSHX",
    "LREM",
    "LSET",
    "LTRIM",
    "PERSIST",
    "PEXPIRE",
    "PFADD",
    "PSETEX",
    "RPUSHX",
    "SETBIT",
    "SETNX",
    "SETRANGE",
    "SORT",
    "SPOP",
    "TOUCH",
    "ZREMRANGEBYLEX",
    "ZREMRANGEBYRANK",
    "ZREMRANGEBYSCORE",
];

/// What Codis has beside them.
const CODIS: &[&str] = &["SLOTSRESTORE"];

/// What the others have beside them.
const SINCE_3_2: &[&str] = &["RESTORE", "UNLINK", "GETDEL", "GETEX", "ZPOPMAX", "ZPOPMIN"];

/// What Envoy has beside that.
const ENVOY: &[&str] = &[
    "HEXPIRE",
    "HEXPIREAT",
    "HPERSIST",
    "HPEXPIRE",
    "HPEXPIREAT",
    "XACK",
    "XADD",
    "XAUTOCLAIM",
    "XCLAIM",
    "XDEL",
    "XTRIM",
];

/// What a proxy of which nothing is known is asked for beside that. It answers with an error if it does not pass it on.
const OTHER: &[&str] = &["XGROUP", "XSETID", "HSETEX", "HGETDEL", "HGETEX"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_refuses_is_not_sent() {
        for name in
            ["RENAME", "BITOP", "MSETNX", "MULTI", "FLUSHALL", "SUNIONSTORE", "SMOVE", "EVALSHA", "MOVE", "MSET"]
        {
            for profile in [Profile::Codis, Profile::Twemproxy, Profile::Envoy, Profile::Other] {
                assert!(!profile.passes(name.as_bytes(), 3), "{profile}: {name}");
            }
        }
        assert!(Profile::Codis.passes(b"slotsrestore", 3) && !Profile::Codis.passes(b"RESTORE", 3));
        assert!(!Profile::Codis.passes(b"UNLINK", 3) && !Profile::Twemproxy.passes(b"XADD", 3));
        assert!(Profile::Twemproxy.passes(b"expire", 3) && !Profile::Twemproxy.passes(b"expire", 4));
        assert!(Profile::Envoy.passes(b"XADD", 3) && Profile::Twemproxy.passes(b"restore", 3));
    }
}
