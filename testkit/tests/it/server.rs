use std::time::Duration;

use rdts_testkit::{ChildProgram, Server, Signal, wait_until};
use redis::Value;

const SOON: Duration = Duration::from_secs(30);

/// What `tools/fetch-servers` gets when it is not told what to get.
const DEFAULT_SET: [&str; 9] = [
    "redis-2.8",
    "redis-3.2",
    "redis-4.0",
    "redis-5.0",
    "redis-6.2",
    "redis-7.0",
    "redis-7.2-stack",
    "redis-8.2",
    "valkey-9.1",
];

/// The same test on every server, all at once: most of the time they wait for their own clocks.
pub(crate) fn on_every_server(test: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for name in DEFAULT_SET {
            let test = &test;
            scope.spawn(move || test(name));
        }
    });
}

#[test]
fn every_server_starts_and_answers() {
    on_every_server(|name| {
        let server = Server::start(name);
        assert_eq!(server.cmd(&["SET", "key", "value"]), Value::Okay, "{name}");
        assert_eq!(server.info("server")["process_id"], server.pid().to_string(), "{name}");
        assert_eq!(server.info("server")["tcp_port"], server.port().to_string(), "{name}");
    });
}

#[test]
fn a_password_is_asked_for_and_given() {
    for name in ["redis-2.8", "redis-7.0"] {
        let server = Server::builder(name).arg("--requirepass", "a b\"\\c").start();
        assert_eq!(server.cmd(&["PING"]), Value::SimpleString("PONG".into()));
        assert_eq!(server.url(), format!("redis://:a%20b%22%5Cc@{}", server.addr()));
        let bare = redis::Client::open(format!("redis://{}", server.addr())).unwrap();
        let refused = redis::cmd("PING").query::<Value>(&mut bare.get_connection().unwrap()).unwrap_err();
        assert_eq!(refused.code(), Some("NOAUTH"), "{refused}");
        let told = redis::Client::open(server.url()).unwrap();
        redis::cmd("PING").exec(&mut told.get_connection().unwrap()).unwrap();
    }
}

#[test]
fn restart_keeps_the_port_and_what_was_saved() {
    let server = Server::builder("redis-6.2").arg("appendonly", "yes").start();
    let (port, pid) = (server.port(), server.pid());
    server.cmd(&["SET", "key", "value"]);
    server.restart();
    assert_eq!((server.port(), server.cmd(&["GET", "key"])), (port, Value::BulkString(b"value".to_vec())));
    assert_ne!(server.pid(), pid);
    server.kill();
    assert!(server.try_cmd(&["PING"]).is_err());
    server.restart();
    assert_eq!(server.cmd(&["EXISTS", "key"]), Value::Int(1));
}

#[test]
fn a_frozen_server_goes_on_when_told() {
    let server = Server::start("redis-7.0");
    server.signal(Signal::Stop);
    server.signal(Signal::Cont);
    assert_eq!(server.cmd(&["PING"]), Value::SimpleString("PONG".into()));
}

#[test]
fn a_server_dies_with_the_process_that_started_it() {
    let program = ChildProgram::example("serve", &["redis-7.0"]);
    let url = program.wait_for_stdout(SOON, |line| line.starts_with("redis://"));
    let client = redis::Client::open(url).unwrap();
    redis::cmd("PING").exec(&mut client.get_connection().unwrap()).unwrap();
    program.signal(Signal::Kill);
    assert_eq!(program.wait(SOON).code, None);
    wait_until("the server to be gone", SOON, || client.get_connection().is_err());
}

#[test]
fn cpu_time_grows_with_work() {
    let server = Server::start("redis-7.0");
    let before = server.cpu_seconds();
    server.cmd(&["DEBUG", "POPULATE", "300000"]);
    let after = server.cpu_seconds();
    assert!(after > before, "{before} s before, {after} s after");
    server.cmd(&["BGSAVE"]);
    server.wait_until("the save to end", SOON, |server| server.info("persistence")["rdb_bgsave_in_progress"] == "0");
    assert!(server.cpu_seconds_with_children() > server.cpu_seconds());
}

#[test]
fn a_replica_gets_in_sync_on_every_version() {
    on_every_server(|name| {
        let primary = Server::builder(name).arg("--requirepass", "secret").start();
        primary.cmd(&["SET", "key", "value"]);
        let replica = Server::start(name);
        replica.replicate(&primary);
        assert_eq!(replica.cmd(&["GET", "key"]), Value::BulkString(b"value".to_vec()), "{name}");
        replica.promote();
        assert_eq!(replica.cmd(&["SET", "key", "other"]), Value::Okay, "{name}");
    });
}

#[test]
#[should_panic(expected = "get it with `tools/fetch-servers redis-0.1`")]
fn a_server_that_is_missing_fails_the_test() {
    let _ = Server::start("redis-0.1");
}

#[test]
#[should_panic(expected = "Bad directive")]
fn a_server_that_does_not_start_shows_its_log() {
    let _ = Server::builder("redis-7.0").arg("no-such-directive", "1").start();
}

#[test]
fn a_condition_that_never_holds_fails_with_its_name() {
    let server = Server::start("redis-7.0");
    let wait = || server.wait_until("the moon", Duration::from_millis(20), |_| false);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wait)).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("for: the moon, of redis-7.0"));
}

#[test]
fn a_module_that_came_with_the_server_can_be_loaded() {
    let server = Server::builder("redis-7.2-stack").module("rejson.so").start();
    server.cmd(&["JSON.SET", "doc", "$", "{\"a\":1}"]);
    assert_eq!(server.cmd(&["TYPE", "doc"]), Value::SimpleString("ReJSON-RL".into()));
}
