//! Whether every slot is served, and stays where it is.

use super::facts::{Side, Spread};
use super::findings::Findings;
use super::node::Part;
use crate::net::info_field;

const REMEDY: &str = "bring the slots in order (redis-cli --cluster check and fix, or the dashboard), let moves finish, and start no new ones while data is copied";

pub(super) fn complete(side: &Side) -> Findings {
    let mut findings = Findings::default();
    for wrong in &side.disorder {
        findings.fail(wrong, REMEDY);
    }
    match side.spread {
        Spread::Cluster => {}
        Spread::Codis if side.lost.is_none() => {
            if findings.is_clean() {
                findings.pass(format!("every slot of {} has a group, and none moves", side.endpoint));
            }
            return findings;
        }
        Spread::Codis => {
            findings.unknown(&side.endpoint, "its dashboard cannot be asked");
            return findings;
        }
        Spread::Proxy => {
            findings.unknown(&side.endpoint, "a proxy hides the servers behind it");
            return findings;
        }
        Spread::Servers => {
            // One node of a cluster holds a part of the keys, and answers MOVED to the rest.
            for node in side.primaries().filter(|node| node.field("cluster_enabled") == Some("1")) {
                let known = node.cluster.as_ref().ok().and_then(|(info, _)| info_field(info, "cluster_known_nodes"));
                if known != Some("1") {
                    findings.warn(
                        format!("{} is a node of a cluster, of which this is only a part", node.address),
                        "name the cluster as a whole: redis-cluster://",
                    );
                }
            }
            if findings.is_clean() {
                findings.pass(format!("{} has no slots", side.endpoint));
            }
            return findings;
        }
        Spread::None => {
            findings.pass(format!("{} has no slots", side.endpoint));
            return findings;
        }
    }
    let mut asked = 0;
    for node in side.nodes.iter().filter(|node| matches!(node.part, Part::Primary | Part::Seed)) {
        let Ok((info, nodes)) = &node.cluster else { continue };
        asked += 1;
        match info_field(info, "cluster_state") {
            Some("ok") => {}
            state => findings.fail(
                format!(
                    "{} says that its cluster is {}, with {} of 16384 slots served",
                    node.address,
                    state.unwrap_or("in no state"),
                    info_field(info, "cluster_slots_ok").unwrap_or("?")
                ),
                REMEDY,
            ),
        }
        let moving = moving(nodes);
        if let Some(first) = moving.first() {
            findings.fail(format!("{} slots are on their way at {}, as {first}", moving.len(), node.address), REMEDY);
        }
    }
    if asked == 0 {
        findings.unknown(&side.endpoint, "no node tells of its cluster");
    } else if findings.is_clean() {
        findings.pass(format!("all 16384 slots of {} are served, and none moves", side.endpoint));
    }
    findings
}

/// The slots that a node says it is giving away or taking: `[93-<-id]` and `[77->-id]` in its own line.
fn moving(nodes: &str) -> Vec<&str> {
    let own = nodes.lines().find(|line| line.split(' ').nth(2).is_some_and(|flags| flags.contains("myself")));
    own.map(|line| line.split(' ').filter(|word| word.starts_with('[')).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn moving_slots_are_those_of_the_node_itself() {
        let nodes = "a 127.0.0.1:1@2 master - 0 0 1 connected 0-5 [9->-b]\nb 127.0.0.1:2@3 myself,master - 0 0 2 connected 6-9 [7-<-a] [8->-a]\n";
        assert_eq!(super::moving(nodes), ["[7-<-a]", "[8->-a]"]);
        assert!(super::moving("").is_empty());
    }
}
