//! What the users may do, and which commands the servers have.

use std::collections::{BTreeMap, BTreeSet};

use rdts_resp::Reply;

use super::facts::{Answer, Facts, Spread};
use super::findings::Findings;
use super::node::{Asker, Node};
use super::report::Verdict;
use super::trial::{self, Trial, Tried};
use crate::net::text;
use crate::translate::Target;

/// What a source is asked for while it is copied.
const QUESTIONS: &[(&str, &[&str])] = &[
    ("REPLCONF", &["REPLCONF", "capa", "rdts-precheck"]),
    ("CLIENT", &["CLIENT", "LIST"]),
    ("SCAN", &["SCAN", "0", "COUNT", "1"]),
    ("TYPE", &["TYPE", "rdts:precheck"]),
    ("DUMP", &["DUMP", "rdts:precheck"]),
    ("PTTL", &["PTTL", "rdts:precheck"]),
];

/// Whether a source does what it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Permit {
    Yes,
    /// The user may not, or the server does not know the command.
    No(String),
    /// It could not be found out.
    Unknown(String),
}

/// Asks a source for what it will be asked for.
pub(super) async fn ask(asker: &mut Asker, version: Option<Target>) -> BTreeMap<&'static str, Permit> {
    let mut permits = BTreeMap::new();
    for (name, args) in QUESTIONS {
        permits.insert(*name, asker.call(args).await.map_or_else(Permit::Unknown, |reply| permit(name, &reply)));
    }
    permits.insert("PSYNC", psync(asker, version).await.unwrap_or_else(Permit::Unknown));
    permits
}

/// What an answer shows: that a command may be executed, unless it says that it may not.
fn permit(name: &str, reply: &Reply) -> Permit {
    let shown = text(reply);
    match reply.error_code() {
        Some("NOPERM") => Permit::No(format!("the user may not {name}: '{shown}'")),
        Some(_) if shown.contains("unknown command") => Permit::No(format!("the server has no {name}: '{shown}'")),
        _ => Permit::Yes,
    }
}

/// Whether the server would let us be its replica. With the option `FAILOVER` and a history that nobody has, it refuses after it has looked at
/// permissions; where there is no such option (before Redis 6.2) the command can be queued.
async fn psync(asker: &mut Asker, version: Option<Target>) -> Answer<Permit> {
    let info = asker.call(&["COMMAND", "INFO", "PSYNC"]).await?;
    let entry = info.as_array().and_then(|entries| entries.first());
    if entry.is_some_and(Reply::is_null) {
        return Ok(Permit::No("the server has no PSYNC: it is disabled or renamed".to_owned()));
    }
    let failover = match (entry.and_then(|entry| entry.as_array()?.get(1)?.as_integer()), version) {
        (Some(arity), _) => arity == -3,
        (None, Some(version)) => version.version() >= (6, 2, 0),
        // Users came with Redis 6.0, and 6.0 refuses the option as an argument too many.
        (None, None) => info.error_code() == Some("NOPERM"),
    };
    if failover {
        let reply = asker.call(&["PSYNC", "rdts-precheck", "-1", "FAILOVER"]).await?;
        return match text(&reply) {
            shown if shown.contains("wrong number of arguments") => Err(format!("PSYNC is answered with '{shown}'")),
            _ => Ok(permit("PSYNC", &reply)),
        };
    }
    let replies = trial::queue(asker, &[vec!["PSYNC", "?", "-1"]]).await;
    let replies = replies.map_err(|why| format!("whether the user may PSYNC cannot be tried: {why}"))?;
    replies.first().map(|reply| permit("PSYNC", reply)).ok_or_else(|| "no answer".to_owned())
}

pub(super) fn replication(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    let by_scan = facts.plan.scan && facts.source.spread == Spread::Servers;
    facts.source.each(&mut findings, |node, findings| {
        let mut allowed = true;
        for name in ["PSYNC", "REPLCONF"] {
            let address = &node.address;
            let remedy = "permit the source's user +psync +sync +replconf +ping";
            match node.permits.get(name) {
                Some(Permit::Yes) => continue,
                Some(Permit::No(why)) if by_scan => {
                    findings.warn(
                        format!("{address}: {why}, so that its keys would be read by SCAN"),
                        format!("{remedy}; SCAN keeps no order between keys, and finds changes by notifications or by reading again"),
                    );
                }
                Some(Permit::No(why)) => findings.fail(format!("{address}: {why}"), remedy),
                Some(Permit::Unknown(why)) => findings.unknown(address, why),
                None => findings.unknown(address, "it was not asked"),
            }
            allowed = false;
        }
        if allowed {
            findings.pass(format!("{} permits PSYNC", node.address));
        }
    });
    findings
}

pub(super) fn questions(facts: &Facts<'_>) -> Findings {
    let mut findings = Findings::default();
    facts.source.each(&mut findings, |node, findings| {
        let mut missing: Vec<&str> = Vec::new();
        let mut see = |name, known: bool| {
            if !known {
                missing.push(name);
            }
        };
        see("INFO", node.info.is_ok());
        see("CONFIG GET", node.setting("maxmemory").is_ok());
        see("TIME", node.ahead.is_ok());
        see("MODULE LIST", node.modules.is_ok());
        let may = |name: &str| node.permits.get(name) == Some(&Permit::Yes);
        for name in ["CLIENT", "SCAN", "TYPE"] {
            see(name, may(name));
        }
        // What reading by SCAN needs, if it comes to that.
        if !may("PSYNC") {
            for name in ["DUMP", "PTTL"] {
                see(name, may(name));
            }
        }
        match missing.as_slice() {
            [] => findings.pass(format!("{} answers all that is asked", node.address)),
            missing => findings.warn(
                format!("{} does not answer {}", node.address, missing.join(", ")),
                "permit the source's user +info +config|get +client|list +time +module|list +scan +type, so that limits can be watched",
            ),
        }
    });
    findings
}

/// What is sent to a target whatever the source does.
fn core(facts: &Facts<'_>, version: Target) -> BTreeSet<&'static str> {
    let mut core =
        BTreeSet::from(["SET", "RESTORE", "DEL", "RENAME", "RPUSH", "SADD", "ZADD", "HMSET", "APPEND", "PEXPIREAT"]);
    if version.unlink() {
        core.insert("UNLINK");
    }
    let cluster = facts.target.spread == Spread::Cluster;
    if cluster {
        core.extend(["EVAL", "EVALSHA", "SCRIPT LOAD", "GET", "EXISTS"]);
    } else {
        core.extend(["MSET", "MSETNX"]);
    }
    if facts.plan.checkpoints {
        core.extend(["GET", "WATCH", "UNWATCH", "MULTI", "EXEC"]);
    }
    core
}

/// What a primary's stream has for a command that clients call, where that is another.
pub(super) const STREAMED: &[(&str, &str)] = &[
    ("BLPOP", "LPOP"),
    ("BRPOP", "RPOP"),
    ("LMPOP", "LPOP"),
    ("BLMPOP", "LPOP"),
    ("BRPOPLPUSH", "RPOPLPUSH"),
    ("BLMOVE", "LMOVE"),
    ("BZPOPMIN", "ZPOPMIN"),
    ("BZPOPMAX", "ZPOPMAX"),
    ("ZMPOP", "ZPOPMIN"),
    ("BZMPOP", "ZPOPMIN"),
    ("SPOP", "SREM"),
    ("GETDEL", "DEL"),
    ("GETEX", "PEXPIREAT"),
    ("XREADGROUP", "XCLAIM"),
    ("XAUTOCLAIM", "XCLAIM"),
    ("HEXPIRE", "HPEXPIREAT"),
    ("HPEXPIRE", "HPEXPIREAT"),
    ("HEXPIREAT", "HPEXPIREAT"),
];

/// Whether the source's clients use a command, by its name in a trial.
fn used(facts: &Facts<'_>, name: &str) -> bool {
    let usage = facts.source.usage();
    // Servers before 7.0 count the subcommands of a command together.
    let container = name.split(' ').next().unwrap_or(name);
    let called = |name: &str| usage.contains_key(name);
    called(&name.replace(' ', "|"))
        || (name != container && called(container))
        || STREAMED.iter().any(|(client, stream)| *stream == name && called(client))
}

pub(super) fn permissions(facts: &Facts<'_>) -> Findings {
    lacking(
        facts,
        "may not",
        |tried| matches!(tried, Tried::Denied(_)),
        |lacking| {
            format!(
                "ACL SETUSER … {} ~* at the target",
                lacking.iter().map(|name| acl(name)).collect::<Vec<_>>().join(" ")
            )
        },
    )
}

pub(super) fn commands(facts: &Facts<'_>) -> Findings {
    lacking(
        facts,
        "does not know",
        |tried| *tried == Tried::Missing,
        |lacking| {
            format!(
                "let the target have {} under that name (rename-command, or what the service disables)",
                lacking.join(", ")
            )
        },
    )
}

/// `+xgroup|create`
fn acl(name: &str) -> String {
    format!("+{}", name.to_ascii_lowercase().replace(' ', "|"))
}

/// Commands that targets do not take, for one kind of reason.
fn lacking(facts: &Facts<'_>, verb: &str, is: fn(&Tried) -> bool, remedy: fn(&[&str]) -> String) -> Findings {
    let mut findings = Findings::default();
    facts.target.each(&mut findings, |node, findings| {
        let trial = match &node.trial {
            Ok(trial) => trial,
            Err(why) => return findings.unknown(&node.address, why),
        };
        let core = node.version().map(|version| core(facts, version)).unwrap_or_default();
        let (needed, further): (Vec<&str>, Vec<&str>) =
            trial.of(is).into_iter().partition(|name| core.contains(name) || used(facts, name));
        for (verdict, names, why) in [
            (Verdict::Fail, needed, "which the copy needs or the source's clients use"),
            (Verdict::Warn, further, "which the source's clients have not used since its statistics were reset"),
        ] {
            if !names.is_empty() {
                findings.say(
                    verdict,
                    format!("{} {verb} {}, {why}", who(node), listed(&names)),
                    remedy(&names[..names.len().min(LISTED)]),
                );
            }
        }
        if let Some(why) = &trial.blind {
            findings.unknown(&node.address, why);
        }
        if let Some((name, why)) = unclear(trial) {
            findings.unknown(&node.address, &format!("{name} is answered with '{why}'"));
        }
        if findings.is_clean() {
            findings.pass(format!("{} takes all {} commands that may come", node.address, trial.commands.len()));
        }
    });
    findings
}

/// A command of which the answer does not tell whether it would be taken.
fn unclear(trial: &Trial) -> Option<(&str, &str)> {
    trial.commands.iter().find_map(|(name, tried)| match tried {
        Tried::Unclear(why) => Some((name.as_str(), why.as_str())),
        _ => None,
    })
}

fn who(node: &Node) -> String {
    let user = node.address.credentials.as_ref().and_then(|credentials| credentials.user.as_deref());
    match user {
        Some(user) => format!("user {} at {}", user.escape_debug(), node.address),
        None => node.address.to_string(),
    }
}

/// So many names of commands are spelled out.
const LISTED: usize = 12;

fn listed(names: &[&str]) -> String {
    let shown = names[..names.len().min(LISTED)].join(", ");
    match names.len() {
        0..=LISTED => shown,
        count => format!("{shown} and {} more", count - LISTED),
    }
}
