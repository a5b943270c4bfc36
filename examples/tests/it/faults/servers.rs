//! Servers that die, come back, are replaced, or have no room; a disk that is full.

use rdts_testkit::{Cluster, Sentinel, Server, key_slot};

use super::{KEYS, ends_with};
use crate::crash::trial::{Place, Trial, crash, server};
use crate::support::LONG;

/// From Redis 7.0 a primary that was stopped in an orderly way lets its replicas go on.
#[test]
fn the_source_restarts_with_its_data() {
    let source = Server::builder("redis-7.0").arg("save", "3600 1").arg("repl-backlog-size", "64mb").start();
    let mut trial = Trial::new(Place::Server(source), server("redis-7.0"), KEYS, 510);
    let program = trial.start(&[]);
    trial.wait_until_live(&program, 100);
    // The load is for a server that stays.
    trial.quiet();
    trial.wait_until_caught_up(&program);
    trial.source.server().restart();
    trial.write();
    trial.wait_until_caught_up(&program);
    trial.stop_and_finish(program);
    assert_eq!(trial.full_syncs(), 0, "it has to go on, not to begin again");
}

/// It is another one then, without a key, and that must not be made of the target silently.
#[test]
fn the_source_restarts_without_its_data() {
    let mut trial = Trial::new(server("redis-7.0"), server("redis-7.0"), KEYS, 520);
    let program = trial.start(&[]);
    trial.wait_until_live(&program, 100);
    trial.quiet();
    trial.wait_until_caught_up(&program);
    let keys = trial.target.keys();
    trial.source.server().kill();
    trial.source.server().restart();
    let why = "does not know the history";
    ends_with(program, 4, why);
    // But for what expires.
    assert!(trial.target.keys() + 20 > keys, "the target has what it had");
    ends_with(trial.start(&[]), 4, why);
    assert!(trial.target.keys() + 20 > keys);
    trial.write();
    trial.more = ["--on-lost", "restart"].map(str::to_owned).to_vec();
    trial.finish();
}

/// A promotion by Sentinels loses what has not reached the replica, so nothing is written while that happens.
#[test]
fn a_replica_of_the_source_is_promoted_while_the_migration_is_down() {
    let sentinel = Sentinel::builder("redis-7.0").replicas(1).arg("repl-backlog-size", "64mb").start();
    let mut trial = Trial::new(Place::Sentinel(sentinel), server("redis-7.0"), KEYS, 530);
    let program = trial.start(&[]);
    trial.wait_until_live(&program, 100);
    crash(program);
    trial.load().wait_for(100, LONG);
    trial.quiet();
    trial.source.sentinel().wait_ok();
    trial.source.sentinel().kill_primary();
    trial.write();
    let program = trial.start(&[]);
    trial.wait_until_caught_up(&program);
    trial.load().wait_for(100, LONG);
    trial.stop_and_finish(program);
    assert_eq!(trial.full_syncs(), 0, "the promoted one has to go on under the old history's name");
}

#[test]
fn a_replica_of_the_source_is_promoted_while_the_migration_runs() {
    let sentinel = Sentinel::builder("redis-7.0").replicas(1).arg("repl-backlog-size", "64mb").start();
    let mut trial = Trial::new(Place::Sentinel(sentinel), server("redis-7.0"), KEYS, 540);
    let program = trial.start(&[]);
    trial.wait_until_live(&program, 100);
    trial.quiet();
    trial.source.sentinel().wait_ok();
    trial.source.sentinel().kill_primary();
    trial.write();
    trial.wait_until_caught_up(&program);
    trial.stop_and_finish(program);
    assert_eq!(trial.full_syncs(), 0);
}

/// The promoted one may lack what the killed one had confirmed, and gets it again.
#[test]
fn the_target_fails_over_by_sentinels() {
    let target = Sentinel::builder("redis-7.0").replicas(1).start();
    let mut trial = Trial::new(server("redis-7.0"), Place::Sentinel(target), KEYS, 550);
    let program = trial.start(&[]);
    trial.wait_until_live(&program, 300);
    trial.target.sentinel().kill_primary();
    trial.load().wait_for(100, LONG);
    trial.wait_until_caught_up(&program);
    trial.stop_and_finish(program);
    assert_eq!(trial.full_syncs(), 1);
}

/// The same, and the tool dies as well.
#[test]
fn the_target_fails_over_while_the_migration_is_down() {
    let target = Sentinel::builder("redis-7.0").replicas(1).start();
    let mut trial = Trial::new(server("redis-7.0"), Place::Sentinel(target), KEYS, 560);
    let program = trial.start(&[]);
    trial.wait_until_live(&program, 300);
    crash(program);
    trial.target.sentinel().kill_primary();
    trial.finish();
    assert_eq!(trial.full_syncs(), 1);
}

#[test]
fn a_node_of_the_target_cluster_fails_over() {
    let target = Cluster::builder("redis-7.0", 3).replicas(1).start();
    let mut trial = Trial::new(server("redis-7.0"), Place::Cluster(target), KEYS, 570);
    let program = trial.start(&[]);
    trial.wait_until_live(&program, 300);
    let busy = trial.target.cluster().primary_of(key_slot(b"{load:1}"));
    trial.target.cluster().kill(busy);
    trial.load().wait_for(100, LONG);
    trial.wait_until_caught_up(&program);
    trial.stop_and_finish(program);
    assert_eq!(trial.full_syncs(), 1);
}

#[test]
fn the_target_is_out_of_memory() {
    let mut trial = Trial::new(server("redis-7.0"), server("redis-7.0"), KEYS, 580);
    let target = trial.target.server();
    for phase in ["snapshot", "stream"] {
        let program = trial.start(&[]);
        if phase == "stream" {
            trial.wait_until_live(&program, 100);
        }
        let used: u64 = target.info("memory")["used_memory"].parse().unwrap();
        target.cmd(&["CONFIG", "SET", "maxmemory", &(used + 200_000).to_string()]);
        ends_with(program, 4, "OOM");
        target.cmd(&["CONFIG", "SET", "maxmemory", "0"]);
    }
    trial.load().wait_for(100, LONG);
    trial.finish();
    // The first time there may not have been room for anything, so that nothing was lost.
    assert!(trial.full_syncs() <= 2);
}

/// A limit on the size of files stands in for a full disk, which takes root's rights.
#[test]
fn there_is_no_room_for_the_spool() {
    let mut trial = Trial::new(server("redis-7.0"), server("redis-7.0"), KEYS, 590);
    // The limit is in blocks of 512 bytes; without the trap the process would be killed.
    trial.under = ["sh", "-c", "trap '' XFSZ; ulimit -f 4000; exec \"$0\" \"$@\""].map(str::to_owned).to_vec();
    ends_with(trial.start(&[]), 4, "spool");
    trial.under.clear();
    trial.load().wait_for(100, LONG);
    trial.finish();
}

/// All that matters is in the target.
#[test]
fn the_state_directory_is_lost() {
    let mut trial = Trial::new(server("redis-7.0"), server("redis-7.0"), KEYS, 600);
    for _ in 0..2 {
        let program = trial.start(&[]);
        trial.wait_until_live(&program, 300);
        crash(program);
        std::fs::remove_dir_all(trial.state()).unwrap();
        trial.load().wait_for(100, LONG);
    }
    trial.finish();
    assert_eq!(trial.full_syncs(), 1);
}
