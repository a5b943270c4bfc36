//! What is looked at before anything moves: whether a migration would succeed, and what it would lose or burden.
//!
//! ```text
//!  Plan ─► find the nodes of both sides ─► ask each of them (facts) ─► judge the facts ─► Report
//!            discover.rs                     node.rs, trial.rs,          one file for each
//!                                            sample.rs                   group of checks
//! ```
//!
//! [`run`] never writes to either side. What a user may do is tried without doing it: commands are queued in a `MULTI` and thrown away by
//! `DISCARD`, since servers check permissions, and whether they take writes at all, when a command is queued. A `PSYNC` is asked for with the option
//! `FAILOVER` (Redis 6.2 and later) and a history that nobody has, which every server refuses after it has checked permissions. What is refused
//! stands in the server's `ACL LOG`, and lookups count in its statistics.
//!
//! A check that cannot be made, since the user may not ask or a proxy hides the servers, is a [`Warn`](Verdict::Warn) that says so, never a pass.
//!
//! # What it costs
//!
//! One connection for each node, at most [`Plan::connections`] at a time for each side; each answer is waited for as long as
//! [`Plan::deadlines`] say. A few kilobytes of `INFO`, and for the sample at most [`Plan::sample_keys`] keys of each primary of the source,
//! 100 at a time with a pause of 10 ms: `SCAN`, `TYPE`, `OBJECT ENCODING` and `MEMORY USAGE` (with five samples; before Redis 4.0 the length
//! instead), about 300 bytes for a key both ways and four times its name. No value is read. Before Redis 4.0 a look at a key counts as a use of
//! it for eviction. Where the sample is a part, streams are looked for by up to 50 further calls of `SCAN` for each database.
//!
//! All checks are in [`CHECKS`], and with what they look at in `docs/prechecks.md`.

mod access;
mod clock;
mod data;
mod discover;
mod duration;
mod facts;
mod findings;
mod memory;
mod node;
mod place;
mod plan;
mod reach;
mod report;
mod sample;
mod slots;
mod source;
mod trial;
mod usage;
mod versions;
mod writable;

pub use plan::Plan;
pub use report::{CHECKS, Check, Description, Report, Verdict};

use facts::{Facts, Side};

/// Makes all checks. What cannot be asked is in the report, too: this never fails.
pub async fn run(plan: &Plan) -> Report {
    let source = Side::source(plan).await;
    // What is tried at the target depends on which databases the source has in use.
    let target = Side::target(plan, &source.databases(plan)).await;
    let facts = Facts { plan, source, target };
    Report::new(CHECKS.iter().map(|description| (description.judge)(&facts).check(description.name)).collect())
}
