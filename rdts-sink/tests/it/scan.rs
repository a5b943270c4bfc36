//! Servers that may not be replicated.

use std::collections::BTreeSet;
use std::time::Duration;

use rdts_core::endpoint::{Credentials, NodeAddress, Secret};
use rdts_core::filter::{Pattern, Rules};
use rdts_core::pipeline::{Finished, Handle};
use rdts_core::source::{ReplicaOptions, ReplicaSource, ScanChanges, ScanHandle, ScanOptions, ScanSource};
use rdts_core::translate::{OnConflict, TranslateOptions};
use rdts_core::{ErrorKind, Pipeline, Sink};
use rdts_sink::{NodeOptions, NodeSink};
use rdts_testkit::{FillOptions, Load, LoadOptions, Server, assert_same, fill};
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_secs(60);

/// A server that does not let us replicate, and how to log in.
fn locked(name: &str) -> (Server, NodeAddress) {
    let mut server = Server::builder(name);
    let acl = server.version().has_redis(6, 0);
    if !acl {
        server = server.arg("rename-command", "PSYNC \"\"").arg("rename-command", "SYNC \"\"");
    }
    let server = server.start();
    let mut address = NodeAddress::new("127.0.0.1", server.port());
    if acl {
        server.cmd(&["ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-psync", "-sync"]);
        if server.version().has_redis(6, 2) {
            server.cmd(&["ACL", "SETUSER", "app", "allchannels"]);
        }
        address.credentials = Some(Credentials { user: Some("app".into()), password: Secret::new("pw") });
    }
    (server, address)
}

fn options() -> ScanOptions {
    ScanOptions::default().folder(std::env::temp_dir())
}

/// A copy that is under way.
struct Run {
    pipeline: Handle,
    source: ScanHandle,
    target: Server,
    running: JoinHandle<Finished>,
    notified: bool,
}

async fn start(source: &Server, address: &NodeAddress, options: ScanOptions) -> Run {
    let target = Server::start(source.name());
    let to = NodeAddress::new("127.0.0.1", target.port());
    let sink = NodeSink::connect(&to, NodeOptions::default()).await.unwrap();
    let scan = ScanSource::open(address, sink.capabilities().target, options).await.unwrap();
    let (handle, notified) = (scan.handle(), scan.is_notified());
    let pipeline = Pipeline::new(scan, sink);
    Run { pipeline: pipeline.handle(), source: handle, target, running: tokio::spawn(pipeline.run()), notified }
}

impl Run {
    /// Waits until the round is applied.
    async fn reach(&self, round: u64) {
        let reached = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            while !self.running.is_finished() {
                let position = self.pipeline.report().applied.position;
                if position.is_some_and(|position| position.is_stream() && position.offset() >= round) {
                    return;
                }
                ticks.tick().await;
            }
        };
        tokio::time::timeout(LONG, reached).await.unwrap();
    }

    /// Ends it with a round that reads everything.
    async fn finish(self) -> (Finished, Server) {
        self.pipeline.stop_at(self.source.full_pass());
        let finished = tokio::time::timeout(LONG, self.running).await.unwrap().unwrap();
        (finished, self.target)
    }
}

fn same(source: &Server, target: &Server) {
    tokio::task::block_in_place(|| assert_same(source, target));
}

async fn copied_as_it_is(name: &str) {
    let (server, address) = locked(name);
    fill(&server, &FillOptions::mixed(150));
    server.cmd(&["SET", "long", &"x".repeat(3 << 20)]);
    if server.version().has_redis(7, 0) {
        server.cmd(&["FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 1 end)"]);
    }
    let target = rdts_core::translate::Target::redis(7, 0, 0);
    let forbidden = ReplicaSource::open(&address, target, ReplicaOptions::default()).await.unwrap_err();
    assert_eq!(forbidden.kind(), ErrorKind::ReplicationForbidden, "{forbidden}");
    assert!(forbidden.to_string().contains(&server.addr()), "{forbidden}");
    let run = start(&server, &address, options().changes(ScanChanges::None).window(7).window_bytes(10_000)).await;
    let finished = tokio::time::timeout(LONG, run.running).await.unwrap().unwrap();
    finished.result.unwrap();
    assert_eq!(finished.report.applied.counts.keys, 151);
    same(&server, &run.target);
    if server.version().has_redis(7, 0) {
        assert_eq!(server.cmd(&["FUNCTION", "LIST"]), run.target.cmd(&["FUNCTION", "LIST"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_stands_still_is_copied_as_it_is() {
    for name in ["redis-7.0", "redis-6.2", "redis-2.8", "valkey-9.1"] {
        copied_as_it_is(name).await;
    }
}

async fn follows_a_load(name: &str, scan: ScanOptions, notified: bool) {
    let (server, address) = locked(name);
    fill(&server, &FillOptions::mixed(100));
    let mut load = LoadOptions::default();
    (load.rate, load.keys) = (3000, 20);
    let load = Load::start(&server, load);
    let run = start(&server, &address, scan).await;
    assert_eq!(run.notified, notified);
    run.reach(2).await;
    tokio::task::block_in_place(|| {
        load.wait_for(1000, LONG);
        load.stop()
    });
    let (finished, target) = run.finish().await;
    finished.result.unwrap();
    same(&server, &target);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_found_by_passes() {
    let passes = options().pause(Duration::from_millis(50));
    follows_a_load("redis-6.2", passes.clone(), false).await;
    follows_a_load("redis-2.8", passes.changes(ScanChanges::Passes), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_told_by_notifications() {
    follows_a_load("redis-7.0", options().set_notifications(true), true).await;
    follows_a_load("redis-2.8", options().set_notifications(true), true).await;
    // Few keys that may wait: passes make up for what was not kept.
    follows_a_load("redis-6.2", options().set_notifications(true).pending(500), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_read_and_nothing_else() {
    let server = Server::builder("redis-7.0").arg("notify-keyspace-events", "KA").start();
    let address = NodeAddress::new("127.0.0.1", server.port());
    for command in ["SET a 1", "SET b 1", "SET c 1", "SET e 1 PX 3600000", "RPUSH l 1 2", "SET n 1", "SET x 1"] {
        server.cmd(&command.split(' ').collect::<Vec<_>>());
    }
    let run = start(&server, &address, options()).await;
    assert!(run.notified);
    run.reach(1).await;
    same(&server, &run.target);
    let before = run.pipeline.report().applied.counts.commands;
    for command in [
        "SET a 2",
        "DEL b",
        "RENAME c d",
        "PERSIST e",
        "RPUSH l 3",
        "PEXPIRE x 1",
        "PEXPIREAT n 4000000000000",
        "MOVE a 5",
    ] {
        server.cmd(&command.split(' ').collect::<Vec<_>>());
    }
    server.wait_until("a key to expire", LONG, |server| server.cmd(&["EXISTS", "x"]) == redis::Value::Int(0));
    run.reach(run.source.catch_up()).await;
    same(&server, &run.target);
    let sent = run.pipeline.report().applied.counts.commands - before;
    assert!(sent < 30, "{sent} commands for eight changes");
    // Of this nothing is told: a pass finds it.
    server.cmd(&["SWAPDB", "0", "5"]);
    run.reach(run.source.full_pass()).await;
    same(&server, &run.target);
    server.cmd(&["FLUSHALL"]);
    let (finished, target) = run.finish().await;
    finished.result.unwrap();
    assert!(target.info("keyspace").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_are_made_anew() {
    for notified in [true, false] {
        let server = Server::start("redis-6.2");
        fill(&server, &FillOptions::mixed(50));
        let address = NodeAddress::new("127.0.0.1", server.port());
        let changes = options().pause(Duration::from_millis(20)).set_notifications(notified);
        let run = start(&server, &address, changes).await;
        assert_eq!(run.notified, notified);
        run.reach(1).await;
        for kind in ["normal", "pubsub"] {
            server.cmd(&["CLIENT", "KILL", "TYPE", kind]);
            server.cmd(&["SET", "kind", kind]);
            server.cmd(&["SWAPDB", "0", "9"]);
            run.reach(run.source.catch_up() + 1 - u64::from(notified)).await;
        }
        let (finished, target) = run.finish().await;
        finished.result.unwrap();
        same(&server, &target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_database_alone_into_another() {
    let server = Server::start("redis-7.0");
    let mut connection = server.connection();
    for (db, key) in [(0, "a"), (3, "b"), (3, "c"), (7, "d")] {
        redis::cmd("SELECT").arg(db).exec(&mut connection).unwrap();
        redis::cmd("SET").arg(key).arg("v").exec(&mut connection).unwrap();
    }
    let address = NodeAddress::new("127.0.0.1", server.port());
    let translate = TranslateOptions::default().rules(Rules::one_db(3, 5)).group_strings(true);
    let run = start(&server, &address, options().translate(translate).pause(Duration::from_millis(20))).await;
    run.reach(1).await;
    redis::cmd("SELECT").arg(3).exec(&mut connection).unwrap();
    redis::cmd("DEL").arg("b").exec(&mut connection).unwrap();
    let (finished, target) = run.finish().await;
    finished.result.unwrap();
    assert_eq!(target.info("keyspace").keys().filter(|key| key.starts_with("db")).collect::<Vec<_>>(), ["db5"]);
    let mut connection = target.connection();
    redis::cmd("SELECT").arg(5).exec(&mut connection).unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    assert_eq!(keys, ["c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_keys_under_other_names() {
    let server = Server::start("redis-7.0");
    for key in ["a:1", "a:2", "b:1"] {
        server.cmd(&["SET", key, "v"]);
    }
    let address = NodeAddress::new("127.0.0.1", server.port());
    let rules = Rules::builder().only_keys(Pattern::prefix("a:")).rename_prefix("a:", "new:").build().unwrap();
    let options = options().translate(TranslateOptions::default().rules(rules)).pause(Duration::from_millis(20));
    let run = start(&server, &address, options).await;
    run.reach(1).await;
    server.cmd(&["DEL", "a:1", "b:1"]);
    server.cmd(&["MSET", "a:3", "v", "b:3", "v"]);
    let (finished, target) = run.finish().await;
    finished.result.unwrap();
    let keys: BTreeSet<String> = redis::from_redis_value(target.cmd(&["KEYS", "*"])).unwrap();
    assert_eq!(keys, BTreeSet::from(["new:2".to_owned(), "new:3".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_told_of() {
    let (server, address) = locked("redis-7.0");
    let target = rdts_core::translate::Target::redis(7, 0, 0);
    let refused = async |address: &NodeAddress, options: ScanOptions, kind: ErrorKind, words: &[&str]| {
        let error = match ScanSource::open(address, target, options).await {
            Err(error) => error,
            Ok(mut source) => loop {
                use rdts_core::Source;
                match source.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{words:?}"),
                    Err(error) => break error,
                }
            },
        };
        assert_eq!(error.kind(), kind, "{error}");
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
    };
    let forced = options().changes(ScanChanges::Notifications);
    refused(&address, forced, ErrorKind::Unsupported, &["notify-keyspace-events"]).await;
    let skip = options().translate(TranslateOptions::default().on_conflict(OnConflict::Skip));
    refused(&address, skip, ErrorKind::Config, &["alone"]).await;
    let lists = Rules::builder().only_type(rdts_rdb::ValueKind::List).build().unwrap();
    let lists = options().translate(TranslateOptions::default().rules(lists));
    refused(&address, lists, ErrorKind::Unsupported, &["rules about types"]).await;
    let nowhere = options().folder("/nowhere/at/all".into());
    refused(&address, nowhere, ErrorKind::Io, &["/nowhere/at/all"]).await;
    server.cmd(&["SET", "huge", &"x".repeat(10_000)]);
    let small = options().largest_value(5000);
    refused(&address, small, ErrorKind::Limit, &["huge", "largest_value", &server.addr()]).await;
    server.cmd(&["ACL", "SETUSER", "app", "resetkeys", "~other:*"]);
    refused(&address, options(), ErrorKind::Auth, &["huge", "DUMP"]).await;
    server.cmd(&["ACL", "SETUSER", "app", "-dump"]);
    refused(&address, options(), ErrorKind::Auth, &["DUMP"]).await;
    server.cmd(&["ACL", "SETUSER", "app", "-scan"]);
    refused(&address, options(), ErrorKind::Auth, &["SCAN"]).await;
    // Nothing was changed at the server by all that.
    let config: Vec<String> =
        redis::from_redis_value(server.cmd(&["CONFIG", "GET", "notify-keyspace-events"])).unwrap();
    assert_eq!(config, ["notify-keyspace-events", ""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn less_is_used_where_less_is_permitted() {
    let (server, address) = locked("redis-7.0");
    fill(&server, &FillOptions::mixed(50));
    server.cmd(&["ACL", "SETUSER", "app", "-config", "-memory", "-pexpiretime", "-function"]);
    let run = start(&server, &address, options().pause(Duration::from_millis(20)).keys_per_second(100_000)).await;
    assert!(!run.notified);
    run.reach(2).await;
    server.cmd(&["SET", "late", "1"]);
    let (finished, target) = run.finish().await;
    finished.result.unwrap();
    same(&server, &target);
}
