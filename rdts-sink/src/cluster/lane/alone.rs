//! A command that no script can execute: one that is a script itself, or too big.

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::record::{Expect, Kind};
use rdts_resp::{Reply, encode};

use super::super::place::Reached;
use super::super::unit::{NO_SLOT, Step, Unit};
use super::Lane;
use super::reply::{Stop, classify};
use crate::judge::{Subject, contains, of_the_script};

impl Lane {
    /// Executes the first unit that is not applied, which is one command, in a transaction with a marker in the same slot. Nothing else
    /// is on its way.
    ///
    /// A slot that is being moved takes no such transaction, since the marker is not there yet: it has to wait.
    pub(super) async fn alone(&mut self) -> Result<Option<Stop>> {
        let entry = &self.log[self.applied];
        let (item, tried) = (entry.unit.item(0), entry.tried);
        let keys = &self.shared.keys;
        // What has no key is executed with the checkpoint itself, and so is what the checkpoint speaks for in the same slot.
        let together = item.slot == NO_SLOT || (item.slot == self.slot && self.speaks_for(item.slot));
        let (marker, after) = if together {
            (self.checkpoint(), self.value(entry.to(), &entry.after))
        } else {
            let reached = Reached { place: item.place, position: entry.unit.position };
            (keys.marker(item.slot, self.index), keys.value(entry.to(), &reached, None))
        };
        if tried && !together {
            let reply = self.call(&[b"GET", &marker]).await?;
            if let Some(error) = reply.as_error() {
                return self.stopped(error).map(Some);
            }
            if reply.as_str() == Some(&after) {
                return self.finish_alone(&marker, together, false, false).await;
            }
        }
        if let Some(stop) = self.guard().await? {
            return Ok(Some(stop));
        }
        self.log[self.applied].tried = true;
        let entry = &self.log[self.applied];
        let Some(link) = &mut self.link else { return Err(super::disconnected()) };
        let out = link.output();
        encode::command(out, [b"MULTI"]);
        if item.mark.db > 0 {
            encode::command(out, [b"SELECT".as_slice(), item.mark.db.to_string().as_bytes()]);
        }
        entry.unit.append_raw(out);
        if item.mark.db > 0 {
            encode::command(out, ["SELECT", "0"]);
        }
        // Behind the command: FLUSHALL would remove it.
        encode::command(out, [b"SET", &marker[..], after.as_bytes()]);
        encode::command(out, [b"EXEC"]);
        link.awake();
        let queued = 3 + 2 * usize::from(item.mark.db > 0);
        let mut refused: Option<Vec<u8>> = None;
        for _ in 0..queued {
            let reply = link.receive().await?;
            if let Some(error) = reply.as_error() {
                refused.get_or_insert_with(|| error.to_vec());
            }
        }
        let reply = link.receive().await?;
        if reply.is_null() && self.shared.keys.persistent() {
            // Somebody has written the checkpoint since.
            return Ok(Some(Stop::Changed));
        }
        let Some(results) = reply.as_array() else {
            let error = refused.or_else(|| reply.as_error().map(<[u8]>::to_vec)).unwrap_or_else(|| b"nothing".to_vec());
            return self.stopped(&error).map(Some);
        };
        let result = results.get(usize::from(item.mark.db > 0)).unwrap_or(&Reply::Null);
        let (mut failed, mut kept) = (false, false);
        let nothing = result.is_null() || result.as_integer() == Some(0);
        match result.as_error() {
            Some(error) if item.mark.kind == Kind::Script && of_the_script(error) => failed = true,
            Some(error) if item.mark.expect == Expect::CreatedOrKept && exists(item.mark.kind, error) => kept = true,
            Some(error) if item.mark.may_expire && contains(error, b"no such key") => {}
            // The transaction took effect, so nothing can be tried again.
            Some(error) => {
                let args = self.log[self.applied].unit.args(0);
                let subject = Subject {
                    name: args.first().map(Vec::as_slice).unwrap_or_default(),
                    key: args.get(1).map(Vec::as_slice).filter(|_| item.slot != NO_SLOT),
                    mark: item.mark,
                };
                if classify(error).is_some() {
                    let text = format!("{} was refused inside of a transaction", subject.named());
                    return Err(Error::new(ErrorKind::Rejected, text));
                }
                return Err(crate::judge::rejected(&subject, error));
            }
            None if nothing && item.mark.expect == Expect::Created => return self.stopped(b"BUSYKEY").map(Some),
            None if nothing && item.mark.expect == Expect::CreatedOrKept => kept = true,
            None => {}
        }
        self.finish_alone(&marker, together, failed, kept).await
    }

    /// Whether the checkpoint tells how far a slot has come.
    fn speaks_for(&self, slot: u16) -> bool {
        !self.shared.keys.persistent() || !self.shared.routes().is_marked(slot)
    }

    /// Sees to it that the transaction that follows is executed only if the checkpoint is still this run's: what a process has sent before
    /// it died may reach the server after another one has gone on.
    async fn guard(&mut self) -> Result<Option<Stop>> {
        if !self.shared.keys.persistent() {
            return Ok(None);
        }
        let key = self.checkpoint();
        let gate = self.shared.keys.word(self.log[self.applied].from);
        let watched = self.call(&[b"WATCH", &key]).await?;
        let held = self.call(&[b"GET", &key]).await?;
        if let Some(error) = watched.as_error().or(held.as_error()) {
            return if classify(error).is_some() { Ok(Some(Stop::Checkpoint)) } else { self.stopped(error).map(Some) };
        }
        if held.as_str().is_some_and(|value| value.starts_with(&gate)) {
            return Ok(None);
        }
        self.call(&[b"UNWATCH"]).await?;
        Ok(Some(Stop::Changed))
    }

    /// It is executed: the checkpoint follows, and the marker goes.
    async fn finish_alone(&mut self, marker: &[u8], together: bool, failed: bool, kept: bool) -> Result<Option<Stop>> {
        if !together {
            let checkpoint = self.checkpoint();
            let (gate, value) = self.words(self.applied);
            let step = Step { key: &checkpoint, gate: &gate, value: &value, places: false };
            let Some(link) = &mut self.link else { return Err(super::disconnected()) };
            Unit::empty().append_call(link.output(), [b"EVAL", self.shared.script.as_bytes()], &step);
            link.awake();
            let reply = link.receive().await?;
            match reply.as_array() {
                None if !reply.is_error() => {}
                Some([Reply::Integer(-2), ..]) => return Ok(Some(Stop::Changed)),
                // The checkpoint has to be found first; the marker tells then that the command is executed.
                _ => return Ok(Some(Stop::Checkpoint)),
            }
            if self.speaks_for(self.log[self.applied].unit.item(0).slot) {
                self.call(&[b"DEL", marker]).await?;
            }
        }
        let kept: &[usize] = if kept { &[0] } else { &[] };
        let mut counts = self.log[self.applied].unit.counts(kept);
        counts.script_errors += u64::from(failed);
        self.advance(counts);
        Ok(None)
    }
}

/// Whether an error says that what was to be created is there.
fn exists(kind: Kind, error: &[u8]) -> bool {
    error.starts_with(b"BUSYKEY") || (kind == Kind::Code && contains(error, b"already exists"))
}
