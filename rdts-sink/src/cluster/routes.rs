//! Which lane has which slot.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdts_core::cluster::Topology;
use rdts_core::endpoint::NodeAddress;
use rdts_core::error::Result;
use rdts_core::slot::SLOTS;
use rdts_core::translate::Target;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::ClusterOptions;
use super::lane::{Lane, Message};
use super::progress::Progress;
use super::unit::{NO_SLOT, Unit};

/// What the sink and its lanes have in common.
pub(super) struct Shared {
    pub(super) options: ClusterOptions,
    pub(super) target: Target,
    /// The script that executes a unit.
    pub(super) script: String,
    /// In the names of the checkpoint keys.
    pub(super) id: String,
    pub(super) progress: Progress,
    routes: Mutex<Routes>,
}

/// The lanes, and which of them has which slot. At any time all that is not applied of a slot is in one lane, in order.
pub(super) struct Routes {
    pub(super) topology: Topology,
    lane_of: Vec<usize>,
    lanes: Vec<LaneHandle>,
}

struct LaneHandle {
    queue: mpsc::UnboundedSender<Message>,
    task: JoinHandle<()>,
    /// The slot of its checkpoint: the lane is where that is.
    checkpoint: u16,
}

const NO_LANE: usize = usize::MAX;

impl Shared {
    /// Starts a lane for each primary.
    pub(super) fn start(
        options: ClusterOptions,
        target: Target,
        script: String,
        id: String,
        topology: Topology,
    ) -> Arc<Self> {
        let routes = Routes { topology, lane_of: vec![NO_LANE; usize::from(SLOTS)], lanes: Vec::new() };
        let shared =
            Arc::new(Self { options, target, script, id, progress: Progress::new(), routes: Mutex::new(routes) });
        let mut routes = shared.routes();
        for slot in 0..SLOTS {
            let lane = routes.lane_at(&shared, slot);
            routes.lane_of[usize::from(slot)] = lane;
        }
        drop(routes);
        shared
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
        self.lane_of[if slot == NO_SLOT { 0 } else { usize::from(slot % SLOTS) }]
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
        self.lanes.iter().position(there).unwrap_or_else(|| {
            let (queue, messages) = mpsc::unbounded_channel();
            let lane = Lane::new(shared.clone(), self.lanes.len(), slot, messages);
            self.lanes.push(LaneHandle { queue, task: tokio::spawn(lane.run()), checkpoint: slot });
            self.lanes.len() - 1
        })
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
            if self.lane_of[usize::from(slot)] == lane && self.topology.shard_of(slot) != home {
                let other = self.lane_at(shared, slot);
                self.lane_of[usize::from(slot)] = other;
            }
        }
    }

    pub(super) fn send(&self, lane: usize, unit: Unit) {
        // A lane that has ended has told why.
        let _ = self.lanes[lane].queue.send(Message::Unit(unit));
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

/// The name of a key in `slot` that tells how far a lane has come.
pub(super) fn checkpoint_key(slot: u16, id: &str, lane: usize) -> Vec<u8> {
    format!("rdts:checkpoint:{{{}}}:{id}:{lane}", rdts_core::slot::tag(slot)).into_bytes()
}
