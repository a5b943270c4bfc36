//! A Redis or Valkey Cluster as a target.
//!
//! ```text
//!                          ┌─► lane ─► primary A      one connection each, many units under way
//!  Batch ─► slot of each ──┼─► lane ─► primary B
//!            command       └─► lane ─► primary C ──► replies ─► Watermark
//! ```
//!
//! Commands go to the lane of their slot, in units of up to 64 commands or 32 KiB. A unit is one call of a script that executes the
//! commands in order, stops at the first that fails, and writes how far it has come into the lane's *checkpoint*, all in one
//! atomic step; and it executes nothing unless the checkpoint says that all units before it are. That makes everything exact:
//!
//! - When a connection breaks, or a primary dies and a replica is promoted, the checkpoint at the new primary tells what is
//!   applied, and the rest is sent; acknowledged writes that the replica never got are sent again from what is
//!   [kept](ClusterOptions::keep), and if that does not reach back far enough it is an error, never silence.
//! - When a slot moves, the unit that meets it stops there, those behind it refuse themselves, and the slot's commands go in
//!   order to the lane of the new owner. As long as its keys are on their way (`ASK`), commands go one by one to where the key is.
//! - What is down, loading or busy is waited for, up to [`ClusterOptions::patience`].
//!
//! # Commands with several keys
//!
//! In one slot they go as they are. `DEL`, `UNLINK`, `TOUCH`, `MSET` are split. What has no key and concerns all (`FLUSHALL`, `SCRIPT`, `FUNCTION`)
//! goes to every primary, with everything before applied first. Others go through [`crossing`](crate::crossing), with everything
//! before applied first. What cannot be executed on a cluster stops the sink, or is left out and counted:
//! [`ClusterOptions::on_impossible`]. The commands of a source's `MULTI` … `EXEC` that go to one node are executed in one atomic step (also
//! if they are in different slots), unless a slot moves at that moment or they are more than 16 MiB; those for different nodes are not atomic together.
//!
//! # Checkpoints
//!
//! A lane's checkpoint is the string `rdts:checkpoint:{TAG}:ID:LANE`, where the tag is in a slot of the node; `…:kept` beside it counts
//! keys that were left alone. [`close`](rdts_core::Sink::close) removes them; after an error they stay.
//!
//! # Limits
//!
//! - A command that is a script itself, has more than 7000 arguments or more than 16 MiB cannot be executed by a script: it
//!   goes alone, in a `MULTI` with a marker in its slot, and waits while its slot is being moved.
//! - Commands with several keys that cannot be split wait while their slot is being moved, as those of every client do.
//! - A command that goes through `crossing` takes several steps: when the connection breaks between them and doing the step again would not
//!   be the same, that is an error. A promoted replica that lacks such steps is not noticed.
//! - A user with ACL needs `+eval +evalsha +script +get +set +del +exists +cluster +asking +multi +exec` and keys `rdts:*`, beside what it writes.

mod calls;
mod lane;
mod link;
mod progress;
mod routes;
mod script;
mod unit;
mod write;

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use rdts_core::cluster::{Topology, TopologyOptions};
use rdts_core::endpoint::NodeAddress;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::net::Connection;
use rdts_core::record::Batch;
use rdts_core::sink::{Capabilities, Sink, Watermark};
use rdts_core::translate::Target;
use tokio::sync::Semaphore;

use self::routes::Shared;
use self::write::Router;
use crate::failure::gone;

pub use crate::impossible::OnImpossible;

/// How a [`ClusterSink`] behaves.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterOptions {
    /// How nodes are found and how long to wait for them; `deadlines.reply` is how long a node may be silent while it owes replies,
    /// before the connection is given up and another one is tried.
    pub topology: TopologyOptions,
    /// How many bytes may be under way to one node without a reply; to all of them, as much for each. Default: 1 MiB.
    pub window: u32,
    /// How many bytes are kept for each node after they were applied, to be sent again if a promoted replica lacks them. They are held
    /// in memory. Default: 8 MiB.
    pub keep: usize,
    /// How long a part of the cluster may be unable to take writes before that is an error: while a replica is promoted, a node is
    /// loading, a slot is on its way. Default: 3 minutes.
    pub patience: Duration,
    /// What to do with a command that cannot be executed on a cluster. Default: stop.
    pub on_impossible: OnImpossible,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            topology: TopologyOptions::default(),
            window: 1 << 20,
            keep: 8 << 20,
            patience: Duration::from_secs(180),
            on_impossible: OnImpossible::default(),
        }
    }
}

impl ClusterOptions {
    /// Sets [`topology`](Self::topology).
    #[must_use]
    pub fn topology(mut self, topology: TopologyOptions) -> Self {
        self.topology = topology;
        self
    }

    /// Sets [`window`](Self::window), in bytes.
    #[must_use]
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = bytes.max(1);
        self
    }

    /// Sets [`keep`](Self::keep), in bytes.
    #[must_use]
    pub fn keep(mut self, bytes: usize) -> Self {
        self.keep = bytes;
        self
    }

    /// Sets [`patience`](Self::patience).
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Sets [`on_impossible`](Self::on_impossible).
    #[must_use]
    pub fn on_impossible(mut self, policy: OnImpossible) -> Self {
        self.on_impossible = policy;
        self
    }
}

/// Writes to a cluster, over one connection to each primary. See the [module](self) for how.
///
/// The first reply that says that a command did not do what was meant stops the sink; the watermark stays in front of the batch
/// with that command. Other lanes may have applied what is behind it by then (up to [`ClusterOptions::window`] each).
pub struct ClusterSink {
    shared: Arc<Shared>,
    databases: u32,
    window: Arc<Semaphore>,
    window_size: u32,
}

impl ClusterSink {
    /// Finds the cluster through any of `seeds`, and checks that every primary lets itself be written to in the way that is needed.
    ///
    /// # Errors
    /// As [`Topology::discover`] and [`Connection::open`]; [`Auth`](ErrorKind::Auth) if the user may not run scripts;
    /// [`Unsupported`](ErrorKind::Unsupported) for a server before Redis 3.0. All name the node.
    pub async fn connect(seeds: &[NodeAddress], options: ClusterOptions) -> Result<Self> {
        let topology = Topology::discover(seeds, options.topology.clone()).await?;
        let mut oldest: Option<Target> = None;
        let mut databases = u32::MAX;
        for primary in topology.primaries() {
            let mut connection = Connection::open(&primary.address, options.topology.deadlines).await?;
            let info = connection.info("server").await?;
            let target = Target::from_info(&info).map_err(|error| error.at(&primary.address))?;
            databases = databases.min(cluster_databases(&mut connection).await?);
            check_scripts(&mut connection, target).await?;
            // In the middle of an upgrade the commands have to suit all.
            if oldest.is_none_or(|oldest| target.version() < oldest.version()) {
                oldest = Some(target);
            }
        }
        let Some(target) = oldest else {
            return Err(Error::new(ErrorKind::Topology, "the cluster has no primary"));
        };
        let lanes = u32::try_from(topology.shards().len()).unwrap_or(u32::MAX);
        let window_size = options.window.saturating_mul(lanes).min(1 << 29);
        let shared = Shared::start(options, target, script::text(target), unique(), topology);
        let window = Arc::new(Semaphore::new(window_size as usize));
        Ok(Self { shared, databases, window, window_size })
    }

    /// What the nodes are: the oldest version among the primaries.
    pub fn target(&self) -> Target {
        self.shared.target
    }

    /// The cluster as it is known now.
    pub fn topology(&self) -> Topology {
        self.shared.routes().topology.clone()
    }
}

/// How many databases a node of a cluster has: one, but for Valkey from 9.0 on.
async fn cluster_databases(connection: &mut Connection) -> Result<u32> {
    let reply = connection.call(["CONFIG", "GET", "cluster-databases"]).await?;
    // Where CONFIG is forbidden, more than one cannot be relied on.
    Ok(reply.get("cluster-databases").and_then(|value| value.as_str()?.parse().ok()).unwrap_or(1))
}

/// Whether this user may run scripts, and write checkpoints.
async fn check_scripts(connection: &mut Connection, target: Target) -> Result<()> {
    let reply = connection.call(["SCRIPT", "LOAD", &script::text(target)]).await?;
    if reply.is_error() {
        return Err(connection.refusal("SCRIPT LOAD", &reply));
    }
    let reply = connection.call(["EVAL", "return 1", "0"]).await?;
    if reply.is_error() && reply.error_code() != Some("BUSY") {
        return Err(connection.refusal("EVAL", &reply));
    }
    Ok(())
}

/// A name that no other sink has.
fn unique() -> String {
    let random = RandomState::new().build_hasher().finish();
    format!("{random:016x}")
}

impl Sink for ClusterSink {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.shared.target)
    }

    async fn write(&mut self, batch: Batch) -> Result<()> {
        let progress = &self.shared.progress;
        progress.check()?;
        let size = u32::try_from(batch.bytes().len()).unwrap_or(u32::MAX).min(self.window_size);
        // A lane that fails gives the room of everything back.
        let room = self.window.clone().acquire_many_owned(size).await.map_err(|_| gone())?;
        progress.check()?;
        let number = progress.begin(*batch.position(), room);
        let routed = Router::new(&self.shared, self.databases, number).route(&batch).await;
        if let Err(error) = &routed {
            progress.fail(error, Some(number));
        }
        progress.routed(number);
        routed
    }

    fn acked(&self) -> Watermark {
        self.shared.progress.watermark()
    }

    async fn flush(&mut self) -> Result<()> {
        self.shared.progress.flushed().await
    }

    async fn close(mut self) -> Result<()> {
        self.flush().await?;
        let tasks = self.shared.routes().close();
        for task in tasks {
            // A lane that panicked is as good as one that is gone.
            task.await.map_err(|_| gone())?;
        }
        self.shared.progress.check()
    }
}

impl Drop for ClusterSink {
    fn drop(&mut self) {
        self.shared.routes().abort();
    }
}

impl fmt::Debug for ClusterSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterSink")
            .field("target", &self.shared.target)
            .field("acked", &self.acked())
            .finish_non_exhaustive()
    }
}
