//! What a target refuses.

use rdts_core::record::Expect;

use super::*;

#[tokio::test]
async fn a_command_that_fails_stops_the_run_for_good() {
    for (version, commands, kind, words) in [
        ("redis-2.8", vec![(write(0), "LPUSH string x")], ErrorKind::Rejected, "LPUSH"),
        ("redis-7.0", vec![(write(0), "INCR a"), (write(0), "LPUSH string x")], ErrorKind::Rejected, "WRONGTYPE"),
        (
            "valkey-9.1",
            vec![(Mark::new(0, Kind::Snapshot).expect(Expect::Created).keys(1), "SET string y NX")],
            ErrorKind::TargetNotEmpty,
            "somebody else",
        ),
    ] {
        let server = Server::start(version);
        server.cmd(&["SET", "string", "x"]);
        let mut first = sink(&server).await;
        first.write(batch(1, &[(write(0), "SET good 1")])).await.unwrap();
        first.flush().await.unwrap();
        let error = failure(&mut first, batch(3, &commands)).await;
        assert_eq!(error.kind(), kind, "{version}: {error}");
        assert!(error.to_string().contains(words) && error.to_string().contains(&server.addr()), "{error}");
        assert_eq!((first.acked().batches, first.acked().position), (1, Some(at(1))), "{version}");
        assert!(first.write(batch(4, &[(write(0), "SET late 1")])).await.is_err(), "{version}");
        drop(first);
        assert_eq!(text(&server, 0, "late"), None, "{version}");
        let error = NodeSink::connect(&address(&server), options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{version}: {error}");
        assert!(error.to_string().contains(words) && error.to_string().contains("remove the checkpoint"), "{error}");
        // An operator says that it may begin anew.
        remove_checkpoint(&address(&server), &name(), Deadlines::default()).await.unwrap();
        assert_eq!(sink(&server).await.resumed(), None, "{version}");
    }
}

#[tokio::test]
async fn what_cannot_be_queued_leaves_nothing_and_may_be_resumed() {
    for version in ["redis-2.8", "redis-5.0", "redis-7.0", "valkey-9.1"] {
        let server = Server::start(version);
        let mut first = sink(&server).await;
        first.write(batch(1, &[(write(0), "SET good 1")])).await.unwrap();
        first.flush().await.unwrap();
        for (commands, words) in [
            (vec![(write(0), "INCR a"), (write(0), "FROBNICATE x")], "FROBNICATE"),
            (vec![(write(0), "INCR a"), (write(99), "SET a b")], "SELECT 99"),
        ] {
            let error = failure(&mut first, batch(3, &commands)).await;
            assert_eq!(error.kind(), ErrorKind::Rejected, "{version}: {error}");
            assert!(error.to_string().contains(words), "{version}: {error}");
            assert_eq!(first.acked().batches, u64::from(first.resumed().is_none()), "{version}");
            assert_eq!((text(&server, 0, "a"), text(&server, 0, "b")), (None, None), "{version}");
            first = sink(&server).await;
            assert_eq!(first.resumed(), Some(at(1)), "{version}");
        }
    }
}

#[tokio::test]
async fn a_target_without_memory_ends_the_run_and_can_be_resumed_once_it_has_some() {
    for version in ["redis-2.8", "redis-5.0", "redis-7.0", "valkey-9.1"] {
        let server = Server::start(version);
        let mut first = sink(&server).await;
        first.write(batch(1, &[(write(0), "INCR a")])).await.unwrap();
        first.flush().await.unwrap();
        server.cmd(&["CONFIG", "SET", "maxmemory", "1"]);
        let more = batch(3, &[(write(0), "INCR a"), (write(0), "INCR a")]);
        let error = failure(&mut first, more).await;
        assert_eq!(error.kind(), ErrorKind::Rejected, "{version}: {error}");
        assert!(
            error.to_string().contains("OOM") && error.to_string().contains("can be resumed"),
            "{version}: {error}"
        );
        assert_eq!(text(&server, 0, "a").as_deref(), Some("1"), "{version}");
        server.cmd(&["CONFIG", "SET", "maxmemory", "0"]);
        let mut second = sink(&server).await;
        assert_eq!(second.resumed(), Some(at(1)), "{version}");
        second.write(batch(3, &[(write(0), "INCR a"), (write(0), "INCR a")])).await.unwrap();
        second.close().await.unwrap();
        assert_eq!(text(&server, 0, "a").as_deref(), Some("3"), "{version}");
    }
}

#[tokio::test]
async fn somebody_else_at_the_checkpoint_is_noticed_before_anything_is_written() {
    let server = Server::start("redis-7.0");
    for (value, words) in [("session", "is no checkpoint"), ("1 99 none", "somebody else"), ("", "gone")] {
        let mut sink = sink(&server).await;
        sink.write(batch(1, &[(write(0), "INCR a")])).await.unwrap();
        sink.flush().await.unwrap();
        match value {
            "" => server.cmd(&["FLUSHALL"]),
            value => server.cmd(&["SET", "rdts:checkpoint:test/0", value]),
        };
        let error = failure(&mut sink, batch(2, &[(write(0), "SET late 1")])).await;
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!((text(&server, 0, "late"), sink.acked().batches), (None, 1), "{value}");
        server.cmd(&["FLUSHALL"]);
    }
    // Before the first transaction it can be anything.
    server.cmd(&["LPUSH", "rdts:checkpoint:test/0", "x"]);
    let error = NodeSink::connect(&address(&server), options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    server.cmd(&["SET", "rdts:checkpoint:test/0", "7 of the future"]);
    let error = NodeSink::connect(&address(&server), options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn of_two_runs_of_a_task_one_gives_way_and_nothing_is_doubled() {
    let server = Server::start("redis-7.0");
    let (mut one, mut other) = (sink(&server).await, sink(&server).await);
    one.write(batch(1, &[(write(0), "INCR a")])).await.unwrap();
    one.flush().await.unwrap();
    let error = failure(&mut other, batch(2, &[(write(0), "INCR a"), (write(0), "INCR a")])).await;
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    one.write(batch(2, &[(write(0), "INCR a")])).await.unwrap();
    one.close().await.unwrap();
    assert_eq!(text(&server, 0, "a").as_deref(), Some("2"));
}
