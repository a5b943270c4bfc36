//! Whether the source can bear to be copied: what [`SourceFacts`](crate::protection::SourceFacts) finds, node by node.

use super::facts::Facts;
use super::findings::Findings;
use crate::protection::{About, SourceFacts};

/// What there is to say about one thing; `known` is whether the node has told what that depends on.
fn concerns(facts: &Facts<'_>, about: About, known: fn(&SourceFacts) -> bool, fine: &str) -> Findings {
    let mut findings = Findings::default();
    facts.source.each(&mut findings, |node, findings| {
        let address = &node.address;
        match &node.protection {
            Ok(told) if known(told) => {
                for concern in told.before_copy().into_iter().filter(|concern| concern.about == about) {
                    findings.warn(format!("{address}: {}", concern.seen), concern.remedy);
                }
                findings.pass(format!("{address} {fine}"));
            }
            Ok(_) => findings.unknown(address, "its settings or its memory are not told"),
            Err(why) => findings.unknown(address, why),
        }
    });
    findings
}

pub(super) fn output_buffer(facts: &Facts<'_>) -> Findings {
    let fine = "allows a replica enough for what clients write now";
    concerns(facts, About::OutputBuffer, |told| told.output_buffer.is_some(), fine)
}

pub(super) fn backlog(facts: &Facts<'_>) -> Findings {
    let fine = "has a backlog for an interruption of a minute at what clients write now";
    concerns(facts, About::Backlog, |told| told.backlog.is_some(), fine)
}

pub(super) fn timeout(facts: &Facts<'_>) -> Findings {
    concerns(facts, About::Timeout, |told| told.repl_timeout.is_some(), "gives a silent replica time enough")
}

pub(super) fn snapshot(facts: &Facts<'_>) -> Findings {
    concerns(facts, About::Snapshot, |_| true, "writes no snapshot now, and forks quickly")
}

pub(super) fn memory(facts: &Facts<'_>) -> Findings {
    concerns(facts, About::Memory, |told| told.system_memory.is_some(), "uses less than half of its machine's memory")
}
