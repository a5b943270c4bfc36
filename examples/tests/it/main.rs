//! The example programs, run as people run them, between real servers.

#![allow(clippy::unwrap_used, clippy::panic)]

mod bad_input;
mod conflicts;
mod contract;
mod deployments;
mod live;
mod rdb_tool;
mod resume;
mod support;
mod urls;
