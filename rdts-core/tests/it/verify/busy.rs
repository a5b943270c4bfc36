//! Comparing while writes go on.

use std::sync::Arc;
use std::time::Duration;

use rdts_core::verify::{Fence, Mode, Report, VerifyOptions};
use rdts_core::{ErrorKind, Result};
use rdts_testkit::{FillOptions, Load, LoadOptions, Server, fill};

use super::{follow, quick, verify};

const LONG: Duration = Duration::from_secs(120);

/// A real replica is the quickest migration there is: its offset tells what it has.
struct Replica {
    source: Arc<Server>,
    target: Arc<Server>,
}

impl Fence for Replica {
    async fn caught_up(&self) -> Result<()> {
        let (source, target) = (Arc::clone(&self.source), Arc::clone(&self.target));
        let wait = move || {
            let offset = |server: &Server, field: &str| server.info("replication")[field].parse::<u64>().unwrap();
            let goal = offset(&source, "master_repl_offset");
            rdts_testkit::wait_until("the replica to follow", LONG, || offset(&target, "slave_repl_offset") >= goal);
        };
        tokio::task::spawn_blocking(wait).await.unwrap();
        Ok(())
    }
}

fn load(source: &Server, swapped: bool) -> Load {
    let mut options = LoadOptions::default();
    options.rate = 20_000;
    if !swapped {
        // Alone, it cannot be swapped with another.
        options.dbs = vec![0];
    }
    let load = Load::start(source, options);
    load.wait_for(2_000, LONG);
    load
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_data_under_20_000_writes_a_second() {
    let (source, target) = (Arc::new(Server::start("redis-7.0")), Arc::new(Server::start("redis-7.0")));
    let mut options = FillOptions::mixed(300);
    options.strings = 30_000;
    fill(&*source, &options);
    follow(&source, &target);
    for (mode, fenced) in [(Mode::Outline, true), (Mode::Full, true), (Mode::Full, false)] {
        let report = under_load(&source, &target, mode, fenced, false).await;
        assert!(report.compared >= 30_300, "{report}");
    }
    // A difference is found all the same, and repaired.
    target.cmd(&["CONFIG", "SET", "replica-read-only", "no"]);
    target.cmd(&["SET", "string:7", "changed by somebody"]);
    let load = load(&source, false);
    for repair in [false, true] {
        let fence = Replica { source: Arc::clone(&source), target: Arc::clone(&target) };
        let report = verify(&source.url(), &target.url(), slow().fence(fence).repair(repair)).await;
        let keys: Vec<_> = report.keys.iter().map(|key| (&key.key[..], key.repaired)).collect();
        assert_eq!(keys, [(&b"string:7"[..], repair)], "{report}");
    }
    load.stop();
    // Swapped databases hide keys; the report says so if it happened just then.
    for mode in [Mode::Outline, Mode::Full] {
        let report = under_load(&source, &target, mode, false, true).await;
        assert!(report.compared >= 30_300 || report.notes.len() == 1, "{report}");
    }
}

fn slow() -> VerifyOptions {
    quick().patience(LONG).interval(Duration::from_millis(300))
}

async fn under_load(source: &Arc<Server>, target: &Arc<Server>, mode: Mode, fenced: bool, swapped: bool) -> Report {
    let load = load(source, swapped);
    let mut options = slow().mode(mode);
    if fenced {
        options = options.fence(Replica { source: Arc::clone(source), target: Arc::clone(target) });
    }
    let before = load.commands();
    let report = verify(&source.url(), &target.url(), options).await;
    assert!(load.commands() > before, "nothing was written meanwhile");
    load.stop();
    assert!(report.equal && report.keys.is_empty(), "{mode:?}, fence {fenced}: {report}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_keeps_changing_and_is_not_followed_is_unsettled() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    target.cmd(&["SET", "counter", "-1"]);
    let load = std::thread::spawn({
        let mut connection = source.connection();
        move || {
            // The server goes away at the end.
            while redis::cmd("INCR").arg("counter").query::<i64>(&mut connection).is_ok() {}
        }
    });
    rdts_testkit::wait_until("the counter to count", LONG, || {
        source.cmd(&["EXISTS", "counter"]) == redis::Value::Int(1)
    });
    let report = verify(&source.url(), &target.url(), quick()).await;
    assert_eq!((report.differences.unsettled, report.differences.total()), (1, 1), "{report}");
    assert!(!report.equal);
    source.kill();
    load.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_lost_is_named() {
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    fill(&source, &FillOptions::strings(1_000));
    let (from, to) = (source.url().parse().unwrap(), target.url().parse().unwrap());
    let mut options = quick();
    options.deadlines = options.deadlines.ready(Duration::from_millis(300));
    let verifier = rdts_core::verify::Verifier::open(&from, &to, options).await.unwrap();
    target.kill();
    let error = verifier.run().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Connect | ErrorKind::Disconnected), "{error}");
    assert!(error.to_string().contains(&target.port().to_string()), "{error}");
}
