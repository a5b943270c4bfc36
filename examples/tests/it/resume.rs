//! `--state`: what a run leaves, and what the next one makes of it. Crashes are in `crash.rs`.

use std::path::Path;

use rdts_testkit::{ChildProgram, Server, Signal, assert_same, wait_until};
use redis::Value;

use crate::support::{LONG, ends, migrate, wait_until_live};

fn start(source: &Server, target: &Server, state: &Path, more: &[&str]) -> ChildProgram {
    let (from, to) = (source.url(), target.url());
    let mut args = vec!["--from", &from, "--to", &to, "--state", state.to_str().unwrap()];
    args.extend(more);
    migrate(&args)
}

fn number(server: &Server, key: &str) -> i64 {
    let text: Option<String> = redis::cmd("GET").arg(key).query(&mut server.connection()).unwrap();
    text.map_or(0, |text| text.parse().unwrap())
}

fn own_keys(server: &Server) -> Value {
    server.cmd(&["KEYS", "rdts:*"])
}

#[test]
fn a_run_that_was_stopped_goes_on_and_leaves_nothing_at_its_end() {
    let (source, target, state) =
        (Server::start("redis-7.0"), Server::start("redis-8.2"), tempfile::tempdir().unwrap());
    source.cmd(&["INCR", "n"]);
    let program = start(&source, &target, state.path(), &[]);
    wait_until_live(&program);
    source.cmd(&["INCR", "n"]);
    program.signal(Signal::Int);
    let finished = ends(program, 0);
    assert!(finished.stderr.contains("the same command goes on from here"), "{}", finished.stderr);
    assert_eq!(number(&target, "n"), 2);
    assert_ne!(own_keys(&target), Value::Array(vec![]));
    source.cmd(&["INCR", "n"]);
    ends(start(&source, &target, state.path(), &["--until", "caught-up"]), 0);
    assert_eq!(number(&target, "n"), 3);
    assert_same(&source, &target);
    assert_eq!(own_keys(&target), Value::Array(vec![]));
    let mut left: Vec<_> = std::fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["ledger.json", "lock"]);
    let ledgers = std::fs::read_to_string(state.path().join("ledger.json")).unwrap();
    let ledgers: Vec<serde_json::Value> = ledgers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(ledgers.len(), 2);
    assert!(ledgers.iter().all(|ledger| ledger["balanced"] == true), "{ledgers:?}");
    assert_eq!((&ledgers[0]["keys"]["done"], &ledgers[1]["commands"]["done"]), (&1.into(), &1.into()), "{ledgers:?}");
}

#[test]
fn a_state_serves_one_process_and_one_job() {
    let (source, target, state) =
        (Server::start("redis-7.0"), Server::start("redis-7.0"), tempfile::tempdir().unwrap());
    let program = start(&source, &target, state.path(), &[]);
    wait_until_live(&program);
    let finished = ends(start(&source, &target, state.path(), &[]), 2);
    assert!(finished.stderr.contains("another process"), "{}", finished.stderr);
    program.signal(Signal::Int);
    ends(program, 0);
    let finished = ends(start(&source, &target, state.path(), &["--on-conflict", "replace"]), 2);
    assert!(finished.stderr.contains("belongs to another run"), "{}", finished.stderr);
}

#[test]
fn without_its_state_a_run_goes_on_in_the_stream_by_the_checkpoint_alone() {
    let (source, target) = (Server::start("redis-6.2"), Server::start("redis-7.2-stack"));
    let (state, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    source.cmd(&["INCR", "n"]);
    let program = start(&source, &target, state.path(), &[]);
    wait_until_live(&program);
    source.cmd(&["INCR", "n"]);
    wait_until("the write", LONG, || number(&target, "n") == 2);
    program.signal(Signal::Kill);
    source.cmd(&["INCR", "n"]);
    ends(start(&source, &target, other.path(), &["--until", "caught-up"]), 0);
    assert_eq!(number(&target, "n"), 3);
    assert_same(&source, &target);
}

#[test]
fn a_source_that_forgot_is_an_error_or_copied_again() {
    let (source, target, state) =
        (Server::start("redis-7.0"), Server::start("redis-7.0"), tempfile::tempdir().unwrap());
    source.cmd(&["SET", "old", "1"]);
    let program = start(&source, &target, state.path(), &[]);
    wait_until_live(&program);
    program.signal(Signal::Kill);
    source.cmd(&["DEL", "old"]);
    source.cmd(&["SET", "new", "1"]);
    // It forgets its history with its process, and keeps its data.
    source.cmd(&["SAVE"]);
    source.kill();
    source.restart();
    source.cmd(&["DEBUG", "CHANGE-REPL-ID"]);
    let finished = ends(start(&source, &target, state.path(), &[]), 4);
    assert!(finished.stderr.contains("history"), "{}", finished.stderr);
    assert_eq!(number(&target, "old"), 1, "nothing was touched");
    ends(start(&source, &target, state.path(), &["--on-lost", "restart", "--until", "caught-up"]), 0);
    assert_same(&source, &target);
}

#[test]
fn a_target_with_data_of_others_is_refused_as_without_a_state() {
    let (source, target, state) =
        (Server::start("redis-7.0"), Server::start("redis-7.0"), tempfile::tempdir().unwrap());
    target.cmd(&["SET", "k", "v"]);
    ends(start(&source, &target, state.path(), &[]), 3);
    // Nothing has begun: the next attempt is a first one.
    ends(start(&source, &target, state.path(), &[]), 3);
    target.cmd(&["DEL", "k"]);
    ends(start(&source, &target, state.path(), &["--until", "caught-up"]), 0);
}
