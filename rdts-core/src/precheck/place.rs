//! Where the keys would go: whether something is there, and whether there are the databases.

use super::facts::{Facts, Spread};
use super::findings::Findings;
use crate::translate::OnConflict;

pub(super) fn empty(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    let plan = facts.plan;
    let source = facts.source.databases(plan);
    // Which databases the source will use later nobody knows: without rules, all.
    let goes_to = |db: u32| plan.rules.is_none() || source.keys().any(|from| plan.map_db(*from) == Some(db));
    facts.target.each(&mut findings, |node, findings| {
        let keyspace = match node.keyspace() {
            Ok(keyspace) => keyspace,
            Err(why) => return findings.unknown(&node.address, &why),
        };
        let mut own = 0;
        let mut found = Vec::new();
        for (db, keys) in keyspace.into_iter().filter(|(db, _)| goes_to(*db)) {
            let ours = node.own_keys.get(&db).copied().unwrap_or_default().min(keys.keys);
            own += ours;
            if keys.keys > ours {
                found.push(format!("db{db} has {} keys", keys.keys - ours));
            }
        }
        let address = &node.address;
        if found.is_empty() {
            let own = if own == 0 { String::new() } else { format!(" but for {own} keys of RDTS itself") };
            return findings.pass(format!("{address} is empty{own}"));
        }
        let seen = format!("{address}: {}", found.join(", "));
        match plan.on_conflict {
            OnConflict::Fail => findings.fail(seen, "empty the target, or choose another conflict policy (replace or skip)"),
            OnConflict::Replace => findings.warn(
                format!("{seen}; those that the source has as well are replaced, others stay"),
                "empty the target if it is to be equal to the source",
            ),
            OnConflict::Skip => findings.warn(
                format!("{seen}; those that the source has as well are left alone, but writes that follow the snapshot change them"),
                "empty the target if it is to be equal to the source",
            ),
        }
    });
    findings
}

pub(super) fn databases(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    facts.source.each(&mut findings, |node, findings| {
        if let Err(why) = node.keyspace() {
            findings.unknown(&node.address, &why);
        }
    });
    let mut wanted: Vec<(u32, u32)> =
        facts.source.databases(facts.plan).keys().filter_map(|db| Some((*db, facts.plan.map_db(*db)?))).collect();
    wanted.retain(|(_, to)| *to != 0);
    if wanted.is_empty() || facts.target.spread == Spread::None {
        if findings.is_clean() {
            findings.pass("every target has the databases that are in use");
        }
        return findings;
    }
    let nodes = facts.target.nodes.iter().filter(|node| !node.selects.is_empty());
    let mut asked = 0;
    for node in nodes {
        asked += 1;
        for (from, to) in &wanted {
            match node.selects.get(to) {
                Some(Ok(())) => findings.pass(format!("{} has database {to}", node.address)),
                Some(Err(why)) => findings.fail(
                    format!("keys of the source's database {from} go to database {to}, but {}: {why}", node.address),
                    "give the target more databases, or map the source's to others by a rule (a cluster has database 0 alone)",
                ),
                None => findings.unknown(&node.address, "it was not asked for its databases"),
            }
        }
    }
    if asked == 0 {
        findings.unknown(&facts.target.endpoint, "no node tells which databases it has");
    }
    findings
}
