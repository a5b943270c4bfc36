//! The public suite for sinks, over the sinks of this crate, and over such that are wrong on purpose.

mod faulty;

use std::sync::{Arc, Mutex};

use rdts_core::checkpoint::CheckpointName;
use rdts_core::conformance::{self, Abilities, Harness, Outcome, Report};
use rdts_core::endpoint::NodeAddress;
use rdts_core::{Endpoint, Error, ErrorKind, Result};
use rdts_sink::memory::{MemoryStore, Value};
use rdts_sink::{ClusterOptions, ClusterSink, MemorySink, NodeOptions, NodeSink};
use rdts_testkit::{Cluster, Server, Signal};

/// The names of the checks that did not apply.
fn not_applicable(report: &Report) -> Vec<&'static str> {
    assert!(report.passed(), "{report}");
    let skipped = report.outcomes().iter().filter(|(_, outcome)| matches!(outcome, Outcome::NotApplicable(_)));
    skipped.map(|(name, _)| *name).collect()
}

/// A server, and sinks with a narrow window; with a checkpoint or without.
struct Node(Server, Option<CheckpointName>);

impl Harness for Node {
    type Sink = NodeSink;

    fn abilities(&self) -> Abilities {
        // The window, and room for what is under way in sockets.
        Abilities::default().freezes(true).in_flight(16 << 20)
    }

    async fn sink(&mut self) -> Result<NodeSink> {
        self.0.cmd(&["FLUSHALL"]);
        let options = NodeOptions::default().window(256 << 10).checkpoint(self.1.clone());
        NodeSink::connect(&NodeAddress::new("127.0.0.1", self.0.port()), options).await
    }

    async fn read(&mut self, db: u32, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut connection = self.0.connection();
        let ask = redis::cmd("SELECT").arg(db).exec(&mut connection);
        let value = ask.and_then(|()| redis::cmd("GET").arg(key).query(&mut connection));
        value.map_err(|error| Error::new(ErrorKind::Protocol, "the server cannot be read").with_source(error))
    }

    async fn freeze(&mut self) -> Result<()> {
        self.0.signal(Signal::Stop);
        Ok(())
    }

    async fn thaw(&mut self) -> Result<()> {
        self.0.signal(Signal::Cont);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_keeps_to_the_contract() {
    for name in ["redis-2.8", "redis-7.0", "valkey-9.1"] {
        let report = conformance::run(&mut Node(Server::start(name), None)).await;
        assert_eq!(not_applicable(&report), [""; 0], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_checkpoint_keeps_to_the_contract() {
    for name in ["redis-2.8", "redis-5.0", "redis-7.0", "valkey-9.1"] {
        let checkpoint = CheckpointName::new("conformance", 0).unwrap();
        let report = conformance::run(&mut Node(Server::start(name), Some(checkpoint))).await;
        assert_eq!(not_applicable(&report), [""; 0], "{name}");
    }
}

/// A cluster, and sinks with narrow windows, if need be with a checkpoint that lasts.
struct Nodes(Cluster, Option<CheckpointName>);

impl Harness for Nodes {
    type Sink = ClusterSink;

    fn abilities(&self) -> Abilities {
        Abilities::default().databases(false).freezes(true).in_flight(16 << 20)
    }

    async fn sink(&mut self) -> Result<ClusterSink> {
        for node in self.0.primaries() {
            self.0.server(node).cmd(&["FLUSHALL"]);
        }
        let Endpoint::Cluster { seeds } = self.0.url().parse()? else { panic!("no URL of a cluster") };
        let options = ClusterOptions::default().window(256 << 10).checkpoint(self.1.clone());
        ClusterSink::connect(&seeds, options).await
    }

    async fn read(&mut self, db: u32, key: &[u8]) -> Result<Option<Vec<u8>>> {
        assert_eq!(db, 0, "a cluster has one database");
        let value = self.0.try_cmd(&[b"GET", key]).and_then(|value| Ok(redis::from_redis_value(value)?));
        value.map_err(|error| Error::new(ErrorKind::Protocol, "the cluster cannot be read").with_source(error))
    }

    async fn freeze(&mut self) -> Result<()> {
        for node in self.0.nodes() {
            node.signal(Signal::Stop);
        }
        Ok(())
    }

    async fn thaw(&mut self) -> Result<()> {
        for node in self.0.nodes() {
            node.signal(Signal::Cont);
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_to_the_contract() {
    let report = conformance::run(&mut Nodes(Cluster::start("redis-7.0", 3), None)).await;
    assert_eq!(not_applicable(&report), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_checkpoints_keeps_to_the_contract() {
    let name = CheckpointName::new("contract", 0).unwrap();
    let report = conformance::run(&mut Nodes(Cluster::start("valkey-9.1", 3), Some(name))).await;
    assert_eq!(not_applicable(&report), [""; 0]);
}

/// The keyspace of the last sink.
#[derive(Default)]
struct Memory(Arc<Mutex<MemoryStore>>);

fn string(store: &Mutex<MemoryStore>, db: u32, key: &[u8]) -> Result<Option<Vec<u8>>> {
    match store.lock().unwrap().get(db, key).map(|entry| &entry.value) {
        Some(Value::String(value)) => Ok(Some(value.to_vec())),
        None => Ok(None),
        Some(other) => Err(Error::new(ErrorKind::Protocol, format!("not a string: {other:?}"))),
    }
}

fn of_memory() -> Abilities {
    Abilities::default().scripts(false)
}

impl Harness for Memory {
    type Sink = MemorySink;

    fn abilities(&self) -> Abilities {
        of_memory()
    }

    async fn sink(&mut self) -> Result<MemorySink> {
        let sink = MemorySink::new();
        self.0 = sink.store();
        Ok(sink)
    }

    async fn read(&mut self, db: u32, key: &[u8]) -> Result<Option<Vec<u8>>> {
        string(&self.0, db, key)
    }
}

#[tokio::test]
async fn memory_keeps_to_the_contract() {
    let report = conformance::run(&mut Memory::default()).await;
    let frozen = ["accepted_is_not_applied", "what_is_accepted_is_bounded"];
    assert_eq!(not_applicable(&report), [&["an_error_of_a_script_is_counted"][..], &frozen].concat());
}
