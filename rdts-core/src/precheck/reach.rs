//! Whether all nodes are there and let us in, and that the sides are not the same.

use super::facts::{Facts, Side, Spread};
use super::findings::Findings;
use super::node::{Node, Part};
use super::report::Verdict;
use crate::error::{Error, ErrorKind};

/// What kept a node from being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Reach,
    Login,
    Ready,
    /// It refuses everything, for a reason of its own: that is told of with its writes.
    Refuses,
}

fn trouble(error: &Error) -> Trouble {
    match error.kind() {
        ErrorKind::Auth => Trouble::Login,
        ErrorKind::NotReady => Trouble::Ready,
        ErrorKind::Rejected => Trouble::Refuses,
        _ => Trouble::Reach,
    }
}

/// A node that is not needed for the copy itself, or of which others do the same, is no reason to fail.
fn weight(side: &Side, node: &Node) -> Verdict {
    let another = || side.nodes.iter().any(|other| other.part == node.part && other.reached.is_ok());
    match node.part {
        Part::Primary => Verdict::Fail,
        Part::Replica => Verdict::Warn,
        // Its primary was found all the same.
        Part::Sentinel if side.lost.is_none() => Verdict::Warn,
        Part::Sentinel | Part::Proxy | Part::Seed if another() => Verdict::Warn,
        Part::Sentinel | Part::Proxy | Part::Seed => Verdict::Fail,
    }
}

/// What there is to see of one kind of trouble.
fn look(side: &Side, about: Trouble, remedy: &str, fine: &str) -> Findings {
    let mut findings = Findings::default();
    let is = |error: &&Error| trouble(error) == about;
    if let Some(error) = side.lost.as_ref().filter(is) {
        findings.fail(error.to_string(), remedy);
    }
    let mut fine_nodes = 0;
    for node in &side.nodes {
        match &node.reached {
            Ok(()) => fine_nodes += 1,
            Err(error) if trouble(error) == about => {
                findings.say(weight(side, node), error.to_string(), remedy);
            }
            // What was not found out because of something else is said there.
            Err(_) => {}
        }
    }
    if findings.is_clean() {
        let unknown = side.nodes.len() - fine_nodes;
        match (side.spread, about) {
            (Spread::None, _) if side.lost.is_none() => findings.pass(format!("{} is no server", side.endpoint)),
            // Whoever cannot be reached was not asked for a password.
            (_, Trouble::Login | Trouble::Ready) if unknown > 0 || (fine_nodes == 0 && side.lost.is_some()) => {
                findings.unknown(&side.endpoint, "not all of its nodes can be reached and asked");
            }
            _ => findings.pass(format!("{fine_nodes} of {} nodes of {} {fine}", side.nodes.len(), side.endpoint)),
        }
    }
    findings
}

pub(super) fn reachable(side: &Side) -> Findings {
    look(side, Trouble::Reach, "check host and port, and that this machine may connect to all nodes", "can be reached")
}

pub(super) fn login(side: &Side) -> Findings {
    look(side, Trouble::Login, "correct user and password, and let the user +ping", "let us in")
}

pub(super) fn ready(side: &Side) -> Findings {
    let remedy = "wait until the server has loaded its data, its own primary link is up and no script keeps it busy";
    let mut findings = look(side, Trouble::Ready, remedy, "are ready");
    for node in side.primaries().filter(|node| node.field("master_link_status") == Some("down")) {
        findings.fail(
            format!(
                "{} is a replica of {}, and its link to that is down",
                node.address,
                node.field("master_host").unwrap_or("?")
            ),
            remedy,
        );
    }
    findings
}

/// What is written to a server that is also the source would come out of it again for ever.
pub(super) fn different(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    if facts.target.spread == Spread::None || facts.source.spread == Spread::None {
        findings.pass("not both sides are servers");
        return findings;
    }
    // From one database into another, a server may well be both.
    let wanted = |db: &u32| facts.plan.map_db(*db).is_some();
    let apart = facts.plan.rules.is_some()
        && (0..u32::from(u8::MAX)).filter_map(|db| facts.plan.map_db(db)).all(|db| !wanted(&db));
    facts.target.each(&mut findings, |node, findings| {
        let Some(id) = node.field("run_id") else {
            return findings.unknown(&node.address, "it does not tell its run_id");
        };
        let same = facts.source.primaries().find(|other| other.field("run_id") == Some(id));
        match same {
            Some(_) if apart => findings.pass(format!("{} is on both sides, with different databases", node.address)),
            Some(other) => findings.fail(
                format!("{} of the source and {} of the target are the same server", other.address, node.address),
                "name two different servers",
            ),
            None => findings.pass(format!("{} is no server of the source", node.address)),
        }
    });
    for node in facts.source.primaries().filter(|node| node.field("run_id").is_none()) {
        findings.unknown(&node.address, "it does not tell its run_id");
    }
    findings
}
