//! Every precheck fails, or warns where that is the worst it says, on a server that is set up for it, and passes once that is remedied.

mod access;
mod data;
mod docs;
mod places;
mod quiet;
mod reach;
mod relay;
mod source;
mod target;

use std::time::Duration;

use rdts_core::net::Deadlines;
use rdts_core::precheck::{Plan, Report, Verdict, run};
use rdts_testkit::Server;

const LONG: Duration = Duration::from_secs(60);

/// A plan whose deadlines do not matter on a slow machine.
fn plan(from: &str, to: &str) -> Plan {
    let deadlines = Deadlines::default().connect(LONG).reply(LONG);
    Plan::new(from.parse().unwrap(), to.parse().unwrap()).deadlines(deadlines)
}

async fn report(from: &str, to: &str) -> Report {
    run(&plan(from, to)).await
}

/// Asserts what a check says, and which words are in it.
#[track_caller]
fn expect(report: &Report, name: &str, result: Verdict, words: &str) {
    let check = report.check(name).unwrap_or_else(|| panic!("no check {name}"));
    assert!(
        check.result == result && check.seen.contains(words),
        "expected {result} with '{words}': {check}\n\n{report}"
    );
    assert_eq!(check.remedy.is_some(), result != Verdict::Pass, "{check}");
}

/// Something that is wrong between two servers, and what a check says of it.
struct Case {
    check: &'static str,
    result: Verdict,
    words: &'static str,
    wrong: &'static dyn Fn(&Server, &Server),
    remedy: &'static dyn Fn(&Server, &Server),
}

/// Has each case go wrong, and remedied.
async fn all(source: &Server, target: &Server, plan: &Plan, cases: &[Case]) {
    for case in cases {
        (case.wrong)(source, target);
        expect(&run(plan).await, case.check, case.result, case.words);
        (case.remedy)(source, target);
        expect(&run(plan).await, case.check, Verdict::Pass, "");
    }
}
