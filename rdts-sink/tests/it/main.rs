//! The integration tests of rdts-sink.

#![allow(clippy::unwrap_used, clippy::panic)]

mod aof;
mod cluster;
#[cfg(feature = "codis")]
mod codis;
mod conformance;
mod crossing;
mod file;
mod fleet;
mod memory;
mod node;
mod node_exact;
mod proxy;
mod rules;
mod scan;
mod tls;
mod translate;
mod versions;
