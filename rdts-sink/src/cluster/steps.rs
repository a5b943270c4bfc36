//! The steps of a command over several slots, each executed by the lane of its slot as any other command is: exactly once, whatever breaks,
//! and with a place of its own, so that after a crash the rest of them can be done.

use rdts_core::command::{Access, keys, lookup};
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::ledger::Counts;
use rdts_core::record::{Kind, Mark};
use rdts_core::slot::slot;
use rdts_core::translate::Target;
use rdts_resp::{Reply, encode};

use super::calls::Calls;
use super::place::Place;
use super::unit::New;
use super::write::Router;
use crate::crossing::{Nodes, TEMPORARY};

/// Executes what changes keys through the lanes, and asks for the rest.
pub(super) struct Steps<'a, 'b> {
    router: &'a mut Router<'b>,
    calls: Calls,
    /// The place of the first step.
    first: Place,
    /// The number of the next one.
    step: u32,
}

impl<'a, 'b> Steps<'a, 'b> {
    /// The first step is at `first`. Everything before is applied.
    pub(super) fn new(router: &'a mut Router<'b>, first: Place) -> Self {
        let calls = Calls::new(router.shared.clone());
        Self { router, calls, first, step: 0 }
    }

    /// Executes a step, unless a run before has. The reply tells no more than that the command was taken, and what `crossing` looks at.
    async fn step(&mut self, key: &[u8], db: u32, args: &[&[u8]]) -> Result<Reply> {
        let is = |name: &[u8]| args[0].eq_ignore_ascii_case(name);
        let removes = is(b"DEL") || is(b"SREM") || is(b"LPOP") || is(b"RPOP");
        let place = Place { nth: self.first.nth + if removes { REMOVES } else { self.step }, ..self.first };
        self.step += u32::from(!removes);
        let slot = slot(key);
        let ok = Reply::Simple("OK".into());
        if self.router.has(slot, place) {
            return Ok(ok);
        }
        let mut reply = ok;
        if is(b"LPOP") || is(b"RPOP") {
            let end: &[u8] = if is(b"LPOP") { b"0" } else { b"-1" };
            reply = self.calls.slot_call(slot, db, &[b"LINDEX", key, end]).await?;
        } else if is(b"LMPOP") || is(b"ZMPOP") || (is(b"RESTORE") && !args.contains(&&b"REPLACE"[..])) {
            let there = self.calls.slot_call(slot, db, &[b"EXISTS", key]).await?.as_integer() == Some(1);
            if there && is(b"RESTORE") {
                return Ok(Reply::Error(b"BUSYKEY Target key name already exists.".as_slice().into()));
            }
            if !there && !is(b"RESTORE") {
                return Ok(Reply::Null);
            }
        }
        let mut raw = Vec::new();
        encode::command(&mut raw, args);
        let mark = Mark::new(db, Kind::Write);
        let new = New { slot, mark, raw: &raw, commands: 0, bytes: 0, alone: false, marks: false, place };
        {
            let shared = self.router.shared.clone();
            let routes = shared.routes();
            self.router.collectors.resize_with(routes.lanes(), Default::default);
            self.router.collect(&routes, new, &mut Counts::default());
            self.router.send(&routes);
        }
        self.router.shared.progress.settled().await?;
        Ok(reply)
    }
}

impl Nodes for Steps<'_, '_> {
    fn target(&self) -> Target {
        self.router.shared.target
    }

    async fn call(&mut self, key: &[u8], db: u32, args: &[&[u8]]) -> Result<Reply> {
        // Values are read by a script.
        let reads = lookup(args[0]).is_some_and(|info| !info.is_write() || info.name() == "EVAL");
        let mut named = keys(args)?.map(|key| args[key.index]);
        // Temporary keys are written again if need be.
        if reads || named.all(|key| key.starts_with(TEMPORARY)) {
            return self.calls.slot_call(slot(key), db, args).await;
        }
        self.step(key, db, args).await
    }

    async fn call_all(&mut self, db: u32, args: &[&[u8]]) -> Result<Reply> {
        self.calls.call_all(db, args).await
    }
}

/// What is left to do of a command that a run before may have begun.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rest<'a> {
    /// Nothing.
    Nothing,
    /// This, of which no step is done twice.
    Command(Vec<&'a [u8]>),
}

/// How many places a command has for its steps. Those of a step's number are the same whenever the command is executed.
pub(super) const STEPS: u32 = 1 << 16;
/// The step that takes away what the ones before have put elsewhere.
const REMOVES: u32 = STEPS / 2;

/// What is left to do of `args`. `has` says whether the lane of a slot has come as far as a step of this number; [`STEPS`] is behind all.
///
/// That a command which a source replicates had an effect there is a help: the condition of one that was begun was met.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) if that cannot be told; [`HistoryLost`](ErrorKind::HistoryLost) if what had to be done first is not
/// there.
pub(super) fn rest<'a>(target: Target, args: &[&'a [u8]], has: impl Fn(u16, u32) -> bool) -> Result<Rest<'a>> {
    let found: Vec<_> = keys(args)?.collect();
    let mut written: Vec<u16> = Vec::new();
    for key in found.iter().filter(|key| key.access != Access::Read) {
        let slot = slot(args[key.index]);
        if !written.contains(&slot) {
            written.push(slot);
        }
    }
    if written.iter().any(|slot| has(*slot, STEPS)) {
        return Ok(Rest::Nothing);
    }
    let name = args[0].to_ascii_uppercase();
    let whole = || Ok(Rest::Command(args.to_vec()));
    match (name.as_slice(), written.as_slice()) {
        (b"RENAME" | b"RENAMENX" | b"SMOVE" | b"LMOVE" | b"RPOPLPUSH" | b"BLMOVE" | b"BRPOPLPUSH", &[from, to]) => {
            // The second key gets it before the first one gives it away.
            match (has(to, 0), has(from, REMOVES)) {
                (true, true) => Ok(Rest::Nothing),
                (false, true) => Err(cut_off(ErrorKind::HistoryLost, args, "a node has lost a step of it")),
                (true, false) if name == b"RENAMENX" => Ok(Rest::Command([&[&b"RENAME"[..]], &args[1..]].concat())),
                _ => whole(),
            }
        }
        (b"MSETNX" | b"MSETEX", slots) => {
            // Each slot's part is a step, in the order of their first keys.
            let done = slots.iter().zip(0..).filter(|(slot, step)| has(**slot, *step)).count();
            if done == 0 {
                return whole();
            }
            if done == slots.len() {
                return Ok(Rest::Nothing);
            }
            if name == b"MSETNX" {
                return Ok(Rest::Command([&[&b"MSET"[..]], &args[1..]].concat()));
            }
            let (plain, options) = args.split_at((2 + 2 * found.len()).min(args.len()));
            let condition = |arg: &&&[u8]| arg.eq_ignore_ascii_case(b"NX") || arg.eq_ignore_ascii_case(b"XX");
            Ok(Rest::Command(plain.iter().chain(options.iter().filter(|arg| !condition(arg))).copied().collect()))
        }
        // The first key that has something gives it.
        (b"LMPOP" | b"ZMPOP", slots) if slots.iter().any(|slot| has(*slot, 0)) => Ok(Rest::Nothing),
        // Where an expiry is set in a step of its own, that may be missing.
        (b"COPY", _) if !target.restore_options() => whole(),
        // The command itself is one step, in the slot of the last key that it writes; others get theirs afterwards.
        (_, [.., home]) if has(*home, 0) => match written.len() {
            1 => Ok(Rest::Nothing),
            _ => Err(cut_off(ErrorKind::Unsupported, args, "what is left to do cannot be told")),
        },
        _ => whole(),
    }
}

fn cut_off(kind: ErrorKind, args: &[&[u8]], why: &str) -> Error {
    let shown = |arg: &&[u8]| arg[..arg.len().min(60)].escape_ascii().to_string();
    let text: Vec<String> = args.iter().take(8).map(shown).collect();
    let text = format!(
        "a run before was cut off in the middle of '{}', which has keys in several slots: {why}",
        text.join(" ")
    );
    Error::new(kind, text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// `done` are the steps that each key's lane has come to.
    fn left(text: &str, done: &[(&str, u32)]) -> Result<Option<String>> {
        let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        let done: Vec<(u16, u32)> = done.iter().map(|(key, step)| (slot(key.as_bytes()), *step)).collect();
        let has = |slot: u16, step: u32| done.iter().any(|(of, come)| *of == slot && *come >= step);
        Ok(match rest(Target::redis(7, 0, 0), &args, has)? {
            Rest::Nothing => None,
            Rest::Command(args) => {
                Some(args.iter().map(|arg| String::from_utf8_lossy(arg)).collect::<Vec<_>>().join(" "))
            }
        })
    }

    #[test]
    fn what_is_left_follows_from_what_was_done() {
        for (text, done, expected) in [
            ("RENAME a b", &[][..], Some("RENAME a b")),
            ("RENAME a b", &[("b", 0)], Some("RENAME a b")),
            ("RENAME a b", &[("a", 0), ("b", 0)], Some("RENAME a b")),
            ("RENAME a b", &[("a", REMOVES), ("b", 0)], None),
            ("RENAME a b", &[("a", STEPS)], None),
            ("RENAMENX a b", &[], Some("RENAMENX a b")),
            ("RENAMENX a b", &[("b", 0)], Some("RENAME a b")),
            ("LMOVE a b LEFT LEFT", &[("b", 0)], Some("LMOVE a b LEFT LEFT")),
            ("MSETNX a 1 b 2 c 3", &[("a", 0)], Some("MSET a 1 b 2 c 3")),
            // In one lane with the first.
            ("MSETNX a 1 b 2", &[("a", 0), ("b", 0)], Some("MSET a 1 b 2")),
            ("MSETNX a 1 b 2", &[("a", 1), ("b", 1)], None),
            ("MSETEX 2 a 1 b 2 NX EX 5", &[("a", 0)], Some("MSETEX 2 a 1 b 2 EX 5")),
            ("SDIFFSTORE a b a", &[("a", 0)], None),
            ("SDIFFSTORE a b a", &[("b", 0)], Some("SDIFFSTORE a b a")),
            ("COPY a b", &[("b", 0)], None),
            ("LMPOP 2 a b LEFT", &[("b", 0)], None),
        ] {
            assert_eq!(left(text, done).unwrap(), expected.map(str::to_owned), "{text} after {done:?}");
        }
        assert_eq!(left("RENAME a b", &[("a", REMOVES)]).unwrap_err().kind(), ErrorKind::HistoryLost);
    }
}
