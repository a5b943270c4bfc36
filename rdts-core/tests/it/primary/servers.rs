//! Real servers as replicas: they must come up, hold the snapshot and the stream, and agree on every byte of the
//! offset.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use rdts_core::primary::{Primary, PrimaryConfig, Protocol, ReplicaState, SnapshotFraming};
use rdts_testkit::Server;
use redis::Value;

use super::{quiet, soon};

const DEADLINE: Duration = Duration::from_secs(60);

/// A server, and the RDB that it has made of some keys. It keeps them: a full sync has to throw them away first, and
/// bring them back.
fn with_snapshot(name: &str, builder: rdts_testkit::Builder) -> (Server, Bytes) {
    let server = builder.start();
    server.cmd(&["SET", "text", "from the snapshot"]);
    server.cmd(&["RPUSH", "list", "a", "b", "c"]);
    server.cmd(&["HSET", "hash", "field", "value"]);
    server.cmd(&["SET", "fleeting", "x", "PX", "100000000"]);
    server.cmd(&["SAVE"]);
    let rdb = fs::read(server.dir().join("dump.rdb")).unwrap_or_else(|error| panic!("the RDB of {name}: {error}"));
    server.cmd(&["SET", "only", "here"]);
    (server, rdb.into())
}

fn follow(server: &Server, primary: &Primary) {
    server.cmd(&["SLAVEOF", "127.0.0.1", &primary.local_addr().port().to_string()]);
}

fn wait_up(server: &Server) {
    server.wait_until("the link to be up", DEADLINE, |server| server.info("replication")["master_link_status"] == "up");
}

/// Writes of which the result tells whether each was applied, once, in order and to its database.
fn write_some(primary: &Primary, round: usize) {
    primary.append(&[b"SELECT", b"0"]);
    primary.append(&[b"APPEND", b"log", format!("{round};").as_bytes()]);
    primary.append(&[b"SELECT", b"5"]);
    primary.append(&[b"MULTI"]);
    for _ in 0..100 {
        primary.append(&[b"INCR", b"counter"]);
    }
    primary.append(&[b"EXEC"]);
    primary.append(&[b"SET", b"binary", b"\r\n\0\xff$*"]);
}

/// Waits until the replica has all of the stream, and says so with the primary's own offset.
async fn caught_up(primary: &Primary) {
    primary.request_acknowledgements();
    soon("the replica to acknowledge everything", primary.wait_acknowledged(primary.offset())).await;
    assert!(primary.replicas().iter().all(|replica| replica.acknowledged == primary.offset()));
}

/// Looks at everything that `rounds` of writes and the snapshot have left.
fn check(server: &Server, rounds: usize) {
    let get = |args: &[&str]| server.cmd(args);
    assert_eq!(get(&["GET", "text"]), Value::BulkString(b"from the snapshot".to_vec()));
    assert_eq!(get(&["LLEN", "list"]), Value::Int(3));
    assert_eq!(get(&["HGET", "hash", "field"]), Value::BulkString(b"value".to_vec()));
    assert!(matches!(get(&["TTL", "fleeting"]), Value::Int(90_000..=100_000)));
    assert_eq!(get(&["EXISTS", "only"]), Value::Int(0));
    let log: String = (0..rounds).map(|round| format!("{round};")).collect();
    assert_eq!(get(&["GET", "log"]), Value::BulkString(log.into_bytes()));
    let mut connection = server.connection();
    let _: Value = redis::cmd("SELECT").arg(5).query(&mut connection).unwrap();
    assert_eq!(redis::cmd("GET").arg("counter").query::<usize>(&mut connection).unwrap(), rounds * 100);
    assert_eq!(redis::cmd("GET").arg("binary").query::<Vec<u8>>(&mut connection).unwrap(), b"\r\n\0\xff$*");
}

/// Sends the replicas away, and keeps them away until the primary has "loaded": some are back before one could look.
async fn cut(primary: &Primary) {
    primary.set_loading(true);
    primary.disconnect_replicas();
    soon("the cut", primary.wait_for(<[_]>::is_empty)).await;
}

/// A full sync, writes, a cut, writes while nobody is connected, a partial sync, writes.
async fn whole_life(name: &str, config: PrimaryConfig) {
    let (server, rdb) = with_snapshot(name, Server::builder(name));
    let primary = quiet(config.offset(1000)).await;
    primary.set_snapshot(rdb, 1000).unwrap();
    // Between the snapshot and the replica.
    write_some(&primary, 0);
    follow(&server, &primary);
    wait_up(&server);
    write_some(&primary, 1);
    caught_up(&primary).await;
    check(&server, 2);
    assert_eq!(primary.syncs(), (1, 0));
    assert_eq!(primary.replicas()[0].listening_port, server.port());

    cut(&primary).await;
    write_some(&primary, 2);
    primary.set_loading(false);
    soon("the replica to come back", primary.wait_for(|all| all.iter().any(|it| it.state == ReplicaState::Online)))
        .await;
    write_some(&primary, 3);
    caught_up(&primary).await;
    check(&server, 4);
    assert_eq!(primary.syncs(), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_2_8() {
    // It knows no GETACK, which came with 3.0, and tells its offset once a second.
    let name = "redis-2.8";
    let (server, rdb) = with_snapshot(name, Server::builder(name));
    let primary = quiet(PrimaryConfig::default()).await;
    primary.set_snapshot(rdb, 0).unwrap();
    write_some(&primary, 0);
    follow(&server, &primary);
    wait_up(&server);
    write_some(&primary, 1);
    soon("the acknowledgement", primary.wait_acknowledged(primary.offset())).await;
    check(&server, 2);
    cut(&primary).await;
    write_some(&primary, 2);
    primary.set_loading(false);
    soon("the acknowledgement", primary.wait_acknowledged(primary.offset())).await;
    check(&server, 3);
    assert_eq!(primary.syncs(), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_5_0() {
    whole_life("redis-5.0", PrimaryConfig::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_5_0_with_the_psync_of_old() {
    whole_life("redis-5.0", PrimaryConfig::default().protocol(Protocol::Psync)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_7_0() {
    whole_life("redis-7.0", PrimaryConfig::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_7_0_with_an_end_mark_in_small_pieces() {
    whole_life("redis-7.0", PrimaryConfig::default().framing(SnapshotFraming::Eof).write_chunk(7)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_8_2_with_an_end_mark() {
    whole_life("redis-8.2", PrimaryConfig::default().framing(SnapshotFraming::Eof)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_9_1() {
    whole_life("valkey-9.1", PrimaryConfig::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_9_1_with_an_end_mark_and_newlines() {
    let config = PrimaryConfig::default().framing(SnapshotFraming::Eof);
    let config = config.newlines_before_reply(3).newlines_before_snapshot(3).newline_period(Duration::from_millis(5));
    whole_life("valkey-9.1", config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_falls_back_to_sync() {
    let (server, rdb) = with_snapshot("redis-5.0", Server::builder("redis-5.0"));
    let primary = quiet(PrimaryConfig::default().protocol(Protocol::SyncOnly)).await;
    primary.set_snapshot(rdb, 0).unwrap();
    write_some(&primary, 0);
    follow(&server, &primary);
    wait_up(&server);
    write_some(&primary, 1);
    // No offsets here: its data has to tell.
    server.wait_until("the last write", DEADLINE, |server| {
        server.cmd(&["GET", "log"]) == Value::BulkString(b"0;1;".to_vec())
    });
    server.wait_until("the last database", DEADLINE, |server| server.info("keyspace").contains_key("db5"));
    check(&server, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_logs_in_and_waits_while_we_load() {
    let builder = Server::builder("redis-7.0").arg("masteruser", "repl").arg("masterauth", "secret");
    let (server, rdb) = with_snapshot("redis-7.0", builder);
    let primary = quiet(PrimaryConfig::default().user("repl").password("secret")).await;
    primary.set_snapshot(rdb, 0).unwrap();
    primary.set_loading(true);
    follow(&server, &primary);
    server.wait_for_log("LOADING", DEADLINE);
    assert_eq!(server.info("replication")["master_link_status"], "down");
    primary.set_loading(false);
    write_some(&primary, 0);
    wait_up(&server);
    caught_up(&primary).await;
    check(&server, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_history_is_learned_without_a_full_sync() {
    let (server, rdb) = with_snapshot("redis-7.0", Server::builder("redis-7.0"));
    let primary = quiet(PrimaryConfig::default()).await;
    primary.set_snapshot(rdb, 0).unwrap();
    follow(&server, &primary);
    wait_up(&server);
    write_some(&primary, 0);
    caught_up(&primary).await;
    primary.change_replid("f".repeat(40).parse().unwrap());
    cut(&primary).await;
    write_some(&primary, 1);
    primary.set_loading(false);
    soon("the replica to come back", primary.wait_for(|all| all.iter().any(|it| it.state == ReplicaState::Online)))
        .await;
    caught_up(&primary).await;
    check(&server, 2);
    assert_eq!(primary.syncs(), (1, 1));
    assert_eq!(server.info("replication")["master_replid"], "f".repeat(40));
}
