//! What the sink for clusters costs, beside the one for a single node: a full copy of the same snapshot into both, and a stream of small
//! commands, in one process.
//!
//! ```text
//! cargo bench -p rdts-examples --bench cluster_sync -- 500000
//! ```
//!
//! A second argument is how often (default 5), a third the server (default `redis-7.0`). Printed are CPU seconds (minimum, median,
//! maximum) of this process and of the targets together.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::time::Instant;

use rdts_core::endpoint::NodeAddress;
use rdts_core::record::{BatchBuilder, Kind, Mark, ReplicationId};
use rdts_core::source::RdbSource;
use rdts_core::translate::TranslateOptions;
use rdts_core::{Endpoint, Pipeline, Position, Sink};
use rdts_sink::{ClusterOptions, ClusterSink, NodeOptions, NodeSink};
use rdts_testkit::{Cluster, FillOptions, Server, fill};

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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (what, options) in
        [("strings", FillOptions::strings(count)), ("mixed", FillOptions::mixed(count / 10).in_one_database())]
    {
        let source = Server::start(&version);
        fill(&source, &options);
        source.cmd(&["SAVE"]);
        let rdb = source.dir().join("dump.rdb");
        let mut taken: [Taken; 3] = Default::default();
        for _ in 0..rounds {
            for (index, taken) in taken.iter_mut().enumerate() {
                let started = Target::start(&version, index == 2);
                let (own, there, start) = (own_cpu(), started.cpu(), Instant::now());
                runtime.block_on(copy(&rdb, &started, index == 0));
                taken.own.push(own_cpu() - own);
                taken.targets.push(started.cpu() - there);
                taken.wall.push(start.elapsed().as_secs_f64());
            }
        }
        println!("{version}, {what}, {} keys", if what == "strings" { count } else { count / 10 });
        for (name, taken) in ["one node, grouped", "one node", "3-node cluster"].iter().zip(&mut taken) {
            print(name, taken);
        }
    }
    let mut taken: [Taken; 2] = Default::default();
    for _ in 0..rounds {
        for (index, taken) in taken.iter_mut().enumerate() {
            let started = Target::start(&version, index == 1);
            let (own, there, start) = (own_cpu(), started.cpu(), Instant::now());
            runtime.block_on(stream(&started, count));
            taken.own.push(own_cpu() - own);
            taken.targets.push(started.cpu() - there);
            taken.wall.push(start.elapsed().as_secs_f64());
        }
    }
    println!("{version}, a stream of {count} INCR");
    for (name, taken) in ["one node", "3-node cluster"].iter().zip(&mut taken) {
        print(name, taken);
    }
}

/// What is written to.
enum Target {
    Node(Server),
    Cluster(Cluster),
}

impl Target {
    fn start(version: &str, cluster: bool) -> Self {
        if cluster { Self::Cluster(Cluster::start(version, 3)) } else { Self::Node(Server::start(version)) }
    }

    fn cpu(&self) -> f64 {
        match self {
            Self::Node(server) => server.cpu_seconds(),
            Self::Cluster(cluster) => cluster.nodes().iter().map(Server::cpu_seconds).sum(),
        }
    }

    async fn node(server: &Server) -> NodeSink {
        let address = NodeAddress::new("127.0.0.1", server.port());
        NodeSink::connect(&address, NodeOptions::default()).await.unwrap()
    }

    async fn cluster(cluster: &Cluster) -> ClusterSink {
        let Endpoint::Cluster { seeds } = cluster.url().parse().unwrap() else { panic!("no URL of a cluster") };
        ClusterSink::connect(&seeds, ClusterOptions::default()).await.unwrap()
    }
}

async fn copy(rdb: &Path, target: &Target, grouped: bool) {
    let options = TranslateOptions::default().group_strings(grouped);
    let finished = match target {
        Target::Node(server) => {
            let sink = Target::node(server).await;
            let source = RdbSource::open(rdb, sink.capabilities().target, options).await.unwrap();
            Pipeline::new(source, sink).run().await
        }
        Target::Cluster(cluster) => {
            let sink = Target::cluster(cluster).await;
            let source = RdbSource::open(rdb, sink.capabilities().target, options).await.unwrap();
            Pipeline::new(source, sink).run().await
        }
    };
    finished.result.unwrap();
}

async fn stream(target: &Target, count: u64) {
    match target {
        Target::Node(server) => feed(Target::node(server).await, count).await,
        Target::Cluster(cluster) => feed(Target::cluster(cluster).await, count).await,
    }
}

async fn feed(mut sink: impl Sink, count: u64) {
    let mut builder = BatchBuilder::new(128 << 10);
    for number in 0..count {
        let key = format!("counter:{:06}", number * 7919 % 100_000);
        let arena = builder.arena();
        rdts_resp::encode::command(arena, ["INCR", &key]);
        let end = arena.len() - 2;
        builder.commit(Mark::new(0, Kind::Write), Some(end - key.len()..end), number);
        if builder.size() >= 64 << 10 || number + 1 == count {
            sink.write(builder.take(Position::stream(ReplicationId::NONE, number, 0))).await.unwrap();
        }
    }
    sink.close().await.unwrap();
}

/// CPU seconds of this process, user and system.
fn own_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

fn print(name: &str, taken: &mut Taken) {
    let shown = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        format!("{:6.2} {:6.2} {:6.2}", values[0], values[values.len() / 2], values[values.len() - 1])
    };
    let (own, targets, wall) = (shown(&mut taken.own), shown(&mut taken.targets), shown(&mut taken.wall));
    println!("  {name:18} own CPU s {own}   targets' CPU s {targets}   wall s {wall}");
}
