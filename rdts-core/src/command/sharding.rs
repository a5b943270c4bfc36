//! What becomes of a command on a target whose keys are spread over slots.

use super::info::lookup;
use super::keys::keys;
use crate::error::Result;

/// How a command is brought to a target with slots, so that it has exactly the effect that it has on one server.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sharding {
    /// It has one key, and goes to the node that has its slot.
    OneKey,
    /// It has several keys, and is the same as a command for each of them: `DEL`, `UNLINK`, `TOUCH`, `EXISTS`, `MSET`,
    /// `MSETEX` without condition, `SLOTSRESTORE`. [`keys`] says where each begins; what is before the first and, for
    /// `MSETEX`, behind the last belongs to all of them.
    Split,
    /// It has several keys and needs them in one place. In one slot it goes there; otherwise
    /// they have to be brought together first, which `rdts_sink::crossing` does.
    Cross,
    /// It has several keys and goes to the node of their slot if they have the same; otherwise it cannot be done:
    /// `EVAL`, most commands that read several keys, those of modules.
    Together,
    /// It has no key and concerns every node: `FLUSHALL`, `FLUSHDB`, `SCRIPT`, `FUNCTION`.
    Broadcast,
    /// It has one key or two, and a second database: `MOVE`, `COPY … DB`. Goes to the node of the slot if that has
    /// databases (Codis, Valkey 9.0 and later with `cluster-databases`), and cannot be done otherwise.
    Databases,
    /// It uses keys that it does not name: `EVAL`, `EVALSHA` or `FCALL` without a key, and `SORT` with patterns (`BY
    /// w_*`, or any `GET`, which nodes of a cluster refuse).
    Undeclared,
    /// It has no key and may go anywhere: `PUBLISH`, `PING`, `MULTI`, …
    Keyless,
    /// What no node of such a target can do for the whole: `SWAPDB`; `MIGRATE`; what moves slots at the source
    /// (`TRIMSLOTS`, `CLUSTER`, `SLOTSDEL`, `SLOTSMGRT…`).
    Refused,
}

/// How the command `args`, which begins with its name, is brought to a target with slots.
///
/// It does not look at the slots: with [`Split`](Sharding::Split), [`Cross`](Sharding::Cross) and
/// [`Together`](Sharding::Together) the command can go as it is if its [`keys`] happen to be in one slot.
///
/// # Errors
/// As [`keys`].
pub fn sharding(args: &[&[u8]]) -> Result<Sharding> {
    let info = args.first().and_then(|name| lookup(name));
    if info.is_some_and(|info| info.only_key().is_some() && info.name() != "MOVE") {
        return Ok(Sharding::OneKey);
    }
    let name = info.map_or("", |info| info.name());
    let count = keys(args)?.len();
    let has = |words: &[&[u8]], from: usize| {
        args.iter().skip(from).any(|arg| words.iter().any(|word| arg.eq_ignore_ascii_case(word)))
    };
    Ok(match name {
        "SWAPDB" | "MIGRATE" | "CLUSTER" | "TRIMSLOTS" | "SLOTSDEL" => Sharding::Refused,
        _ if name.starts_with("SLOTSMGRT") => Sharding::Refused,
        "MOVE" => Sharding::Databases,
        "COPY" if has(&[b"DB"], 3) => Sharding::Databases,
        "FLUSHALL" | "FLUSHDB" | "SCRIPT" | "FUNCTION" => Sharding::Broadcast,
        "EVAL" | "EVALSHA" | "EVAL_RO" | "EVALSHA_RO" | "FCALL" | "FCALL_RO" if count == 0 => Sharding::Undeclared,
        _ if count == 0 => Sharding::Keyless,
        "SORT" if sorts_by_pattern(args) => Sharding::Undeclared,
        _ if count == 1 => Sharding::OneKey,
        "DEL" | "UNLINK" | "TOUCH" | "EXISTS" | "MSET" | "SLOTSRESTORE" => Sharding::Split,
        "MSETEX" if has(&[b"NX", b"XX"], msetex_options(args)?) => Sharding::Cross,
        "MSETEX" => Sharding::Split,
        "RENAME" | "RENAMENX" | "COPY" | "SMOVE" | "RPOPLPUSH" | "BRPOPLPUSH" | "LMOVE" | "BLMOVE" | "LMOVEM"
        | "BLMOVEM" | "SORT" | "SUNIONSTORE" | "SINTERSTORE" | "SDIFFSTORE" | "ZUNIONSTORE" | "ZINTERSTORE"
        | "ZDIFFSTORE" | "ZRANGESTORE" | "BITOP" | "PFMERGE" | "GEOSEARCHSTORE" | "GEORADIUS" | "GEORADIUSBYMEMBER"
        | "MSETNX" | "LMPOP" | "ZMPOP" => Sharding::Cross,
        _ => Sharding::Together,
    })
}

/// Where the options of `MSETEX` begin.
fn msetex_options(args: &[&[u8]]) -> Result<usize> {
    Ok(keys(args)?.last().map_or(args.len(), |key| key.index + 2))
}

/// Whether `SORT` has `GET`, or `BY` with a pattern that makes names of keys: one with `*`. (`GET #` names none, but
/// nodes of a cluster refuse any `GET` before Redis 7.4.)
fn sorts_by_pattern(args: &[&[u8]]) -> bool {
    let mut at = 2;
    while at + 1 < args.len() {
        let is = |word: &[u8]| args[at].eq_ignore_ascii_case(word);
        if is(b"GET") || (is(b"BY") && args[at + 1].contains(&b'*')) {
            return true;
        }
        at += match args[at].len() {
            2 if is(b"BY") => 2,
            5 if is(b"STORE") => 2,
            5 if is(b"LIMIT") => 3,
            _ => 1,
        };
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(text: &str) -> Sharding {
        sharding(&text.split(' ').map(str::as_bytes).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn commands_are_sharded_as_they_have_to_be() {
        let expected: [(Sharding, &[&str]); 9] = [
            (
                Sharding::OneKey,
                &[
                    "set k v",
                    "DEL k",
                    "MSET k v",
                    "EVAL x 1 k",
                    "XGROUP CREATE k g 0",
                    "GEORADIUS k 0 0 1 m",
                    "SORT k",
                    "ZMPOP 1 k MIN",
                    "MSETEX 1 k v NX",
                    "MODULE.COMMAND k x",
                    "SORT k BY nosort",
                    "HIMPORT SET k f v",
                    "BLPOP k 0",
                ],
            ),
            (
                Sharding::Split,
                &[
                    "del a b",
                    "UNLINK a b",
                    "TOUCH a b",
                    "EXISTS a b",
                    "MSET a 1 b 2",
                    "MSETEX 2 a 1 b nx EX 5",
                    "SLOTSRESTORE a 0 x b 0 y",
                ],
            ),
            (
                Sharding::Cross,
                &[
                    "RENAME a b",
                    "renamenx a b",
                    "COPY a b REPLACE",
                    "SMOVE a b m",
                    "LMOVE a b LEFT LEFT",
                    "SORT a STORE b",
                    "SORT a BY nosort LIMIT 0 5 STORE b",
                    "BITOP NOT a b",
                    "PFMERGE a b",
                    "MSETNX a 1 b 2",
                    "MSETEX 2 a 1 b 2 EX 5 nx",
                    "GEORADIUSBYMEMBER a m 1 m STORE b",
                    "ZUNIONSTORE a 1 b",
                    "LMPOP 2 a b LEFT",
                ],
            ),
            (Sharding::Together, &["EVAL x 2 a b", "SUNION a b", "BLPOP a b 0", "JSON.MSET a $ 1 b $ 2"]),
            (Sharding::Broadcast, &["FLUSHALL", "flushdb ASYNC", "SCRIPT LOAD x", "FUNCTION RESTORE x"]),
            (Sharding::Databases, &["MOVE a 1", "COPY a b DB 1", "COPY a b REPLACE DB 1"]),
            (
                Sharding::Undeclared,
                &[
                    "EVAL x 0",
                    "EVALSHA x 0 a",
                    "FCALL f 0",
                    "SORT a BY w_* STORE b",
                    "SORT a GET #",
                    "SORT a GET d_*->f LIMIT 0 1",
                ],
            ),
            (Sharding::Keyless, &["PING", "MULTI", "PUBLISH c m", "SPUBLISH c m", "UNKNOWN", "SELECT 1"]),
            (
                Sharding::Refused,
                &["SWAPDB 0 1", "TRIMSLOTS RANGES 1 0 5", "CLUSTER SYNCSLOTS x", "SLOTSDEL 1 2", "MIGRATE h 1 k 0 1"],
            ),
        ];
        for (expected, commands) in expected {
            for command in commands {
                assert_eq!(of(command), expected, "{command}");
            }
        }
        assert!(sharding(&[b"EVAL", b"x", b"1"]).is_err());
        assert_eq!(sharding(&[]).unwrap(), Sharding::Keyless);
    }
}
