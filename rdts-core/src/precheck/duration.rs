//! How long the copy of the snapshot will take, roughly.

use std::time::Duration;

use super::facts::{Facts, Spread};
use super::findings::Findings;
use super::memory;
use crate::protection::Bytes;

pub(super) fn estimate(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    if facts.source.spread == Spread::None {
        findings.pass("a file is read as fast as the target takes it");
        return findings;
    }
    // An upper bound: shards are copied side by side, and the longest of them lasts longest.
    let needed = match memory::needed(facts) {
        Ok(needed) => needed,
        Err(why) => {
            findings.unknown(&facts.source.endpoint, &why);
            return findings;
        }
    };
    let shards = facts.source.primaries().count().max(1) as u64;
    let rate = facts.plan.rate.max(1);
    let time = Duration::from_secs((needed / shards / rate).saturating_add(1));
    let seen = format!(
        "about {} in {shards} shards at {}/s each: the snapshot takes about {} s",
        Bytes(needed),
        Bytes(rate),
        time.as_secs()
    );
    if time > facts.plan.time_limit {
        findings.warn(
            format!("{seen}, longer than the {} s that it may take", facts.plan.time_limit.as_secs()),
            "allow for more time, spread the source over more shards, or move less",
        );
    } else {
        findings.pass(seen);
    }
    findings
}
