//! Slots move and nodes fail over under a load of commands that are not idempotent.

use std::sync::Arc;
use std::time::Duration;

use rdts_core::Sink;
use rdts_testkit::{Cluster, Rng, Server, key_slot};

use super::support::{Pair, load};

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
        std::thread::sleep(Duration::from_millis(300));
        open.finish();
        cluster.wait_ok();
    })
    .await;
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
