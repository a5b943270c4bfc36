//! What the lanes of one cluster know of each other.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::rules::Rule;
use super::samples::Samples;
use super::tenures::Slots;
use super::view::{Asker, View};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline;
use crate::record::{Position, ReplicationId};
use crate::source::SourceNode;

/// Shared by the lanes of one cluster. Locked once for a batch, for the time that it takes to look at its slots.
pub(super) struct Board {
    shared: Mutex<Shared>,
    /// Counts changes that a waiting lane may wait for.
    changed: watch::Sender<u64>,
    askers: OnceLock<Vec<Asker>>,
}

pub(super) struct Shared {
    pub(super) lanes: Vec<LaneState>,
    pub(super) slots: Slots,
    waiting: usize,
    clock: u64,
    /// The rule that a test has taken away.
    #[cfg(test)]
    pub(super) without: Option<Rule>,
}

/// How far a lane is, and what its node said.
#[derive(Default)]
pub(super) struct LaneState {
    pub(super) name: String,
    /// What it has taken from its source, passed on, and knows to be applied.
    pub(super) read: Place,
    pub(super) passed: Place,
    pub(super) applied: Place,
    /// Since when its next command has had to wait.
    pub(super) waiting: Option<Instant>,
    /// What it has read and not passed on: by slot, each key with the offsets of its commands.
    pub(super) pending: HashMap<u16, HashMap<Vec<u8>, VecDeque<u64>>>,
    pub(super) samples: Samples,
    /// Atomic moves to its node that its stream tells of: where they were over, and the slots.
    pub(super) imported: Vec<(u64, Vec<RangeInclusive<u16>>)>,
    /// Why its node cannot be asked any more.
    failed: Option<(ErrorKind, String)>,
    pipeline: Option<pipeline::Handle>,
}

/// A place in the stream of a lane; `None` before its stream begins.
pub(super) type Place = Option<(ReplicationId, u64)>;

pub(super) fn place(position: &Position) -> Place {
    position.is_stream().then(|| (position.replid(), position.offset()))
}

impl Board {
    /// For lanes that read from `nodes`, which said `views` of themselves before their streams began.
    pub(super) fn new(names: Vec<String>, nodes: Vec<SourceNode>, views: Vec<View>) -> Arc<Self> {
        let board = Arc::new(Self::without_nodes(names, views));
        let start = |(lane, node)| Asker::start(node, lane, Arc::downgrade(&board));
        let askers = nodes.into_iter().enumerate().map(start).collect();
        // Set here and nowhere else.
        let _ = board.askers.set(askers);
        board
    }

    pub(super) fn without_nodes(names: Vec<String>, views: Vec<View>) -> Self {
        let slots = Slots::new(names.len(), |slot| views.iter().position(|view| view.owned.contains(slot)));
        let lane = |(name, view)| LaneState { name, samples: Samples::new(view), ..LaneState::default() };
        let lanes = names.into_iter().zip(views).map(lane).collect();
        let shared = Mutex::new(Shared {
            lanes,
            slots,
            waiting: 0,
            clock: 0,
            #[cfg(test)]
            without: None,
        });
        Self { shared, changed: watch::Sender::new(0), askers: OnceLock::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has nodes asked once more.
    pub(super) fn ask(&self, nodes: impl IntoIterator<Item = usize>) {
        let askers = self.askers.get().map(Vec::as_slice).unwrap_or_default();
        nodes.into_iter().filter_map(|node| askers.get(node)).for_each(Asker::ask);
    }

    /// What a lane's node said when it was asked after the board's clock said `asked`.
    pub(super) fn sampled(&self, lane: usize, asked: u64, view: View) {
        let mut shared = self.lock();
        let answered = shared.tick();
        let Shared { lanes, slots, .. } = &mut *shared;
        slots.learn(lane, lanes[lane].samples.last(), &view);
        lanes[lane].samples.add(asked, answered, &view);
        self.notify(&shared);
    }

    /// A lane's node will not answer any more.
    pub(super) fn failed(&self, lane: usize, kind: ErrorKind, text: String) {
        let mut shared = self.lock();
        shared.lanes[lane].failed = Some((kind, text));
        self.notify(&shared);
    }

    /// Something happened that a waiting lane may wait for.
    pub(super) fn notify(&self, shared: &Shared) {
        if shared.waiting > 0 {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn attach(&self, lane: usize, pipeline: pipeline::Handle) {
        self.lock().lanes[lane].pipeline = Some(pipeline);
    }
}

impl Shared {
    /// The next time of a clock that puts questions, answers and what is read in order.
    pub(super) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Whether a rule is in force: all are, but in tests.
    #[cfg(test)]
    pub(super) fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// Whether a rule is in force: all are, but in tests.
    #[cfg(not(test))]
    #[allow(clippy::unused_self)]
    pub(super) const fn keeps(&self, _: Rule) -> bool {
        true
    }

    /// That of the last tick.
    pub(super) fn now(&self) -> u64 {
        self.clock
    }

    pub(super) fn set_waiting(&mut self, lane: usize, waiting: bool) {
        let state = &mut self.lanes[lane];
        match (state.waiting.is_some(), waiting) {
            (false, true) => {
                state.waiting = Some(Instant::now());
                self.waiting += 1;
            }
            (true, false) => {
                state.waiting = None;
                self.waiting -= 1;
            }
            _ => {}
        }
    }
}

impl LaneState {
    /// # Errors
    /// Why the node cannot be asked any more.
    pub(super) fn check(&self) -> Result<()> {
        match &self.failed {
            Some((kind, text)) => Err(Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }

    /// Whether all that it has passed on is applied.
    pub(super) fn is_flushed(&self) -> bool {
        if self.applied != self.passed
            && let Some(pipeline) = &self.pipeline
        {
            pipeline.flush();
        }
        self.applied == self.passed
    }

    /// Whether everything before `offset` is applied.
    pub(super) fn has_applied(&self, offset: u64) -> bool {
        let applied = self.applied.is_some_and(|(_, applied)| applied >= offset);
        if !applied {
            self.is_flushed();
        }
        applied
    }

    /// Whether everything of a slot that it has to apply before `offset` is applied; of these keys alone, if there are any.
    pub(super) fn is_through(&self, slot: u16, offset: u64, keys: Option<&[Vec<u8>]>) -> bool {
        if self.has_applied(offset) {
            return true;
        }
        let pending = self.pending.get(&slot);
        let clear = |offsets: Option<&VecDeque<u64>>| offsets.and_then(VecDeque::front).is_none_or(|at| *at > offset);
        let read = self.read.is_some_and(|(_, read)| read >= offset);
        self.waiting.is_some()
            && read
            && match (pending, keys) {
                (None, _) => true,
                (Some(pending), Some(keys)) => keys.iter().all(|key| clear(pending.get(key))),
                (Some(pending), None) => pending.values().all(|offsets| clear(Some(offsets))),
            }
            && self.is_flushed()
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.lock();
        let names: Vec<&str> = shared.lanes.iter().map(|lane| lane.name.as_str()).collect();
        f.debug_struct("Board").field("lanes", &names).field("moving", &shared.slots.moving()).finish()
    }
}
