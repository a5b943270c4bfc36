//! The sink for one server: against real ones, and against ones that go wrong.

use std::time::Duration;

use rdts_core::endpoint::NodeAddress;
use rdts_core::net::Deadlines;
use rdts_core::record::{Batch, BatchBuilder, Expect, Kind, Mark, ReplicationId};
use rdts_core::{ErrorKind, Position, Sink};
use rdts_sink::{NodeOptions, NodeSink};
use rdts_testkit::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LONG: Duration = Duration::from_secs(20);

/// A batch of commands, each with its mark, that ends at `offset`.
fn batch(offset: u64, commands: &[(Mark, &str)]) -> Batch {
    let mut builder = BatchBuilder::new(256);
    for (mark, text) in commands {
        let words: Vec<&str> = text.split(' ').collect();
        rdts_resp::encode::command(builder.arena(), &words);
        builder.commit(*mark, None, offset);
    }
    builder.take(Position::stream(ReplicationId::NONE, offset, 0))
}

fn write(db: u32) -> Mark {
    Mark::new(db, Kind::Write)
}

fn address(server: &Server) -> NodeAddress {
    NodeAddress::new("127.0.0.1", server.port())
}

#[tokio::test]
async fn databases_are_selected_also_inside_of_transactions() {
    let server = Server::start("redis-7.0");
    let mut sink = NodeSink::connect(&address(&server), NodeOptions::default()).await.unwrap();
    let multi = Mark::new(0, Kind::Multi);
    let exec = Mark::new(5, Kind::Exec);
    sink.write(batch(1, &[(write(0), "SET a 0"), (write(3), "SET a 3"), (write(0), "SET b 0")])).await.unwrap();
    sink.write(batch(2, &[(multi, "MULTI"), (write(0), "INCR a"), (write(5), "SET a 5"), (exec, "EXEC")]))
        .await
        .unwrap();
    sink.write(batch(3, &[(write(5), "APPEND a 5")])).await.unwrap();
    sink.flush().await.unwrap();
    let acked = sink.acked();
    assert_eq!((acked.batches, acked.counts.commands), (3, 8));
    assert_eq!(acked.position, Some(Position::stream(ReplicationId::NONE, 3, 0)));
    sink.close().await.unwrap();
    let mut connection = server.connection();
    for (db, key, value) in [(0, "a", "1"), (3, "a", "3"), (0, "b", "0"), (5, "a", "55")] {
        redis::cmd("SELECT").arg(db).exec(&mut connection).unwrap();
        let found: String = redis::cmd("GET").arg(key).query(&mut connection).unwrap();
        assert_eq!(found, value, "{key} in {db}");
    }
}

#[tokio::test]
async fn a_batch_larger_than_the_window_goes_alone() {
    let server = Server::start("redis-7.0");
    let mut sink = NodeSink::connect(&address(&server), NodeOptions::default().window(10)).await.unwrap();
    for number in 0..50 {
        let command = format!("SET key:{number} {}", "v".repeat(1000));
        sink.write(batch(number, &[(write(0), &command)])).await.unwrap();
        assert!(sink.acked().batches >= number.saturating_sub(1), "more than one batch was under way");
    }
    sink.close().await.unwrap();
    assert_eq!(server.cmd(&["DBSIZE"]), redis::Value::Int(50));
}

#[tokio::test]
async fn the_first_bad_reply_stops_the_sink_before_its_batch() {
    let server = Server::start("redis-7.0");
    server.cmd(&["SET", "string", "x"]);
    let snapshot = Mark::new(0, Kind::Snapshot).expect(Expect::Created).keys(1);
    let multi = Mark::new(0, Kind::Multi);
    let exec = Mark::new(0, Kind::Exec);
    for (name, commands, kind, words) in [
        ("wrong type", vec![(write(0), "LPUSH string x")], ErrorKind::Rejected, "WRONGTYPE"),
        ("unknown", vec![(write(0), "FROBNICATE x")], ErrorKind::Rejected, "FROBNICATE"),
        ("key is there", vec![(snapshot, "SET string y NX")], ErrorKind::TargetNotEmpty, "somebody else"),
        (
            "renamed onto",
            vec![(write(0), "SET t x"), (snapshot, "RENAMENX t string")],
            ErrorKind::TargetNotEmpty,
            "RENAMENX",
        ),
        (
            "in a transaction",
            vec![(multi, "MULTI"), (write(0), "LPUSH string x"), (exec, "EXEC")],
            ErrorKind::Rejected,
            "WRONGTYPE",
        ),
        (
            "in a queue",
            vec![(multi, "MULTI"), (write(0), "FROBNICATE x"), (exec, "EXEC")],
            ErrorKind::Rejected,
            "FROBNICATE",
        ),
        ("no script", vec![(Mark::new(0, Kind::Script), "EVALSHA aaaa 0")], ErrorKind::Rejected, "NOSCRIPT"),
        ("no database", vec![(write(99), "SET a b")], ErrorKind::Rejected, "SELECT 99"),
    ] {
        let mut sink = NodeSink::connect(&address(&server), NodeOptions::default()).await.unwrap();
        sink.write(batch(1, &[(write(0), "SET good 1")])).await.unwrap();
        sink.flush().await.unwrap();
        let error = match sink.write(batch(2, &commands)).await {
            Ok(()) => sink.flush().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(words) && error.to_string().contains(&server.addr()), "{name}: {error}");
        assert_eq!((sink.acked().batches, sink.acked().counts.commands), (1, 1), "{name}");
        assert_eq!(sink.write(batch(3, &[(write(0), "SET late 1")])).await.unwrap_err().kind(), kind, "{name}");
        drop(sink);
        assert_eq!(server.cmd(&["EXISTS", "late"]), redis::Value::Int(0), "{name}");
    }
    assert_eq!(server.cmd(&["GET", "string"]), redis::Value::BulkString(b"x".to_vec()));
}

#[tokio::test]
async fn a_script_that_fails_as_it_did_in_the_source_is_counted_and_no_obstacle() {
    let server = Server::start("redis-7.0");
    let script = Mark::new(0, Kind::Script);
    let multi = Mark::new(0, Kind::Multi);
    let exec = Mark::new(0, Kind::Exec);
    let fails = "EVAL redis.call('SET','a','1')return(redis.call('LPUSH','a','x')) 0";
    let mut sink = NodeSink::connect(&address(&server), NodeOptions::default()).await.unwrap();
    sink.write(batch(1, &[(script, fails)])).await.unwrap();
    sink.write(batch(2, &[(multi, "MULTI"), (write(0), "SET b 1"), (script, fails), (exec, "EXEC")])).await.unwrap();
    sink.flush().await.unwrap();
    assert_eq!(sink.acked().counts.script_errors, 2);
    assert_eq!(server.cmd(&["MGET", "a", "b"]), redis::Value::Array(vec![redis::Value::BulkString(b"1".to_vec()); 2]));
}

#[tokio::test]
async fn keys_that_are_there_can_be_left_alone_and_counted() {
    let server = Server::start("redis-7.0");
    server.cmd(&["SET", "old", "x"]);
    let keep = Mark::new(0, Kind::Snapshot).expect(Expect::CreatedOrKept).keys(1);
    let gone = Mark::new(0, Kind::Snapshot).may_expire(true).keys(1);
    let mut sink = NodeSink::connect(&address(&server), NodeOptions::default()).await.unwrap();
    let commands = [(keep, "SET old y NX"), (keep, "SET new y NX"), (gone, "RENAME expired z")];
    sink.write(batch(1, &commands)).await.unwrap();
    sink.flush().await.unwrap();
    let counts = sink.acked().counts;
    assert_eq!((counts.keys, counts.kept, counts.commands), (2, 1, 3));
}

#[tokio::test]
async fn a_server_that_dies_is_told_of_also_when_nothing_is_written() {
    let server = Server::start("redis-7.0");
    let mut sink = NodeSink::connect(&address(&server), NodeOptions::default()).await.unwrap();
    sink.write(batch(1, &[(write(0), "SET a 1")])).await.unwrap();
    sink.flush().await.unwrap();
    server.kill();
    let failed = tokio::time::timeout(LONG, async {
        loop {
            if let Err(error) = sink.flush().await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    });
    let error = failed.await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
    assert!(error.to_string().contains(&server.addr()), "{error}");
}

/// A server that introduces itself and then answers whatever comes with `answer`, once, and goes on reading.
async fn scripted(answer: &'static [u8], then_close: bool) -> NodeAddress {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = NodeAddress::new("127.0.0.1", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let info = "redis_version:7.0.0\r\n";
        let info = format!("${}\r\n{info}\r\n", info.len());
        let mut buffer = vec![0; 4096];
        for reply in [b"+PONG\r\n".as_slice(), info.as_bytes(), answer] {
            if socket.read(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
            socket.write_all(reply).await.unwrap();
        }
        if !then_close {
            while socket.read(&mut buffer).await.unwrap_or(0) > 0 {}
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_goes_wrong_is_told_of_with_its_address() {
    let deadlines = Deadlines::default().reply(Duration::from_millis(300));
    for (name, answer, then_close, kind) in [
        ("silence", b"".as_slice(), false, ErrorKind::Timeout),
        ("half a reply", b"+O", false, ErrorKind::Timeout),
        ("closes", b"", true, ErrorKind::Disconnected),
        ("rubbish", b"what?\r\n", false, ErrorKind::Protocol),
        ("one reply too many", b"+OK\r\n+OK\r\n", false, ErrorKind::Disconnected),
    ] {
        let address = scripted(answer, then_close).await;
        let mut sink = NodeSink::connect(&address, NodeOptions::default().deadlines(deadlines)).await.unwrap();
        let failed = tokio::time::timeout(LONG, async {
            if let Err(error) = sink.write(batch(1, &[(write(0), "SET a 1")])).await {
                return error;
            }
            loop {
                if let Err(error) = sink.flush().await {
                    return error;
                }
                tokio::task::yield_now().await;
            }
        });
        let error = failed.await.unwrap_or_else(|_| panic!("{name}: takes too long"));
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(&address.to_string()), "{name}: {error}");
    }
}
