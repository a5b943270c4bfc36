//! A sink that keeps what it is given.

use std::sync::{Arc, Mutex};

use rdts_core::record::{Batch, Kind};
use rdts_core::sink::{Capabilities, Sink, Watermark};
use rdts_core::translate::Target;
use rdts_core::{Error, ErrorKind, Result};
use tokio::sync::{Semaphore, watch};

pub(crate) const TARGET: Target = Target::redis(7, 0, 0);

/// Keeps the commands as text, each with its database and offset; takes a batch only when there is a permit.
pub(crate) struct Collector {
    pub(crate) seen: Arc<Mutex<Vec<(u32, String, u64)>>>,
    pub(crate) permits: Arc<Semaphore>,
    watermark: watch::Sender<Watermark>,
}

impl Collector {
    /// With more permits than any test needs.
    pub(crate) fn new() -> Self {
        Self::with_permits(1 << 24)
    }

    pub(crate) fn with_permits(permits: usize) -> Self {
        let watermark = watch::channel(Watermark::default()).0;
        Self { seen: Arc::default(), permits: Arc::new(Semaphore::new(permits)), watermark }
    }

    /// What it was given, for whoever waits for that.
    pub(crate) fn watch(&self) -> watch::Receiver<Watermark> {
        self.watermark.subscribe()
    }
}

impl Sink for Collector {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(TARGET)
    }
    async fn write(&mut self, batch: Batch) -> Result<()> {
        let refused = |_| Error::new(ErrorKind::Rejected, "nothing more is taken");
        self.permits.acquire().await.map_err(refused)?.forget();
        let open = batch.commands().filter(|command| command.kind() == Kind::Multi).count();
        let closed = batch.commands().filter(|command| command.kind() == Kind::Exec).count();
        assert_eq!(open, closed, "a transaction was split");
        self.seen.lock().unwrap().extend(batch.commands().map(|command| {
            let words: Vec<_> = command.args().map(|arg| arg.escape_ascii().to_string()).collect();
            (command.db(), words.join(" "), command.offset())
        }));
        self.watermark.send_modify(|watermark| {
            watermark.batches += 1;
            watermark.position = Some(*batch.position());
        });
        Ok(())
    }
    fn acked(&self) -> Watermark {
        *self.watermark.borrow()
    }
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }
    async fn close(self) -> Result<()> {
        Ok(())
    }
}
