//! The shards of a cluster.

use std::time::Duration;

use super::board::Board;
use super::lane::Lane;
use super::layout;
use super::open::replicas;
use super::replica::Replica;
use super::source::ShardSource;
use super::view::{View, atomic_move};
use crate::cluster::{Topology, TopologyOptions};
use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Rules;
use crate::net::{Connection, Deadlines};
use crate::source::{Durable, Locator, ReplicaOptions};
use crate::translate::Target;

/// The primaries of a cluster, none of which is moving a slot.
#[derive(Debug)]
pub(super) struct ClusterShards {
    topology: Topology,
    options: TopologyOptions,
    views: Vec<View>,
}

impl ClusterShards {
    pub(super) async fn find(seeds: &[NodeAddress], options: TopologyOptions) -> Result<Self> {
        let topology = Topology::discover(seeds, options.clone()).await?;
        let views = views(&topology, options.deadlines).await?;
        Ok(Self { topology, options, views })
    }

    pub(super) fn count(&self) -> usize {
        self.views.len()
    }

    pub(super) fn addresses(&self) -> Vec<NodeAddress> {
        self.topology.primaries().map(|node| node.address.clone()).collect()
    }

    pub(super) fn layout(&self) -> String {
        layout::text(&self.views)
    }

    /// One source for each primary, all of them snapshots of one layout.
    pub(super) async fn open(
        self,
        target: Target,
        mut replica: ReplicaOptions,
        durables: Vec<Durable>,
    ) -> Result<Vec<ShardSource>> {
        let Self { topology, options, views: before } = self;
        Rules::refuse_renames(replica.translate.rules.as_ref(), "a cluster")?;
        replica.translate.slot_moves = true;
        let locators =
            topology.shards().iter().map(|shard| Locator::cluster_shard(&topology, shard, options.clone())).collect();
        let seeds: Vec<NodeAddress> = topology.nodes().map(|node| node.address.clone()).collect();
        let (then, again) = (layout::text(&before), options.clone());
        let sources = replicas(locators, target, replica, durables, || unmoved(seeds, again, then)).await?;
        // From here on the snapshots are made, but for those that wait for others; whatever moves now is in the streams.
        let after = views(&topology, options.deadlines).await?;
        for (before, after) in before.iter().zip(&after) {
            if before.id != after.id || before.owned != after.owned || before.config_epoch != after.config_epoch {
                return Err(moved());
            }
        }
        let names: Vec<String> = sources.iter().map(|source| source.node().address().to_string()).collect();
        let nodes = sources.iter().map(Replica::node).collect();
        let board = Board::new(names.clone(), nodes, before);
        let shards = sources.into_iter().zip(names).enumerate().map(|(index, (source, name))| {
            let shard = ShardSource::wrapped(name, source, |source| Lane::new(source, board.clone(), index));
            ShardSource { lane: Some((board.clone(), index)), ..shard }
        });
        Ok(shards.collect())
    }
}

/// A cluster in the middle of a fail-over is asked again so often, a second later each time.
const ATTEMPTS: u32 = 30;

/// A snapshot has begun later than others: it goes with them only if no slot has moved meanwhile. That a replica was promoted does not matter.
async fn unmoved(seeds: Vec<NodeAddress>, options: TopologyOptions, then: String) -> Result<()> {
    let mut attempt = 1;
    loop {
        match ClusterShards::find(&seeds, options.clone()).await {
            Ok(now) => return layout::check(&then, &now.layout()).map_err(|_| moved()),
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Err(error) => tracing::debug!(%error, "whether slots have moved cannot be told yet"),
        }
        attempt += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn moved() -> Error {
    let text = "slots of the cluster were moved while the snapshots were started: run again when that is over";
    Error::new(ErrorKind::Topology, text)
}

/// What the primaries say, none of which may be moving anything.
async fn views(topology: &Topology, deadlines: Deadlines) -> Result<Vec<View>> {
    let mut views = Vec::new();
    for node in topology.primaries() {
        let mut connection = Connection::open(&node.address, deadlines).await?;
        let view = View::ask(&mut connection).await?;
        let moving = |slot: u16| {
            let text = format!(
                "slot {slot} is on its way to another node: wait until that is over (or mend it by redis-cli --cluster fix)"
            );
            Error::new(ErrorKind::Topology, text).at(&node.address)
        };
        if let Some(slot) = view.migrating.first().or(view.importing.first()) {
            return Err(moving(slot));
        }
        if let Some(what) = atomic_move(&mut connection).await? {
            let text = format!("an atomic move of {what} is under way: wait until that is over");
            return Err(Error::new(ErrorKind::Topology, text).at(&node.address));
        }
        views.push(view);
    }
    Ok(views)
}
