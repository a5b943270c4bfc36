//! The sink for one server with a checkpoint: every command exactly once.

mod failures;
mod network;
mod recovery;

use std::time::Duration;

use rdts_core::checkpoint::CheckpointName;
use rdts_core::endpoint::NodeAddress;
use rdts_core::net::Deadlines;
use rdts_core::record::{Batch, BatchBuilder, Kind, Mark, ReplicationId};
use rdts_core::{ErrorKind, Position, Sink};
use rdts_sink::node::remove_checkpoint;
use rdts_sink::{NodeOptions, NodeSink};
use rdts_testkit::Server;
use redis::Value;

pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A batch of commands, each with its mark, that ends at `offset`.
fn batch(offset: u64, commands: &[(Mark, &str)]) -> Batch {
    let mut builder = BatchBuilder::new(256);
    let first = offset + 1 - commands.len() as u64;
    for (number, (mark, text)) in commands.iter().enumerate() {
        let words: Vec<&str> = text.split(' ').collect();
        rdts_resp::encode::command(builder.arena(), &words);
        builder.commit(*mark, None, first + number as u64);
    }
    builder.take(at(offset))
}

fn at(offset: u64) -> Position {
    Position::stream(ReplicationId::NONE, offset, 0)
}

fn write(db: u32) -> Mark {
    Mark::new(db, Kind::Write)
}

fn address(server: &Server) -> NodeAddress {
    NodeAddress::new("127.0.0.1", server.port())
}

fn name() -> CheckpointName {
    CheckpointName::new("test", 0).unwrap()
}

fn options() -> NodeOptions {
    NodeOptions::default().checkpoint(name()).patience(LONG)
}

async fn sink(server: &Server) -> NodeSink {
    NodeSink::connect(&address(server), options()).await.unwrap()
}

fn text(server: &Server, db: u32, key: &str) -> Option<String> {
    let mut connection = server.connection();
    redis::cmd("SELECT").arg(db).exec(&mut connection).unwrap();
    redis::cmd("GET").arg(key).query(&mut connection).unwrap()
}

fn checkpoint(server: &Server) -> Option<String> {
    text(server, 0, "rdts:checkpoint:test/0")
}

/// Writes, and gives the error that this or the flush after it ends with.
async fn failure(sink: &mut NodeSink, batch: Batch) -> rdts_core::Error {
    match sink.write(batch).await {
        Ok(()) => tokio::time::timeout(LONG, sink.flush()).await.unwrap().unwrap_err(),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_checkpoint_says_where_a_target_is_and_a_sink_goes_on_there() {
    for version in ["redis-2.8", "redis-3.2", "redis-7.0", "valkey-9.1"] {
        let server = Server::start(version);
        let mut first = sink(&server).await;
        assert_eq!((first.resumed(), checkpoint(&server)), (None, None));
        let (multi, exec) = (Mark::new(0, Kind::Multi), Mark::new(3, Kind::Exec));
        first.write(batch(2, &[(write(0), "INCR a"), (write(3), "INCR a")])).await.unwrap();
        let transaction = [(multi, "MULTI"), (write(0), "INCR a"), (write(3), "INCR b"), (exec, "EXEC")];
        first.write(batch(6, &transaction)).await.unwrap();
        first.write(batch(7, &[(write(3), "INCR a")])).await.unwrap();
        first.flush().await.unwrap();
        let acked = first.acked();
        assert_eq!((acked.batches, acked.counts.commands, acked.position), (3, 7, Some(at(7))), "{version}");
        first.close().await.unwrap();
        let stored = checkpoint(&server).unwrap();
        assert!(stored.starts_with("1 ") && stored.ends_with(&format!(" {}", at(7))), "{version}: {stored}");

        let mut second = sink(&server).await;
        assert_eq!(second.resumed(), Some(at(7)), "{version}");
        // What a source sends again is dropped: whole batches, and the beginning of the first that goes on.
        second.write(batch(6, &transaction)).await.unwrap();
        second.write(batch(7, &[(write(3), "INCR a")])).await.unwrap();
        second.flush().await.unwrap();
        assert_eq!((second.acked().batches, second.acked().counts.commands), (2, 0), "{version}");
        second.write(batch(8, &[(write(3), "INCR a"), (write(0), "INCR c")])).await.unwrap();
        second.write(batch(9, &[(write(0), "INCR c")])).await.unwrap();
        second.close().await.unwrap();
        for (db, key, value) in [(0, "a", "2"), (3, "a", "2"), (3, "b", "1"), (0, "c", "2")] {
            assert_eq!(text(&server, db, key).as_deref(), Some(value), "{version}: {key} in {db}");
        }

        assert!(remove_checkpoint(&address(&server), &name(), Deadlines::default()).await.unwrap(), "{version}");
        assert!(!remove_checkpoint(&address(&server), &name(), Deadlines::default()).await.unwrap(), "{version}");
        assert_eq!((checkpoint(&server), sink(&server).await.resumed()), (None, None), "{version}");
    }
}

#[tokio::test]
async fn a_snapshot_that_does_not_lead_to_where_the_target_is_is_refused() {
    let server = Server::start("redis-7.0");
    let mut first = sink(&server).await;
    first.write(batch(7, &[(write(0), "INCR a")])).await.unwrap();
    first.close().await.unwrap();
    let mut second = sink(&server).await;
    let mut builder = BatchBuilder::new(16);
    rdts_resp::encode::command(builder.arena(), ["SET", "a", "0"]);
    builder.commit(Mark::new(0, Kind::Snapshot), None, 10);
    let snapshot = builder.take(Position::snapshot(ReplicationId::NONE, 20, 10));
    let error = second.write(snapshot).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HistoryLost, "{error}");
    assert_eq!(text(&server, 0, "a").as_deref(), Some("1"));
}

#[tokio::test]
async fn commands_that_remove_or_move_the_checkpoint_leave_one() {
    for version in ["redis-5.0", "redis-7.0", "valkey-9.1"] {
        let server = Server::start(version);
        let mut sink = sink(&server).await;
        let mut offset = 0;
        for command in ["INCR a", "FLUSHALL", "SWAPDB 0 3", "INCR b", "SWAPDB 3 5", "FLUSHDB", "SWAPDB 0 1"] {
            offset += 1;
            sink.write(batch(offset, &[(write(0), command), (write(0), "INCR c")])).await.unwrap();
            sink.flush().await.unwrap();
            let stored = checkpoint(&server).unwrap();
            assert!(stored.ends_with(&format!(" {}", at(offset))), "{version}: {command}: {stored}");
            for db in 1..6 {
                assert_eq!(text(&server, db, "rdts:checkpoint:test/0"), None, "{version}: {command}");
            }
        }
        sink.close().await.unwrap();
        assert_eq!(text(&server, 1, "c").as_deref(), Some("1"), "{version}");
    }
}

#[tokio::test]
async fn code_and_scripts_are_part_of_transactions() {
    let (code, script) = (Mark::new(0, Kind::Code), Mark::new(0, Kind::Script));
    for version in ["redis-2.8", "redis-7.0", "redis-8.2", "valkey-9.1"] {
        let server = Server::start(version);
        let mut sink = sink(&server).await;
        sink.write(batch(1, &[(code, "SCRIPT LOAD return(redis.call('INCR','a'))")])).await.unwrap();
        let fails = "EVAL redis.call('INCR','a')return(redis.call('LPUSH','a','x')) 0";
        sink.write(batch(3, &[(script, fails), (script, "EVALSHA f6f1fc0d46bd8e23c1a2a8f6bbff63e7b1a5f8f0 0")]))
            .await
            .unwrap();
        let error = tokio::time::timeout(LONG, sink.flush()).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("NOSCRIPT"), "{version}: {error}");
        assert_eq!(text(&server, 0, "a").as_deref(), Some("1"), "{version}: the script ran");
    }
}

#[tokio::test]
async fn a_transaction_of_many_megabytes_goes_through_and_small_ones_are_put_together() {
    let server = Server::start("redis-7.0");
    let mut sink = NodeSink::connect(&address(&server), options().window(64 << 10)).await.unwrap();
    let big = format!("SET big {}", "v".repeat(20 << 20));
    sink.write(batch(1, &[(write(0), &big)])).await.unwrap();
    for number in 0..20_000_u64 {
        sink.write(batch(number + 2, &[(write(0), "INCR a")])).await.unwrap();
    }
    sink.close().await.unwrap();
    assert_eq!(text(&server, 0, "a").as_deref(), Some("20000"));
    assert_eq!(server.cmd(&["STRLEN", "big"]), Value::Int(20 << 20));
    let transactions: u64 = checkpoint(&server).unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    assert!(transactions < 10_000, "{transactions} transactions for 20001 batches");
}
