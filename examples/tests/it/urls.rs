//! Every form of URL that `migrate` takes, as source and as target, and what is said when nothing stands behind it.

use std::path::Path;

use rdts_testkit::{Cluster, Codis, Deployment, FillOptions, Proxy, Sentinel, Server, assert_same, fill, free_port};

use crate::support::{ends, migrate, summary};

/// Copies what is there now.
fn copies(from: &str, to: &str) {
    let summary = summary(&ends(migrate(&["--from", from, "--to", to, "--mode", "full"]), 0));
    assert_eq!((&summary["failed"], &summary["status"]), (&0.into(), &0.into()), "{summary}");
}

/// A server with keys of all types in one database.
fn filled(version: &str, keys: u64) -> Server {
    let server = Server::start(version);
    fill(&server, &FillOptions::mixed(keys).in_one_database());
    server
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn several_servers_into_a_cluster_and_that_into_what_sentinels_watch_over() {
    let sources = [filled("redis-7.0", 300), Server::start("redis-6.2")];
    sources[1].cmd(&["SET", "only:here", "1"]);
    let cluster = Cluster::start("redis-7.0", 3);
    copies(&format!("redis://{},{}", sources[0].addr(), sources[1].addr()), &cluster.url());
    assert_same(&sources, &cluster);
    let sentinel = Sentinel::start("redis-7.0");
    copies(&cluster.url(), &sentinel.url());
    assert_same(&cluster, &sentinel);
}

#[test]
fn a_codis_in_both_directions_and_through_its_proxy() {
    let source = filled("redis-3.2", 300);
    let (codis, behind) = (Codis::start("redis-3.2", 2), Codis::start("redis-3.2", 2));
    copies(&source.url(), &format!("codis://127.0.0.1:{}", codis.dashboard()));
    assert_same(&source, codis.groups().as_slice());
    copies(&format!("codis://127.0.0.1:{}", codis.dashboard()), &format!("codis-proxy://127.0.0.1:{}", behind.proxy()));
    assert_same(&source, behind.groups().as_slice());
}

#[test]
fn through_twemproxy_and_envoy() {
    let source = filled("redis-7.0", 300);
    for start in [Proxy::twemproxy, Proxy::envoy] {
        let servers = [Server::start("redis-7.0"), Server::start("redis-7.0")];
        let proxy = start(&[&servers[0], &servers[1]]);
        copies(&format!("{}/0", source.url()), &format!("redis-proxy://{}", proxy.addr()));
        assert_same(&source, Deployment::from(&servers));
    }
}

#[test]
fn files_of_every_kind() {
    let source = filled("redis-7.0", 300);
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.rdb", "out.resp", "out.jsonl"] {
        let file = path(folder.path(), name);
        copies(&source.url(), &file);
        let again = ends(migrate(&["--from", &source.url(), "--to", &file, "--mode", "full"]), 3);
        assert!(again.stderr.contains(name), "{}", again.stderr);
        if name == "out.jsonl" {
            assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 300);
        } else {
            // A file of commands is an AOF.
            let target = Server::start("redis-7.0");
            copies(&file, &target.url());
            assert_same(&source, &target);
        }
    }
}

#[test]
fn a_folder_of_aof_files() {
    let source = Server::builder("redis-7.0").arg("appendonly", "yes").start();
    fill(&source, &FillOptions::mixed(300));
    source.cmd(&["CONFIG", "SET", "appendfsync", "always"]);
    source.cmd(&["SET", "the:last", "1"]);
    let target = Server::start("redis-7.0");
    copies(source.dir().join("appendonlydir").to_str().unwrap(), &target.url());
    assert_same(&source, &target);
}

#[test]
fn a_user_that_may_not_replicate_is_copied_by_scan_and_told_so() {
    let source = filled("redis-7.0", 300);
    source.cmd(&["ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-psync", "-sync"]);
    let target = Server::start("redis-7.0");
    let from = format!("redis://app:pw@{}", source.addr());
    let finished = ends(migrate(&["--from", &from, "--to", &target.url(), "--until", "caught-up"]), 0);
    assert!(finished.stderr.contains("read by SCAN instead"), "{}", finished.stderr);
    assert!(finished.stdout.contains("\"event\":\"warning\""), "{}", finished.stdout);
    assert_same(&source, &target);
}

#[test]
fn deployments_that_are_not_what_the_url_says() {
    let server = Server::start("redis-7.0");
    let cluster = Cluster::start("redis-7.0", 3);
    let codis = Codis::start("redis-3.2", 1);
    let sentinel = Sentinel::start("redis-7.0");
    let slots = cluster.server(0);
    slots.cmd(&["CLUSTER", "DELSLOTS", "0"]);
    let nobody = free_port();
    let codis_url = format!("codis://127.0.0.1:{}", codis.dashboard());
    let refused = |url: &str, words: &[&str]| {
        for (from, to) in [(url, "memory:"), ("redis://SERVER", url)] {
            let from = from.replace("SERVER", &server.addr());
            let finished = ends(migrate(&["--from", &from, "--to", to]), 3);
            for word in words {
                assert!(finished.stderr.contains(word), "{url}: {}", finished.stderr);
            }
        }
    };
    let addr = server.addr();
    refused(&format!("redis-cluster://{addr}"), &[&addr, "no node of a cluster"]);
    refused(&format!("redis-cluster://{}", slots.addr()), &[&slots.addr(), "0"]);
    refused(&format!("redis-cluster://127.0.0.1:{nobody}"), &[&nobody.to_string()]);
    refused(&sentinel.url().replace("mymaster", "other"), &["other"]);
    codis.answer(Some((800, "{\"Cause\": \"the store is gone\", \"Stack\": null}")));
    refused(&codis_url, &[&codis.dashboard().to_string(), "the store is gone"]);
    codis.answer(Some((200, "<html>")));
    refused(&codis_url, &[&codis.dashboard().to_string()]);
    assert_eq!(server.info("keyspace").len(), 0);
}
