//! Commands of the source's clients that RDTS cannot simply pass on, by the statistics of the source.

use super::access::STREAMED;
use super::data;
use super::facts::{Facts, Spread};
use super::findings::Findings;
use crate::command::{Sharding, keys, lookup, sharding};
use crate::translate::{Family, LossKind, rules};

/// Commands that a copy has to do with in another way than passing them on, and what becomes of each. Names are those of `INFO commandstats`; from
/// Redis 7.0 on that counts subcommands.
const RESTRICTED: &[(&str, &str)] = &[
    ("MODULE|LOAD", "is in no stream: load the module at the target, too"),
    ("MODULE|LOADEX", "is in no stream: load the module at the target, too"),
    ("MODULE|UNLOAD", "is in no stream: unload the module at the target, too, once nothing needs it"),
    ("MIGRATE", "is in the stream as the DEL of what it moved away; where the keys went to is not followed"),
    ("READONLY", "concerns a client's connection to a replica, and is in no stream"),
    ("READWRITE", "concerns a client's connection to a replica, and is in no stream"),
    ("SHUTDOWN", "ends the source: the copy waits for it to come back, or for a promoted replica"),
    ("REPLICAOF", "makes the source follow another server: its data is replaced, and the copy ends"),
    ("SLAVEOF", "makes the source follow another server: its data is replaced, and the copy ends"),
    ("FLUSHALL", "empties the target as well, with all that is there besides the copy"),
    ("FLUSHDB", "empties the target's database as well, with all that is there besides the copy"),
    (
        "SWAPDB",
        "is done by a server; a cluster, a Codis or a proxy cannot, and the copy stops there; so it does where rules want single databases",
    ),
    ("PUBLISH", "is left out and counted: subscribers have to be at the source until they move"),
    ("SPUBLISH", "is left out and counted: subscribers have to be at the source until they move"),
    ("KEYS", "keeps the source busy as long as it looks for keys, and its replication waits"),
    ("SAVE", "keeps the source busy as long as it saves, and its replication waits"),
    ("MONITOR", "makes the source slower while it sends its replicas what they need"),
    ("DEBUG", "is for tests: what it does to data is in no stream"),
    ("ACL|SETUSER", "is in no stream: give the target its users by hand"),
];

/// Scripts, whose effects are in the stream from Redis 7.0 on, and before unless `lua-replicate-commands no` is set (5.0) or nothing asks for it.
const SCRIPTS: &[&str] = &["EVAL", "EVALSHA"];

const REMEDY: &str = "have clients do without as long as data is copied, or accept what is said of each";

pub(super) fn restricted(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    let usage = look(facts, &mut findings);
    for (name, what) in RESTRICTED {
        if let Some(calls) = usage.get(name) {
            findings.warn(format!("{} ({calls} calls) {what}", name.replace('|', " ")), REMEDY);
        }
    }
    // Before 7.0 LOAD and LIST are counted as one: what is loaded now tells.
    if let Some(calls) = usage.get("MODULE")
        && facts.source.primaries().any(|node| node.modules.as_ref().is_ok_and(|modules| !modules.is_empty()))
    {
        findings.warn(format!("MODULE ({calls} calls) is in no stream: what is loaded at the source has to be loaded at the target, too"), REMEDY);
    }
    let old = facts.source.versions().any(|(_, version)| version.version() < (7, 0, 0));
    for name in SCRIPTS.iter().filter(|_| old) {
        if let Some(calls) = usage.get(name) {
            let what = match facts.target.spread {
                Spread::Servers | Spread::None => {
                    "the target executes the same script, so that scripts that depend on time or chance differ"
                }
                _ => {
                    "a target with slots executes it if all its keys are in one slot, and otherwise the copy stops there"
                }
            };
            let seen = format!("{name} ({calls} calls): a server before 7.0 may send the script itself; {what}");
            findings.warn(seen, "CONFIG SET lua-replicate-commands yes at the source (5.0 to 6.2, the default), or begin scripts with redis.replicate_commands()");
        }
    }
    finish(findings, "no restricted command is in use")
}

pub(super) fn crossing(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    if !facts.target.has_slots() {
        findings.pass(format!("all keys of {} are together", facts.target.endpoint));
        return findings;
    }
    for (name, calls) in look(facts, &mut findings) {
        let Some(how) = spread(name) else { continue };
        let what = match how {
            Sharding::Cross => {
                "with keys in different slots is done step by step, which is slower and not atomic for readers"
            }
            Sharding::Together => "is done if all its keys are in one slot, and otherwise the copy stops there",
            Sharding::Databases => {
                "reaches into another database, which a target with slots may not have: the copy stops there"
            }
            Sharding::Undeclared => "uses keys that it does not name: the copy stops there",
            Sharding::Refused => "concerns a whole server: the copy stops there",
            _ => continue,
        };
        findings.warn(
            format!("{name} ({calls} calls) {what}"),
            "keep keys that are used together under one hash tag ({…}), or have clients do without",
        );
    }
    finish(findings, "no command over several slots is in use")
}

pub(super) fn newer(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    let usage = look(facts, &mut findings);
    let Some(to) = data::oldest_target(facts, &mut findings) else { return findings };
    for (name, calls) in usage {
        let base = name.split('|').next().unwrap_or(name);
        // Functions are told of by themselves.
        let Some(info) = lookup(base.as_bytes()).filter(|info| info.is_write() && info.name() != "FUNCTION") else {
            continue;
        };
        let streamed =
            STREAMED.iter().find(|(client, _)| *client == base).and_then(|(_, stream)| lookup(stream.as_bytes()));
        let info = streamed.unwrap_or(info);
        if info.known_to(&to) || info.since(Family::Redis).is_none() && info.since(Family::Valkey).is_none() {
            continue;
        }
        let seen = format!("{base} ({calls} calls), which {to} does not have");
        let rules: Vec<_> = rules().filter(|rule| rule.command == info.name() && !rule.known_to(&to)).collect();
        let remedy = "choose a target that knows it, or have clients do without";
        match (rules.first(), loss(info.name())) {
            (_, Some(kind)) => data::lost(&mut findings, facts, kind, &seen, remedy),
            (Some(rule), None) => match rules.iter().find(|rule| !rule.exact) {
                None => findings.pass(format!("{seen}, goes as {}", rule.becomes)),
                Some(rule) => findings.warn(format!("{seen}, goes as {}: {}", rule.becomes, rule.notes), remedy),
            },
            (None, None) => findings.warn(format!("{seen}: if it comes under that name, the copy stops there"), remedy),
        }
    }
    if findings.is_clean() {
        findings.pass(format!("{to} has all write commands in use, or others with the same effect"));
    }
    findings
}

/// The kind of what a command writes, if not every server has something of the kind.
fn loss(name: &str) -> Option<LossKind> {
    match name.as_bytes() {
        [b'X', ..] => Some(LossKind::Streams),
        [b'V', ..] => Some(LossKind::VectorSets),
        [b'A', b'R', ..] => Some(LossKind::Arrays),
        b"HPEXPIREAT" | b"HPERSIST" => Some(LossKind::HashFieldExpiry),
        _ => None,
    }
}

/// The statistics of all primaries; what cannot be known is said.
fn look<'a>(facts: &'a Facts<'_>, findings: &mut Findings) -> std::collections::BTreeMap<&'a str, u64> {
    facts.source.each(findings, |node, findings| {
        if let Err(why) = &node.usage {
            findings.unknown(&node.address, why);
        }
    });
    facts.source.usage()
}

fn finish(mut findings: Findings, fine: &str) -> Findings {
    if findings.is_clean() {
        findings.pass(format!("{fine} since statistics were reset"));
    }
    findings
}

/// What becomes of a command of a stream if its keys are in different slots; `None` if it makes no difference, or it is never in a stream.
fn spread(name: &str) -> Option<Sharding> {
    let info = lookup(name.as_bytes())?;
    // What blocks is in the stream as what it did. A source's own slots are another matter; scripts are told of with the restricted commands.
    if !info.is_write() || name.starts_with('B') && name != "BITOP" || matches!(name, "MIGRATE" | "SPOP") {
        return None;
    }
    let shapes: [&[&str]; 4] = [&["a", "b", "c"], &["2", "a", "b", "LEFT"], &["a", "2", "b", "c"], &["NOT", "a", "b"]];
    let (mut worst, stored) = (None, name.starts_with("GEORADIUS") || name == "SORT");
    if name == "MOVE" || name == "SWAPDB" {
        return sharding(&[name.as_bytes(), b"a", b"1"]).ok();
    }
    // They have a second key only if they store.
    if stored {
        return Some(Sharding::Cross);
    }
    for shape in shapes {
        let args: Vec<&[u8]> = std::iter::once(name).chain(shape.iter().copied()).map(str::as_bytes).collect();
        let several = keys(&args).is_ok_and(|keys| keys.len() > 1);
        let how = sharding(&args).ok().filter(|how| matches!(how, Sharding::Cross | Sharding::Together));
        if several && how.is_some() {
            worst = how;
            break;
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_keys_in_one_place_is_told() {
        for (name, expected) in [
            ("RENAME", Some(Sharding::Cross)),
            ("ZUNIONSTORE", Some(Sharding::Cross)),
            ("BITOP", Some(Sharding::Cross)),
            ("LMPOP", Some(Sharding::Cross)),
            ("SORT", Some(Sharding::Cross)),
            ("SWAPDB", Some(Sharding::Refused)),
            ("MOVE", Some(Sharding::Databases)),
            ("DEL", None),
            ("MSET", None),
            ("SET", None),
            ("SUNION", None),
            ("BLPOP", None),
            ("GET", None),
            ("NOSUCH", None),
        ] {
            assert_eq!(spread(name), expected, "{name}");
        }
    }
}
