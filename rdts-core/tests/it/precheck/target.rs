//! Whether the target takes writes, keeps them, and has room.

use std::fs;

use rdts_core::precheck::Verdict;
use rdts_testkit::{Server, free_port};

use super::{Case, LONG, all, plan};

fn set(server: &Server, name: &str, value: &str) {
    server.cmd(&["CONFIG", "SET", name, value]);
}

#[tokio::test]
async fn what_keeps_a_target_from_being_written_to_is_found() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    let value = "x".repeat(100_000);
    for key in 0..30 {
        source.cmd(&["SET", &format!("k{key}"), &value]);
    }
    let plan = plan(&source.url(), &target.url());
    let cases = [
        Case {
            check: "target-writable",
            result: Verdict::Fail,
            words: "is a replica",
            wrong: &|_, target| drop(target.cmd(&["SLAVEOF", "127.0.0.1", &free_port().to_string()])),
            remedy: &|_, target| target.promote(),
        },
        Case {
            check: "target-writable",
            result: Verdict::Fail,
            words: "fewer than 1 replicas",
            wrong: &|_, target| set(target, "min-replicas-to-write", "1"),
            remedy: &|_, target| set(target, "min-replicas-to-write", "0"),
        },
        Case {
            check: "target-persistence",
            result: Verdict::Warn,
            words: "appendfsync always",
            wrong: &|_, target| {
                set(target, "appendfsync", "always");
                set(target, "appendonly", "yes");
            },
            remedy: &|_, target| set(target, "appendonly", "no"),
        },
        Case {
            check: "target-writable",
            result: Verdict::Fail,
            words: "MISCONF",
            wrong: &|_, target| {
                // A folder is in the way of the file.
                fs::create_dir_all(target.dir().join("dump.rdb/x")).unwrap();
                set(target, "save", "900 1");
                target.cmd(&["BGSAVE"]);
                target.wait_until("the snapshot to fail", LONG, |target| {
                    target.info("persistence")["rdb_last_bgsave_status"] == "err"
                });
            },
            remedy: &|_, target| set(target, "stop-writes-on-bgsave-error", "no"),
        },
        Case {
            check: "target-memory",
            result: Verdict::Fail,
            words: "of its maxmemory left",
            wrong: &|_, target| set(target, "maxmemory", "3mb"),
            remedy: &|_, target| set(target, "maxmemory", "100mb"),
        },
        Case {
            check: "target-eviction",
            result: Verdict::Warn,
            words: "allkeys-lru",
            wrong: &|_, target| set(target, "maxmemory-policy", "allkeys-lru"),
            remedy: &|_, target| set(target, "maxmemory-policy", "noeviction"),
        },
        Case {
            check: "target-eviction",
            result: Verdict::Fail,
            words: "lost silently",
            wrong: &|_, target| {
                set(target, "maxmemory", "3mb");
                set(target, "maxmemory-policy", "volatile-ttl");
            },
            remedy: &|_, target| set(target, "maxmemory", "0"),
        },
    ];
    all(&source, &target, &plan, &cases).await;
}

#[tokio::test]
async fn memory_is_looked_at_where_old_servers_tell_it() {
    let (source, target) = (Server::start("redis-2.8"), Server::start("redis-2.8"));
    let value = "x".repeat(100_000);
    for key in 0..30 {
        source.cmd(&["SET", &format!("k{key}"), &value]);
    }
    let cases = [
        Case {
            check: "target-memory",
            result: Verdict::Fail,
            words: "of its maxmemory left",
            wrong: &|_, target| set(target, "maxmemory", "3000000"),
            remedy: &|_, target| set(target, "maxmemory", "100000000"),
        },
        Case {
            check: "target-eviction",
            result: Verdict::Warn,
            words: "allkeys-lru",
            wrong: &|_, target| set(target, "maxmemory-policy", "allkeys-lru"),
            remedy: &|_, target| set(target, "maxmemory-policy", "noeviction"),
        },
    ];
    all(&source, &target, &plan(&source.url(), &target.url()), &cases).await;
}
