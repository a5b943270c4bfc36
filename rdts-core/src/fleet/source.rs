//! The source of a shard.

use std::fmt;
use std::sync::Arc;

use super::board::Board;
use super::replica::Replica;
use crate::source::{BoxSource, ReplicaSource, Source, SourceNode};

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
        Self::wrapped(name, source.into(), |source| source)
    }

    /// A replica of one node, with something around it.
    pub(crate) fn wrapped<S: Source>(
        name: impl Into<String>,
        source: Replica,
        wrap: impl FnOnce(Replica) -> S,
    ) -> Self {
        let (node, length, offsets) = (source.node(), source.snapshot_len(), source.has_offsets());
        Self { node: Some(node), snapshot_len: length, has_offsets: offsets, ..Self::new(name, wrap(source)) }
    }

    /// Its name: the address that it had at first, as a rule.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node that it reads from, if it is one.
    pub fn node(&self) -> Option<&SourceNode> {
        self.node.as_ref()
    }

    /// The length of its snapshot in bytes, if that is known. That of one that waits until others were copied is not.
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
