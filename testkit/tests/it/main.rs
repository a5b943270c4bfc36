//! The test kit against the servers themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cluster;
mod compare;
mod fault_proxy;
mod fill;
mod load;
mod program;
mod proxy;
mod sentinel;
mod server;
