//! Writing over one connection, pipelined.

mod replies;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdts_core::endpoint::NodeAddress;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::ledger::Counts;
use rdts_core::net::{Connection, StreamWriter};
use rdts_core::record::Batch;
use rdts_core::sink::Watermark;
use rdts_core::translate::Target;
use rdts_resp::encode;
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use self::replies::Replies;
use super::{NodeOptions, Status};
use crate::failure::{Failure, gone};

/// Writes to one server over one connection, pipelined: batches are sent as they come, up to a window, and a task matches the
/// replies to the commands.
///
/// The first reply that says that a command did not do what was meant stops the sink: nothing more is sent, and the watermark
/// stays in front of the batch with that command. What was under way by then ([`NodeOptions::window`]) the server may still
/// apply.
pub(crate) struct Pipelined {
    address: NodeAddress,
    target: Target,
    writer: StreamWriter,
    /// The database that the connection has selected.
    db: u32,
    scratch: Vec<u8>,
    written: u64,
    window: Arc<Semaphore>,
    window_size: u32,
    window_commands: u32,
    in_flight: mpsc::UnboundedSender<InFlight>,
    status: watch::Receiver<Status>,
    log: Log,
    replies: JoinHandle<()>,
}

/// What became of each batch, in their order, for a sink that several connections make up; `None` where nobody asks.
pub(crate) type Log = Arc<Mutex<Option<VecDeque<Counts>>>>;

/// A batch that was sent, and the room that it takes in the window until it is applied.
struct InFlight {
    batch: Arc<Batch>,
    _room: OwnedSemaphorePermit,
}

impl Pipelined {
    /// Connects to the server at `address` and asks for its version.
    #[cfg(feature = "codis")]
    pub(crate) async fn connect(address: &NodeAddress, options: &NodeOptions) -> Result<Self> {
        let (connection, target) = super::open(address, options.deadlines).await?;
        Ok(Self::over(connection, target, options))
    }

    /// Writes over `connection`, in database 0, to what is known to be `target`.
    pub(crate) fn over(connection: Connection, target: Target, options: &NodeOptions) -> Self {
        let address = connection.address().clone();
        let (stream, _) = connection.into_parts();
        let (reader, writer) = stream.into_split();
        let (in_flight, batches) = mpsc::unbounded_channel();
        let (sender, status) = watch::channel(Status::default());
        let log = Log::default();
        let replies = Replies::new(reader, address.clone(), options.deadlines.reply, sender, log.clone());
        Self {
            address,
            target,
            writer,
            db: 0,
            scratch: Vec::new(),
            written: 0,
            window: Arc::new(Semaphore::new(options.window as usize)),
            window_size: options.window,
            window_commands: options.window_commands,
            in_flight,
            status,
            log,
            replies: tokio::spawn(replies.run(batches)),
        }
    }

    /// From now on, what became of each batch; to be called before the first, and whoever does takes out what it has read.
    pub(crate) fn log(&mut self) -> Log {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = Some(VecDeque::new());
        self.log.clone()
    }

    /// What the server is.
    #[cfg(feature = "codis")]
    pub(crate) fn target(&self) -> Target {
        self.target
    }

    /// How much of the window a batch takes.
    fn size(&self, batch: &Batch) -> u32 {
        // Each command counts as if it had its share of the window, at least.
        let share = u64::from(self.window_size.div_ceil(self.window_commands));
        let share = if self.window_commands == u32::MAX { 0 } else { share };
        let size = (batch.bytes().len() as u64).max(batch.len() as u64 * share);
        u32::try_from(size).unwrap_or(u32::MAX).min(self.window_size)
    }

    /// Puts the batch's commands, with a `SELECT` wherever the database changes, into the scratch buffer.
    fn interleave(&mut self, batch: &Batch) {
        self.scratch.clear();
        for command in batch.commands() {
            if command.db() != self.db {
                self.db = command.db();
                encode::command(&mut self.scratch, [b"SELECT".as_slice(), self.db.to_string().as_bytes()]);
            }
            self.scratch.extend_from_slice(command.raw());
        }
    }

    fn check(&self) -> Result<()> {
        self.status.borrow().failed.as_ref().map_or(Ok(()), |failure| Err(failure.error()))
    }

    /// The cause of a connection that broke while it was written to: the reading side may know it, from the last that the
    /// server said.
    async fn cause(&mut self, error: std::io::Error) -> Error {
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.replies).await;
        self.check().err().unwrap_or_else(|| {
            Error::new(ErrorKind::Disconnected, "the connection broke").with_source(error).at(&self.address)
        })
    }
}

/// Waits for the reading side to fail.
async fn failure(mut status: watch::Receiver<Status>) -> Error {
    match status.wait_for(|status| status.failed.is_some()).await {
        Ok(status) => status.failed.as_ref().map_or_else(gone, Failure::error),
        Err(_) => gone(),
    }
}

impl Pipelined {
    pub(crate) async fn write(&mut self, batch: Batch) -> Result<()> {
        self.check()?;
        let size = self.size(&batch);
        // The reading side gives the room of everything back when it fails.
        let room = self.window.clone().acquire_many_owned(size).await.map_err(|_| gone())?;
        self.check()?;
        let batch = Arc::new(batch);
        // Before the bytes: a reply must not come before the one who knows what it answers.
        if self.in_flight.send(InFlight { batch: batch.clone(), _room: room }).is_err() {
            return Err(self.check().err().unwrap_or_else(gone));
        }
        self.written += 1;
        let one_db = batch.commands().all(|command| command.db() == self.db);
        if !one_db {
            self.interleave(&batch);
        }
        let bytes = if one_db { batch.bytes() } else { &self.scratch };
        let wrote = tokio::select! {
            wrote = self.writer.send(bytes) => wrote,
            error = failure(self.status.clone()) => return Err(error),
        };
        match wrote {
            Ok(()) => Ok(()),
            Err(error) => Err(self.cause(error).await),
        }
    }

    pub(crate) fn acked(&self) -> Watermark {
        self.status.borrow().watermark
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        let written = self.written;
        let reached = |status: &Status| status.failed.is_some() || status.watermark.batches >= written;
        if self.status.wait_for(reached).await.is_err() {
            return Err(gone());
        }
        self.check()
    }

    pub(crate) async fn close(mut self) -> Result<()> {
        let flushed = self.flush().await;
        let _ = self.writer.shutdown().await;
        flushed
    }
}

impl Drop for Pipelined {
    fn drop(&mut self) {
        self.replies.abort();
    }
}

impl fmt::Debug for Pipelined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipelined")
            .field("address", &self.address)
            .field("target", &self.target)
            .field("status", &*self.status.borrow())
            .finish_non_exhaustive()
    }
}
