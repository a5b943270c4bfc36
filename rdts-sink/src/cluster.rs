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
//! With [`ClusterOptions::checkpoint`] they are there for the next run, too: whatever happens to this process, one that connects with the same
//! name goes on. [`resumed`](rdts_core::Sink::resumed) says from where the source has to be read; of what comes then, each command, or its
//! part for one slot, is dropped that the target has already, and counted as applied. `close` leaves the checkpoints where they are;
//! [`remove_checkpoints`] removes them. The key of a lane is `rdts:checkpoint:{TAG}:TASK/SHARD` then, with the value
//!
//! ```text
//! RUN:COUNT PLACE POSITION                   this run's name, how many commands; all up to PLACE is applied
//! SLOTS                                      for these slots, as 0-5460,5500
//! >SLOTS PLACE POSITION                      of them, these have come as far as that
//! =SLOTS PLACE POSITION                      these have left the lane when they had come as far as that
//! ```
//!
//! `PLACE` is 24 hexadecimal digits: the offset of a command (with the highest bit set in the stream, not in the snapshot) and which of those
//! with this offset it is. `POSITION` is a [`Position`] from which all that follows can be read, or `-`. A slot
//! that moves while it is written to has a key of its own, `rdts:checkpoint:{TAG}:TASK/SHARD:moved` with `WORD PLACE POSITION`, that is
//! written in one step with each of its commands, and moves with it. Every such claim is written where the data is, and once true it stays
//! true; of several for a slot the one that says most counts. So it does not matter when slots move: before, during or after a crash. A
//! slot that nobody speaks for is an error ([`HistoryLost`](ErrorKind::HistoryLost)).
//!
//! To find all this a new run asks for two keys of each of the 16384 slots, in pipelines. It then puts its own name into every
//! value, so that whatever the run before has sent, and a server has not executed yet, refuses itself; a run that is still alive ends
//! with an error. Lanes without work have their checkpoints follow the others every second.
//!
//! # Limits
//!
//! - A command that is a script itself, has more than 7000 arguments or more than 16 MiB cannot be executed by a script: it
//!   goes alone, in a `MULTI` with a marker in its slot, and waits while its slot is being moved.
//! - Commands with several keys that cannot be split wait while their slot is being moved, as those of every client do.
//! - A command that goes through `crossing` takes several steps, in the order of `crossing`. Each is executed exactly once, and after a crash
//!   the next run does the rest. Where what is left cannot be told, because several keys were written from a copy of
//!   others (`LMOVEM`), that is an error which names the command.
//! - Where two lanes have come to be at one node, `FLUSHALL` removes the checkpoint of one of them, which is put back at once; a process that dies
//!   in between leaves slots that nobody speaks for.
//! - A replica that is promoted while no run sees it may lack acknowledged writes: what it lacks is sent again from the source, which
//!   has to reach back that far.
//! - A user with ACL needs `+eval +evalsha +script +get +set +del +exists +cluster +asking +multi +exec` and keys `rdts:*`, beside what it writes; with a
//!   lasting checkpoint `+watch +unwatch`, too.

mod calls;
mod claims;
mod lane;
mod link;
mod place;
mod progress;
mod routes;
mod script;
mod settle;
mod steps;
mod takeover;
mod unit;
mod write;

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use rdts_core::checkpoint::CheckpointName;
use rdts_core::cluster::{Topology, TopologyOptions};
use rdts_core::endpoint::NodeAddress;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::net::Connection;
use rdts_core::record::{Batch, Position};
use rdts_core::sink::{Capabilities, Sink, Watermark};
use rdts_core::translate::Target;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::claims::Filter;
use self::lane::Start;
use self::place::{Counter, Place, Reached, Slots};
use self::routes::{Keys, Shared};
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
    /// Under which name the target is to say how far it has come, so that a run after this one can go on: [Checkpoints](self#checkpoints).
    /// Default: none, and what tells it is removed at the end.
    pub checkpoint: Option<CheckpointName>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            topology: TopologyOptions::default(),
            window: 1 << 20,
            keep: 8 << 20,
            patience: Duration::from_secs(180),
            on_impossible: OnImpossible::default(),
            checkpoint: None,
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

    /// Sets [`checkpoint`](Self::checkpoint).
    #[must_use]
    pub fn checkpoint(mut self, name: impl Into<Option<CheckpointName>>) -> Self {
        self.checkpoint = name.into();
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
    resumed: Option<Position>,
    /// What the target has already of what is read again.
    filter: Option<Filter>,
    counter: Counter,
    /// Where the source can be read from: behind the batch before, unless commands with the same offset follow.
    boundary: Option<Position>,
    /// The position of the batch before.
    previous: Option<Position>,
    /// When all lanes were told what is applied, and what.
    forwarded: (Instant, Reached),
}

/// How often lanes that have nothing to do have their checkpoints follow, and moved slots are settled.
const FORWARD: Duration = Duration::from_secs(1);
/// Without any command, a position is written only after so many bytes. Where a primary that takes over does not know what the
/// old one has sent last, which is no data then, the source can still be read from what is written.
const QUIET_BYTES: u64 = 64 << 10;
/// After so many bytes they follow earlier: a source keeps what is behind the oldest checkpoint only so far.
const FAR_BYTES: u64 = 32 << 20;

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
        let keys = Keys::new(unique(), options.checkpoint.clone());
        let shared = Shared::new(options, target, script::text(target), keys, topology);
        let (mut resumed, mut filter) = (None, None);
        let lanes = if shared.keys.persistent() {
            let takeover = takeover::take_over(&shared).await?;
            resumed = takeover.claims.as_ref().and_then(claims::Claims::resumed);
            filter = takeover.claims.as_ref().map(claims::Claims::filter);
            takeover.lanes
        } else {
            anew(&shared)
        };
        shared.start(lanes);
        Ok(Self {
            shared,
            databases,
            window: Arc::new(Semaphore::new(window_size as usize)),
            window_size,
            resumed,
            filter,
            counter: Counter::default(),
            boundary: resumed,
            previous: None,
            forwarded: (Instant::now(), Reached::default()),
        })
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

/// Lanes that know nothing of a run before.
fn anew(shared: &Shared) -> Vec<(Slots, u16, Start)> {
    let routes = shared.routes();
    let shards = routes.topology.shards().iter();
    shards
        .map(|shard| (shard.slots.iter().cloned().flatten().collect(), *shard.slots[0].start(), Start::default()))
        .collect()
}

/// Removes the checkpoints of a task, also those of a run that failed: for a target that is emptied to begin anew, or when a task is over for
/// good. No run of it may be under way. Returns how many keys there were.
///
/// # Errors
/// As [`ClusterSink::connect`].
pub async fn remove_checkpoints(seeds: &[NodeAddress], options: ClusterOptions, name: &CheckpointName) -> Result<u64> {
    let topology = Topology::discover(seeds, options.topology.clone()).await?;
    let keys = Keys::new(unique(), Some(name.clone()));
    let target = Target::redis(3, 0, 0);
    takeover::remove(&Shared::new(options, target, String::new(), keys, topology)).await
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

impl ClusterSink {
    /// Before the first batch of a target that nothing of this task is in: from where all of it can be read. Nothing is
    /// written before all lanes say so.
    async fn begin(&mut self, batch: &Batch) -> Result<()> {
        let begin = match *batch.position() {
            Position::Snapshot { replid, offset, .. } => Position::snapshot(replid, offset, 0),
            position => Position::stream(position.replid(), 0, 0),
        };
        let reached = Reached { place: Place::START, position: Some(begin) };
        settle::forward_all(&self.shared, reached, false).await?;
        self.boundary = Some(begin);
        Ok(())
    }

    /// What the batch that comes now means for where the source can be read from.
    fn follow(&mut self, batch: &Batch) {
        let first = batch.commands().next().map(|command| Place::offset(command.kind(), command.offset()));
        // A value that was cut may go on with the same offset; in the stream nothing is cut.
        let clean = self.previous.is_some_and(|position| position.is_stream())
            || first.is_some_and(|first| first > self.counter.0.at);
        if let Some(previous) = self.previous.filter(|_| clean) {
            self.boundary = Some(previous);
        }
        self.previous = Some(*batch.position());
    }

    /// From time to time: lanes that have nothing to do follow the others, and slots that have moved are settled.
    async fn keep_up(&mut self) -> Result<()> {
        if !self.shared.keys.persistent() {
            return Ok(());
        }
        let (since, told) = self.forwarded;
        let reached = self.shared.progress.reached();
        let offset = |reached: Reached| reached.position.map_or(0, |position| place::order(Some(position)).1);
        let far = offset(reached).saturating_sub(offset(told)) > FAR_BYTES;
        if since.elapsed() < FORWARD && !far {
            return Ok(());
        }
        if self.filter.is_none() && self.shared.routes().any_marked() {
            self.shared.progress.flushed().await?;
            let reached = self.shared.progress.reached();
            self.forwarded = (Instant::now(), reached);
            return settle::forward_all(&self.shared, reached, true).await;
        }
        if reached.place > told.place || offset(reached).saturating_sub(offset(told)) > QUIET_BYTES {
            settle::forward(&self.shared, reached);
            self.forwarded.1 = reached;
        }
        self.forwarded.0 = Instant::now();
        Ok(())
    }
}

impl Sink for ClusterSink {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.shared.target)
    }

    fn resumed(&self) -> Option<Position> {
        self.resumed
    }

    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.shared.progress.check()?;
        if self.shared.keys.persistent() {
            if let Some(filter) = &self.filter {
                filter.check(&batch)?;
            } else if self.boundary.is_none() {
                self.begin(&batch).await?;
            }
            self.keep_up().await?;
            self.follow(&batch);
        }
        let progress = &self.shared.progress;
        let size = u32::try_from(batch.bytes().len()).unwrap_or(u32::MAX).min(self.window_size);
        // A lane that fails gives the room of everything back.
        let room = self.window.clone().acquire_many_owned(size).await.map_err(|_| gone())?;
        progress.check()?;
        // In the stream the source can be read from behind every batch.
        let resume = Some(*batch.position()).filter(Position::is_stream).or(self.boundary);
        let number = progress.begin(*batch.position(), resume, room);
        let router = Router {
            shared: &self.shared,
            databases: self.databases,
            batch: number,
            counter: &mut self.counter,
            position: self.boundary,
            filter: self.filter.as_ref(),
            collectors: Vec::new(),
            transaction: false,
        };
        let routed = router.route(&batch).await;
        if let Err(error) = &routed {
            progress.fail(error, Some(number));
        }
        progress.routed(number, self.counter.0);
        if self.filter.as_ref().is_some_and(|filter| filter.is_over(self.counter.0)) {
            self.filter = None;
        }
        routed
    }

    fn acked(&self) -> Watermark {
        self.shared.progress.watermark()
    }

    async fn flush(&mut self) -> Result<()> {
        self.shared.progress.flushed().await?;
        self.keep_up().await
    }

    async fn close(self) -> Result<()> {
        self.shared.progress.flushed().await?;
        if self.shared.keys.persistent() {
            let settle = self.filter.is_none();
            settle::forward_all(&self.shared, self.shared.progress.reached(), settle).await?;
        }
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
