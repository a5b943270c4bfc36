//! What it costs to put commands into other words for an older target: the same stream, once in words that the target knows and once in
//! words of a newer server, into the same Redis 3.2.
//!
//! ```text
//! cargo bench -p rdts-examples --bench rewrite -- 500000
//! ```
//!
//! A second argument is how often (default 5). The stream is an AOF file, which goes the way of a replication stream. Printed are CPU seconds of this
//! process and of the target, and the seconds that it took (minimum, median, maximum).

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use rdts_core::endpoint::NodeAddress;
use rdts_core::source::{AofOptions, AofSource};
use rdts_core::{Pipeline, Sink};
use rdts_sink::{NodeOptions, NodeSink};
use rdts_testkit::Server;

/// The words of a command, by its number.
type Words = fn(u64) -> Vec<String>;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let arg = |index: usize, default: u64| args.get(index).map_or(default, |arg| arg.parse().unwrap());
    let (count, rounds) = (arg(0, 500_000), arg(1, 5));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, Words); 4] =
        [("known", known), ("a third rewritten", a_third), ("all known", deleted), ("all rewritten", unlinked)];
    let mut taken = cases.map(|_| (Vec::new(), Vec::new(), Vec::new()));
    for (number, (_, words)) in cases.iter().enumerate() {
        write(&folder.path().join(format!("{number}.aof")), count, *words);
    }
    for _ in 0..rounds {
        for (number, (own, there, wall)) in taken.iter_mut().enumerate() {
            let target = Server::start("redis-3.2");
            let (before, start) = ((own_cpu(), target.cpu_seconds()), Instant::now());
            runtime.block_on(run(&folder.path().join(format!("{number}.aof")), &target));
            wall.push(start.elapsed().as_secs_f64());
            own.push(own_cpu() - before.0);
            there.push(target.cpu_seconds() - before.1);
        }
    }
    println!("{count} commands into Redis 3.2, {rounds} rounds");
    for ((name, _), (own, there, wall)) in cases.iter().zip(&mut taken) {
        println!("  {name:18} own CPU s {}   target's CPU s {}   wall s {}", shown(own), shown(there), shown(wall));
    }
}

fn key(number: u64) -> String {
    format!("key:{:06}", number * 7919 % 100_000)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn known(number: u64) -> Vec<String> {
    let key = key(number);
    match number % 6 {
        0 | 1 => words(&["SET", &key, "a value of some length"]),
        2 => words(&["PEXPIREAT", &key, "4000000000000"]),
        3 => words(&["DEL", &key]),
        4 => words(&["RPOPLPUSH", "list", "list"]),
        _ => words(&["DEL", &key]),
    }
}

/// The same effect in words of Redis 7.0 for a third of them.
fn a_third(number: u64) -> Vec<String> {
    let key = key(number);
    match number % 6 {
        3 => words(&["UNLINK", &key]),
        4 => words(&["LMOVE", "list", "list", "RIGHT", "LEFT"]),
        _ => known(number),
    }
}

fn deleted(number: u64) -> Vec<String> {
    words(&["DEL", &key(number)])
}

fn unlinked(number: u64) -> Vec<String> {
    words(&["UNLINK", &key(number)])
}

fn write(path: &Path, count: u64, words: Words) {
    let mut file = BufWriter::new(std::fs::File::create(path).unwrap());
    let mut frame = Vec::new();
    rdts_resp::encode::command(&mut frame, ["SELECT", "0"]);
    for number in 0..count {
        rdts_resp::encode::command(&mut frame, words(number));
        file.write_all(&frame).unwrap();
        frame.clear();
    }
    file.flush().unwrap();
}

async fn run(aof: &Path, target: &Server) {
    let address = NodeAddress::new("127.0.0.1", target.port());
    let sink = NodeSink::connect(&address, NodeOptions::default()).await.unwrap();
    let source = AofSource::open(aof, sink.capabilities().target, AofOptions::default()).await.unwrap();
    Pipeline::new(source, sink).run().await.result.unwrap();
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

fn shown(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    format!("{:.3} {:.3} {:.3}", values[0], values[values.len() / 2], values[values.len() - 1])
}
