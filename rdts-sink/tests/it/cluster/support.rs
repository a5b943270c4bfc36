//! A cluster and one server that get the same batches.

use std::time::Duration;

use rdts_core::cluster::TopologyOptions;
use rdts_core::endpoint::NodeAddress;
use rdts_core::net::Deadlines;
use rdts_core::record::{Batch, BatchBuilder, ReplicationId};
use rdts_core::translate::{StreamTranslator, Target, TranslateOptions};
use rdts_core::{Endpoint, Position, Sink};
use rdts_resp::{CommandDecoder, encode};
use rdts_sink::{ClusterOptions, ClusterSink, NodeOptions, NodeSink};
use rdts_testkit::{Cluster, Rng, Server, assert_same};

/// Makes batches of stream commands as a source does.
pub(super) struct Feed {
    translator: StreamTranslator,
    offset: u64,
}

impl Feed {
    pub(super) fn new() -> Self {
        let translator = StreamTranslator::new(Target::redis(7, 0, 0), TranslateOptions::default(), 0);
        Self { translator, offset: 0 }
    }

    /// A batch of commands, each written as words with blanks between.
    pub(super) fn batch(&mut self, commands: &[impl AsRef<str>]) -> Batch {
        let mut out = BatchBuilder::new(1024);
        for text in commands {
            let mut frame = Vec::new();
            encode::command(&mut frame, text.as_ref().split(' ').collect::<Vec<_>>());
            let mut decoder = CommandDecoder::new();
            let (used, command) = decoder.decode(&frame).unwrap().unwrap();
            self.offset += used as u64;
            self.translator.command(&command, self.offset, &mut out).unwrap();
        }
        out.take(Position::stream(ReplicationId::NONE, self.offset, 0))
    }
}

pub(super) fn seeds(cluster: &Cluster) -> Vec<NodeAddress> {
    match cluster.url().parse().unwrap() {
        Endpoint::Cluster { seeds } => seeds,
        other => panic!("{other}"),
    }
}

pub(super) fn options() -> ClusterOptions {
    let deadlines = Deadlines::default().connect(Duration::from_secs(2)).reply(Duration::from_secs(5));
    ClusterOptions::default()
        .topology(TopologyOptions::default().deadlines(deadlines))
        .patience(Duration::from_secs(60))
}

/// The two sinks, and what feeds them.
pub(super) struct Pair {
    pub(super) cluster: ClusterSink,
    pub(super) server: NodeSink,
    pub(super) feed: Feed,
}

impl Pair {
    pub(super) async fn connect(cluster: &Cluster, server: &Server) -> Self {
        Self::connect_with(cluster, server, options()).await
    }

    pub(super) async fn connect_with(cluster: &Cluster, server: &Server, options: ClusterOptions) -> Self {
        Self {
            cluster: ClusterSink::connect(&seeds(cluster), options).await.unwrap(),
            server: NodeSink::connect(&NodeAddress::new("127.0.0.1", server.port()), NodeOptions::default())
                .await
                .unwrap(),
            feed: Feed::new(),
        }
    }

    pub(super) async fn write(&mut self, commands: &[impl AsRef<str>]) {
        self.try_write(commands).await.unwrap();
    }

    pub(super) async fn try_write(&mut self, commands: &[impl AsRef<str>]) -> rdts_core::Result<()> {
        let start = self.feed.offset;
        let batch = self.feed.batch(commands);
        self.cluster.write(batch).await?;
        self.feed.offset = start;
        let batch = self.feed.batch(commands);
        self.server.write(batch).await
    }

    /// Ends both, and compares what they have written.
    pub(super) async fn finish(mut self, cluster: &Cluster, server: &Server) {
        self.cluster.flush().await.unwrap();
        self.server.flush().await.unwrap();
        let (ours, truth) = (self.cluster.acked(), self.server.acked());
        assert_eq!((ours.batches, ours.position), (truth.batches, truth.position));
        assert_eq!((ours.counts.commands, ours.counts.bytes), (truth.counts.commands, truth.counts.bytes));
        self.cluster.close().await.unwrap();
        self.server.close().await.unwrap();
        assert_same(server, cluster);
        for node in cluster.primaries() {
            let left = cluster.server(node).cmd(&["KEYS", "rdts:*"]);
            assert_eq!(left, redis::Value::Array(vec![]), "keys of ours were left behind");
        }
    }
}

/// Commands that are not idempotent, on few keys.
pub(super) fn load(rng: &mut Rng, count: u64) -> Vec<String> {
    (0..count)
        .map(|_| {
            let n = rng.below(300);
            match rng.below(5) {
                0 => format!("INCR num:{n}"),
                1 => format!("APPEND str:{n} {}", rng.below(10)),
                2 => format!("LPUSH list:{n} {}", rng.below(1000)),
                3 => format!("RPOP list:{n}"),
                _ => format!("ZINCRBY zset:{n} 1 {}", rng.below(5)),
            }
        })
        .collect()
}

/// Commands of all kinds; those that a source would not have executed with success are not among them.
pub(super) fn everything(rng: &mut Rng, count: u64, version: (u64, u64)) -> Vec<String> {
    let mut commands = load(rng, count);
    for _ in 0..count / 4 {
        let key = |rng: &mut Rng, kind: &str| match rng.below(3) {
            0 => format!("{kind}:{{tag{}}}", rng.below(4)),
            _ => format!("{kind}:{}", rng.below(40)),
        };
        let (a, b, c) = (rng.below(99), rng.below(99), rng.below(99));
        let new: Vec<String> = match rng.below(20) {
            0 => vec![format!("DEL {} {} {}", key(rng, "str"), key(rng, "list"), key(rng, "num"))],
            1 => vec![format!("MSET {} {a} {} {b} {} {c}", key(rng, "num"), key(rng, "num"), key(rng, "num"))],
            2 => {
                let from = key(rng, "str");
                vec![format!("APPEND {from} {a}"), format!("RENAME {from} {}", key(rng, "str"))]
            }
            3 => vec![format!("SADD {} {a} {b} {c}", key(rng, "set"))],
            4 => vec![format!("SMOVE {} {} {a}", key(rng, "set"), key(rng, "set"))],
            5 => vec![format!("SUNIONSTORE {} {} {}", key(rng, "set"), key(rng, "set"), key(rng, "set"))],
            6 => vec![format!("ZUNIONSTORE {} 2 {} {}", key(rng, "zset"), key(rng, "zset"), key(rng, "zset"))],
            7 => vec![format!("RPOPLPUSH {} {}", key(rng, "list"), key(rng, "list"))],
            8 => vec![
                "MULTI".into(),
                format!("INCR {}", key(rng, "num")),
                format!("LPUSH {} {a}", key(rng, "list")),
                format!("INCR {}", key(rng, "num")),
                "EXEC".into(),
            ],
            9 => vec!["MULTI".into(), "INCR num:{tag1}".into(), "APPEND str:{tag1} x".into(), "EXEC".into()],
            10 => vec![format!("MSETNX {} {a} {} {b}", key(rng, "new"), key(rng, "new"))],
            11 => vec![format!("PFADD {} {a} {b}", key(rng, "hll"))],
            12 => vec![format!("PFMERGE {} {} {}", key(rng, "hll"), key(rng, "hll"), key(rng, "hll"))],
            13 => vec![format!("BITOP OR {} {} {}", key(rng, "bits"), key(rng, "str"), key(rng, "str"))],
            14 => vec![format!("HINCRBY {} f{a} {b}", key(rng, "hash"))],
            15 => vec![format!("EVAL return{}redis.call('INCR',KEYS[1]) 1 {}", '\t', key(rng, "num"))],
            16 => vec![format!("PEXPIREAT {} 9999999999999", key(rng, "str"))],
            17 if rng.one_in(20) => vec!["FLUSHALL".into()],
            18 if rng.one_in(5) => vec![format!("SCRIPT LOAD return{}{a}", '\t')],
            19 if version >= (4, 0) => vec![format!("UNLINK {} {}", key(rng, "set"), key(rng, "zset"))],
            _ => vec![format!("RPUSH {} {}", key(rng, "list"), vec!["e"; 20].join(" "))],
        };
        // Not into the middle of a transaction.
        let at = rng.length(0, commands.len() as u64);
        let open = commands[..at].iter().filter(|text| *text == "MULTI").count()
            > commands[..at].iter().filter(|text| *text == "EXEC").count();
        let at = if open || follows(&commands, at) { commands.len() } else { at };
        commands.splice(at..at, new);
    }
    commands
}

/// Whether the command at `at` needs the one before it.
fn follows(commands: &[String], at: usize) -> bool {
    commands.get(at).is_some_and(|text| text.starts_with("RENAME"))
}
