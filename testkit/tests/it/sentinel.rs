use std::time::Duration;

use rdts_testkit::{Load, LoadOptions, Sentinel};
use redis::Value;

const SOON: Duration = Duration::from_secs(60);

fn at_once(names: &[&str], test: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for name in names {
            let test = &test;
            scope.spawn(move || test(name));
        }
    });
}

#[test]
fn sentinels_promote_a_replica_when_asked() {
    at_once(&["redis-3.2", "redis-7.0", "valkey-9.1"], |name| {
        let sentinel = Sentinel::builder(name).replicas(2).service("orders").start();
        assert_eq!(sentinel.primary(), 0, "{name}");
        sentinel.server(0).cmd(&["SET", "key", "value"]);
        (1..=2).for_each(|replica| sentinel.server(replica).wait_in_sync(sentinel.server(0)));
        let promoted = sentinel.failover();
        assert_ne!(promoted, 0, "{name}");
        assert_eq!(sentinel.primary(), promoted, "{name}");
        assert_eq!(sentinel.server(promoted).cmd(&["GET", "key"]), Value::BulkString(b"value".to_vec()), "{name}");
    });
}

#[test]
fn sentinels_promote_a_replica_when_the_primary_dies() {
    at_once(&["redis-5.0", "redis-8.2"], |name| {
        let sentinel = Sentinel::start(name);
        sentinel.server(0).cmd(&["SET", "key", "value"]);
        sentinel.server(1).wait_in_sync(sentinel.server(0));
        let load = Load::start(&sentinel, LoadOptions::cluster());
        load.wait_for(500, SOON);
        assert_eq!(sentinel.kill_primary(), 1, "{name}");
        load.wait_for(500, SOON);
        load.stop();
        assert_eq!(sentinel.server(1).cmd(&["GET", "key"]), Value::BulkString(b"value".to_vec()), "{name}");
        // They take it back as a replica.
        sentinel.server(0).restart();
        sentinel.server(0).wait_for_role("slave");
        sentinel.wait_ok();
    });
}

#[test]
fn a_password_is_given_by_the_sentinels_as_well() {
    let sentinel = Sentinel::builder("redis-6.2").sentinels(1).arg("requirepass", "se\"cret").start();
    let (port, nodes) = (sentinel.sentinels()[0].port(), sentinel.nodes().len());
    assert_eq!(sentinel.url(), format!("redis-sentinel://:se%22cret@127.0.0.1:{port}/?service=mymaster"));
    assert_eq!((sentinel.failover(), nodes), (1, 2));
}
