//! A full comparison of two servers with the same small strings by `verify`: keys per second, CPU of all three, peak memory.
//!
//! ```text
//! cargo build --release --example verify
//! cargo bench -p rdts-examples --bench verify -- 1000000
//! ```
//!
//! A second argument is how often (default 5), a third the server (default `redis-7.0`), a fourth the mode (default `full`). Printed are
//! minimum, median and maximum.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use rdts_testkit::{ChildProgram, FillOptions, Server, fill};

const LONG: Duration = Duration::from_secs(600);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let arg = |index: usize, default: &str| args.get(index).cloned().unwrap_or_else(|| default.to_owned());
    let count: u64 = arg(0, "1000000").parse().unwrap();
    let rounds: usize = arg(1, "5").parse().unwrap();
    let (version, mode) = (arg(2, "redis-7.0"), arg(3, "full"));

    let (source, target) = (Server::start(&version), Server::start(&version));
    fill(&source, &FillOptions::strings(count));
    target.replicate(&source);
    target.wait_in_sync(&source);
    target.promote();
    println!("{version}: {count} small strings, mode {mode}; {rounds} rounds");
    let (mut wall, mut rate, mut own, mut peak) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut source_cpu, mut target_cpu, mut per_cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let before = (source.cpu_seconds(), target.cpu_seconds());
        let args = ["--from", &source.url(), "--to", &target.url(), "--mode", &mode];
        let finished = ChildProgram::example("verify", &args).wait(LONG);
        assert_eq!(finished.code, Some(0), "{}{}", finished.stdout, finished.stderr);
        let cost = finished.cost;
        wall.push(cost.wall.as_secs_f64());
        rate.push(count as f64 / cost.wall.as_secs_f64() / 1000.0);
        own.push(cost.cpu_seconds);
        peak.push(cost.peak_memory as f64 / f64::from(1 << 20));
        source_cpu.push(source.cpu_seconds() - before.0);
        target_cpu.push(target.cpu_seconds() - before.1);
        let all = cost.cpu_seconds + source_cpu[source_cpu.len() - 1] + target_cpu[target_cpu.len() - 1];
        per_cpu.push(count as f64 / (all / 2.0) / 1000.0);
    }
    print("wall s", &mut wall);
    print("1,000 keys a second", &mut rate);
    print("its CPU s", &mut own);
    print("its peak memory, MiB", &mut peak);
    print("source's CPU s", &mut source_cpu);
    print("target's CPU s", &mut target_cpu);
    // What two cores would do that had nothing else to do: on a busy machine the wall says little.
    print("1,000 keys per 2 CPU s", &mut per_cpu);
}

fn print(what: &str, values: &mut [f64]) {
    values.sort_by(f64::total_cmp);
    println!("{what:28} {:8.2} {:8.2} {:8.2}", values[0], values[values.len() / 2], values[values.len() - 1]);
}
