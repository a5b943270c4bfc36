//! What becomes of tasks, one change after the other.

use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::machine::Task;
use super::spec::TaskId;

/// What became of a task.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is like this now.
    Task(Box<Task>),
    /// It is gone.
    Removed(TaskId),
}

/// The changes of all tasks of a manager, from the moment on at which this was asked for.
#[derive(Debug)]
pub struct Changes(Receiver<Change>);

impl Changes {
    pub(super) fn new(receiver: Receiver<Change>) -> Self {
        Self(receiver)
    }

    /// The next change; `None` when the manager is gone. Whoever is more than a thousand changes behind misses the oldest. Cancel
    /// safe.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            match self.0.recv().await {
                Ok(change) => return Some(change),
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "changes of tasks were not looked at in time"),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
