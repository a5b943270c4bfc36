//! What `migrate` is told about which data to take, what to leave out, and what to look at.

use crate::support::{ends, migrate, summary, wait_until_live};
use rdts_testkit::{FillOptions, Load, LoadOptions, Server, Signal, fill};
use redis::Value;

fn text(value: &str) -> Value {
    Value::BulkString(value.into())
}

#[test]
fn keys_are_taken_by_rules_and_get_new_names_in_both_phases() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    for key in ["user:1", "user:2", "order:1"] {
        source.cmd(&["SET", key, "before"]);
    }
    let rules = [
        "--only-key",
        "user:*",
        "--without-key",
        "regex:2$",
        "--rename-prefix",
        "user:=u:",
        "--only-db",
        "0",
        "--map-db",
        "0=4",
    ];
    let program = migrate(&[&["--from", &*source.url(), "--to", &*target.url()], &rules[..]].concat());
    wait_until_live(&program);
    source.cmd(&["SET", "user:3", "after"]);
    source.cmd(&["MSET", "user:1", "after", "order:2", "after"]);
    program.signal(Signal::Int);
    let summary = summary(&ends(program, 0));
    assert_eq!(summary["ledger"]["balanced"], true, "{summary}");
    assert_eq!(target.info("keyspace").keys().collect::<Vec<_>>(), ["db4"]);
    let mut connection = target.connection();
    redis::cmd("SELECT").arg(4).exec(&mut connection).unwrap();
    let mut keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    keys.sort();
    assert_eq!(keys, ["u:1", "u:3"]);
    assert_eq!(redis::cmd("GET").arg("u:1").query::<String>(&mut connection).unwrap(), "after");
}

#[test]
fn rules_that_make_no_sense_are_a_usage_error() {
    for (option, value, said) in [
        ("--only-key", "regex:(", "regular expression"),
        ("--only-type", "sting", "is no type"),
        ("--only-slots", "9-3", "behind"),
        ("--map-db", "1", "FROM=TO"),
        ("--drop", "everything", "hash-field-expiry"),
    ] {
        let program = migrate(&["--from", "redis://127.0.0.1:1", "--to", "redis://127.0.0.1:2", option, value]);
        let finished = ends(program, 2);
        assert!(finished.stderr.contains(said), "{option} {value}: {}", finished.stderr);
    }
}

#[test]
fn the_database_that_rules_lead_to_is_the_one_that_has_to_be_empty() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    source.cmd(&["SET", "key", "value"]);
    let mut connection = target.connection();
    redis::cmd("SELECT").arg(4).exec(&mut connection).unwrap();
    redis::cmd("SET").arg("of somebody else").arg(1).exec(&mut connection).unwrap();
    let from = format!("{}/0", source.url());
    let args = ["--from", &*from, "--to", &*target.url(), "--mode", "full", "--map-db"];
    let finished = ends(migrate(&[&args[..], &["0=4"]].concat()), 3);
    assert!(finished.stderr.contains("db4:keys=1"), "{}", finished.stderr);
    assert_eq!(target.info("keyspace").keys().collect::<Vec<_>>(), ["db4"]);
    // And it is the only one.
    ends(migrate(&[&args[..], &["0=5"]].concat()), 0);
}

#[test]
fn what_the_target_cannot_hold_is_refused_before_anything_is_written() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-4.0"));
    source.cmd(&["XADD", "stream", "*", "field", "value"]);
    source.cmd(&["SET", "string", "value"]);
    let urls = ["--from", &*source.url(), "--to", &*target.url()];
    let finished = ends(migrate(&[&urls[..], &["--mode", "full"]].concat()), 3);
    assert!(finished.stderr.contains("stream"), "{}", finished.stderr);
    assert!(target.info("keyspace").is_empty());
    let dropped = ends(migrate(&[&urls[..], &["--mode", "full", "--drop", "streams"]].concat()), 0);
    assert_eq!(summary(&dropped)["ledger"]["lost"]["streams"]["keys"], 1);
    assert_eq!(target.cmd(&["GET", "string"]), text("value"));
}

#[test]
fn both_sides_are_compared_before_the_end_while_writes_go_on() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("valkey-9.1"));
    fill(&source, &FillOptions::mixed(500));
    let mut options = LoadOptions::default();
    // A comparison does not see databases that are swapped while it lists them.
    options.without = vec!["swapdb"];
    let load = Load::start(&source, options);
    let urls = ["--from", &*source.url(), "--to", &*target.url()];
    let program = migrate(&[&urls[..], &["--until", "caught-up", "--verify"]].concat());
    let finished = ends(program, 0);
    load.stop();
    assert_eq!(summary(&finished)["verified"], true);
}

#[test]
fn a_comparison_that_finds_differences_is_a_status_of_its_own() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    source.cmd(&["SET", "key", "one"]);
    target.cmd(&["SET", "key", "two"]);
    let urls = ["--from", &*source.url(), "--to", &*target.url()];
    let program = migrate(&[&urls[..], &["--mode", "full", "--on-conflict", "skip", "--verify"]].concat());
    let finished = ends(program, 5);
    assert!(finished.stderr.contains("\"key\""), "{}", finished.stderr);
    assert_eq!(summary(&finished)["verified"], false);
}

#[test]
fn a_dry_run_says_what_is_in_the_way_and_writes_nothing() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    target.cmd(&["SET", "key", "value"]);
    let check = || migrate(&["--from", &source.url(), "--to", &target.url(), "--check"]);
    let finished = ends(check(), 3);
    let failed = |line: &str| line.contains("\"target-empty\"") && line.contains("\"fail\"");
    assert!(finished.stdout.lines().any(failed), "{}", finished.stdout);
    assert_eq!(source.info("stats")["sync_full"], "0");
    target.cmd(&["FLUSHALL"]);
    let finished = ends(check(), 0);
    assert_eq!(summary(&finished)["status"], 0);
    assert!(target.info("keyspace").is_empty());
}
