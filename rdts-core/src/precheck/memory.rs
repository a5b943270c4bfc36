//! Whether the data fits into the target.

use std::collections::BTreeMap;

use super::facts::{Answer, Facts, Side, Spread};
use super::findings::Findings;
use super::node::Node;
use super::report::Verdict;
use crate::protection::Bytes;

/// Of the room that there is, so much may be used before that is worth saying: servers of different versions need different amounts for the same
/// keys, and connections need some, too.
const COMFORTABLE_PERCENT: u64 = 80;

/// Bytes of memory that the wanted data has in the source.
pub(super) fn needed(facts: &Facts<'_>) -> Answer<u64> {
    let mut sum = 0_u64;
    for node in facts.source.primaries() {
        sum = sum.saturating_add(needed_of(node, facts)?);
    }
    match facts.source.primaries().next() {
        Some(_) => Ok(sum),
        None => Err(format!("the size of {} is not known", facts.source.endpoint)),
    }
}

/// The same of one of the source's nodes. What rules want of its keys is told by their number, in databases and in the sample.
pub(super) fn needed_of(node: &Node, facts: &Facts<'_>) -> Answer<u64> {
    let keys = node.keyspace()?;
    let all: u64 = keys.values().map(|keys| keys.keys).sum();
    let wanted: u64 = keys.iter().filter(|(db, _)| facts.plan.map_db(**db).is_some()).map(|(_, keys)| keys.keys).sum();
    // Since Redis 4.0 a server tells what of its memory is data.
    let data = node.number("used_memory_dataset").or_else(|_| node.number("used_memory"))?;
    let part = |bytes: u64, some: u64, of: u64| {
        let part = u128::from(bytes) * u128::from(some) / u128::from(of.max(1));
        u64::try_from(part).unwrap_or(u64::MAX)
    };
    let data = part(data, wanted, all);
    Ok(match &node.sample {
        Ok(sample) if sample.seen > 0 => part(data, sample.keys, sample.seen),
        _ => data,
    })
}

/// What a node of the target gets, and how much room it has for that.
struct Room<'a> {
    node: &'a Node,
    gets: u64,
    room: Answer<u64>,
    /// Whether the room is what the node may use, not what its machine has.
    limited: bool,
}

impl Room<'_> {
    fn verdict(&self) -> Verdict {
        match &self.room {
            Ok(room) if self.gets > *room => Verdict::Fail,
            Ok(room) if self.gets > room / 100 * COMFORTABLE_PERCENT => Verdict::Warn,
            Ok(_) => Verdict::Pass,
            Err(_) => Verdict::Warn,
        }
    }
}

fn rooms(target: &Side, needed: u64) -> Vec<Room<'_>> {
    let nodes: Vec<&Node> = target.primaries().filter(|node| node.reached.is_ok()).collect();
    let slots = |node: &Node| node.slots.iter().map(|range| range.len() as u64).sum::<u64>();
    let all: u64 = nodes.iter().map(|node| slots(node)).sum();
    // Nodes on one machine that may use any amount share what it has.
    let mut sharing: BTreeMap<&str, u64> = BTreeMap::new();
    for node in &nodes {
        *sharing.entry(node.address.host.as_str()).or_default() += 1;
    }
    nodes
        .iter()
        .map(|node| {
            let gets = match target.spread {
                Spread::Cluster | Spread::Codis if all > 0 => {
                    u64::try_from(u128::from(needed) * u128::from(slots(node)) / u128::from(all)).unwrap_or(u64::MAX)
                }
                _ => needed / nodes.len().max(1) as u64,
            };
            let limit = limit(node).unwrap_or_default();
            let used = node.number("used_memory");
            let room = match limit {
                0 => node.number("total_system_memory").and_then(|system| {
                    let resident = node.number("used_memory_rss")?;
                    Ok(system.saturating_sub(resident) / sharing.get(node.address.host.as_str()).copied().unwrap_or(1))
                }),
                limit => used.map(|used| limit.saturating_sub(used)),
            };
            Room { node, gets, room, limited: limit > 0 }
        })
        .collect()
}

/// `maxmemory`; 0 is none.
fn limit(node: &Node) -> Answer<u64> {
    // INFO tells it since Redis 3.2.
    let setting = || node.setting("maxmemory").and_then(|value| value.parse().map_err(|_| "no number".to_owned()));
    node.number("maxmemory").or_else(|_| setting())
}

pub(super) fn room(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    let needed = match needed(facts) {
        Ok(needed) => needed,
        Err(_) if facts.target.spread == Spread::None => 0,
        Err(why) => {
            findings.unknown(&facts.target.endpoint, &why);
            return findings;
        }
    };
    facts.target.each(&mut findings, |_, _| {});
    for room in rooms(&facts.target, needed) {
        let address = &room.node.address;
        let free = match &room.room {
            Ok(free) => *free,
            Err(why) => {
                findings.unknown(address, &format!("neither a limit nor its machine's memory is known: {why}"));
                continue;
            }
        };
        let whose =
            if room.limited { "of its maxmemory" } else { "of its machine's memory, as far as servers know it," };
        let seen = format!("about {} go to {address}, which has {} {whose} left", Bytes(room.gets), Bytes(free));
        findings.say(room.verdict(), seen, "raise maxmemory or give the target more memory or nodes, or move less");
    }
    findings
}

pub(super) fn eviction(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    let needed = needed(facts);
    facts.target.each(&mut findings, |node, findings| {
        // INFO tells the policy since Redis 3.2.
        let policy = node.field("maxmemory_policy").map_or_else(|| node.setting("maxmemory-policy"), Ok);
        let (policy, limit) = match (policy, limit(node)) {
            (Ok(policy), Ok(limit)) => (policy, limit),
            (Err(why), _) | (_, Err(why)) => return findings.unknown(&node.address, &why),
        };
        let address = &node.address;
        if limit == 0 || policy == "noeviction" {
            let limit = if limit == 0 { "no limit".to_owned() } else { Bytes(limit).to_string() };
            return findings.pass(format!("{address} evicts nothing (maxmemory {limit}, {policy})"));
        }
        let full = needed.as_ref().ok().and_then(|needed| {
            rooms(&facts.target, *needed)
                .into_iter()
                .find(|room| std::ptr::eq(room.node, node))
                .map(|room| room.verdict())
        });
        let remedy =
            "CONFIG SET maxmemory-policy noeviction at the target as long as data is copied, and raise maxmemory";
        let seen = format!("{address} evicts keys ({policy}) when {} are in use", Bytes(limit));
        match full {
            Some(Verdict::Pass) => findings.warn(seen, remedy),
            Some(Verdict::Fail) => {
                findings.fail(format!("{seen}, and the data does not fit: keys would be lost silently"), remedy);
            }
            _ => findings.warn(format!("{seen}, and it may come to that"), remedy),
        }
    });
    findings
}
