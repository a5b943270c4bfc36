//! The test kit against the servers themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod program;
mod server;
