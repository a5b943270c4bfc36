//! From a command's name to what applies it.

use super::args::Args;
use super::context::Context;
use super::error::{CommandError, Result};
use super::reply::Reply;
use super::{
    bits, expire, geo, hash, hash_expire, hll_commands, keys, list, restore, script, set, sort, stream_commands,
    stream_groups, string, zset_commands, zset_store,
};

type Handler = fn(&mut Context<'_>, &mut Args<'_>) -> Result<Reply>;

/// Longer than every name in the table.
const LONGEST_NAME: usize = 24;

/// Applies one command: name, number of arguments, handler.
pub(super) fn apply(cx: &mut Context<'_>, command: &[&[u8]]) -> Result<Reply> {
    let Some((name, arguments)) = command.split_first() else {
        return Err(CommandError::invalid("ERR an empty command"));
    };
    let mut upper = [0; LONGEST_NAME];
    let handler = upper.get_mut(..name.len()).and_then(|upper| {
        upper.copy_from_slice(name);
        upper.make_ascii_uppercase();
        find(upper)
    });
    let Some((arity, handler)) = handler else {
        return Err(CommandError::unsupported(name, why_not(name)));
    };
    let fits = if arity >= 0 { command.len() == arity.unsigned_abs() } else { command.len() >= arity.unsigned_abs() };
    if !fits {
        return Err(CommandError::arity(name));
    }
    handler(cx, &mut Args::new(name, arguments))
}

/// A server's arity, the name included: exactly so many, or at least so many when negative.
#[rustfmt::skip]
fn find(name: &[u8]) -> Option<(isize, Handler)> {
    let found: (isize, Handler) = match name {
        b"SET" => (-3, string::set),
        b"SETNX" => (3, string::setnx),
        b"SETEX" => (4, string::setex),
        b"PSETEX" => (4, string::psetex),
        b"GETSET" => (3, string::getset),
        b"GETDEL" => (2, string::getdel),
        b"GETEX" => (-2, string::getex),
        b"MSET" => (-3, string::mset),
        b"MSETNX" => (-3, string::msetnx),
        b"MSETEX" => (-4, string::msetex),
        b"DELIFEQ" => (3, string::delifeq),
        b"DELEX" => (-2, string::delex),
        b"APPEND" => (3, string::append),
        b"SETRANGE" => (4, string::setrange),
        b"INCR" => (2, string::incr),
        b"DECR" => (2, string::decr),
        b"INCRBY" => (3, string::incrby),
        b"DECRBY" => (3, string::decrby),
        b"INCRBYFLOAT" => (3, string::incrbyfloat),
        b"SETBIT" => (4, bits::setbit),
        b"BITFIELD" => (-2, bits::bitfield),
        b"BITOP" => (-4, bits::bitop),
        b"PFADD" => (-2, hll_commands::pfadd),
        b"PFMERGE" => (-2, hll_commands::pfmerge),
        b"PFCOUNT" => (-2, hll_commands::pfcount),

        b"DEL" | b"UNLINK" => (-2, keys::del),
        b"RENAME" => (3, keys::rename),
        b"RENAMENX" => (3, keys::renamenx),
        b"MOVE" => (3, keys::r#move),
        b"COPY" => (-3, keys::copy),
        b"SWAPDB" => (3, keys::swapdb),
        b"FLUSHDB" => (-1, keys::flushdb),
        b"FLUSHALL" => (-1, keys::flushall),
        b"EXPIRE" => (-3, expire::expire),
        b"PEXPIRE" => (-3, expire::pexpire),
        b"EXPIREAT" => (-3, expire::expireat),
        b"PEXPIREAT" => (-3, expire::pexpireat),
        b"PERSIST" => (2, expire::persist),
        b"RESTORE" | b"RESTORE-ASKING" => (-4, restore::restore),
        b"SORT" => (-2, sort::sort),

        b"LPUSH" => (-3, list::lpush),
        b"RPUSH" => (-3, list::rpush),
        b"LPUSHX" => (-3, list::lpushx),
        b"RPUSHX" => (-3, list::rpushx),
        b"LPOP" => (-2, list::lpop),
        b"RPOP" => (-2, list::rpop),
        b"BLPOP" => (-3, list::blpop),
        b"BRPOP" => (-3, list::brpop),
        b"LMPOP" => (-4, list::lmpop),
        b"BLMPOP" => (-5, list::blmpop),
        b"LSET" => (4, list::lset),
        b"LINSERT" => (5, list::linsert),
        b"LREM" => (4, list::lrem),
        b"LTRIM" => (4, list::ltrim),
        b"RPOPLPUSH" => (3, list::rpoplpush),
        b"BRPOPLPUSH" => (4, list::brpoplpush),
        b"LMOVE" => (5, list::lmove),
        b"BLMOVE" => (6, list::blmove),

        b"SADD" => (-3, set::sadd),
        b"SREM" => (-3, set::srem),
        b"SPOP" => (-2, set::spop),
        b"SMOVE" => (4, set::smove),
        b"SINTERSTORE" => (-3, set::sinterstore),
        b"SUNIONSTORE" => (-3, set::sunionstore),
        b"SDIFFSTORE" => (-3, set::sdiffstore),

        b"ZADD" => (-4, zset_commands::zadd),
        b"ZINCRBY" => (4, zset_commands::zincrby),
        b"ZREM" => (-3, zset_commands::zrem),
        b"ZREMRANGEBYRANK" => (4, zset_commands::zremrangebyrank),
        b"ZREMRANGEBYSCORE" => (4, zset_commands::zremrangebyscore),
        b"ZREMRANGEBYLEX" => (4, zset_commands::zremrangebylex),
        b"ZPOPMIN" => (-2, zset_commands::zpopmin),
        b"ZPOPMAX" => (-2, zset_commands::zpopmax),
        b"BZPOPMIN" => (-3, zset_commands::bzpopmin),
        b"BZPOPMAX" => (-3, zset_commands::bzpopmax),
        b"ZMPOP" => (-4, zset_commands::zmpop),
        b"BZMPOP" => (-5, zset_commands::bzmpop),
        b"ZUNIONSTORE" => (-4, zset_store::zunionstore),
        b"ZINTERSTORE" => (-4, zset_store::zinterstore),
        b"ZDIFFSTORE" => (-4, zset_store::zdiffstore),
        b"ZRANGESTORE" => (-5, zset_store::zrangestore),
        b"GEOADD" => (-5, geo::geoadd),
        b"GEORADIUS" => (-6, geo::georadius),
        b"GEORADIUSBYMEMBER" => (-5, geo::georadiusbymember),
        b"GEOSEARCHSTORE" => (-8, geo::geosearchstore),

        b"HSET" => (-4, hash::hset),
        b"HMSET" => (-4, hash::hmset),
        b"HSETNX" => (4, hash::hsetnx),
        b"HDEL" => (-3, hash::hdel),
        b"HINCRBY" => (4, hash::hincrby),
        b"HINCRBYFLOAT" => (4, hash::hincrbyfloat),
        b"HEXPIRE" => (-6, hash_expire::hexpire),
        b"HPEXPIRE" => (-6, hash_expire::hpexpire),
        b"HEXPIREAT" => (-6, hash_expire::hexpireat),
        b"HPEXPIREAT" => (-6, hash_expire::hpexpireat),
        b"HPERSIST" => (-5, hash_expire::hpersist),
        b"HGETDEL" => (-5, hash_expire::hgetdel),
        b"HGETEX" => (-5, hash_expire::hgetex),
        b"HSETEX" => (-6, hash_expire::hsetex),

        b"XADD" => (-5, stream_commands::xadd),
        b"XDEL" => (-3, stream_commands::xdel),
        b"XDELEX" => (-5, stream_commands::xdelex),
        b"XTRIM" => (-4, stream_commands::xtrim),
        b"XSETID" => (-3, stream_commands::xsetid),
        b"XGROUP" => (-4, stream_groups::xgroup),
        b"XACK" => (-4, stream_groups::xack),
        b"XACKDEL" => (-6, stream_groups::xackdel),
        b"XCLAIM" => (-6, stream_groups::xclaim),
        b"XAUTOCLAIM" => (-6, stream_groups::xautoclaim),

        b"SCRIPT" => (-2, script::script),
        b"FUNCTION" => (-2, script::function),
        b"PING" => (-1, script::ping),
        b"ECHO" => (2, script::echo),
        b"PUBLISH" | b"SPUBLISH" => (3, script::publish),
        b"REPLCONF" => (-1, script::replconf),
        _ => return None,
    };
    Some(found)
}

/// Why a command is not in the table.
fn why_not(name: &[u8]) -> &'static str {
    match name.to_ascii_uppercase().as_slice() {
        b"EVAL" | b"EVALSHA" | b"EVAL_RO" | b"EVALSHA_RO" | b"FCALL" | b"FCALL_RO" => {
            "there is no script engine here; servers since 5.0 send what a script did"
        }
        b"SELECT" | b"MULTI" | b"EXEC" | b"DISCARD" | b"WATCH" | b"UNWATCH" => {
            "databases and transactions are the caller's to keep; give each command its database"
        }
        b"XREADGROUP" => "servers send what it did as XCLAIM and XGROUP SETID",
        b"MIGRATE" => "it needs another server; servers send DEL",
        upper if upper.contains(&b'.') => "it belongs to a module",
        _ => "it is not a write command that is known here",
    }
}

#[cfg(test)]
mod tests {
    use crate::memory::{CommandErrorKind, MemoryStore, Reply};

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let mut store = MemoryStore::new();
        for name in ["EVAL", "SELECT", "XREADGROUP", "JSON.SET", "NO\nSUCH", &"x".repeat(100)] {
            let error = store.apply(0, &[name.as_bytes(), b"1", b"2"], 0).expect_err("it is not in the table");
            assert_eq!(error.kind(), CommandErrorKind::Unsupported, "{error}");
            assert!(
                error.to_string().contains(&name.as_bytes().escape_ascii().to_string().to_ascii_uppercase()),
                "{error}"
            );
        }
        assert!(store.is_empty());
    }

    #[test]
    fn an_expiry_in_the_past_leaves_the_key_until_the_source_deletes_it() -> Result<(), crate::memory::CommandError> {
        let mut store = MemoryStore::new();
        store.apply(7, &[b"set", b"k", b"1"], 5_000)?;
        store.apply(7, &[b"PEXPIREAT", b"k", b"4000"], 5_000)?;
        assert_eq!(store.apply(7, &[b"INCR", b"k"], 5_000)?, Reply::Integer(2));
        assert!(store.get(7, b"k").is_some_and(|entry| entry.is_expired(5_000) && !entry.is_expired(3_999)));
        assert_eq!((store.remove_expired(5_000), store.len()), (1, 0));
        Ok(())
    }
}
