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
//! Two streams have no order between them, but each key's history has. All nodes are asked all the time (ten times a second, and at
//! once when a lane waits) which slots they serve and how far their streams are. Each answer is put between what was asked and
//! read before and after it, so that a command of one stream is known to have been executed between two answers of every node.
//!
//! For each slot a fleet keeps its *tenures*: which nodes served it, from which offset to which. A command that is the first of its
//! lane, or comes after the node was seen without the slot, begins a new one. It may be passed on once everything is applied that
//! the nodes of the tenures before wrote to the slot up to their first answers behind the command. That these answers are not too
//! late, with writes of after the command before them, must follow from what is known: a node that takes over a slot gets a higher
//! config epoch, so it did not if that is the same as before the command; or its stream says of itself what it took over (Redis
//! 8.4); or it wrote nothing to the slot; or a key of the slot has been with the node of the command all the time. Otherwise the
//! slot may have gone there and back in between, and that is an error (`Topology`), as is a slot that a node lost and imports again
//! without an answer in between that shows it gone: a slot that stays for a second with each node is
//! followed exactly, however late the copy is. Not seen is a slot whose import was given up half way (`CLUSTER SETSLOT … STABLE`),
//! after keys had been written there that never came back as keys.
//!
//! When two shards wait for each other, since slots move both ways, each lets the other's command pass if it has itself nothing
//! to be applied before that offset that names the same keys.
//!
//! What servers write into their streams in order to move a slot is understood as that: keys that arrive by `MIGRATE` replace
//! those that are there; what a node throws away of slots that it has lost is left out; what an importing node receives in an
//! atomic move (Redis 8.4) is left out as well, since it comes with the other node's stream.
//!
//! # Full copies at once
//!
//! A full copy has a node fork and write its snapshot. Of the nodes of one host only
//! [so many](crate::source::ReplicaOptions::full_syncs_per_host) are copied at once: the others begin when a snapshot before them was received
//! (into the spool, or without one into the hands of the sink). With a cluster, slots that move before the last has begun are an error
//! (`Topology`), since its snapshots would not fit together.
//!
//! What cannot be told exactly is an error: see [`open`] and [`Shard`].

mod board;
mod cluster;
mod lane;
mod layout;
mod moves;
mod open;
mod replica;
mod rules;
mod run;
mod samples;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod scripted;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod simulated;
mod source;
mod tenures;
mod view;

#[cfg(feature = "codis")]
pub(crate) use open::replicas;
pub use open::{Shards, open};
pub use run::{Finished, Fleet, Handle, Report, Shard};
pub use source::ShardSource;
