//! Keys that the target has already.

use rdts_testkit::{FillOptions, Server, assert_same, compare, fill};
use redis::Value;

use crate::support::{ends, migrate, summary};

/// Strings, packed and unpacked collections, and one too big for a single RESTORE; some that expire.
fn source() -> Server {
    let source = Server::start("redis-7.0");
    fill(&source, &FillOptions::mixed(300));
    source.cmd(&["SET", "plain", "from source"]);
    source.cmd(&["SET", "expiring", "from source", "PX", "86400000"]);
    source.cmd(&["RPUSH", "list", "from", "source"]);
    source.cmd(&[
        "EVAL",
        "for i = 1, 9000 do redis.call('HSET', 'big', 'field:' .. i, string.rep('v', 1000) .. i) end",
        "0",
    ]);
    source.cmd(&["PEXPIRE", "big", "86400000"]);
    source
}

/// A target with other values under some of these names.
fn target(server: &str) -> Server {
    let target = Server::start(server);
    target.cmd(&["SET", "plain", "from target"]);
    target.cmd(&["SET", "expiring", "from target"]);
    target.cmd(&["SADD", "list", "target"]);
    target.cmd(&["SET", "big", "from target"]);
    target
}

#[test]
fn fail_refuses_a_target_that_is_not_empty_and_leaves_it_alone() {
    let (source, target) = (source(), target("redis-7.0"));
    let finished = ends(migrate(&["--from", &source.url(), "--to", &target.url(), "--mode", "full"]), 3);
    assert!(finished.stderr.contains("not empty (db0:keys=4"), "{}", finished.stderr);
    assert_eq!(target.cmd(&["DBSIZE"]), Value::Int(4));
    assert_eq!(source.info("stats")["sync_full"], "0", "the source should not have been bothered");
}

#[test]
fn replace_puts_the_sources_keys_in_place() {
    let (source, target) = (source(), target("redis-7.0"));
    let args = ["--from", &source.url(), "--to", &target.url(), "--mode", "full", "--on-conflict", "replace"];
    ends(migrate(&args), 0);
    assert_same(&source, &target);
}

#[test]
fn replace_into_a_server_that_knows_none_of_the_encodings() {
    let (source, target) = (source(), target("redis-2.8"));
    for db in 0..16 {
        let streams = "redis.call('SELECT', ARGV[1]) for _, k in ipairs(redis.call('KEYS', '*')) do \
                       if redis.call('TYPE', k).ok == 'stream' then redis.call('DEL', k) end end";
        source.cmd(&["EVAL", streams, "0", &db.to_string()]);
    }
    let args = ["--from", &source.url(), "--to", &target.url(), "--mode", "full", "--on-conflict", "replace"];
    ends(migrate(&args), 0);
    assert_same(&source, &target);
}

#[test]
fn skip_leaves_the_targets_keys_alone_and_counts_them() {
    let (source, target) = (source(), target("redis-7.0"));
    let args = ["--from", &source.url(), "--to", &target.url(), "--mode", "full", "--on-conflict", "skip"];
    let summary = summary(&ends(migrate(&args), 0));
    assert_eq!(summary["ledger"]["keys"]["kept"], 4, "{summary}");
    let mut different: Vec<String> =
        compare(&source, &target).iter().map(|d| String::from_utf8_lossy(&d.key).into_owned()).collect();
    different.sort();
    assert_eq!(different, ["big", "expiring", "list", "plain"]);
    assert_eq!(target.cmd(&["GET", "big"]), Value::BulkString(b"from target".to_vec()));
    assert_eq!(target.cmd(&["PTTL", "expiring"]), Value::Int(-1));
}
