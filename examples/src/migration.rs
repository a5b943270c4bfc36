//! A migration between two places of the user's, put together from the crates: what `migrate` and `service` share.
//!
//! [`Job`] says what is asked for, [`migrate`] does it, tells an [`Observer`] how it goes, and heeds a [`Steering`]. [`Deployments`] does so for a manager of
//! tasks.

mod comparison;
mod job;
mod migrator;
mod observer;
mod precheck;
mod run;
mod source;
mod state;
mod stopped;
mod target;

pub use job::{Job, OnLost};
pub use migrator::Deployments;
pub use observer::{Observer, Started, watch};
pub use rdts_core::task::{Ended, Steering};
pub use run::migrate;
pub use stopped::Stopped;
