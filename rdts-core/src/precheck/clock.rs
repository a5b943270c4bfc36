//! Whether all clocks show the same.

use std::time::Duration;

use super::facts::{Facts, Side};
use super::findings::Findings;
use super::node::Node;

/// Clocks that differ by more make keys expire noticeably earlier or later.
const TOLERANCE: Duration = Duration::from_secs(1);

pub(super) fn differences(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    let remedy = "set the clocks by NTP: keys expire at absolute times, and replicated ones with the target's clock";
    let mut furthest: [Option<(&Node, i64)>; 2] = [None, None];
    for (side, furthest) in [&facts.source, &facts.target].into_iter().zip(&mut furthest) {
        each(
            side,
            &mut findings,
            |node, ahead, error| {
                if furthest.is_none_or(|(_, other)| ahead.abs() > other.abs()) {
                    *furthest = Some((node, ahead));
                }
                let off = Duration::from_millis(ahead.unsigned_abs()).saturating_sub(error);
                let way = if ahead > 0 { "ahead of" } else { "behind" };
                (off > TOLERANCE).then(|| {
                    format!(
                        "the clock of {} is {:.1} s {way} that of this machine",
                        node.address,
                        ahead.unsigned_abs() as f64 / 1000.0
                    )
                })
            },
            remedy,
        );
    }
    if let [Some((from, a)), Some((to, b))] = furthest
        && Duration::from_millis(a.abs_diff(b)) > TOLERANCE
        && !findings.is_clean()
    {
        findings.warn(
            format!(
                "the clocks of {} and {} differ by {:.1} s",
                from.address,
                to.address,
                a.abs_diff(b) as f64 / 1000.0
            ),
            remedy,
        );
    }
    if findings.is_clean() {
        findings.pass("all clocks agree within a second");
    }
    findings
}

/// Has `look` at how many milliseconds each clock is ahead of ours, and how much of that may be the way there and back.
fn each<'a>(
    side: &'a Side,
    findings: &mut Findings,
    mut look: impl FnMut(&'a Node, i64, Duration) -> Option<String>,
    remedy: &str,
) {
    side.each(findings, |node, findings| match &node.ahead {
        Ok((ahead, took)) => {
            if let Some(seen) = look(node, *ahead, *took) {
                findings.warn(seen, remedy);
            }
        }
        Err(why) => findings.unknown(&node.address, why),
    });
}
