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
    // Shards are copied side by side, and the biggest of them lasts longest.
    let shards: Result<Vec<u64>, String> =
        facts.source.primaries().map(|node| memory::needed_of(node, facts)).collect();
    let (needed, shards) = match (memory::needed(facts), shards) {
        (Ok(needed), Ok(shards)) => (needed, shards),
        (Err(why), _) | (_, Err(why)) => {
            findings.unknown(&facts.source.endpoint, &why);
            return findings;
        }
    };
    let rate = facts.plan.rate.max(1);
    let biggest = shards.iter().max().copied().unwrap_or_default();
    let time = Duration::from_secs((biggest / rate).saturating_add(1));
    let seen = format!(
        "about {}, of which {} in the biggest of {} shards, at {}/s each: the snapshot takes about {} s",
        Bytes(needed),
        Bytes(biggest),
        shards.len(),
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
