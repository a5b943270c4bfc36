//! The nodes of a cluster and their slots.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use crate::endpoint::NodeAddress;
use crate::net::Deadlines;
use crate::slot::SLOTS;

/// By what name a node of a cluster is known to the others: 40 hexadecimal digits that stay the same as long as it is a member,
/// whatever its address.
///
/// Redis 3.0 does not tell it in `CLUSTER SLOTS`: there the announced address stands for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) String);

impl NodeId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Its name in the cluster.
    pub id: NodeId,
    /// Where to connect to, and with which login: that of the seed at this address, else of the first seed.
    pub address: NodeAddress,
}

/// A primary, its replicas and its slots.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shard {
    /// The node that takes writes.
    pub primary: Node,
    /// The nodes that follow it and are reachable for the cluster.
    pub replicas: Vec<Node>,
    /// Its slots: ascending, at least one range, none next to another.
    pub slots: Vec<RangeInclusive<u16>>,
}

/// How a cluster is discovered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TopologyOptions {
    /// How long to wait for what.
    pub deadlines: Deadlines,
    /// Where to connect to for a node that announces an address which cannot be reached from here, as behind NAT or in
    /// containers: announced host and port → host and port to dial.
    pub dial: BTreeMap<(String, u16), (String, u16)>,
}

impl TopologyOptions {
    /// Sets [`deadlines`](Self::deadlines).
    #[must_use]
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// Adds to [`dial`](Self::dial): what is announced as `announced` is dialled as `dialled`.
    #[must_use]
    pub fn dial(mut self, announced: (impl Into<String>, u16), dialled: (impl Into<String>, u16)) -> Self {
        self.dial.insert((announced.0.into(), announced.1), (dialled.0.into(), dialled.1));
        self
    }
}

/// A cluster: its shards, and which of them serves each slot. Every slot is served by one.
///
/// It is what nodes said at one time. Slots move and replicas are promoted: a node that answers `MOVED` is to be believed before
/// this, and [`refresh`](Self::refresh) asks anew.
///
/// ```no_run
/// use rdts_core::cluster::{Topology, TopologyOptions};
/// use rdts_core::slot::slot;
/// use rdts_core::{Endpoint, Result};
///
/// # async fn example() -> Result<()> {
/// let Endpoint::Cluster { seeds } = "redis-cluster://10.0.0.7:7000,10.0.0.8:7000".parse()? else { return Ok(()) };
/// let cluster = Topology::discover(&seeds, TopologyOptions::default()).await?;
/// println!("{} shards; 'foo' is at {}", cluster.shards().len(), cluster.primary_of(slot(b"foo")).address);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Topology {
    pub(super) seeds: Vec<NodeAddress>,
    pub(super) options: TopologyOptions,
    pub(super) shards: Vec<Shard>,
    /// For each slot, the shard that serves it.
    pub(super) owners: Vec<u16>,
}

impl Topology {
    /// The shards, in the order of their first slots. There is at least one.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The primaries, in the order of [`shards`](Self::shards).
    pub fn primaries(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.shards.iter().map(|shard| &shard.primary)
    }

    /// The index in [`shards`](Self::shards) of the one that serves `slot`, which counts modulo [`SLOTS`].
    pub fn shard_of(&self, slot: u16) -> usize {
        usize::from(self.owners[usize::from(slot % SLOTS)])
    }

    /// The primary that serves `slot`, which counts modulo [`SLOTS`].
    pub fn primary_of(&self, slot: u16) -> &Node {
        &self.shards[self.shard_of(slot)].primary
    }

    /// The node of that name, whether primary or replica.
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes().find(|node| node.id == *id)
    }

    /// All nodes: each primary, followed by its replicas.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.shards.iter().flat_map(|shard| std::iter::once(&shard.primary).chain(&shard.replicas))
    }

    /// Where to connect to for the `host:port` of a `MOVED` or `ASK` that came from the node at `from`; an empty host is that of
    /// `from`. `None` for what is no address.
    pub fn redirected(&self, place: &str, from: &NodeAddress) -> Option<NodeAddress> {
        let (host, port) = place.rsplit_once(':')?;
        // IPv6 addresses stand there without brackets.
        let host = if host.is_empty() { &from.host } else { host };
        Some(self.options.address(host, port.parse().ok().filter(|port| *port > 0)?, from, &self.seeds))
    }

    /// Who was asked at first, with the logins that were given.
    pub(crate) fn seeds(&self) -> &[NodeAddress] {
        &self.seeds
    }
}

impl TopologyOptions {
    /// Where to connect to for what is announced as `host` and `port`, as one does to `like`, a node of the same cluster. The login is that
    /// of the one of `logins` which is there, else of the first.
    pub(super) fn address(&self, host: &str, port: u16, like: &NodeAddress, logins: &[NodeAddress]) -> NodeAddress {
        let announced = like.neighbour(host, port);
        let address = match self.dial.get(&(host.to_owned(), port)) {
            Some((host, port)) => like.neighbour(host.clone(), *port),
            None => announced.clone(),
        };
        let own = logins.iter().find(|login| login.same_place(&address) || login.same_place(&announced));
        match own.or(logins.first()) {
            Some(login) => address.with_credentials(login.credentials.clone()),
            None => address,
        }
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topology").field("seeds", &self.seeds).field("shards", &self.shards).finish_non_exhaustive()
    }
}
