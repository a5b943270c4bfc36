//! Links that break, against our own primary, and promotions by real Sentinels.

use std::time::Duration;

use bytes::Bytes;
use rdts_core::endpoint::{Endpoint, NodeAddress};
use rdts_core::primary::{Primary, PrimaryConfig};
use rdts_core::record::{Batch, ReplicationId};
use rdts_core::sentinel::Service;
use rdts_core::source::{Durable, Locate, Locator, Reconnect, ReplicaOptions, ReplicaSource};
use rdts_core::spool::SpoolOptions;
use rdts_core::translate::Target;
use rdts_core::{Error, ErrorKind, Position, Result, Source};
use rdts_testkit::Sentinel;
use tokio::sync::watch;

const SNAPSHOT: &[u8] = b"REDIS0009\xfe\x00\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0";
const REPLID: &str = "4c1b873d2c85f0b3c32321aee14c7ef5363543d4";
const TARGET: Target = Target::redis(7, 0, 0);
const LONG: Duration = Duration::from_secs(30);

async fn primary(config: PrimaryConfig) -> Primary {
    let primary = Primary::bind("127.0.0.1:0", config).await.unwrap();
    primary.set_snapshot(Bytes::from_static(SNAPSHOT), primary.offset()).unwrap();
    primary
}

fn address(primary: &Primary) -> NodeAddress {
    NodeAddress::new("127.0.0.1", primary.local_addr().port())
}

fn options(within: Duration) -> ReplicaOptions {
    ReplicaOptions::default().reconnect(Reconnect::default().within(within).pause(Duration::from_millis(5)))
}

/// The commands of batches up to `offset`, and the last position.
async fn read_to(source: &mut ReplicaSource, offset: u64) -> Result<(Vec<String>, Position)> {
    let mut seen = Vec::new();
    loop {
        let batch = tokio::time::timeout(LONG, source.next()).await.expect("a batch in time")?.expect("a stream");
        seen.extend(texts(&batch));
        if batch.position().is_stream() && batch.position().offset() >= offset {
            return Ok((seen, *batch.position()));
        }
    }
}

fn texts(batch: &Batch) -> Vec<String> {
    let text = |command: rdts_core::record::Command<'_>| {
        let words: Vec<_> = command.args().map(|arg| arg.escape_ascii().to_string()).collect();
        format!("{} {}", command.db(), words.join(" "))
    };
    batch.commands().map(text).collect()
}

#[tokio::test]
async fn a_link_that_breaks_in_a_transaction_goes_on_before_it() {
    let primary = primary(PrimaryConfig::default().replid(REPLID.parse().unwrap())).await;
    let mut source = ReplicaSource::open(address(&primary), TARGET, options(LONG)).await.unwrap();
    primary.append(&[b"SELECT", b"3"]);
    primary.append(&[b"INCR", b"a"]);
    let boundary = primary.offset();
    assert_eq!(read_to(&mut source, boundary).await.unwrap().0, ["0 SET k v NX", "3 INCR a"]);
    // The start of a transaction, with a change of the database in it, and nothing more.
    primary.append(&[b"MULTI"]);
    primary.append(&[b"SELECT", b"5"]);
    primary.append(&[b"INCR", b"b"]);
    let open = primary.offset();
    let reading = tokio::time::timeout(Duration::from_millis(200), source.next()).await;
    assert!(reading.is_err(), "half a transaction is not passed on");
    primary.disconnect_replicas();
    primary.append(&[b"EXEC"]);
    primary.append(&[b"INCR", b"c"]);
    let (seen, position) = read_to(&mut source, primary.offset()).await.unwrap();
    assert_eq!(seen, ["3 MULTI", "5 INCR b", "5 EXEC", "5 INCR c"]);
    assert!(open > boundary && position == Position::stream(primary.replid(), primary.offset(), 5));
    assert_eq!(primary.syncs(), (1, 1), "one full sync, one partial");
}

#[tokio::test]
async fn a_new_name_of_the_history_is_taken_over() {
    let primary = primary(PrimaryConfig::default().replid(REPLID.parse().unwrap())).await;
    let mut source = ReplicaSource::open(address(&primary), TARGET, options(LONG)).await.unwrap();
    primary.append(&[b"INCR", b"a"]);
    read_to(&mut source, primary.offset()).await.unwrap();
    let other: ReplicationId = REPLID.replace('4', "a").parse().unwrap();
    primary.change_replid(other);
    primary.disconnect_replicas();
    primary.append(&[b"INCR", b"b"]);
    let (seen, position) = read_to(&mut source, primary.offset()).await.unwrap();
    assert_eq!((seen.as_slice(), position.replid()), (["0 INCR b".to_owned()].as_slice(), other));
}

#[tokio::test]
async fn another_node_is_found_and_another_history_is_an_error() {
    struct Moving(watch::Receiver<NodeAddress>);
    impl Locate for Moving {
        async fn locate(&self) -> Result<NodeAddress> {
            Ok(self.0.borrow().clone())
        }
    }
    let first = primary(PrimaryConfig::default().replid(REPLID.parse().unwrap())).await;
    let (place, receiver) = watch::channel(address(&first));
    let locator = Locator::new("moving", Moving(receiver));
    let mut source = ReplicaSource::open(locator, TARGET, options(LONG)).await.unwrap();
    first.append(&[b"INCR", b"a"]);
    read_to(&mut source, first.offset()).await.unwrap();
    // The same history at another place, as a promoted replica has it.
    let same = primary(PrimaryConfig::default().replid(REPLID.parse().unwrap()).offset(first.offset())).await;
    same.append(&[b"INCR", b"b"]);
    place.send_replace(address(&same));
    first.shutdown().await;
    let (seen, _) = read_to(&mut source, same.offset()).await.unwrap();
    assert_eq!((seen, source.address().port), (vec!["0 INCR b".to_owned()], same.local_addr().port()));
    // A stranger.
    let other = primary(PrimaryConfig::default().replid(REPLID.replace('4', "b").parse().unwrap())).await;
    place.send_replace(address(&other));
    same.shutdown().await;
    let error = read_to(&mut source, u64::MAX).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::HistoryLost, rdts_core::error::Retry::Restart), "{error}");
    assert!(error.to_string().contains("history"), "{error}");
}

#[tokio::test]
async fn a_source_that_stays_away_is_given_up() {
    let primary = primary(PrimaryConfig::default().replid(REPLID.parse().unwrap())).await;
    let mut source = ReplicaSource::open(address(&primary), TARGET, options(Duration::from_millis(300))).await.unwrap();
    primary.append(&[b"INCR", b"a"]);
    read_to(&mut source, primary.offset()).await.unwrap();
    primary.shutdown().await;
    let error = read_to(&mut source, u64::MAX).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    assert!(error.to_string().contains("300ms"), "{error}");
}

fn service(sentinel: &Sentinel) -> (Vec<NodeAddress>, Service) {
    let Endpoint::Sentinel { sentinels, service, credentials, .. } = sentinel.url().parse().unwrap() else {
        panic!("a URL of Sentinels")
    };
    (sentinels.clone(), Service::new(sentinels, service).credentials(credentials))
}

/// A source that follows a primary of Sentinels, and writes of known numbers to follow.
struct Following {
    sentinel: Sentinel,
    source: ReplicaSource,
    written: u32,
    replid: Option<ReplicationId>,
}

impl Following {
    async fn start(name: &str, durable: Durable) -> Self {
        let sentinel = Sentinel::builder(name).down_after(Duration::from_millis(500)).start();
        let (_, service) = service(&sentinel);
        let source = ReplicaSource::resume(Locator::sentinel(service), TARGET, options(LONG), durable).await.unwrap();
        Self { sentinel, source, written: 0, replid: None }
    }

    /// Has the primary written to, and reads exactly that, under another replication id than before.
    async fn writes_arrive(&mut self) {
        let (sentinel, from) = (&self.sentinel, self.written);
        self.written += 50;
        let numbers = from..self.written;
        let offset: u64 = tokio::task::block_in_place(|| {
            let node = sentinel.server(sentinel.primary());
            numbers.clone().for_each(|n| drop(node.cmd(&["SET", "k", &n.to_string()])));
            node.info("replication")["master_repl_offset"].parse().unwrap()
        });
        let mut seen = Vec::new();
        let expected: Vec<_> = numbers.map(|n| format!("0 SET k {n}")).collect();
        // The offset may be that of a former primary until the link is to the new one.
        while seen.len() < expected.len() {
            let (more, position) = read_to(&mut self.source, offset).await.unwrap();
            seen.extend(more.into_iter().filter(|text| text.starts_with("0 SET k")));
            if seen.len() >= expected.len() {
                assert_ne!(self.replid.replace(position.replid()), Some(position.replid()));
            }
        }
        assert_eq!(seen, expected);
        assert_eq!(self.source.address().port, self.sentinel.server(self.sentinel.primary()).port());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_after_a_crash_is_followed() {
    for name in ["redis-5.0", "valkey-9.1"] {
        let mut following = Following::start(name, Durable::default()).await;
        following.writes_arrive().await;
        let sentinel = &following.sentinel;
        let (old, other) = (sentinel.primary(), 1 - sentinel.primary());
        tokio::task::block_in_place(|| sentinel.server(other).wait_in_sync(sentinel.server(old)));
        tokio::task::block_in_place(|| sentinel.kill_primary());
        following.writes_arrive().await;
    }
}

/// The old primary goes on sending `PING` until a Sentinel tells it, up to 10 s later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_of_the_living_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let spooled = Durable::default().spool(directory.path(), SpoolOptions::default());
    for durable in [Durable::default(), spooled] {
        let mut following = Following::start("redis-7.0", durable).await;
        following.writes_arrive().await;
        following.sentinel.server(0).cmd(&["CONFIG", "SET", "repl-ping-replica-period", "1"]);
        tokio::task::block_in_place(|| following.sentinel.failover());
        following.writes_arrive().await;
    }
}

#[tokio::test]
async fn sentinels_know_services_by_their_names_and_do_not_promote_us() {
    let sentinel = Sentinel::start("redis-7.0");
    let (addresses, service) = service(&sentinel);
    let unknown = Service::new(addresses, "nobody").primary().await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Topology, "{unknown}");
    assert!(unknown.to_string().contains("'nobody'"), "{unknown}");
    assert_eq!(service.primary().await.unwrap().port, sentinel.server(sentinel.primary()).port());
    let _source = ReplicaSource::open(Locator::sentinel(service), TARGET, options(LONG)).await.unwrap();
    let primary = sentinel.server(sentinel.primary());
    primary.wait_until("us to be listed", LONG, |primary| primary.info("replication")["connected_slaves"] == "2");
    let ours = primary.info("replication").into_values().find(|value| value.contains("port=0,"));
    assert!(ours.is_some(), "announced as reachable nowhere");
}

#[tokio::test]
async fn sentinels_that_cannot_be_asked_are_named() {
    let nobody = NodeAddress::new("127.0.0.1", rdts_testkit::free_port());
    let error: Error = Service::new(vec![nobody.clone()], "x").primary().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    assert!(error.to_string().contains(&nobody.to_string()), "{error}");
    let server = rdts_testkit::Server::start("redis-7.0");
    let error = Service::new(vec![NodeAddress::new("127.0.0.1", server.port())], "x").primary().await.unwrap_err();
    assert!(error.to_string().contains("is no Sentinel"), "{error}");
}
