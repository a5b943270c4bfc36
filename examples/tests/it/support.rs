//! What these tests share.

use std::time::Duration;

use rdts_testkit::{ChildProgram, Finished};
use serde_json::Value;

/// Enough for anything here on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// Starts `migrate --json` with `args`.
pub(crate) fn migrate(args: &[&str]) -> ChildProgram {
    ChildProgram::example("migrate", &[&["--json"], args].concat())
}

/// Waits until `migrate` has the snapshot in place and follows the writes.
pub(crate) fn wait_until_live(program: &ChildProgram) {
    program.wait_for_stdout(LONG, |line| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["phase"] == "live"
    });
}

/// The end of `migrate`, with its exit status checked.
pub(crate) fn ends(program: ChildProgram, status: i32) -> Finished {
    let finished = program.wait(LONG);
    assert_eq!(finished.code, Some(status), "stdout:\n{}\nstderr:\n{}", finished.stdout, finished.stderr);
    finished
}

/// The last line on standard output, which is always the summary.
pub(crate) fn summary(finished: &Finished) -> Value {
    let summary: Value = serde_json::from_str(finished.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(summary["event"], "summary");
    summary
}
