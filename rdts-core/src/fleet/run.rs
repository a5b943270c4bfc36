//! Running the pipelines of several shards.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::board::Board;
use super::source::ShardSource;
use crate::control::Control;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::ledger::Ledger;
use crate::pipeline::{self, Pipeline};
use crate::protection::Watch;
use crate::sink::{BoxSink, Sink};
use crate::source::{BoxSource, SourceNode};

/// A source shard and the sink that it is written to.
#[derive(Debug)]
pub struct Shard {
    source: ShardSource,
    sink: BoxSink,
}

impl Shard {
    /// Joins `source` to `sink`, which no other shard uses.
    pub fn new(source: ShardSource, sink: impl Sink) -> Self {
        Self { source, sink: BoxSink::new(sink) }
    }
}

/// Shards that run side by side.
///
/// ```no_run
/// use rdts_core::fleet::{self, Fleet, Shard};
/// use rdts_core::source::ReplicaOptions;
/// use rdts_core::{Endpoint, Result, Sink};
///
/// async fn copy<S: Sink>(from: &Endpoint, mut sink: impl AsyncFnMut() -> Result<S>) -> Result<()> {
///     let first = sink().await?;
///     let target = first.capabilities().target;
///     let mut first = Some(first);
///     let mut shards = Vec::new();
///     for source in fleet::open(from, target, ReplicaOptions::default()).await? {
///         let sink = match first.take() {
///             Some(sink) => sink,
///             None => sink().await?,
///         };
///         shards.push(Shard::new(source, sink));
///     }
///     let fleet = Fleet::new(shards);
///     let handle = fleet.handle();
///     let running = tokio::spawn(fleet.run());
///     handle.stop_when_caught_up().await?;
///     running.await.expect("a fleet does not panic").result
/// }
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Fleet {
    pipelines: Vec<Pipeline<BoxSource, BoxSink>>,
    boards: Vec<Option<Arc<Board>>>,
    goal: watch::Receiver<Option<Vec<u64>>>,
    handle: Handle,
}

/// What all shards have done so far.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What became of all that was read, of all shards.
    pub ledger: Ledger,
    /// Each shard's name and report, in the order in which the fleet was given them.
    pub shards: Vec<(String, pipeline::Report)>,
}

impl Report {
    /// Whether the snapshot of every shard is applied.
    pub fn is_stream(&self) -> bool {
        self.shards.iter().all(|(_, report)| report.applied.position.is_some_and(|position| position.is_stream()))
    }
}

/// How a run ended.
#[non_exhaustive]
#[derive(Debug)]
pub struct Finished {
    /// What was done, also after an error.
    pub report: Report,
    /// The first error of any shard, with the shard's name.
    pub result: Result<()>,
}

/// Watches and steers a fleet from elsewhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    shards: Arc<Vec<(String, pipeline::Handle, Option<SourceNode>)>>,
    goal: Arc<watch::Sender<Option<Vec<u64>>>>,
    control: Control,
}

impl Handle {
    /// Pauses all shards, lets them go on, limits the rate of all together.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What has been done so far.
    pub fn report(&self) -> Report {
        let mut sum = Report::default();
        for (name, handle, _) in self.shards.iter() {
            let report = handle.report();
            sum.ledger += report.ledger;
            sum.shards.push((name.clone(), report));
        }
        sum
    }

    /// Asks every shard to end at its next boundary of commands, as [`pipeline::Handle::stop`].
    pub fn stop(&self) {
        self.shards.iter().for_each(|(_, handle, _)| handle.stop());
    }

    /// Asks the fleet to end once every shard has applied everything up to its offset. They end together: until the last is there
    /// all go on.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) unless there is an offset for each shard.
    pub fn stop_at(&self, offsets: Vec<u64>) -> Result<()> {
        if offsets.len() != self.shards.len() {
            return Err(Error::config(format!("{} offsets for {} shards", offsets.len(), self.shards.len())));
        }
        self.goal.send_replace(Some(offsets));
        Ok(())
    }

    /// The node of each shard, in the order of the reports; `None` for a source that is no replica of one.
    pub fn source_nodes(&self) -> Vec<Option<SourceNode>> {
        self.shards.iter().map(|(_, _, node)| node.clone()).collect()
    }

    /// How far the stream of each shard's node is now. A node that cannot be reached is asked again for a minute, since a shard
    /// that failed over is somewhere else then.
    ///
    /// # Errors
    /// As [`SourceNode::offset`]; [`Unsupported`](ErrorKind::Unsupported) if a shard has no node that could be asked.
    pub async fn source_offsets(&self) -> Result<Vec<u64>> {
        let mut offsets = Vec::new();
        for (name, _, node) in self.shards.iter() {
            let Some(node) = node else {
                return Err(Error::new(ErrorKind::Unsupported, "this source counts no replication offsets").at(name));
            };
            offsets.push(offset(node).await?);
        }
        Ok(offsets)
    }

    /// Asks the fleet to end once everything is applied that the sources have at this moment.
    ///
    /// # Errors
    /// As [`source_offsets`](Self::source_offsets).
    pub async fn stop_when_caught_up(&self) -> Result<()> {
        let offsets = self.source_offsets().await?;
        self.stop_at(offsets)
    }
}

async fn offset(node: &SourceNode) -> Result<u64> {
    let started = tokio::time::Instant::now();
    loop {
        match node.offset().await {
            Err(error) if error.retry() == Retry::Resume && started.elapsed() < Duration::from_secs(60) => {
                tokio::time::sleep(LOOK).await;
            }
            offset => return offset,
        }
    }
}

/// How often it is looked whether all shards are where they are to end.
const LOOK: Duration = Duration::from_millis(20);

impl Fleet {
    /// The fleet of these shards.
    pub fn new(shards: Vec<Shard>) -> Self {
        let (sender, goal) = watch::channel(None);
        let (mut pipelines, mut handles, mut boards) = (Vec::new(), Vec::new(), Vec::new());
        let control = Control::default();
        for Shard { source, sink } in shards {
            let ShardSource { name, source, node, lane, .. } = source;
            let pipeline = Pipeline::new(source, sink).with_control(control.clone());
            if let Some((board, index)) = &lane {
                board.attach(*index, pipeline.handle());
            }
            boards.push(lane.map(|(board, _)| board));
            handles.push((name, pipeline.handle(), node));
            pipelines.push(pipeline);
        }
        let handle = Handle { shards: Arc::new(handles), goal: Arc::new(sender), control };
        Self { pipelines, boards, goal, handle }
    }

    /// A handle to watch and steer the run.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until every shard has ended: its source is over, the goal is reached, or one of them failed.
    pub async fn run(mut self) -> Finished {
        let mut running = JoinSet::new();
        for (index, pipeline) in self.pipelines.into_iter().enumerate() {
            running.spawn(async move { (index, pipeline.run().await) });
        }
        let mut result = Ok(());
        let _watch = Watch::start(self.handle.shards.iter().filter_map(|(_, _, node)| node.clone()));
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let goal = self.goal.borrow_and_update().clone();
            tokio::select! {
                ended = running.join_next() => match ended {
                    None => break,
                    Some(Ok((index, finished))) => {
                        if let Err(error) = finished.result && result.is_ok() {
                            let (name, ..) = &self.handle.shards[index];
                            // A single source is named by its errors already.
                            let alone = self.handle.shards.len() == 1;
                            result = Err(if alone { error } else { error.at(format_args!("shard {name}")) });
                            self.handle.stop();
                        }
                    }
                    Some(Err(panicked)) => {
                        let text = "a pipeline ended without a result";
                        result = result.and(Err(Error::new(ErrorKind::Interrupted, text).with_source(panicked)));
                        self.handle.stop();
                    }
                },
                Ok(()) = self.goal.changed() => {}
                _ = ticks.tick(), if goal.is_some() => {
                    let reached = |(index, offset): (usize, &u64)| {
                        let (_, handle, _) = &self.handle.shards[index];
                        handle.report().read.is_some_and(|at| at.is_stream() && at.offset() >= *offset)
                    };
                    if goal.iter().flatten().enumerate().all(reached) {
                        self.handle.stop();
                    }
                }
            }
        }
        drop(self.boards);
        Finished { report: self.handle.report(), result }
    }
}
