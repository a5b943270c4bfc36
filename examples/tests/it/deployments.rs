//! Live migrations between deployments of several nodes, while slots move and nodes fail over.

use std::ops::RangeInclusive;

use rdts_testkit::{
    Cluster, Deployment, FillOptions, Load, LoadOptions, Sentinel, Server, Signal, assert_same, fill, key_slot,
};

use crate::support::{LONG, ends, migrate, summary, wait_until_live};

/// Migrates under a load, lets `events` happen meanwhile, stops, and compares.
fn migrates<'a>(
    source: impl Into<Deployment<'a>>,
    target: impl Into<Deployment<'a>>,
    urls: (&str, &str),
    events: impl FnOnce(&Load),
) {
    let (source, target) = (source.into(), target.into());
    fill(source.clone(), &FillOptions::mixed(2_000).in_one_database());
    let mut options = LoadOptions::cluster();
    options.rate = 1_000;
    let load = Load::start(source.clone(), options);
    load.wait_for(500, LONG);
    let program = migrate(&["--from", urls.0, "--to", urls.1]);
    wait_until_live(&program);
    load.wait_for(1_000, LONG);
    events(&load);
    load.wait_for(1_000, LONG);
    load.stop();
    program.signal(Signal::Int);
    let summary = summary(&ends(program, 0));
    assert_eq!((&summary["failed"], &summary["status"]), (&0.into(), &0.into()), "{summary}");
    assert_same(source, target);
}

/// Moves a range of slots to another primary, and a part of it back.
fn reshard(cluster: &Cluster, slots: RangeInclusive<u16>) {
    let from = cluster.primary_of(*slots.start());
    let to = *cluster.primaries().iter().find(|node| **node != from).unwrap();
    cluster.migrate_slots(slots.clone(), from, to);
    let back = *slots.start()..=*slots.start() + (*slots.end() - *slots.start()) / 3;
    cluster.migrate_slots(back, to, from);
}

/// Slots that the load is writing to.
fn busy_slots() -> RangeInclusive<u16> {
    let slot = key_slot(b"{load:1}").min(16_000);
    slot..=slot + 300
}

/// Three uneven parts, none of which is one of the even layout.
fn other_layout() -> [(RangeInclusive<u16>, usize); 4] {
    [(0..=999, 2), (1000..=9000, 0), (9001..=12000, 1), (12001..=16383, 2)]
}

#[test]
fn a_cluster_to_a_cluster_of_another_layout_while_both_are_resharded_and_fail_over() {
    let source = Cluster::builder("redis-7.0", 3).replicas(1).start();
    let target = Cluster::builder("redis-7.0", 3).replicas(1).layout(&other_layout()).start();
    migrates(&source, &target, (&source.url(), &target.url()), |load| {
        reshard(&target, busy_slots());
        load.wait_for(500, LONG);
        reshard(&source, busy_slots());
        load.wait_for(500, LONG);
        source.failover(source.primary_of(*busy_slots().start()));
        load.wait_for(500, LONG);
        target.failover(target.primary_of(*busy_slots().start()));
        load.wait_for(500, LONG);
        target.kill(target.primary_of(0));
    });
}

#[test]
fn a_server_to_a_cluster_that_is_resharded_and_fails_over() {
    let source = Server::start("redis-6.2");
    let target = Cluster::builder("redis-7.0", 3).replicas(1).start();
    migrates(&source, &target, (&source.url(), &target.url()), |load| {
        reshard(&target, busy_slots());
        load.wait_for(500, LONG);
        target.kill(target.primary_of(*busy_slots().start()));
    });
}

#[test]
fn a_cluster_that_is_resharded_and_fails_over_to_a_server() {
    let source = Cluster::builder("valkey-9.1", 3).replicas(1).start();
    let target = Server::start("valkey-9.1");
    migrates(&source, &target, (&source.url(), &target.url()), |load| {
        reshard(&source, busy_slots());
        load.wait_for(500, LONG);
        let to = *source.primaries().iter().find(|node| **node != source.primary_of(0)).unwrap();
        source.migrate_atomic(0..=500, to);
        load.wait_for(500, LONG);
        source.failover(source.primary_of(*busy_slots().start()));
    });
}

#[test]
fn what_sentinels_watch_over_to_a_cluster() {
    let source = Sentinel::builder("redis-7.0").replicas(1).start();
    let target = Cluster::builder("redis-7.0", 3).replicas(1).start();
    migrates(&source, &target, (&source.url(), &target.url()), |load| {
        reshard(&target, busy_slots());
        load.wait_for(500, LONG);
        source.failover();
        load.wait_for(500, LONG);
        target.failover(target.primary_of(*busy_slots().start()));
    });
}
