//! Who does what a task says.

use tokio::sync::watch;

use super::machine::Task;
use super::state::Failure;
use super::steering::Steering;
use crate::error::Result;
use crate::progress::Progress;

/// Does what tasks say, for a [`TaskManager`](super::TaskManager), which decides when. It says how it went by what it returns, and never
/// touches a task's state itself.
pub trait Migrator: Send + Sync + 'static {
    /// Looks whether the task can be done, and writes nothing anywhere.
    ///
    /// # Errors
    /// If that cannot be found out for a reason that says nothing about the task: it becomes [`CreateFailed`](super::State::CreateFailed).
    fn validate(&self, task: &Task) -> impl Future<Output = Result<Validation>> + Send;

    /// Prepares what the task needs before data is moved.
    ///
    /// # Errors
    /// Why it cannot be started: it becomes [`StartFailed`](super::State::StartFailed).
    fn prepare(&self, task: &Task) -> impl Future<Output = Result<()>> + Send;

    /// Migrates, until all is done or `run` asks for the end. Called again for the same task after a failure and after a restart of the
    /// process, it has to go on where it was, or to begin again.
    ///
    /// A future that is dropped is a migration that is given up at once, as by a crash.
    ///
    /// # Errors
    /// Why it stopped. What [may pass](crate::error::Retry::Resume) makes the task an [`Error`](super::State::Error), all else a
    /// [`MigrateFailed`](super::State::MigrateFailed).
    fn run(&self, task: &Task, run: Run) -> impl Future<Output = Result<Ended>> + Send;

    /// Removes whatever the task has left outside the data itself: state on disk, checkpoints in the target. Nothing runs then.
    ///
    /// # Errors
    /// What could not be removed; it will be tried again when the task is deleted again.
    fn release(&self, task: &Task) -> impl Future<Output = Result<()>> + Send;
}

/// What a validation says.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validation {
    /// It can be done; what somebody should know first.
    Passed(Vec<String>),
    /// It cannot be done as it is: the task becomes [`Invalid`](super::State::Invalid).
    Refused(Failure),
}

/// How a migration ended that did not fail.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All of it is in the target, and nothing is left to be done.
    Complete,
    /// A stop was asked for; it can be gone on from here.
    Stopped,
}

/// What a migration needs of its manager.
#[derive(Debug)]
pub struct Run {
    steering: Steering,
    progress: watch::Sender<Progress>,
}

impl Run {
    pub(super) fn new(steering: Steering, progress: watch::Sender<Progress>) -> Self {
        Self { steering, progress }
    }

    /// What is wanted of it.
    pub fn steering(&self) -> &Steering {
        &self.steering
    }

    /// Says how far it is; the same once more is no news.
    pub fn report(&self, progress: Progress) {
        self.progress.send_if_modified(|last| std::mem::replace(last, progress) != progress);
    }
}
