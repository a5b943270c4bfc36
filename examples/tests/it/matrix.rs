//! From every version to every other, live and under load. What comes of it is what docs/compatibility.md says.

mod doc;
mod pair;

use std::collections::BTreeMap;
use std::sync::Mutex;

use pair::Outcome;

/// The servers of the table, in its order.
const SERVERS: [&str; 15] = [
    "redis-2.8",
    "redis-3.0",
    "redis-3.2",
    "redis-4.0",
    "redis-5.0",
    "redis-6.0",
    "redis-6.2",
    "redis-7.0",
    "redis-7.2-stack",
    "redis-7.4-stack",
    "redis-8.2",
    "redis-8.10",
    "valkey-8.1",
    "valkey-9.0",
    "valkey-9.1",
];

/// Migrates each pair, and checks that the table of docs/compatibility.md says of it what came of it.
fn as_documented(pairs: &[(&str, &str)]) {
    for &(from, to) in pairs {
        let outcome = pair::migrates(from, to);
        assert_eq!(doc::cell(from, to), outcome.to_string(), "docs/compatibility.md on {from} to {to}");
    }
}

#[test]
fn down_from_redis_of_old() {
    as_documented(&[("redis-4.0", "redis-3.2"), ("redis-5.0", "redis-4.0"), ("redis-7.0", "redis-5.0")]);
}

#[test]
fn down_from_redis_of_late() {
    as_documented(&[("redis-7.0", "redis-2.8"), ("redis-8.2", "redis-6.2"), ("redis-8.10", "redis-7.0")]);
}

#[test]
fn from_one_family_to_the_other() {
    as_documented(&[
        ("valkey-9.1", "redis-7.2-stack"),
        ("redis-7.2-stack", "valkey-9.1"),
        ("redis-8.10", "valkey-9.1"),
        ("valkey-9.1", "redis-8.10"),
    ]);
}

#[test]
fn up_from_each_version() {
    as_documented(&[
        ("redis-3.0", "redis-8.10"),
        ("redis-3.2", "redis-6.0"),
        ("redis-6.0", "valkey-9.0"),
        ("redis-6.2", "redis-7.4-stack"),
        ("valkey-8.1", "valkey-9.1"),
    ]);
}

/// All pairs, with `RDTS_LONG=1`; `RDTS_DOCS=write` writes the table instead of comparing it.
#[test]
fn every_version_to_every_other() {
    if std::env::var_os("RDTS_LONG").is_none() {
        println!("the whole table is tested with RDTS_LONG=1; without it, what the other tests of this module name");
        return;
    }
    let pairs: Vec<_> = SERVERS.iter().flat_map(|from| SERVERS.iter().map(move |to| (*from, *to))).collect();
    let left = Mutex::new(pairs.into_iter());
    let outcomes: Mutex<BTreeMap<(&str, &str), Outcome>> = Mutex::default();
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some((from, to)) = left.lock().unwrap().next() else { break };
                    match std::panic::catch_unwind(|| pair::migrates(from, to)) {
                        Ok(outcome) => _ = outcomes.lock().unwrap().insert((from, to), outcome),
                        Err(_) => failures.lock().unwrap().push(format!("{from} to {to}")),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} pairs: {failures:?}", failures.len(), SERVERS.len() * SERVERS.len());
    doc::check("pairs", &doc::table(&outcomes.into_inner().unwrap()));
}
