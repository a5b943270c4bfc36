//! The replica source against our own primary in all its manners, and against primaries that go wrong.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rdts_core::endpoint::NodeAddress;
use rdts_core::primary::{Primary, PrimaryConfig, Protocol, SnapshotFraming};
use rdts_core::replica::{LinkConfig, ReplicaLink, Resume, Sync};
use rdts_core::source::{Reconnect, ReplicaOptions, ReplicaSource};
use rdts_core::{Error, ErrorKind, Pipeline, Source};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::collector::{Collector, TARGET};

/// One key in database 0, no checksum.
const SNAPSHOT: &[u8] = b"REDIS0009\xfe\x00\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0";
const REPLID: &str = "4c1b873d2c85f0b3c32321aee14c7ef5363543d4";
const LONG: Duration = Duration::from_secs(20);

fn config() -> PrimaryConfig {
    PrimaryConfig::default().replid(REPLID.parse().unwrap())
}

/// A link that breaks is not looked for.
fn once() -> ReplicaOptions {
    ReplicaOptions::default().reconnect(Reconnect::default().within(Duration::ZERO))
}

async fn primary(config: PrimaryConfig) -> (Primary, NodeAddress) {
    let primary = Primary::bind("127.0.0.1:0", config).await.unwrap();
    primary.set_snapshot(Bytes::from_static(SNAPSHOT), primary.offset()).unwrap();
    let address = NodeAddress::new("127.0.0.1", primary.local_addr().port());
    (primary, address)
}

/// Becomes a replica of `primary`, which then writes, and gives what arrives.
async fn copy(config: PrimaryConfig) -> Vec<(u32, String)> {
    let counts_offsets = !format!("{config:?}").contains("SyncOnly");
    let (primary, address) = primary(config).await;
    let source = ReplicaSource::open(&address, TARGET, ReplicaOptions::default()).await.unwrap();
    assert_eq!(source.has_offsets(), counts_offsets);
    let sink = Collector::new();
    let seen = sink.seen.clone();
    let pipeline = Pipeline::new(source, sink);
    let handle = pipeline.handle();
    let running = tokio::spawn(pipeline.run());
    let start = primary.offset();
    let mut end = start;
    for command in [
        &["SELECT", "3"][..],
        &["SET", "a", "x\r\ny"],
        &["PING"],
        &["MULTI"],
        &["INCR", "n"],
        &["SELECT", "0"],
        &["LPUSH", "l", "1", "2"],
        &["EXEC"],
        &["PUBLISH", "channel", "message"],
        &["REPLCONF", "GETACK", "*"],
        &["DEL", "k"],
    ] {
        end = primary.append(&command.iter().map(|arg| arg.as_bytes()).collect::<Vec<_>>());
    }
    handle.stop_at(if counts_offsets { end } else { end - start });
    let finished = tokio::time::timeout(LONG, running).await.unwrap().unwrap();
    finished.result.unwrap();
    assert_eq!(finished.report.ledger.intake.messages, 1);
    let seen = seen.lock().unwrap();
    if counts_offsets {
        assert_eq!(seen.last().unwrap().2, end, "the offset is the primary's, to the byte");
        let position = finished.report.applied.position.unwrap();
        // It may ping on its own.
        assert!(position.is_stream() && position.offset() >= end, "{position}");
        assert_eq!(position.replid(), primary.replid());
    }
    seen.iter().map(|(db, text, _)| (*db, text.clone())).collect()
}

#[tokio::test]
async fn every_manner_of_a_primary_gives_the_same() {
    let expected = [
        (0, "SET k v NX"),
        (3, "SET a x\\r\\ny"),
        (3, "MULTI"),
        (3, "INCR n"),
        (0, "LPUSH l 1 2"),
        (0, "EXEC"),
        (0, "DEL k"),
    ]
    .map(|(db, text)| (db, text.to_owned()));
    let slow = Duration::from_millis(5);
    for (name, config) in [
        ("defaults", config()),
        ("length", config().framing(SnapshotFraming::Length)),
        ("delimiter", config().framing(SnapshotFraming::Eof)),
        ("a byte at a time", config().framing(SnapshotFraming::Eof).write_chunk(1)),
        ("a byte at a time, with length", config().framing(SnapshotFraming::Length).write_chunk(1)),
        ("newlines", config().newlines_before_reply(3).newlines_before_snapshot(3).newline_period(slow)),
        ("pings", config().ping_period(slow)),
        ("as of old", config().protocol(Protocol::Psync)),
        ("only SYNC", config().protocol(Protocol::SyncOnly)),
        ("an offset far on", config().offset(1 << 40)),
    ] {
        let seen = tokio::time::timeout(LONG, copy(config)).await;
        let seen = seen.unwrap_or_else(|_| panic!("{name}: takes too long"));
        assert_eq!(seen, expected, "{name}");
    }
}

#[tokio::test]
async fn a_password_is_given() {
    let config = config().password("s3cret").user("mover");
    let (_primary, mut address) = primary(config).await;
    let refused = ReplicaLink::open(&address, LinkConfig::default(), Resume::FullCopy).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Auth);
    let url = format!("redis://mover:s3cret@{address}");
    let rdts_core::Endpoint::Node { address: with_password, .. } = url.parse().unwrap() else { panic!("{url}") };
    address = with_password;
    ReplicaLink::open(&address, LinkConfig::default(), Resume::FullCopy).await.unwrap();
}

#[tokio::test]
async fn a_primary_that_is_not_ready_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = NodeAddress::new("127.0.0.1", listener.local_addr().unwrap().port());
    let primary = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let (read, mut write) = socket.into_split();
        let mut lines = BufReader::new(read).lines();
        let (mut pings, mut psyncs) = (0, 0);
        while let Ok(Some(line)) = lines.next_line().await {
            let reply = match line.as_str() {
                "PING" if pings == 0 => "-LOADING Redis is loading the dataset in memory\r\n",
                "PING" => "+PONG\r\n",
                "PSYNC" if psyncs == 0 => "-NOMASTERLINK Can't SYNC while not connected with my master\r\n",
                "PSYNC" => "+FULLRESYNC 4c1b873d2c85f0b3c32321aee14c7ef5363543d4 0\r\n$9\r\nREDIS0009",
                "listening-port" | "psync2" | "version" => "+OK\r\n",
                _ => continue,
            };
            pings += usize::from(line == "PING");
            psyncs += usize::from(line == "PSYNC");
            write.write_all(reply.as_bytes()).await.unwrap();
            if psyncs == 2 {
                break;
            }
        }
        (pings, psyncs)
    });
    let opened = ReplicaLink::open(&address, LinkConfig::default(), Resume::FullCopy).await.unwrap();
    assert_eq!(opened.framing(), Some(rdts_core::replica::Framing::Length(9)));
    assert_eq!(primary.await.unwrap(), (2, 2));
}

#[tokio::test]
async fn acknowledgements_go_on_while_the_sink_is_stuck_and_say_what_is_applied() {
    let (primary, address) = primary(config()).await;
    let link = LinkConfig::default().ack_period(Duration::from_millis(10));
    let source = ReplicaSource::open(&address, TARGET, ReplicaOptions::default().link(link)).await.unwrap();
    let sink = Collector::with_permits(0);
    let permits = sink.permits.clone();
    let pipeline = Pipeline::new(source, sink);
    let handle = pipeline.handle();
    let running = tokio::spawn(pipeline.run());
    let snapshot_offset = primary.offset();
    let end = primary.append(&[b"SET", b"a", b"1"]);
    // Three acknowledgements although nothing has been applied, and none of them says that it has.
    for _ in 0..3 {
        let before = Instant::now();
        let heard = primary.wait_for(|replicas| replicas.first().is_some_and(|replica| replica.heard > before));
        tokio::time::timeout(LONG, heard).await.unwrap();
        assert_eq!(primary.replicas()[0].acknowledged, snapshot_offset);
    }
    permits.add_permits(100);
    tokio::time::timeout(LONG, primary.wait_acknowledged(end)).await.unwrap();
    handle.stop();
    running.await.unwrap().result.unwrap();
}

#[tokio::test]
async fn a_partial_resync_goes_on_after_the_offset() {
    for protocol in [Protocol::Psync2, Protocol::Psync] {
        let (primary, address) = primary(config().protocol(protocol)).await;
        let seen = primary.append(&[b"SET", b"seen", b"1"]);
        let end = primary.append(&[b"SET", b"unseen", b"1"]);
        let resume = Resume::After { replid: primary.replid(), offset: seen };
        let mut link = ReplicaLink::open(&address, LinkConfig::default(), resume).await.unwrap();
        assert_eq!(link.sync(), Sync::Continue { replid: primary.replid() });
        let mut stream = BytesMut::new();
        while (stream.len() as u64) < end - seen {
            link.fill(&mut stream).await.unwrap();
        }
        assert_eq!(stream, b"*3\r\n$3\r\nSET\r\n$6\r\nunseen\r\n$1\r\n1\r\n".as_slice());
    }
}

/// A primary that shakes hands and then sends `bytes`, in pieces of `piece` bytes, and closes.
async fn scripted(bytes: Vec<u8>, piece: usize) -> NodeAddress {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (read, mut write) = socket.into_split();
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            match line.as_str() {
                "PING" => write.write_all(b"+PONG\r\n").await.unwrap(),
                "listening-port" | "psync2" | "version" => write.write_all(b"+OK\r\n").await.unwrap(),
                "PSYNC" => break,
                _ => {}
            }
        }
        for piece in bytes.chunks(piece) {
            write.write_all(piece).await.unwrap();
        }
        write.shutdown().await.unwrap();
        // Reading on to its end keeps the kernel from cutting what is still under way.
        let _ = lines.into_inner().read_to_end(&mut Vec::new()).await;
    });
    NodeAddress::new("127.0.0.1", port)
}

async fn failure(bytes: Vec<u8>, piece: usize) -> Error {
    let address = scripted(bytes, piece).await;
    let opened = ReplicaSource::open(&address, TARGET, once()).await;
    let error = match opened {
        Err(error) => error,
        Ok(source) => Pipeline::new(source, Collector::new()).run().await.result.unwrap_err(),
    };
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    error
}

#[tokio::test]
async fn a_primary_that_goes_wrong_is_told_of_with_its_address() {
    let full = format!("+FULLRESYNC {REPLID} 7\r\n");
    let with = |rest: &[&[u8]]| [full.as_bytes(), &rest.concat()].concat();
    let delimiter = [b'5'; 40];
    let wrong = [b'6'; 40];
    let header = [b"$EOF:".as_slice(), &delimiter, b"\r\n"].concat();
    let sized = |length: usize| format!("${length}\r\n").into_bytes();
    let whole = SNAPSHOT.len();
    for (name, bytes, kind, words) in [
        ("closes at once", vec![], ErrorKind::Disconnected, "closed"),
        ("an error for PSYNC", b"-ERR no\r\n".to_vec(), ErrorKind::Rejected, "-ERR no"),
        ("no permission", b"-NOPERM no\r\n".to_vec(), ErrorKind::ReplicationForbidden, "NOPERM"),
        ("an id that is none", b"+FULLRESYNC abc 1\r\n".to_vec(), ErrorKind::Protocol, "abc"),
        ("continues unasked", b"+CONTINUE\r\n".to_vec(), ErrorKind::Protocol, "CONTINUE"),
        ("a line without end", vec![b'+'; 70_000], ErrorKind::Protocol, "64 KiB"),
        ("no snapshot", with(&[b"-ERR fork failed\r\n"]), ErrorKind::Rejected, "fork failed"),
        ("no header", with(&[b"+OK\r\n"]), ErrorKind::Protocol, "header"),
        ("a length that is none", with(&[b"$-1\r\n"]), ErrorKind::Protocol, "$-1"),
        ("no RDB", with(&[b"$20\r\n", b"HTTP/1.1 200 OK\r\n\r\n\r\n"]), ErrorKind::Snapshot, "offset 0"),
        ("a cut RDB", with(&[&sized(whole), &SNAPSHOT[..15]]), ErrorKind::Disconnected, "closed"),
        ("too short", with(&[&sized(15), SNAPSHOT]), ErrorKind::Snapshot, "offset"),
        ("too long", with(&[&sized(whole + 1), SNAPSHOT, b"x"]), ErrorKind::Snapshot, "announced"),
        ("the wrong delimiter", with(&[&header, SNAPSHOT, &wrong]), ErrorKind::Snapshot, "delimiter"),
        ("no delimiter", with(&[&header, SNAPSHOT]), ErrorKind::Disconnected, "closed"),
        ("half a delimiter", with(&[&header, SNAPSHOT, &delimiter[..39]]), ErrorKind::Disconnected, "closed"),
        ("rubbish as stream", with(&[&sized(whole), SNAPSHOT, b"*1\r\n:5\r\n"]), ErrorKind::Protocol, "offset 7"),
        (
            "a database that is none",
            with(&[&sized(whole), SNAPSHOT, b"*2\r\n$6\r\nSELECT\r\n$1\r\nx\r\n"]),
            ErrorKind::Protocol,
            "SELECT",
        ),
        ("half a command", with(&[&sized(whole), SNAPSHOT, b"*1\r\n$4\r\nPI"]), ErrorKind::Disconnected, "closed"),
    ] {
        for piece in [1, 1 << 20] {
            let failing = tokio::time::timeout(LONG, failure(bytes.clone(), piece)).await;
            let error = failing.unwrap_or_else(|_| panic!("{name}: takes too long"));
            assert_eq!(error.kind(), kind, "{name}, {piece}: {error}");
            assert!(error.to_string().contains(words), "{name}, {piece}: {error}");
        }
    }
}

#[tokio::test]
async fn an_open_transaction_at_the_end_is_not_passed_on() {
    let stream = b"*2\r\n$3\r\nDEL\r\n$1\r\na\r\n*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";
    let header = format!("+FULLRESYNC {REPLID} 0\r\n${}\r\n", SNAPSHOT.len());
    let address = scripted([header.as_bytes(), SNAPSHOT, stream].concat(), 1 << 20).await;
    let source = ReplicaSource::open(&address, TARGET, once()).await.unwrap();
    let sink = Collector::new();
    let seen = sink.seen.clone();
    let finished = Pipeline::new(source, sink).run().await;
    assert_eq!(finished.result.unwrap_err().kind(), ErrorKind::Disconnected);
    let seen: Vec<String> = seen.lock().unwrap().iter().map(|(_, text, _)| text.clone()).collect();
    assert!(!seen.iter().any(|text| text == "MULTI" || text.starts_with("INCR")), "{seen:?}");
    assert!(seen.contains(&"SET k v NX".to_owned()), "{seen:?}");
}

#[tokio::test]
async fn snapshot_only_ends_with_the_snapshot() {
    let (primary, address) = primary(config()).await;
    primary.append(&[b"SET", b"later", b"1"]);
    let options = ReplicaOptions::default().snapshot_only(true);
    let mut source = ReplicaSource::open(&address, TARGET, options).await.unwrap();
    let mut commands = 0;
    while let Some(batch) = source.next().await.unwrap() {
        commands += batch.len();
        assert!(!batch.position().is_stream());
    }
    assert_eq!(commands, 1);
}
