//! What differs is found, and can be repaired.

use std::time::Duration;

use rdts_core::verify::{DifferenceKind as Kind, Mode};
use rdts_testkit::{FillOptions, Server};
use redis::Value;

use super::{MODES, found, quick, twins, verify};

/// Keys that differences are made in, among many others.
fn add_known(server: &Server) {
    for key in ["missing", "type", "byte", "longer", "ttl", "no ttl", "soon"] {
        server.cmd(&["SET", key, "a value"]);
    }
    server.cmd(&["PEXPIREAT", "ttl", "4000000000000"]);
    server.cmd(&["PEXPIREAT", "soon", "4000000000000"]);
    server.cmd(&["ZADD", "score", "1", "a", "2.5", "b"]);
    server.cmd(&["HSET", "field", "a", "1", "b", "2"]);
    server.cmd(&["RPUSH", "list", "a", "b", "c"]);
    server.cmd(&["SADD", "member", "a", "b", "c"]);
    server.cmd(&["XADD", "pending", "5-1", "a", "b"]);
    server.cmd(&["XADD", "pending", "5-2", "a", "b"]);
    server.cmd(&["XGROUP", "CREATE", "pending", "g", "0"]);
    server.cmd(&["XREADGROUP", "GROUP", "g", "c", "STREAMS", "pending", ">"]);
    let long = "0123456789".repeat(200_000);
    server.cmd(&["SET", "big", &long]);
    let mut words = vec!["HSET".to_owned(), "big hash".to_owned()];
    words.extend((0..40_000).map(|n| format!("some text {n}")));
    server.cmd(&words);
}

/// One difference of each kind.
fn change(target: &Server) -> Vec<(Kind, u32, String)> {
    target.cmd(&["DEL", "missing"]);
    target.cmd(&["SET", "extra", "1"]);
    target.cmd(&["DEL", "type"]);
    target.cmd(&["RPUSH", "type", "a value"]);
    target.cmd(&["SETRANGE", "byte", "3", "A"]);
    target.cmd(&["SET", "longer", &"x".repeat(20 << 20)]);
    target.cmd(&["PEXPIREAT", "ttl", "4000000001001"]);
    target.cmd(&["PEXPIREAT", "soon", "4000000000999"]);
    target.cmd(&["PEXPIREAT", "no ttl", "4000000000000"]);
    target.cmd(&["ZADD", "score", "2.50000001", "b"]);
    target.cmd(&["HDEL", "field", "b"]);
    target.cmd(&["LSET", "list", "1", "B"]);
    target.cmd(&["SREM", "member", "a"]);
    target.cmd(&["SADD", "member", "A"]);
    target.cmd(&["XACK", "pending", "g", "5-1"]);
    target.cmd(&["SETRANGE", "big", "1500000", "x"]);
    target.cmd(&["HSET", "big hash", "some text 20000", "another"]);
    let all = [
        (Kind::Value, "big"),
        (Kind::Value, "big hash"),
        (Kind::Value, "byte"),
        (Kind::Extra, "extra"),
        (Kind::Length, "field"),
        (Kind::Value, "list"),
        (Kind::Length, "longer"),
        (Kind::Value, "member"),
        (Kind::Missing, "missing"),
        (Kind::Ttl, "no ttl"),
        (Kind::Value, "pending"),
        (Kind::Value, "score"),
        (Kind::Ttl, "ttl"),
        (Kind::Type, "type"),
    ];
    all.map(|(kind, key)| (kind, 0, key.to_owned())).into()
}

/// 50,000 keys, or 1,000,000 in the long form.
fn many() -> FillOptions {
    let long = std::env::var_os("RDTS_LONG").is_some();
    let mut options = FillOptions::mixed(500);
    options.strings = if long { 1_000_000 } else { 50_000 };
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_difference_among_many_keys_in_every_mode_that_promises_it_and_repaired() {
    let source = Server::start("redis-7.0");
    rdts_testkit::fill(&source, &many());
    add_known(&source);
    let target = Server::start("valkey-9.1");
    super::follow(&source, &target);
    target.promote();
    let (from, to) = (source.url(), target.url());
    let same = verify(&from, &to, quick()).await;
    assert!(same.equal && same.keys.is_empty(), "{same}");
    let keys: u64 = (0..=7).filter_map(|db| source.info("keyspace").get(&format!("db{db}")).cloned()).map(size).sum();
    assert!(same.compared >= keys && same.looked_for >= keys && same.compared < keys + 5_000, "{same} of {keys}");
    let expected = change(&target);
    for mode in MODES {
        let report = verify(&from, &to, quick().mode(mode).sample(1.0)).await;
        let outline = |kind: Kind| !matches!(kind, Kind::Value);
        let promised: Vec<_> =
            expected.iter().filter(|(kind, ..)| mode != Mode::Outline || outline(*kind)).cloned().collect();
        assert_eq!(found(&report), promised, "{mode:?}: {report}");
        assert_eq!(report.differences.total(), promised.len() as u64, "{report}");
        assert!(!report.equal, "{report}");
    }
    let repaired = verify(&from, &to, quick().repair(true)).await;
    assert!(repaired.equal && repaired.repaired == expected.len() as u64, "{repaired}");
    assert!(repaired.keys.iter().all(|key| key.repaired && key.problem.is_none()), "{repaired}");
    let clean = verify(&from, &to, quick()).await;
    assert!(clean.equal && clean.keys.is_empty(), "{clean}");
    assert_eq!(target.cmd(&["PEXPIRETIME", "ttl"]), Value::Int(4_000_000_000_000));
    assert_eq!(target.cmd(&["XPENDING", "pending", "g"]), source.cmd(&["XPENDING", "pending", "g"]));
    assert_eq!(target.cmd(&["KEYS", "rdts:*"]), Value::Array(Vec::new()), "nothing is left of building values");
}

/// `keys=3,expires=0,…`
fn size(line: String) -> u64 {
    line.split(['=', ',']).nth(1).unwrap().parse().unwrap()
}

/// All that is found in whole values is found in pieces, and by servers that have few of today's commands.
#[tokio::test(flavor = "multi_thread")]
async fn in_pieces_and_with_old_servers() {
    for (one, two) in [("redis-7.0", "redis-7.0"), ("redis-5.0", "redis-7.0")] {
        let (source, target) = (Server::start(one), Server::start(two));
        add_known(&source);
        super::follow(&source, &target);
        target.promote();
        let (from, to) = (source.url(), target.url());
        let pieces = || quick().big(0);
        let same = verify(&from, &to, pieces()).await;
        assert!(same.equal && same.keys.is_empty(), "{one} {two}: {same}");
        let expected = change(&target);
        let report = verify(&from, &to, pieces()).await;
        assert_eq!(found(&report), expected, "{one} {two}: {report}");
        let repaired = verify(&from, &to, pieces().repair(true)).await;
        assert!(repaired.equal, "{one} {two}: {repaired}");
        let clean = verify(&from, &to, quick()).await;
        assert!(clean.equal && clean.keys.is_empty(), "{one} {two}: {clean}");
    }
}

/// `RESTORE` knows neither `REPLACE` nor `ABSTTL` there, and nobody tells the size of a value.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_servers_are_repaired() {
    let (source, target) = twins("redis-2.8", "redis-2.8", &FillOptions::mixed(300));
    for number in 0..5 {
        source.cmd(&["RPUSH", &format!("list:{number}"), "a", "b"]);
        source.cmd(&["SET", &format!("expires:{number}"), "x", "EX", "100000"]);
        target.cmd(&["SET", &format!("list:{number}"), "something else"]);
    }
    let (from, to) = (source.url(), target.url());
    let report = verify(&from, &to, quick()).await;
    assert_eq!((report.differences.types, report.differences.missing), (5, 5), "{report}");
    let repaired = verify(&from, &to, quick().repair(true)).await;
    assert!(repaired.equal && repaired.repaired == 10, "{repaired}");
    assert!(verify(&from, &to, quick()).await.equal);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_without_anything_is_reported_in_numbers_and_examples() {
    let source = Server::start("redis-7.0");
    rdts_testkit::fill(&source, &FillOptions::strings(20_000));
    let target = Server::start("redis-7.0");
    let (from, to) = (source.url(), target.url());
    let report = verify(&from, &to, quick().list(7)).await;
    assert_eq!((report.differences.missing, report.differences.total(), report.keys.len()), (20_000, 20_000, 7));
    let back = verify(&to, &from, quick().list(7)).await;
    assert_eq!((back.differences.extra, back.differences.total(), back.keys.len()), (20_000, 20_000, 7));
    let text = report.to_string();
    assert!(text.contains("and 19993 more") && text.ends_with("different: 20000 missing"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["differences"]["missing"], &json["keys"][0]["kind"]), (&20_000.into(), &"missing".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_keys_are_compared_database_by_database() {
    let (source, target) = twins("redis-7.0", "redis-7.0", &FillOptions::mixed(300));
    let (from, to) = (source.url(), target.url());
    target.cmd(&["SET", "rdts:checkpoint:task/0", "our own"]);
    let same = verify(&from, &to, quick().mode(Mode::Count)).await;
    assert!(same.equal && same.databases.len() == 3, "{same}");
    target.cmd(&["SET", "extra", "1"]);
    let report = verify(&from, &to, quick().mode(Mode::Count)).await;
    assert!(!report.equal, "{report}");
    let differing: Vec<u32> =
        report.databases.iter().filter(|count| count.source != count.target).map(|count| count.db).collect();
    assert_eq!(differing, [0], "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_a_part_and_the_same_part_of_both_sides() {
    let (source, target) = twins("redis-7.0", "redis-7.0", &FillOptions::strings(40_000));
    let (from, to) = (source.url(), target.url());
    let report = verify(&from, &to, quick().mode(Mode::Sample)).await;
    assert!(report.equal && report.compared == report.looked_for, "{report}");
    assert!((8_000..12_000).contains(&report.compared), "{report}");
    target.cmd(&["FLUSHALL"]);
    let report = verify(&from, &to, quick().mode(Mode::Sample).interval(Duration::from_millis(1))).await;
    assert_eq!(report.differences.missing, report.compared, "{report}");
}
