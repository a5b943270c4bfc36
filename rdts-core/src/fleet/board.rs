//! What the lanes of one cluster know of each other.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::view::{Asker, View};
use crate::pipeline;
use crate::record::{Position, ReplicationId};
use crate::slot::SLOTS;
use crate::source::SourceNode;

/// Shared by the lanes of one cluster. Locked once for a batch, for the time that it takes to look at its slots.
pub(super) struct Board {
    shared: Mutex<Shared>,
    /// Counts changes that a waiting lane may wait for.
    changed: watch::Sender<u64>,
    pub(super) askers: Vec<Asker>,
}

pub(super) struct Shared {
    pub(super) lanes: Vec<LaneState>,
    slots: Slots,
    waiting: usize,
}

/// How far a lane is.
#[derive(Default)]
pub(super) struct LaneState {
    pub(super) name: String,
    /// What it has taken from its source, passed on, and knows to be applied.
    pub(super) read: Place,
    pub(super) passed: Place,
    pub(super) applied: Place,
    /// Since when its next command has had to wait.
    pub(super) waiting: Option<Instant>,
    /// What it has read and not passed on: each key with the offsets of its commands, and whether it arrives with them from
    /// another node.
    pub(super) pending: HashMap<Vec<u8>, VecDeque<(u64, bool)>>,
    pipeline: Option<pipeline::Handle>,
}

/// A place in the stream of a lane; `None` before its stream begins.
pub(super) type Place = Option<(ReplicationId, u64)>;

pub(super) fn place(position: &Position) -> Place {
    position.is_stream().then(|| (position.replid(), position.offset()))
}

/// For each slot, the lanes that may have something of it that is not applied, in the order in which their nodes served it.
struct Slots {
    one: Vec<u16>,
    several: HashMap<u16, Vec<usize>>,
}

/// In [`Slots::one`]: it is in `several`.
const SEVERAL: u16 = u16::MAX;

impl Board {
    /// For lanes that read from `nodes`, which say that of themselves.
    pub(super) fn new(names: Vec<String>, nodes: Vec<SourceNode>, views: &[View]) -> Self {
        let board = Self::without_nodes(names, |slot| views.iter().position(|view| view.owned.contains(slot)));
        Self { askers: nodes.into_iter().map(Asker::start).collect(), ..board }
    }

    pub(super) fn without_nodes(names: Vec<String>, owner: impl Fn(u16) -> Option<usize>) -> Self {
        // A slot that nobody serves is nobody's: it is in nobody's snapshot either.
        let owner = |slot| owner(slot).and_then(|lane| u16::try_from(lane).ok());
        let mut slots = Slots { one: Vec::with_capacity(usize::from(SLOTS)), several: HashMap::new() };
        for slot in 0..SLOTS {
            let owner = owner(slot);
            if owner.is_none() {
                slots.several.insert(slot, Vec::new());
            }
            slots.one.push(owner.unwrap_or(SEVERAL));
        }
        let lanes = names.into_iter().map(|name| LaneState { name, ..LaneState::default() }).collect();
        let shared = Mutex::new(Shared { lanes, slots, waiting: 0 });
        Self { shared, changed: watch::Sender::new(0), askers: Vec::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Whether only `lane` may have something of the slot that is not applied.
    pub(super) fn is_at_home(&self, slot: u16, lane: usize) -> bool {
        usize::from(self.slots.one[usize::from(slot)]) == lane
    }

    pub(super) fn holds(&self, slot: u16, lane: usize) -> bool {
        match self.slots.one[usize::from(slot)] {
            SEVERAL => self.slots.several.get(&slot).is_some_and(|lanes| lanes.contains(&lane)),
            one => usize::from(one) == lane,
        }
    }

    /// The lanes whose nodes served the slot before that of `lane`.
    pub(super) fn before(&self, slot: u16, lane: usize) -> impl Iterator<Item = usize> {
        let one = self.slots.one[usize::from(slot)];
        let several = self.slots.several.get(&slot).map(Vec::as_slice).unwrap_or_default();
        let one = (one != SEVERAL).then_some(usize::from(one));
        one.into_iter().chain(several.iter().copied()).take_while(move |other| *other != lane)
    }

    /// The node of `lane` is the last to serve the slot.
    pub(super) fn append(&mut self, slot: u16, lane: usize) {
        let one = std::mem::replace(&mut self.slots.one[usize::from(slot)], SEVERAL);
        let lanes = self.slots.several.entry(slot).or_default();
        if one != SEVERAL {
            lanes.push(usize::from(one));
        }
        lanes.retain(|other| *other != lane);
        lanes.push(lane);
        self.settle(slot);
    }

    /// Whether no other node has served the slot after that of `lane`.
    pub(super) fn is_last(&self, slot: u16, lane: usize) -> bool {
        self.is_at_home(slot, lane) || self.slots.several.get(&slot).is_some_and(|lanes| lanes.last() == Some(&lane))
    }

    pub(super) fn remove(&mut self, slot: u16, lane: usize) {
        if let Some(lanes) = self.slots.several.get_mut(&slot) {
            lanes.retain(|other| *other != lane);
            self.settle(slot);
        }
    }

    /// Whether all that the lane has passed on is applied.
    pub(super) fn is_flushed(&self, lane: usize) -> bool {
        let lane = &self.lanes[lane];
        if lane.applied != lane.passed
            && let Some(pipeline) = &lane.pipeline
        {
            pipeline.flush();
        }
        lane.applied == lane.passed
    }

    fn settle(&mut self, slot: u16) {
        let Some(lanes) = self.slots.several.get(&slot) else { return };
        if let (1, Some(lane)) = (lanes.len(), lanes.first().and_then(|lane| u16::try_from(*lane).ok())) {
            self.slots.one[usize::from(slot)] = lane;
            self.slots.several.remove(&slot);
        }
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

    /// Whether everything that `lane` has to apply before `until` is applied: `Some(true)`; or nothing of it that is not applied
    /// names one of `keys`: `Some(false)`; `None`: neither, or not yet known.
    ///
    /// Unless they are those of an arrival, a key that arrives at that lane first comes back there, later.
    pub(super) fn is_behind(
        &self,
        lane: usize,
        until: (Option<ReplicationId>, u64),
        keys: &[Vec<u8>],
        arrival: bool,
    ) -> Option<bool> {
        let flushed = self.is_flushed(lane);
        let lane = &self.lanes[lane];
        let reached = |place: Place| {
            place.is_some_and(|(replid, offset)| until.0.is_none_or(|other| other == replid) && offset >= until.1)
        };
        let clear = |key: &Vec<u8>| {
            let first = lane.pending.get(key).and_then(VecDeque::front);
            first.is_none_or(|(offset, arrives)| *offset > until.1 || (*arrives && !arrival))
        };
        if reached(lane.applied) {
            return Some(true);
        }
        (lane.waiting.is_some() && reached(lane.read) && flushed && keys.iter().all(clear)).then_some(false)
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.lock();
        let names: Vec<&str> = shared.lanes.iter().map(|lane| lane.name.as_str()).collect();
        f.debug_struct("Board").field("lanes", &names).field("moving", &shared.slots.several.len()).finish()
    }
}
