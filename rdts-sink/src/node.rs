//! One Redis or Valkey server as a target.

mod replies;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdts_core::endpoint::NodeAddress;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::ledger::Counts;
use rdts_core::net::{Connection, Deadlines};
use rdts_core::record::Batch;
use rdts_core::sink::{Capabilities, Sink, Watermark};
use rdts_core::translate::Target;
use rdts_resp::encode;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use self::replies::Replies;
use crate::failure::{Failure, gone};

/// How a [`NodeSink`] behaves.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeOptions {
    /// How long to wait for what. [`Deadlines::reply`] is how long the target may be silent while it owes replies.
    pub deadlines: Deadlines,
    /// How many bytes of commands may be under way without a reply; a single bigger batch goes alone. A wide window keeps the
    /// target busy, a narrow one bounds what it still applies after a command that failed. Default: 1 MiB.
    pub window: u32,
    /// How many commands may be under way without a reply, for servers that count them; a batch of more goes alone. Default: any number.
    pub window_commands: u32,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self { deadlines: Deadlines::default(), window: 1 << 20, window_commands: u32::MAX }
    }
}

impl NodeOptions {
    /// Sets [`deadlines`](Self::deadlines).
    #[must_use]
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// Sets [`window`](Self::window), in bytes.
    #[must_use]
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = bytes.max(1);
        self
    }

    /// Sets [`window_commands`](Self::window_commands).
    #[must_use]
    pub fn window_commands(mut self, commands: u32) -> Self {
        self.window_commands = commands.max(1);
        self
    }
}

/// Writes to one server over one connection, pipelined: batches are sent as they come, up to a window, and a task matches the
/// replies to the commands.
///
/// The first reply that says that a command did not do what was meant stops the sink: nothing more is sent, and the watermark
/// stays in front of the batch with that command. What was under way by then ([`NodeOptions::window`]) the server may still
/// apply.
pub struct NodeSink {
    address: NodeAddress,
    target: Target,
    writer: OwnedWriteHalf,
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

/// What the reading side tells the writing side.
#[derive(Debug, Clone, Default)]
struct Status {
    watermark: Watermark,
    failed: Option<Failure>,
}

impl NodeSink {
    /// Connects to the server at `address` and asks for its version.
    ///
    /// # Errors
    /// As [`Connection::open`]; [`Unsupported`](ErrorKind::Unsupported) for a server before Redis 2.8.
    pub async fn connect(address: &NodeAddress, options: NodeOptions) -> Result<Self> {
        let mut connection = Connection::open(address, options.deadlines).await?;
        let info = connection.info("server").await?;
        let target = Target::from_info(&info).map_err(|error| error.at(address))?;
        Ok(Self::over(connection, target, options))
    }

    /// Writes over `connection`, in database 0, to what is known to be `target`.
    pub(crate) fn over(connection: Connection, target: Target, options: NodeOptions) -> Self {
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
    pub fn target(&self) -> Target {
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

impl Sink for NodeSink {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.target).multi_key(true)
    }

    async fn write(&mut self, batch: Batch) -> Result<()> {
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
            wrote = self.writer.write_all(bytes) => wrote,
            error = failure(self.status.clone()) => return Err(error),
        };
        match wrote {
            Ok(()) => Ok(()),
            Err(error) => Err(self.cause(error).await),
        }
    }

    fn acked(&self) -> Watermark {
        self.status.borrow().watermark
    }

    async fn flush(&mut self) -> Result<()> {
        let written = self.written;
        let reached = |status: &Status| status.failed.is_some() || status.watermark.batches >= written;
        if self.status.wait_for(reached).await.is_err() {
            return Err(gone());
        }
        self.check()
    }

    async fn close(mut self) -> Result<()> {
        let flushed = self.flush().await;
        let _ = self.writer.shutdown().await;
        flushed
    }
}

impl Drop for NodeSink {
    fn drop(&mut self) {
        self.replies.abort();
    }
}

impl fmt::Debug for NodeSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSink")
            .field("address", &self.address)
            .field("target", &self.target)
            .field("status", &*self.status.borrow())
            .finish_non_exhaustive()
    }
}
