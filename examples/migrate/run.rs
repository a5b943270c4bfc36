//! A migration between two places of the user's.

use std::time::Duration;

use rdts_core::codis::CodisWatch;
use rdts_core::fleet::{Fleet, Handle, Shard, ShardSource};
use rdts_core::source::ScanHandle;
use rdts_core::{Error, ErrorKind, Result, Sink};
use tokio::signal::unix::{SignalKind, signal};

use crate::job::Job;
use crate::output::Output;
use crate::source::{End, Opened};
use crate::target::Targets;
use crate::{Stopped, precheck, source};

/// How long a stop waits for what the source had by then.
const DRAIN: Duration = Duration::from_secs(30);

pub(crate) async fn migrate(job: &Job, output: &mut Output) -> std::result::Result<(), Stopped> {
    let source_version = precheck::check(job).await.map_err(Stopped::before)?;
    let targets = Targets::of(job, source_version).await.map_err(Stopped::before)?;
    let (fleet, rest) = open(job, &targets, output).await.map_err(Stopped::before)?;
    let handle = fleet.handle();
    output.start(&job.from.to_string(), &job.to.to_string(), rest.snapshot_len);
    let steering = tokio::spawn(steer(handle.clone(), rest.end, job.until_caught_up));
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
    output.done(finished.report);
    steered.and(finished.result).map_err(Stopped::during)
}

/// What is left of what was opened once its shards have their sinks.
struct Rest {
    end: End,
    codis: Option<CodisWatch>,
    snapshot_len: Option<u64>,
}

/// The sink comes first: it knows what has to be translated for. The further ones come with the shards.
async fn open(job: &Job, targets: &Targets<'_>, output: &Output) -> Result<(Fleet, Rest)> {
    let first = targets.open(0).await?;
    let capabilities = first.capabilities();
    let Opened { shards: sources, end, codis } =
        source::open(job, capabilities.target, capabilities.multi_key, output).await?;
    let snapshot_len = sources.iter().map(ShardSource::snapshot_len).sum();
    let mut first = Some(first);
    let mut shards = Vec::new();
    for (index, source) in sources.into_iter().enumerate() {
        let sink = match first.take() {
            Some(sink) => sink,
            None => targets.open(index).await?,
        };
        shards.push(Shard::new(source, sink));
    }
    Ok((Fleet::new(shards), Rest { end, codis, snapshot_len }))
}

/// Ends a run when it has caught up, or when somebody asks for it.
async fn steer(handle: Handle, end: End, until_caught_up: bool) -> Result<()> {
    let caught =
        |kind| signal(kind).map_err(|error| Error::new(ErrorKind::Io, "signals cannot be caught").with_source(error));
    let (mut interrupt, mut terminate) = (caught(SignalKind::interrupt())?, caught(SignalKind::terminate())?);
    let mut asked = async || tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} };
    let by_signal = tokio::select! {
        () = asked() => true,
        () = snapshot_applied(&handle), if until_caught_up => false,
    };
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
