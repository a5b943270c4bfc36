//! Real servers as sources: restarts and promotions while nobody reads.

use super::*;

fn node(server: &Server) -> NodeAddress {
    NodeAddress::new("127.0.0.1", server.port())
}

fn offset(server: &Server) -> u64 {
    server.info("replication")["master_repl_offset"].parse().unwrap()
}

fn incr(server: &Server, count: usize) {
    (0..count).for_each(|_| drop(server.cmd(&["INCR", "n"])));
}

/// The increments that are in batches up to where `server` is now.
async fn increments(source: &mut ReplicaSource, server: &Server) -> (usize, Position) {
    let end = offset(server);
    let mut count = 0;
    loop {
        let batch = next(source).await.unwrap().expect("a stream");
        count += texts(&batch).iter().filter(|text| text.ends_with("INCR n")).count();
        if batch.position().is_stream() && batch.position().offset() >= end {
            return (count, *batch.position());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_promoted_while_nobody_read_goes_on() {
    for name in ["redis-5.0", "redis-7.0", "valkey-9.1"] {
        let (old, new) = (Server::start(name), Server::start(name));
        tokio::task::block_in_place(|| new.replicate(&old));
        let directory = tempfile::tempdir().unwrap();
        let start = async |server: &Server, resumed| {
            let durable = durable(directory.path(), resumed);
            ReplicaSource::resume(node(server), TARGET, options(), durable).await.unwrap()
        };
        let mut source = start(&old, None).await;
        incr(&old, 20);
        let (count, applied) = increments(&mut source, &old).await;
        assert_eq!(count, 20, "{name}");
        // The primary hears what is applied.
        source.acknowledge(&applied).await.unwrap();
        let heard = format!("offset={}", applied.offset());
        tokio::task::block_in_place(|| {
            let listed = |server: &Server| server.info("replication").into_values().any(|value| value.contains(&heard));
            old.wait_until("the acknowledgement", LONG, listed);
        });
        // Read, but not applied, when the run ends.
        incr(&old, 10);
        increments(&mut source, &old).await;
        drop(source);
        incr(&old, 5);
        tokio::task::block_in_place(|| {
            new.wait_in_sync(&old);
            old.kill();
            new.promote();
        });
        incr(&new, 3);
        let mut source = start(&new, Some(applied)).await;
        let (count, position) = increments(&mut source, &new).await;
        assert_eq!(count, 18, "{name}");
        assert_ne!(position.replid(), applied.replid(), "{name}");
        drop(source);
        // Without the spool the server has it all, too.
        let durable = Durable::default().resumed(Some(applied));
        let mut source = ReplicaSource::resume(node(&new), TARGET, options(), durable).await.unwrap();
        assert_eq!(increments(&mut source, &new).await.0, 18, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_restarted_goes_on_if_it_kept_its_history() {
    for (name, keeps) in [("redis-7.0", true), ("redis-5.0", false)] {
        let server = Server::start(name);
        let mut source = ReplicaSource::open(node(&server), TARGET, options()).await.unwrap();
        incr(&server, 5);
        let (_, position) = increments(&mut source, &server).await;
        drop(source);
        tokio::task::block_in_place(|| {
            server.cmd(&["SAVE"]);
            server.stop();
            server.restart();
        });
        incr(&server, 3);
        let durable = Durable::default().resumed(Some(position));
        match ReplicaSource::resume(node(&server), TARGET, options(), durable).await {
            Ok(mut source) => {
                assert_eq!(increments(&mut source, &server).await.0, 3, "{name}");
                assert!(keeps, "{name}");
            }
            Err(error) => assert!(error.kind() == ErrorKind::HistoryLost && !keeps, "{name}: {error}"),
        }
    }
}
