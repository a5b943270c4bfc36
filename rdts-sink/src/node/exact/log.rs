//! What was written, in transactions: applied and kept, under way, or still to be sent.

use std::collections::VecDeque;

use rdts_core::error::{Error, ErrorKind, Result};

use super::checkpoint::Checkpoint;
use super::transaction::Transaction;

/// Transactions in order: first those that are applied and kept in case a promoted replica lacks them, then those that are not.
#[derive(Debug)]
pub(super) struct Log {
    /// The checkpoint in front of the first transaction.
    base: Checkpoint,
    /// Whether the key has been seen: from then on it must be there.
    seen: bool,
    transactions: VecDeque<Transaction>,
    applied: usize,
    kept: usize,
    keep: usize,
}

/// What a checkpoint that was found says of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// So many transactions of the log are applied, and no more.
    Applied(usize),
    /// There is none, as there never was: nothing is applied.
    Nothing,
}

impl Log {
    /// An empty log for a target with this checkpoint. `keep` is in bytes.
    pub(super) fn new(found: Option<Checkpoint>, keep: usize) -> Self {
        let seen = found.is_some();
        let base = found.unwrap_or_default();
        Self { base, seen, transactions: VecDeque::new(), applied: 0, kept: 0, keep }
    }

    pub(super) fn len(&self) -> usize {
        self.transactions.len()
    }

    /// How many are applied.
    pub(super) fn applied(&self) -> usize {
        self.applied
    }

    pub(super) fn is_all_applied(&self) -> bool {
        self.applied == self.transactions.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Transaction> {
        self.transactions.get(index)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Transaction> {
        self.transactions.get_mut(index)
    }

    pub(super) fn push(&mut self, transaction: Transaction) {
        self.transactions.push_back(transaction);
    }

    /// The checkpoint after the first `count` transactions.
    pub(super) fn checkpoint(&self, count: usize) -> Checkpoint {
        match count.checked_sub(1).and_then(|last| self.transactions.get(last)) {
            None => self.base.clone(),
            Some(last) => {
                Checkpoint { number: self.base.number + count as u64, position: last.position(), failed: None }
            }
        }
    }

    /// Whether the key was ever there.
    pub(super) fn seen(&self) -> bool {
        self.seen
    }

    /// The key is there, and has to be from now on.
    pub(super) fn see(&mut self) {
        self.seen = true;
    }

    /// The first transaction that is not applied is applied now.
    pub(super) fn advance(&mut self) {
        let Some(transaction) = self.transactions.get_mut(self.applied) else { return };
        transaction.release();
        self.kept += transaction.memory();
        self.applied += 1;
        while self.kept > self.keep && self.applied > 0 {
            let base = self.checkpoint(1);
            let Some(first) = self.transactions.pop_front() else { break };
            self.kept -= first.memory();
            self.applied -= 1;
            self.base = base;
        }
    }

    /// Goes back to where a promoted replica is: the rest is to be sent again.
    pub(super) fn go_back(&mut self, applied: usize) {
        for transaction in self.transactions.range(applied..self.applied) {
            self.kept -= transaction.memory();
        }
        self.applied = applied;
    }

    /// What the checkpoint that the target has says.
    ///
    /// # Errors
    /// [`Rejected`](ErrorKind::Rejected) if nobody can go on from there.
    pub(super) fn compare(&self, found: Option<&Checkpoint>) -> Result<Found> {
        let error = |text: String| Err(Error::new(ErrorKind::Rejected, text));
        let Some(found) = found else {
            if !self.seen {
                return Ok(Found::Nothing);
            }
            return error(
                "the checkpoint is gone: the server has lost its data, or somebody removed it. Empty the target, and run again".into(),
            );
        };
        if let Some(failed) = &found.failed {
            return error(failed_before(failed));
        }
        // What was never to be executed cannot be in the target.
        let sent = self.transactions.iter().take_while(|transaction| transaction.closed).count();
        match found.number.checked_sub(self.base.number).and_then(|count| usize::try_from(count).ok()) {
            Some(count) if count <= sent && self.checkpoint(count) == *found => Ok(Found::Applied(count)),
            None => error(format!(
                "the server lacks acknowledged writes: it has {} transactions, and those up to {} are not kept any more \
                 (NodeOptions::keep). Empty the target, remove the checkpoint, and run again",
                found.number, self.base.number
            )),
            Some(_) => error(format!(
                "the checkpoint holds '{found}', and this run has written at most '{}': somebody else writes there, \
                 perhaps another run of the same task",
                self.checkpoint(sent)
            )),
        }
    }
}

/// What to say of a run before that ended with a command that failed.
pub(super) fn failed_before(what: &str) -> String {
    format!(
        "a run before ended with a command that failed, so the target does not hold what the source does: {what}. Remedy the cause, \
         empty the target, remove the checkpoint, and run again"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
