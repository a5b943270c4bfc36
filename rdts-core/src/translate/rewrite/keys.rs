//! Keys of any type, and databases.

use super::{ALL, Context, NEVER, Rule, Step, Word, option, rule, script, since, without, word};
use crate::error::Result;

pub(super) static RULES: &[Rule] = &[
    rule("UNLINK", "", (since(4, 0), ALL), "DEL", 2, unlink),
    rule("COPY", "", (since(6, 2), ALL), "EVAL: DUMP, RESTORE and PEXPIRE with what PTTL said", 3, copy)
        .inexact("a copy that expires may do so a millisecond earlier or later"),
    rule("MOVE", "", (since(3, 0), ALL), "EVAL: MOVE, and PEXPIRE there with what PTTL said", 3, moved)
        .inexact("the key may expire a millisecond earlier or later"),
    rule("FLUSHALL", "ASYNC", (since(4, 0), ALL), "FLUSHALL", 2, flush),
    rule("FLUSHALL", "SYNC", (since(6, 2), ALL), "FLUSHALL", 2, flush_sync),
    rule("FLUSHDB", "ASYNC", (since(4, 0), ALL), "FLUSHDB", 2, flush),
    rule("FLUSHDB", "SYNC", (since(6, 2), ALL), "FLUSHDB", 2, flush_sync),
    rule(
        "RENAME",
        "of a key that may have been dropped",
        (NEVER, NEVER),
        "EVAL: RENAME, or DEL of the new name",
        3,
        rename,
    ),
    rule("RENAMENX", "of a key that may have been dropped", (NEVER, NEVER), "EVAL: RENAME, or nothing", 3, rename),
];

/// Redis 2.8 forgets the expiry of a key that is moved. `SELECT` in a script is the script's own.
const MOVE: &str = "\
local ttl = redis.call('PTTL', KEYS[1])
local moved = redis.call('MOVE', KEYS[1], ARGV[1])
if moved == 1 and ttl > 0 then
  redis.call('SELECT', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ttl)
end
return moved";

fn moved<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    // Before, a script would have left the connection in the other database.
    if context.target.version() < (2, 8, 12) {
        return Ok(Step::Cannot("the key's expiry would be forgotten"));
    }
    Step::one(script(MOVE, [words[1].clone()], words[2..].iter().cloned()))
}

fn unlink<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let mut words = words.to_vec();
    words[0] = word("DEL");
    Step::one(words)
}

fn flush<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    Step::one([words[0].clone()])
}

fn flush_sync<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    match option(words, 1, &["SYNC"]) {
        Some(at) => Step::one(without(words, at, 1)),
        None => Ok(Step::No),
    }
}

/// What is copied only if it could be is replicated, so what stands in the place has to go.
const COPY: &str = "\
local v = redis.call('DUMP', KEYS[1])
if not v then return 0 end
local ttl = redis.call('PTTL', KEYS[1])
if ARGV[1] then redis.call('SELECT', ARGV[1]) end
redis.call('DEL', KEYS[2])
redis.call('RESTORE', KEYS[2], 0, v)
if ttl > 0 then redis.call('PEXPIRE', KEYS[2], ttl) end
return 1";

fn copy<'c>(_: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    let db = option(words, 3, &["DB"]).and_then(|at| words.get(at + 1).cloned());
    Step::one(script(COPY, words[1..3].iter().cloned(), db))
}

/// A key that was left out cannot be renamed, but what had the new name is gone.
const RENAME: &str = "\
if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('RENAME', KEYS[1], KEYS[2]) end
return redis.call('DEL', KEYS[2])";

fn rename<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Step<'c>> {
    if !context.losses.drops_keys() || words[1] == words[2] {
        return Ok(Step::No);
    }
    Step::one(script(RENAME, words[1..3].iter().cloned(), []))
}
