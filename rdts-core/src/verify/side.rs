//! One of the two deployments that are compared: its primaries, and which of them has which key.

use crate::cluster::{Topology, TopologyOptions};
#[cfg(feature = "codis")]
use crate::codis::{CodisTopology, Dashboard};
use crate::endpoint::{Endpoint, NodeAddress};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Connection, Deadlines, text};
use crate::sentinel::Service;
use crate::slot::slot;
use crate::translate::Target;

/// A deployment as it was when it was looked at.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) nodes: Vec<About>,
    routes: Routes,
}

/// A primary, and what its server can do.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) address: NodeAddress,
    pub(super) target: Target,
    /// Expiries in absolute time: from Redis 7.0 on.
    pub(super) expire_time: bool,
    /// From Redis 4.0 on; services refuse it at times.
    pub(super) memory_usage: bool,
    /// `EXISTS` with several keys: from Redis 3.0.3 on.
    pub(super) exists_many: bool,
}

#[derive(Debug)]
enum Routes {
    /// One server has all keys.
    One,
    /// Nobody tells which server has a key.
    Any,
    Cluster(Box<Topology>),
    #[cfg(feature = "codis")]
    Codis(CodisTopology),
}

/// Where a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Node(usize),
    /// On any of them.
    Any,
    /// Nowhere: its slot belongs to nobody.
    #[cfg(feature = "codis")]
    Nowhere,
}

impl Side {
    /// Finds the primaries of `endpoint` and looks at each.
    pub(super) async fn find(endpoint: &Endpoint, deadlines: Deadlines) -> Result<Self> {
        let (addresses, routes) = match endpoint {
            Endpoint::Node { address, .. } => (vec![address.clone()], Routes::One),
            Endpoint::Shards(addresses) => (addresses.clone(), Routes::Any),
            Endpoint::Sentinel { sentinels, service, credentials, .. } => {
                let service = Service::new(sentinels.clone(), service.clone())
                    .credentials(credentials.clone())
                    .deadlines(deadlines);
                (vec![service.primary().await?], Routes::One)
            }
            Endpoint::Cluster { seeds } => {
                let options = TopologyOptions::default().deadlines(deadlines);
                let topology = Topology::discover(seeds, options).await?;
                let addresses = topology.primaries().map(|node| node.address.clone()).collect();
                (addresses, Routes::Cluster(Box::new(topology)))
            }
            #[cfg(feature = "codis")]
            Endpoint::Codis { dashboard } => {
                let topology = Dashboard::new(dashboard.clone(), deadlines).topology().await?;
                let place = |error: Error| error.at(endpoint);
                topology.check_complete().map_err(place)?;
                topology.check_steady().map_err(place)?;
                let addresses = topology.shards().filter_map(|group| group.primary().cloned()).collect();
                (addresses, Routes::Codis(topology))
            }
            Endpoint::Proxy { .. } => {
                let text = "a proxy does not let its keys be listed: name the servers behind it (redis://a,b,…), or the dashboard of a Codis";
                return Err(Error::new(ErrorKind::Unsupported, text).at(endpoint));
            }
            other => {
                let text = "only servers can be compared: load a file into a server first, or compare files with rdb_tool diff";
                return Err(Error::new(ErrorKind::Unsupported, text).at(other));
            }
        };
        let mut nodes = Vec::with_capacity(addresses.len());
        for address in addresses {
            nodes.push(About::ask(address, deadlines).await?);
        }
        Ok(Self { nodes, routes })
    }

    /// Where `key` is.
    pub(super) fn place(&self, key: &[u8]) -> Place {
        match &self.routes {
            Routes::One => Place::Node(0),
            Routes::Any => Place::Any,
            Routes::Cluster(topology) => Place::Node(topology.shard_of(slot(key))),
            #[cfg(feature = "codis")]
            Routes::Codis(topology) => {
                let owner = topology.owner_of(key);
                topology.shards().position(|group| group.id == owner).map_or(Place::Nowhere, Place::Node)
            }
        }
    }

    /// Whether there is only database 0.
    pub(super) fn one_database(&self) -> bool {
        !matches!(self.routes, Routes::One | Routes::Any)
    }

    /// Whether one command may name any keys.
    pub(super) fn many_keys(&self) -> bool {
        matches!(self.routes, Routes::One)
    }

    /// Whether every key is where it was in `other`.
    pub(super) fn same_layout(&self, other: &Self) -> bool {
        match (&self.routes, &other.routes) {
            (Routes::Cluster(one), Routes::Cluster(two)) => {
                let slots = |topology: &Topology| -> Vec<_> {
                    topology.shards().iter().map(|shard| shard.slots.clone()).collect()
                };
                slots(one) == slots(two)
            }
            #[cfg(feature = "codis")]
            (Routes::Codis(one), Routes::Codis(two)) => {
                (0..crate::slot::codis::SLOTS).all(|slot| one.owner(slot) == two.owner(slot))
            }
            _ => self.nodes.len() == other.nodes.len(),
        }
    }
}

impl About {
    async fn ask(address: NodeAddress, deadlines: Deadlines) -> Result<Self> {
        let mut connection = Connection::open(&address, deadlines).await?;
        let target = Target::from_info(&connection.info("server").await?).map_err(|error| error.at(&address))?;
        // Only trying tells what a user, or a service, may do. In a cluster a slot of somebody else is no refusal.
        let mut may = async |command: &[&str], needed: bool| -> Result<bool> {
            let reply = connection.call(command.iter().copied()).await?;
            match reply.error_code() {
                None | Some("MOVED" | "CLUSTERDOWN" | "ASK") => Ok(true),
                // Of some keys only.
                Some("NOPERM") if text(&reply).contains("key") => Ok(true),
                Some(_) if needed => Err(connection.refusal(command[0], &reply)),
                Some(_) => Ok(false),
            }
        };
        may(&["SCAN", "0", "COUNT", "1"], true).await?;
        may(&["DUMP", PROBE], true).await?;
        may(&["PTTL", PROBE], true).await?;
        Ok(Self {
            expire_time: may(&["PEXPIRETIME", PROBE], false).await?,
            memory_usage: may(&["MEMORY", "USAGE", PROBE], false).await?,
            exists_many: target.version() >= (3, 0, 3),
            target,
            address,
        })
    }
}

const PROBE: &str = "rdts:no-such-key";
