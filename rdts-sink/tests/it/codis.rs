//! The sink for the groups of a Codis, against a stand-in for its dashboard and real Redis 3.2 servers.

use std::time::Duration;

use rdts_core::codis::{CodisWatch, Dashboard, WatchOptions};
use rdts_core::conformance::{self, Harness};
use rdts_core::endpoint::NodeAddress;
use rdts_core::fleet::{Fleet, Shard};
use rdts_core::net::Deadlines;
use rdts_core::source::{ReplicaOptions, ReplicaSource};
use rdts_core::translate::Target;
use rdts_core::{ErrorKind, Pipeline, Sink};
use rdts_sink::{CodisOptions, CodisSink, NodeOptions, NodeSink, OnImpossible};
use rdts_testkit::{Codis, FillOptions, Server, assert_same, fill};

use crate::proxy::{SEVERAL_KEYS, address, on_one_server, read, write, write_without_scripts};

async fn watch(codis: &Codis) -> CodisWatch {
    let dashboard = Dashboard::new(NodeAddress::new("127.0.0.1", codis.dashboard()), Deadlines::default());
    CodisWatch::start(dashboard, WatchOptions::default().interval(Duration::from_millis(5))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_in_the_groups() {
    let codis = Codis::start("redis-3.2", 3);
    let source = Server::start("redis-3.2");
    fill(&source, &FillOptions::mixed(300));
    let watch = watch(&codis).await;
    let sink = CodisSink::connect(&watch, CodisOptions::default()).await.unwrap();
    let target = sink.capabilities().target;
    let reader = ReplicaSource::open(&address(source.port()), target, ReplicaOptions::default()).await.unwrap();
    let pipeline = Pipeline::new(reader, sink);
    let handle = pipeline.handle();
    let run = tokio::spawn(pipeline.run());
    tokio::task::block_in_place(|| write_without_scripts(&source));
    handle.stop_at(source.info("replication")["master_repl_offset"].parse().unwrap());
    let finished = run.await.unwrap();
    finished.result.unwrap();
    assert_eq!(finished.report.applied.counts.keys, 300);
    watch.verify().await.unwrap();
    tokio::task::block_in_place(|| assert_same(&source, codis.groups().as_slice()));
    for (at, group) in codis.groups().iter().enumerate() {
        let keys: Vec<Vec<u8>> = redis::from_redis_value(group.cmd(&["KEYS", "*"])).unwrap();
        assert!(!keys.is_empty() && keys.iter().all(|key| codis.group_of(key) == at + 1), "group {}", at + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_become_one_server() {
    let codis = Codis::start("redis-3.2", 2);
    for group in codis.groups() {
        // Each has keys that belong to the other, as a command through a proxy leaves them.
        group.cmd(&["SET", "foo", &group.port().to_string()]);
        group.cmd(&["SADD", "\u{fffd}:other", &group.port().to_string()]);
    }
    let target = Server::start("redis-7.0");
    let watch = watch(&codis).await;
    let options = ReplicaOptions::default().snapshot_only(true);
    let mut shards = Vec::new();
    for source in watch.open_shards(Target::redis(7, 0, 0), options).await.unwrap() {
        let sink = NodeSink::connect(&address(target.port()), NodeOptions::default()).await.unwrap();
        shards.push(Shard::new(source, sink));
    }
    let finished = Fleet::new(shards).run().await;
    finished.result.unwrap();
    assert_eq!((finished.report.ledger.counts.keys, finished.report.ledger.intake.skipped()), (2, 2));
    let owner = codis.groups()[codis.group_of(b"foo") - 1].port().to_string();
    assert_eq!(target.cmd(&["GET", "foo"]), redis::Value::BulkString(owner.into_bytes()));
    assert_eq!(target.cmd(&["DBSIZE"]), redis::Value::Int(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_of_several_keys_have_the_effect_that_they_have_on_one_server() {
    let codis = Codis::start("redis-3.2", 3);
    let single = Server::start("redis-3.2");
    tokio::task::block_in_place(|| on_one_server(&single));
    let mut sink = CodisSink::connect(&watch(&codis).await, CodisOptions::default()).await.unwrap();
    write(&mut sink, 0, SEVERAL_KEYS).await.unwrap();
    assert_eq!(sink.acked().counts.commands, SEVERAL_KEYS.len() as u64);
    tokio::task::block_in_place(|| assert_same(&single, codis.groups().as_slice()));
    // In one group a transaction stays one, and scripts of several keys go.
    let more = ["MULTI", "SET {t}1 a", "EVAL return(redis.call('RENAME',KEYS[1],KEYS[2])) 2 {t}1 {t}2", "EXEC"];
    let group = codis.groups()[codis.group_of(b"{t}") - 1];
    let calls = |group: &Server| group.info("commandstats").get("cmdstat_exec").cloned();
    group.cmd(&["CONFIG", "RESETSTAT"]);
    write(&mut sink, 2, &more).await.unwrap();
    // One transaction: that server counts each of its commands for EXEC as well.
    assert!(calls(group).unwrap().starts_with("calls=3,"), "{:?}", calls(group));
    write(&mut sink, 0, &["FLUSHALL"]).await.unwrap();
    assert!(codis.groups().iter().all(|group| group.cmd(&["DBSIZE"]) == redis::Value::Int(0)));
}

#[tokio::test]
async fn what_groups_cannot_do_together_stops_or_is_left_out_and_counted() {
    let codis = Codis::start("redis-3.2", 2);
    let watch = watch(&codis).await;
    for command in ["SWAPDB 0 1", "EVAL return(1) 0", "SORT foo BY w_* STORE {foo}b"] {
        let mut sink = CodisSink::connect(&watch, CodisOptions::default()).await.unwrap();
        let error = write(&mut sink, 0, &["SET good 1", command]).await.unwrap_err();
        let name = command.split(' ').next().unwrap();
        assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains(name), "{command}: {error}");
        let options = CodisOptions::default().on_impossible(OnImpossible::Skip);
        let mut sink = CodisSink::connect(&watch, options).await.unwrap();
        write(&mut sink, 0, &["SET good 1", command, "SET good 2"]).await.unwrap();
        assert_eq!((sink.acked().counts.impossible, sink.acked().counts.commands), (1, 2), "{command}");
    }
}

#[tokio::test]
async fn a_slot_that_moves_stops_the_writing() {
    let codis = Codis::start("redis-3.2", 2);
    let watch = watch(&codis).await;
    let mut sink = CodisSink::connect(&watch, CodisOptions::default()).await.unwrap();
    write(&mut sink, 0, &["SET foo 1"]).await.unwrap();
    codis.moves(289, Some(("preparing", 2)));
    tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.unwrap();
    let error = write(&mut sink, 0, &["SET foo 2"]).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Topology && error.to_string().contains("slot 289"), "{error}");
    assert_eq!(sink.acked().batches, 1);
    let group = codis.groups()[0];
    assert_eq!(group.cmd(&["GET", "foo"]), redis::Value::BulkString(b"1".to_vec()));
    assert!(CodisSink::connect(&watch, CodisOptions::default()).await.is_err());
}

/// Sinks for the groups.
struct Groups(Codis);

impl Harness for Groups {
    type Sink = CodisSink;

    async fn sink(&mut self) -> rdts_core::Result<CodisSink> {
        for group in self.0.groups() {
            group.cmd(&["FLUSHALL"]);
        }
        CodisSink::connect(&watch(&self.0).await, CodisOptions::default()).await
    }

    async fn read(&mut self, db: u32, key: &[u8]) -> rdts_core::Result<Option<Vec<u8>>> {
        Ok(read(&[self.0.groups()[self.0.group_of(key) - 1]], db, key))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sink_keeps_to_the_contract() {
    let report = conformance::run(&mut Groups(Codis::start("redis-3.2", 2))).await;
    assert!(report.passed(), "{report}");
}
