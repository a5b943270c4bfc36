//! The integration tests of rdts-sink.

#![allow(clippy::unwrap_used, clippy::panic)]

mod crossing;
mod memory;
mod node;
mod translate;
