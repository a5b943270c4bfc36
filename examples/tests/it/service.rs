//! The service: tasks by JSON lines, over crashes, with numbers for Prometheus.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use rdts_testkit::{
    ChildProgram, FillOptions, Load, LoadOptions, Server, Signal, assert_same, fill, free_port, wait_until,
};
use serde_json::{Value, json};

use crate::support::{LONG, ends};

fn start(dir: &Path, more: &[&str]) -> ChildProgram {
    let program = ChildProgram::example_with_input("service", &[&["--dir", dir.to_str().unwrap()], more].concat());
    wait_for(&program, |line| line["event"] == "ready");
    program
}

fn wait_for(program: &ChildProgram, mut wanted: impl FnMut(&Value) -> bool) -> Value {
    let line = program.wait_for_stdout(LONG, |line| wanted(&serde_json::from_str(line).unwrap()));
    serde_json::from_str(&line).unwrap()
}

fn comes_to(program: &ChildProgram, state: &str) {
    wait_for(program, |line| line["event"] == "task" && line["task"]["state"] == state);
}

fn tell(program: &mut ChildProgram, what: &str) {
    program.send_line(&json!({ "do": what, "id": "t" }).to_string());
}

/// Creates, starts and migrates.
fn migrate(program: &mut ChildProgram, source: &Server, target: &Server) {
    let spec = json!({ "from": source.url(), "to": target.url() });
    program.send_line(&json!({ "do": "create", "id": "t", "spec": spec }).to_string());
    for (state, next) in [("validated", "start"), ("waitMigrate", "migrate"), ("migrating", "watch")] {
        comes_to(program, state);
        tell(program, next);
    }
}

fn is_in(program: &ChildProgram, phase: &str) {
    wait_for(program, |line| line["event"] == "progress" && line["progress"]["phase"] == phase);
}

#[test]
fn a_service_that_is_killed_goes_on_and_the_result_is_exact() {
    let (dir, source, target) = (tempfile::tempdir().unwrap(), Server::start("redis-7.0"), Server::start("redis-7.0"));
    fill(&source, &FillOptions::mixed(2_000));
    let mut options = LoadOptions::default();
    options.rate = 1_000;
    let load = Load::start(&source, options);
    let mut program = start(dir.path(), &[]);
    migrate(&mut program, &source, &target);
    is_in(&program, "stream");
    for _ in 0..2 {
        load.wait_for(500, LONG);
        program.signal(Signal::Kill);
        drop(program);
        load.wait_for(500, LONG);
        program = start(dir.path(), &[]);
        tell(&mut program, "watch");
        is_in(&program, "stream");
    }
    load.stop();
    tell(&mut program, "finish");
    comes_to(&program, "migrated");
    assert_same(&source, &target);
    assert_eq!(source.info("stats")["sync_full"], "1");
    tell(&mut program, "delete");
    wait_for(&program, |line| line["event"] == "removed");
    program.signal(Signal::Term);
    ends(program, 0);
}

#[test]
fn a_service_that_is_ended_goes_on_where_it_was() {
    let (dir, source, target) = (tempfile::tempdir().unwrap(), Server::start("redis-7.0"), Server::start("redis-7.0"));
    source.cmd(&["INCR", "n"]);
    let mut program = start(dir.path(), &[]);
    migrate(&mut program, &source, &target);
    is_in(&program, "stream");
    program.signal(Signal::Int);
    ends(program, 0);
    source.cmd(&["INCR", "n"]);
    let mut program = start(dir.path(), &[]);
    tell(&mut program, "finish");
    comes_to(&program, "migrated");
    assert_same(&source, &target);
    assert_eq!(source.info("stats")["sync_full"], "1");
}

#[test]
fn what_makes_no_sense_is_answered_and_passwords_are_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = start(dir.path(), &[]);
    for (line, expected) in [
        ("nonsense", "Config"),
        (r#"{"do":"fly","id":"t"}"#, "Config"),
        (r#"{"do":"start","id":"t"}"#, "Config"),
        (r#"{"do":"start","id":"../t"}"#, "Config"),
    ] {
        program.send_line(line);
        wait_for(&program, |answer| answer["ok"] == false && answer["kind"] == expected);
    }
    let spec = r#"{"do":"create","id":"t","spec":{"from":"redis://:geheim@127.0.0.1:1","to":"redis://127.0.0.1:1"}}"#;
    program.send_line(spec);
    comes_to(&program, "invalid");
    tell(&mut program, "migrate");
    wait_for(&program, |answer| answer["ok"] == false && answer["kind"] == "Refused");
    // Another one in the same place.
    let second = ends(ChildProgram::example("service", &["--dir", dir.path().to_str().unwrap()]), 2);
    assert!(second.stderr.contains("another manager"), "{}", second.stderr);
    program.signal(Signal::Kill);
    let finished = program.wait(LONG);
    assert!(!format!("{}{}", finished.stdout, finished.stderr).contains("geheim"), "{}", finished.stdout);
    // What was kept and is damaged is not passed over.
    let file = dir.path().join("tasks/t.task.json");
    std::fs::write(&file, "{").unwrap();
    let damaged = ends(ChildProgram::example("service", &["--dir", dir.path().to_str().unwrap()]), 4);
    assert!(damaged.stderr.contains("t.task.json"), "{}", damaged.stderr);
}

#[test]
fn prometheus_finds_the_numbers() {
    let (dir, source, target) = (tempfile::tempdir().unwrap(), Server::start("redis-7.0"), Server::start("redis-7.0"));
    fill(&source, &FillOptions::strings(300));
    let address = format!("127.0.0.1:{}", free_port());
    let mut program = start(dir.path(), &["--metrics", &address]);
    migrate(&mut program, &source, &target);
    is_in(&program, "stream");
    let numbers = || {
        let mut connection = TcpStream::connect(&address).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).unwrap();
        text
    };
    wait_until("the keys", LONG, || numbers().contains("rdts_target_keys_total{task=\"t\"} 300"));
    wait_until("the lag", LONG, || numbers().contains("rdts_lag_seconds{task=\"t\"} 0"));
    let text = numbers();
    for expected in [
        "# TYPE rdts_lag_seconds gauge",
        "# HELP rdts_lag_bytes Bytes of the stream that are not applied yet",
        "rdts_task_state{task=\"t\",state=\"migrating\"} 1",
        "rdts_task_state{task=\"t\",state=\"validated\"} 0",
        "rdts_source_keys{task=\"t\"} 300",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}
