//! From an endpoint to the sources of its shards.

use std::fmt;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::board::Board;
use super::cluster;
use crate::cluster::TopologyOptions;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::sentinel::Service;
use crate::source::{BoxSource, Locator, ReplicaOptions, ReplicaSource, Source, SourceNode};
use crate::translate::Target;

/// The source of one shard, ready to be read.
pub struct ShardSource {
    pub(super) name: String,
    pub(super) source: BoxSource,
    pub(super) node: Option<SourceNode>,
    pub(super) snapshot_len: Option<u64>,
    pub(super) has_offsets: bool,
    pub(super) lane: Option<(Arc<Board>, usize)>,
}

impl ShardSource {
    /// Any source, under the name that errors and reports give it.
    pub fn new(name: impl Into<String>, source: impl Source) -> Self {
        let source = BoxSource::new(source);
        Self { name: name.into(), source, node: None, snapshot_len: None, has_offsets: false, lane: None }
    }

    /// A replica of one node.
    pub fn replica(name: impl Into<String>, source: ReplicaSource) -> Self {
        let (node, length, offsets) = (source.node(), source.snapshot_len(), source.has_offsets());
        Self { node: Some(node), snapshot_len: length, has_offsets: offsets, ..Self::new(name, source) }
    }

    /// Its name: the address that it had at first, as a rule.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node that it reads from, if it is one.
    pub fn node(&self) -> Option<&SourceNode> {
        self.node.as_ref()
    }

    /// The length of its snapshot in bytes, if that is known.
    pub fn snapshot_len(&self) -> Option<u64> {
        self.snapshot_len
    }

    /// Whether its stream has offsets, so that one can say where to end.
    pub fn has_offsets(&self) -> bool {
        self.has_offsets
    }

    /// Sets [`snapshot_len`](Self::snapshot_len).
    #[must_use]
    pub fn with_snapshot_len(mut self, bytes: Option<u64>) -> Self {
        self.snapshot_len = bytes;
        self
    }

    /// The same with something between the source and whoever reads it, such as a [`Filtered`](crate::filter::Filtered).
    #[must_use]
    pub fn map(self, wrap: impl FnOnce(BoxSource) -> BoxSource) -> Self {
        Self { source: wrap(self.source), ..self }
    }
}

impl fmt::Debug for ShardSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardSource").field("name", &self.name).field("node", &self.node).finish_non_exhaustive()
    }
}

/// Opens the shards of a live source: one for a node or a Sentinel's primary, one for each address of a list, one for each primary of
/// a cluster. Waits until the snapshots of all of them start. Nothing is written before.
///
/// In a cluster they are snapshots of one and the same layout: when a slot is on its way while they are made, that is an error.
///
/// # Errors
/// - what [`ReplicaSource::open`] and [`Topology::discover`](crate::cluster::Topology::discover) say;
/// - [`Topology`](ErrorKind::Topology): slots of the cluster are being moved; wait until that is over;
/// - [`Unsupported`](ErrorKind::Unsupported) for an endpoint that is no live source, and for one database of several shards.
pub async fn open(endpoint: &Endpoint, target: Target, options: ReplicaOptions) -> Result<Vec<ShardSource>> {
    let deadlines = options.link.deadlines;
    let locators = match endpoint {
        Endpoint::Node { address, .. } => vec![Locator::from(address)],
        Endpoint::Shards(addresses) => addresses.iter().map(Locator::from).collect(),
        Endpoint::Sentinel { sentinels, service, credentials, .. } => {
            let service = Service::new(sentinels.clone(), service.clone());
            vec![Locator::sentinel(service.credentials(credentials.clone()).deadlines(deadlines))]
        }
        Endpoint::Cluster { seeds } => {
            return cluster::open(seeds, TopologyOptions::default().deadlines(deadlines), target, options).await;
        }
        other => return Err(Error::new(ErrorKind::Unsupported, format!("{other} has no replication stream"))),
    };
    let several = locators.len() > 1;
    let mut shards = Vec::new();
    for source in replicas(locators, target, options).await? {
        let name = source.address().to_string();
        shards.push(if several {
            let node = source.node();
            let (length, offsets) = (source.snapshot_len(), source.has_offsets());
            let source = super::lane::OneOfMany::new(source, shards.is_empty());
            ShardSource {
                node: Some(node),
                snapshot_len: length,
                has_offsets: offsets,
                ..ShardSource::new(name, source)
            }
        } else {
            ShardSource::replica(name, source)
        });
    }
    Ok(shards)
}

/// Opens all at once, and gives them in the order of the locators.
pub(super) async fn replicas(
    locators: Vec<Locator>,
    target: Target,
    options: ReplicaOptions,
) -> Result<Vec<ReplicaSource>> {
    let mut opening = JoinSet::new();
    let count = locators.len();
    for (index, locator) in locators.into_iter().enumerate() {
        opening.spawn(async move { (index, ReplicaSource::open(locator, target, options).await) });
    }
    let mut opened: Vec<Option<ReplicaSource>> = (0..count).map(|_| None).collect();
    while let Some(done) = opening.join_next().await {
        let (index, source) = done.map_err(|error| {
            Error::new(ErrorKind::Interrupted, "opening a source ended without a result").with_source(error)
        })?;
        opened[index] = Some(source?);
    }
    Ok(opened.into_iter().flatten().collect())
}
