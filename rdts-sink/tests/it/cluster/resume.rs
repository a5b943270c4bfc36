//! A sink that is gone in the middle, and another one that goes on where it was.

use std::time::Duration;

use rdts_core::checkpoint::CheckpointName;
use rdts_core::error::Retry;
use rdts_core::record::{Batch, BatchBuilder, Kind, Mark, ReplicationId};
use rdts_core::{ErrorKind, Position, Sink};
use rdts_resp::encode;
use rdts_sink::cluster::remove_checkpoints;
use rdts_sink::{ClusterOptions, ClusterSink, NodeOptions, NodeSink};
use rdts_testkit::{Cluster, Rng, Server, assert_same, key_slot};

use super::support::{load, options, seeds};

/// A history that can be read from any of its positions, with other batches each time.
pub(super) struct History {
    /// What belongs together: one command, or a transaction.
    commands: Vec<Vec<String>>,
    /// Where each ends.
    ends: Vec<u64>,
}

impl History {
    pub(super) fn new(commands: Vec<Vec<String>>) -> Self {
        let mut offset = 0;
        let ends = commands.iter().map(|together| {
            offset += together.iter().map(|text| text.len() as u64).sum::<u64>();
            offset
        });
        Self { ends: ends.collect(), commands }
    }

    /// The next batch from `from` on, of at most `many` commands.
    pub(super) fn batch(&self, from: u64, many: usize) -> Option<Batch> {
        let first = self.ends.partition_point(|end| *end <= from);
        let last = (first + many).min(self.commands.len());
        let mut out = BatchBuilder::new(1024);
        for (together, end) in self.commands[first..last].iter().zip(&self.ends[first..last]) {
            // All with the same offset: harder than what a source gives.
            for text in together {
                let words: Vec<&str> = text.split(' ').collect();
                encode::command(out.arena(), &words);
                let kind = match words[0] {
                    "MULTI" => Kind::Multi,
                    "EXEC" => Kind::Exec,
                    "EVAL" => Kind::Script,
                    _ => Kind::Write,
                };
                let key = rdts_core::command::first_key(words[0].as_bytes()).filter(|_| words.len() > 1);
                let range = key.map(|_| {
                    let before =
                        format!("*{}\r\n${}\r\n{}\r\n${}\r\n", words.len(), words[0].len(), words[0], words[1].len());
                    let start = out.arena().len() - raw_len(&words) + before.len();
                    start..start + words[1].len()
                });
                out.commit(Mark::new(0, kind), range, *end);
            }
        }
        (last > first).then(|| out.take(Position::stream(ReplicationId::NONE, self.ends[last - 1], 0)))
    }

    pub(super) fn end(&self) -> u64 {
        self.ends.last().copied().unwrap_or_default()
    }
}

fn raw_len(words: &[&str]) -> usize {
    let mut raw = Vec::new();
    encode::command(&mut raw, words);
    raw.len()
}

pub(super) fn name() -> CheckpointName {
    CheckpointName::new("crash", 0).unwrap()
}

pub(super) fn lasting() -> ClusterOptions {
    options().checkpoint(name()).window(16 << 10)
}

/// Commands of which hardly one is the same once and twice.
pub(super) fn mixed(rng: &mut Rng, count: usize) -> Vec<Vec<String>> {
    (0..count)
        .map(|_| match rng.below(16) {
            0 => {
                let mut together = vec!["MULTI".to_owned()];
                together.extend(load(rng, 4));
                together.push("EXEC".into());
                together
            }
            1 => vec![format!("DEL num:{} str:{} list:{}", rng.below(300), rng.below(300), rng.below(300))],
            2 => vec![format!("MSET num:{} 7 num:{} 8 num:{} 9", rng.below(300), rng.below(300), rng.below(300))],
            3 => vec![format!("EVAL return{}redis.call('INCR',KEYS[1]) 1 num:{}", '\t', rng.below(300))],
            // Several pieces with one offset.
            4 => (0..3).map(|_| format!("RPUSH list:{} {}", rng.below(300), rng.below(99))).collect(),
            5 => crossing(rng),
            _ => load(rng, 1),
        })
        .collect()
}

/// Commands that go over several slots, with what they need.
fn crossing(rng: &mut Rng) -> Vec<String> {
    let (a, b, c) = (rng.below(40), rng.below(40), rng.below(99));
    match rng.below(9) {
        0 => vec![
            format!("APPEND one:{a} {c}"),
            format!("PEXPIREAT one:{a} 9999999999999"),
            format!("RENAME one:{a} two:{b}"),
        ],
        1 => vec![format!("SADD set:{a} {c}"), format!("SMOVE set:{a} set:{b}x {c}")],
        2 => vec![format!("RPUSH queue:{a} {c}"), format!("RPOPLPUSH queue:{a} queue:{b}x")],
        3 => vec![format!("SADD set:{a} {c}"), format!("SDIFFSTORE set:{b} set:{a} set:{b}")],
        4 => vec![format!("ZINCRBY sum:{a} 1 {c}"), format!("ZUNIONSTORE sum:{a} 2 sum:{a} sum:{b}x")],
        5 => vec![format!("DEL new:{a} new:{b}x"), format!("MSETNX new:{a} 1 new:{b}x 2")],
        6 => vec![format!("APPEND one:{a} {c}"), format!("DEL two:{b}"), format!("RENAMENX one:{a} two:{b}")],
        7 => vec![format!("BITOP XOR bits:{a} num:{a} bits:{b}x"), format!("SCRIPT LOAD return{}{c}", '\t')],
        _ if rng.one_in(4) => vec!["FLUSHALL".to_owned()],
        _ => vec![format!("APPEND list:{a}y 1"), format!("RENAME list:{a}y list:{b}z")],
    }
}

/// What one server holds that gets all of it.
pub(super) async fn truth(history: &History, server: &Server) {
    let address = rdts_core::endpoint::NodeAddress::new("127.0.0.1", server.port());
    let mut sink = NodeSink::connect(&address, NodeOptions::default()).await.unwrap();
    let mut from = 0;
    while let Some(batch) = history.batch(from, 100) {
        from = batch.position().offset();
        sink.write(batch).await.unwrap();
    }
    sink.close().await.unwrap();
}

/// Connects, as soon as the cluster can be connected to.
pub(super) async fn connect(cluster: &Cluster) -> ClusterSink {
    let connected = async {
        loop {
            match ClusterSink::connect(&seeds(cluster), lasting()).await {
                Ok(sink) => return sink,
                Err(error) if error.retry() == Retry::Resume || error.kind() == ErrorKind::Topology => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), connected).await.expect("the cluster can be connected to again")
}

/// Connects, goes on where the target says, and is gone after some batches; or ends the history. Returns whether it has.
pub(super) async fn go_on(cluster: &Cluster, history: &History, rng: &mut Rng, crash: bool) -> bool {
    let mut sink = connect(cluster).await;
    let mut from = sink.resumed().map_or(0, |position| position.offset());
    let batches = if crash { rng.below(12) } else { u64::MAX };
    for _ in 0..batches {
        let many = usize::try_from(rng.between(1, 90)).unwrap();
        let Some(batch) = history.batch(from, many) else { break };
        from = batch.position().offset();
        sink.write(batch).await.unwrap();
    }
    if crash {
        if rng.one_in(4) {
            sink.flush().await.unwrap();
        } else if let Some(batch) = history.batch(from, 90) {
            // Also between the steps of a command.
            let moment = Duration::from_micros(rng.below(30_000));
            if let Ok(written) = tokio::time::timeout(moment, sink.write(batch)).await {
                written.unwrap();
            }
        }
        // As if the process were gone: what is in the sockets is still executed.
        drop(sink);
        return from == history.end();
    }
    sink.close().await.unwrap();
    true
}

pub(super) fn keys_of_ours(cluster: &Cluster) -> usize {
    said(cluster).len()
}

async fn crashes(version: &str, rounds: u64, seed: u64) {
    let cluster = Cluster::start(version, 3);
    let server = Server::start(version);
    let mut rng = Rng::new(seed);
    let history = History::new(mixed(&mut rng, 4000));
    truth(&history, &server).await;
    for _ in 0..rounds {
        go_on(&cluster, &history, &mut rng, true).await;
    }
    go_on(&cluster, &history, &mut rng, false).await;
    remove_temporaries(&cluster);
    // A run after the last one has nothing to do.
    let sink = ClusterSink::connect(&seeds(&cluster), lasting()).await.unwrap();
    assert_eq!(sink.resumed().map(|position| position.offset()), Some(history.end()));
    sink.close().await.unwrap();
    assert_eq!(keys_of_ours(&cluster), 3, "a checkpoint for each primary");
    let removed = remove_checkpoints(&seeds(&cluster), options(), &name()).await.unwrap();
    assert_eq!((removed, keys_of_ours(&cluster)), (3, 0));
    assert_same(&server, &cluster);
}

fn rounds() -> u64 {
    if std::env::var_os("RDTS_LONG").is_some() { 200 } else { 25 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_7_0() {
    crashes("redis-7.0", rounds(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_3_2() {
    crashes("redis-3.2", rounds(), 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_9_1() {
    crashes("valkey-9.1", rounds(), 3).await;
}

/// Slots have other owners when the next run begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_while_nobody_runs() {
    let cluster = Cluster::start("redis-7.0", 3);
    let server = Server::start("redis-7.0");
    let mut rng = Rng::new(5);
    let history = History::new(mixed(&mut rng, 3000));
    truth(&history, &server).await;
    for _ in 0..4 {
        go_on(&cluster, &history, &mut rng, true).await;
        let keys: Vec<u16> = (0..6).map(|_| key_slot(format!("num:{}", rng.below(300)).as_bytes())).collect();
        for slot in keys {
            let from = cluster.primary_of(slot);
            let to = *rng.pick(&cluster.primaries());
            if from != to {
                cluster.migrate_slots(slot..=slot, from, to);
            }
        }
        cluster.wait_ok();
    }
    go_on(&cluster, &history, &mut rng, false).await;
    remove_temporaries(&cluster);
    remove_checkpoints(&seeds(&cluster), options(), &name()).await.unwrap();
    assert_eq!(keys_of_ours(&cluster), 0);
    assert_same(&server, &cluster);
}

/// A lane that gets nothing says where the others are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_without_work_do_not_hold_back() {
    let cluster = Cluster::start("redis-7.0", 3);
    let one_key = History::new((0..100_000).map(|_| vec!["INCR one".to_owned()]).collect());
    let mut sink = ClusterSink::connect(&seeds(&cluster), lasting()).await.unwrap();
    assert_eq!(sink.resumed(), None);
    sink.write(one_key.batch(0, 1).unwrap()).await.unwrap();
    let mut from = one_key.ends[0];
    // The others follow when a second has passed.
    let followed = async {
        while said(&cluster).iter().any(|value| value.contains(" stream 0000000000000000000000000000000000000000 0 ")) {
            let batch = one_key.batch(from, 1).unwrap();
            from = batch.position().offset();
            sink.write(batch).await.unwrap();
            sink.flush().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), followed).await.unwrap();
    drop(sink);
    let sink = ClusterSink::connect(&seeds(&cluster), lasting()).await.unwrap();
    let resumed = sink.resumed().unwrap().offset();
    assert!(resumed > 0 && resumed <= from, "{resumed} of {from}");
}

/// The keys of all primaries whose names begin so.
fn keys_like(cluster: &Cluster, pattern: &str) -> Vec<Vec<u8>> {
    let keys = |node| match cluster.server(node).cmd(&["KEYS", pattern]) {
        redis::Value::Array(keys) => keys,
        other => panic!("{other:?}"),
    };
    cluster.primaries().into_iter().flat_map(keys).map(|key| redis::from_redis_value(key).unwrap()).collect()
}

/// What a run had brought together for a command over several slots when it died: that expires by itself, but not so soon.
fn remove_temporaries(cluster: &Cluster) {
    for key in keys_like(cluster, "rdts:tmp:*") {
        cluster.cmd(&[b"DEL".as_slice(), &key]);
    }
}

/// What the checkpoints hold.
fn said(cluster: &Cluster) -> Vec<String> {
    let keys = keys_like(cluster, "rdts:*").into_iter();
    keys.map(|key| redis::from_redis_value(cluster.cmd(&[b"GET".as_slice(), &key])).unwrap()).collect()
}

/// Nothing is in the target yet, and then something is in one place only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_nothing_yet_is_read_from_the_beginning() {
    let cluster = Cluster::start("redis-7.0", 3);
    let history = History::new(vec![vec!["INCR a".to_owned()], vec!["INCR a".to_owned()], vec!["INCR b".to_owned()]]);
    drop(ClusterSink::connect(&seeds(&cluster), lasting()).await.unwrap());
    let mut sink = ClusterSink::connect(&seeds(&cluster), lasting()).await.unwrap();
    assert_eq!(sink.resumed(), None);
    sink.write(history.batch(0, 1).unwrap()).await.unwrap();
    sink.flush().await.unwrap();
    drop(sink);
    let mut sink = ClusterSink::connect(&seeds(&cluster), lasting()).await.unwrap();
    assert_eq!(sink.resumed(), Some(Position::stream(ReplicationId::NONE, 0, 0)));
    sink.write(history.batch(0, 2).unwrap()).await.unwrap();
    sink.flush().await.unwrap();
    assert_eq!(sink.acked().counts.commands, 2, "what was there is counted as well");
    sink.write(history.batch(history.ends[1], 1).unwrap()).await.unwrap();
    sink.close().await.unwrap();
    for (key, value) in [("a", "2"), ("b", "1")] {
        assert_eq!(cluster.cmd(&["GET", key]), redis::Value::BulkString(value.into()), "{key}");
    }
}

/// A sink whose place was taken writes no more, and a history that is another one is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_run_writes() {
    let cluster = Cluster::start("redis-7.0", 3);
    let history = History::new((0..40).map(|n| vec![format!("INCR k{n}")]).collect());
    let mut first = ClusterSink::connect(&seeds(&cluster), lasting()).await.unwrap();
    first.write(history.batch(0, 20).unwrap()).await.unwrap();
    first.flush().await.unwrap();
    let mut second = ClusterSink::connect(&seeds(&cluster), lasting()).await.unwrap();
    let from = second.resumed().unwrap().offset();
    let refused = async {
        first.write(history.batch(history.ends[19], 20).unwrap()).await?;
        first.flush().await
    };
    let error = refused.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    let mut other = BatchBuilder::new(64);
    let error = second.write(other.take(Position::snapshot(ReplicationId::NONE, 9, 100))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HistoryLost, "{error}");
    second.write(history.batch(from, 40).unwrap()).await.unwrap();
    second.close().await.unwrap();
    for n in 0..40 {
        assert_eq!(cluster.cmd(&["GET", &format!("k{n}")]), redis::Value::BulkString("1".into()), "k{n}");
    }
}

/// A command that the target refuses is met again, and those before it in the same unit are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_fails_is_met_again() {
    for version in ["redis-3.2", "redis-7.0"] {
        let cluster = Cluster::start(version, 3);
        cluster.cmd(&["SET", "{x}s", "no list"]);
        let mut commands: Vec<Vec<String>> = (0..7).map(|_| vec!["INCR {x}a".to_owned()]).collect();
        commands[5] = vec!["LPUSH {x}s 1".to_owned()];
        let history = History::new(commands);
        for _ in 0..3 {
            let mut sink = connect(&cluster).await;
            let from = sink.resumed().map_or(0, |position| position.offset());
            let refused = async {
                sink.write(history.batch(from, 7).unwrap()).await?;
                sink.flush().await
            };
            let error = refused.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
            assert_eq!(cluster.cmd(&["GET", "{x}a"]), redis::Value::BulkString("5".into()), "{version}");
        }
        cluster.cmd(&["DEL", "{x}s"]);
        let mut sink = connect(&cluster).await;
        let from = sink.resumed().unwrap().offset();
        sink.write(history.batch(from, 7).unwrap()).await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(cluster.cmd(&["GET", "{x}a"]), redis::Value::BulkString("6".into()), "{version}");
    }
}
