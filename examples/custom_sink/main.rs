//! The pieces put together by hand: a replica of a server, a filter, and a sink of one's own that prints every change to
//! a key starting with `user:`, with its offset.
//!
//! ```text
//! cargo run --release --example custom_sink -- redis://127.0.0.1:6379
//! ```

use rdts_core::filter::Filtered;
use rdts_core::record::Batch;
use rdts_core::sink::{Capabilities, Sink, Watermark};
use rdts_core::source::{ReplicaOptions, ReplicaSource};
use rdts_core::translate::Target;
use rdts_core::{Endpoint, Error, ErrorKind, Pipeline, Result};

#[derive(Default)]
struct Printer(Watermark);

impl Sink for Printer {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Target::redis(7, 0, 0)) // which commands to be given
    }

    async fn write(&mut self, batch: Batch) -> Result<()> {
        for command in batch.commands() {
            let key = command.key().unwrap_or_default().escape_ascii();
            println!("{} {} {key} (db {})", command.offset(), command.name().escape_ascii(), command.db());
        }
        self.0.batches += 1;
        self.0.position = Some(*batch.position()); // the source may forget everything up to here
        Ok(())
    }

    fn acked(&self) -> Watermark {
        self.0
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn close(self) -> Result<()> {
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".into());
    let Endpoint::Node { address, .. } = url.parse()? else {
        return Err(Error::new(ErrorKind::Config, "expected a redis:// URL"));
    };
    let sink = Printer::default();
    let replica = ReplicaSource::open(&address, sink.capabilities().target, ReplicaOptions::default()).await?;
    let source = Filtered::new(replica, |command| command.key().is_some_and(|key| key.starts_with(b"user:")));
    Pipeline::new(source, sink).run().await.result
}
