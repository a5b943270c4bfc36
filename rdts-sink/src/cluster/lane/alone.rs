//! A command that no script can execute: one that is a script itself, or too big.

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::record::{Expect, Kind};
use rdts_resp::{Reply, encode};

use super::super::routes::checkpoint_key;
use super::super::unit::NO_SLOT;
use super::Lane;
use super::reply::{Stop, classify, counts};
use crate::judge::{Subject, of_the_script};

impl Lane {
    /// Executes the first unit that is not applied, which is one command, in a transaction with a marker in the same slot. Nothing else
    /// is on its way.
    ///
    /// A slot that is being moved takes no such transaction, since the marker is not there yet: it has to wait.
    pub(super) async fn alone(&mut self) -> Result<Option<Stop>> {
        let entry = &self.log[self.applied];
        let (item, after, tried) = (entry.unit.items()[0], entry.to(), entry.tried);
        let checkpoint = self.checkpoint();
        // What has no key is executed with the checkpoint itself.
        let slot = if item.slot == NO_SLOT { self.slot } else { item.slot };
        let marker = checkpoint_key(slot, &self.shared.id, self.index);
        let after = after.to_string();
        if tried && marker != checkpoint {
            let reply = self.call(&[b"GET", &marker]).await?;
            if let Some(error) = reply.as_error() {
                return self.stopped(error).map(Some);
            }
            if reply.as_str() == Some(&after) {
                return self.finish_alone(&marker, &after, false, false).await;
            }
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
        self.finish_alone(&marker, &after, failed, kept).await
    }

    /// It is executed: the checkpoint follows, and the marker goes.
    async fn finish_alone(&mut self, marker: &[u8], after: &str, failed: bool, kept: bool) -> Result<Option<Stop>> {
        let checkpoint = self.checkpoint();
        if marker != checkpoint {
            let reply = self.call(&[b"SET", &checkpoint, after.as_bytes()]).await?;
            if reply.is_error() {
                // The checkpoint has to be found first; the marker tells then that the command is executed.
                return Ok(Some(Stop::Checkpoint));
            }
            self.call(&[b"DEL", marker]).await?;
        }
        let kept: &[usize] = if kept { &[0] } else { &[] };
        let mut counts = counts(&self.log[self.applied], kept);
        counts.script_errors += u64::from(failed);
        self.advance(counts);
        Ok(None)
    }
}

/// Whether an error says that what was to be created is there.
fn exists(kind: Kind, error: &[u8]) -> bool {
    error.starts_with(b"BUSYKEY") || (kind == Kind::Code && contains(error, b"already exists"))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
