use std::time::Duration;

use rdts_testkit::{CompareOptions, DifferenceKind, FillOptions, Server, compare, compare_with, digest, fill};

/// Two equal servers of one version, with a key of each type.
fn pair(name: &str) -> (Server, Server) {
    let left = Server::start(name);
    for command in [
        "SET string value",
        "SET volatile value PX 1000000",
        "RPUSH list a b c",
        "SADD set a b c",
        "ZADD zset 1.5 a 2 b inf c",
        "HSET hash f v",
        "XADD stream 1-1 f v",
        "XADD stream 1-2 f v",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group alice COUNT 1 STREAMS stream >",
        "HSET fleeting f v",
    ] {
        if !left.version().has_redis(5, 0) && command.contains("stream") {
            continue;
        }
        left.cmd(&words(command));
    }
    if left.version().has_redis(7, 4) {
        left.cmd(&words("HPEXPIRE fleeting 1000000 FIELDS 1 f"));
    }
    let right = Server::start(name);
    right.replicate(&left);
    right.promote();
    assert_eq!(compare(&left, &right), []);
    (left, right)
}

fn words(command: &str) -> Vec<&str> {
    command.split(' ').collect()
}

#[test]
fn every_change_is_found() {
    use DifferenceKind::{Expiry, Extra, FieldExpiry, Missing, StreamState, Type, Value};
    let (left, right) = pair("redis-8.2");
    let changes = [
        ("DEL string", "string", Missing),
        ("SET other value", "other", Extra),
        ("SET set value", "set", Type),
        ("SETRANGE string 4 E", "string", Value),
        ("LSET list 1 x", "list", Value),
        ("RPUSH list d", "list", Value),
        ("SADD set d", "set", Value),
        ("ZADD zset 1.25 a", "zset", Value),
        ("ZADD zset 9 d", "zset", Value),
        ("HSET hash f w", "hash", Value),
        ("HDEL fleeting f", "fleeting", Missing),
        ("XADD stream 1-3 f v", "stream", Value),
        ("XDEL stream 1-2", "stream", Value),
        ("XACK stream group 1-1", "stream", StreamState),
        ("XGROUP CREATE stream second $", "stream", StreamState),
        ("XGROUP SETID stream group 0", "stream", StreamState),
        ("XSETID stream 7-7", "stream", StreamState),
        ("XCLAIM stream group bob 0 1-1", "stream", StreamState),
        ("XCLAIM stream group alice 0 1-1 IDLE 90000 RETRYCOUNT 1", "stream", StreamState),
        ("PERSIST volatile", "volatile", Expiry),
        ("PEXPIRE volatile 900000", "volatile", Expiry),
        ("PEXPIRE string 900000", "string", Expiry),
        ("HPERSIST fleeting FIELDS 1 f", "fleeting", FieldExpiry),
        ("HPEXPIRE fleeting 900000 FIELDS 1 f", "fleeting", FieldExpiry),
    ];
    for (change, key, kind) in changes {
        right.cmd(&words(change));
        let found = compare(&left, &right);
        assert_eq!(found.len(), 1, "{change}: {found:?}");
        assert_eq!((found[0].key.as_slice(), found[0].kind), (key.as_bytes(), kind), "{change}: {}", found[0]);
        // The reverse view, and back to how it was.
        assert_eq!(compare(&right, &left).len(), 1, "{change}");
        right.replicate(&left);
        right.promote();
    }
    assert_eq!(compare(&left, &right), []);
}

#[test]
fn a_change_in_another_database_is_found() {
    let (left, right) = pair("redis-2.8");
    redis::pipe().cmd("SELECT").arg(11).cmd("SET").arg(b"\xff\0").arg("v").exec(&mut right.connection()).unwrap();
    let found = compare(&left, &right);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].to_string(), "db 11 key \"\\xff\\x00\": Extra: a string on one side only, expiring None");
    assert_ne!(digest(&left), digest(&right));
}

#[test]
fn one_key_of_many_is_found() {
    let left = Server::start("redis-7.0");
    let mut options = FillOptions::mixed(1500);
    options.strings = 20_000;
    fill(&left, &options);
    let right = Server::start("redis-7.0");
    right.replicate(&left);
    right.promote();
    right.cmd(&["APPEND", "string:12345", "!"]);
    let found = compare(&left, &right);
    assert_eq!(
        found.iter().map(|found| (&*found.key, found.kind)).collect::<Vec<_>>(),
        [(b"string:12345".as_slice(), DifferenceKind::Value)]
    );
}

#[test]
fn times_may_differ_by_the_tolerance() {
    let (left, right) = pair("redis-7.0");
    left.cmd(&["PEXPIREAT", "volatile", "4000000000000"]);
    right.cmd(&["PEXPIREAT", "volatile", "4000000005000"]);
    let mut options = CompareOptions::default();
    options.time_tolerance = Duration::from_secs(6);
    assert_eq!(compare_with(&left, &right, &options), []);
    options.time_tolerance = Duration::from_secs(4);
    assert_eq!(compare_with(&left, &right, &options).len(), 1);
}

#[test]
fn a_key_at_the_end_of_its_life_may_be_gone() {
    let (left, right) = pair("redis-7.0");
    left.cmd(&["SET", "dying", "v", "PX", "900"]);
    assert_eq!(compare(&left, &right), []);
    left.cmd(&["SET", "dying", "v", "PX", "60000"]);
    assert_eq!(compare(&left, &right).len(), 1);
}

/// All that live in different encodings and versions is the same by the keys; the digests of sorted sets changed in
/// 7.2.
#[test]
fn versions_that_load_each_others_snapshots_are_the_same() {
    let chain = ["redis-2.8", "redis-5.0", "redis-7.0", "redis-7.2-stack", "redis-8.2"].map(Server::start);
    fill(&chain[0], &FillOptions::mixed(1000));
    for next in 1..chain.len() {
        let (left, right) = (&chain[next - 1], &chain[next]);
        right.replicate(left);
        right.promote();
        assert_eq!(compare(left, right), [], "{} and {}", left.name(), right.name());
        let comparable = left.version().digests_like(right.version());
        assert_eq!(digest(left) == digest(right), comparable, "{} and {}", left.name(), right.name());
    }
}
