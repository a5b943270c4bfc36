//! What is refused, and how.

use std::time::Duration;

use rdts_core::endpoint::NodeAddress;
use rdts_core::{ErrorKind, Sink};
use rdts_sink::ClusterSink;
use rdts_sink::cluster::OnImpossible;
use rdts_testkit::{Cluster, Server};

use super::support::{Feed, options, seeds};

#[tokio::test]
async fn what_is_no_whole_cluster_is_refused_by_name() {
    let server = Server::start("redis-7.0");
    let address = NodeAddress::new("127.0.0.1", server.port());
    let error = ClusterSink::connect(std::slice::from_ref(&address), options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Topology);
    assert!(error.to_string().contains(&server.addr()) && error.to_string().contains("redis://"), "{error}");
    let nobody = NodeAddress::new("127.0.0.1", 1);
    let error = ClusterSink::connect(std::slice::from_ref(&nobody), options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    let error = ClusterSink::connect(&[], options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let alone = Server::builder("redis-7.0").arg("cluster-enabled", "yes").start();
    let address = NodeAddress::new("127.0.0.1", alone.port());
    let error = ClusterSink::connect(&[nobody, address], options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Topology, "{error}");
    assert!(error.to_string().contains("slots 0-16383"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_done_stops_or_is_counted() {
    let cluster = Cluster::start("redis-7.0", 3);
    for (commands, words) in [
        (vec!["SELECT 1", "SET a 1"], "database"),
        (vec!["EVAL return 0"], "declares no keys"),
        (vec!["EVAL return 2 a b"], "different slots"),
        (vec!["SWAPDB 0 1"], "SWAPDB"),
        (vec!["SORT a BY w_* STORE b"], "patterns"),
    ] {
        let mut sink = ClusterSink::connect(&seeds(&cluster), options()).await.unwrap();
        let error = sink.write(Feed::new().batch(&commands)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{commands:?}: {error}");
        assert!(error.to_string().contains(words), "{commands:?}: {error}");
    }
    let skip = options().on_impossible(OnImpossible::Skip);
    let mut sink = ClusterSink::connect(&seeds(&cluster), skip).await.unwrap();
    let batch = Feed::new().batch(&["SET x 1", "EVAL return 2 a b", "INCR x"]);
    sink.write(batch).await.unwrap();
    sink.flush().await.unwrap();
    let counts = sink.acked().counts;
    assert_eq!((counts.commands, counts.impossible), (2, 1));
    sink.close().await.unwrap();
    assert_eq!(cluster.cmd(&["GET", "x"]), redis::Value::BulkString(b"2".to_vec()));
}

#[tokio::test]
async fn the_first_bad_reply_stops_the_sink() {
    let cluster = Cluster::start("redis-7.0", 3);
    cluster.cmd(&["SET", "string", "x"]);
    let mut feed = Feed::new();
    let mut sink = ClusterSink::connect(&seeds(&cluster), options()).await.unwrap();
    sink.write(feed.batch(&["SET good 1"])).await.unwrap();
    sink.flush().await.unwrap();
    sink.write(feed.batch(&["LPUSH string 1", "SET late 1"])).await.unwrap();
    let error = tokio::time::timeout(Duration::from_secs(10), sink.flush()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(
        error.to_string().contains("LPUSH of key \"string\"") && error.to_string().contains("WRONGTYPE"),
        "{error}"
    );
    assert_eq!((sink.acked().batches, sink.acked().counts.commands), (1, 1));
    assert!(sink.write(feed.batch(&["SET later 1"])).await.is_err());
}
