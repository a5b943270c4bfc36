//! What the tests of RDTS stand on: real servers as child processes, reproducible data and write load, and oracles
//! that say whether two servers hold the same.
//!
//! ```no_run
//! use rdts_testkit::Server;
//!
//! let server = Server::start("redis-7.0");
//! server.cmd(&["SET", "key", "value"]);
//! assert_eq!(server.info("replication")["role"], "master");
//! ```
//!
//! Everything here blocks; calls are short, so that a test on a tokio runtime may call them directly, and puts the long
//! ones ([`fn@compare`], [`fn@fill`]) on `spawn_blocking`. Nothing returns an error to be handled: what goes wrong
//! fails the test by a panic that says what, where, and with the end of the server's log.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod builder;
mod certificates;
mod cluster;
mod codis;
mod compare;
mod deployment;
mod fault_proxy;
mod fill;
mod load;
mod process;
mod program;
mod proxy;
mod rng;
mod sentinel;
mod server;
mod slot;
mod version;
mod wait;
mod wire;

pub use builder::Builder;
pub use certificates::{Certificates, Pair};
pub use cluster::{Cluster, ClusterBuilder, OpenSlot};
pub use codis::Codis;
pub use compare::{CompareOptions, Difference, DifferenceKind, assert_same, compare, compare_with, digest};
pub use deployment::Deployment;
pub use fault_proxy::{Direction, FaultProxy, Flow};
pub use fill::{FillOptions, FillReport, fill};
pub use load::{Load, LoadOptions, LoadReport};
pub use process::{Signal, free_port};
pub use program::{ChildProgram, Cost, Finished};
pub use proxy::Proxy;
pub use rng::Rng;
pub use sentinel::{Sentinel, SentinelBuilder};
pub use server::Server;
pub use slot::key_slot;
pub use version::{Version, server_folder};
pub use wait::wait_until;
