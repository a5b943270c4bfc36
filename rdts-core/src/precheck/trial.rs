//! Which commands a server would take from us, found out without executing any.
//!
//! Servers check permissions when a command is queued in a `MULTI`, and whether they know it and take writes at all; `DISCARD` throws all
//! away. That is so from Redis 2.8 to 8.10 and Valkey 8.1 to 9.1 (measured). A wrong number of arguments is found before permissions are
//! looked at, so each command gets as many as it needs: the same key, which nobody has.

use std::collections::BTreeMap;

use rdts_resp::{Reply, encode};

use super::facts::Answer;
use super::node::{Asker, Node};
use crate::command::{CommandInfo, commands};
use crate::net::text;
use crate::translate::Target;

/// What a server says to commands.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// By name; that of a subcommand is `XGROUP CREATE`.
    pub(super) commands: BTreeMap<String, Tried>,
    /// Why most could not be tried, if they could not.
    pub(super) blind: Option<String>,
}

/// What a server says to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tried {
    Taken,
    /// The user may not.
    Denied(String),
    /// It is not known: renamed, disabled, or the server is none that it seems to be.
    Missing,
    /// The user may, but the server does not take it now: `READONLY`, `OOM`, …
    Refused(String),
    /// Nothing can be told from that.
    Unclear(String),
}

impl Trial {
    /// The commands of which `is` holds.
    pub(super) fn of(&self, is: impl Fn(&Tried) -> bool) -> Vec<&str> {
        self.commands.iter().filter(|(_, tried)| is(tried)).map(|(name, _)| name.as_str()).collect()
    }

    /// Why the server takes no writes now, if it says so.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.commands.values().find_map(|tried| match tried {
            Tried::Refused(why) => Some(why.as_str()),
            _ => None,
        })
    }
}

impl Tried {
    fn of(reply: &Reply) -> Self {
        let shown = text(reply);
        match reply.error_code() {
            None if reply.as_bytes() == Some(b"QUEUED") => Self::Taken,
            Some("NOPERM") => Self::Denied(shown),
            // The key is elsewhere; that the command may be executed was looked at before.
            Some("MOVED" | "ASK") => Self::Taken,
            Some("READONLY" | "NOREPLICAS" | "MISCONF" | "OOM" | "MASTERDOWN" | "CLUSTERDOWN" | "LOADING" | "BUSY") => {
                Self::Refused(shown)
            }
            Some(_) if shown.contains("unknown command") || shown.contains("nknown subcommand") => Self::Missing,
            _ => Self::Unclear(shown),
        }
    }
}

/// Beside what writes: what reads or prepares, and is sent to targets with checkpoints, scripts or functions.
const FURTHER: &[(&str, usize)] = &[("EVAL", 3), ("EVALSHA", 3), ("SCRIPT LOAD", 3), ("GET", 2), ("EXISTS", 2)];

/// Write commands that nobody's stream has, and that RDTS does not send.
const NEVER: &[&str] = &["PFDEBUG", "RESTORE-ASKING", "MIGRATE", "DEBUG", "SYNC", "PSYNC"];

/// Tries all commands that may come to a target.
pub(super) async fn try_commands(asker: &mut Asker, node: &Node) -> Answer<Trial> {
    let version = node.version()?;
    let key = node.probe_key();
    let mut trial = Trial::default();
    // What cannot be queued is answered with an error here once it is permitted, or does nothing.
    for (name, args) in [("EXEC", &["EXEC"][..]), ("WATCH", &["WATCH", &key]), ("UNWATCH", &["UNWATCH"])] {
        let tried = match Tried::of(&asker.call(args).await?) {
            Tried::Unclear(_) => Tried::Taken,
            tried => tried,
        };
        trial.commands.insert(name.to_owned(), tried);
    }
    let multi = Tried::of(&asker.call(&["MULTI"]).await?);
    match multi {
        Tried::Denied(_) | Tried::Missing => {
            trial.blind = Some("commands can be tried only within MULTI, which it does not permit".to_owned());
            trial.commands.insert("MULTI".to_owned(), multi);
            return Ok(trial);
        }
        _ => {
            trial.commands.insert("MULTI".to_owned(), Tried::Taken);
            asker.call(&["DISCARD"]).await?;
        }
    }
    let list = list(version);
    let queued: Vec<Vec<&str>> = list
        .iter()
        .map(|(name, arity)| {
            let words = name.split(' ').chain(std::iter::repeat(key.as_str()));
            words.take((*arity).max(name.split(' ').count())).collect()
        })
        .collect();
    for ((name, _), reply) in list.iter().zip(queue(asker, &queued).await?) {
        trial.commands.insert(name.clone(), Tried::of(&reply));
    }
    Ok(trial)
}

/// Queues commands and throws them away. Gives what the server said to each.
///
/// Nothing is sent unless the server has shown that it queues.
pub(super) async fn queue(asker: &mut Asker, commands: &[Vec<&str>]) -> Answer<Vec<Reply>> {
    asker.ask(&["MULTI"]).await?;
    for harmless in [&["PING"][..], &["EXISTS", "rdts:precheck"]] {
        let reply = asker.call(harmless).await?;
        match reply.as_bytes() {
            Some(b"QUEUED") => break,
            _ if reply.is_error() => {}
            _ => return Err("after MULTI it executes commands at once, so that nothing can be tried".to_owned()),
        }
    }
    let mut bytes = Vec::new();
    for command in commands {
        encode::command(&mut bytes, command);
    }
    let replies = asker.pipeline(&bytes, commands.len()).await?;
    asker.call(&["DISCARD"]).await?;
    Ok(replies)
}

/// The names of all commands that a server of this version may be sent, and how many words each has at least.
fn list(version: Target) -> Vec<(String, usize)> {
    let words = |info: &CommandInfo| usize::from(info.arity().unsigned_abs());
    let mut list: Vec<(String, usize)> = FURTHER.iter().map(|(name, words)| ((*name).to_owned(), *words)).collect();
    for info in commands().iter().filter(|info| info.known_to(&version) && !NEVER.contains(&info.name())) {
        let subcommands = info.subcommands().iter().filter(|sub| sub.is_write() && sub.known_to(&version));
        let before = list.len();
        list.extend(subcommands.map(|sub| (format!("{} {}", info.name(), sub.name()), words(sub))));
        if info.is_write() && list.len() == before && info.subcommands().is_empty() {
            list.push((info.name().to_owned(), words(info)));
        }
    }
    list.sort();
    list.dedup_by(|a, b| a.0 == b.0);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_come_is_tried_and_nothing_else() {
        let names = |version| -> Vec<String> { list(version).into_iter().map(|(name, _)| name).collect() };
        let has = |names: &[String], name: &str| names.iter().any(|other| other == name);
        let (old, new) = (names(Target::redis(2, 8, 0)), names(Target::redis(7, 4, 0)));
        assert!(has(&old, "SET") && !has(&old, "UNLINK") && !has(&old, "XGROUP CREATE") && !has(&old, "GETRANGE"));
        assert!(
            has(&new, "UNLINK") && has(&new, "XGROUP CREATE") && has(&new, "FUNCTION LOAD") && has(&new, "HEXPIRE")
        );
        assert!(!has(&new, "XGROUP") && !has(&new, "CONFIG SET") && !has(&new, "PSYNC") && !has(&new, "SHUTDOWN"));
    }

    #[test]
    fn replies_are_understood() {
        let error = |text: &'static str| Tried::of(&Reply::Error(text.into()));
        assert_eq!(Tried::of(&Reply::Simple("QUEUED".into())), Tried::Taken);
        assert_eq!(error("MOVED 1 a:1"), Tried::Taken);
        assert!(matches!(error("NOPERM no"), Tried::Denied(_)) && matches!(error("OOM x"), Tried::Refused(_)));
        assert_eq!(error("ERR unknown command 'x'"), Tried::Missing);
        assert_eq!(error("ERR Unknown subcommand or wrong number of arguments for 'CREATE'"), Tried::Missing);
        assert!(matches!(error("ERR wrong number of arguments"), Tried::Unclear(_)));
    }
}
