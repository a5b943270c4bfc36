//! Tests of rdts-core against real servers and over real sockets.

#![allow(clippy::unwrap_used, clippy::panic)]

mod aof;
mod command;
mod primary;
mod reconnect;
mod replica;
mod slot;
