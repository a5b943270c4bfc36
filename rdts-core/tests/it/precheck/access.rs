//! What users may do, and which commands servers have.

use rdts_core::precheck::{Verdict, run};
use rdts_testkit::{Cluster, Server};

use super::{expect, plan, report};

fn as_user(server: &Server) -> String {
    format!("redis://u:pw@{}", server.addr())
}

#[tokio::test]
async fn a_source_that_does_not_let_itself_be_replicated_is_told() {
    let target = Server::start("redis-7.0");
    // PSYNC is tried in two ways: before Redis 6.2 and after.
    for name in ["redis-6.0", "redis-6.2", "redis-8.10", "valkey-9.1"] {
        let source = Server::start(name);
        source.cmd(&["SET", "k", "v"]);
        source.cmd(&["ACL", "SETUSER", "u", "on", ">pw", "~*", "+@all", "-psync"]);
        let url = as_user(&source);
        expect(&report(&url, &target.url()).await, "source-replication", Verdict::Warn, "may not PSYNC");
        let no_scan = plan(&url, &target.url()).scan(false);
        expect(&run(&no_scan).await, "source-replication", Verdict::Fail, "may not PSYNC");
        source.cmd(&["ACL", "SETUSER", "u", "+psync", "-replconf"]);
        expect(&run(&no_scan).await, "source-replication", Verdict::Fail, "may not REPLCONF");
        source.cmd(&["ACL", "SETUSER", "u", "+replconf"]);
        expect(&run(&no_scan).await, "source-replication", Verdict::Pass, "");
        // No replica came of it.
        assert_eq!(source.info("replication")["connected_slaves"], "0", "{name}");
        assert_eq!(source.info("stats")["sync_full"], "0", "{name}");
    }
    let managed = Server::builder("redis-5.0").arg("rename-command", "PSYNC \"\"").start();
    expect(&report(&managed.url(), &target.url()).await, "source-replication", Verdict::Warn, "has no PSYNC");
}

#[tokio::test]
async fn what_a_source_does_not_tell_is_no_pass() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    source.cmd(&["ACL", "SETUSER", "u", "on", ">pw", "~*", "+ping", "+psync", "+replconf"]);
    let url = as_user(&source);
    let blind = report(&url, &target.url()).await;
    expect(&blind, "source-permissions", Verdict::Warn, "INFO, CONFIG GET");
    expect(&blind, "source-replication", Verdict::Pass, "");
    for name in [
        "source-version",
        "version-order",
        "different-servers",
        "databases",
        "data-types",
        "hash-field-expiry",
        "modules",
        "functions",
        "big-keys",
        "restricted-commands",
        "target-memory",
        "source-output-buffer",
        "source-backlog",
        "source-timeout",
        "source-snapshot",
        "source-memory",
        "clock",
        "duration",
    ] {
        expect(&blind, name, Verdict::Warn, "");
    }
    source.cmd(&["ACL", "SETUSER", "u", "+@all"]);
    expect(&report(&url, &target.url()).await, "source-permissions", Verdict::Pass, "");
}

#[tokio::test]
async fn what_the_targets_user_lacks_is_found_without_doing_it() {
    for name in ["redis-6.0", "redis-7.0", "redis-8.10", "valkey-9.1"] {
        let (source, target) = (Server::start("redis-7.0"), Server::start(name));
        source.cmd(&["SET", "k", "v"]);
        let mut to = plan(&source.url(), &as_user(&target));
        for (rules, result, words) in [
            ("~* +@all -rpush", Verdict::Fail, "RPUSH"),
            ("~* +@all -geoadd", Verdict::Warn, "GEOADD"),
            ("~* +@read +@write +@connection +@transaction +info", Verdict::Warn, ""),
            ("~app:* +@all", Verdict::Fail, "RESTORE"),
            ("~* +ping", Verdict::Warn, "cannot be checked"),
            ("~* +@all -multi", Verdict::Warn, "only within MULTI"),
            ("~* +@all", Verdict::Pass, ""),
        ] {
            let rules: Vec<&str> =
                ["ACL", "SETUSER", "u", "reset", "on", ">pw"].into_iter().chain(rules.split(' ')).collect();
            target.cmd(&rules);
            expect(&run(&to).await, "target-permissions", result, words);
        }
        // A command that clients of the source use is needed.
        target.cmd(&["ACL", "SETUSER", "u", "-geoadd", "-lpop"]);
        source.cmd(&["RPUSH", "l", "1", "2"]);
        source.cmd(&["BLPOP", "l", "1"]);
        expect(&run(&to).await, "target-permissions", Verdict::Fail, "LPOP");
        source.cmd(&["DEL", "l"]);
        target.cmd(&["ACL", "SETUSER", "u", "+lpop", "+geoadd", "-watch"]);
        expect(&run(&to).await, "target-permissions", Verdict::Warn, "WATCH");
        to = to.checkpoints(true);
        expect(&run(&to).await, "target-permissions", Verdict::Fail, "WATCH");
        target.cmd(&["ACL", "SETUSER", "u", "+watch", "-multi"]);
        expect(&run(&to).await, "target-permissions", Verdict::Fail, "MULTI");
        assert_eq!(target.info("keyspace").len(), 0, "{name}");
    }
}

#[tokio::test]
async fn every_node_of_a_cluster_is_tried_with_keys_of_its_own() {
    let (source, cluster) = (Server::start("redis-7.0"), Cluster::start("redis-7.0", 2));
    for node in cluster.nodes() {
        node.cmd(&["ACL", "SETUSER", "u", "on", ">pw", "~*", "+@all"]);
    }
    let url = cluster.url().replace("redis-cluster://", "redis-cluster://u:pw@");
    for name in ["target-permissions", "target-commands", "target-writable"] {
        expect(&report(&source.url(), &url).await, name, Verdict::Pass, "");
    }
    cluster.server(1).cmd(&["ACL", "SETUSER", "u", "-eval"]);
    let denied = report(&source.url(), &url).await;
    expect(&denied, "target-permissions", Verdict::Fail, "EVAL");
    assert!(denied.check("target-permissions").unwrap().seen.contains(&cluster.server(1).addr()), "{denied}");
}

#[tokio::test]
async fn commands_that_a_target_does_not_have_are_found() {
    let source = Server::start("redis-4.0");
    for name in ["redis-2.8", "redis-3.2", "redis-5.0", "redis-7.0"] {
        let target = Server::builder(name).arg("rename-command", "RESTORE \"\"").start();
        expect(&report(&source.url(), &target.url()).await, "target-commands", Verdict::Fail, "RESTORE");
        let target = Server::builder(name).arg("rename-command", "FLUSHALL secret").start();
        expect(&report(&source.url(), &target.url()).await, "target-commands", Verdict::Warn, "FLUSHALL");
        let target = Server::start(name);
        expect(&report(&source.url(), &target.url()).await, "target-commands", Verdict::Pass, "takes all");
    }
}
