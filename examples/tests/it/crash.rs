//! The migration is killed again and again, and what it leaves in the target in the end is exact.
//!
//! `RDTS_LONG` has more kills and more seeds. `RDTS_CRASH_SEED=N` has other ones: a failure says which seed it came from, and the
//! same seed has the same load and the same moments, as far as moments can be the same.

pub(crate) mod trial;

use std::time::Duration;

use rdts_testkit::{Cluster, Rng};

use self::trial::{Place, Trial, crash, server};

/// Keys before the load: enough that a snapshot takes long enough to be hit.
const KEYS: u64 = 6_000;

/// When to kill.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after the start: while it connects, makes sure of things, goes on from where it was.
    Early(Duration),
    /// When so many of a hundred keys are copied.
    Copying(u64),
    /// So long after the snapshot is in place.
    Copied(Duration),
    /// In the stream, after so many commands of the load.
    Live(u64),
}

impl Moment {
    /// So many moments, in an order in which each can come: what is copied does not become less.
    fn plan(kills: u64, rng: &mut Rng) -> Vec<Self> {
        let third = kills / 3;
        let mut copying: Vec<u64> = (0..third).map(|_| rng.between(1, 99)).collect();
        copying.sort_unstable();
        let mut moments: Vec<Self> = copying.into_iter().map(Self::Copying).collect();
        for _ in 0..third {
            let live = Self::Live(rng.between(1, 600));
            let copied = Self::Copied(Duration::from_millis(rng.below(30)));
            moments.push(if rng.one_in(3) { copied } else { live });
        }
        while (moments.len() as u64) < kills {
            let place = usize::try_from(rng.below(moments.len() as u64 + 1)).unwrap();
            moments.insert(place, Self::Early(Duration::from_millis(rng.below(400))));
        }
        moments
    }
}

/// Migrates, with so many crashes on the way.
fn survives(source: Place, target: Place, kills: u64, seed: u64) {
    let mut rng = Rng::new(seed);
    let plan = Moment::plan(kills, &mut rng);
    // Shown when the test fails.
    println!("RDTS_CRASH_SEED={seed}: {plan:?}");
    let mut trial = Trial::new(source, target, KEYS, seed);
    // A snapshot that has not come whole has to be begun again.
    trial.more = ["--on-lost", "restart"].map(str::to_owned).to_vec();
    let mut full_syncs = None;
    for (number, moment) in plan.into_iter().enumerate() {
        let program = trial.start(&[]);
        match moment {
            // A moment in time is what was asked for: nothing is waited for.
            Moment::Early(after) => std::thread::sleep(after),
            Moment::Copying(percent) => trial.wait_until_copied(&program, percent),
            Moment::Copied(after) => {
                trial.wait_until_live(&program, 0);
                std::thread::sleep(after);
            }
            Moment::Live(commands) => trial.wait_until_live(&program, commands),
        }
        if trial.is_live(&program) {
            // From here on nothing is sent a second time.
            assert_eq!(*full_syncs.get_or_insert(trial.full_syncs()), trial.full_syncs(), "at crash {number}");
        }
        crash(program);
        println!("crash {number}: {moment:?}");
    }
    trial.finish();
    let whole = trial.full_syncs();
    println!("{whole} full syncs");
    assert_eq!(full_syncs.unwrap_or(whole), whole, "a copy that was whole was begun again");
}

/// Runs a scenario: once with few crashes, or, in the long form, several times with many.
fn with_seeds(first: u64, kills: u64, deployments: impl Fn() -> (Place, Place)) {
    let first = std::env::var("RDTS_CRASH_SEED").map_or(first, |seed| seed.parse().unwrap());
    let long = std::env::var_os("RDTS_LONG").is_some();
    let (rounds, kills) = if long { (4, 13) } else { (1, kills) };
    for round in 0..rounds {
        let (source, target) = deployments();
        survives(source, target, kills, first + round);
    }
}

#[test]
fn redis_5_0_to_7_0() {
    with_seeds(5070, 6, || (server("redis-5.0"), server("redis-7.0")));
}

#[test]
fn valkey_9_1_to_itself() {
    with_seeds(9191, 6, || (server("valkey-9.1"), server("valkey-9.1")));
}

#[test]
fn a_server_to_a_cluster() {
    with_seeds(1003, 5, || (server("redis-7.0"), Place::Cluster(Cluster::start("redis-7.0", 3))));
}

#[test]
fn a_cluster_to_a_cluster_of_another_layout() {
    with_seeds(3003, 5, || {
        let source = Cluster::builder("redis-7.0", 3).arg("repl-backlog-size", "64mb").start();
        let target = Cluster::builder("redis-7.0", 3).layout(&crate::deployments::other_layout()).start();
        (Place::Cluster(source), Place::Cluster(target))
    });
}
