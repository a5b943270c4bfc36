//! Networks that fail, and Sentinels that promote a replica.

use rdts_core::Endpoint;
use rdts_core::sentinel::Service;
use rdts_core::source::Locator;
use rdts_testkit::{Direction, FaultProxy, Flow, Rng, Sentinel};

use super::recovery::{assert_exact, load};
use super::*;

async fn through(proxy: &FaultProxy, options: NodeOptions) -> NodeSink {
    NodeSink::connect(&NodeAddress::new("127.0.0.1", proxy.port()), options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_reset_behind_any_byte_changes_nothing() {
    const BATCHES: u64 = 1000;
    for version in ["redis-5.0", "valkey-9.1"] {
        let server = Server::start(version);
        let proxy = tokio::task::block_in_place(|| FaultProxy::before(&server));
        let mut sink = through(&proxy, options().window(2 << 10)).await;
        let mut rng = Rng::new(11);
        for number in 0..BATCHES {
            if number % 4 == 0 {
                let direction = *rng.pick(&[Direction::ToServer, Direction::ToClient]);
                proxy.reset_after(direction, rng.between(1, 3000));
            }
            tokio::time::timeout(LONG, sink.write(load(number))).await.unwrap().unwrap();
        }
        tokio::time::timeout(LONG, sink.close()).await.unwrap().unwrap();
        assert!(proxy.resets() > 50, "{version}: {} resets", proxy.resets());
        assert_exact(&server, BATCHES).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_die_without_a_word_are_found_and_made_again() {
    let server = Server::start("redis-7.0");
    let proxy = tokio::task::block_in_place(|| FaultProxy::before(&server));
    let deadlines = Deadlines::default().reply(Duration::from_millis(500)).connect(Duration::from_millis(500));
    let mut sink = through(&proxy, options().deadlines(deadlines).window(1 << 10)).await;
    let mut number = 0;
    for lost in [&[Direction::ToServer][..], &[Direction::ToClient], &[Direction::ToServer, Direction::ToClient]] {
        // Room for one more, which nobody will take.
        tokio::time::timeout(LONG, sink.flush()).await.unwrap().unwrap();
        for direction in lost {
            proxy.set(*direction, Flow::Lost);
        }
        let before = proxy.accepted();
        tokio::time::timeout(LONG, sink.write(load(number))).await.unwrap().unwrap();
        proxy.wait_until("the sink to connect again", LONG, |proxy| proxy.accepted() > before);
        proxy.set_both(Flow::Free);
        for number in number + 1..number + 20 {
            tokio::time::timeout(LONG, sink.write(load(number))).await.unwrap().unwrap();
        }
        number += 20;
    }
    tokio::time::timeout(LONG, sink.close()).await.unwrap().unwrap();
    assert_exact(&server, number).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_sentinels_promote_is_followed() {
    let sentinel = Sentinel::start("redis-7.0");
    let Endpoint::Sentinel { sentinels, service, credentials, .. } = sentinel.url().parse().unwrap() else {
        panic!("no URL of Sentinels")
    };
    let service = Service::new(sentinels, service).credentials(credentials);
    let mut sink = NodeSink::connect(Locator::sentinel(service), options().window(1 << 10)).await.unwrap();
    let mut number = 0;
    let mut write = async |sink: &mut NodeSink, count: u64| {
        for _ in 0..count {
            tokio::time::timeout(LONG, sink.write(load(number))).await.unwrap().unwrap();
            number += 1;
        }
        number
    };
    write(&mut sink, 200).await;
    let promoted = sentinel.kill_primary();
    write(&mut sink, 200).await;
    sentinel.wait_ok();
    let batches = write(&mut sink, 200).await;
    tokio::time::timeout(LONG, sink.flush()).await.unwrap().unwrap();
    assert_eq!(sink.acked().batches, batches);
    tokio::time::timeout(LONG, sink.close()).await.unwrap().unwrap();
    assert_exact(sentinel.server(promoted), batches).await;
}
