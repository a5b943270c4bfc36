//! A migration between two places of the user's.

use std::time::Duration;

use rdts_core::endpoint::NodeAddress;
use rdts_core::net::Deadlines;
use rdts_core::pipeline::Handle;
use rdts_core::replica::LinkConfig;
use rdts_core::source::{RdbSource, Reconnect, ReplicaOptions, ReplicaSource};
use rdts_core::translate::TranslateOptions;
use rdts_core::{BoxSink, Endpoint, Error, ErrorKind, Pipeline, Result, Sink, Source};
use rdts_sink::{MemorySink, NodeOptions, NodeSink};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Job;
use crate::output::Output;
use crate::{Stopped, precheck};

/// How long a stop waits for what the source had by then.
const DRAIN: Duration = Duration::from_secs(30);

pub(crate) async fn migrate(job: &Job, output: &mut Output) -> std::result::Result<(), Stopped> {
    let deadlines = Deadlines::default().ready(job.ready_timeout);
    let sink = open_sink(job, deadlines).await.map_err(Stopped::before)?;
    let target = sink.capabilities().target;
    let translate = translation(job).group_strings(sink.capabilities().multi_key);
    match &job.from {
        Endpoint::Node { address, .. } => {
            let options = ReplicaOptions::default()
                .link(LinkConfig::default().deadlines(deadlines))
                .translate(translate)
                .reconnect(Reconnect::default().within(job.ready_timeout))
                .snapshot_only(job.full);
            let source = ReplicaSource::open(address, target, options).await.map_err(Stopped::before)?;
            let live = (!job.full).then(|| Live {
                address: address.clone(),
                deadlines,
                offsets: source.has_offsets(),
                until_caught_up: job.until_caught_up,
            });
            if job.until_caught_up && !source.has_offsets() {
                let text = "--until caught-up: this source only knows SYNC and counts no offsets";
                return Err(Stopped::before(Error::new(ErrorKind::Unsupported, text)));
            }
            let total = source.snapshot_len();
            run(source, sink, live, total, job, output).await
        }
        Endpoint::File(path) => {
            let source = RdbSource::open(path, target, translate).await.map_err(Stopped::before)?;
            let total = source.snapshot_len();
            run(source, sink, None, total, job, output).await
        }
        _ => Err(Stopped::before(Error::new(
            ErrorKind::Unsupported,
            format!("{} as a source is not supported yet", job.from),
        ))),
    }
}

fn translation(job: &Job) -> TranslateOptions {
    let options = TranslateOptions::default().on_conflict(job.on_conflict);
    match (&job.from, &job.to) {
        (Endpoint::Node { db: Some(from), .. }, Endpoint::Node { db, .. }) => {
            options.database(*from, db.unwrap_or(*from))
        }
        (Endpoint::Node { db: Some(from), .. }, _) => options.database(*from, *from),
        _ => options,
    }
}

async fn open_sink(job: &Job, deadlines: Deadlines) -> Result<BoxSink> {
    match &job.to {
        Endpoint::Node { address, db } => {
            let sink = NodeSink::connect(address, NodeOptions::default().deadlines(deadlines)).await?;
            match &job.from {
                Endpoint::Node { address: from, db: from_db } if from_db.is_none() || from_db == db || db.is_none() => {
                    precheck::two_servers(from, address, deadlines).await?;
                }
                _ => {}
            }
            if job.on_conflict == rdts_core::translate::OnConflict::Fail {
                let from_db = match &job.from {
                    Endpoint::Node { db, .. } => *db,
                    _ => None,
                };
                precheck::target_is_empty(address, db.or(from_db), deadlines).await?;
            }
            Ok(BoxSink::new(sink))
        }
        Endpoint::Memory => Ok(BoxSink::new(MemorySink::new())),
        other => Err(Error::new(ErrorKind::Unsupported, format!("{other} as a target is not supported yet"))),
    }
}

/// What a live migration needs in order to end.
struct Live {
    address: NodeAddress,
    deadlines: Deadlines,
    /// Whether the source counts offsets.
    offsets: bool,
    until_caught_up: bool,
}

async fn run(
    source: impl Source,
    sink: BoxSink,
    live: Option<Live>,
    total: Option<u64>,
    job: &Job,
    output: &mut Output,
) -> std::result::Result<(), Stopped> {
    let pipeline = Pipeline::new(source, sink);
    let handle = pipeline.handle();
    output.start(&job.from.to_string(), &job.to.to_string(), total);
    let steering = tokio::spawn(steer(handle.clone(), live));
    let finished = output.watch(&handle, pipeline.run()).await;
    steering.abort();
    // The error that made the steering give up explains more than the stop that followed.
    let steered = steering.await.unwrap_or(Ok(()));
    output.done(finished.report);
    steered.and(finished.result).map_err(Stopped::during)
}

/// Ends a run when it has caught up, or when somebody asks for it.
async fn steer(handle: Handle, live: Option<Live>) -> Result<()> {
    let caught =
        |kind| signal(kind).map_err(|error| Error::new(ErrorKind::Io, "signals cannot be caught").with_source(error));
    let (mut interrupt, mut terminate) = (caught(SignalKind::interrupt())?, caught(SignalKind::terminate())?);
    let mut asked = async || tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} };
    let until = live.as_ref().is_some_and(|live| live.until_caught_up);
    let by_signal = tokio::select! {
        () = asked() => true,
        () = snapshot_applied(&handle), if until => false,
    };
    let in_stream = handle.report().read.is_some_and(|position| position.is_stream());
    if let Some(live) = live.filter(|live| live.offsets && in_stream) {
        // What the source has by now is still to come.
        match precheck::source_offset(&live.address, live.deadlines).await {
            Ok(offset) => handle.stop_at(offset),
            Err(error) if by_signal => {
                tracing::warn!(%error, "stopping without what the source may have still to send");
                handle.stop();
                return Ok(());
            }
            Err(error) => {
                handle.stop();
                return Err(error);
            }
        }
        // But not for ever after a request to stop, and not against a second one. The run that gets to the offset first ends this task.
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

/// Waits until the whole snapshot is applied.
async fn snapshot_applied(handle: &Handle) {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while !handle.report().applied.position.is_some_and(|position| position.is_stream()) {
        ticks.tick().await;
    }
}
