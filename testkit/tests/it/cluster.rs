use std::time::{Duration, Instant};

use rdts_testkit::{Cluster, DifferenceKind, FillOptions, Load, LoadOptions, Server, compare, fill, key_slot};
use redis::Value;

const SOON: Duration = Duration::from_secs(60);

/// One of each manner of forming a cluster, of resharding and of failing over.
const VERSIONS: [&str; 6] = ["redis-3.2", "redis-4.0", "redis-5.0", "redis-7.0", "redis-8.2", "valkey-9.1"];

fn at_once(names: &[&str], test: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for name in names {
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
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(cluster.primaries(), [0, 1, 2]);
    assert_eq!(cluster.url().matches("127.0.0.1:").count(), 3);
}

#[test]
fn every_version_reshards_and_fails_over() {
    at_once(&VERSIONS, |name| {
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

fn quickly(seed: u64) -> LoadOptions {
    let mut options = LoadOptions::cluster();
    options.seed = seed;
    options.rate = 0;
    options
}

#[test]
fn a_load_goes_on_through_resharding_and_fail_over() {
    at_once(&["redis-3.2", "redis-7.0", "valkey-9.1"], |name| {
        let cluster = Cluster::builder(name, 3).replicas(1).start();
        fill(&cluster, &FillOptions::mixed(300));
        let load = Load::start(&cluster, quickly(1));
        load.wait_for(500, SOON);
        // A few of its slots: there is one key tag in about 160 slots.
        cluster.migrate_slots(0..=400, 0, 1);
        load.wait_for(500, SOON);
        let promoted = cluster.failover(1);
        load.wait_for(500, SOON);
        assert_eq!((promoted, cluster.kill(2)), (4, 5), "{name}");
        load.wait_for(500, SOON);
        let report = load.stop();
        assert!(report.kinds.len() > 40, "{name}: {report:?}");
    });
}

/// A key in the wrong place, twice, missing, or another: and the same data in clusters of other layouts is the same.
#[test]
fn clusters_and_servers_are_compared() {
    let left = Cluster::start("redis-7.0", 3);
    let right = Cluster::builder("redis-7.0", 2).layout(&[(0..=99, 1), (100..=16_383, 0)]).start();
    let single = Server::start("redis-7.0");
    let mut data = FillOptions::mixed(600);
    data.strings = 500;
    fill(&left, &data);
    fill(&right, &data);
    assert_eq!(compare(&left, &right), []);
    // What the single one has in other databases is in the first.
    let strings = FillOptions::strings(500);
    let other = Cluster::builder("redis-7.0", 1).start();
    fill(&other, &strings);
    fill(&single, &strings);
    assert_eq!(compare(&single, &other), []);
    assert_eq!(compare(&other, &single), []);

    let kinds = |found: Vec<rdts_testkit::Difference>| found.into_iter().map(|one| one.kind).collect::<Vec<_>>();
    let keys = keys();
    left.cmd(&["SET", &keys[7], "value"]);
    assert_eq!(kinds(compare(&left, &right)), [DifferenceKind::Missing]);
    assert_eq!(kinds(compare(&right, &left)), [DifferenceKind::Extra]);
    right.cmd(&["SET", &keys[7], "other"]);
    assert_eq!(kinds(compare(&left, &right)), [DifferenceKind::Value]);
    right.cmd(&["SET", &keys[7], "value"]);
    // In the midst of a move both nodes have keys of the slot, and all is well.
    right.cmd(&["SET", &format!("{{{}}}2", keys[7]), "value"]);
    left.cmd(&["SET", &format!("{{{}}}2", keys[7]), "value"]);
    let mut open = right.open_slot(7, 1, 0);
    assert_eq!(open.move_keys(1), 1);
    assert_eq!(compare(&left, &right), []);
    open.finish();
    assert_eq!(compare(&left, &right), []);
    // A node that has a slot no more can be left with a key of it.
    right.server(1).cmd(&["CLUSTER", "SETSLOT", "7", "IMPORTING", right.id(0)]);
    let mut stray = right.server(1).connection();
    redis::pipe().cmd("ASKING").cmd("SET").arg(&keys[7]).arg("old").exec(&mut stray).unwrap();
    assert_eq!(kinds(compare(&left, &right)), [DifferenceKind::Twice]);
    right.server(1).cmd(&["CLUSTER", "SETSLOT", "7", "STABLE"]);
    assert_eq!(kinds(compare(&left, &right)), [DifferenceKind::Misplaced]);
}

#[test]
fn several_servers_are_one_side() {
    let servers = [Server::start("redis-6.2"), Server::start("redis-6.2")];
    let cluster = Cluster::start("redis-7.0", 1);
    for (number, server) in servers.iter().enumerate() {
        let mut options = LoadOptions::default();
        options.prefix = format!("load{number}");
        options.dbs = vec![0];
        options.rate = 0;
        Load::run(server, options, 500);
        server.cmd(&["DEL", "load"]);
    }
    let found = compare(&servers, &cluster);
    let keys = |server: &Server| match server.cmd(&["DBSIZE"]) {
        Value::Int(count) => usize::try_from(count).unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(!found.is_empty() && found.iter().all(|one| one.kind == DifferenceKind::Missing), "{found:?}");
    assert!(found.len() <= keys(&servers[0]) + keys(&servers[1]));
    servers.iter().for_each(|server| drop(server.cmd(&["SET", "both", "x"])));
    assert!(compare(&servers, &cluster).iter().any(|one| one.kind == DifferenceKind::Twice && one.key == b"both"));
}
