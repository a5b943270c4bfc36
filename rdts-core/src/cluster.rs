//! What a Redis or Valkey Cluster consists of: which nodes there are, and which slots each of them serves.
//!
//! [`Topology::discover`] asks any of several nodes by `CLUSTER SLOTS`, which every version from Redis 3.0 to 8.10 and every Valkey
//! answers in nearly the same form. For what a key's slot is, see [`slot`](crate::slot).

mod discover;
mod topology;
mod view;

pub(crate) use view::{range_text, ranges};

pub use topology::{Node, NodeId, Shard, Topology, TopologyOptions};
