//! Several source shards side by side in one process, each with a pipeline and a sink of its own.
//!
//! ```text
//!  open(endpoint) ──► ShardSource ─ + sink ─► Shard ┐
//!                     ShardSource ─ + sink ─► Shard ├─► Fleet ──► one report, one handle; the first error stops all
//!                     ShardSource ─ + sink ─► Shard ┘
//! ```
//!
//! A single source is a fleet of one. Shards share nothing, with one exception: where slots move between the nodes of a cluster
//! while it is being copied, the new owner's shard waits until the old owner's has applied all that came before the move.
//!
//! # Slots that move
//!
//! Two streams have no order between them, but each key's history has. For each slot a fleet knows the shards that may have
//! something of it that is not applied: at first the one that serves it. A command of another shard is *foreign*. Before it is
//! passed on, the nodes of all such shards are asked how far their streams are and what they serve; what they wrote to the slot
//! before it moved lies before these offsets, and once it is applied the command may follow, and the slot belongs to its new shard.
//! When two shards wait for each other, since slots move both ways, each lets the other's command pass if it has itself nothing
//! to be applied before that offset that names the same keys.
//!
//! What servers write into their streams in order to move a slot is understood as that: keys that arrive by `MIGRATE` replace
//! those that are there; what a node throws away of slots that it has lost is left out; what an importing node receives in an
//! atomic move (Redis 8.4) is left out as well, since it comes with the other node's stream.
//!
//! What cannot be told exactly is an error: see [`open`] and [`Shard`]. Known limit: a slot that comes back to a node before what it
//! and others wrote to it earlier is applied (two moves of one slot within the lag) is told of by an error in most cases, not in
//! all.

mod board;
mod cluster;
mod lane;
mod moves;
mod open;
mod run;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod simulated;
mod view;

pub use open::{ShardSource, open};
pub use run::{Finished, Fleet, Handle, Report, Shard};
