//! A migration between two places of the user's.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdts_core::codis::CodisWatch;
use rdts_core::fleet::{Fleet, Handle, Shard, ShardSource};
use rdts_core::source::{Durable, ScanHandle};
use rdts_core::spool::SpoolOptions;
use rdts_core::task::{Ended, Steering};
use rdts_core::verify::Report;
use rdts_core::{BoxSink, Error, ErrorKind, Result, Sink};

use super::job::{Job, OnLost};
use super::observer::{Observer, Started, watch};
use super::precheck::Servers;
use super::source::{End, Found, Opened};
use super::state::State;
use super::stopped::Stopped;
use super::target::Targets;
use super::{comparison, source, target};
use crate::account;

/// How long a stop waits for what the source had by then.
const DRAIN: Duration = Duration::from_secs(30);

/// How often a copy that broke in its snapshot is tried again, and after which pause.
const MOST_BROKEN: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// Does `job`, until it is done or somebody has had enough.
///
/// # Errors
/// Why it could not begin, or did not come to its end.
pub async fn migrate(job: &Job, output: &mut dyn Observer, steering: &Steering) -> std::result::Result<Ended, Stopped> {
    let open = |dir: &PathBuf| State::open(dir, job);
    let mut state = job.state.as_ref().map(open).transpose().map_err(Stopped::before)?;
    if state.is_some() {
        output.resumable();
    }
    let mut broken = 0;
    loop {
        let mut attempt = Attempt { job, output, steering, live: false };
        let ended = attempt.run(state.as_mut()).await;
        let live = attempt.live;
        let Some(state) = state.as_mut().filter(|state| job.on_lost == OnLost::Restart && state.has_begun()) else {
            return ended;
        };
        match ended {
            Err(stopped) if stopped.error.kind() == ErrorKind::HistoryLost => {
                output.warn(&format!("{}\nThe target is emptied, and the copy begins again", stopped.error));
                target::empty(job, state.task()).await.map_err(Stopped::during)?;
                state.start_over().map_err(Stopped::during)?;
            }
            // No server continues a snapshot, so that this is a case for beginning again as well, if not all of it is in the spool.
            Err(stopped) if stopped.error.kind() == ErrorKind::Disconnected && !live && broken < MOST_BROKEN => {
                broken += 1;
                output.warn(&format!("{}\nConnecting again", stopped.error));
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = steering.stop_asked(1) => return Err(stopped),
                }
            }
            ended => return ended,
        }
    }
}

/// Looks whether `job` could begin, without writing anything.
///
/// # Errors
/// Why it could not.
pub(super) async fn check(job: &Job) -> Result<()> {
    let found = source::find(job, None).await?;
    let targets = Targets::of(job, None).await?;
    let servers = Servers::ask(job, &found, &targets).await?;
    servers.refuse_same(job)?;
    servers.refuse_data(job)?;
    servers.oldest_source().map(drop)
}

/// Forgets a job that nobody will go on with: its checkpoints are removed from the target, and then what is known of it.
///
/// # Errors
/// What could not be removed.
pub(super) async fn release(job: &Job) -> Result<()> {
    let Some(dir) = job.state.as_ref().filter(|dir| dir.exists()) else { return Ok(()) };
    let mut state = State::open(dir, job)?;
    if state.has_begun() {
        Targets::of(job, Some(&state)).await?.forget(state.shards()?).await?;
        state.start_over()?;
    }
    Ok(())
}

/// One go at it.
struct Attempt<'a> {
    job: &'a Job,
    output: &'a mut dyn Observer,
    steering: &'a Steering,
    /// Whether it got as far as the stream.
    live: bool,
}

impl Attempt<'_> {
    async fn run(&mut self, mut state: Option<&mut State>) -> std::result::Result<Ended, Stopped> {
        let job = self.job;
        let found = source::find(job, state.as_deref()).await.map_err(Stopped::before)?;
        let targets = Targets::of(job, state.as_deref()).await.map_err(Stopped::before)?;
        let opened = self.open(found, &targets, state.as_deref_mut()).await;
        let (fleet, rest) = opened.map_err(Stopped::before)?;
        let handle = fleet.handle();
        let (from, to) = (job.from.to_string(), job.to.to_string());
        self.output.started(&Started::new(from, to, rest.snapshot_len, &handle));
        let compared = Arc::new(OnceLock::new());
        let steer = steer(handle.clone(), rest.end, job.clone(), self.steering.clone(), Arc::clone(&compared));
        let mut steer = tokio::spawn(steer);
        let mut finished = watch(self.output, &handle, fleet.run()).await;
        steer.abort();
        if finished.result.is_ok() {
            finished.result = targets.verify().await;
        }
        if let (Ok(()), Some(codis)) = (&finished.result, &rest.codis) {
            finished.result = codis.verify().await;
        }
        // The error that made the steering give up explains more than the stop that followed.
        let by_request = (&mut steer).await.unwrap_or(Ok(self.steering.is_stopping()));
        if let Some(state) = state.as_deref() {
            let account = account::json(&finished.report.ledger);
            finished.result = finished.result.and(state.keep_ledger(&account));
        }
        self.live = !finished.report.shards.is_empty() && finished.report.is_stream();
        self.output.done(finished.report);
        let by_request = by_request.and_then(|by_request| finished.result.map(|()| by_request));
        let by_request = by_request.map_err(Stopped::during)?;
        if job.verify {
            let report = match compared.get() {
                Some(report) => report,
                None => &comparison::compare(job, None).await.map_err(Stopped::during)?,
            };
            self.output.compared(report);
            comparison::refuse(report)?;
        }
        let Some(state) = state else { return Ok(Ended::Complete) };
        if by_request {
            return Ok(Ended::Stopped);
        }
        // In this order: a checkpoint alone is something to go on with, and a state alone is not.
        state.start_over().map_err(Stopped::during)?;
        targets.forget(rest.shards).await.map_err(Stopped::during)?;
        Ok(Ended::Complete)
    }

    /// The sinks come first: they know what has to be translated for, and where a run before has brought the target.
    async fn open(
        &mut self,
        found: Found,
        targets: &Targets<'_>,
        mut state: Option<&mut State>,
    ) -> Result<(Fleet, Rest)> {
        let job = self.job;
        let servers = Servers::ask(job, &found, targets).await?;
        servers.refuse_same(job)?;
        let refused = servers.refuse_data(job);
        if refused.is_ok() && !state.as_ref().is_some_and(|state| state.has_begun()) {
            servers.refuse_losses(job).await?;
        }
        // Sinks leave checkpoints as soon as they are opened: whoever dies after that must not find that the target is not empty.
        if let (Ok(()), Some(state)) = (&refused, state.as_deref_mut().filter(|state| !state.has_begun())) {
            state.begin()?;
        }
        let oldest = servers.oldest_source()?;
        let mut sinks = vec![targets.open(0, oldest).await?];
        let (capabilities, resumed) = (sinks[0].capabilities(), sinks[0].resumed().is_some());
        // What is there then is the task's own.
        if !resumed && !state.as_ref().is_some_and(|state| state.has_begun()) {
            refused?;
        }
        for shard in 1..found.count() {
            sinks.push(targets.open(shard, oldest).await?);
        }
        let layout = found.layout();
        if layout.is_some()
            && sinks.iter().any(|sink| sink.resumed().is_some())
            && state.as_ref().is_some_and(|state| state.layout().is_none())
        {
            let text = "--state: which node of the source had which slots when the copy began is not known any more, and they may have moved";
            return Err(Error::new(ErrorKind::HistoryLost, text));
        }
        let durable = |(shard, sink): (usize, &BoxSink)| {
            let durable = Durable::default().resumed(sink.resumed());
            state.as_ref().map_or(durable.clone(), |state| durable.spool(state.spool(shard), SpoolOptions::default()))
        };
        let durables = sinks.iter().enumerate().map(durable).collect();
        let Opened { shards: sources, end, codis } =
            found.open(job, capabilities.target, capabilities.multi_key, durables, self.output).await?;
        if let Some(state) = state {
            state.opened(layout)?;
        }
        let snapshot_len = sources.iter().map(ShardSource::snapshot_len).sum();
        for shard in sinks.len()..sources.len() {
            sinks.push(targets.open(shard, oldest).await?);
        }
        let shards: Vec<Shard> =
            sources.into_iter().zip(sinks).map(|(source, sink)| Shard::new(source, sink)).collect();
        let rest = Rest { end, codis, snapshot_len, shards: shards.len() };
        Ok((Fleet::new(shards), rest))
    }
}

/// What is left of what was opened once its shards have their sinks.
struct Rest {
    end: End,
    codis: Option<CodisWatch>,
    snapshot_len: Option<u64>,
    shards: usize,
}

/// Ends a run when it has caught up, or when somebody asks for it; before that the two sides are compared, if that is wanted. Whether it was
/// a stop that somebody asked for.
async fn steer(
    handle: Handle,
    end: End,
    job: Job,
    steering: Steering,
    compared: Arc<OnceLock<Report>>,
) -> Result<bool> {
    let stopping = tokio::select! {
        biased;
        () = steering.stop_asked(1) => true,
        () = steering.finish_asked() => {
            // Half a snapshot is no end.
            tokio::select! {
                () = steering.stop_asked(1) => true,
                () = snapshot_applied(&handle) => false,
            }
        }
        () = snapshot_applied(&handle), if job.until_caught_up => false,
    };
    let in_stream = handle.report().shards.iter().all(|(_, shard)| shard.read.is_some_and(|read| read.is_stream()));
    if in_stream && job.verify && !handle.control().is_paused() && matches!(end, End::Offsets) {
        let comparison = tokio::select! {
            found = comparison::compare(&job, Some(handle.clone())) => found,
            // Whoever asks again does not want to wait.
            () = steering.stop_asked(if stopping { 2 } else { 1 }) => {
                Err(Error::new(ErrorKind::Interrupted, "stopped before both sides were compared"))
            }
        };
        let report = comparison.inspect_err(|_| handle.stop())?;
        // The first and only one.
        let _ = compared.set(report);
    }
    // What is paused will not catch up.
    if in_stream && !handle.control().is_paused() && catch_up(&handle, &end, stopping).await? {
        // But not for ever after a request to stop, and not against a second one. The run that gets there first ends this task.
        let error = tokio::select! {
            () = steering.stop_asked(if stopping { 2 } else { 1 }) => {
                Error::new(ErrorKind::Interrupted, "stopped before all that the source had was applied")
            }
            () = tokio::time::sleep(DRAIN), if stopping => {
                Error::new(ErrorKind::Timeout, format!("not all that the source had was applied within {DRAIN:?}"))
            }
        };
        handle.stop();
        return Err(error);
    }
    handle.stop();
    Ok(stopping)
}

/// Lets the run end once it has all that the sources have now. `false` if they cannot be asked, and there is nothing to wait for.
async fn catch_up(handle: &Handle, end: &End, stopping: bool) -> Result<bool> {
    let asked = match end {
        End::Now if !stopping => {
            Err(Error::new(ErrorKind::Unsupported, "this source counts no offsets, so that nobody knows its end"))
        }
        End::Itself | End::Now => return Ok(false),
        End::Offsets => handle.stop_when_caught_up().await,
        End::Rounds(scans) => handle.stop_at(scans.iter().map(ScanHandle::full_pass).collect()),
    };
    match asked {
        Ok(()) => Ok(true),
        Err(error) if stopping => {
            tracing::warn!(%error, "stopping without what the source may have still to send");
            Ok(false)
        }
        Err(error) => {
            handle.stop();
            Err(error)
        }
    }
}

/// Waits until the whole snapshot of every shard is applied.
async fn snapshot_applied(handle: &Handle) {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while !handle.report().is_stream() {
        ticks.tick().await;
    }
}
