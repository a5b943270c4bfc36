//! Which lane has which slot.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdts_core::checkpoint::{CheckpointName, KEY_PREFIX};
use rdts_core::cluster::Topology;
use rdts_core::endpoint::NodeAddress;
use rdts_core::error::Result;
use rdts_core::slot::SLOTS;
use rdts_core::translate::Target;
use rdts_resp::encode;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::ClusterOptions;
use super::claims::Vouched;
use super::lane::{Lane, Message, Start};
use super::place::{Reached, Slots};
use super::progress::Progress;
use super::unit::{NO_SLOT, Unit};

/// What the sink and its lanes have in common.
pub(super) struct Shared {
    pub(super) options: ClusterOptions,
    pub(super) target: Target,
    /// The script that executes a unit.
    pub(super) script: String,
    pub(super) keys: Keys,
    pub(super) progress: Progress,
    routes: Mutex<Routes>,
}

/// The lanes, and which of them has which slot. At any time all that is not applied of a slot is in one lane, in order.
pub(super) struct Routes {
    pub(super) topology: Topology,
    /// The lane of each slot.
    owners: Vec<usize>,
    /// The same by runs of slots: where each begins, in order. Looking a lane up here does not wait for memory, as it does in a table of
    /// all slots.
    runs: Vec<(u16, usize)>,
    lanes: Vec<LaneHandle>,
    /// Slots that the lane which has them does not speak for yet: they tell by markers of their own how far they have come.
    marked: BTreeSet<u16>,
}

struct LaneHandle {
    queue: mpsc::UnboundedSender<Message>,
    task: JoinHandle<()>,
    /// The slot of its checkpoint: the lane is where that is.
    checkpoint: u16,
}

const NO_LANE: usize = usize::MAX;

impl Shared {
    /// No lane is there yet.
    pub(super) fn new(
        options: ClusterOptions,
        target: Target,
        script: String,
        keys: Keys,
        topology: Topology,
    ) -> Arc<Self> {
        let owners = vec![NO_LANE; usize::from(SLOTS)];
        let routes = Routes { topology, owners, runs: vec![(0, NO_LANE)], lanes: Vec::new(), marked: BTreeSet::new() };
        Arc::new(Self { options, target, script, keys, progress: Progress::new(), routes: Mutex::new(routes) })
    }

    /// Starts lanes: for each the slots that it has, that of its checkpoint, and with what it begins.
    pub(super) fn start(self: &Arc<Self>, lanes: Vec<(Slots, u16, Start)>) {
        let mut routes = self.routes();
        for (slots, checkpoint, start) in lanes {
            let lane = routes.open(self, checkpoint, start);
            for slot in slots.iter() {
                routes.owners[usize::from(slot)] = lane;
            }
        }
        routes.find_runs();
    }

    pub(super) fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the cluster anew; what is known stays if that fails.
    pub(super) async fn refresh(&self) -> Result<()> {
        let mut topology = self.routes().topology.clone();
        topology.refresh().await?;
        self.routes().topology = topology;
        Ok(())
    }

    /// Believes the node that has just answered `MOVED`.
    pub(super) async fn refresh_from(&self, address: &NodeAddress) -> Result<()> {
        let mut topology = self.routes().topology.clone();
        topology.refresh_from(address).await?;
        self.routes().topology = topology;
        Ok(())
    }

    /// Where the primary of a slot is.
    pub(super) fn primary_of(&self, slot: u16) -> NodeAddress {
        self.routes().topology.primary_of(slot).address.clone()
    }
}

impl Routes {
    /// The lane that has a slot; any for what has none.
    pub(super) fn lane_of(&self, slot: u16) -> usize {
        let slot = if slot == NO_SLOT { 0 } else { slot % SLOTS };
        self.runs[self.runs.partition_point(|(first, _)| *first <= slot) - 1].1
    }

    /// After each change of `owners`.
    fn find_runs(&mut self) {
        self.runs = (0..).zip(self.owners.iter().copied()).collect();
        self.runs.dedup_by_key(|(_, lane)| *lane);
    }

    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// The lane where `slot` is served, which is started if there is none.
    pub(super) fn lane_at(&mut self, shared: &Arc<Shared>, slot: u16) -> usize {
        let shard = self.topology.shard_of(slot);
        let there = |lane: &LaneHandle| self.topology.shard_of(lane.checkpoint) == shard;
        // The lane that has the slot comes first: of two at one place, work stays where it is.
        if let Some(lane) = self.lanes.get(self.lane_of(slot))
            && there(lane)
        {
            return self.lane_of(slot);
        }
        match self.lanes.iter().position(there) {
            Some(lane) => lane,
            None => self.open(shared, slot, Start::default()),
        }
    }

    fn open(&mut self, shared: &Arc<Shared>, checkpoint: u16, start: Start) -> usize {
        let (queue, messages) = mpsc::unbounded_channel();
        let lane = Lane::new(shared.clone(), self.lanes.len(), checkpoint, start, messages);
        self.lanes.push(LaneHandle { queue, task: tokio::spawn(lane.run()), checkpoint });
        self.lanes.len() - 1
    }

    /// Whether a slot has to tell by a marker how far it has come.
    pub(super) fn is_marked(&self, slot: u16) -> bool {
        !self.marked.is_empty() && self.marked.contains(&slot)
    }

    /// Whether any slot has to.
    pub(super) fn any_marked(&self) -> bool {
        !self.marked.is_empty()
    }

    /// From now on every lane speaks for its slots: which these are, by lanes, and which slots had markers.
    pub(super) fn settle(&mut self) -> (Vec<Slots>, Vec<u16>) {
        let slots = (0..self.lanes.len()).map(|lane| self.slots_of(lane).collect()).collect();
        (slots, std::mem::take(&mut self.marked).into_iter().collect())
    }

    /// Has every lane that is not the only one at its node see to it that its checkpoint is there, and says when it is.
    pub(super) fn restore(&self) -> Vec<oneshot::Receiver<()>> {
        let home = |lane: &LaneHandle| self.topology.shard_of(lane.checkpoint);
        let homes: Vec<usize> = self.lanes.iter().map(home).collect();
        let shared = |lane: &usize| homes.iter().filter(|home| **home == homes[*lane]).count() > 1;
        (0..self.lanes.len())
            .filter(shared)
            .map(|lane| {
                let (done, wait) = oneshot::channel();
                self.tell(lane, Message::Restore(done));
                wait
            })
            .collect()
    }

    /// The slots that a lane has.
    pub(super) fn slots_of(&self, lane: usize) -> impl Iterator<Item = u16> + '_ {
        (0..SLOTS).filter(move |slot| self.owners[usize::from(*slot)] == lane)
    }

    /// Whether a lane has its checkpoint in this slot, so that two at one node do not have the same.
    pub(super) fn has_checkpoint(&self, slot: u16) -> bool {
        self.lanes.iter().any(|lane| lane.checkpoint == slot)
    }

    /// One lane for each primary.
    pub(super) fn lane_of_each(&mut self, shared: &Arc<Shared>) -> Vec<usize> {
        let slots: Vec<u16> = self.topology.shards().iter().map(|shard| *shard.slots[0].start()).collect();
        slots.into_iter().map(|slot| self.lane_at(shared, slot)).collect()
    }

    /// A lane's checkpoint has another slot now.
    pub(super) fn checkpoint_moved(&mut self, lane: usize, slot: u16) {
        self.lanes[lane].checkpoint = slot;
    }

    /// Gives the slots of `lane` that are served elsewhere to the lanes there.
    pub(super) fn give_up(&mut self, shared: &Arc<Shared>, lane: usize) {
        let home = self.topology.shard_of(self.lanes[lane].checkpoint);
        for slot in 0..SLOTS {
            if self.owners[usize::from(slot)] == lane && self.topology.shard_of(slot) != home {
                let other = self.lane_at(shared, slot);
                self.owners[usize::from(slot)] = other;
                if shared.keys.persistent() {
                    self.marked.insert(slot);
                }
            }
        }
        self.find_runs();
    }

    pub(super) fn send(&self, lane: usize, unit: Unit) {
        self.tell(lane, Message::Unit(unit));
    }

    pub(super) fn tell(&self, lane: usize, message: Message) {
        // A lane that has ended has told why.
        let _ = self.lanes[lane].queue.send(message);
    }

    /// Asks all lanes to end, and gives their tasks.
    pub(super) fn close(&mut self) -> Vec<JoinHandle<()>> {
        let close = |lane: LaneHandle| {
            let _ = lane.queue.send(Message::Close);
            lane.task
        };
        self.lanes.drain(..).map(close).collect()
    }

    pub(super) fn abort(&mut self) {
        for lane in &self.lanes {
            lane.task.abort();
        }
    }
}

/// The names of the keys that tell how far lanes have come, and how their values begin.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// A name that no other sink has.
    run: String,
    name: Option<CheckpointName>,
}

impl Keys {
    pub(super) fn new(run: String, name: Option<CheckpointName>) -> Self {
        Self { run, name }
    }

    /// Whether a run after this one will understand them.
    pub(super) fn persistent(&self) -> bool {
        self.name.is_some()
    }

    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// The checkpoint of a lane in this slot.
    pub(super) fn checkpoint(&self, slot: u16, lane: usize) -> Vec<u8> {
        let tag = rdts_core::slot::tag(slot);
        match &self.name {
            Some(name) => format!("{KEY_PREFIX}{{{tag}}}:{name}").into_bytes(),
            None => format!("{KEY_PREFIX}{{{tag}}}:{}:{lane}", self.run).into_bytes(),
        }
    }

    /// The marker that tells how far the slot itself has come.
    pub(super) fn marker(&self, slot: u16, lane: usize) -> Vec<u8> {
        let mut key = self.checkpoint(slot, lane);
        if self.persistent() {
            key.extend_from_slice(b":moved");
        }
        key
    }

    /// What a value begins with that counts `count` commands, and that nothing else begins with.
    pub(super) fn word(&self, count: impl std::fmt::Display) -> String {
        if self.persistent() { format!("{}:{count} ", self.run) } else { format!("{count} ") }
    }

    /// A command that has a slot tell how far it has come.
    pub(super) fn mark(&self, slot: u16, lane: usize, reached: Reached) -> Vec<u8> {
        let mut raw = Vec::new();
        let value = self.value("moved", &reached, None);
        encode::command(&mut raw, [b"SET".as_slice(), &self.marker(slot, lane), value.as_bytes()]);
        raw
    }

    /// The value of a checkpoint; without `vouched`, its first line.
    pub(super) fn value(
        &self,
        count: impl std::fmt::Display,
        reached: &Reached,
        vouched: Option<&Arc<Vouched>>,
    ) -> String {
        let mut text = self.word(count);
        if self.persistent() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{reached}");
            if let Some(vouched) = vouched {
                let _ = write!(text, "\n{vouched}");
            }
        }
        text
    }
}
