//! Migrations as an operator sees them: tasks that are created, validated, started, migrated and finished, each of which is in a state that
//! says what is going on and what may be done.
//!
//! A [`Task`] is a pure state machine; a [`TaskStore`] keeps tasks over restarts ([`FileStore`], [`MemoryStore`]); a [`TaskManager`] runs many
//! of them in one process, and leaves the work itself to a [`Migrator`]. This crate depends on these traits alone: the examples have a
//! migrator for real deployments, and `service` is a program around it.
//!
//! # States
//!
//! Whatever is not in this table is [refused](Refused), and changes nothing. `user` is a call of the manager, `migrator` how a call of the
//! [`Migrator`] ended, `manager` what the manager sees itself, `proxy` whoever runs a proxy for the task and tells the manager.
//!
//! | state | event | by | next state |
//! |---|---|---|---|
//! | `creating` | `validated` | migrator | `validated` |
//! | `creating` | `refused` | migrator | `invalid` |
//! | `creating` | `notValidated` | migrator | `createFailed` |
//! | `validated`, `invalid`, `createFailed`, `startFailed` | `modify` | user | `creating` |
//! | `validated`, `startFailed` | `start` | user | `starting` |
//! | `starting` | `started` | migrator | `waitMigrate` |
//! | `starting` | `notStarted` | migrator | `startFailed` |
//! | `waitMigrate` | `migrate` | user | `migrating` |
//! | `migrating` | `pause` | user | `migrating` |
//! | `migrating` | `resume` | user | `migrating` |
//! | `migrating` | `ready` | manager | `migrating` |
//! | `migrating` | `redirected` | proxy | `migrating` |
//! | `migrating` | `finish` | user | `migrating` |
//! | `migrating` | `finished` | migrator | `migrated` |
//! | `migrating` | `broke` | migrator | `error`, `migrateFailed` |
//! | `migrating` | `timedOut` | manager | `migrateTimeout` |
//! | `migrating` | `cancel` | user | `migrateFailed` |
//! | `error`, `migrateFailed`, `migrateTimeout` | `remigrate` | user | `migrating` |
//! | `waitMigrate` | `clients` | proxy | `waitMigrate` |
//! | `migrating` | `clients` | proxy | `migrating` |
//! | `migrated` | `clients` | proxy | `migrated` |
//! | `error` | `clients` | proxy | `error` |
//! | `migrateFailed` | `clients` | proxy | `migrateFailed` |
//! | `migrateTimeout` | `clients` | proxy | `migrateTimeout` |
//! | `validated`, `invalid`, `waitMigrate`, `migrated`, `createFailed`, `startFailed`, `error`, `migrateFailed`, `migrateTimeout`, `deleting` | `delete` | user | `deleting` |
//! | `deleting` | `notDeleted` | migrator | `deleting` |
//!
//! Besides: nothing is deleted or modified while clients use the task's proxy, nothing is finished while it is paused or
//! before clients of its proxy have been led to the target, and they are not before the target is up to date.
//!
//! `broke` leads to `error` if what happened may pass ([`Retry::Resume`](crate::error::Retry::Resume): a connection was lost, a server is not
//! ready), and to `migrateFailed` otherwise.
//!
//! # Steps
//!
//! | step | `running` | `success` | `fail` |
//! |---|---|---|---|
//! | `clientFlowInSource` | at first | clients use the proxy, or the migration is over | |
//! | `clientFlowInProxy` | clients use the proxy | the migration is over, and they do not any more | |
//! | `migrateAndCheck` | `migrate`, `remigrate` | `ready`, `finished` | `broke`, `timedOut`, `cancel` before that |
//! | `clientFlowRedirect` | | `redirected` | |
//! | `clientFlowInTarget` | the migration is over, and clients still use the proxy | the migration is over, and they do not | |
//! | `migrateFinish` | `finish` | `finished` | `broke`, `timedOut`, `cancel` after `finish` |
//!
//! A step that has not begun is `init`.

mod changes;
mod event;
mod machine;
mod manager;
mod migrator;
mod spec;
mod state;
mod steering;
mod store;

pub use changes::{Change, Changes};
pub use event::{Event, Refused};
pub use machine::{TRANSITIONS, Task, Transition};
pub use manager::TaskManager;
pub use migrator::{Ended, Migrator, Run, Validation};
pub use spec::{Spec, TaskId};
pub use state::{Failure, State, StepStatus, Steps};
pub use steering::Steering;
pub use store::{FileStore, MemoryStore, TaskStore};
