//! What exactness costs: the sink for clusters and the one for a single node with a checkpoint, beside that for a single node without.
//! Full copies of the same snapshot, and streams of small commands in large and in small batches, in one process.
//!
//! ```text
//! cargo bench -p rdts-examples --bench cluster_sync -- 500000
//! cargo bench -p rdts-examples --bench cluster_sync -- 2000000 7 redis-7.0 stream
//! cargo bench -p rdts-examples --bench cluster_sync -- 1000000 1 redis-7.0 strings cluster
//! ```
//!
//! A second argument is how often (default 5), a third the server (default `redis-7.0`), a fourth (`copy`, of which `strings` and `mixed`
//! are the parts, or `stream`) leaves the rest out, a fifth the targets whose names do not have it in them, for profiles. Printed are CPU
//! seconds (minimum, median, maximum) of this process and of the targets together.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::time::{Duration, Instant};

use rdts_core::checkpoint::CheckpointName;
use rdts_core::endpoint::NodeAddress;
use rdts_core::record::{BatchBuilder, Kind, Mark, ReplicationId};
use rdts_core::source::RdbSource;
use rdts_core::translate::TranslateOptions;
use rdts_core::{Endpoint, Pipeline, Position, Sink};
use rdts_sink::{ClusterOptions, ClusterSink, NodeOptions, NodeSink};
use rdts_testkit::{Cluster, FillOptions, Server, fill};
use tokio::runtime::Runtime;

#[derive(Default)]
struct Taken {
    own: Vec<f64>,
    targets: Vec<f64>,
    wall: Vec<f64>,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let arg = |index: usize, default: &str| args.get(index).cloned().unwrap_or_else(|| default.to_owned());
    let count: u64 = arg(0, "500000").parse().unwrap();
    let rounds: usize = arg(1, "5").parse().unwrap();
    let version = arg(2, "redis-7.0");
    // Of a thread that has ended nobody tells what it has taken.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(Duration::from_secs(86_400))
        .build()
        .unwrap();
    let only = arg(3, "");
    let with = Runs { version, rounds, named: arg(4, "") };
    for (what, count, options) in [
        ("strings", count, FillOptions::strings(count)),
        ("mixed", count / 10, FillOptions::mixed(count / 10).in_one_database()),
    ] {
        if ["", "copy", what].contains(&&*only) {
            copies(&runtime, &with, what, count, &options);
        }
    }
    if ["", "stream"].contains(&&*only) {
        streams(&runtime, &with, count, 64 << 10);
        streams(&runtime, &with, count / 4, 1 << 10);
    }
}

/// What is the same for all that is measured.
struct Runs {
    version: String,
    rounds: usize,
    /// Only targets with this in their names.
    named: String,
}

fn copies(runtime: &Runtime, with: &Runs, what: &str, count: u64, options: &FillOptions) {
    let source = Server::start(&with.version);
    fill(&source, options);
    source.cmd(&["SAVE"]);
    let rdb = source.dir().join("dump.rdb");
    let how = [("one node, grouped", How::Node), ("one node", How::Node), ("3-node cluster", How::Cluster)];
    println!("{}, {what}, {count} keys", with.version);
    compare(with, &how, |number, target| runtime.block_on(copy(&rdb, target, number == 0)));
}

fn streams(runtime: &Runtime, with: &Runs, count: u64, batch: usize) {
    let how = [("one node", How::Node), ("with a checkpoint", How::Checkpoint), ("3-node cluster", How::Cluster)];
    println!("{}, a stream of {count} INCR in batches of {batch} bytes", with.version);
    compare(with, &how, |_, target| runtime.block_on(stream(target, count, batch)));
}

/// Runs all in turn, several times, and prints what they took.
fn compare(with: &Runs, how: &[(&str, How)], run: impl Fn(usize, &Target)) {
    let mut taken: Vec<Taken> = how.iter().map(|_| Taken::default()).collect();
    for _ in 0..with.rounds {
        for (number, (_, how)) in how.iter().enumerate().filter(|(_, (name, _))| name.contains(&with.named)) {
            let target = Target::start(&with.version, *how);
            let (own, there, start) = (own_cpu(), target.cpu(), Instant::now());
            run(number, &target);
            let taken = &mut taken[number];
            taken.wall.push(start.elapsed().as_secs_f64());
            taken.own.push(own_cpu() - own);
            taken.targets.push(target.cpu() - there);
        }
    }
    for ((name, _), taken) in how.iter().zip(&mut taken).filter(|(_, taken)| !taken.own.is_empty()) {
        print(name, taken);
    }
}

#[derive(Clone, Copy)]
enum How {
    Node,
    Checkpoint,
    Cluster,
}

/// What is written to.
enum Target {
    Node(Box<Server>, NodeOptions),
    Cluster(Cluster),
}

impl Target {
    fn start(version: &str, how: How) -> Self {
        let node = NodeOptions::default();
        match how {
            How::Node => Self::Node(Box::new(Server::start(version)), node),
            How::Checkpoint => {
                Self::Node(Box::new(Server::start(version)), node.checkpoint(CheckpointName::new("bench", 0).unwrap()))
            }
            How::Cluster => Self::Cluster(Cluster::start(version, 3)),
        }
    }

    fn cpu(&self) -> f64 {
        match self {
            Self::Node(server, _) => server.cpu_seconds(),
            Self::Cluster(cluster) => cluster.nodes().iter().map(Server::cpu_seconds).sum(),
        }
    }

    async fn node(server: &Server, options: &NodeOptions) -> NodeSink {
        let address = NodeAddress::new("127.0.0.1", server.port());
        NodeSink::connect(&address, options.clone()).await.unwrap()
    }

    async fn cluster(cluster: &Cluster) -> ClusterSink {
        let Endpoint::Cluster { seeds } = cluster.url().parse().unwrap() else { panic!("no URL of a cluster") };
        ClusterSink::connect(&seeds, ClusterOptions::default()).await.unwrap()
    }
}

async fn copy(rdb: &Path, target: &Target, grouped: bool) {
    let translate = TranslateOptions::default().group_strings(grouped);
    let finished = match target {
        Target::Node(server, options) => {
            let sink = Target::node(server, options).await;
            let source = RdbSource::open(rdb, sink.capabilities().target, translate).await.unwrap();
            Pipeline::new(source, sink).run().await
        }
        Target::Cluster(cluster) => {
            let sink = Target::cluster(cluster).await;
            let source = RdbSource::open(rdb, sink.capabilities().target, translate).await.unwrap();
            Pipeline::new(source, sink).run().await
        }
    };
    finished.result.unwrap();
}

async fn stream(target: &Target, count: u64, batch: usize) {
    match target {
        Target::Node(server, options) => feed(Target::node(server, options).await, count, batch).await,
        Target::Cluster(cluster) => feed(Target::cluster(cluster).await, count, batch).await,
    }
}

async fn feed(mut sink: impl Sink, count: u64, batch: usize) {
    let mut builder = BatchBuilder::new(2 * batch);
    for number in 0..count {
        let key = format!("counter:{:06}", number * 7919 % 100_000);
        let arena = builder.arena();
        rdts_resp::encode::command(arena, ["INCR", &key]);
        let end = arena.len() - 2;
        builder.commit(Mark::new(0, Kind::Write), Some(end - key.len()..end), number);
        if builder.size() >= batch || number + 1 == count {
            sink.write(builder.take(Position::stream(ReplicationId::NONE, number, 0))).await.unwrap();
        }
    }
    sink.close().await.unwrap();
}

/// CPU seconds of this process, user and system: the first figure of each thread's `schedstat` is in nanoseconds.
fn own_cpu() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let nanoseconds = tasks.map(|task| {
        let stat = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        stat.split(' ').next().unwrap().parse::<f64>().unwrap()
    });
    nanoseconds.sum::<f64>() / 1e9
}

fn print(name: &str, taken: &mut Taken) {
    let shown = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        format!("{:7.3} {:7.3} {:7.3}", values[0], values[values.len() / 2], values[values.len() - 1])
    };
    let (own, targets, wall) = (shown(&mut taken.own), shown(&mut taken.targets), shown(&mut taken.wall));
    println!("  {name:18} own CPU s {own}   targets' CPU s {targets}   wall s {wall}");
}
