//! Which servers they are.

use super::facts::{Facts, Side, Spread};
use super::findings::Findings;
use crate::translate::{Family, Target};

pub(super) fn supported(side: &Side) -> Findings {
    let mut findings = Findings::default();
    let mut seen: Vec<Target> = Vec::new();
    side.each(&mut findings, |node, findings| match (node.version(), &node.info) {
        (Ok(version), _) => {
            findings.pass(format!("{} is {version}", node.address));
            if !seen.contains(&version) {
                seen.push(version);
            }
        }
        (Err(why), Ok(_)) => findings.fail(
            format!("{}: {why}", node.address),
            "the oldest server supported is Redis 2.8; what tells no version is none of Redis or Valkey",
        ),
        (Err(why), Err(_)) => findings.unknown(&node.address, &why),
    });
    if seen.len() > 1 {
        let list = seen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        findings.warn(
            format!("the nodes of {} are of different versions: {list}", side.endpoint),
            "finish the upgrade first; the copy uses what the oldest of them understands",
        );
    }
    findings
}

pub(super) fn order(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    facts.source.each(&mut findings, |_, _| {});
    facts.target.each(&mut findings, |_, _| {});
    let newest = facts.source.versions().map(|(_, version)| version).max_by_key(Target::version);
    let oldest = facts.target.versions().map(|(_, version)| version).min_by_key(Target::version);
    let (Some(from), Some(to)) = (newest, oldest) else {
        if findings.is_clean() && facts.source.spread != Spread::None && facts.target.spread != Spread::None {
            findings.unknown("the order of versions", "not both sides tell theirs");
        }
        return findings;
    };
    if from.family() != to.family() && (from.version() > (7, 2, 4) || to.family() == Family::Redis) {
        findings.warn(
            format!("the source is {from}, the target {to}: the families have gone different ways since Redis 7.2"),
            "look at data-types, hash-field-expiry, functions, modules and newer-commands, which say what this data would lose",
        );
    } else if rank(from) > rank(to) {
        findings.warn(
            format!("the source is {from}, the target {to}, which is older"),
            "look at data-types, hash-field-expiry, functions, modules and newer-commands, which say what this data would lose",
        );
    } else {
        findings.pass(format!("{from} to {to}"));
    }
    findings
}

/// Valkey 7.2 is what Redis 7.2 was; later versions of both are only compared within their family.
fn rank(version: Target) -> (u16, u16) {
    let (major, minor, _) = version.version();
    (major, minor)
}
