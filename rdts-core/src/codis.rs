//! A Codis deployment: its groups of servers, and which group has which slot.
//!
//! A [`Dashboard`] tells it over HTTP; whoever has no dashboard to ask makes a [`CodisTopology`] from a list of groups and a table of
//! slots. For what a key's slot is, see [`slot::codis`](crate::slot::codis).
//!
//! The forms are those of CodisLabs/codis 3.2, which every later fork keeps.

mod dashboard;
mod http;
mod parse;
mod shard;
mod topology;
mod watch;

pub use dashboard::{Dashboard, MAX_ANSWER};
pub use shard::CodisShard;
pub use topology::{CodisTopology, Group, Move};
pub use watch::{CodisWatch, WatchOptions};
