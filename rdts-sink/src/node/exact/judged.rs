//! What the server answers.

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::failpoint;
use rdts_core::ledger::Counts;
use rdts_core::record::Batch;
use rdts_resp::ReplyRef;

use super::commit::Committer;
use super::link::{Outcome, Owed};
use super::log::Found;
use super::transaction::is_frame;
use crate::judge::{Judge, contains, shown};

impl Committer {
    /// Takes what comes next, which is to be `owed`.
    pub(super) async fn take(&mut self, owed: Owed) -> Result<()> {
        match owed {
            Owed::Executed => return self.executed().await,
            Owed::Queued(most) => self.link.take_queued(most),
            _ => {}
        }
        let Some(owed) = self.link.owed() else { return Ok(()) };
        if owed == Owed::Executed {
            return Ok(());
        }
        let answer = |reply: &ReplyRef<'_>| match reply.as_error() {
            Some(error) => Err(error.to_vec()),
            None => Ok(matches!(owed, Owed::Checkpoint).then(|| reply.as_bytes().map(<[u8]>::to_vec)).flatten()),
        };
        let Some(answer) = self.link.reply(answer)? else { return self.more().await };
        match (owed, answer) {
            (Owed::Success(what), Err(error)) => return Err(refused(what, &error)),
            (Owed::Checkpoint, Err(error)) => return Err(refused("GET of the checkpoint", &error)),
            (Owed::Select(db), Err(error)) => return Err(refused(&format!("SELECT {db}"), &error)),
            (Owed::Multi, Err(error)) => return Err(refused("MULTI", &error)),
            (_, Err(error)) => return Err(self.not_queued(&error)),
            (Owed::Checkpoint, Ok(text)) => self.compare(text)?,
            (Owed::Multi, Ok(_)) => self.link.queued = 0,
            (Owed::Queued(_), Ok(_)) => self.link.queued += 1,
            (Owed::Success(_) | Owed::Select(_) | Owed::Executed, Ok(_)) => {}
        }
        self.link.settle();
        Ok(())
    }

    /// The checkpoint has to be where the last transaction has brought it.
    fn compare(&mut self, text: Option<Vec<u8>>) -> Result<()> {
        let found = text.map(|text| String::from_utf8_lossy(&text).parse()).transpose()?;
        match self.log.compare(found.as_ref())? {
            Found::Applied(applied) if applied == self.log.applied() => self.log.see(),
            // Nothing was ever written.
            Found::Nothing if !self.link.begun => {}
            // What it is has to be found out from the beginning.
            _ => return Err(changed()),
        }
        Ok(())
    }

    /// The server refused to queue a command of the first transaction that is not applied.
    fn not_queued(&self, error: &[u8]) -> Error {
        let named = self.log.get(self.log.applied()).map(|transaction| transaction.named(self.link.queued));
        let error = refused(&named.unwrap_or_default(), error);
        match error.kind() {
            ErrorKind::NotReady => error,
            kind => {
                let text =
                    format!("{error}. Nothing of its transaction is applied: the run can be resumed after a remedy");
                Error::new(kind, text)
            }
        }
    }

    /// Judges the replies of the transaction that is being executed.
    async fn executed(&mut self) -> Result<()> {
        let outcome = loop {
            match self.link.outcome()? {
                Some(outcome) => break outcome,
                None => self.more().await?,
            }
        };
        let replies = match outcome {
            Outcome::Replies(replies) => replies,
            Outcome::Changed => return Err(changed()),
            Outcome::Error(error) => return Err(refused("EXEC", &error)),
        };
        match self.judge(replies).await {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Rejected | ErrorKind::TargetNotEmpty) => {
                self.failed = Some(error.to_string());
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        self.link.settle();
        self.link.executing = false;
        self.log.advance();
        self.trouble = None;
        Ok(())
    }

    async fn judge(&mut self, replies: usize) -> Result<()> {
        let index = self.log.applied();
        let (mut number, mut db, mut seen) = (0, 0, 0);
        while let Some(batch) = self.log.get(index).and_then(|transaction| transaction.batches().get(number)).cloned() {
            let mut judge = Judge::default();
            for command in batch.commands() {
                if is_frame(&command) {
                    judge.count(&command);
                    continue;
                }
                if command.db() != db {
                    db = command.db();
                    seen += 1;
                    while self.link.reply(|reply| judge.select(db, reply))?.transpose()?.is_none() {
                        self.more().await?;
                    }
                }
                seen += 1;
                while self.link.reply(|reply| judge.reply(&command, reply))?.transpose()?.is_none() {
                    self.more().await?;
                }
            }
            failpoint::hit("sink.judged");
            self.tell(index, number, &batch, judge.counts());
            number += 1;
        }
        // Behind the commands comes what belongs to the checkpoint.
        while seen < replies {
            let result = self.link.reply(|reply| match reply.as_error() {
                Some(error) => Err(refused("writing the checkpoint", error)),
                None => Ok(()),
            });
            match result?.transpose()? {
                Some(()) => seen += 1,
                None => self.more().await?,
            }
        }
        Ok(())
    }

    /// A batch is applied: the watermark passes it, unless it has done so before.
    pub(super) fn tell(&mut self, index: usize, number: usize, batch: &Batch, counts: Counts) {
        let Some(transaction) = self.log.get_mut(index).filter(|transaction| transaction.told <= number) else {
            return;
        };
        transaction.told = number + 1;
        self.status.send_modify(|status| {
            status.watermark.batches += 1;
            status.watermark.position = Some(*batch.position());
            status.watermark.counts += counts;
        });
    }
}

fn changed() -> Error {
    let text = "the checkpoint was written meanwhile, over an earlier connection or by somebody else";
    Error::new(ErrorKind::Disconnected, text)
}

/// The error for a command that was refused, whatever is wrong: what is about the server and may pass is
/// [`NotReady`](ErrorKind::NotReady).
pub(super) fn refused(what: &str, error: &[u8]) -> Error {
    const PASSING: [&[u8]; 6] = [b"LOADING", b"READONLY", b"MASTERDOWN", b"BUSY ", b"UNBLOCKED", b"NOREPLICAS"];
    // An `EXECABORT` of newer servers says why; of older ones, that they have become a replica.
    let contained = |word: &&[u8]| contains(error, &[b"discarded because of: ", *word].concat());
    let replica = contains(error, b"instance is now a read-only");
    let kind = match error.split(|byte| *byte == b' ').next() {
        _ if replica || PASSING.iter().any(|word| error.starts_with(word) || contained(word)) => ErrorKind::NotReady,
        Some(b"NOAUTH" | b"NOPERM" | b"WRONGPASS") => ErrorKind::Auth,
        _ => ErrorKind::Rejected,
    };
    Error::new(kind, format!("{what} was answered with '{}'", shown(error)))
}
