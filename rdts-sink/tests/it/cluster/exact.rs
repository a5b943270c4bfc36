//! Commands of all kinds have the effect that they have on one server.

use rdts_testkit::{Cluster, Rng, Server};

use super::support::{Pair, everything};

async fn same_as_one_server(version: &str, number: (u64, u64), rounds: u64) {
    let cluster = Cluster::start(version, 3);
    let server = Server::start(version);
    let mut pair = Pair::connect(&cluster, &server).await;
    let mut rng = Rng::new(number.0 * 100 + number.1);
    for _ in 0..rounds {
        let count = rng.between(1, 120);
        pair.write(&everything(&mut rng, count, number)).await;
    }
    pair.finish(&cluster, &server).await;
}

fn rounds() -> u64 {
    if std::env::var_os("RDTS_LONG").is_some() { 600 } else { 40 }
}

#[tokio::test]
async fn redis_3_2() {
    same_as_one_server("redis-3.2", (3, 2), rounds()).await;
}

#[tokio::test]
async fn redis_5_0() {
    same_as_one_server("redis-5.0", (5, 0), rounds()).await;
}

#[tokio::test]
async fn redis_7_0() {
    same_as_one_server("redis-7.0", (7, 0), rounds()).await;
}

#[tokio::test]
async fn redis_8_2() {
    same_as_one_server("redis-8.2", (8, 2), rounds()).await;
}

#[tokio::test]
async fn valkey_9_1() {
    same_as_one_server("valkey-9.1", (9, 1), rounds()).await;
}
