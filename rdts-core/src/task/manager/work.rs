//! What is done for a task in each of the states in which something is.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;

use super::{Shared, now, stop_at_once};
use crate::error::{Error, ErrorKind, Result};
use crate::metrics;
use crate::progress::{Phase, Progress};
use crate::task::{Ended, Event, Failure, Migrator, Run, State, Steering, StepStatus, Task, Validation};

/// Does what the state of `task` asks for, and says how it ended.
pub(super) async fn work<M: Migrator>(shared: Arc<Shared<M>>, task: Task) {
    let event = match task.state {
        State::Creating => match caught(shared.migrator.validate(&task)).await {
            Ok(Validation::Passed(warnings)) => Event::Validated(warnings),
            Ok(Validation::Refused(failure)) => Event::Refused(failure),
            Err(error) => Event::NotValidated(Failure::from(&error)),
        },
        State::Starting => match caught(shared.migrator.prepare(&task)).await {
            Ok(()) => Event::Started,
            Err(error) => Event::NotStarted(Failure::from(&error)),
        },
        State::Migrating => match migrate(&shared, &task).await {
            Some(event) => event,
            None => return,
        },
        State::Deleting => {
            let released = caught(shared.migrator.release(&task)).await;
            match released.and_then(|()| shared.removed(&task.id)) {
                Ok(()) => return,
                Err(error) => Event::NotDeleted(Failure::from(&error)),
            }
        }
        _ => return,
    };
    shared.happened(&task.id, event);
}

/// A migrator that panics has failed, and nothing else has.
async fn caught<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let text = "the migrator panicked; its message is in the log";
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Interrupted, text)))
}

/// How long a migration that was asked to stop at once may take for it before it is given up.
const GRACE: Duration = Duration::from_secs(10);
/// Never, as far as a clock is concerned.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Migrates; `None` if that goes on with the next manager.
async fn migrate<M: Migrator>(shared: &Shared<M>, task: &Task) -> Option<Event> {
    let (sender, mut progress) = watch::channel(Progress::default());
    let steering = {
        let mut inner = shared.lock();
        let closing = inner.closing;
        let entry = inner.entry(&task.id).ok()?;
        entry.progress = progress.clone();
        // What was asked for may be older than this process.
        entry.steering.set_paused(entry.task.paused);
        if entry.task.finishing {
            entry.steering.finish();
        }
        if closing {
            return None;
        }
        entry.steering.clone()
    };
    let limit = task.spec.time_limit.map_or(NEVER, |seconds| {
        let passed = now().saturating_sub(task.migrating_since.unwrap_or_default());
        Duration::from_secs(seconds).saturating_sub(Duration::from_millis(passed)).min(NEVER)
    });
    let last = sender.clone();
    let work = caught(shared.migrator.run(task, Run::new(steering.clone(), sender)));
    tokio::pin!(work);
    let deadline = tokio::time::sleep(limit);
    tokio::pin!(deadline);
    let given_up = given_up(&steering);
    tokio::pin!(given_up);
    let mut timed_out = false;
    let mut recorder = metrics::Recorder::new(task.id.as_str());
    let ended = loop {
        tokio::select! {
            ended = &mut work => break ended,
            () = &mut deadline, if !timed_out => {
                timed_out = true;
                stop_at_once(&steering);
            }
            () = &mut given_up => {
                break Err(Error::new(ErrorKind::Timeout, format!("the migration did not stop within {GRACE:?}")));
            }
            Ok(()) = progress.changed() => {
                let now = *progress.borrow_and_update();
                recorder.record(&now);
                if now.ready && is_running(shared, task) {
                    shared.happened(&task.id, Event::Ready);
                }
            }
        }
    };
    last.send_modify(|progress| {
        (progress.phase, progress.ready) = (Phase::Ended, false);
        (progress.commands_per_second, progress.bytes_per_second, progress.left) = (0.0, 0.0, None);
    });
    recorder.record(&last.borrow());
    let (closing, cancelled) = {
        let mut inner = shared.lock();
        (inner.closing, inner.entry(&task.id).is_ok_and(|entry| entry.cancelled))
    };
    Some(match ended {
        Ok(Ended::Complete) => Event::Finished,
        _ if timed_out => {
            let seconds = task.spec.time_limit.unwrap_or_default();
            let failure = Failure::new(ErrorKind::Timeout, format!("not over within its time limit of {seconds} s"));
            Event::TimedOut(failure.remedy("migrate it again, which goes on where it stopped; or delete it"))
        }
        _ if cancelled => Event::Cancel,
        _ if closing => return None,
        Err(error) => Event::Broke(Failure::from(&error)),
        Ok(Ended::Stopped) => {
            Event::Broke(Failure::new(ErrorKind::Interrupted, "the migration stopped without being asked to"))
        }
    })
}

/// Waits until a run that was asked to stop at once has not done so for too long.
async fn given_up(steering: &Steering) {
    steering.stop_asked(2).await;
    tokio::time::sleep(GRACE).await;
}

fn is_running<M>(shared: &Shared<M>, task: &Task) -> bool {
    let mut inner = shared.lock();
    inner.entry(&task.id).is_ok_and(|entry| entry.task.steps.migrate_and_check == StepStatus::Running)
}
