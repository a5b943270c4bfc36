//! The shards of a cluster.

use super::board::Board;
use super::lane::Lane;
use super::open::{ShardSource, replicas};
use super::view::{View, atomic_move};
use crate::cluster::{Topology, TopologyOptions};
use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Connection, Deadlines};
use crate::source::{Locator, ReplicaOptions};
use crate::translate::Target;

/// One source for each primary, all of them snapshots of one layout.
pub(super) async fn open(
    seeds: &[NodeAddress],
    options: TopologyOptions,
    target: Target,
    mut replica: ReplicaOptions,
) -> Result<Vec<ShardSource>> {
    let topology = Topology::discover(seeds, options.clone()).await?;
    let before = views(&topology, options.deadlines).await?;
    replica.translate.slot_moves = true;
    let locators =
        topology.shards().iter().map(|shard| Locator::cluster_shard(&topology, shard, options.clone())).collect();
    let sources = replicas(locators, target, replica).await?;
    // From here on the snapshots are made; whatever moves now is in the streams.
    let after = views(&topology, options.deadlines).await?;
    for (before, after) in before.iter().zip(&after) {
        if before.id != after.id || before.owned != after.owned || before.config_epoch != after.config_epoch {
            let text = "slots of the cluster were moved while the snapshots were started: run again when that is over";
            return Err(Error::new(ErrorKind::Topology, text));
        }
    }
    let names: Vec<String> = sources.iter().map(|source| source.address().to_string()).collect();
    let nodes = sources.iter().map(crate::source::ReplicaSource::node).collect();
    let board = Board::new(names.clone(), nodes, before);
    let shards = sources.into_iter().zip(names).enumerate().map(|(index, (source, name))| {
        let (node, length, offsets) = (source.node(), source.snapshot_len(), source.has_offsets());
        let lane = Lane::new(source, board.clone(), index);
        ShardSource {
            node: Some(node),
            snapshot_len: length,
            has_offsets: offsets,
            lane: Some((board.clone(), index)),
            ..ShardSource::new(name, lane)
        }
    });
    Ok(shards.collect())
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
