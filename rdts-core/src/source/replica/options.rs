//! How a replica source behaves, and where it goes on.

use std::path::{Path, PathBuf};

use crate::record::Position;
use crate::replica::LinkConfig;
use crate::source::Reconnect;
use crate::spool::SpoolOptions;
use crate::translate::TranslateOptions;

/// How a [`ReplicaSource`](super::ReplicaSource) behaves.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaOptions {
    /// The link.
    pub link: LinkConfig,
    /// The translation.
    pub translate: TranslateOptions,
    /// End with the snapshot. Default: go on with the stream.
    pub snapshot_only: bool,
    /// Walk through packed values before they are passed on. Default: no, since they come from a server that uses them.
    pub validate: bool,
    /// What happens when the connection breaks while the stream is followed.
    pub reconnect: Reconnect,
    /// Of the nodes of one host (as their addresses name it) in a [fleet](crate::fleet), so many are copied in full at once; 0: all. A full copy
    /// has a server fork, which takes memory, and read all its data: many at once on one machine slow down whoever uses it. Those that go on by
    /// a partial resync, or in a spool, do not count. A source that is opened by itself never waits. Default: 4.
    pub full_syncs_per_host: u32,
}

impl Default for ReplicaOptions {
    fn default() -> Self {
        Self {
            link: LinkConfig::default(),
            translate: TranslateOptions::default(),
            snapshot_only: false,
            validate: false,
            reconnect: Reconnect::default(),
            full_syncs_per_host: 4,
        }
    }
}

impl ReplicaOptions {
    /// Sets [`link`](Self::link).
    #[must_use]
    pub fn link(mut self, link: LinkConfig) -> Self {
        self.link = link;
        self
    }

    /// Sets [`translate`](Self::translate).
    #[must_use]
    pub fn translate(mut self, options: TranslateOptions) -> Self {
        self.translate = options;
        self
    }

    /// Sets [`snapshot_only`](Self::snapshot_only).
    #[must_use]
    pub fn snapshot_only(mut self, only: bool) -> Self {
        self.snapshot_only = only;
        self
    }

    /// Sets [`validate`](Self::validate).
    #[must_use]
    pub fn validate(mut self, validate: bool) -> Self {
        self.validate = validate;
        self
    }

    /// Sets [`reconnect`](Self::reconnect).
    #[must_use]
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Sets [`full_syncs_per_host`](Self::full_syncs_per_host).
    #[must_use]
    pub fn full_syncs_per_host(mut self, most: u32) -> Self {
        self.full_syncs_per_host = most;
        self
    }
}

/// What outlives a run: where it has come, and what it has read beyond that.
///
/// ```
/// use rdts_core::source::Durable;
/// use rdts_core::spool::SpoolOptions;
///
/// let durable = Durable::default().spool("state/shard-0", SpoolOptions::default());
/// assert!(durable.resumed.is_none());
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Durable {
    /// Where to keep what was read, for this source alone, and how. Default: nowhere.
    pub spool: Option<(PathBuf, SpoolOptions)>,
    /// Where a run before has brought the target, as [`Sink::resumed`](crate::sink::Sink::resumed) says. Default: the target holds nothing.
    pub resumed: Option<Position>,
}

impl Durable {
    /// Sets [`spool`](Self::spool).
    #[must_use]
    pub fn spool(mut self, directory: impl AsRef<Path>, options: SpoolOptions) -> Self {
        self.spool = Some((directory.as_ref().to_owned(), options));
        self
    }

    /// Sets [`resumed`](Self::resumed).
    #[must_use]
    pub fn resumed(mut self, position: Option<Position>) -> Self {
        self.resumed = position;
        self
    }
}
