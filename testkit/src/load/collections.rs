//! Lists, sets, sorted sets, hashes and geo sets.

use super::generator::{Generator, Op, args, atomic, op};

/// The families of keys are: `list`; `set` any members, `ints` integers; `zset`; `hash` any fields, `counts` numbers,
/// `fleeting` fields that expire soon, `lasting` fields that expire in hours; `geo`; `brief-list` that expire soon.
pub(super) const OPS: &[Op] = &[
    op("rpush", (2, 8), |g| {
        let (key, values) = (g.key("list"), g.members());
        let name = *g.rng.pick(&["RPUSH", "LPUSH"]);
        g.send_with(args![name, key], values);
    }),
    op("rpush", (2, 8), |g| {
        let (key, value) = (g.key("list"), g.value());
        g.send(args!["RPUSH", key, value]);
    }),
    op("lpushx", (2, 8), |g| {
        let (key, value) = (g.key("list"), g.value());
        let name = *g.rng.pick(&["RPUSHX", "LPUSHX"]);
        g.send(args![name, key, value]);
    }),
    op("lpop", (2, 8), |g| {
        let key = g.key("list");
        let name = *g.rng.pick(&["LPOP", "RPOP"]);
        g.send(args![name, key]);
    }),
    op("lpop", (6, 2), |g| {
        let (key, count) = (g.key("list"), g.number(1, 20));
        g.send(args!["LPOP", key, count]);
    }),
    op("lmpop", (7, 0), |g| {
        let (a, b) = (g.key("list"), g.key("list"));
        g.send(args!["LMPOP", 2, a, b, "LEFT", "COUNT", 3]);
    }),
    atomic("lset", (2, 8), |g| {
        let (key, value, other) = (g.key("list"), g.member(), g.value());
        g.send(args!["RPUSH", key.clone(), value]);
        g.send(args!["LSET", key, -1, other]);
    }),
    op("linsert", (2, 8), |g| {
        let (key, pivot, value) = (g.key("list"), g.member(), g.member());
        let side = *g.rng.pick(&["BEFORE", "AFTER"]);
        g.send(args!["LINSERT", key, side, pivot, value]);
    }),
    op("lrem", (2, 8), |g| {
        let (key, count, value) = (g.key("list"), g.number(-2, 2), g.member());
        g.send(args!["LREM", key, count, value]);
    }),
    op("ltrim", (2, 8), |g| {
        let (key, last) = (g.key("list"), g.number(50, 400));
        g.send(args!["LTRIM", key, 0, last]);
    }),
    op("rpoplpush", (2, 8), |g| {
        let (from, to) = (g.key("list"), g.key("list"));
        g.send(args!["RPOPLPUSH", from, to]);
    }),
    op("lmove", (6, 2), |g| {
        let (from, to) = (g.key("list"), g.key("list"));
        g.send(args!["LMOVE", from, to, "LEFT", "RIGHT"]);
    }),
    // Does not wait within a transaction, even if the RPUSH was refused.
    atomic("blpop", (2, 8), |g| {
        let (key, value) = (g.key("list"), g.member());
        g.send(args!["RPUSH", key.clone(), value]);
        g.send(args!["BLPOP", key, 0]);
    }),
    atomic("rpush", (2, 8), |g| {
        let (key, values, ttl) = (g.key("brief-list"), g.members(), g.short_ttl());
        g.send(args!["DEL", key.clone()]);
        g.send_with(args!["RPUSH", key.clone()], values);
        g.send(args!["PEXPIRE", key, ttl]);
    }),
    op("sadd", (2, 8), |g| {
        let (key, members) = (g.key("set"), g.members());
        g.send_with(args!["SADD", key], members);
    }),
    op("sadd", (2, 8), |g| {
        let (key, member) = (g.key("ints"), g.rng.integer());
        g.send(args!["SADD", key, member]);
    }),
    op("srem", (2, 8), |g| {
        let (key, members) = (g.key("set"), g.members());
        g.send_with(args!["SREM", key], members);
    }),
    op("spop", (2, 8), |g| {
        let family = *g.rng.pick(&["set", "ints"]);
        let key = g.key(family);
        g.send(args!["SPOP", key]);
    }),
    op("spop", (3, 2), |g| {
        let (key, count) = (g.key("set"), g.number(1, 200));
        g.send(args!["SPOP", key, count]);
    }),
    op("smove", (2, 8), |g| {
        let (from, to, member) = (g.key("set"), g.key("set"), g.member());
        g.send(args!["SMOVE", from, to, member]);
    }),
    op("sunionstore", (2, 8), |g| {
        let (to, a, b) = (g.key("set"), g.key("set"), g.key("set"));
        let name = *g.rng.pick(&["SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"]);
        g.send(args![name, to, a, b]);
    }),
    op("zadd", (2, 8), |g| {
        let (key, score, member) = (g.key("zset"), g.score(), g.member());
        g.send(args!["ZADD", key, score, member]);
    }),
    op("zadd", (2, 8), |g| {
        let (key, members) = (g.key("zset"), g.members());
        let pairs = members.into_iter().flat_map(|member| [g.score().into_bytes(), member]).collect();
        g.send_with(args!["ZADD", key], pairs);
    }),
    op("zadd", (3, 2), |g| {
        let (key, score, member) = (g.key("zset"), g.score(), g.member());
        let when = *g.rng.pick(&["NX", "XX"]);
        g.send(args!["ZADD", key, when, "CH", score, member]);
    }),
    op("zadd", (6, 2), |g| {
        let (key, score, member) = (g.key("zset"), g.score(), g.member());
        let when = *g.rng.pick(&["GT", "LT"]);
        g.send(args!["ZADD", key, when, score, member]);
    }),
    // On keys without infinite scores: the sum of both infinities is an error.
    op("zincrby", (2, 8), |g| {
        let (key, by, member) = (g.key("rank"), g.number(-5, 9), g.member());
        g.send(args!["ZINCRBY", key, format!("{by}.1"), member]);
    }),
    op("zrem", (2, 8), |g| {
        let (key, members) = (g.key("zset"), g.members());
        g.send_with(args!["ZREM", key], members);
    }),
    op("zremrangebyrank", (2, 8), |g| {
        let (key, first) = (g.key("zset"), g.number(-30, 30));
        g.send(args!["ZREMRANGEBYRANK", key, first, first + 3]);
    }),
    op("zremrangebyscore", (2, 8), |g| {
        let (key, low) = (g.key("zset"), g.number(0, 90));
        g.send(args!["ZREMRANGEBYSCORE", key, low, format!("({}", low + 10)]);
    }),
    op("zremrangebylex", (2, 8), |g| {
        let key = g.key("lex");
        g.send(args!["ZADD", key.clone(), 0, "a", 0, "b", 0, "c", 0, "d"]);
        g.send(args!["ZREMRANGEBYLEX", key, "[b", "(d"]);
    }),
    op("zunionstore", (2, 8), |g| {
        let (to, a, b) = (g.key("zset"), g.key("zset"), g.key("zset"));
        let name = *g.rng.pick(&["ZUNIONSTORE", "ZINTERSTORE"]);
        g.send(args![name, to, 2, a, b, "WEIGHTS", 1, 1, "AGGREGATE", "MAX"]);
    }),
    op("zpopmin", (5, 0), |g| {
        let (key, count) = (g.key("zset"), g.number(1, 5));
        let name = *g.rng.pick(&["ZPOPMIN", "ZPOPMAX"]);
        g.send(args![name, key, count]);
    }),
    op("zmpop", (7, 0), |g| {
        let (a, b) = (g.key("zset"), g.key("zset"));
        g.send(args!["ZMPOP", 2, a, b, "MAX", "COUNT", 2]);
    }),
    op("zrangestore", (6, 2), |g| {
        let (to, from) = (g.key("zset"), g.key("zset"));
        g.send(args!["ZRANGESTORE", to, from, 0, 20]);
    }),
    op("zdiffstore", (6, 2), |g| {
        let (to, a, b) = (g.key("zset"), g.key("zset"), g.key("zset"));
        g.send(args!["ZDIFFSTORE", to, 2, a, b]);
    }),
    op("hset", (2, 8), |g| {
        let (key, field, value) = (g.key("hash"), g.member(), g.value());
        g.send(args!["HSET", key, field, value]);
    }),
    op("hset", (4, 0), hset_many),
    op("hmset", (2, 8), |g| {
        let (key, fields) = (g.key("hash"), g.members());
        let pairs = fields.into_iter().flat_map(|field| [field, g.value()]).collect();
        g.send_with(args!["HMSET", key], pairs);
    }),
    op("hsetnx", (2, 8), |g| {
        let (key, field, value) = (g.key("hash"), g.member(), g.value());
        g.send(args!["HSETNX", key, field, value]);
    }),
    op("hdel", (2, 8), |g| {
        let (key, fields) = (g.key("hash"), g.members());
        g.send_with(args!["HDEL", key], fields);
    }),
    op("hincrby", (2, 8), |g| {
        let (key, field, by) = (g.key("counts"), g.member(), g.number(-10, 10));
        g.send(args!["HINCRBY", key, field, by]);
    }),
    op("hincrbyfloat", (2, 8), |g| {
        let (key, field, by) = (g.key("measures"), g.member(), g.number(-10, 10));
        g.send(args!["HINCRBYFLOAT", key, field, format!("{by}.5")]);
    }),
    atomic("hpexpire", (2, 8), |g| {
        let (key, field, value, ttl) = (g.key("fleeting"), g.member(), g.value(), g.short_ttl());
        g.send(args!["HSET", key.clone(), field.clone(), value]);
        g.send(args!["HPEXPIRE", key, ttl, "FIELDS", 1, field]);
    }),
    op("hpexpire", (2, 8), |g| {
        let (key, field, ttl) = (g.key("lasting"), g.member(), g.long_ttl());
        g.send(args!["HSET", key.clone(), field.clone(), "v"]);
        g.send(args!["HPEXPIRE", key, ttl, "FIELDS", 2, field, "member-1"]);
    }),
    op("hexpireat", (2, 8), |g| {
        let (key, field, time) = (g.key("lasting"), g.member(), g.number(4_000_000_000, 4_100_000_000));
        g.send(args!["HEXPIREAT", key, time, "FIELDS", 1, field]);
    }),
    op("hpersist", (2, 8), |g| {
        let (key, field) = (g.key("lasting"), g.member());
        g.send(args!["HPERSIST", key, "FIELDS", 1, field]);
    }),
    op("hsetex", (2, 8), |g| {
        let (key, field, value, ttl) = (g.key("lasting"), g.member(), g.value(), g.long_ttl());
        g.send(args!["HSETEX", key, "PX", ttl, "FIELDS", 1, field, value]);
    }),
    op("hgetex", (2, 8), |g| {
        let (key, field, ttl) = (g.key("lasting"), g.member(), g.long_ttl());
        g.send(args!["HGETEX", key, "PX", ttl, "FIELDS", 1, field]);
    }),
    op("hgetdel", (2, 8), |g| {
        let (key, field) = (g.key("lasting"), g.member());
        g.send(args!["HGETDEL", key, "FIELDS", 1, field]);
    }),
    op("geoadd", (3, 2), |g| {
        let (key, longitude, latitude, member) = (g.key("geo"), g.number(-179, 179), g.number(-84, 84), g.member());
        g.send(args!["GEOADD", key, format!("{longitude}.1234"), format!("{latitude}.4321"), member]);
    }),
    op("georadius", (3, 2), |g| {
        let (from, to) = (g.key("geo"), g.key("geo"));
        g.send(args!["GEORADIUS", from, 10, 50, 3000, "km", "STORE", to]);
    }),
    op("geosearchstore", (6, 2), |g| {
        let (to, from) = (g.key("geo"), g.key("geo"));
        g.send(args!["GEOSEARCHSTORE", to, from, "FROMLONLAT", 10, 50, "BYRADIUS", 9000, "km", "ASC", "COUNT", 50]);
    }),
];

fn hset_many(g: &mut Generator) {
    let (key, fields) = (g.key("hash"), g.members());
    let pairs = fields.into_iter().flat_map(|field| [field, g.value()]).collect();
    g.send_with(args!["HSET", key], pairs);
}
