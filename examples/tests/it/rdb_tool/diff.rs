//! `diff`: nothing between files that hold the same, and whatever a server was made to change.

use rdts_rdb::encode::{EncodeOptions, Writer};
use rdts_rdb::{Reader, Version};
use rdts_testkit::Server;

use super::{Folder, LIBRARY, ends, filled, run_with, saved, strings};

#[test]
fn one_change_is_found() {
    let server = filled("redis-8.2", 60);
    for command in [
        "SET one-byte abcdefgh",
        "ZADD one-score 1 a 2 b",
        "SET one-ttl x PXAT 4000000000000",
        "RPUSH one-order a b",
        "HSET one-field f v g w",
        "HPEXPIREAT one-field 4000000000000 FIELDS 1 f",
        "SADD one-member a b",
        "XADD one-stream 1-1 f v",
        "XGROUP CREATE one-stream g 0",
        "SET one-type 1",
        "SET gone x",
    ] {
        server.cmd(&command.split(' ').collect::<Vec<_>>());
    }
    let folder = Folder::new();
    let before = folder.path("before.rdb");
    std::fs::copy(saved(&server), &before).unwrap();
    let same = ends(&["diff", &before, &saved(&server)], 0);
    assert_eq!(same.text().lines().count(), 1, "{}", same.text());
    for (change, back, kind, key) in [
        ("SETRANGE one-byte 3 D", "SETRANGE one-byte 3 d", "value", "one-byte"),
        ("ZADD one-score 1.0000000000000002 a", "ZADD one-score 1 a", "value", "one-score"),
        ("PEXPIREAT one-ttl 4000000000001", "PEXPIREAT one-ttl 4000000000000", "expiry", "one-ttl"),
        ("PERSIST one-ttl", "PEXPIREAT one-ttl 4000000000000", "expiry", "one-ttl"),
        ("RPOPLPUSH one-order one-order", "RPOPLPUSH one-order one-order", "value", "one-order"),
        ("HSET one-field g x", "HSET one-field g w", "value", "one-field"),
        (
            "HPEXPIREAT one-field 4000000000001 FIELDS 1 f",
            "HPEXPIREAT one-field 4000000000000 FIELDS 1 f",
            "value",
            "one-field",
        ),
        ("SADD one-member c", "SREM one-member c", "value", "one-member"),
        ("XGROUP SETID one-stream g 1-1", "XGROUP SETID one-stream g 0", "value", "one-stream"),
        ("LPUSH new x", "DEL new", "extra", "new"),
        ("DEL gone", "SET gone x", "missing", "gone"),
        ("RENAME one-type other", "RENAME other one-type", "missing", "one-type"),
    ] {
        server.cmd(&change.split(' ').collect::<Vec<_>>());
        let after = saved(&server);
        let ended = ends(&["diff", &before, &after], 5);
        let text = ended.text();
        let found = text.lines().any(|line| line.starts_with(kind) && line.contains(&format!("\"{key}\"")));
        assert!(found, "{change}: {text}");
        assert_eq!(text.lines().count(), if change.starts_with("RENAME") { 3 } else { 2 }, "{change}: {text}");
        // The other way round, also where the first file cannot be read twice.
        let kind = match kind {
            "extra" => "missing",
            "missing" => "extra",
            kind => kind,
        };
        let mut swapped: Vec<_> = ends(&["diff", &after, &before], 5).text().lines().map(str::to_owned).collect();
        let piped = run_with(&["diff", "-", &before], &std::fs::read(&after).unwrap());
        assert_eq!(piped.code, Some(5));
        let mut piped: Vec<_> = piped.text().lines().map(str::to_owned).collect();
        swapped.sort();
        piped.sort();
        assert_eq!(swapped, piped, "{change}");
        assert!(swapped.iter().any(|line| line.starts_with(kind)), "{change}: {swapped:?}");
        server.cmd(&back.split(' ').collect::<Vec<_>>());
    }
    ends(&["diff", &before, &saved(&server)], 0);
    server.cmd(&["FUNCTION", "LOAD", "REPLACE", &LIBRARY.replace('1', "2")]);
    let text = ends(&["diff", &before, &saved(&server)], 5).text();
    assert!(text.starts_with("function library lib has different code"), "{text}");
}

#[test]
fn expiry_within_a_tolerance() {
    let server = Server::start("redis-7.0");
    server.cmd(&["SET", "k", "v", "PXAT", "4000000000000"]);
    let folder = Folder::new();
    let before = folder.path("before.rdb");
    std::fs::copy(saved(&server), &before).unwrap();
    server.cmd(&["PEXPIREAT", "k", "4000000000500"]);
    let after = saved(&server);
    ends(&["diff", &before, &after, "--ttl-tolerance", "499"], 5);
    ends(&["diff", &before, &after, "--ttl-tolerance", "500"], 0);
    server.cmd(&["PERSIST", "k"]);
    ends(&["diff", &before, &saved(&server), "--ttl-tolerance", "1000000"], 5);
}

/// Versions, encodings and order make no difference.
#[test]
fn the_same_in_another_form() {
    let folder = Folder::new();
    for (name, newer) in [("redis-6.2", "redis-8.2"), ("redis-7.0", "valkey-9.1")] {
        let old = filled(name, 120);
        let file = saved(&old);
        let new = Server::builder(newer).rdb(&file).start();
        let text = ends(&["diff", &file, &saved(&new)], 0).text();
        assert!(text.starts_with("120 keys and 120 keys: no difference"), "{text}");
        // Everything in plain encodings, the last key first.
        let mut entries: Vec<_> =
            Reader::new(std::fs::File::open(&file).unwrap()).entries().map(Result::unwrap).collect();
        entries.reverse();
        let options = EncodeOptions::new(Version::redis(12)).compress(false);
        let mut writer = Writer::with_options(Vec::new(), options).unwrap();
        if old.version().has_redis(7, 0) {
            writer.function(LIBRARY.as_bytes()).unwrap();
        }
        entries.iter().for_each(|entry| writer.entry(entry).unwrap());
        let plain = folder.file("plain.rdb", &writer.finish().unwrap());
        ends(&["diff", &file, &plain], 0);
    }
}

#[test]
fn all_are_counted_and_some_listed() {
    let folder = Folder::new();
    let names: Vec<String> = (0..50).map(|i| format!("k{i}")).collect();
    let pairs = |value| names.iter().map(|name| (name.as_str(), value)).collect::<Vec<_>>();
    let a = folder.file("a.rdb", &strings(9, &pairs("a")));
    let b = folder.file("b.rdb", &strings(9, &pairs("b")));
    let empty = folder.file("empty.rdb", &strings(9, &[]));
    for (left, right, kind) in [(&a, &b, "value"), (&a, &empty, "missing"), (&empty, &a, "extra")] {
        let text = ends(&["diff", left, right, "--limit", "7"], 5).text();
        assert_eq!(text.lines().count(), 8, "{text}");
        assert!(text.lines().last().unwrap().ends_with(&format!(": 50 differences, 50 {kind}")), "{text}");
    }
    let twice = folder.file("twice.rdb", &strings(9, &[("k", "1"), ("k", "1")]));
    let ended = ends(&["diff", &twice, &a], 4);
    assert!(ended.stderr.contains("is there twice"), "{}", ended.stderr);
}
