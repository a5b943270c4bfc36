//! Where RDTS writes.

mod judge;
pub mod memory;
mod memory_sink;
pub mod node;

pub use memory_sink::MemorySink;
pub use node::{NodeOptions, NodeSink};
