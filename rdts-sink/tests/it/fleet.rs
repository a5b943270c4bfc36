//! Sources of several shards, with everything that moves in them, into one server.

use std::time::{Duration, Instant};

use rdts_core::fleet::{self, Finished, Fleet, Handle, Shard};
use rdts_core::net::Deadlines;
use rdts_core::replica::LinkConfig;
use rdts_core::slot::slot;
use rdts_core::source::ReplicaOptions;
use rdts_core::{Endpoint, ErrorKind, Result, Sink};
use rdts_sink::{NodeOptions, NodeSink};
use rdts_testkit::{Cluster, Deployment, FillOptions, Load, LoadOptions, Server, assert_same, fill};
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_secs(90);

/// A migration that runs.
struct Migration {
    handle: Handle,
    running: JoinHandle<Finished>,
}

impl Migration {
    async fn start(from: &str, to: &Server) -> Result<Self> {
        Self::start_with(from, to, ReplicaOptions::default()).await
    }

    async fn start_with(from: &str, to: &Server, options: ReplicaOptions) -> Result<Self> {
        let endpoint: Endpoint = from.parse()?;
        let deadlines = Deadlines::default();
        let Endpoint::Node { address, .. } = to.url().parse()? else { panic!("one server") };
        let sink = || NodeSink::connect(&address, NodeOptions::default().deadlines(deadlines));
        let target = sink().await?.capabilities().target;
        let options = options.link(LinkConfig::default().deadlines(deadlines));
        let mut shards = Vec::new();
        for source in fleet::open(&endpoint, target, options).await? {
            shards.push(Shard::new(source, sink().await?));
        }
        let fleet = Fleet::new(shards);
        let handle = fleet.handle();
        Ok(Self { handle, running: tokio::spawn(fleet.run()) })
    }

    /// Waits until all snapshots are applied.
    async fn is_live(&self) {
        let started = Instant::now();
        while !self.handle.report().is_stream() && !self.running.is_finished() {
            assert!(started.elapsed() < LONG, "the snapshots take too long");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends with all that the sources have.
    async fn end(self) -> Finished {
        let offsets = self.handle.source_offsets().await.unwrap();
        self.handle.stop_at(offsets.clone()).unwrap();
        let ended = tokio::time::timeout(LONG, self.running).await;
        ended.unwrap_or_else(|_| panic!("not at {offsets:?}: {:?}", self.handle.report())).unwrap()
    }
}

/// Copies `cluster` under load while `change` is done to it, and compares.
async fn copied_while(cluster: &Cluster, change: impl FnOnce(&Load) + Send) {
    let target = Server::start("redis-8.10");
    tokio::task::block_in_place(|| {
        fill(cluster, &FillOptions::default());
    });
    let load = Load::start(cluster, LoadOptions::cluster());
    let migration = Migration::start(&cluster.url(), &target).await.unwrap();
    migration.is_live().await;
    tokio::task::block_in_place(|| {
        change(&load);
        load.wait_for(500, LONG);
    });
    let written = tokio::task::block_in_place(|| load.stop());
    let finished = migration.end().await;
    finished.result.unwrap();
    assert!(written.unknown == 0 && finished.report.ledger.counts.commands > 0, "{written:?}");
    tokio::task::block_in_place(|| assert_same(cluster, &target));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_of_one_host_that_are_copied_one_after_the_other() {
    let cluster = Cluster::start("redis-7.0", 3);
    let target = Server::start("redis-8.10");
    tokio::task::block_in_place(|| {
        fill(&cluster, &FillOptions::default());
    });
    let load = Load::start(&cluster, LoadOptions::cluster());
    let one = ReplicaOptions::default().full_syncs_per_host(1);
    let migration = Migration::start_with(&cluster.url(), &target, one).await.unwrap();
    migration.is_live().await;
    let written = tokio::task::block_in_place(|| {
        load.wait_for(500, LONG);
        load.stop()
    });
    migration.end().await.result.unwrap();
    assert_eq!(written.unknown, 0, "{written:?}");
    tokio::task::block_in_place(|| assert_same(&cluster, &target));
}

/// The first node is copied, and the others have not begun when a slot moves: nobody could tell which of its writes came first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_before_the_last_copy_has_begun_is_an_error() {
    let cluster = Cluster::start("redis-7.0", 3);
    let target = Server::start("redis-8.10");
    cluster.cmd(&["SET", "key", "1"]);
    let Endpoint::Node { address, .. } = target.url().parse().unwrap() else { panic!("one server") };
    let options = ReplicaOptions::default().full_syncs_per_host(1);
    let from: Endpoint = cluster.url().parse().unwrap();
    let shards = fleet::open(&from, rdts_core::translate::Target::redis(8, 2, 0), options);
    let mut joined = Vec::new();
    for source in shards.await.unwrap() {
        joined.push(Shard::new(source, NodeSink::connect(&address, NodeOptions::default()).await.unwrap()));
    }
    tokio::task::block_in_place(|| cluster.migrate_slots(0..=10, 0, 1));
    let finished = tokio::time::timeout(LONG, Fleet::new(joined).run()).await.expect("an end");
    let error = finished.result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Topology, "{error}");
    assert!(error.to_string().contains("while the snapshots were started"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_one_way() {
    for name in ["redis-5.0", "redis-7.0"] {
        let cluster = Cluster::start(name, 3);
        copied_while(&cluster, |_| cluster.migrate_slots(0..=400, 0, 1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_both_ways_at_once() {
    let cluster = Cluster::start("redis-7.0", 3);
    let ours = |key: u32| (slot(format!("moving:{key}").as_bytes()), key);
    // Slots with several keys each, that are written all the time.
    let mut there: Vec<(u16, u32)> = (0..40_000).map(ours).filter(|(slot, _)| slot % 256 == 7).collect();
    there.sort_unstable();
    for (_, key) in &there {
        cluster.cmd(&["SET", &format!("moving:{key}"), "0"]);
    }
    let mut slots: Vec<u16> = there.iter().map(|(slot, _)| *slot).collect();
    slots.dedup();
    let write = |from: u32| {
        there.iter().filter(|(_, key)| key % 3 == from % 3).for_each(|(_, key)| {
            cluster.cmd(&["INCR", &format!("moving:{key}")]);
        });
    };
    copied_while(&cluster, |_| {
        for (round, pair) in slots.chunks(2).take(12).enumerate() {
            let [first, second] = [pair[0], pair[pair.len() - 1] | 8192];
            let second = slots.iter().copied().find(|slot| *slot >= second).unwrap_or(first);
            let (a, b) = (cluster.primary_of(first), cluster.primary_of(second));
            if a == b {
                continue;
            }
            let mut there = cluster.open_slot(first, a, b);
            let mut back = cluster.open_slot(second, b, a);
            while there.move_keys(2) + back.move_keys(2) > 0 {
                write(u32::try_from(round).unwrap());
            }
            there.finish();
            back.finish();
            // As redis-cli does: two moves at once may end with the same config epoch, and then nodes learn nothing by themselves.
            for (slot, owner) in [(first, b), (second, a)] {
                for node in cluster.nodes() {
                    node.cmd(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", cluster.id(owner)]);
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_in_one_step() {
    let cluster = Cluster::start("redis-8.10", 3);
    copied_while(&cluster, |load| {
        cluster.migrate_atomic(0..=1000, 1);
        cluster.migrate_atomic(6000..=7000, 0);
        load.wait_for(500, LONG);
        cluster.migrate_atomic(0..=500, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primaries_that_change() {
    let cluster = Cluster::builder("redis-7.0", 3).replicas(1).start();
    let target = Server::start("redis-7.0");
    let load = Load::start(&cluster, LoadOptions::cluster());
    let migration = Migration::start(&cluster.url(), &target).await.unwrap();
    migration.is_live().await;
    tokio::task::block_in_place(|| {
        let promoted = cluster.failover(cluster.primaries()[0]);
        load.wait_for(500, LONG);
        // Slots of the node that was promoted move, too.
        let other = cluster.primaries().into_iter().find(|node| *node != promoted).unwrap();
        cluster.migrate_slots(0..=50, promoted, other);
        load.wait_for(500, LONG);
        // A crash after which nothing is lost, since the replica has everything.
        load.stop();
        let dying = cluster.primaries()[1];
        cluster.server(cluster.replicas_of(dying)[0]).wait_in_sync(cluster.server(dying));
        cluster.kill(dying);
        let mut others = LoadOptions::cluster();
        others.seed = 2;
        Load::run(&cluster, others, 1000);
    });
    migration.end().await.result.unwrap();
    tokio::task::block_in_place(|| assert_same(&cluster, &target));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_servers() {
    let servers = [Server::start("redis-7.0"), Server::start("valkey-9.1")];
    let target = Server::start("valkey-9.1");
    // What concerns all keys of a server cannot be followed, and the load has some of it: the data alone.
    for (number, server) in servers.iter().enumerate() {
        for key in 0..1000 {
            server.cmd(&["SET", &format!("{number}:{key}"), "v"]);
        }
    }
    let url = format!("redis://{},{}", servers[0].addr(), servers[1].addr());
    let migration = Migration::start(&url, &target).await.unwrap();
    migration.is_live().await;
    for (number, server) in servers.iter().enumerate() {
        (0..100).for_each(|_| drop(server.cmd(&["INCR", &format!("counter:{number}")])));
    }
    let finished = migration.end().await;
    finished.result.unwrap();
    assert_eq!((finished.report.shards.len(), finished.report.ledger.counts.keys), (2, 2000));
    tokio::task::block_in_place(|| assert_same(Deployment::from(&servers), &target));

    let target = Server::start("redis-7.0");
    let migration = Migration::start(&url, &target).await.unwrap();
    migration.is_live().await;
    servers[1].cmd(&["FLUSHALL"]);
    let error = tokio::time::timeout(LONG, migration.running).await.unwrap().unwrap().result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("FLUSHALL") && error.to_string().contains(&servers[1].addr()), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_on_the_move_is_not_begun() {
    let cluster = Cluster::start("redis-7.0", 2);
    let target = Server::start("redis-7.0");
    let open = tokio::task::block_in_place(|| cluster.open_slot(5, 0, 1));
    let error = Migration::start(&cluster.url(), &target).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Topology, "{error}");
    assert!(error.to_string().contains("slot 5 "), "{error}");
    tokio::task::block_in_place(|| open.finish());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_cannot_be_followed_is_an_error() {
    let cluster = Cluster::start("valkey-9.1", 2);
    let target = Server::start("valkey-9.1");
    let migration = Migration::start(&cluster.url(), &target).await.unwrap();
    migration.is_live().await;
    tokio::task::block_in_place(|| cluster.migrate_atomic(0..=5, 1));
    let error = tokio::time::timeout(LONG, migration.running).await.unwrap().unwrap().result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("MIGRATESLOTS"), "{error}");
}
