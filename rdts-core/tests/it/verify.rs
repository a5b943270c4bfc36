//! Comparing real servers.

mod busy;
mod deployments;
mod found;
mod same;

use std::time::Duration;

use rdts_core::Endpoint;
use rdts_core::verify::{DifferenceKind, Mode, Report, Verifier, VerifyOptions};
use rdts_testkit::{FillOptions, Server, fill};

/// Two servers with the same data, which nobody writes to: the second was a replica of the first.
fn twins(source: &str, target: &str, options: &FillOptions) -> (Server, Server) {
    let (source, target) = (Server::start(source), Server::start(target));
    fill(&source, options);
    follow(&source, &target);
    target.promote();
    (source, target)
}

fn follow(source: &Server, target: &Server) {
    target.replicate(source);
    target.wait_in_sync(source);
}

/// Short waits, for servers where nothing is on its way.
fn quick() -> VerifyOptions {
    VerifyOptions::default().interval(Duration::from_millis(20)).patience(Duration::from_secs(2))
}

async fn verify(from: &str, to: &str, options: VerifyOptions) -> Report {
    let (from, to): (Endpoint, Endpoint) = (from.parse().unwrap(), to.parse().unwrap());
    Verifier::open(&from, &to, options).await.unwrap().run().await.unwrap()
}

/// What was found, in order: kind, database, key.
fn found(report: &Report) -> Vec<(DifferenceKind, u32, String)> {
    let key = |key: &rdts_core::verify::Difference| (key.kind, key.db, key.key.escape_ascii().to_string());
    let mut found: Vec<_> = report.keys.iter().map(key).collect();
    found.sort_by(|one, two| (one.1, &one.2).cmp(&(two.1, &two.2)));
    found
}

/// All modes that look at keys.
const MODES: [Mode; 3] = [Mode::Outline, Mode::Full, Mode::Sample];
