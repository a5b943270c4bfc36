//! A target that is much slower than the source.

use std::time::{Duration, Instant};

use rdts_testkit::{Direction, FaultProxy, Flow, Rng, Signal, wait_until};
use redis::Connection;

use crate::crash::trial::{Trial, server};
use crate::support::{LONG, ends, summary};

/// Writes random values to 500 keys, so many bytes a second. The data stays small, the stream does not.
fn write(connection: &mut Connection, bytes_per_second: u64, time: Duration) -> u64 {
    const VALUE: usize = 10_000;
    let values: Vec<Vec<u8>> = (0..50).map(|seed| Rng::new(seed).bytes(VALUE)).collect();
    let mut rng = Rng::new(7);
    let (start, mut written) = (Instant::now(), 0);
    while start.elapsed() < time {
        let mut pipeline = redis::pipe();
        for _ in 0..20 {
            pipeline.cmd("SET").arg(format!("fast:{}", rng.below(500))).arg(rng.pick(&values)).ignore();
            written += VALUE as u64;
        }
        pipeline.exec(connection).unwrap();
        let due = Duration::from_secs_f64(written as f64 / bytes_per_second as f64);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
    written
}

/// The connection of the one replica, as the source knows it.
fn replica(trial: &Trial) -> String {
    let clients: String = redis::from_redis_value(trial.source.cmd(&["CLIENT", "LIST", "TYPE", "replica"])).unwrap();
    let ids: Vec<&str> = clients.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(ids.len(), 1, "{clients}");
    ids[0].to_owned()
}

#[test]
fn a_slow_target_does_not_cut_the_source_off() {
    let long = std::env::var_os("RDTS_LONG").is_some();
    let (rate, time) = if long { (50_000_000, 60) } else { (15_000_000, 5) };
    let mut trial = Trial::new(server("redis-7.0"), server("redis-7.0"), 500, 700);
    // Those of a server that was left as it came.
    trial.source.cmd(&["CONFIG", "SET", "client-output-buffer-limit", "replica 268435456 67108864 60"]);
    trial.source.cmd(&["CONFIG", "SET", "repl-backlog-size", "1048576"]);
    let proxy = FaultProxy::before(trial.target.server());
    trial.to = proxy.url();
    let program = trial.start(&[]);
    trial.wait_until_live(&program, 100);
    let (before, full_syncs) = (replica(&trial), trial.full_syncs());
    proxy.set(Direction::ToServer, Flow::Limited(1_000_000));
    let written = write(&mut trial.source.server().connection(), rate, Duration::from_secs(time));
    let spool = size(trial.state());
    assert_eq!((replica(&trial), trial.full_syncs()), (before, full_syncs));
    assert!(spool > written / 2 && spool < written + (200 << 20), "{spool} bytes in the spool of {written}");
    trial.quiet();
    proxy.set(Direction::ToServer, Flow::Free);
    trial.wait_until_caught_up(&program);
    // What is applied goes within a second or two, but for what is kept and the segments that it is in.
    wait_until("the spool to be small again", LONG, || size(trial.state()) < 300 << 20);
    program.signal(Signal::Int);
    let finished = ends(program, 0);
    let (peak, mib) = (finished.cost.peak_memory, 1 << 20);
    println!(
        "{} MB written, {} MB in the spool, at most {} MiB of memory",
        written / 1_000_000,
        spool / 1_000_000,
        peak / mib
    );
    assert!(peak < 128 * mib, "{peak} bytes of memory");
    assert_eq!(summary(&finished)["status"], 0);
    assert_eq!(trial.full_syncs(), full_syncs);
    trial.finish();
}

/// The bytes in a folder's files.
fn size(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.len(),
            // Removed meanwhile.
            Err(_) => 0,
        })
        .sum()
}
