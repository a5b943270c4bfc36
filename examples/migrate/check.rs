//! `--check`: what would be in the way of a migration.

use rdts_core::precheck::{self, Verdict};
use rdts_examples::exit;
use rdts_examples::migration::Job;
use serde_json::json;

/// Looks at both sides and prints what was seen. The exit status.
pub(crate) async fn run(job: &Job, json: bool) -> u8 {
    let report = precheck::run(&job.plan()).await;
    let status = if report.worst() == Verdict::Fail { exit::PRECHECK } else { exit::SUCCESS };
    if json {
        for check in &report.checks {
            let (name, result) = (&check.name, check.result);
            println!(
                "{}",
                json!({ "event": "check", "name": name, "result": result, "seen": check.seen, "remedy": check.remedy })
            );
        }
        println!("{}", json!({ "event": "summary", "status": status, "result": report.worst() }));
    } else {
        print!("{report}");
    }
    status
}
