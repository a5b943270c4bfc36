//! A migration between two places of the user's, put together from the crates: what `migrate` and `service` share.
//!
//! [`Job`] says what is asked for, [`migrate`] does it, tells an [`Observer`] how it goes, and heeds a [`Steering`].

mod job;
mod observer;
mod precheck;
mod run;
mod source;
mod state;
mod steering;
mod stopped;
mod target;

pub use job::{Job, OnLost};
pub use observer::{Observer, Started, watch};
pub use run::{Ended, migrate};
pub use steering::Steering;
pub use stopped::Stopped;
