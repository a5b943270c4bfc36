//! A full copy from one server to another by `migrate`, beside the servers' own replication of the same data in the same run.
//!
//! ```text
//! cargo build --release --example migrate
//! cargo bench -p rdts-examples --bench full_sync -- strings 1000000
//! cargo bench -p rdts-examples --bench full_sync -- mixed 70000
//! ```
//!
//! A third argument is how often (default 5), a fourth the server (default `redis-7.0`). Printed are minimum, median and maximum.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, Instant};

use rdts_testkit::{ChildProgram, FillOptions, Server, fill};

const LONG: Duration = Duration::from_secs(600);

/// What one round took.
#[derive(Default)]
struct Rounds {
    native_wall: Vec<f64>,
    native_cpu: Vec<f64>,
    wall: Vec<f64>,
    tool_cpu: Vec<f64>,
    tool_peak: Vec<f64>,
    target_cpu: Vec<f64>,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let arg = |index: usize, default: &str| args.get(index).cloned().unwrap_or_else(|| default.to_owned());
    let count: u64 = arg(1, "1000000").parse().unwrap();
    let options = match arg(0, "strings").as_str() {
        "strings" => FillOptions::strings(count),
        "mixed" => FillOptions::mixed(count),
        other => panic!("'{other}' is neither strings nor mixed"),
    };
    let rounds: usize = arg(2, "5").parse().unwrap();
    let version = arg(3, "redis-7.0");

    // Without the wait for further replicas, which would hide what copying takes.
    let source = Server::builder(&version).arg("repl-diskless-sync-delay", "0").start();
    let filled = fill(&source, &options);
    println!("{version}: {} keys, {} elements; {rounds} rounds", filled.keys, filled.elements);
    let mut taken = Rounds::default();
    for _ in 0..rounds {
        native(&source, &version, &mut taken);
        migrate(&source, &version, &mut taken);
    }
    print("native REPLICAOF, wall s", &mut taken.native_wall);
    print("  replica's CPU s", &mut taken.native_cpu);
    print("migrate, wall s", &mut taken.wall);
    print("  its CPU s", &mut taken.tool_cpu);
    print("  its peak memory, MiB", &mut taken.tool_peak);
    print("  target's CPU s", &mut taken.target_cpu);
    println!("migrate's CPU / target's CPU: {:.2}", median(&taken.tool_cpu) / median(&taken.target_cpu));
    println!("migrate's wall / native wall: {:.2}", median(&taken.wall) / median(&taken.native_wall));
}

fn native(source: &Server, version: &str, taken: &mut Rounds) {
    let replica = Server::start(version);
    let (start, cpu) = (Instant::now(), replica.cpu_seconds());
    replica.replicate(source);
    taken.native_wall.push(start.elapsed().as_secs_f64());
    taken.native_cpu.push(replica.cpu_seconds() - cpu);
    assert_eq!(replica.cmd(&["DBSIZE"]), source.cmd(&["DBSIZE"]));
}

fn migrate(source: &Server, version: &str, taken: &mut Rounds) {
    let target = Server::start(version);
    let cpu = target.cpu_seconds();
    let args = ["--from", &source.url(), "--to", &target.url(), "--mode", "full"];
    let finished = ChildProgram::example("migrate", &args).wait(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    taken.wall.push(finished.cost.wall.as_secs_f64());
    taken.tool_cpu.push(finished.cost.cpu_seconds);
    taken.tool_peak.push(finished.cost.peak_memory as f64 / f64::from(1 << 20));
    taken.target_cpu.push(target.cpu_seconds() - cpu);
    assert_eq!(target.cmd(&["DBSIZE"]), source.cmd(&["DBSIZE"]));
}

fn median(values: &[f64]) -> f64 {
    values[values.len() / 2]
}

fn print(what: &str, values: &mut [f64]) {
    values.sort_by(f64::total_cmp);
    println!("{what:28} {:8.2} {:8.2} {:8.2}", values[0], median(values), values[values.len() - 1]);
}
