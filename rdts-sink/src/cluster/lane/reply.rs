//! What the reply to a unit means.

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::failpoint;
use rdts_core::record::Expect;
use rdts_resp::Reply;

use super::super::place::Reached;
use super::{After, Entry, Lane};
use crate::judge::{Subject, conflict, contains, rejected};

/// Why the first unit that is not applied could not be executed to its end. That has nothing to do with its data.
#[derive(Debug)]
pub(super) enum Stop {
    /// The key of its first command is not here, or not quite.
    Elsewhere,
    /// The checkpoint is not here.
    Checkpoint,
    /// The checkpoint holds something that it should not.
    Changed,
    /// The node is not ready: what it said.
    Wait(String),
    /// The node does not have the script.
    NoScript,
    /// The first command may not be executed by a script.
    NotInScript,
}

/// Whether a reply says that a unit was not executed.
pub(super) fn refused(reply: &Reply) -> bool {
    match reply.as_array() {
        Some([Reply::Integer(code), ..]) => *code < 0,
        Some(_) => false,
        None => reply.is_error(),
    }
}

impl Lane {
    /// Takes the reply to the first unit on its way.
    pub(super) fn reply(&mut self, reply: &Reply) -> Result<Option<Stop>> {
        let entry = &self.log[self.applied];
        if let Some(error) = reply.as_error() {
            return self.stopped(error).map(Some);
        }
        let size = entry.unit.bytes();
        let (done, error, kept) = match reply.as_array() {
            None => (entry.unit.len(), &b""[..], &[][..]),
            Some([Reply::Integer(-1), ..]) => return Ok(Some(Stop::Checkpoint)),
            Some([Reply::Integer(-2), ..]) => return Ok(Some(Stop::Changed)),
            Some([Reply::Integer(done), error, kept @ ..]) => {
                (usize::try_from(*done).unwrap_or_default(), error.as_bytes().unwrap_or_default(), kept)
            }
            Some(_) => (0, &b"nonsense"[..], &[][..]),
        };
        let all = done >= entry.unit.len();
        if !all {
            self.cut(done);
        }
        failpoint::hit("sink.judged");
        if done > 0 || all {
            let kept: Vec<usize> =
                kept.iter().filter_map(|at| at.as_integer().and_then(|at| usize::try_from(at).ok())).collect();
            self.kept += kept.len() as u64;
            let counts = self.log[self.applied].unit.counts(&kept);
            self.advance(counts);
        }
        if all {
            self.sent -= 1;
            self.in_flight -= size;
            return Ok(None);
        }
        let error = error.to_vec();
        self.stopped(&error).map(Some)
    }

    /// Cuts the first unit that is not applied behind its first `done` commands.
    pub(super) fn cut(&mut self, done: usize) {
        if done == 0 || done >= self.log[self.applied].unit.len() {
            return;
        }
        self.cut_at(self.applied, done);
    }

    /// Cuts an entry, whatever is applied of it, behind its first `done` commands.
    pub(super) fn cut_at(&mut self, index: usize, done: usize) {
        let before = self.behind(index).clone();
        let entry = &mut self.log[index];
        let unit = entry.unit.split_off(done);
        let place = if unit.late { before.reached.place } else { before.reached.place.max(entry.unit.place()) };
        // As the script says it: the position stays what it was.
        let reached = Reached { place, ..before.reached };
        let after = std::mem::replace(&mut entry.after, After { reached, ..before });
        let rest = Entry { told: entry.told, waits: entry.waits.take(), ..Entry::new(unit, entry.to(), after) };
        self.log.insert(index + 1, rest);
    }

    /// What an error of the first command that is not applied means.
    pub(super) fn stopped(&self, error: &[u8]) -> Result<Stop> {
        let Some(entry) = self.log.get(self.applied) else { return Ok(Stop::Changed) };
        if let Some(stop) = classify(error) {
            return Ok(stop);
        }
        if entry.unit.len() == 0 {
            let text = format!("writing the checkpoint was answered with '{}'", error.escape_ascii());
            return Err(Error::new(ErrorKind::Rejected, text));
        }
        let item = entry.unit.item(0);
        let args = entry.unit.args(0);
        let key = args.get(1).map(Vec::as_slice).filter(|_| item.slot != super::super::unit::NO_SLOT);
        let name = args.first().map(Vec::as_slice).unwrap_or_default();
        let subject = Subject { name, key, mark: item.mark };
        let address = self.link.as_ref().map(|link| link.address().to_string()).unwrap_or_default();
        let busy = error.starts_with(b"BUSYKEY") || contains(error, b"Target key name is busy");
        let error = match item.mark.expect {
            Expect::Created if busy => conflict(&subject),
            _ => rejected(&subject, error),
        };
        Err(error.at(address))
    }
}

/// Whether an error says that a command may be executed later, or elsewhere.
pub(in super::super) fn is_about_the_node(error: &[u8]) -> bool {
    matches!(classify(error), Some(Stop::Elsewhere | Stop::Wait(_)))
}

/// Errors that are about the node or the slot and not about data, in the words of all versions: of commands, and of scripts that
/// call them.
pub(super) fn classify(error: &[u8]) -> Option<Stop> {
    let starts = |words: &[&str]| words.iter().any(|word| error.starts_with(word.as_bytes()));
    let has = |words: &[&str]| words.iter().any(|word| contains(error, word.as_bytes()));
    if starts(&["NOSCRIPT"]) {
        Some(Stop::NoScript)
    } else if has(&["cluster is down"])
        || starts(&["CLUSTERDOWN", "LOADING", "BUSY ", "MASTERDOWN", "TRYAGAIN", "UNBLOCKED"])
    {
        Some(Stop::Wait(error.escape_ascii().to_string()))
    } else if has(&["non local key", "slot not served", "rehashing of the slot", "You can't write against a read only"])
        || starts(&["MOVED ", "ASK ", "READONLY"])
    {
        Some(Stop::Elsewhere)
    } else if has(&["command is not allowed from script"]) {
        Some(Stop::NotInScript)
    } else {
        None
    }
}
