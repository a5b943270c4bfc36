//! Where RDTS writes.
//!
//! - [`NodeSink`]: one Redis or Valkey server, pipelined over one connection, every reply accounted for.
//! - [`ClusterSink`]: a Redis or Valkey Cluster; slots may move and nodes fail over meanwhile.
//! - `CodisSink` (feature `codis`): the groups of a Codis deployment, without its proxies.
//! - [`ProxySink`]: whatever is behind proxies: Codis, twemproxy, Envoy, a cloud's.
//! - [`MemorySink`]: a [keyspace in memory](memory::MemoryStore) that replays a replication stream, for tests and for programs that
//!   only want to read.
//! - [`FileSink`]: an RDB, RESP or JSON lines [file](mod@file).
//!
//! ```no_run
//! use rdts_core::source::{ReplicaOptions, ReplicaSource};
//! use rdts_core::{Endpoint, Pipeline, Result, Sink};
//! use rdts_sink::{NodeOptions, NodeSink};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! # let (Endpoint::Node { address: from, .. }, Endpoint::Node { address: to, .. }) =
//! #     ("redis://10.0.0.1".parse()?, "redis://10.0.0.2".parse()?) else { return Ok(()) };
//! let sink = NodeSink::connect(&to, NodeOptions::default()).await?;
//! let source = ReplicaSource::open(&from, sink.capabilities().target, ReplicaOptions::default()).await?;
//! Pipeline::new(source, sink).run().await.result
//! # }
//! ```

pub mod cluster;
#[cfg(feature = "codis")]
pub mod codis;
pub mod crossing;
mod duplex;
mod failure;
pub mod file;
mod impossible;
mod judge;
mod lanes;
pub mod memory;
mod memory_sink;
pub mod node;
pub mod proxy;

pub use cluster::{ClusterOptions, ClusterSink};
#[cfg(feature = "codis")]
pub use codis::{CodisOptions, CodisSink};
pub use file::{FileFormat, FileOptions, FileSink};
pub use impossible::OnImpossible;
pub use memory_sink::MemorySink;
pub use node::{NodeOptions, NodeSink};
pub use proxy::{ProxyOptions, ProxySink};
