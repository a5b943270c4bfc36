//! Slots move and nodes fail over under a load of commands that are not idempotent.

use std::sync::Arc;
use std::time::Duration;

use rdts_core::Sink;
use rdts_testkit::{Cluster, Rng, Server, Signal, key_slot};

use super::support::{Pair, load, options};

/// Writes as long as `change` runs, and a little before and after, then compares.
async fn under_load(cluster: Cluster, change: impl FnOnce(&Cluster) + Send + 'static) {
    let cluster = Arc::new(cluster);
    let server = Server::start(cluster.name());
    let mut pair = Pair::connect(&cluster, &server).await;
    let mut rng = Rng::new(7);
    for _ in 0..20 {
        let commands = load(&mut rng, 100);
        pair.write(&commands).await;
    }
    let there = cluster.clone();
    let changing = tokio::task::spawn_blocking(move || change(&there));
    let mut batches = 0u64;
    while !changing.is_finished() {
        let count = rng.between(1, 60);
        let commands = load(&mut rng, count);
        pair.write(&commands).await;
        batches += 1;
        // As a stream does: otherwise the load would keep the change from getting on.
        if batches.is_multiple_of(8) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    changing.await.unwrap();
    for _ in 0..20 {
        let commands = load(&mut rng, 100);
        pair.write(&commands).await;
    }
    let deadline = tokio::time::timeout(Duration::from_secs(60), pair.cluster.flush());
    deadline.await.expect("the cluster takes writes again").unwrap();
    pair.finish(&cluster, &server).await;
}

fn slot(key: &str) -> u16 {
    key_slot(key.as_bytes())
}

async fn reshard(version: &str) {
    under_load(Cluster::start(version, 3), |cluster| {
        let from = cluster.primary_of(0);
        let to = cluster.primary_of(16383);
        cluster.migrate_slots(0..=40, from, to);
        // One slot that is in use stays half moved for a while.
        let slot = slot("num:7");
        let owner = cluster.primary_of(slot);
        let other = *cluster.primaries().iter().find(|node| **node != owner).unwrap();
        let mut open = cluster.open_slot(slot, owner, other);
        open.move_keys(1);
        // Where its keys go, a marker tells what was executed.
        let markers = format!("rdts:checkpoint:{{{}}}:*", rdts_core::slot::tag(slot));
        cluster.server(other).wait_until("writes to the slot where it goes", Duration::from_secs(30), |server| {
            server.cmd(&["KEYS", &markers]) != redis::Value::Array(vec![])
        });
        open.finish();
        cluster.wait_ok();
    })
    .await;
}

/// While a slot is half moved, each of its keys is written where it is, and new ones where it goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_half_moved_takes_writes() {
    for version in ["redis-3.2", "redis-8.2"] {
        let cluster = Cluster::start(version, 3);
        let server = Server::start(version);
        let mut pair = Pair::connect(&cluster, &server).await;
        let before: Vec<String> = (0..20).map(|n| format!("INCR {{t}}num:{n}")).collect();
        pair.write(&before).await;
        pair.cluster.flush().await.unwrap();
        let from = cluster.primary_of(slot("t"));
        let to = *cluster.primaries().iter().find(|node| **node != from).unwrap();
        let mut open = cluster.open_slot(slot("t"), from, to);
        assert_eq!(open.move_keys(10), 10);
        for _ in 0..3 {
            let commands: Vec<String> = (0..30)
                .flat_map(|n| {
                    [format!("INCR {{t}}num:{n}"), format!("APPEND other:{n} x"), format!("LPUSH {{t}}list:{n} x")]
                })
                .collect();
            pair.write(&commands).await;
        }
        pair.write(&[
            "DEL {t}num:1 {t}num:2 {t}num:3 {t}num:4 {t}num:5 {t}num:21",
            "MULTI",
            "INCR {t}num:1",
            "INCR {t}num:6",
            "EXEC",
        ])
        .await;
        tokio::time::timeout(Duration::from_secs(20), pair.cluster.flush()).await.expect("no command waits").unwrap();
        open.finish();
        pair.write(&before).await;
        pair.finish(&cluster, &server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_3_2() {
    reshard("redis-3.2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_7_0() {
    reshard("redis-7.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_atomically() {
    under_load(Cluster::start("valkey-9.1", 3), |cluster| {
        let to = cluster.primary_of(16383);
        cluster.migrate_atomic(0..=2000, to);
        cluster.wait_ok();
    })
    .await;
}

async fn orderly_failover(version: &str) {
    under_load(Cluster::builder(version, 3).replicas(1).start(), |cluster| {
        let primary = cluster.primary_of(slot("num:7"));
        cluster.failover(primary);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over_in_order() {
    orderly_failover("redis-5.0").await;
}

async fn killed(version: &str) {
    under_load(Cluster::builder(version, 3).replicas(1).start(), |cluster| {
        let primary = cluster.primary_of(slot("num:7"));
        cluster.kill(primary);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_is_killed_7_0() {
    killed("redis-7.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_is_killed_9_1() {
    killed("valkey-9.1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_down_is_waited_for() {
    under_load(Cluster::builder("redis-8.2", 3).full_coverage(true).start(), |cluster| {
        let node = cluster.primary_of(0);
        cluster.server(node).cmd(&["CLUSTER", "DELSLOTS", "0"]);
        cluster.server(node).wait_until("the cluster to be down", Duration::from_secs(20), |server| {
            let info: String = redis::from_redis_value(server.cmd(&["CLUSTER", "INFO"])).unwrap();
            info.contains("cluster_state:fail")
        });
        cluster.server(node).cmd(&["CLUSTER", "ADDSLOTS", "0"]);
        cluster.wait_ok();
    })
    .await;
}

/// The replica is made to miss what the primary acknowledges, and then to take its place.
async fn acknowledged_and_lost(keep: usize) -> (rdts_core::Result<()>, Cluster, Server, Pair) {
    let cluster = Cluster::builder("redis-7.0", 3).replicas(1).arg("cluster-replica-validity-factor", "0").start();
    let server = Server::start("redis-7.0");
    let mut pair = Pair::connect_with(&cluster, &server, options().keep(keep)).await;
    let mut rng = Rng::new(11);
    for _ in 0..10 {
        let commands = load(&mut rng, 100);
        pair.write(&commands).await;
    }
    pair.cluster.flush().await.unwrap();
    let primary = cluster.primary_of(slot("num:7"));
    let replica = cluster.replicas_of(primary)[0];
    cluster.server(replica).signal(Signal::Stop);
    // What is in the replica's socket already it would read later.
    cluster.server(primary).cmd(&["CLIENT", "KILL", "TYPE", "slave"]);
    for _ in 0..10 {
        let commands = load(&mut rng, 100);
        pair.write(&commands).await;
    }
    pair.cluster.flush().await.unwrap();
    let applied = pair.cluster.acked().batches;
    assert_eq!(applied, 20, "all of it is acknowledged");
    cluster.server(primary).kill();
    cluster.server(replica).signal(Signal::Cont);
    cluster.server(replica).wait_for_role("master");
    let mut result = Ok(());
    for _ in 0..10 {
        let commands = load(&mut rng, 100);
        result = pair.try_write(&commands).await;
        if result.is_err() {
            return (result, cluster, server, pair);
        }
    }
    let flushed = tokio::time::timeout(Duration::from_secs(60), pair.cluster.flush()).await;
    (result.and(flushed.expect("the cluster takes writes again")), cluster, server, pair)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_promoted_replica_lacks_is_sent_again() {
    let (result, cluster, server, pair) = acknowledged_and_lost(8 << 20).await;
    result.unwrap();
    cluster.wait_ok();
    pair.finish(&cluster, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_and_not_kept_is_an_error() {
    let (result, ..) = acknowledged_and_lost(0).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind(), rdts_core::ErrorKind::Rejected, "{error}");
    assert!(error.to_string().contains("lacks acknowledged writes"), "{error}");
}
