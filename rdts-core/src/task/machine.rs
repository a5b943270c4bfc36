//! The state machine: a task and an event in, the next state or a refusal out. No I/O, no clock.

use serde::{Deserialize, Serialize};

use super::event::{Event, Refused};
use super::spec::{Spec, TaskId};
use super::state::{Failure, State, StepStatus, Steps};

/// A task: what is to be done, and where it is.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// What is to be done.
    pub spec: Spec,
    /// Where it is.
    pub state: State,
    /// Where the steps of its migration are.
    pub steps: Steps,
    /// Why it is where it is, after a failure.
    pub failure: Option<Failure>,
    /// What the validation found that somebody should know.
    pub warnings: Vec<String>,
    /// Whether the migration is paused.
    pub paused: bool,
    /// Whether the end of the migration was asked for.
    pub finishing: bool,
    /// How many clients are connected to its proxy, as whoever runs that says.
    pub clients: u32,
    /// Since when it is being migrated, in milliseconds since 1970; the time limit counts from here.
    pub migrating_since: Option<u64>,
}

impl Task {
    /// A new task, which is [`Creating`](State::Creating).
    pub fn new(id: TaskId, spec: Spec) -> Self {
        Self {
            id,
            spec,
            state: State::Creating,
            steps: Steps::default(),
            failure: None,
            warnings: Vec::new(),
            paused: false,
            finishing: false,
            clients: 0,
            migrating_since: None,
        }
    }

    /// Lets `event` happen.
    ///
    /// # Errors
    /// The refusal of an event that is not in [the table](super#states) for this state. The task stays as it was.
    pub fn apply(&mut self, event: Event) -> Result<(), Refused> {
        use State as S;
        let refused = |reason| Refused { state: self.state, event: event.name(), reason };
        let reason = match &event {
            Event::Delete | Event::Modify(_) if self.clients > 0 => Some("clients still use its proxy"),
            Event::Pause if self.paused => Some("it is paused"),
            Event::Pause | Event::Ready if self.finishing => Some("it is coming to its end"),
            Event::Resume if !self.paused => Some("it is not paused"),
            Event::Finish if self.paused => Some("it is paused"),
            Event::Finish if self.clients > 0 && self.steps.client_flow_redirect != StepStatus::Success => {
                Some("clients that use its proxy have not been led to the target")
            }
            Event::Redirected if self.steps.migrate_and_check != StepStatus::Success => {
                Some("the target is not up to date yet")
            }
            _ => None,
        };
        if reason.is_some() {
            return Err(refused(reason));
        }
        match (self.state, event) {
            (S::Validated | S::Invalid | S::CreateFailed | S::StartFailed, Event::Modify(spec)) => {
                *self = Self::new(self.id.clone(), spec);
            }
            (S::Creating, Event::Validated(warnings)) => {
                self.warnings = warnings;
                self.go(S::Validated);
            }
            (S::Creating, Event::Refused(failure)) => self.fail(S::Invalid, failure),
            (S::Creating, Event::NotValidated(failure)) => self.fail(S::CreateFailed, failure),
            (S::Validated | S::StartFailed, Event::Start) => self.go(S::Starting),
            (S::Starting, Event::Started) => self.go(S::WaitMigrate),
            (S::Starting, Event::NotStarted(failure)) => self.fail(S::StartFailed, failure),
            (S::WaitMigrate, Event::Migrate(now))
            | (S::Error | S::MigrateFailed | S::MigrateTimeout, Event::Remigrate(now)) => self.migrate(now),
            (S::Migrating, Event::Pause) => self.paused = true,
            (S::Migrating, Event::Resume) => self.paused = false,
            (S::Migrating, Event::Ready) => self.steps.migrate_and_check = StepStatus::Success,
            (S::Migrating, Event::Redirected) => self.steps.client_flow_redirect = StepStatus::Success,
            (S::Migrating, Event::Finish) => {
                self.finishing = true;
                self.steps.migrate_finish = StepStatus::Running;
            }
            (S::Migrating, Event::Finished) => {
                self.steps.migrate_and_check = StepStatus::Success;
                self.steps.migrate_finish = StepStatus::Success;
                self.go(S::Migrated);
                self.clients_are(self.clients);
            }
            (S::Migrating, Event::Cancel) => {
                let failure = Failure::new(crate::ErrorKind::Interrupted, "given up by the user");
                self.stop(S::MigrateFailed, failure.remedy("migrate it again, or delete it"));
            }
            (S::Migrating, Event::Broke(failure)) => {
                let state = if failure.passing { S::Error } else { S::MigrateFailed };
                self.stop(state, failure);
            }
            (S::Migrating, Event::TimedOut(failure)) => self.stop(S::MigrateTimeout, failure),
            (
                S::WaitMigrate | S::Migrating | S::Migrated | S::Error | S::MigrateFailed | S::MigrateTimeout,
                Event::Clients(count),
            ) => self.clients_are(count),
            (state, Event::Delete) if !state.is_active() => self.go(S::Deleting),
            // Once more, after a failure.
            (S::Deleting, Event::Delete) => self.failure = None,
            (S::Deleting, Event::NotDeleted(failure)) => self.failure = Some(failure),
            (state, event) => return Err(Refused { state, event: event.name(), reason: None }),
        }
        Ok(())
    }

    fn go(&mut self, state: State) {
        (self.state, self.failure) = (state, None);
        (self.paused, self.finishing) = (false, false);
    }

    fn fail(&mut self, state: State, failure: Failure) {
        self.go(state);
        self.failure = Some(failure);
    }

    fn migrate(&mut self, now: u64) {
        self.go(State::Migrating);
        self.migrating_since = Some(now);
        self.steps.migrate_and_check = StepStatus::Running;
        self.steps.migrate_finish = StepStatus::Init;
    }

    fn stop(&mut self, state: State, failure: Failure) {
        self.fail(state, failure);
        for step in [&mut self.steps.migrate_and_check, &mut self.steps.migrate_finish] {
            if *step == StepStatus::Running {
                *step = StepStatus::Fail;
            }
        }
    }

    /// So many clients use the proxy now. Those that do not are in the source before the migration is over, and in the target after.
    fn clients_are(&mut self, count: u32) {
        use StepStatus::{Init, Running, Success};
        let over = self.state == State::Migrated;
        self.clients = count;
        let steps = &mut self.steps;
        let used = count > 0 || steps.client_flow_in_proxy != Init;
        if used && !over {
            let (source, proxy) = if count > 0 { (Success, Running) } else { (Running, Init) };
            (steps.client_flow_in_source, steps.client_flow_in_proxy) = (source, proxy);
        }
        if over {
            steps.client_flow_in_source = Success;
            steps.client_flow_in_target = if count > 0 { Running } else { Success };
            if used {
                steps.client_flow_in_proxy = if count > 0 { Running } else { Success };
            }
        }
    }
}

/// A line of the table: in any of `from`, the events that `by` lets happen lead to one of `to`.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct Transition {
    /// The states before.
    pub from: &'static [State],
    /// The event's [name](Event::name).
    pub event: &'static str,
    /// The states after.
    pub to: &'static [State],
    /// Who lets it happen.
    pub by: &'static str,
}

/// All that can happen to a task, as [the documentation](super#states) shows it. Whatever is not in here is refused.
pub const TRANSITIONS: &[Transition] = {
    use State::{
        CreateFailed, Creating, Deleting, Error, Invalid, MigrateFailed, MigrateTimeout, Migrated, Migrating,
        StartFailed, Starting, Validated, WaitMigrate,
    };
    const fn line(from: &'static [State], event: &'static str, to: &'static [State], by: &'static str) -> Transition {
        Transition { from, event, to, by }
    }
    const USER: &str = "user";
    const MIGRATOR: &str = "migrator";
    &[
        line(&[Creating], "validated", &[Validated], MIGRATOR),
        line(&[Creating], "refused", &[Invalid], MIGRATOR),
        line(&[Creating], "notValidated", &[CreateFailed], MIGRATOR),
        line(&[Validated, Invalid, CreateFailed, StartFailed], "modify", &[Creating], USER),
        line(&[Validated, StartFailed], "start", &[Starting], USER),
        line(&[Starting], "started", &[WaitMigrate], MIGRATOR),
        line(&[Starting], "notStarted", &[StartFailed], MIGRATOR),
        line(&[WaitMigrate], "migrate", &[Migrating], USER),
        line(&[Migrating], "pause", &[Migrating], USER),
        line(&[Migrating], "resume", &[Migrating], USER),
        line(&[Migrating], "ready", &[Migrating], "manager"),
        line(&[Migrating], "redirected", &[Migrating], "proxy"),
        line(&[Migrating], "finish", &[Migrating], USER),
        line(&[Migrating], "finished", &[Migrated], MIGRATOR),
        line(&[Migrating], "broke", &[Error, MigrateFailed], MIGRATOR),
        line(&[Migrating], "timedOut", &[MigrateTimeout], "manager"),
        line(&[Migrating], "cancel", &[MigrateFailed], USER),
        line(&[Error, MigrateFailed, MigrateTimeout], "remigrate", &[Migrating], USER),
        line(&[WaitMigrate], "clients", &[WaitMigrate], "proxy"),
        line(&[Migrating], "clients", &[Migrating], "proxy"),
        line(&[Migrated], "clients", &[Migrated], "proxy"),
        line(&[Error], "clients", &[Error], "proxy"),
        line(&[MigrateFailed], "clients", &[MigrateFailed], "proxy"),
        line(&[MigrateTimeout], "clients", &[MigrateTimeout], "proxy"),
        line(
            &[
                Validated,
                Invalid,
                WaitMigrate,
                Migrated,
                CreateFailed,
                StartFailed,
                Error,
                MigrateFailed,
                MigrateTimeout,
                Deleting,
            ],
            "delete",
            &[Deleting],
            USER,
        ),
        line(&[Deleting], "notDeleted", &[Deleting], MIGRATOR),
    ]
};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
