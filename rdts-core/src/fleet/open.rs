//! From an endpoint to the sources of its shards.

use tokio::task::JoinSet;

use super::cluster::ClusterShards;
use super::lane::OneOfMany;
use super::layout;
use super::replica::Replica;
use super::source::ShardSource;
use crate::cluster::TopologyOptions;
use crate::endpoint::{Endpoint, NodeAddress};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Connection, Deadlines};
use crate::protection::SourceFacts;
use crate::sentinel::Service;
use crate::source::{Durable, Locator, Opening, ReplicaOptions, Turn, Turns};
use crate::translate::Target;

/// Finds and opens the shards of a live source: [`Shards::find`], [`Shards::open`].
///
/// # Errors
/// As those.
pub async fn open(endpoint: &Endpoint, target: Target, options: ReplicaOptions) -> Result<Vec<ShardSource>> {
    Shards::find(endpoint, options.link.deadlines).await?.open(target, options).await
}

/// The shards of a live source, found and in order, and not opened yet: one for a node or a Sentinel's primary, one for each address of
/// a list, one for each primary of a cluster.
#[derive(Debug)]
pub struct Shards(Found);

#[derive(Debug)]
enum Found {
    Nodes(Vec<Locator>),
    Cluster(Box<ClusterShards>),
}

impl Shards {
    /// Finds the shards of `endpoint`. The order is that of the list, or of the first slots.
    ///
    /// # Errors
    /// - what [`Topology::discover`](crate::cluster::Topology::discover) says;
    /// - [`Topology`](ErrorKind::Topology): slots of the cluster are being moved; wait until that is over;
    /// - [`Unsupported`](ErrorKind::Unsupported) for an endpoint that is no live source, and for one database of several shards.
    pub async fn find(endpoint: &Endpoint, deadlines: Deadlines) -> Result<Self> {
        Ok(Self(match endpoint {
            Endpoint::Node { address, .. } => Found::Nodes(vec![Locator::from(address)]),
            Endpoint::Shards(addresses) => Found::Nodes(addresses.iter().map(Locator::from).collect()),
            Endpoint::Sentinel { sentinels, service, credentials, .. } => {
                let service = Service::new(sentinels.clone(), service.clone());
                let service = service.credentials(credentials.clone()).deadlines(deadlines);
                Found::Nodes(vec![Locator::sentinel(service)])
            }
            Endpoint::Cluster { seeds } => Found::Cluster(Box::new(
                ClusterShards::find(seeds, TopologyOptions::default().deadlines(deadlines)).await?,
            )),
            other => return Err(Error::new(ErrorKind::Unsupported, format!("{other} has no replication stream"))),
        }))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        match &self.0 {
            Found::Nodes(locators) => locators.len(),
            Found::Cluster(cluster) => cluster.count(),
        }
    }

    /// Where they are at present.
    ///
    /// # Errors
    /// As [`Locator::locate`].
    pub async fn addresses(&self) -> Result<Vec<NodeAddress>> {
        match &self.0 {
            Found::Nodes(locators) => {
                let mut addresses = Vec::new();
                for locator in locators {
                    addresses.push(locator.locate().await?);
                }
                Ok(addresses)
            }
            Found::Cluster(cluster) => Ok(cluster.addresses()),
        }
    }

    /// Which node of a cluster has which slots, and since when, in a text to be kept with the state of a copy; `None` where there are no
    /// slots. Offsets in the streams of several nodes mean something together only as long as this stays the same:
    /// [`check_layout`](Self::check_layout).
    pub fn layout(&self) -> Option<String> {
        match &self.0 {
            Found::Nodes(_) => None,
            Found::Cluster(cluster) => Some(cluster.layout()),
        }
    }

    /// Whether the slots are still, or again, where `layout` says, so that a copy that began then can be gone on with. That a replica was
    /// promoted does not matter.
    ///
    /// # Errors
    /// [`HistoryLost`](ErrorKind::HistoryLost) if slots have moved: which writes came before which cannot be told any more.
    pub fn check_layout(&self, layout: &str) -> Result<()> {
        match self.layout() {
            Some(now) => layout::check(layout, &now),
            None => Ok(()),
        }
    }

    /// Becomes a replica of each, translating for `target`. Waits until all have agreed, or wait for their turn
    /// ([`full_syncs_per_host`](ReplicaOptions::full_syncs_per_host)): these begin while the others are read.
    ///
    /// In a cluster the snapshots are of one and the same layout: when a slot is on its way while they are made, that is an error. What
    /// endangers a full copy of a source is logged as a warning ([`SourceFacts::before_copy`]).
    ///
    /// # Errors
    /// As [`ReplicaSource::open`](crate::source::ReplicaSource::open); [`Topology`](ErrorKind::Topology) when slots were moved meanwhile.
    pub async fn open(self, target: Target, options: ReplicaOptions) -> Result<Vec<ShardSource>> {
        let durables = vec![Durable::default(); self.count()];
        self.resume(target, options, durables).await
    }

    /// As [`open`](Self::open), with a spool for each shard, and from where the sink of each says that a run before ended. The caller
    /// has seen to it that the [layout](Self::check_layout) is the same.
    ///
    /// # Errors
    /// As [`ReplicaSource::resume`](crate::source::ReplicaSource::resume); [`Topology`](ErrorKind::Topology) when slots were moved meanwhile; [`Config`](ErrorKind::Config)
    /// unless there is one of `durables` for each shard.
    pub async fn resume(
        self,
        target: Target,
        options: ReplicaOptions,
        durables: Vec<Durable>,
    ) -> Result<Vec<ShardSource>> {
        if durables.len() != self.count() {
            return Err(Error::config(format!("{} places to resume {} shards", durables.len(), self.count())));
        }
        let locators = match self.0 {
            Found::Nodes(locators) => locators,
            Found::Cluster(cluster) => return cluster.open(target, options, durables).await,
        };
        let several = locators.len() > 1;
        let mut shards = Vec::new();
        for source in replicas(locators, target, options, durables, async || Ok(())).await? {
            let (name, first) = (source.node().address().to_string(), shards.is_empty());
            shards.push(match several {
                true => ShardSource::wrapped(name, source, |source| OneOfMany::new(source, first)),
                false => ShardSource::wrapped(name, source, |source| source),
            });
        }
        Ok(shards)
    }
}

/// Opens all at once, but for those that have to wait until others were copied, and gives them in the order of the locators. `check` is
/// asked again after each of those has been opened.
pub(crate) async fn replicas<F>(
    locators: Vec<Locator>,
    target: Target,
    options: ReplicaOptions,
    durables: Vec<Durable>,
    check: impl FnOnce() -> F + Clone + Send + 'static,
) -> Result<Vec<Replica>>
where
    F: Future<Output = Result<()>> + Send,
{
    let turns = Turns::new(options.full_syncs_per_host);
    let mut opening = JoinSet::new();
    let count = locators.len();
    for (index, (locator, durable)) in locators.into_iter().zip(durables).enumerate() {
        let (options, check, turn) = (options.clone(), check.clone(), Turn::new(turns.clone()));
        opening.spawn(async move {
            if durable.resumed.is_none() {
                warn(&locator, options.link.deadlines).await;
            }
            let open = async {
                let opening = Opening::new(locator, target, options).await?;
                Replica::open(opening, durable, turn, check).await
            };
            (index, open.await)
        });
    }
    let mut opened: Vec<Option<Replica>> = (0..count).map(|_| None).collect();
    while let Some(done) = opening.join_next().await {
        let (index, source) = done.map_err(|error| {
            Error::new(ErrorKind::Interrupted, "opening a source ended without a result").with_source(error)
        })?;
        opened[index] = Some(source?);
    }
    Ok(opened.into_iter().flatten().collect())
}

/// Says what endangers a full copy. A source that cannot be asked is none that can be copied, and whoever opens it says why.
async fn warn(locator: &Locator, deadlines: Deadlines) {
    let ask = async {
        let mut connection = Connection::open(&locator.locate().await?, deadlines).await?;
        SourceFacts::ask(&mut connection).await
    };
    for concern in ask.await.map(|facts| facts.before_copy()).unwrap_or_default() {
        tracing::warn!(source = locator.name(), "{concern}");
    }
}
