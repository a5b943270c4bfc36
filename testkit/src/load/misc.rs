//! What works on keys of any type, databases, scripts and functions.

use std::collections::BTreeSet;

use redis::Pipeline;

use super::generator::{Generator, Op, args, atomic, op};
use super::strings::any_key;
use crate::cluster::Unit;
use crate::slot::key_slot;
use crate::wire::add;

/// Sets a key and adds to a list, which makes two commands in the replication stream where effects are replicated.
pub(super) const SCRIPT: &str =
    "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('RPUSH', KEYS[2], ARGV[1], string.len(ARGV[1]))";
/// The script's SHA-1, as `SCRIPT LOAD` says it.
const SCRIPT_SHA: &str = "973c954200248f56161a98635835c2dc3028db70";
const FUNCTION: &str = "#!lua name=load\nredis.register_function('load_count', function(keys, args) \
                        return redis.call('INCRBY', keys[1], args[1]) end)";
/// What `DUMP` of Redis 2.8 says of a list of `hello` and `12`: every later version takes it.
const PAYLOAD: &[u8] =
    b"\n\x14\x14\x00\x00\x00\x11\x00\x00\x00\x02\x00\x00\x05hello\x07\xfd\xff\x06\x00*\xee\x1e\x9f\xf1F\x86\x08";

pub(super) const OPS: &[Op] = &[
    op("del", (2, 8), |g| {
        let (a, b) = (any_key(g), any_key(g));
        g.send(args!["DEL", a, b]);
    }),
    op("unlink", (3, 9), |g| {
        let (a, b) = (any_key(g), any_key(g));
        g.send(args!["UNLINK", a, b]);
    }),
    op("expire", (2, 8), |g| {
        let (key, ttl) = (any_key(g), g.long_ttl());
        g.send(args!["EXPIRE", key, ttl / 1000]);
    }),
    op("expire", (2, 8), |g| {
        // The same as DEL.
        let key = any_key(g);
        g.send(args!["EXPIRE", key, -1]);
    }),
    op("expire", (7, 0), |g| {
        let (key, ttl) = (any_key(g), g.long_ttl());
        let when = *g.rng.pick(&["NX", "XX", "GT", "LT"]);
        g.send(args!["EXPIRE", key, ttl / 1000, when]);
    }),
    op("expireat", (2, 8), |g| {
        let (key, time) = (any_key(g), g.number(4_000_000_000, 4_100_000_000));
        g.send(args!["EXPIREAT", key, time]);
    }),
    op("pexpireat", (2, 8), |g| {
        let (key, time) = (any_key(g), g.number(4_000_000_000_000, 4_100_000_000_000));
        g.send(args!["PEXPIREAT", key, time]);
    }),
    op("persist", (2, 8), |g| {
        let key = any_key(g);
        g.send(args!["PERSIST", key]);
    }),
    op("rename", (2, 8), |g| {
        let (from, to, value) = (g.key("str"), g.key("str"), g.value());
        g.send(args!["SET", from.clone(), value]);
        // A key onto itself was refused before Redis 3.2.
        if from != to {
            let name = *g.rng.pick(&["RENAME", "RENAMENX"]);
            g.send(args![name, from, to]);
        }
    }),
    op("copy", (6, 2), |g| {
        let (from, to) = (g.key("zset"), g.key("zset"));
        if from != to {
            g.send(args!["COPY", from, to, "REPLACE"]);
        }
    }),
    op("sort", (2, 8), |g| {
        let (from, to) = (g.key("list"), g.key("list"));
        g.send(args!["SORT", from, "LIMIT", 0, 30, "ALPHA", "STORE", to]);
    }),
    op("restore", (3, 0), |g| {
        let (key, ttl) = (g.key("list"), g.long_ttl());
        g.send(args!["RESTORE", key, ttl, PAYLOAD.to_vec(), "REPLACE"]);
    }),
    op("pfcount", (2, 8), |g| {
        // Writes the count that it has computed into the value.
        let key = g.key("hll");
        g.send(args!["PFCOUNT", key]);
    }),
    op("publish", (2, 8), |g| {
        let value = g.value();
        g.send(args!["PUBLISH", "load", value]);
    }),
    op("eval", (2, 8), |g| {
        let (string, list, value) = (g.key("str"), g.key("list"), g.value());
        g.send(args!["EVAL", SCRIPT, 2, string, list, value]);
    }),
    op("evalsha", (2, 8), |g| {
        let (string, list, value) = (g.key("str"), g.key("list"), g.value());
        g.send(args!["EVALSHA", SCRIPT_SHA, 2, string, list, value]);
    }),
    op("fcall", (7, 0), |g| {
        let (key, by) = (g.key("int"), g.number(-9, 9));
        g.send(args!["FCALL", "load_count", 1, key, by]);
    }),
    atomic("multi", (2, 8), |g| {
        let (int, list, set, zset, value) = (g.key("int"), g.key("list"), g.key("set"), g.key("rank"), g.value());
        g.send(args!["INCR", int]);
        g.send(args!["RPUSH", list, value]);
        g.send(args!["SADD", set, "a", "b"]);
        g.send(args!["ZINCRBY", zset, 1, "a"]);
    }),
    atomic("multi", (2, 8), |g| {
        let (here, there, value) = (g.key("str"), g.key("int"), g.value());
        g.send(args!["APPEND", here, value]);
        select(g);
        g.send(args!["INCR", there]);
    }),
    op("move", (2, 8), |g| {
        // 2.8 loses a TTL on the way and later versions keep it.
        move_key(g, true);
    }),
    op("move", (3, 0), |g| move_key(g, false)),
    op("copy", (6, 2), |g| {
        if let [first, second, ..] = g.dbs[..] {
            let key = g.key("hash");
            g.send(args!["SELECT", i64::from(second)]);
            g.send(args!["COPY", key.clone(), key, "DB", i64::from(first), "REPLACE"]);
        }
    }),
    op("swapdb", (3, 9), |g| {
        if let [first, second, ..] = g.dbs[..] {
            g.send(args!["SWAPDB", i64::from(first), i64::from(second)]);
        }
    }),
    op("flushdb", (2, 8), |g| {
        if g.dbs.len() > 1 {
            let scratch = g.dbs.iter().max().map_or(0, |highest| highest + 1);
            g.send(args!["SELECT", i64::from(scratch)]);
            g.send(args!["SET", "before", "1"]);
            g.send(args!["FLUSHDB"]);
            g.send(args!["SET", "after", "1"]);
            select(g);
        }
    }),
];

fn move_key(g: &mut Generator, without_ttl: bool) {
    if let [first, second, ..] = g.dbs[..] {
        let key = any_key(g);
        g.send(args!["SELECT", i64::from(first)]);
        if without_ttl {
            g.send(args!["PERSIST", key.clone()]);
        }
        g.send(args!["MOVE", key, i64::from(second)]);
    }
}

fn select(g: &mut Generator) {
    let db = *g.rng.pick(&g.dbs);
    g.send(args!["SELECT", i64::from(db)]);
}

/// What every server must know before the load can begin: a script and a function.
pub(super) fn set_up_code(commands: &mut Pipeline, known: &BTreeSet<String>) {
    add(commands, &["SCRIPT", "LOAD", SCRIPT]);
    if known.contains("function") {
        add(commands, &["FUNCTION", "LOAD", "REPLACE", FUNCTION]);
    }
}

/// The groups of all streams.
pub(super) fn groups(known: &BTreeSet<String>, dbs: &[u32], generator: &Generator) -> Vec<Unit> {
    let mut units = Vec::new();
    if known.contains("xgroup") {
        for db in dbs {
            if !generator.in_slots() {
                units.push(Unit { slot: None, commands: vec![vec![b"SELECT".to_vec(), db.to_string().into_bytes()]] });
            }
            for key in generator.all_keys("stream") {
                for (group, from) in [("g1", "0"), ("g2", "$")] {
                    let words = [b"XGROUP", b"CREATE".as_slice(), &key, group.as_bytes(), from.as_bytes(), b"MKSTREAM"];
                    let command = words.iter().map(|word| word.to_vec()).collect();
                    units.push(Unit { slot: Some(key_slot(&key)), commands: vec![command] });
                }
            }
        }
    }
    units
}
