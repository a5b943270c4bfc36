//! Joins a source and a sink, and runs them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;

use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::ledger::Ledger;
use crate::record::{Batch, Position};
use crate::sink::{Sink, Watermark};
use crate::source::Source;

/// A source and a sink, joined: reads batches, writes them, tells the source what is applied.
///
/// Back-pressure is the sink's: as long as [`Sink::write`] waits, the source is not asked for more. After an error nothing
/// more is written.
///
/// ```
/// use rdts_core::{Pipeline, Result, Sink, Source};
///
/// async fn copy(source: impl Source, sink: impl Sink) -> Result<u64> {
///     let finished = Pipeline::new(source, sink).run().await;
///     finished.result?;
///     Ok(finished.report.applied.counts.keys)
/// }
/// ```
#[derive(Debug)]
pub struct Pipeline<S, K> {
    source: S,
    sink: K,
    goal: watch::Receiver<Goal>,
    handle: Handle,
    /// Of the batches that are written and not known to be applied: the keys and commands that are done with each.
    pending: VecDeque<(u64, u64)>,
    /// The same of all those before.
    done: (u64, u64),
    /// How many batches were written.
    written: u64,
}

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    SourceEnds,
    At(u64),
    Now,
}

/// What a running pipeline has done so far.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Where reading is; what lies between this and the watermark is on its way. `None` before the first batch.
    pub read: Option<Position>,
    /// What is applied in the target.
    pub applied: Watermark,
    /// What became of all that was read.
    pub ledger: Ledger,
}

/// How a run ended.
#[non_exhaustive]
#[derive(Debug)]
pub struct Finished {
    /// What was done, also after an error.
    pub report: Report,
    /// Whether it ended as it should: the source was over, or the goal was reached, and all of it is applied.
    pub result: Result<()>,
}

/// Watches and steers a pipeline from elsewhere. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    goal: Arc<watch::Sender<Goal>>,
    report: Arc<Mutex<Report>>,
    flush: Arc<Notify>,
    control: Control,
}

impl Handle {
    /// Asks the pipeline to end once everything up to replication offset `offset` is applied: that of the source when its
    /// clients stopped writing, for example.
    pub fn stop_at(&self, offset: u64) {
        self.goal.send_replace(Goal::At(offset));
    }

    /// Asks the pipeline to end at the next boundary of commands; what it has read by then will be applied. In the middle of a
    /// snapshot that is an error ([`Interrupted`](ErrorKind::Interrupted)), since half a snapshot is in the target.
    pub fn stop(&self) {
        self.goal.send_replace(Goal::Now);
    }

    /// Asks the pipeline to have everything applied that it has read by now, and to say so: the report is brought up to date, and
    /// the source told. Does not wait for it.
    pub fn flush(&self) {
        self.flush.notify_one();
    }

    /// Pauses it, lets it go on, limits its rate.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What it has done so far.
    pub fn report(&self) -> Report {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("goal", &*self.goal.borrow()).field("report", &self.report()).finish()
    }
}

/// How often the source is told what is applied, and a quiet sink is asked whether it is well.
const TICK: Duration = Duration::from_millis(200);

impl<S: Source, K: Sink> Pipeline<S, K> {
    /// Joins `source` and `sink`.
    pub fn new(source: S, sink: K) -> Self {
        let (sender, goal) = watch::channel(Goal::SourceEnds);
        let handle = Handle {
            goal: Arc::new(sender),
            report: Arc::default(),
            flush: Arc::default(),
            control: Control::default(),
        };
        Self { source, sink, goal, handle, pending: VecDeque::new(), done: (0, 0), written: 0 }
    }

    /// Obeys `control` together with others that do.
    #[must_use]
    pub fn with_control(mut self, control: Control) -> Self {
        self.handle.control = control;
        self
    }

    /// A handle to watch and steer the run.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until the source ends, a goal is reached, or something fails.
    pub async fn run(mut self) -> Finished {
        let mut result = self.pump().await;
        // Also after an error of the source: what was written before it is good, and the report is to say so.
        let flushed = self.sink.flush().await;
        self.publish();
        let report = self.handle.report();
        if result.is_ok() {
            result = flushed;
        }
        if let Some(position) = report.applied.position {
            let _ = self.source.acknowledge(&position).await;
        }
        // A sink that is dropped instead knows that it has not got everything: a file does not get its name then.
        if result.is_ok() {
            result = self.sink.close().await;
        }
        Finished { report, result }
    }

    async fn pump(&mut self) -> Result<()> {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wrote = false;
        loop {
            let goal = *self.goal.borrow_and_update();
            if self.reached(goal)? {
                return Ok(());
            }
            tokio::select! {
                biased;
                Ok(()) = self.goal.changed() => {}
                _ = ticks.tick() => {
                    // A sink that is given nothing has no other occasion to say that something went wrong.
                    if !std::mem::take(&mut wrote) {
                        self.sink.flush().await?;
                    }
                    self.tell().await?;
                }
                () = self.handle.flush.notified() => {
                    self.sink.flush().await?;
                    self.tell().await?;
                }
                batch = next(&self.handle.control, &mut self.source) => {
                    let Some(batch) = batch? else { return Ok(()) };
                    let (position, urgent) = (*batch.position(), batch.is_urgent());
                    let done = (batch.keys(), batch.writes());
                    self.handle.control.took(batch.len(), batch.bytes().len());
                    self.sink.write(batch).await?;
                    self.pending.push_back(done);
                    self.written += 1;
                    wrote = true;
                    self.handle.report.lock().unwrap_or_else(PoisonError::into_inner).read = Some(position);
                    if urgent {
                        self.sink.flush().await?;
                        self.tell().await?;
                    }
                }
            }
        }
    }

    /// Says what is applied, to whoever watches and to the source.
    async fn tell(&mut self) -> Result<()> {
        self.publish();
        match self.sink.acked().position {
            Some(position) => {
                self.source.acknowledge(&position).await?;
                failpoint::hit("pipeline.acknowledged");
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn reached(&self, goal: Goal) -> Result<bool> {
        let read = self.handle.report().read;
        match (goal, read) {
            (Goal::SourceEnds, _) => Ok(false),
            (Goal::At(offset), Some(position @ Position::Stream { .. })) => Ok(position.offset() >= offset),
            (Goal::At(_), _) => Ok(false),
            (Goal::Now, Some(Position::Stream { .. })) => Ok(true),
            (Goal::Now, _) => Err(Error::new(ErrorKind::Interrupted, "stopped before the snapshot was copied whole")),
        }
    }

    fn publish(&mut self) {
        let applied = self.sink.acked();
        self.settle(applied.batches);
        let mut ledger = Ledger::default();
        (ledger.intake, ledger.counts) = (self.source.intake(), applied.counts);
        (ledger.keys, ledger.writes) = self.done;
        let mut report = self.handle.report.lock().unwrap_or_else(PoisonError::into_inner);
        (report.applied, report.ledger) = (applied, ledger);
    }

    /// Counts the batches up to `applied` as done.
    fn settle(&mut self, applied: u64) {
        let waiting = usize::try_from(self.written.saturating_sub(applied)).unwrap_or(usize::MAX);
        while self.pending.len() > waiting
            && let Some((keys, writes)) = self.pending.pop_front()
        {
            self.done = (self.done.0 + keys, self.done.1 + writes);
        }
    }
}

async fn next(control: &Control, source: &mut impl Source) -> Result<Option<Batch>> {
    control.may_take().await;
    source.next().await
}
