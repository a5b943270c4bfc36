//! Every command exactly once: transactions with a checkpoint.

mod checkpoint;
mod commit;
mod judged;
mod link;
mod log;
mod recover;
mod transaction;

use std::fmt;
use std::sync::Arc;

use rdts_core::checkpoint::CheckpointName;
use rdts_core::error::Result;
use rdts_core::record::{Batch, Position};
use rdts_core::sink::Watermark;
use rdts_core::source::Locator;
use rdts_core::translate::Target;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use self::checkpoint::is_applied;
use self::commit::{Committer, Message};
use self::transaction::Accepted;
use super::{NodeOptions, Status};
use crate::failure::gone;

/// The side of the sink that takes batches; a [`Committer`] in a task of its own writes them.
pub(super) struct Exact {
    target: Target,
    resumed: Option<Position>,
    /// Something was written that is beyond where the target was.
    beyond: bool,
    written: u64,
    window: Arc<Semaphore>,
    window_size: u32,
    queue: mpsc::UnboundedSender<Message>,
    status: watch::Receiver<Status>,
    task: JoinHandle<()>,
}

impl Exact {
    pub(super) async fn connect(locator: Locator, name: CheckpointName, options: NodeOptions) -> Result<Self> {
        // One transaction is executed while the next is sent.
        let room = (options.window as usize).saturating_mul(2).min(Semaphore::MAX_PERMITS);
        let window = Arc::new(Semaphore::new(room));
        let window_size = options.window;
        let (queue, messages) = mpsc::unbounded_channel();
        let (sender, status) = watch::channel(Status::default());
        let (committer, target, resumed) = Committer::connect(locator, &name, options, messages, sender).await?;
        let room = window.clone();
        let task = tokio::spawn(async move {
            committer.run().await;
            // Whoever waits for room has to learn that there will be none.
            room.close();
        });
        Ok(Self { target, resumed, beyond: false, written: 0, window, window_size, queue, status, task })
    }

    pub(super) fn target(&self) -> Target {
        self.target
    }

    pub(super) fn resumed(&self) -> Option<Position> {
        self.resumed
    }

    pub(super) async fn write(&mut self, mut batch: Batch) -> Result<()> {
        self.check()?;
        let message = match self.resumed {
            Some(at) if !self.beyond && is_applied(batch.position(), &at)? => Message::Passed(at),
            resumed => {
                if let Some(at) = resumed.filter(|_| !self.beyond) {
                    drop_applied(&mut batch, &at);
                }
                self.beyond = true;
                let size = u32::try_from(batch.bytes().len()).unwrap_or(u32::MAX).min(self.window_size);
                let room = self.window.clone().acquire_many_owned(size).await;
                let room = room.map_err(|_| self.check().err().unwrap_or_else(gone))?;
                Message::Batch(Accepted::new(batch, Some(room)))
            }
        };
        self.queue.send(message).map_err(|_| self.check().err().unwrap_or_else(gone))?;
        self.written += 1;
        Ok(())
    }

    pub(super) fn acked(&self) -> Watermark {
        self.status.borrow().watermark
    }

    pub(super) async fn flush(&mut self) -> Result<()> {
        let written = self.written;
        let reached = |status: &Status| status.failed.is_some() || status.watermark.batches >= written;
        if self.status.wait_for(reached).await.is_err() {
            return Err(self.check().err().unwrap_or_else(gone));
        }
        self.check()
    }

    pub(super) async fn close(mut self) -> Result<()> {
        self.flush().await?;
        // It looks at the checkpoint once more: the last occasion to find that a fail-over has lost something.
        if self.queue.send(Message::Close).is_ok() {
            let _ = (&mut self.task).await;
        }
        self.check()
    }

    fn check(&self) -> Result<()> {
        self.status.borrow().failed.as_ref().map_or(Ok(()), |failure| Err(failure.error()))
    }
}

/// Drops those commands of the first batch that the target has: a stream says of each where it ends.
fn drop_applied(batch: &mut Batch, at: &Position) {
    if batch.position().is_stream() && at.is_stream() && batch.position().replid() == at.replid() {
        batch.retain(|command| command.offset() > at.offset());
    }
}

impl Drop for Exact {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exact")
            .field("target", &self.target)
            .field("resumed", &self.resumed)
            .field("status", &*self.status.borrow())
            .finish_non_exhaustive()
    }
}
