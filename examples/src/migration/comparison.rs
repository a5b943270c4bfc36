//! The comparison of both sides at the end of a migration.

use rdts_core::fleet::Handle;
use rdts_core::verify::{Report, Verifier, VerifyOptions};
use rdts_core::{Error, ErrorKind, Result};

use super::job::Job;
use super::stopped::Stopped;
use crate::exit;

/// Compares every key and its whole value. While writes are followed, `running` knows what is on its way.
pub(super) async fn compare(job: &Job, running: Option<Handle>) -> Result<Report> {
    let options = VerifyOptions::default().deadlines(job.deadlines).rules(job.rules());
    let options = match running {
        Some(handle) => options.fence(handle),
        None => options,
    };
    Verifier::open(&job.from, &job.to, options).await?.run().await
}

/// Refuses to call a migration done whose sides differ.
pub(super) fn refuse(report: &Report) -> std::result::Result<(), Stopped> {
    if report.equal {
        return Ok(());
    }
    let shown: Vec<String> = report.keys.iter().take(5).map(ToString::to_string).collect();
    let text = format!("{} differences between source and target: {}", report.differences.total(), shown.join("; "));
    Err(Stopped { status: exit::DIFFERENT, error: Error::new(ErrorKind::Different, text) })
}
