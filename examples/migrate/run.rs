//! A migration between two places of the user's.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdts_core::codis::CodisWatch;
use rdts_core::fleet::{Fleet, Handle, Shard, ShardSource};
use rdts_core::source::{Durable, ScanHandle};
use rdts_core::spool::SpoolOptions;
use rdts_core::{BoxSink, Error, ErrorKind, Result, Sink};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::OnLost;
use crate::job::Job;
use crate::output::{Output, account};
use crate::precheck::Servers;
use crate::source::{End, Opened};
use crate::state::State;
use crate::target::Targets;
use crate::{Stopped, source, target};

/// How long a stop waits for what the source had by then.
const DRAIN: Duration = Duration::from_secs(30);

/// How often a copy that broke in its snapshot is tried again, and after which pause.
const MOST_BROKEN: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn migrate(job: &Job, output: &mut Output) -> std::result::Result<(), Stopped> {
    let open = |dir: &PathBuf| State::open(dir, job);
    let mut state = job.state.as_ref().map(open).transpose().map_err(Stopped::before)?;
    if state.is_some() {
        output.resumable();
    }
    let mut broken = 0;
    loop {
        let ended = attempt(job, state.as_mut(), output).await;
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
            Err(stopped)
                if stopped.error.kind() == ErrorKind::Disconnected && !output.is_live() && broken < MOST_BROKEN =>
            {
                broken += 1;
                output.warn(&format!("{}\nConnecting again", stopped.error));
                tokio::time::sleep(PAUSE).await;
            }
            ended => return ended,
        }
    }
}

async fn attempt(job: &Job, mut state: Option<&mut State>, output: &mut Output) -> std::result::Result<(), Stopped> {
    let servers = Servers::ask(job).await.map_err(Stopped::before)?;
    let targets = Targets::of(job, state.as_deref(), servers.oldest_source().map_err(Stopped::before)?);
    let targets = targets.await.map_err(Stopped::before)?;
    let (fleet, rest) = open(job, &servers, &targets, state.as_deref_mut(), output).await.map_err(Stopped::before)?;
    let handle = fleet.handle();
    output.start(&job.from.to_string(), &job.to.to_string(), rest.snapshot_len);
    let by_request = Arc::new(AtomicBool::new(false));
    let steering = tokio::spawn(steer(handle.clone(), rest.end, job.until_caught_up, by_request.clone()));
    let mut finished = output.watch(&handle, fleet.run()).await;
    steering.abort();
    if finished.result.is_ok() {
        finished.result = targets.verify().await;
    }
    if let (Ok(()), Some(codis)) = (&finished.result, &rest.codis) {
        finished.result = codis.verify().await;
    }
    // The error that made the steering give up explains more than the stop that followed.
    let steered = steering.await.unwrap_or(Ok(()));
    if let Some(state) = state.as_deref() {
        let account = account(&finished.report.ledger);
        finished.result = finished.result.and(state.keep_ledger(&account));
    }
    output.done(finished.report);
    steered.and(finished.result).map_err(Stopped::during)?;
    let Some(state) = state else { return Ok(()) };
    if by_request.load(Ordering::Relaxed) {
        output.say("stopped; the same command goes on from here, and --until caught-up brings it to an end");
        return Ok(());
    }
    // In this order: a checkpoint alone is something to go on with, and a state alone is not.
    state.start_over().map_err(Stopped::during)?;
    targets.forget(rest.shards).await.map_err(Stopped::during)
}

/// What is left of what was opened once its shards have their sinks.
struct Rest {
    end: End,
    codis: Option<CodisWatch>,
    snapshot_len: Option<u64>,
    shards: usize,
}

/// The sinks come first: they know what has to be translated for, and where a run before has brought the target.
async fn open(
    job: &Job,
    servers: &Servers,
    targets: &Targets<'_>,
    mut state: Option<&mut State>,
    output: &mut Output,
) -> Result<(Fleet, Rest)> {
    servers.refuse_same(job)?;
    let refused = servers.refuse_data(job);
    // Sinks leave checkpoints as soon as they are opened: whoever dies after that must not find that the target is not empty.
    if let (Ok(()), Some(state)) = (&refused, state.as_deref_mut().filter(|state| !state.has_begun())) {
        state.begin(None)?;
    }
    let mut sinks = vec![targets.open(0).await?];
    let (capabilities, resumed) = (sinks[0].capabilities(), sinks[0].resumed().is_some());
    // What is there then is the task's own.
    if !resumed && !state.as_ref().is_some_and(|state| state.has_begun()) {
        refused?;
    }
    let found = source::find(job, state.as_deref()).await?;
    for shard in 1..found.count() {
        sinks.push(targets.open(shard).await?);
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
        found.open(job, capabilities.target, capabilities.multi_key, durables, output).await?;
    if let Some(state) = state
        && (!state.has_begun() || (state.layout().is_none() && layout.is_some()))
    {
        state.begin(layout)?;
    }
    let snapshot_len = sources.iter().map(ShardSource::snapshot_len).sum();
    for shard in sinks.len()..sources.len() {
        sinks.push(targets.open(shard).await?);
    }
    let shards: Vec<Shard> = sources.into_iter().zip(sinks).map(|(source, sink)| Shard::new(source, sink)).collect();
    let rest = Rest { end, codis, snapshot_len, shards: shards.len() };
    Ok((Fleet::new(shards), rest))
}

/// Ends a run when it has caught up, or when somebody asks for it.
async fn steer(handle: Handle, end: End, until_caught_up: bool, by_request: Arc<AtomicBool>) -> Result<()> {
    let caught =
        |kind| signal(kind).map_err(|error| Error::new(ErrorKind::Io, "signals cannot be caught").with_source(error));
    let (mut interrupt, mut terminate) = (caught(SignalKind::interrupt())?, caught(SignalKind::terminate())?);
    let mut asked = async || tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} };
    let by_signal = tokio::select! {
        () = asked() => true,
        () = snapshot_applied(&handle), if until_caught_up => false,
    };
    by_request.store(by_signal, Ordering::Relaxed);
    let in_stream = handle.report().shards.iter().all(|(_, shard)| shard.read.is_some_and(|read| read.is_stream()));
    if in_stream && catch_up(&handle, &end, by_signal).await? {
        // But not for ever after a request to stop, and not against a second one. The run that gets there first ends this task.
        let error = tokio::select! {
            () = asked() => Error::new(ErrorKind::Interrupted, "stopped before all that the source had was applied"),
            () = tokio::time::sleep(DRAIN), if by_signal => {
                Error::new(ErrorKind::Timeout, format!("not all that the source had was applied within {DRAIN:?}"))
            }
        };
        handle.stop();
        return Err(error);
    }
    handle.stop();
    Ok(())
}

/// Lets the run end once it has all that the sources have now. `false` if they cannot be asked, and there is nothing to wait for.
async fn catch_up(handle: &Handle, end: &End, by_signal: bool) -> Result<bool> {
    let asked = match end {
        End::Itself | End::Now => return Ok(false),
        End::Offsets => handle.stop_when_caught_up().await,
        End::Rounds(scans) => handle.stop_at(scans.iter().map(ScanHandle::full_pass).collect()),
    };
    match asked {
        Ok(()) => Ok(true),
        Err(error) if by_signal => {
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
