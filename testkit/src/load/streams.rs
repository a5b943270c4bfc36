//! Streams, their groups and consumers.

use super::generator::{Generator, Op, args, atomic, op};

/// The families of keys are: `stream`, which exist with their groups `g1` and `g2` before the load begins and are never
/// deleted; `work` and `holes`, which are made anew each time.
pub(super) const OPS: &[Op] = &[
    op("xadd", (5, 0), xadd),
    op("xadd", (5, 0), xadd),
    op("xadd", (5, 0), xadd),
    op("xadd", (5, 0), |g| {
        let (key, length, field, value) = (g.key("stream"), g.number(50, 300), g.member(), g.value());
        let exactly = *g.rng.pick(&["=", "~"]);
        g.send(args!["XADD", key, "MAXLEN", exactly, length, "*", field, value]);
    }),
    op("xadd", (6, 2), |g| {
        let (key, value) = (g.key("stream"), g.value());
        g.send(args!["XADD", key, "NOMKSTREAM", "MINID", "5", "*", "field", value]);
    }),
    op("xtrim", (5, 0), |g| {
        let (key, length) = (g.key("stream"), g.number(20, 300));
        g.send(args!["XTRIM", key, "MAXLEN", length]);
    }),
    // Adds an entry with an ID of its own choice, in a stream of its own, and removes it.
    atomic("xdel", (5, 0), |g| {
        let (key, id) = (g.key("holes"), g.number(1, 1_000_000));
        g.send(args!["DEL", key.clone()]);
        for n in 0..5 {
            g.send(args!["XADD", key.clone(), format!("{id}-{n}"), "n", n]);
        }
        g.send(args!["XDEL", key, format!("{id}-{}", id % 5)]);
    }),
    op("xreadgroup", (5, 0), |g| {
        let key = g.key("stream");
        let consumer = consumer(g);
        g.send(args!["XREADGROUP", "GROUP", "g1", consumer, "COUNT", 4, "STREAMS", key, ">"]);
    }),
    op("xreadgroup", (5, 0), |g| {
        let key = g.key("stream");
        g.send(args!["XREADGROUP", "GROUP", "g2", "hasty", "NOACK", "COUNT", 2, "STREAMS", key, ">"]);
    }),
    // Reads and acknowledges entries that are known, since the load does not look at replies.
    atomic("xack", (5, 0), |g| {
        let (key, id) = (g.key("work"), g.number(1, 1_000_000));
        g.send(args!["DEL", key.clone()]);
        g.send(args!["XGROUP", "CREATE", key.clone(), "g1", "0", "MKSTREAM"]);
        for n in 1..=4 {
            g.send(args!["XADD", key.clone(), format!("{id}-{n}"), "job", n]);
        }
        let consumer = consumer(g);
        g.send(args!["XREADGROUP", "GROUP", "g1", consumer, "STREAMS", key.clone(), ">"]);
        g.send(args!["XACK", key.clone(), "g1", format!("{id}-2"), format!("{id}-9")]);
        g.send(args!["XCLAIM", key.clone(), "g1", "thief", 0, format!("{id}-3"), "RETRYCOUNT", 7]);
        g.send(args!["XDEL", key, format!("{id}-4")]);
    }),
    op("xautoclaim", (6, 2), |g| {
        let key = g.key("stream");
        g.send(args!["XAUTOCLAIM", key, "g1", "thief", 0, "0", "COUNT", 3]);
    }),
    op("xgroup", (5, 0), |g| {
        let key = g.key("stream");
        g.send(args!["XGROUP", "SETID", key, "g2", "$"]);
    }),
    op("xgroup", (5, 0), |g| {
        let key = g.key("stream");
        let consumer = consumer(g);
        g.send(args!["XGROUP", "DELCONSUMER", key, "g1", consumer]);
    }),
    op("xgroup", (6, 2), |g| {
        let key = g.key("stream");
        let consumer = consumer(g);
        g.send(args!["XGROUP", "CREATECONSUMER", key, "g2", consumer]);
    }),
    atomic("xsetid", (5, 0), |g| {
        let (key, id) = (g.key("holes"), g.number(1, 1_000_000));
        g.send(args!["DEL", key.clone()]);
        g.send(args!["XADD", key.clone(), format!("{id}-1"), "f", "v"]);
        g.send(args!["XSETID", key, format!("{id}-77")]);
    }),
];

fn xadd(g: &mut Generator) {
    let (key, field, value) = (g.key("stream"), g.member(), g.value());
    if g.rng.one_in(3) {
        g.send(args!["XADD", key, "*", "a", "1", "b", value]);
    } else {
        g.send(args!["XADD", key, "*", field, value]);
    }
}

fn consumer(g: &mut Generator) -> String {
    format!("consumer-{}", g.rng.below(4))
}
