//! The example programs, run as people run them, between real servers.

#![allow(clippy::unwrap_used, clippy::panic)]

mod bad_input;
mod conflicts;
mod contract;
mod crash;
mod deployments;
#[cfg(feature = "failpoints")]
mod failpoints;
mod faults;
mod live;
mod matrix;
mod options;
mod rdb_tool;
mod resume;
mod service;
mod support;
mod tasks;
mod tls;
mod urls;
mod verify;
