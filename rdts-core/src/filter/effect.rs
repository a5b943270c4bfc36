//! What a write command says of the type of its keys.

use rdts_rdb::ValueKind;

/// What a write command says of the type of the keys that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// They have this type if they are there, and whatever it makes has, too.
    On(ValueKind),
    /// Whatever was there, a value of this type takes its place, or nothing.
    Puts(ValueKind),
    /// The same, of a list that is made of a list, set or sorted set.
    PutsSorted,
    /// The same, of a sorted set that is made of sets or sorted sets.
    PutsUnited,
    /// It is in the payload.
    Payload,
    /// Any type; where there is no key it does nothing.
    Any,
    /// The second key gets what the first has.
    Rename,
    /// Nobody knows.
    Unknown,
}

/// What the write command of this name in upper case, which some server has, says of types.
pub(super) fn effect(name: &str) -> Effect {
    use Effect::{Any, On, Payload, Puts, PutsSorted, PutsUnited, Rename, Unknown};
    use ValueKind::{Array, Hash, List, Module, Set, Stream, String, ZSet};
    match name {
        "SET" | "SETEX" | "PSETEX" | "MSET" | "MSETEX" | "BITOP" => Puts(String),
        "SUNIONSTORE" | "SINTERSTORE" | "SDIFFSTORE" => Puts(Set),
        "ZRANGESTORE" | "GEOSEARCHSTORE" | "GEORADIUS" | "GEORADIUSBYMEMBER" => Puts(ZSet),
        "ZUNIONSTORE" | "ZINTERSTORE" | "ZDIFFSTORE" => PutsUnited,
        "SORT" => PutsSorted,
        "RESTORE" | "RESTORE-ASKING" => Payload,
        "DEL" | "UNLINK" | "DELEX" | "DELIFEQ" | "EXPIRE" | "EXPIREAT" | "PEXPIRE" | "PEXPIREAT" | "PERSIST" => Any,
        "RENAME" | "RENAMENX" => Rename,
        // Where SETNX or MSETNX had an effect nothing was there before.
        "APPEND" | "BITFIELD" | "DECR" | "DECRBY" | "GETDEL" | "GETEX" | "GETSET" | "INCR" | "INCRBY"
        | "INCRBYFLOAT" | "INCREX" | "MSETNX" | "PFADD" | "PFCOUNT" | "PFDEBUG" | "PFMERGE" | "SETBIT" | "SETNX"
        | "SETRANGE" => On(String),
        "BLMOVE" | "BLMOVEM" | "BLMPOP" | "BLPOP" | "BRPOP" | "BRPOPLPUSH" | "LINSERT" | "LMOVE" | "LMOVEM"
        | "LMPOP" | "LPOP" | "LPUSH" | "LPUSHX" | "LREM" | "LSET" | "LTRIM" | "RPOP" | "RPOPLPUSH" | "RPUSH"
        | "RPUSHX" => On(List),
        "SADD" | "SMOVE" | "SPOP" | "SREM" => On(Set),
        "BZMPOP" | "BZPOPMAX" | "BZPOPMIN" | "GEOADD" | "ZADD" | "ZINCRBY" | "ZMPOP" | "ZPOPMAX" | "ZPOPMIN"
        | "ZREM" | "ZREMRANGEBYLEX" | "ZREMRANGEBYRANK" | "ZREMRANGEBYSCORE" => On(ZSet),
        "HDEL" | "HEXPIRE" | "HEXPIREAT" | "HGETDEL" | "HGETEX" | "HIMPORT" | "HINCRBY" | "HINCRBYFLOAT" | "HMSET"
        | "HPERSIST" | "HPEXPIRE" | "HPEXPIREAT" | "HSET" | "HSETEX" | "HSETNX" => On(Hash),
        "XACK" | "XACKDEL" | "XADD" | "XAUTOCLAIM" | "XCFGSET" | "XCLAIM" | "XDEL" | "XDELEX" | "XGROUP"
        | "XIDMPRECORD" | "XNACK" | "XREADGROUP" | "XSETID" | "XTRIM" => On(Stream),
        "ARDEL" | "ARDELRANGE" | "ARINSERT" | "ARMSET" | "ARRING" | "ARSEEK" | "ARSET" => On(Array),
        "VADD" | "VREM" | "VSETATTR" => On(Module),
        _ if ["JSON.", "BF.", "CF.", "CMS.", "TOPK.", "TDIGEST.", "TS."].iter().any(|of| name.starts_with(of)) => {
            On(Module)
        }
        _ => Unknown,
    }
}

/// Whether a command has keys beside those that are known of it, or names that are none: those of modules that make rules between keys or
/// indexes over them.
pub(super) fn has_other_keys(name: &str) -> bool {
    name.starts_with("FT.")
        || matches!(name, "CMS.MERGE" | "TDIGEST.MERGE" | "TS.CREATERULE" | "TS.DELETERULE" | "MIGRATE")
}

/// Whether it runs a script.
pub(super) fn is_script(name: &str) -> bool {
    matches!(name, "EVAL" | "EVALSHA" | "FCALL")
}
