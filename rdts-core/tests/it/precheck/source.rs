//! Whether the source can bear to be copied, clocks, and the time that a copy takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdts_core::precheck::{Verdict, run};
use rdts_testkit::Server;

use super::relay::relay;
use super::{Case, LONG, all, expect, plan, report};

fn set(server: &Server, name: &str, value: &str) {
    server.cmd(&["CONFIG", "SET", name, value]);
}

#[tokio::test]
async fn limits_that_a_copy_would_meet_are_found() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    for key in 0..10 {
        source.cmd(&["SET", &format!("k{key}"), "v"]);
    }
    let cases = [
        Case {
            check: "source-timeout",
            result: Verdict::Warn,
            words: "silent for 7 s",
            wrong: &|source, _| set(source, "repl-timeout", "7"),
            remedy: &|source, _| set(source, "repl-timeout", "60"),
        },
        Case {
            check: "source-snapshot",
            result: Verdict::Warn,
            words: "is writing a snapshot",
            wrong: &|source, _| {
                // Ten minutes for each key.
                set(source, "rdb-key-save-delay", "600000000");
                source.cmd(&["BGSAVE"]);
            },
            remedy: &|source, _| {
                // That ends the child.
                source.cmd(&["FLUSHALL"]);
                source.wait_until("the end of the snapshot", LONG, |source| {
                    source.info("persistence")["rdb_bgsave_in_progress"] == "0"
                });
            },
        },
    ];
    all(&source, &target, &plan(&source.url(), &target.url()), &cases).await;
}

#[tokio::test]
async fn what_clients_write_is_compared_with_the_limits() {
    let (source, target) = (Server::start("redis-8.2"), Server::start("redis-8.2"));
    set(&source, "repl-backlog-size", "32768");
    set(&source, "client-output-buffer-limit", "slave 100000 0 0");
    let (stop, value) = (AtomicBool::new(false), "x".repeat(100_000));
    let plan = plan(&source.url(), &target.url());
    let busy = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = source.connection();
            while !stop.load(Ordering::Relaxed) {
                redis::cmd("SET").arg(&["k", &value]).exec(&mut connection).unwrap();
            }
        });
        source.wait_until("a rate", LONG, |source| {
            source.info("stats")["instantaneous_input_kbps"].parse::<f64>().unwrap() > 1000.0
        });
        let report = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let report = scope.spawn(|| report.unwrap().block_on(run(&plan))).join();
        stop.store(true, Ordering::Relaxed);
        report.unwrap()
    });
    expect(&busy, "source-output-buffer", Verdict::Warn, "clients write");
    expect(&busy, "source-backlog", Verdict::Warn, "the backlog holds 32.0 KiB");
    set(&source, "repl-backlog-size", "100gb");
    set(&source, "client-output-buffer-limit", "slave 0 0 0");
    let calm = run(&plan).await;
    expect(&calm, "source-output-buffer", Verdict::Pass, "");
    expect(&calm, "source-backlog", Verdict::Pass, "");
}

#[tokio::test]
async fn clocks_and_memory_are_compared() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    let well = report(&source.url(), &target.url()).await;
    expect(&well, "clock", Verdict::Pass, "agree");
    expect(&well, "source-memory", Verdict::Pass, "");
    // Nobody sets a machine's clock for a test, nor fills its memory. Seconds since 1970 begin with 1 until the year 2033.
    let wrong = |from, to| format!("redis://127.0.0.1:{}", relay(source.port(), from, to));
    let later = report(&wrong("*2\r\n$10\r\n1", "*2\r\n$10\r\n2"), &target.url()).await;
    expect(&later, "clock", Verdict::Warn, "ahead of that of this machine");
    let system = source.info("memory")["total_system_memory"].clone();
    let (real, little) =
        (format!("total_system_memory:{system}"), format!("total_system_memory:{:0>1$}", 1_000_000, system.len()));
    let small = report(&wrong(real.leak(), little.leak()), &target.url()).await;
    expect(&small, "source-memory", Verdict::Warn, "that its machine has");
}

#[tokio::test]
async fn the_time_that_a_copy_takes_is_estimated() {
    let (source, target) = (Server::start("valkey-8.1"), Server::start("valkey-8.1"));
    source.cmd(&["SET", "k", &"x".repeat(100_000)]);
    let plan = plan(&source.url(), &target.url()).time_limit(Duration::from_secs(60));
    expect(&run(&plan.clone().rate(100)).await, "duration", Verdict::Warn, "longer than the 60 s");
    expect(&run(&plan).await, "duration", Verdict::Pass, "the snapshot takes about 1 s");
}
