use std::time::{Duration, Instant};

use rdts_testkit::{Cluster, key_slot};
use redis::Value;

/// One of each manner of forming a cluster, of resharding and of failing over.
const VERSIONS: [&str; 6] = ["redis-3.2", "redis-4.0", "redis-5.0", "redis-7.0", "redis-8.2", "valkey-9.1"];

fn at_once(test: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for name in VERSIONS {
            let test = &test;
            scope.spawn(move || test(name));
        }
    });
}

/// Keys of every slot from 0 to 99 in one cluster, named by their slot.
fn keys() -> Vec<String> {
    let mut found = vec![None; 100];
    (0..).map(|n| format!("key:{n}")).find(|key| {
        if let Some(place) = found.get_mut(usize::from(key_slot(key.as_bytes()))) {
            place.get_or_insert_with(|| key.clone());
        }
        found.iter().all(Option::is_some)
    });
    found.into_iter().flatten().collect()
}

#[test]
fn starts_quickly() {
    let start = Instant::now();
    let cluster = Cluster::start("redis-7.0", 3);
    let took = start.elapsed();
    eprintln!("{took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(cluster.primaries(), [0, 1, 2]);
    assert_eq!(cluster.url().matches("127.0.0.1:").count(), 3);
}

#[test]
fn every_version_reshards_and_fails_over() {
    at_once(|name| {
        let cluster = Cluster::builder(name, 3).replicas(1).start();
        let keys = keys();
        for key in &keys {
            cluster.cmd(&["SET", key, key]);
        }
        assert_eq!([0, 8000, 16_383].map(|slot| cluster.primary_of(slot)), [0, 1, 2], "{name}");
        cluster.migrate_slots(10..=49, 0, 1);
        assert_eq!((cluster.primary_of(9), cluster.primary_of(10), cluster.primary_of(50)), (0, 1, 0), "{name}");
        let mut open = cluster.open_slot(50, 0, 1);
        cluster.cmd(&["SET", "{key:50}", "x"]);
        assert_eq!(open.move_keys(1), 1, "{name}");
        // The other nodes still send clients to the old owner, which sends them on.
        assert_eq!(cluster.primary_of(50), 0, "{name}");
        assert_eq!(cluster.cmd(&["GET", &keys[50]]), Value::BulkString(keys[50].clone().into_bytes()), "{name}");
        open.finish();
        assert_eq!(cluster.primary_of(50), 1, "{name}");
        let promoted = cluster.failover(1);
        assert_eq!((promoted, cluster.primaries(), cluster.replicas_of(4)), (4, vec![0, 2, 4], vec![1]), "{name}");
        // What is not yet at the replica would be lost.
        cluster.server(3).wait_in_sync(cluster.server(0));
        assert_eq!(cluster.kill(0), 3, "{name}");
        for key in &keys {
            assert_eq!(cluster.cmd(&["GET", key]), Value::BulkString(key.clone().into_bytes()), "{name}");
        }
        cluster.restart(0);
        assert_eq!(cluster.replicas_of(3), [0], "{name}");
    });
}

#[test]
fn slots_move_atomically_where_the_server_can() {
    let cluster = Cluster::start("valkey-9.1", 2);
    let keys = keys();
    for key in &keys {
        cluster.cmd(&["SET", key, "value"]);
    }
    cluster.migrate_atomic(20..=60, 1);
    assert_eq!((cluster.primary_of(19), cluster.primary_of(20), cluster.primary_of(61)), (0, 1, 0));
    assert_eq!(cluster.server(1).cmd(&["GET", &keys[40]]), Value::BulkString(b"value".to_vec()));
    cluster.migrate_atomic(20..=60, 0);
    assert_eq!(cluster.server(1).cmd(&["DBSIZE"]), Value::Int(0));
}

#[test]
fn a_layout_may_have_holes() {
    let layout = [(0..=99, 1), (200..=16_383, 0)];
    let cluster = Cluster::builder("redis-6.2", 2).layout(&layout).full_coverage(false).start();
    assert_eq!((cluster.primary_of(0), cluster.primary_of(200)), (1, 0));
    assert!(std::panic::catch_unwind(|| cluster.primary_of(150)).is_err());
}

#[test]
fn a_password_is_asked_for_between_nodes_as_well() {
    for name in ["redis-5.0", "redis-7.0"] {
        let cluster = Cluster::builder(name, 2).replicas(1).arg("requirepass", "se\"cret").start();
        cluster.cmd(&["SET", "key", "value"]);
        let slot = key_slot(b"key");
        let owner = cluster.primary_of(slot);
        cluster.migrate_slots(slot..=slot, owner, 1 - owner);
        assert_eq!(cluster.cmd(&["GET", "key"]), Value::BulkString(b"value".to_vec()));
        assert!(cluster.url().starts_with("redis-cluster://:se%22cret@127.0.0.1:"));
    }
}
