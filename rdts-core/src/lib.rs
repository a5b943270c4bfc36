//! Connections, the replica client, sources, translation and the pipeline of RDTS.

pub mod command;
pub mod endpoint;
pub mod error;
pub mod filter;
pub mod ledger;
pub mod net;
pub mod pipeline;
pub mod primary;
pub mod record;
pub mod replica;
pub mod sink;
pub mod source;
pub mod translate;

pub use endpoint::Endpoint;
pub use error::{Error, ErrorKind, Result};
pub use pipeline::Pipeline;
pub use record::{Batch, Position};
pub use sink::{BoxSink, Sink};
pub use source::Source;
