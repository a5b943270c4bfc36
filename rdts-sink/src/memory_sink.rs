//! The keyspace in memory as a sink.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::record::{Batch, Command, Kind};
use rdts_core::sink::{Capabilities, Sink, Watermark};
use rdts_core::translate::Target;

use crate::judge::{Answer, Judge};
use crate::memory::{CommandErrorKind, MemoryStore, Reply};

/// Applies everything to a [`MemoryStore`], at once: what is accepted is applied.
///
/// For tests, and for programs that want a source's data and changes without a server of their own.
#[derive(Debug, Default)]
pub struct MemorySink {
    store: Arc<Mutex<MemoryStore>>,
    watermark: Watermark,
    failed: Option<(ErrorKind, String)>,
}

impl MemorySink {
    /// An empty keyspace.
    pub fn new() -> Self {
        Self::default()
    }

    /// The keyspace, which stays when the sink is closed. It changes between two batches, not within one.
    pub fn store(&self) -> Arc<Mutex<MemoryStore>> {
        self.store.clone()
    }

    fn apply(&self, batch: &Batch) -> Result<Judge> {
        let mut judge = Judge::default();
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let mut args = Vec::new();
        for command in batch.commands() {
            // Nobody sees the store in the middle of a batch, and a transaction is in one batch.
            if matches!(command.kind(), Kind::Multi | Kind::Exec) {
                judge.answer(&command, &Answer::Something)?;
                continue;
            }
            args.clear();
            args.extend(command.args());
            let answer = match store.apply(command.db(), &args, now) {
                Ok(Reply::Nil | Reply::Integer(0)) => Answer::Nothing,
                Ok(_) => Answer::Something,
                Err(error) if error.kind() == CommandErrorKind::Unsupported => {
                    return Err(unsupported(&command, &error));
                }
                Err(error) => Answer::Error(Cow::Owned(error.to_string().into_bytes())),
            };
            judge.answer(&command, &answer)?;
        }
        Ok(judge)
    }
}

fn unsupported(command: &Command<'_>, error: &crate::memory::CommandError) -> Error {
    Error::new(ErrorKind::Unsupported, error.to_string()).at(format!(
        "the keyspace in memory, {} at offset {}",
        command.name().escape_ascii(),
        command.offset()
    ))
}

impl Sink for MemorySink {
    fn capabilities(&self) -> Capabilities {
        // The newest that the store reads: nothing needs to be taken apart for it.
        Capabilities::new(Target::redis(8, 10, 0)).multi_key(true)
    }

    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.flush().await?;
        match self.apply(&batch) {
            Ok(judge) => {
                self.watermark.batches += 1;
                self.watermark.position = Some(*batch.position());
                self.watermark.counts += judge.counts();
                Ok(())
            }
            Err(error) => {
                self.failed = Some((error.kind(), error.to_string()));
                Err(error)
            }
        }
    }

    fn acked(&self) -> Watermark {
        self.watermark
    }

    async fn flush(&mut self) -> Result<()> {
        match &self.failed {
            Some((kind, text)) => Err(Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }

    async fn close(mut self) -> Result<()> {
        self.flush().await
    }
}
