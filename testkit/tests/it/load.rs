use std::time::Duration;

use rdts_testkit::{CompareOptions, Load, LoadOptions, Server, compare_with, digest};

use crate::server::on_every_server;

fn options(seed: u64, rate: u32) -> LoadOptions {
    let mut options = LoadOptions::default();
    options.seed = seed;
    options.rate = rate;
    options
}

/// All but the times, which differ by the replica's lag before Redis 7.0: a busy machine may make it long.
fn roughly() -> CompareOptions {
    let mut options = CompareOptions::default();
    options.time_tolerance = Duration::from_secs(60);
    options
}

/// The oracle's oracle: a server's own replica follows the load, from a full sync in the midst of it.
#[test]
fn a_native_replica_follows_it_on_every_version() {
    on_every_server(|name| {
        let primary = Server::start(name);
        let before = Load::run(&primary, options(1, 0), 3000);
        assert!((3000..3100).contains(&before.commands), "{name}: {before:?}");
        assert_eq!(before.errors, 0, "{name}");
        let replica = Server::start(name);
        let load = Load::start(&primary, options(2, 0));
        load.wait_for(500, Duration::from_secs(20));
        replica.replicate_without_waiting(&primary);
        replica.wait_until("the link to be up", Duration::from_secs(30), |replica| {
            replica.info("replication")["master_link_status"] == "up"
        });
        load.wait_for(3000, Duration::from_secs(20));
        let report = load.stop();
        assert!(report.kinds.len() > 50, "{name}: {:?}", report.kinds);
        replica.wait_in_sync(&primary);
        assert_eq!(compare_with(&primary, &replica, &roughly()), [], "{name}");
        // Keys that have expired count until they are removed, which each server does in its own time.
        replica
            .wait_until("the digests to agree", Duration::from_secs(20), |replica| digest(replica) == digest(&primary));
    });
}

/// What a version's commands do on a later version is the same: the load leaves out where it is not.
#[test]
fn a_native_replica_of_a_later_version_follows_it() {
    for (older, newer) in [("redis-2.8", "redis-7.0"), ("redis-5.0", "redis-7.0"), ("redis-7.0", "redis-8.2")] {
        let primary = Server::start(older);
        Load::run(&primary, options(8, 0), 5000);
        let replica = Server::start(newer);
        replica.replicate(&primary);
        Load::run(&primary, options(9, 0), 10_000);
        replica.wait_in_sync(&primary);
        assert_eq!(compare_with(&primary, &replica, &roughly()), [], "{older} and {newer}");
    }
}

#[test]
fn it_uses_what_the_version_has() {
    let kinds = |name: &str| Load::run(&Server::start(name), options(3, 0), 4000).kinds;
    let (old, new) = (kinds("redis-2.8"), kinds("redis-8.2"));
    for command in ["setrange", "rpush", "spop", "zadd", "hset", "pfadd", "eval", "multi", "move", "expire"] {
        assert!(old.contains(command) && new.contains(command), "{command}");
    }
    for command in ["geoadd", "unlink", "xadd", "xreadgroup", "copy", "fcall", "hpexpire", "swapdb"] {
        assert!(!old.contains(command) && new.contains(command), "{command}");
    }
}

#[test]
fn the_same_seed_gives_the_same_data() {
    let servers = ["redis-2.8", "redis-2.8"].map(Server::start);
    for server in &servers {
        Load::run(server, options(4, 0), 2000);
    }
    let [left, right] = &servers;
    let found = compare_with(left, right, &roughly());
    // What SPOP takes is the server's choice.
    let chosen = |key: &[u8]| key.starts_with(b"load:set:") || key.starts_with(b"load:ints:");
    assert_eq!(found.iter().find(|found| !chosen(&found.key)), None);
    assert!(left.info("keyspace").len() > 2);
}

#[test]
fn it_keeps_to_its_rate() {
    let server = Server::start("redis-7.0");
    let report = Load::run(&server, options(5, 1000), 500);
    let rate = report.commands as f64 / report.time.as_secs_f64();
    assert!((500.0..1200.0).contains(&rate), "{rate} commands a second: {report:?}");
}

#[test]
#[should_panic(expected = "commands were refused")]
fn a_load_that_is_refused_fails_the_test() {
    let server = Server::start("redis-7.0");
    let load = Load::start(&server, options(6, 0));
    load.wait_for(100, Duration::from_secs(20));
    server.cmd(&["CONFIG", "SET", "maxmemory", "1"]);
    load.wait_for(3000, Duration::from_secs(20));
    load.stop();
}

#[test]
#[should_panic(expected = "the load stands at")]
fn a_load_whose_server_dies_fails_the_test() {
    let server = Server::start("redis-7.0");
    let load = Load::start(&server, options(7, 0));
    server.kill();
    load.wait_for(1_000_000, Duration::from_secs(20));
}
