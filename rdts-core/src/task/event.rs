//! What happens to a task.

use std::fmt;

use super::spec::Spec;
use super::state::{Failure, State};
use crate::error::{Error, ErrorKind};

/// What happens to a task: somebody wants something, or something is over.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The user changes what is to be done.
    Modify(Spec),
    /// The configuration can be used; what the user should know about it.
    Validated(Vec<String>),
    /// The configuration cannot be used.
    Refused(Failure),
    /// The configuration could not be looked at.
    NotValidated(Failure),
    /// The user wants it to be prepared.
    Start,
    /// It is prepared.
    Started,
    /// It could not be prepared.
    NotStarted(Failure),
    /// The user wants it to be migrated, from this moment on (milliseconds since 1970).
    Migrate(u64),
    /// The same once more, after a failure or a time-out.
    Remigrate(u64),
    /// The user wants it to pause.
    Pause,
    /// The user wants it to go on.
    Resume,
    /// The target is up to date for so long that clients may be led there.
    Ready,
    /// Whoever runs the proxy has led its clients to the target.
    Redirected,
    /// The user wants the migration to come to its end.
    Finish,
    /// All is in the target, and the migration is over.
    Finished,
    /// The user gives it up.
    Cancel,
    /// The migration broke.
    Broke(Failure),
    /// The time limit has passed.
    TimedOut(Failure),
    /// So many clients are connected to the task's proxy.
    Clients(u32),
    /// The user wants it to be deleted.
    Delete,
    /// What it has left could not be removed.
    NotDeleted(Failure),
}

impl Event {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Modify(_) => "modify",
            Self::Validated(_) => "validated",
            Self::Refused(_) => "refused",
            Self::NotValidated(_) => "notValidated",
            Self::Start => "start",
            Self::Started => "started",
            Self::NotStarted(_) => "notStarted",
            Self::Migrate(_) => "migrate",
            Self::Remigrate(_) => "remigrate",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Ready => "ready",
            Self::Redirected => "redirected",
            Self::Finish => "finish",
            Self::Finished => "finished",
            Self::Cancel => "cancel",
            Self::Broke(_) => "broke",
            Self::TimedOut(_) => "timedOut",
            Self::Clients(_) => "clients",
            Self::Delete => "delete",
            Self::NotDeleted(_) => "notDeleted",
        }
    }
}

/// An event that a task in its state does not take.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The state that the task is in, and stays in.
    pub state: State,
    /// The event's name.
    pub event: &'static str,
    /// Why not, where the state alone does not say so.
    pub reason: Option<&'static str>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not possible while the task is {}", self.event, self.state)?;
        self.reason.map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::new(ErrorKind::Refused, refused.to_string())
    }
}
