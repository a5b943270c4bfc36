//! Where the node is that a source reads from, asked anew whenever the connection to it is lost.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::cluster::{NodeId, Shard, Topology, TopologyOptions};
use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Connection, Deadlines};
use crate::sentinel::Service;

/// Knows where a node is at present.
pub trait Locate: Send + Sync + 'static {
    /// The address to connect to now.
    ///
    /// # Errors
    /// Why it cannot be told. Kinds that [may pass](crate::error::Retry::Resume) are asked again, others end the run.
    fn locate(&self) -> impl Future<Output = Result<NodeAddress>> + Send;
}

trait DynLocate: Send + Sync {
    fn locate(&self) -> Pin<Box<dyn Future<Output = Result<NodeAddress>> + Send + '_>>;
}

impl<L: Locate> DynLocate for L {
    fn locate(&self) -> Pin<Box<dyn Future<Output = Result<NodeAddress>> + Send + '_>> {
        Box::pin(Locate::locate(self))
    }
}

/// The object-safe twin of [`Locate`]. Cheap to clone.
#[derive(Clone)]
pub struct Locator {
    name: Arc<str>,
    locate: Arc<dyn DynLocate>,
    /// How often it is to be asked although the connection to the node is well.
    watch: Option<Duration>,
}

/// For up to ten seconds after a promotion by Sentinels the former primary does not know of it, and serves its replicas as if nothing
/// had happened.
const WATCH_SENTINELS: Duration = Duration::from_secs(1);

impl Locator {
    /// Whatever `locate` says; `name` is what messages call it.
    pub fn new(name: impl Into<String>, locate: impl Locate) -> Self {
        Self { name: name.into().into(), locate: Arc::new(locate), watch: None }
    }

    /// Always the same address, whether there is a primary or a replica.
    pub fn fixed(address: NodeAddress) -> Self {
        Self::new(address.to_string(), Fixed(address))
    }

    /// The primary that Sentinels name.
    pub fn sentinel(service: Service) -> Self {
        let name = format!("service {}", service.name().escape_debug());
        Self { watch: Some(WATCH_SENTINELS), ..Self::new(name, service) }
    }

    /// The primary of `shard` of the cluster `topology`, also after one of its replicas has been promoted.
    pub fn cluster_shard(topology: &Topology, shard: &Shard, options: TopologyOptions) -> Self {
        Self::new(shard.primary.address.to_string(), ClusterShard::new(topology, shard, options))
    }

    /// The address to connect to now.
    ///
    /// # Errors
    /// As [`Locate::locate`].
    pub async fn locate(&self) -> Result<NodeAddress> {
        self.locate.locate().await
    }

    /// How often it is to be asked although the connection to the node is well; `None` where a node that is primary no more
    /// breaks its connections itself.
    pub(super) fn watch(&self) -> Option<Duration> {
        self.watch
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Locator").field(&self.name).finish()
    }
}

impl From<NodeAddress> for Locator {
    fn from(address: NodeAddress) -> Self {
        Self::fixed(address)
    }
}

impl From<&NodeAddress> for Locator {
    fn from(address: &NodeAddress) -> Self {
        Self::fixed(address.clone())
    }
}

struct Fixed(NodeAddress);

impl Locate for Fixed {
    async fn locate(&self) -> Result<NodeAddress> {
        Ok(self.0.clone())
    }
}

impl Locate for Service {
    async fn locate(&self) -> Result<NodeAddress> {
        self.primary().await
    }
}

/// A shard is known by its nodes: slots may move to others, but whoever is promoted was a replica of the shard before.
struct ClusterShard {
    options: TopologyOptions,
    known: Mutex<Known>,
}

struct Known {
    /// Who can be asked about the cluster: every node that was seen.
    nearby: Vec<NodeAddress>,
    /// Who was asked at first, with the logins that were given.
    seeds: Vec<NodeAddress>,
    nodes: BTreeSet<NodeId>,
    primary: NodeAddress,
}

impl ClusterShard {
    fn new(topology: &Topology, shard: &Shard, options: TopologyOptions) -> Self {
        let mut known = Known {
            nearby: Vec::new(),
            seeds: topology.seeds().to_vec(),
            nodes: BTreeSet::new(),
            primary: shard.primary.address.clone(),
        };
        known.learn(topology, shard);
        Self { options, known: Mutex::new(known) }
    }
}

impl Known {
    fn learn(&mut self, topology: &Topology, shard: &Shard) {
        self.nearby = topology.nodes().map(|node| node.address.clone()).collect();
        self.nodes.insert(shard.primary.id.clone());
        self.nodes.extend(shard.replicas.iter().map(|node| node.id.clone()));
        self.primary.clone_from(&shard.primary.address);
    }
}

impl Locate for ClusterShard {
    async fn locate(&self) -> Result<NodeAddress> {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (nearby, seeds, last) = {
            let known = lock();
            (known.nearby.clone(), known.seeds.clone(), known.primary.clone())
        };
        // In the middle of a fail-over a cluster may look as if it were in disorder: that passes.
        let found = Topology::discover_by(&nearby, &seeds, self.options.clone()).await;
        let topology = found.map_err(|error| match error.kind() {
            ErrorKind::Topology => {
                Error::new(ErrorKind::NotReady, "the cluster is not in order at present").with_source(error)
            }
            _ => error,
        })?;
        let primary = {
            let mut known = lock();
            let of_known = topology.shards().iter().find(|shard| known.nodes.contains(&shard.primary.id));
            // From 7.0 on CLUSTER SLOTS lists no replica that has just come: if such a one is promoted, the former primary, which
            // follows it now, tells who it is.
            let followed = |shard: &&Shard| shard.replicas.iter().any(|replica| replica.address == last);
            let shard = of_known.or_else(|| topology.shards().iter().find(followed));
            match shard {
                Some(shard) => {
                    known.learn(&topology, shard);
                    known.primary.clone()
                }
                // A node that has given all its slots away is in no list of slots, but its stream goes on.
                None => last,
            }
        };
        let deadlines: Deadlines = self.options.deadlines;
        Connection::open(&primary, deadlines).await?.expect_primary().await?;
        Ok(primary)
    }
}
