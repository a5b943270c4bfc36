use rdts_testkit::{CompareOptions, FillOptions, Server, compare_with, digest, fill};

use crate::server::on_every_server;

fn mixed_and_strings() -> FillOptions {
    let mut options = FillOptions::mixed(800);
    options.strings = 2000;
    options
}

#[test]
fn a_native_replica_of_the_same_version_is_the_same() {
    on_every_server(|name| {
        let primary = Server::start(name);
        let report = fill(&primary, &mixed_and_strings());
        assert_eq!(report.keys, 2800, "{name}");
        assert!(report.elements > 2000 + 800 * 35, "{name}: {report:?}");
        let replica = Server::start(name);
        replica.replicate(&primary);
        let mut strictly = CompareOptions::default();
        strictly.idle_stream_state = true;
        assert_eq!(compare_with(&primary, &replica, &strictly), [], "{name}");
        assert_eq!(digest(&primary), digest(&replica), "{name}");
    });
}

#[test]
fn the_same_seed_gives_the_same_data() {
    let servers = ["redis-6.2", "redis-6.2", "redis-7.0"].map(Server::start);
    for server in &servers {
        fill(server, &mixed_and_strings());
    }
    let digests = servers.each_ref().map(digest);
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
    let mut other = mixed_and_strings();
    other.seed = 2;
    let server = Server::start("redis-6.2");
    fill(&server, &other);
    assert_ne!(digest(&server), digests[0]);
}

#[test]
fn every_encoding_is_there() {
    let expected: [(&str, &[&str]); 3] = [
        ("redis-2.8", &["raw", "int", "linkedlist", "ziplist", "hashtable", "intset", "skiplist"]),
        ("redis-6.2", &["raw", "embstr", "int", "quicklist", "ziplist", "hashtable", "intset", "skiplist", "stream"]),
        (
            "redis-8.2",
            &[
                "raw",
                "embstr",
                "int",
                "quicklist",
                "listpack",
                "listpackex",
                "hashtable",
                "intset",
                "skiplist",
                "stream",
            ],
        ),
    ];
    for (name, encodings) in expected {
        let server = Server::start(name);
        fill(&server, &FillOptions::mixed(3000));
        let script = "local seen = {} for _, key in ipairs(redis.call('KEYS', '*')) do \
                      seen[redis.call('OBJECT', 'ENCODING', key)] = 1 end \
                      local names = {} for name in pairs(seen) do names[#names + 1] = name end return names";
        let seen: Vec<String> = redis::from_redis_value(server.cmd(&["EVAL", script, "0"])).unwrap();
        for encoding in encodings {
            assert!(seen.iter().any(|name| name == encoding), "{name} has no {encoding} but {seen:?}");
        }
    }
}
