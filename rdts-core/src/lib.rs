//! The core of RDTS, which moves live Redis and Valkey data from one deployment to another: a full copy, then every write
//! that follows it.
//!
//! ```text
//!  socket / file
//!    │ bytes
//!    ▼
//!  Source ─────────────────────────────────────┐          Pipeline            Sink
//!   rdts_rdb::Parser ──Event──┐                │
//!                             ├─► translate ─► Batch ──► back-pressure ──► write, acked
//!   rdts_resp::CommandDecoder─┘                │                                │
//!    ▲                                         │                                │
//!    └── REPLCONF ACK ◄── acknowledge ─────────┴──────────── Watermark ◄────────┘
//! ```
//!
//! Data flows one way, and is copied once on its way: from the read buffer into the arena of a [`Batch`], already as RESP. What
//! is *applied* in the target comes back as a [`Watermark`](sink::Watermark), and only that is acknowledged to the source.
//!
//! # The pieces
//!
//! - [`source::ReplicaSource`]: a replica of one node; [`source::RdbSource`] and [`source::AofSource`]: files;
//!   [`source::ScanSource`]: a server that may not be replicated;
//! - [`translate`]: what they read becomes commands that the target's version understands;
//! - [`sink::Sink`]: where the commands go. The crate `rdts-sink` has sinks for servers, clusters, proxies, files and memory; your own
//!   needs this crate alone, and the feature `conformance` has a suite to check it with;
//! - [`Pipeline`]: joins a source and a sink; [`pipeline::Handle`] watches and stops it;
//! - [`fleet`]: the shards of a source side by side, from an [`Endpoint`]; [`cluster`], [`sentinel`] and `codis` (a feature) find their
//!   nodes, [`slot`] and [`command`] know what belongs where;
//! - [`task`]: migrations as an operator sees them, led through their states and kept over restarts; [`progress`]: how far one is, and how
//!   far behind; [`metrics`]: the same as numbers for whoever collects them;
//! - [`replica`] and [`primary`]: both ends of the replication protocol, for other uses of it.
//!
//! # Example
//!
//! A sink that counts, fed from an RDB in memory:
//!
//! ```
//! use rdts_core::record::Batch;
//! use rdts_core::sink::{Capabilities, Sink, Watermark};
//! use rdts_core::source::RdbSource;
//! use rdts_core::translate::{Target, TranslateOptions};
//! use rdts_core::{Pipeline, Result};
//!
//! #[derive(Default)]
//! struct Counter(Watermark);
//!
//! impl Sink for Counter {
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities::new(Target::redis(7, 0, 0))
//!     }
//!     async fn write(&mut self, batch: Batch) -> Result<()> {
//!         for command in batch.commands() {
//!             self.0.counts.keys += u64::from(command.mark().keys);
//!         }
//!         self.0.batches += 1;
//!         self.0.position = Some(*batch.position());
//!         Ok(())
//!     }
//!     fn acked(&self) -> Watermark {
//!         self.0
//!     }
//!     async fn flush(&mut self) -> Result<()> {
//!         Ok(())
//!     }
//!     async fn close(self) -> Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let rdb: &[u8] = b"REDIS0003\xfe\x00\x00\x01k\x01v\xff";
//! let sink = Counter::default();
//! let target = sink.capabilities().target;
//! let source = RdbSource::read_from("example", rdb, target, TranslateOptions::default()).await?;
//! let finished = Pipeline::new(source, sink).run().await;
//! finished.result?;
//! assert_eq!(finished.report.applied.counts.keys, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//!
//! Memory is bounded: what is read ahead of the sink ([`replica::LinkConfig::read_ahead`], 8 MiB), what the sink has under way, and
//! the longest single thing that has to be whole, which is an element, a command or a transaction of the source (each at most
//! 1 GiB, a stream or module value at most 512 MiB); other values of any size pass through in pieces. Errors are
//! [typed](ErrorKind), name the endpoint, key or offset, and stop the run. Tried again are the handshake with a server that is not
//! ready and a link to a source that broke in the stream ([`source::Reconnect`]).

pub mod adapt;
pub mod checkpoint;
pub mod cluster;
#[cfg(feature = "codis")]
pub mod codis;
pub mod command;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod control;
pub mod endpoint;
pub mod error;
#[doc(hidden)] // For those who test crashes; see there.
pub mod failpoint;
pub mod filter;
pub mod fleet;
pub mod ledger;
pub mod metrics;
pub mod net;
pub mod pipeline;
pub mod precheck;
pub mod primary;
pub mod progress;
pub mod protection;
pub mod record;
pub mod replica;
pub mod sentinel;
pub mod sink;
pub mod slot;
pub mod source;
pub mod spool;
pub mod task;
pub mod tls;
pub mod translate;
pub mod verify;

pub use endpoint::Endpoint;
pub use error::{Error, ErrorKind, Result};
pub use pipeline::Pipeline;
pub use record::{Batch, Position};
pub use sink::{BoxSink, Sink};
pub use source::Source;
