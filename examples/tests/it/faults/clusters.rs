//! Broken links to the nodes of clusters.

use rdts_testkit::{Cluster, Direction, FaultProxy, Flow, Rng};

use super::KEYS;
use crate::crash::trial::{Place, Trial, server};
use crate::deployments::other_layout;
use crate::support::LONG;

fn cluster() -> Cluster {
    Cluster::builder("redis-7.0", 3).arg("repl-backlog-size", "64mb").start()
}

/// Puts a proxy in front of every node, and has the nodes name those as their addresses. The first ones they hear of by the URL.
fn behind_proxies(cluster: &Cluster) -> (Vec<FaultProxy>, String) {
    let proxies: Vec<FaultProxy> = cluster.nodes().iter().map(FaultProxy::before).collect();
    for (node, proxy) in cluster.nodes().iter().zip(&proxies) {
        node.cmd(&["CONFIG", "SET", "cluster-announce-port", &proxy.port().to_string()]);
    }
    let addresses: Vec<String> = proxies.iter().map(FaultProxy::addr).collect();
    for node in cluster.nodes() {
        node.wait_until("the nodes to name the proxies", LONG, |node| {
            let slots = format!("{:?}", node.cmd(&["CLUSTER", "SLOTS"]));
            proxies.iter().all(|proxy| slots.contains(&format!("int({})", proxy.port())))
        });
    }
    (proxies, format!("redis-cluster://{}", addresses.join(",")))
}

/// Breaks the links of one node after the other, in turn.
fn survives(mut trial: Trial, proxies: &[FaultProxy], data: Direction, seed: u64) {
    let mut rng = Rng::new(seed);
    trial.more = ["--reply-timeout", "12"].map(str::to_owned).to_vec();
    let program = trial.start(&[]);
    trial.wait_until_live(&program, 100);
    let full_syncs = trial.full_syncs();
    for proxy in proxies {
        let before = proxy.accepted();
        proxy.cut();
        proxy.wait_until("a new connection", LONG, |proxy| proxy.accepted() > before);
        trial.load().wait_for(rng.between(1, 300), LONG);
        let before = proxy.resets();
        proxy.reset_after(data, rng.between(1, 5_000));
        proxy.wait_until("a reset", LONG, |proxy| proxy.resets() > before);
        proxy.set_both(Flow::Single);
        proxy.wait_for_bytes(data, 3_000, LONG);
        proxy.set_both(Flow::Free);
    }
    for proxy in proxies {
        proxy.cut();
    }
    trial.load().wait_for(300, LONG);
    trial.stop_and_finish(program);
    assert_eq!(trial.full_syncs(), full_syncs);
}

#[test]
fn the_links_to_the_nodes_of_a_target_break() {
    let target = cluster();
    let (proxies, url) = behind_proxies(&target);
    let mut trial = Trial::new(server("redis-7.0"), Place::Cluster(target), KEYS, 610);
    trial.to = url;
    survives(trial, &proxies, Direction::ToServer, 610);
}

#[test]
fn the_links_to_the_nodes_of_a_source_break() {
    let source = cluster();
    let (proxies, url) = behind_proxies(&source);
    let target = Cluster::builder("redis-7.0", 3).layout(&other_layout()).start();
    let mut trial = Trial::new(Place::Cluster(source), Place::Cluster(target), KEYS, 620);
    trial.from = url;
    survives(trial, &proxies, Direction::ToClient, 620);
}
