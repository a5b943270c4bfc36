//! Live migrations between deployments of several nodes, while slots move and nodes fail over.

use std::ops::RangeInclusive;

use rdts_testkit::{
    Cluster, Deployment, FillOptions, Load, LoadOptions, Sentinel, Server, Signal, assert_same, fill, key_slot,
};

use crate::support::{LONG, ends, migrate, summary, wait_until_live};

/// Migrates, lets each of `events` happen, the first of them without a load and the others under one, stops, and compares.
fn migrates<'a>(
    source: impl Into<Deployment<'a>>,
    target: impl Into<Deployment<'a>>,
    urls: (&str, &str),
    quiet: impl FnOnce(),
    under_load: &[&dyn Fn()],
) {
    let (source, target) = (source.into(), target.into());
    fill(source.clone(), &FillOptions::mixed(2_000).in_one_database());
    let mut options = LoadOptions::cluster();
    options.rate = 1_000;
    let load = Load::start(source.clone(), options.clone());
    load.wait_for(500, LONG);
    let program = migrate(&["--from", urls.0, "--to", urls.1]);
    wait_until_live(&program);
    load.wait_for(1_000, LONG);
    load.stop();
    quiet();
    options.seed += 1;
    let load = Load::start(source.clone(), options);
    for event in under_load {
        load.wait_for(500, LONG);
        event();
    }
    load.wait_for(1_000, LONG);
    load.stop();
    program.signal(Signal::Int);
    let summary = summary(&ends(program, 0));
    assert_eq!((&summary["failed"], &summary["status"]), (&0.into(), &0.into()), "{summary}");
    assert_same(source, target);
}

/// Moves a range of slots to another primary.
fn reshard(cluster: &Cluster, slots: RangeInclusive<u16>) {
    let from = cluster.primary_of(*slots.start());
    let to = *cluster.primaries().iter().find(|node| **node != from).unwrap();
    cluster.migrate_slots(slots, from, to);
}

/// Moves slots to another primary, and all of them back: a source must not do that faster than the copy follows, a target may.
fn reshard_there_and_back(cluster: &Cluster) {
    reshard(cluster, busy_slots());
    reshard(cluster, busy_slots());
}

/// Slots that the load is writing to.
fn busy_slots() -> RangeInclusive<u16> {
    let slot = key_slot(b"{load:1}").min(16_000);
    slot..=slot + 300
}

/// Fewer of them: Valkey has its replicas confirm each step.
fn few_busy_slots() -> RangeInclusive<u16> {
    let slot = *busy_slots().start();
    slot..=slot + 20
}

/// Promotes a replica of the primary that has most to do.
fn fail_over(cluster: &Cluster) {
    cluster.failover(cluster.primary_of(*busy_slots().start()));
}

/// Kills that primary.
fn kill(cluster: &Cluster) {
    cluster.kill(cluster.primary_of(*busy_slots().start()));
}

/// Three uneven parts, none of which is one of the even layout.
pub(crate) fn other_layout() -> [(RangeInclusive<u16>, usize); 4] {
    [(0..=999, 2), (1000..=9000, 0), (9001..=12000, 1), (12001..=16383, 2)]
}

#[test]
fn a_cluster_to_a_cluster_of_another_layout_while_both_are_resharded_and_fail_over() {
    let source = Cluster::builder("redis-7.0", 3).replicas(1).start();
    let target = Cluster::builder("redis-7.0", 3).replicas(1).layout(&other_layout()).start();
    migrates(
        &source,
        &target,
        (&source.url(), &target.url()),
        || {},
        &[
            &|| reshard_there_and_back(&target),
            &|| reshard(&source, busy_slots()),
            &|| fail_over(&source),
            &|| fail_over(&target),
            &|| kill(&target),
        ],
    );
}

#[test]
fn a_server_to_a_cluster_that_is_resharded_and_fails_over() {
    let source = Server::start("redis-7.0");
    let target = Cluster::builder("redis-7.0", 3).replicas(1).start();
    let url = (&*source.url(), &*target.url());
    migrates(&source, &target, url, || {}, &[&|| reshard_there_and_back(&target), &|| kill(&target)]);
}

#[test]
fn a_cluster_that_is_resharded_and_fails_over_to_a_server() {
    let source = Cluster::builder("valkey-9.1", 3).replicas(1).start();
    let target = Server::start("valkey-9.1");
    let url = (&*source.url(), &*target.url());
    migrates(&source, &target, url, || {}, &[&|| reshard(&source, few_busy_slots()), &|| fail_over(&source)]);
}

/// A promotion by Sentinels loses what has not reached the replica, so nothing is written while that happens.
#[test]
fn what_sentinels_watch_over_to_a_cluster() {
    let source = Sentinel::builder("redis-7.0").replicas(1).start();
    let target = Cluster::builder("redis-7.0", 3).replicas(1).start();
    let url = (&*source.url(), &*target.url());
    migrates(
        &source,
        &target,
        url,
        || {
            source.kill_primary();
        },
        &[&|| reshard_there_and_back(&target), &|| fail_over(&target)],
    );
}
