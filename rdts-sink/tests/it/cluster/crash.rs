//! Runs end in the middle while slots move and nodes fail over.

use std::sync::Arc;

use rdts_core::Sink;
use rdts_sink::ClusterSink;
use rdts_sink::cluster::remove_checkpoints;
use rdts_testkit::{Cluster, Rng, Server, assert_same, key_slot};

use super::resume::{History, connect, go_on, keys_of_ours, mixed, name, truth};
use super::support::{options, seeds};

/// Has one run after the other crash as long as `change` goes on, and compares.
async fn crashes_during(cluster: Cluster, seed: u64, count: usize, change: impl FnOnce(&Cluster) + Send + 'static) {
    let cluster = Arc::new(cluster);
    let server = Server::start(cluster.name());
    let mut rng = Rng::new(seed);
    let history = History::new(mixed(&mut rng, count));
    truth(&history, &server).await;
    go_on(&cluster, &history, &mut rng, true).await;
    let there = cluster.clone();
    let changing = tokio::task::spawn_blocking(move || change(&there));
    let mut over = false;
    while !changing.is_finished() && !over {
        over = go_on(&cluster, &history, &mut rng, true).await;
    }
    changing.await.unwrap();
    cluster.wait_ok();
    go_on(&cluster, &history, &mut rng, true).await;
    go_on(&cluster, &history, &mut rng, false).await;
    remove_checkpoints(&seeds(&cluster), options(), &name()).await.unwrap();
    assert_eq!(keys_of_ours(&cluster), 0);
    assert_same(&server, &*cluster);
}

fn slot(key: &str) -> u16 {
    key_slot(key.as_bytes())
}

/// Slots that are in use move, some of them slowly, and all one way: nodes do not always agree after some have come back.
fn move_slots(cluster: &Cluster) {
    let mut rng = Rng::new(99);
    for round in 0..12 {
        let slot = slot(&format!("num:{}", rng.below(300)));
        let from = cluster.primary_of(slot);
        let to = cluster.primaries()[2];
        if from == to {
            continue;
        }
        if round % 3 == 0 {
            let mut open = cluster.open_slot(slot, from, to);
            open.move_keys(1);
            // Half moved, as long as another one takes to move.
            let other = self::slot(&format!("list:{}", rng.below(300)));
            let (source, target) = (cluster.primary_of(other), *cluster.primaries().last().unwrap());
            if other != slot && source != target {
                cluster.migrate_slots(other..=other, source, target);
            }
            open.finish();
        } else {
            cluster.migrate_slots(slot..=slot, from, to);
        }
    }
    cluster.migrate_slots(0..=60, cluster.primary_of(0), cluster.primary_of(16383));
    cluster.wait_ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_7_0() {
    crashes_during(Cluster::start("redis-7.0", 3), 21, 20_000, move_slots).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_3_2() {
    crashes_during(Cluster::start("redis-3.2", 3), 22, 20_000, move_slots).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_atomically() {
    crashes_during(Cluster::start("valkey-9.1", 3), 23, 20_000, |cluster| {
        cluster.migrate_atomic(0..=2000, cluster.primary_of(16383));
        cluster.wait_ok();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_take_over() {
    let cluster = Cluster::builder("redis-7.0", 3).replicas(1).start();
    crashes_during(cluster, 24, 20_000, |cluster| {
        for key in ["num:7", "num:8"] {
            let primary = cluster.primary_of(slot(key));
            cluster.failover(primary);
            cluster.wait_ok();
        }
    })
    .await;
}

/// Connects, and says where the run before has come to.
async fn again(cluster: &Cluster) -> (ClusterSink, u64) {
    let sink = connect(cluster).await;
    let from = sink.resumed().map_or(0, |position| position.offset());
    (sink, from)
}

/// Writes so many more, and waits until they are applied.
async fn apply(sink: &mut ClusterSink, history: &History, from: u64, many: usize) -> u64 {
    let Some(batch) = history.batch(from, many) else { return from };
    let end = batch.position().offset();
    sink.write(batch).await.unwrap();
    sink.flush().await.unwrap();
    end
}

/// What a slot has that moves, or has moved, under way is neither lost nor doubled by the run that follows at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_has_just_moved_tells_how_far_it_has_come() {
    let cluster = Cluster::start("redis-7.0", 3);
    let history =
        History::new((0..900).map(|n| vec![format!("INCR {{t}}num:{}", n % 9), format!("INCR other:{n}")]).collect());
    let moving = slot("t");
    for half in [false, true, false, true, true] {
        let (mut sink, from) = again(&cluster).await;
        let from = apply(&mut sink, &history, from, 100).await;
        let owner = cluster.primary_of(moving);
        let to = *cluster.primaries().iter().find(|node| **node != owner).unwrap();
        let mut open = cluster.open_slot(moving, owner, to);
        open.move_keys(if half { 4 } else { 1000 });
        let from = apply(&mut sink, &history, from, 40).await;
        if half {
            drop(sink);
            (sink, _) = again(&cluster).await;
            let from = sink.resumed().unwrap().offset();
            apply(&mut sink, &history, from, 60).await;
            open.finish();
        } else {
            open.finish();
            apply(&mut sink, &history, from, 40).await;
        }
        // Gone before the lanes have settled it.
        drop(sink);
    }
    let (mut sink, from) = again(&cluster).await;
    apply(&mut sink, &history, from, 900).await;
    sink.close().await.unwrap();
    for n in 0..900 {
        let (key, count) = if n < 9 { (format!("{{t}}num:{n}"), "100") } else { (format!("other:{n}"), "1") };
        assert_eq!(cluster.cmd(&["GET", &key]), redis::Value::BulkString(count.into()), "{key}");
    }
    remove_checkpoints(&seeds(&cluster), options(), &name()).await.unwrap();
    assert_eq!(keys_of_ours(&cluster), 0);
}
