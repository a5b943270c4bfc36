//! Tests of rdts-core against real servers and over real sockets.

#![allow(clippy::unwrap_used, clippy::panic)]

mod aof;
#[cfg(feature = "codis")]
mod codis;
mod collector;
mod command;
mod pipeline;
mod precheck;
mod primary;
mod protection;
mod reconnect;
mod replica;
mod resume;
mod slot;
mod tls;
mod turns;
mod verify;
