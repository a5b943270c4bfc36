//! Whole migrations over TLS, and with users that may do what they need and nothing else.

use std::time::{Duration, Instant};

use rdts_core::checkpoint::CheckpointName;
use rdts_core::cluster::TopologyOptions;
use rdts_core::fleet::{self, Fleet, Shard};
use rdts_core::net::Deadlines;
use rdts_core::replica::LinkConfig;
use rdts_core::source::ReplicaOptions;
use rdts_core::{BoxSink, Endpoint, Error, ErrorKind, Result, Sink};
use rdts_sink::{ClusterOptions, ClusterSink, NodeOptions, NodeSink, ProxyOptions, ProxySink};
use rdts_testkit::{
    Certificates, Cluster, Deployment, FillOptions, Load, LoadOptions, Sentinel, Server, assert_same, fill,
};

const LONG: Duration = Duration::from_secs(120);

fn deadlines() -> Deadlines {
    Deadlines::default().connect(Duration::from_secs(20))
}

/// A sink for the shard with this number; with a checkpoint if it is `exact`.
async fn sink(to: &Endpoint, shard: u32, exact: bool) -> Result<BoxSink> {
    let name = exact.then(|| CheckpointName::new("tls", shard).unwrap());
    Ok(match to {
        Endpoint::Node { address, .. } => {
            let options = NodeOptions::default().deadlines(deadlines()).checkpoint(name);
            BoxSink::new(NodeSink::connect(address, options).await?)
        }
        Endpoint::Cluster { seeds } => {
            let topology = TopologyOptions::default().deadlines(deadlines());
            BoxSink::new(
                ClusterSink::connect(seeds, ClusterOptions::default().topology(topology).checkpoint(name)).await?,
            )
        }
        Endpoint::Proxy { kind, addresses } => {
            let options = ProxyOptions::default().deadlines(deadlines());
            BoxSink::new(ProxySink::connect(*kind, addresses, options).await?)
        }
        other => panic!("{other}"),
    })
}

async fn opened(from: &str, to: &str, exact: bool) -> Result<Fleet> {
    let (from, to): (Endpoint, Endpoint) = (from.parse()?, to.parse()?);
    let target = sink(&to, u32::MAX, false).await?.capabilities().target;
    let options = ReplicaOptions::default().link(LinkConfig::default().deadlines(deadlines()));
    let mut shards = Vec::new();
    for (number, source) in fleet::open(&from, target, options).await?.into_iter().enumerate() {
        shards.push(Shard::new(source, sink(&to, u32::try_from(number).unwrap(), exact).await?));
    }
    Ok(Fleet::new(shards))
}

/// Copies while `source` is written to, until all is there; `write` starts that.
async fn copied_under_load(from: &str, to: &str, exact: bool, write: impl FnOnce() -> Load) {
    let load = tokio::task::block_in_place(write);
    copied(from, to, exact, || {
        load.wait_for(1_000, LONG);
        let written = load.stop();
        assert_eq!(written.unknown, 0, "{written:?}");
    })
    .await;
}

/// Copies, has `write` write what comes by the stream, and ends when that is there.
async fn copied(from: &str, to: &str, exact: bool, write: impl FnOnce()) {
    let fleet = opened(from, to, exact).await.unwrap();
    let handle = fleet.handle();
    let running = tokio::spawn(fleet.run());
    let started = Instant::now();
    while !handle.report().is_stream() && !running.is_finished() {
        assert!(started.elapsed() < LONG, "the snapshots take too long");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::task::block_in_place(write);
    let offsets = handle.source_offsets().await.unwrap();
    handle.stop_at(offsets.clone()).unwrap();
    let ended = tokio::time::timeout(LONG, running).await;
    let finished = ended.unwrap_or_else(|_| panic!("not at {offsets:?}: {:?}", handle.report())).unwrap();
    finished.result.unwrap();
    assert!(finished.report.ledger.counts.commands > 0);
}

/// The digest or contents are the same, whatever the checkpoints in `target`.
fn same<'a>(source: impl Into<Deployment<'a>>, target: impl Into<Deployment<'a>>, servers: &[Server]) {
    for server in servers {
        server.cmd(&["DEL", "rdts:checkpoint:tls/0"]);
    }
    assert_same(source, target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_into_another_with_certificates_on_both_sides() {
    let certificates = Certificates::new();
    for (from, to, exact) in [("redis-7.0", "redis-8.10", false), ("redis-8.10", "redis-8.10", true)] {
        let builder = |name| Server::builder(name).arg("requirepass", "pass word").tls(&certificates);
        let (source, target) = (builder(from).start(), builder(to).start());
        fill(&source, &FillOptions::mixed(2_000));
        // More than any buffer on the way takes at once.
        source.cmd(&["SET", "big", &"x".repeat(9 << 20)]);
        copied_under_load(&source.tls_url(), &target.tls_url(), exact, || {
            let load = Load::start(&source, LoadOptions::default());
            source.cmd(&["SET", "big:too", &"y".repeat(3 << 20)]);
            load
        })
        .await;
        same(&source, &target, std::slice::from_ref(&target));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_into_another() {
    let certificates = Certificates::new();
    for exact in [false, true] {
        let start = |name| Cluster::builder(name, 3).arg("requirepass", "pw").tls(&certificates).start();
        let (source, target) = (start("redis-7.0"), start("redis-8.10"));
        tokio::task::block_in_place(|| fill(&source, &FillOptions::mixed(500)));
        copied_under_load(&source.tls_url(), &target.tls_url(), exact, || Load::start(&source, LoadOptions::cluster()))
            .await;
        if !exact {
            tokio::task::block_in_place(|| assert_same(&source, &target));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sentinels_watch_over_into_what_is_behind_a_proxy() {
    let certificates = Certificates::new();
    let sentinel = Sentinel::builder("redis-7.0").sentinels(1).arg("requirepass", "pw").tls(&certificates).start();
    // Whoever speaks TLS and answers commands is a proxy to us.
    let target = Server::builder("redis-7.0").tls(&certificates).start();
    let to = target.tls_url().replace("rediss://", "rediss-proxy://");
    let source = sentinel.server(0);
    fill(source, &FillOptions::mixed(500).in_one_database());
    copied(&sentinel.tls_url(), &to, false, || {
        for number in 0..500 {
            source.cmd(&["SET", &format!("key:{number}"), "value"]);
        }
    })
    .await;
    assert_same(source, &target);
}

/// What `docs/security.md` tells users to grant.
const SOURCE: &str = "+psync +replconf +ping +info";
const TARGET: &str = "~* +@write +@read +@transaction +@scripting +ping +info +select";
const CLUSTER_SOURCE: &str = "+psync +replconf +ping +info +cluster|slots +cluster|nodes";
const CLUSTER_TARGET: &str = "~* +@write +@read +@transaction +@scripting +ping +info +asking +cluster|slots";

fn as_user(url: &str) -> String {
    url.replacen("://", "://mover:s3cret@", 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_rights_are_enough_for_servers() {
    for (from, to) in [("redis-6.2", "redis-8.10"), ("redis-7.0", "redis-7.0"), ("valkey-9.1", "valkey-9.1")] {
        for exact in [false, true] {
            let (source, target) = (Server::start(from), Server::start(to));
            source.set_user("mover", "s3cret", SOURCE);
            target.set_user("mover", "s3cret", TARGET);
            fill(&source, &FillOptions::mixed(500));
            copied_under_load(&as_user(&source.url()), &as_user(&target.url()), exact, || {
                Load::start(&source, LoadOptions::default())
            })
            .await;
            same(&source, &target, std::slice::from_ref(&target));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_rights_are_enough_for_clusters() {
    for exact in [false, true] {
        let (source, target) = (Cluster::start("redis-7.0", 2), Cluster::start("redis-8.10", 2));
        source.nodes().iter().for_each(|node| node.set_user("mover", "s3cret", CLUSTER_SOURCE));
        target.nodes().iter().for_each(|node| node.set_user("mover", "s3cret", CLUSTER_TARGET));
        copied_under_load(&as_user(&source.url()), &as_user(&target.url()), exact, || {
            Load::start(&source, LoadOptions::cluster())
        })
        .await;
        if !exact {
            tokio::task::block_in_place(|| assert_same(&source, &target));
        }
    }
}

/// What lacks a permission says which, and of whom.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing_is_named() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    source.cmd(&["SET", "a", "1"]);
    let refused = async |from: &str, to: &str| -> Error {
        match opened(from, to, false).await {
            Ok(fleet) => fleet.run().await.result.unwrap_err(),
            Err(error) => error,
        }
    };
    for (rules, kind, word) in [
        ("+replconf +ping +info", ErrorKind::ReplicationForbidden, "psync"),
        ("+psync +ping +info", ErrorKind::ReplicationForbidden, "replconf"),
    ] {
        source.set_user("mover", "s3cret", rules);
        let error = refused(&as_user(&source.url()), &target.url()).await;
        assert_eq!(error.kind(), kind, "{rules}: {error}");
        let text = error.to_string();
        assert!(text.contains(&source.addr()) && text.contains(word), "{rules}: {text}");
        assert!(error.solution().is_some_and(|solution| solution.contains(&format!("+{word}"))), "{error}");
    }
    target.set_user("mover", "s3cret", "~* +ping +info +select");
    let error = refused(&source.url(), &as_user(&target.url())).await;
    assert!(error.to_string().contains(&target.addr()) && error.to_string().contains("NOPERM"), "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
}
