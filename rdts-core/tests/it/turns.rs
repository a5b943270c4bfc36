//! How many full copies of one host are under way at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rdts_core::endpoint::NodeAddress;
use rdts_core::fleet::{Fleet, Shard, ShardSource, Shards};
use rdts_core::primary::{Primary, PrimaryConfig};
use rdts_core::source::{Durable, ReplicaOptions};
use rdts_core::spool::SpoolOptions;
use rdts_core::{Endpoint, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::collector::{Collector, TARGET};

const LONG: Duration = Duration::from_secs(120);
const NODES: usize = 6;
const AT_ONCE: u32 = 2;
const KEYS: usize = 400;

/// Full copies as the servers see them: from the promise of one until just before its last bytes.
#[derive(Debug, Default)]
struct Copies {
    begun: watch::Sender<usize>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

/// Primaries behind a proxy that counts, and lets a snapshot end only with a permit of `ends`.
struct Sources {
    primaries: Vec<Primary>,
    endpoint: Endpoint,
    copies: Arc<Copies>,
    ends: Arc<Semaphore>,
}

/// Strings of 1000 bytes.
fn rdb() -> Bytes {
    let mut rdb = b"REDIS0009\xfe\x00".to_vec();
    for n in 0..KEYS {
        rdb.extend_from_slice(&[0, 4]);
        rdb.extend_from_slice(format!("{n:04}").as_bytes());
        rdb.extend_from_slice(&[0x43, 0xe8]);
        rdb.extend_from_slice(&[b'v'; 1000]);
    }
    rdb.extend_from_slice(&[0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    rdb.into()
}

impl Sources {
    async fn start() -> Self {
        let (copies, ends) = (Arc::new(Copies::default()), Arc::new(Semaphore::new(0)));
        let (mut primaries, mut addresses) = (Vec::new(), Vec::new());
        for _ in 0..NODES {
            let primary = Primary::bind("127.0.0.1:0", PrimaryConfig::default().backlog(1 << 20)).await.unwrap();
            primary.set_snapshot(rdb(), primary.offset()).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(NodeAddress::new("127.0.0.1", listener.local_addr().unwrap().port()));
            let (to, copies, ends) = (primary.local_addr(), copies.clone(), ends.clone());
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(forward(client, to, copies.clone(), ends.clone()));
                }
            });
            primaries.push(primary);
        }
        Self { primaries, endpoint: Endpoint::Shards(addresses), copies, ends }
    }

    async fn open(&self, durable: impl Fn(usize) -> Durable) -> Vec<ShardSource> {
        let options = ReplicaOptions::default().full_syncs_per_host(AT_ONCE);
        let shards = Shards::find(&self.endpoint, options.link.deadlines).await.unwrap();
        let durables = (0..NODES).map(durable).collect();
        let opened = tokio::time::timeout(LONG, shards.resume(TARGET, options, durables)).await;
        opened.expect("all are opened or wait").unwrap()
    }
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    bytes[from..].windows(what.len()).position(|here| here == what).map(|at| from + at)
}

async fn forward(mut client: TcpStream, to: std::net::SocketAddr, copies: Arc<Copies>, ends: Arc<Semaphore>) {
    let mut server = TcpStream::connect(to).await.unwrap();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let back = async {
        let (mut seen, mut counted, mut left, mut buffer) = (Vec::new(), false, None, vec![0; 64 << 10]);
        loop {
            let read = match from_server.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => read,
            };
            let mut payload = read;
            if left.is_none() {
                seen.extend_from_slice(&buffer[..read]);
                if let Some(promise) = find(&seen, 0, b"+FULLRESYNC") {
                    if !std::mem::replace(&mut counted, true) {
                        let now = copies.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                        copies.most.fetch_max(now, Ordering::SeqCst);
                        copies.begun.send_modify(|begun| *begun += 1);
                    }
                    let dollar = find(&seen, promise, b"$");
                    if let Some((dollar, end)) = dollar.and_then(|at| Some((at, find(&seen, at, b"\r\n")?))) {
                        let length = std::str::from_utf8(&seen[dollar + 1..end]).unwrap();
                        left = Some(length.parse::<usize>().unwrap());
                        payload = seen.len() - (end + 2);
                    }
                }
            }
            if let Some(missing) = left.filter(|missing| *missing > 0) {
                left = Some(missing.saturating_sub(payload));
                if left == Some(0) {
                    ends.acquire().await.unwrap().forget();
                    copies.under_way.fetch_sub(1, Ordering::SeqCst);
                }
            }
            if to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = back => {}
        _ = copy(&mut from_client, &mut to_server) => {}
    }
}

/// Copies all, one snapshot ends after the other, and never more than so many are under way.
async fn all_are_copied(durable: impl Fn(usize) -> Durable) {
    let sources = Sources::start().await;
    let mut begun = sources.copies.begun.subscribe();
    let opened = sources.open(durable).await;
    assert_eq!(*begun.borrow(), 2, "the others wait for their turn");
    let mut sinks = Vec::new();
    let shards = opened.into_iter().map(|source| {
        let sink = Collector::new();
        sinks.push((sink.seen.clone(), sink.watch()));
        Shard::new(source, sink)
    });
    let fleet = Fleet::new(shards.collect());
    let handle = fleet.handle();
    let running = tokio::spawn(fleet.run());
    for ended in 1..=NODES {
        sources.ends.add_permits(1);
        let expected = NODES.min(ended + 2);
        tokio::time::timeout(LONG, begun.wait_for(|begun| *begun >= expected)).await.expect("the next begins").unwrap();
    }
    let mut ends = Vec::new();
    for primary in &sources.primaries {
        ends.push(primary.append(&[b"SET", b"last", b"1"]));
    }
    for ((_, watermark), end) in sinks.iter_mut().zip(&ends) {
        let there = watermark.wait_for(|watermark| {
            watermark.position.is_some_and(|position| position.is_stream() && position.offset() >= *end)
        });
        tokio::time::timeout(LONG, there).await.expect("all is copied").unwrap();
    }
    handle.stop();
    tokio::time::timeout(LONG, running).await.unwrap().unwrap().result.unwrap();
    assert_eq!(sources.copies.most.load(Ordering::SeqCst), 2);
    for (seen, _) in &sinks {
        assert_eq!(seen.lock().unwrap().len(), KEYS + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_spool_the_next_begins_when_one_was_read() {
    all_are_copied(|_| Durable::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_spool_the_next_begins_when_one_was_received() {
    let parent = tempfile::tempdir().unwrap();
    all_are_copied(|shard| Durable::default().spool(parent.path().join(shard.to_string()), SpoolOptions::default()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spools_that_are_full_are_waited_for_and_nobody_for_ever() {
    let parent = tempfile::tempdir().unwrap();
    // A quarter of a snapshot.
    let small = SpoolOptions::default().segment(25_000).limit(100_000).read_ahead(25_000).keep(0);
    all_are_copied(|shard| Durable::default().spool(parent.path().join(shard.to_string()), small)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_fails_ends_those_that_wait() {
    let sources = Sources::start().await;
    let shards = sources.open(|_| Durable::default()).await.into_iter().enumerate().map(|(index, source)| {
        let sink = Collector::new();
        if index == 0 {
            sink.permits.close();
        }
        Shard::new(source, sink)
    });
    let fleet = Fleet::new(shards.collect());
    sources.ends.add_permits(NODES);
    let finished = tokio::time::timeout(LONG, fleet.run()).await.expect("an end");
    assert_eq!(finished.result.unwrap_err().kind(), ErrorKind::Rejected);
    assert!(sources.copies.most.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn all_begin_at_once_if_that_is_wanted() {
    let sources = Sources::start().await;
    let options = ReplicaOptions::default().full_syncs_per_host(0);
    let shards = Shards::find(&sources.endpoint, options.link.deadlines).await.unwrap();
    let opened = shards.open(TARGET, options).await.unwrap();
    assert_eq!((opened.len(), *sources.copies.begun.borrow()), (NODES, NODES));
}
