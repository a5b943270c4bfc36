//! Strings, counters, bitmaps and HyperLogLogs.

use super::generator::{Generator, Op, args, atomic, op};

/// The families of keys are: `str` any string, `int` integers, `float` numbers, `bits` bitmaps, `hll` HyperLogLogs,
/// `brief` strings that expire soon.
pub(super) const OPS: &[Op] = &[
    op("set", (2, 8), |g| {
        let (key, value) = (g.key("str"), g.value());
        g.send(args!["SET", key, value]);
    }),
    op("set", (2, 8), |g| {
        let (key, value, ttl) = (g.key("brief"), g.value(), g.short_ttl());
        g.send(args!["SET", key, value, "PX", ttl]);
    }),
    op("set", (2, 8), |g| {
        let (key, value, ttl) = (g.key("str"), g.value(), g.long_ttl() / 1000);
        let when = *g.rng.pick(&["NX", "XX"]);
        g.send(args!["SET", key, value, "EX", ttl, when]);
    }),
    op("set", (6, 0), |g| {
        let (key, value) = (g.key("str"), g.value());
        g.send(args!["SET", key, value, "KEEPTTL"]);
    }),
    op("set", (6, 2), |g| {
        let (key, value, time) = (g.key("str"), g.value(), g.number(4_000_000_000_000, 4_100_000_000_000));
        g.send(args!["SET", key, value, "PXAT", time, "GET"]);
    }),
    op("setex", (2, 8), |g| {
        let (key, ttl, value) = (g.key("brief"), g.number(1, 3), g.value());
        g.send(args!["SETEX", key, ttl, value]);
    }),
    op("psetex", (2, 8), |g| {
        let (key, ttl, value) = (g.key("str"), g.long_ttl(), g.value());
        g.send(args!["PSETEX", key, ttl, value]);
    }),
    op("setnx", (2, 8), |g| {
        let (key, value) = (g.key("str"), g.value());
        g.send(args!["SETNX", key, value]);
    }),
    op("append", (2, 8), |g| {
        let (key, value) = (g.key("str"), g.value());
        g.send(args!["APPEND", key, value]);
    }),
    op("setrange", (2, 8), |g| {
        let (key, offset, value) = (g.key("str"), g.number(0, 2000), g.value());
        g.send(args!["SETRANGE", key, offset, value]);
    }),
    op("getset", (2, 8), |g| {
        let (key, value) = (g.key("str"), g.value());
        g.send(args!["GETSET", key, value]);
    }),
    op("getdel", (6, 2), |g| {
        let key = g.key("str");
        g.send(args!["GETDEL", key]);
    }),
    op("getex", (6, 2), |g| {
        let (key, ttl) = (g.key("str"), g.long_ttl());
        g.send(args!["GETEX", key, "PX", ttl]);
    }),
    op("getex", (6, 2), |g| {
        let key = g.key("str");
        g.send(args!["GETEX", key, "PERSIST"]);
    }),
    op("mset", (2, 8), |g| {
        let (a, b, x, y) = (g.key("str"), g.key("str"), g.value(), g.value());
        g.send(args!["MSET", a, x, b, y]);
    }),
    op("msetnx", (2, 8), |g| {
        let (a, b, x, y) = (g.key("str"), g.key("str"), g.value(), g.value());
        g.send(args!["MSETNX", a, x, b, y]);
    }),
    op("incr", (2, 8), |g| {
        let key = g.key("int");
        let name = *g.rng.pick(&["INCR", "DECR"]);
        g.send(args![name, key]);
    }),
    op("incrby", (2, 8), |g| {
        let (key, by) = (g.key("int"), g.number(-1_000_000, 1_000_000));
        let name = *g.rng.pick(&["INCRBY", "DECRBY"]);
        g.send(args![name, key, by]);
    }),
    op("incrbyfloat", (2, 8), |g| {
        let (key, by) = (g.key("float"), g.number(-1000, 1000));
        g.send(args!["INCRBYFLOAT", key, format!("{by}.125")]);
    }),
    op("setbit", (2, 8), |g| {
        let (key, bit, value) = (g.key("bits"), g.number(0, 20_000), g.number(0, 1));
        g.send(args!["SETBIT", key, bit, value]);
    }),
    op("bitop", (2, 8), |g| {
        let (to, a, b) = (g.key("bits"), g.key("bits"), g.key("bits"));
        let how = *g.rng.pick(&["AND", "OR", "XOR"]);
        g.send(args!["BITOP", how, to, a, b]);
    }),
    op("bitfield", (3, 2), |g| {
        let (key, offset, by) = (g.key("bits"), g.number(0, 300), g.number(-90, 90));
        g.send(args!["BITFIELD", key, "INCRBY", "i13", offset, by, "SET", "u7", "#5", 99]);
    }),
    op("pfadd", (2, 8), |g| {
        let (key, members) = (g.key("hll"), g.members());
        g.send_with(args!["PFADD", key], members);
    }),
    op("pfmerge", (2, 8), |g| {
        let (to, from) = (g.key("hll"), g.key("hll"));
        g.send(args!["PFMERGE", to, from]);
    }),
    // What a counter behind a limit of requests does.
    atomic("incr", (2, 8), |g| {
        let (key, ttl) = (g.key("int"), g.long_ttl());
        g.send(args!["INCR", key.clone()]);
        g.send(args!["PEXPIRE", key, ttl]);
    }),
];

/// A key of any type, for operations on the keyspace. Not one of `float`: before Redis 6 INCRBYFLOAT reaches replicas
/// as a SET that loses the key's TTL, so that even a native replica would differ.
pub(super) fn any_key(g: &mut Generator) -> Vec<u8> {
    let family = *g.rng.pick(&["str", "int", "bits", "hll", "list", "set", "ints", "zset", "hash", "geo"]);
    g.key(family)
}
