//! What is applied, over all lanes.

use std::collections::VecDeque;

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::ledger::Counts;
use rdts_core::record::Position;
use rdts_core::sink::Watermark;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::place::{Place, Reached};
use crate::failure::{Failure, gone};

/// A batch that is not applied as a whole yet.
#[derive(Debug)]
struct Pending {
    /// How many of its commands are not; one more as long as it is being routed.
    left: u64,
    counts: Counts,
    position: Position,
    /// Where the source can be read from to get what follows, and the last place of this.
    reached: Reached,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) watermark: Watermark,
    pub(super) failed: Option<Failure>,
    /// What the watermark means for those who resume.
    reached: Reached,
    /// The batches behind the watermark.
    pending: VecDeque<Pending>,
}

/// Told by the lanes, watched by the sink.
#[derive(Debug)]
pub(super) struct Progress(watch::Sender<State>);

impl Progress {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    pub(super) fn watermark(&self) -> Watermark {
        self.0.borrow().watermark
    }

    /// All that is applied by all lanes.
    pub(super) fn reached(&self) -> Reached {
        self.0.borrow().reached
    }

    pub(super) fn check(&self) -> Result<()> {
        self.0.borrow().failed.as_ref().map_or(Ok(()), |failure| Err(failure.error()))
    }

    /// Remembers the first error, which was met in `batch`. Batches before that one may still become whole; of all others is
    /// let go. After a second error nothing is waited for any more.
    pub(super) fn fail(&self, error: &Error, batch: Option<u64>) {
        self.0.send_modify(|state| {
            let before = batch.and_then(|batch| batch.checked_sub(state.watermark.batches)).unwrap_or_default();
            let before = if state.failed.is_some() { 0 } else { usize::try_from(before).unwrap_or_default() };
            state.failed.get_or_insert_with(|| Failure::of(error));
            state.pending.truncate(before);
        });
    }

    /// A new batch, whose number is returned. It counts as not applied until [`routed`](Self::routed).
    pub(super) fn begin(&self, position: Position, resume: Option<Position>, room: OwnedSemaphorePermit) -> u64 {
        let mut number = 0;
        self.0.send_modify(|state| {
            number = state.watermark.batches + state.pending.len() as u64;
            state.pending.push_back(Pending {
                left: 1,
                counts: Counts::default(),
                position,
                reached: Reached { place: Place::START, position: resume },
                _room: room,
            });
        });
        number
    }

    /// `commands` of a batch go to lanes.
    pub(super) fn expect(&self, batch: u64, commands: u64) {
        self.0.send_if_modified(|state| {
            state.change(batch, |pending| pending.left += commands);
            false
        });
    }

    /// All commands of a batch have gone to lanes, the last of them at `place`.
    pub(super) fn routed(&self, batch: u64, place: Place) {
        self.0.send_if_modified(|state| {
            state.change(batch, |pending| pending.reached.place = place);
            false
        });
        self.done(batch, 1, Counts::default());
    }

    /// `commands` of a batch are applied.
    pub(super) fn done(&self, batch: u64, commands: u64, counts: Counts) {
        self.0.send_modify(|state| {
            state.change(batch, |pending| {
                pending.left = pending.left.saturating_sub(commands);
                pending.counts += counts;
            });
            while state.pending.front().is_some_and(|pending| pending.left == 0) {
                let Some(pending) = state.pending.pop_front() else { break };
                state.watermark.batches += 1;
                state.watermark.position = Some(pending.position);
                state.watermark.counts += pending.counts;
                state.reached = state.reached.or_later(pending.reached);
            }
        });
    }

    /// Something beside `done` counts for a batch.
    pub(super) fn count(&self, batch: u64, counts: Counts) {
        self.done(batch, 0, counts);
    }

    /// Waits until at most the batch that is being routed is not applied, and that one up to here.
    pub(super) async fn settled(&self) -> Result<()> {
        self.wait(|state| state.pending.iter().map(|pending| pending.left).sum::<u64>() <= 1).await
    }

    /// Waits until everything is applied.
    pub(super) async fn flushed(&self) -> Result<()> {
        self.wait(|state| state.pending.is_empty()).await
    }

    async fn wait(&self, mut reached: impl FnMut(&State) -> bool) -> Result<()> {
        let mut state = self.0.subscribe();
        let over = |state: &State| state.failed.is_some() && state.pending.is_empty();
        let state = state.wait_for(|state| over(state) || (state.failed.is_none() && reached(state))).await;
        let state = state.map_err(|_| gone())?;
        state.failed.as_ref().map_or(Ok(()), |failure| Err(failure.error()))
    }
}

impl State {
    fn change(&mut self, batch: u64, change: impl FnOnce(&mut Pending)) {
        let at = batch.checked_sub(self.watermark.batches).and_then(|at| usize::try_from(at).ok());
        if let Some(pending) = at.and_then(|at| self.pending.get_mut(at)) {
            change(pending);
        }
    }
}

/// The error of a lane that has been waiting for its node for too long.
pub(super) fn out_of_patience(patience: std::time::Duration, last: &Error) -> Error {
    let kind = match last.kind() {
        ErrorKind::Topology => ErrorKind::Topology,
        ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::Disconnected => last.kind(),
        _ => ErrorKind::NotReady,
    };
    Error::new(kind, format!("the cluster has not taken writes again within {patience:?}; last: {last}"))
}
