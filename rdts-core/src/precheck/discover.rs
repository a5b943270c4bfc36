//! From an endpoint to the nodes behind it.

use super::node::{Node, Part};
use crate::cluster::{Shard, Topology, TopologyOptions};
#[cfg(feature = "codis")]
use crate::codis::Dashboard;
use crate::endpoint::{Endpoint, NodeAddress};
use crate::error::{Error, ErrorKind};
use crate::net::Deadlines;
use crate::sentinel::Service;

/// What was found of an endpoint.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) nodes: Vec<Node>,
    /// What kept nodes from being found.
    pub(super) lost: Option<Error>,
    /// What is wrong with the slots, as the deployment's own table says.
    pub(super) disorder: Vec<String>,
}

pub(super) async fn discover(endpoint: &Endpoint, deadlines: Deadlines) -> Found {
    let deadlines = deadlines.ready(std::time::Duration::ZERO);
    let nodes = |addresses: &[NodeAddress], part| -> Vec<Node> {
        addresses.iter().map(|address| Node::new(address.clone(), part)).collect()
    };
    match endpoint {
        Endpoint::Node { address, .. } => {
            Found { nodes: nodes(std::slice::from_ref(address), Part::Primary), ..Found::default() }
        }
        Endpoint::Shards(addresses) => Found { nodes: nodes(addresses, Part::Primary), ..Found::default() },
        Endpoint::Proxy { addresses, .. } => Found { nodes: nodes(addresses, Part::Proxy), ..Found::default() },
        Endpoint::Sentinel { sentinels, service, credentials, .. } => {
            let mut found = Found { nodes: nodes(sentinels, Part::Sentinel), ..Found::default() };
            let service = Service::new(sentinels.clone(), service.clone()).credentials(credentials.clone());
            match service.deadlines(deadlines).primary().await {
                Ok(primary) => found.nodes.push(Node::new(primary, Part::Primary)),
                Err(error) => found.lost = Some(error),
            }
            found
        }
        Endpoint::Cluster { seeds } => cluster(seeds, deadlines).await,
        Endpoint::Codis { dashboard } => codis(dashboard, deadlines).await,
        Endpoint::File(path) => Found { lost: file(path).await, ..Found::default() },
        Endpoint::Memory => Found::default(),
    }
}

async fn cluster(seeds: &[NodeAddress], deadlines: Deadlines) -> Found {
    let mut found = Found::default();
    match Topology::discover(seeds, TopologyOptions::default().deadlines(deadlines)).await {
        Ok(topology) => {
            for Shard { primary, replicas, slots } in topology.shards() {
                let node = Node { slots: slots.clone(), ..Node::new(primary.address.clone(), Part::Primary) };
                found.nodes.push(node);
                let replicas = replicas.iter().map(|node| Node::new(node.address.clone(), Part::Replica));
                found.nodes.extend(replicas);
            }
        }
        Err(error) => {
            // The seeds can say themselves what is wrong with them.
            found.nodes.extend(seeds.iter().map(|seed| Node::new(seed.clone(), Part::Seed)));
            match error.kind() {
                ErrorKind::Topology => found.disorder.push(error.to_string()),
                _ => found.lost = Some(error),
            }
        }
    }
    found
}

#[cfg(feature = "codis")]
async fn codis(dashboard: &NodeAddress, deadlines: Deadlines) -> Found {
    let mut found = Found::default();
    let topology = match Dashboard::new(dashboard.clone(), deadlines).topology().await {
        Ok(topology) => topology,
        Err(error) => return Found { lost: Some(error), ..found },
    };
    let wrong = [topology.check_complete(), topology.check_steady()];
    found.disorder.extend(wrong.into_iter().filter_map(Result::err).map(|error| error.to_string()));
    for group in topology.shards() {
        let slots = (0..crate::slot::codis::SLOTS).filter(|slot| topology.owner(*slot) == group.id);
        let slots = slots.map(|slot| slot..=slot).collect();
        found.nodes.extend(group.primary().map(|address| Node { slots, ..Node::new(address.clone(), Part::Primary) }));
        found.nodes.extend(group.replicas().iter().map(|address| Node::new(address.clone(), Part::Replica)));
    }
    found
}

#[cfg(not(feature = "codis"))]
async fn codis(_: &NodeAddress, _: Deadlines) -> Found {
    let error = Error::new(ErrorKind::Unsupported, "built without the feature codis");
    Found { lost: Some(error), ..Found::default() }
}

/// Why a file of a source cannot be read. One that is to be written is nobody's concern here: it may well not be there.
async fn file(path: &std::path::Path) -> Option<Error> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let (there, folder) = (tokio::fs::metadata(path).await, parent.unwrap_or(std::path::Path::new(".")));
    match there {
        Ok(_) => None,
        Err(_) if tokio::fs::metadata(folder).await.is_ok_and(|folder| folder.is_dir()) => None,
        Err(error) => Some(
            Error::new(ErrorKind::Io, "neither it nor its folder can be read").with_source(error).at(path.display()),
        ),
    }
}
