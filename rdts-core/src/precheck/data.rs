//! Whether the target can hold what the source holds.

use std::collections::BTreeMap;

use rdts_rdb::ValueKind;

use super::facts::{Facts, Spread};
use super::findings::Findings;
use super::node::Node;
use super::report::Verdict;
use super::sample::Sample;
use crate::protection::Bytes;
use crate::translate::{Family, LossKind, OnLoss, Target};

/// The least capable server of the target; `Err` with what to say if there is none to compare with.
pub(super) fn oldest_target(facts: &Facts<'_>, findings: &mut Findings) -> Option<Target> {
    facts.target.each(findings, |_, _| {});
    let oldest = facts.target.versions().map(|(_, version)| version).min_by_key(Target::version);
    if oldest.is_none() && findings.is_clean() && facts.target.spread != Spread::None {
        findings.unknown(&facts.target.endpoint, "it does not tell its version");
    }
    oldest
}

/// `looked at 1000 of 52000 keys at 10.0.0.1:6379`
fn looked(node: &Node, sample: &Sample) -> String {
    let all: u64 = node.keyspace().unwrap_or_default().values().map(|keys| keys.keys).sum();
    let Sample { seen, keys, .. } = sample;
    let wanted = if seen == keys { String::new() } else { format!(", of which {keys} are wanted") };
    match sample.whole {
        true => format!("looked at all {seen} keys at {}{wanted}", node.address),
        false => format!("looked at {seen} of {all} keys at {}{wanted}", node.address),
    }
}

/// Says that the target cannot hold something of a kind, as bad as it is by what is to become of that.
pub(super) fn lost(findings: &mut Findings, facts: &Facts<'_>, kind: LossKind, seen: &str, remedy: &str) {
    let (verdict, what) = match facts.plan.losses.policy(kind) {
        OnLoss::Stop => (Verdict::Fail, "the copy stops there"),
        OnLoss::Drop => (Verdict::Warn, "it is left out and counted"),
        _ => (Verdict::Warn, "it is handed over as it is, and if the target refuses it the copy stops there"),
    };
    let remedy = match verdict {
        Verdict::Fail => format!("{remedy}, or have {} left out ({kind})", kind.described()),
        _ => remedy.to_owned(),
    };
    findings.say(verdict, format!("{seen}: {what}"), remedy);
}

pub(super) fn types(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    let Some(to) = oldest_target(facts, &mut findings) else { return findings };
    facts.source.each(&mut findings, |node, findings| {
        let sample = match &node.sample {
            Ok(sample) => sample,
            Err(why) => return findings.unknown(&node.address, why),
        };
        let looked = looked(node, sample);
        for (name, (count, key)) in &sample.types {
            let key = key[..key.len().min(64)].escape_ascii();
            let seen = format!("{looked}: {count} of type {name}, as \"{key}\", which {to} does not take");
            let missing = missing_modules(node, facts);
            let handed_over = facts.plan.losses.policy(LossKind::Modules) == OnLoss::Pass;
            match kind_of(name, to) {
                None => {}
                // The name of a module's type does not tell the module. A target without it refuses the value, whatever is wanted of it.
                Some(LossKind::Modules) if handed_over && missing.is_empty() => {}
                Some(LossKind::Modules) if handed_over => {
                    findings.fail(seen, format!("load {} at the target, or leave these keys out", missing.join(", ")));
                }
                Some(kind) => lost(
                    findings,
                    facts,
                    kind,
                    &seen,
                    "leave these keys out by a rule, or choose a target that can hold them",
                ),
            }
        }
        let list: Vec<String> = sample.types.iter().map(|(name, (count, _))| format!("{count} {name}")).collect();
        let list = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        let encodings: Vec<&str> = sample.encodings.keys().map(String::as_str).collect();
        findings.pass(format!("{looked}: {list} (encodings {}), which {to} can hold", encodings.join(", ")));
        if !sample.whole && sample.seen == 0 {
            findings.unknown(&node.address, "no key was looked at");
        }
    });
    findings
}

/// The kind of a type's values, if they cannot go to `to`, or only where it has their module.
fn kind_of(name: &str, to: Target) -> Option<LossKind> {
    let redis = |since: (u16, u16, u16)| to.family() == Family::Redis && to.version() >= since;
    match name {
        "string" | "list" | "set" | "zset" | "hash" => None,
        "stream" => (!to.streams()).then_some(LossKind::Streams),
        "array" => (!redis((8, 8, 0))).then_some(LossKind::Arrays),
        "vectorset" => (!redis((8, 0, 0))).then_some(LossKind::VectorSets),
        _ => Some(LossKind::Modules),
    }
}

/// The modules of a node of the source that some node of the target lacks.
fn missing_modules<'a>(node: &'a Node, facts: &Facts<'_>) -> Vec<&'a str> {
    let loaded = node.modules.as_deref().unwrap_or_default().iter().map(String::as_str);
    let has = |target: &Node, name: &str| {
        target.modules.as_deref().unwrap_or_default().iter().any(|other| other.eq_ignore_ascii_case(name))
    };
    // Vector sets come with every Redis from 8.0 on, and have a kind of their own.
    let loaded = loaded.filter(|name| *name != "vectorset");
    loaded.filter(|name| facts.target.primaries().any(|target| !has(target, name))).collect()
}

pub(super) fn field_expiry(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    let Some(to) = oldest_target(facts, &mut findings) else { return findings };
    facts.source.each(&mut findings, |node, findings| {
        let (version, keyspace) = match (node.version(), node.keyspace()) {
            (Ok(version), Ok(keyspace)) => (version, keyspace),
            (Err(why), _) | (_, Err(why)) => return findings.unknown(&node.address, &why),
        };
        let wanted = keyspace.iter().filter(|(db, _)| facts.plan.map_db(**db).is_some());
        let (mut hashes, mut told) = (0, true);
        for (_, keys) in wanted {
            hashes += keys.field_expiry.unwrap_or_default();
            told &= keys.field_expiry.is_some();
        }
        let address = &node.address;
        if facts.plan.rules.as_ref().is_some_and(|rules| !rules.takes(ValueKind::Hash)) {
            findings.pass("hashes are not wanted");
        } else if !version.field_expiry() {
            findings.pass(format!("{version} at {address} has no fields that expire"));
        } else if to.field_expiry() {
            findings.pass(format!("fields of hashes can expire in {to} as well"));
        } else if hashes > 0 {
            lost(
                findings,
                facts,
                LossKind::HashFieldExpiry,
                &format!("{hashes} hashes at {address} have fields that expire, which {to} does not know"),
                "choose a target of Redis 7.4, Valkey 9.0 or later, or HPERSIST these fields",
            );
        } else if !told {
            findings.unknown(address, "INFO keyspace does not tell how many hashes have fields that expire");
        } else {
            findings.pass(format!("no hash at {address} has fields that expire now"));
        }
    });
    findings
}

pub(super) fn modules(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    if oldest_target(facts, &mut findings).is_none() {
        return findings;
    }
    for node in facts.target.primaries() {
        if let Err(why) = &node.modules {
            findings.unknown(&node.address, why);
        }
    }
    facts.source.each(&mut findings, |node, findings| {
        if let Err(why) = &node.modules {
            return findings.unknown(&node.address, why);
        }
        let (address, missing) = (&node.address, missing_modules(node, facts));
        if missing.is_empty() {
            return findings.pass(format!("the target has all modules of {address}"));
        }
        let list = missing.join(", ");
        let remedy = format!("load {list} at the target, or leave out by rules what uses them");
        match (module_commands(node.usage.as_ref()), &node.sample) {
            (Ok(None), Ok(sample)) if sample.whole => {
                findings.pass(format!("{address} has modules that the target lacks ({list}), and no client has written by them"));
            }
            (Ok(None), _) => findings.warn(
                format!("{address} has modules that the target lacks ({list}), which no client has used since its statistics were reset"),
                remedy,
            ),
            (Ok(Some(command)), _) => {
                let seen = format!("clients of {address} use {command}, and the target lacks some of its modules ({list})");
                match facts.plan.losses.policy(LossKind::Modules) {
                    OnLoss::Drop => findings.warn(format!("{seen}: it is left out and counted"), remedy),
                    _ => findings.fail(seen, remedy),
                }
            }
            (Err(why), _) => findings.unknown(address, &why),
        }
    });
    findings
}

/// A command of a module that clients have called.
fn module_commands<'a>(usage: Result<&'a BTreeMap<String, u64>, &String>) -> Result<Option<&'a str>, String> {
    let usage = usage.map_err(Clone::clone)?;
    let of_module = |name: &&String| name.contains('.');
    Ok(usage.keys().find(of_module).map(String::as_str))
}

pub(super) fn functions(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    let Some(to) = oldest_target(facts, &mut findings) else { return findings };
    facts.source.each(&mut findings, |node, findings| match &node.functions {
        Ok(0) => findings.pass(format!("{} has no functions", node.address)),
        Ok(count) if to.functions() => {
            findings.pass(format!("{to} has functions, as the {count} libraries of {}", node.address));
        }
        Ok(count) => lost(
            findings,
            facts,
            LossKind::Functions,
            &format!("{} has {count} libraries of functions, which {to} does not know", node.address),
            "choose a target of Redis 7.0 or later, or FUNCTION DELETE them",
        ),
        Err(why) => findings.unknown(&node.address, why),
    });
    findings
}

pub(super) fn big_keys(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    facts.source.each(&mut findings, |node, findings| {
        let sample = match &node.sample {
            Ok(sample) => sample,
            Err(why) => return findings.unknown(&node.address, why),
        };
        if let Some(why) = &sample.no_sizes {
            findings.unknown(&node.address, &format!("the size of keys is answered with '{why}'"));
        }
        let (looked, limit) = (looked(node, sample), facts.plan.largest_value);
        for big in &sample.big {
            let key = big.key[..big.key.len().min(64)].escape_ascii();
            let seen = format!("{looked}: {} \"{key}\" of db {} has {} in memory", big.value_type, big.db, Bytes(big.bytes));
            match is_whole(&big.value_type) && big.bytes > limit {
                true => findings.fail(
                    format!("{seen}, and can be moved only as a whole, up to {}", Bytes(limit)),
                    "trim it (XTRIM), or leave it out by a rule",
                ),
                false => findings.warn(
                    seen,
                    "expect that it takes long to build, and blocks commands over several slots; split it if clients can",
                ),
            }
        }
        if sample.big.is_empty() {
            findings.pass(format!("{looked}: none has {} or more in memory", Bytes(facts.plan.big_key)));
        }
    });
    findings
}

/// Whether values of a type go as one payload, whatever their size.
fn is_whole(value_type: &str) -> bool {
    !matches!(value_type, "string" | "list" | "set" | "zset" | "hash")
}
