//! Live migrations under a write load.

use rdts_testkit::{FillOptions, Load, LoadOptions, Server, Signal, assert_same, digest, fill, wait_until};

use crate::support::{LONG, ends, migrate, summary, wait_until_live};

/// Migrates while a load with every type of value runs, stops, and compares.
fn migrates_live(from: &str, to: &str, seed: u64) {
    let source = Server::start(from);
    let target = Server::start(to);
    fill(&source, &FillOptions::mixed(3_000));
    let mut options = LoadOptions::default();
    options.seed = seed;
    let load = Load::start(&source, options);
    load.wait_for(500, LONG);
    let program = migrate(&["--from", &source.url(), "--to", &target.url()]);
    wait_until_live(&program);
    load.wait_for(4_000, LONG);
    load.stop();
    program.signal(Signal::Int);
    let finished = ends(program, 0);
    let summary = summary(&finished);
    assert_eq!((&summary["failed"], &summary["status"]), (&0.into(), &0.into()), "{summary}");
    assert!(summary["keys"].as_u64().unwrap() >= 3_000, "{summary}");
    assert_eq!(summary["ledger"]["balanced"], true, "{summary}");
    assert_same(&source, &target);
    // 2.8 has a form of HyperLogLogs that no later server makes from the same commands.
    if source.version().has_redis(5, 0) && source.version().digests_like(target.version()) {
        // A key that has expired counts until the server's own cycle removes it.
        wait_until("the digests to be equal", LONG, || digest(&source) == digest(&target));
    }
}

#[test]
fn redis_5_0_to_7_0() {
    migrates_live("redis-5.0", "redis-7.0", 50);
}

#[test]
fn redis_7_0_to_8_2() {
    migrates_live("redis-7.0", "redis-8.2", 70);
}

#[test]
fn redis_2_8_to_7_0() {
    migrates_live("redis-2.8", "redis-7.0", 28);
}

#[test]
fn valkey_9_1_to_itself() {
    migrates_live("valkey-9.1", "valkey-9.1", 91);
}

#[test]
fn redis_2_8_to_itself_where_restore_has_no_options() {
    migrates_live("redis-2.8", "redis-2.8", 29);
}

#[test]
fn a_replica_as_source() {
    let primary = Server::start("redis-7.0");
    let replica = Server::start("redis-7.0");
    fill(&primary, &FillOptions::mixed(500));
    replica.replicate(&primary);
    let target = Server::start("redis-7.0");
    let program = migrate(&["--from", &replica.url(), "--to", &target.url()]);
    wait_until_live(&program);
    Load::run(&primary, LoadOptions::default(), 2_000);
    replica.wait_in_sync(&primary);
    program.signal(Signal::Term);
    ends(program, 0);
    assert_same(&primary, &target);
}
