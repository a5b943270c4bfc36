//! Connections that break, servers that come back, and replicas that take over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rdts_core::Result;
use rdts_core::source::{Locate, Locator};
use rdts_testkit::{Rng, Signal};

use super::*;

/// The commands of batch `number`, none of which can be repeated.
pub(super) fn load(number: u64) -> Batch {
    let commands: Vec<String> = (0..5)
        .flat_map(|n| {
            let id = number * 5 + n;
            [format!("INCR counter:{}", id % 7), format!("APPEND string {id},"), format!("LPUSH list {id}")]
        })
        .collect();
    let commands: Vec<(Mark, &str)> =
        commands.iter().enumerate().map(|(n, text)| (write(u32::try_from(n).unwrap() % 2), text.as_str())).collect();
    batch(number * 15 + 15, &commands)
}

/// What `batches` of them amount to, computed by a server that nothing happens to.
async fn expected(server: &Server, batches: u64) -> Server {
    let oracle = Server::start(server.name());
    let mut plain = NodeSink::connect(&address(&oracle), NodeOptions::default()).await.unwrap();
    for number in 0..batches {
        plain.write(load(number)).await.unwrap();
    }
    plain.close().await.unwrap();
    oracle
}

pub(super) async fn assert_exact(server: &Server, batches: u64) {
    let oracle = expected(server, batches).await;
    remove_checkpoint(&address(server), &name(), Deadlines::default()).await.unwrap();
    rdts_testkit::assert_same(&oracle, server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_at_random_change_nothing() {
    const BATCHES: u64 = 3000;
    for version in ["redis-2.8", "redis-7.0", "valkey-9.1"] {
        let server = Arc::new(Server::start(version));
        let mut sink = NodeSink::connect(&address(&server), options().window(8 << 10)).await.unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let killer = {
            let (server, over) = (server.clone(), over.clone());
            std::thread::spawn(move || {
                let mut rng = Rng::new(7);
                let mut connection = server.connection();
                let mut killed = 0;
                while !over.load(Ordering::Relaxed) {
                    let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut connection).unwrap();
                    for line in clients.lines().filter(|line| !line.contains("cmd=client")) {
                        let address = line.split(' ').find_map(|word| word.strip_prefix("addr=")).unwrap();
                        let kill = redis::cmd("CLIENT").arg("KILL").arg(address).query::<Value>(&mut connection);
                        killed += u32::from(kill.is_ok());
                    }
                    std::thread::sleep(Duration::from_millis(rng.below(30)));
                }
                killed
            })
        };
        for number in 0..BATCHES {
            tokio::time::timeout(LONG, sink.write(load(number))).await.unwrap().unwrap();
        }
        tokio::time::timeout(LONG, sink.flush()).await.unwrap().unwrap();
        over.store(true, Ordering::Relaxed);
        let killed = killer.join().unwrap();
        let acked = sink.acked();
        assert_eq!((acked.batches, acked.counts.commands), (BATCHES, BATCHES * 15), "{version}");
        sink.close().await.unwrap();
        assert!(killed > 5, "{version}: {killed} connections were cut");
        assert_exact(&server, BATCHES).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_comes_back_with_its_data_goes_on() {
    const BATCHES: u64 = 2000;
    for version in ["redis-5.0", "redis-7.0"] {
        let server = Server::builder(version).arg("appendonly", "yes").arg("appendfsync", "always").start();
        let mut sink = NodeSink::connect(&address(&server), options().window(8 << 10)).await.unwrap();
        for number in 0..BATCHES {
            if number % 500 == 250 {
                server.kill();
                server.restart();
            }
            tokio::time::timeout(LONG, sink.write(load(number))).await.unwrap().unwrap();
        }
        tokio::time::timeout(LONG, sink.close()).await.unwrap().unwrap();
        assert_exact(&server, BATCHES).await;
    }
}

#[tokio::test]
async fn a_server_that_comes_back_without_its_data_is_an_error() {
    let server = Server::start("redis-7.0");
    let mut sink = sink(&server).await;
    sink.write(load(0)).await.unwrap();
    sink.flush().await.unwrap();
    server.kill();
    server.restart();
    let error = failure(&mut sink, load(1)).await;
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert!(error.to_string().contains("lost its data"), "{error}");
    assert_eq!(server.cmd(&["DBSIZE"]), Value::Int(0));
}

#[tokio::test]
async fn a_target_that_stays_away_is_an_error_after_a_while_or_at_once() {
    for patience in [Duration::ZERO, Duration::from_millis(300)] {
        let server = Server::start("redis-7.0");
        let mut sink = NodeSink::connect(&address(&server), options().patience(patience)).await.unwrap();
        sink.write(load(0)).await.unwrap();
        sink.flush().await.unwrap();
        server.kill();
        let error = failure(&mut sink, load(1)).await;
        assert!(matches!(error.kind(), ErrorKind::Connect | ErrorKind::Disconnected), "{error}");
        assert_eq!(sink.acked().batches, 1);
    }
}

#[tokio::test]
async fn what_an_earlier_connection_left_unread_is_not_executed_again() {
    let server = Server::start("redis-7.0");
    let deadlines = Deadlines::default().reply(Duration::from_millis(300));
    let mut sink = NodeSink::connect(&address(&server), options().deadlines(deadlines)).await.unwrap();
    sink.write(load(0)).await.unwrap();
    sink.flush().await.unwrap();
    // It does not read, so the sink gives the connection up with a whole transaction in it, and connects again.
    server.signal(Signal::Stop);
    sink.write(load(1)).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(1200), sink.flush()).await;
    assert!(waited.is_err(), "nobody was there to answer");
    server.signal(Signal::Cont);
    sink.write(load(2)).await.unwrap();
    tokio::time::timeout(LONG, sink.close()).await.unwrap().unwrap();
    assert_exact(&server, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_that_is_cut_by_the_servers_timeout_is_made_again() {
    let server = Server::builder("redis-7.0").arg("timeout", "1").start();
    let mut sink = sink(&server).await;
    sink.write(load(0)).await.unwrap();
    sink.flush().await.unwrap();
    let connections = || -> u64 { server.info("stats")["total_connections_received"].parse().unwrap() };
    let clients = || server.info("clients")["connected_clients"].clone();
    let before = connections();
    server.wait_until("the connection to be cut and made again", LONG, |_| {
        clients() == "2" && connections() > before + 200
    });
    sink.write(load(1)).await.unwrap();
    sink.close().await.unwrap();
    assert_exact(&server, 2).await;
}

/// Where the target is said to be.
#[derive(Clone)]
struct Place(Arc<Mutex<NodeAddress>>);

impl Locate for Place {
    async fn locate(&self) -> Result<NodeAddress> {
        Ok(self.0.lock().unwrap().clone())
    }
}

/// A primary that was left by its replica when it had `before` batches, and then got `after` more.
async fn promoted(keep: usize, before: u64, after: u64) -> (Server, Server, Place, NodeSink) {
    let primary = Server::start("redis-7.0");
    let replica = Server::start("redis-7.0");
    replica.replicate(&primary);
    let place = Place(Arc::new(Mutex::new(address(&primary))));
    let locator = Locator::new("place", place.clone());
    let mut sink = NodeSink::connect(locator, options().window(1).keep(keep)).await.unwrap();
    for number in 0..before {
        sink.write(load(number)).await.unwrap();
    }
    sink.flush().await.unwrap();
    let stored = checkpoint(&primary);
    replica.wait_until("the replica to follow", LONG, |replica| checkpoint(replica) == stored);
    // From here on they are two, as when Sentinels have promoted it and the former primary does not know.
    replica.promote();
    for number in before..before + after {
        sink.write(load(number)).await.unwrap();
    }
    sink.flush().await.unwrap();
    assert_ne!(checkpoint(&primary), checkpoint(&replica));
    (primary, replica, place, sink)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_that_lacks_writes_gets_them_again() {
    for (before, after) in [(3, 5), (1, 4)] {
        let (_primary, replica, place, mut sink) = promoted(8 << 20, before, after).await;
        // Nobody cuts the connection to the former primary: it is asked where the target is.
        *place.0.lock().unwrap() = address(&replica);
        let batches = before + after;
        let stored = checkpoint(&replica);
        replica.wait_until("the lost to be sent again", LONG, |replica| checkpoint(replica) != stored);
        sink.write(load(batches)).await.unwrap();
        sink.flush().await.unwrap();
        assert_eq!(sink.acked().batches, batches + 1);
        tokio::time::timeout(LONG, sink.close()).await.unwrap().unwrap();
        assert_exact(&replica, batches + 1).await;
    }
}

#[tokio::test]
async fn a_promoted_replica_that_lacks_more_than_is_kept_is_an_error() {
    let (_primary, replica, place, mut sink) = promoted(0, 3, 5).await;
    *place.0.lock().unwrap() = address(&replica);
    // Also a sink that has nothing to write finds it.
    let failed = tokio::time::timeout(LONG, async {
        loop {
            if let Err(error) = sink.flush().await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    });
    let error = failed.await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert!(error.to_string().contains("NodeOptions::keep"), "{error}");
}

#[tokio::test]
async fn a_demoted_primary_is_waited_for() {
    for version in ["redis-3.2", "redis-5.0", "redis-7.0", "valkey-9.1"] {
        let server = Server::start(version);
        let mut sink = sink(&server).await;
        sink.write(load(0)).await.unwrap();
        sink.flush().await.unwrap();
        server.cmd(&["SLAVEOF", "127.0.0.1", "1"]);
        sink.write(load(1)).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(300), sink.flush()).await.is_err(), "{version}");
        assert_eq!(sink.acked().batches, 1, "{version}");
        server.cmd(&["SLAVEOF", "NO", "ONE"]);
        tokio::time::timeout(LONG, sink.close()).await.unwrap().unwrap();
        assert_exact(&server, 2).await;
    }
}
