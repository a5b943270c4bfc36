//! Where a task is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Retry};

/// Where a task is. [The table](super#states) says who sets each state and what may follow.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Its configuration is being validated.
    Creating,
    /// Its configuration has been validated; nothing runs.
    Validated,
    /// Its configuration cannot be used as it is: wrong password, target not empty.
    Invalid,
    /// What it needs is being prepared.
    Starting,
    /// All is prepared; clients may be led to its proxy; nothing is copied yet.
    WaitMigrate,
    /// It is being migrated, or paused in that.
    Migrating,
    /// All is in the target, and the migration is over.
    Migrated,
    /// Its configuration could not be validated, for a reason that says nothing about it.
    CreateFailed,
    /// What it needs could not be prepared.
    StartFailed,
    /// The migration stopped since a server or something else that it needs was lost: when that is back, it can go on.
    Error,
    /// The migration stopped for a reason that somebody has to remedy.
    MigrateFailed,
    /// The migration was not over within its time limit.
    MigrateTimeout,
    /// What it has left is being removed, and then the task itself.
    Deleting,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Creating,
        Self::Validated,
        Self::Invalid,
        Self::Starting,
        Self::WaitMigrate,
        Self::Migrating,
        Self::Migrated,
        Self::CreateFailed,
        Self::StartFailed,
        Self::Error,
        Self::MigrateFailed,
        Self::MigrateTimeout,
        Self::Deleting,
    ];

    /// Its name, as it is serialised.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Validated => "validated",
            Self::Invalid => "invalid",
            Self::Starting => "starting",
            Self::WaitMigrate => "waitMigrate",
            Self::Migrating => "migrating",
            Self::Migrated => "migrated",
            Self::CreateFailed => "createFailed",
            Self::StartFailed => "startFailed",
            Self::Error => "error",
            Self::MigrateFailed => "migrateFailed",
            Self::MigrateTimeout => "migrateTimeout",
            Self::Deleting => "deleting",
        }
    }

    /// Whether something failed, so that the task has a [`Failure`].
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::Invalid
                | Self::CreateFailed
                | Self::StartFailed
                | Self::Error
                | Self::MigrateFailed
                | Self::MigrateTimeout
        )
    }

    /// Whether the manager is at work on it: nobody has to do anything for it to leave this state, but for the end of a migration.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Creating | Self::Starting | Self::Migrating | Self::Deleting)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How far a step of the migration is.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepStatus {
    /// Not begun.
    #[default]
    Init,
    /// Under way.
    Running,
    /// Done.
    Success,
    /// Failed.
    Fail,
}

/// The steps of a migration, each with its status. [The table](super#steps) says what sets them.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Steps {
    /// Clients talk to the source.
    pub client_flow_in_source: StepStatus,
    /// Clients talk to the task's proxy, which passes on to the source.
    pub client_flow_in_proxy: StepStatus,
    /// The data is copied and kept up to date.
    pub migrate_and_check: StepStatus,
    /// The proxy passes on to the target.
    pub client_flow_redirect: StepStatus,
    /// Clients talk to the target.
    pub client_flow_in_target: StepStatus,
    /// What is left of the migration is brought to its end.
    pub migrate_finish: StepStatus,
}

impl Default for Steps {
    /// Clients talk to the source, and nothing else has begun.
    fn default() -> Self {
        Self {
            client_flow_in_source: StepStatus::Running,
            client_flow_in_proxy: StepStatus::Init,
            migrate_and_check: StepStatus::Init,
            client_flow_redirect: StepStatus::Init,
            client_flow_in_target: StepStatus::Init,
            migrate_finish: StepStatus::Init,
        }
    }
}

/// Why something failed, and what can be done about it.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// What kind of failure it is: the name of an [`ErrorKind`].
    pub kind: String,
    /// What happened and where, for a person.
    pub reason: String,
    /// What an operator can do about it, if there is advice.
    pub remedy: Option<String>,
    /// Whether it is a loss that may pass, so that going on later may succeed.
    pub passing: bool,
}

impl Failure {
    /// A failure of `kind`.
    pub fn new(kind: ErrorKind, reason: impl Into<String>) -> Self {
        Self::from(&Error::new(kind, reason))
    }

    /// Sets [`remedy`](Self::remedy).
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            kind: format!("{:?}", error.kind()),
            reason: error.to_string(),
            remedy: error.solution().map(str::to_owned),
            passing: error.retry() == Retry::Resume,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
