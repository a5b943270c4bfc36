//! The replica's end of the replication protocol.
//!
//! ```text
//! Connection ──► Handshake ──► ReplicaLink ──► blocks of bytes: the RDB payload, then the stream
//!  (login)       (sans-IO)      │ reader task: socket → bounded queue, never waits for a target
//!                               └ ACK task: REPLCONF ACK every second, from the first byte of the RDB on
//! ```
//!
//! What is done here follows the behaviour of servers from Redis 2.6 to 8.10 and Valkey 8 and 9.

mod handshake;
mod lines;
mod link;
mod payload;

pub use handshake::{Action, Announce, Handshake, Resume, Sync};
pub(crate) use link::{Acknowledged, append};
pub use link::{LinkConfig, ReplicaLink};
pub use payload::Framing;
