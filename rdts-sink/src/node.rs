//! One Redis or Valkey server as a target.
//!
//! A [`NodeSink`] writes in one of two ways. Without a [checkpoint](NodeOptions::checkpoint) it pipelines: the quickest, and a connection
//! that breaks ends the run with an unknown part of the window applied. With one, every command is applied **exactly once**, whatever
//! happens to the connection, to the server, or to the process.
//!
//! # Transactions with a checkpoint
//!
//! Batches go to the server as transactions: `MULTI`, the commands with a `SELECT` wherever the database changes, `SELECT 0`,
//! `SET rdts:checkpoint:TASK/SHARD value`, `EXEC`. So the key says at any time how far the target is, to the byte of the source. While
//! one transaction is being executed the next is sent, and takes up the batches that come, up to the [window](NodeOptions::window); its
//! `EXEC` follows when the replies of the one before were found good. A batch is never split. `MULTI` and `EXEC` of the source are
//! left out, since their batch is one transaction anyway.
//!
//! The key is watched (`WATCH`) from before it is compared with what it should hold until the `EXEC`. That is what makes this exact: if
//! a connection is lost while the server still has a transaction unread in its buffers, that one and the same sent again over the
//! next connection cannot both be executed. It also keeps two runs of one task from mixing their writes.
//!
//! | what happens | what the sink does |
//! |---|---|
//! | the connection breaks or is silent, the server restarts, loads, is a replica or lacks replicas | connects again for as long as [`patience`](NodeOptions::patience) says, reads the key and goes on behind it |
//! | a promoted replica lacks what was acknowledged | sends it again, as far as it is [kept](NodeOptions::keep); otherwise an error |
//! | the key is gone or holds what this sink did not write | an error ([`Rejected`](rdts_core::ErrorKind::Rejected)): data may be gone or doubled |
//! | the server refuses to queue a command (memory, permissions, no such command) | nothing of the transaction is applied: an error; may be resumed after a remedy |
//! | a command fails inside of `EXEC` | its transaction is applied but for that command: an error, which the key tells of from then on |
//! | the replies to an `EXEC` are lost, with the process or the connection | its commands are applied and count as successful, whatever they may have answered |
//!
//! # What the key holds
//!
//! A text: the number of the form (1), how many transactions have been applied since the first run of the task, and the
//! [position](Position) that they reach or `none`:
//!
//! ```text
//! 1 42 stream 4c1b873d2c85f0b3c32321aee14c7ef5363543d4 18230 0
//! ```
//!
//! If a command failed there follow ` failed ` and what the server said. A run that finds this refuses to go on: the target does
//! not hold what the source does. The key stays until [`remove_checkpoint`] removes it; a sink only leaves it ([`Sink::close`]), since
//! it cannot know whether the program stops for good.

mod exact;
mod pipelined;

use std::fmt;
use std::time::Duration;

use rdts_core::checkpoint::CheckpointName;
use rdts_core::endpoint::NodeAddress;
use rdts_core::error::Result;
use rdts_core::net::{Connection, Deadlines};
use rdts_core::record::{Batch, Position};
use rdts_core::sink::{Capabilities, Sink, Watermark};
use rdts_core::source::Locator;
use rdts_core::translate::Target;

use self::exact::Exact;
pub(crate) use self::pipelined::{Log, Pipelined};
use crate::failure::Failure;

/// How a [`NodeSink`] behaves.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeOptions {
    /// How long to wait for what. [`Deadlines::reply`] is how long the target may be silent while it owes replies.
    pub deadlines: Deadlines,
    /// How many bytes of commands may be under way without a reply; a single bigger batch goes alone. A wide window keeps the
    /// target busy, a narrow one bounds what it still applies after a command that failed. With a checkpoint that is how much one
    /// transaction takes, which the server executes without serving anybody else, and twice as much may be under way. Default: 1 MiB.
    pub window: u32,
    /// How many commands may be under way without a reply, for servers that count them; a batch of more goes alone. Default: any number.
    /// Not regarded with a checkpoint.
    pub window_commands: u32,
    /// The checkpoint to keep in the target, in its database 0, which makes every command be applied exactly once. The target has to be
    /// a server: proxies do not pass transactions on. Its user has to be permitted `WATCH`, `UNWATCH`, `MULTI` and `EXEC`, and `GET` and
    /// `SET` of that key. Default: none.
    pub checkpoint: Option<CheckpointName>,
    /// With a checkpoint: for how long a target that is not there, or takes no writes, is asked again. Zero: not at all.
    /// Default: 3 minutes.
    pub patience: Duration,
    /// With a checkpoint: how many bytes of what is applied are kept in memory, for a promoted replica that lacks them. Default: 8 MiB.
    pub keep: usize,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            deadlines: Deadlines::default(),
            window: 1 << 20,
            window_commands: u32::MAX,
            checkpoint: None,
            patience: Duration::from_secs(180),
            keep: 8 << 20,
        }
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

    /// Sets [`checkpoint`](Self::checkpoint).
    #[must_use]
    pub fn checkpoint(mut self, name: impl Into<Option<CheckpointName>>) -> Self {
        self.checkpoint = name.into();
        self
    }

    /// Sets [`patience`](Self::patience).
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Sets [`keep`](Self::keep), in bytes.
    #[must_use]
    pub fn keep(mut self, bytes: usize) -> Self {
        self.keep = bytes;
        self
    }
}

/// Writes to one server over one connection; the [module](self) says how.
///
/// The first reply that says that a command did not do what was meant stops the sink: nothing more is sent, and the watermark
/// stays in front of the batch with that command. Without a checkpoint the server may still apply what was under way by then
/// ([`NodeOptions::window`]); with one, only what is in the same transaction.
pub struct NodeSink {
    target: Target,
    how: How,
}

enum How {
    Pipelined(Pipelined),
    Exact(Exact),
}

/// What the task that reads replies tells the sink.
#[derive(Debug, Clone, Default)]
struct Status {
    watermark: Watermark,
    failed: Option<Failure>,
}

impl NodeSink {
    /// Connects to the server that `to` names and asks for its version. With a checkpoint it also reads that:
    /// [`Sink::resumed`] says what it holds, and what is written must begin there.
    ///
    /// A [`Locator`] is asked again whenever the connection is lost, and once a second where the primary is meanwhile, so
    /// that a promoted replica is followed. Without a checkpoint it is asked once.
    ///
    /// # Errors
    /// As [`Locator::locate`] and [`Connection::open`]; [`Unsupported`](rdts_core::ErrorKind::Unsupported) for a server before Redis 2.8, and for a
    /// checkpoint of a form that this version does not know; [`NotReady`](rdts_core::ErrorKind::NotReady) if a checkpoint is to be kept in a replica;
    /// [`Rejected`](rdts_core::ErrorKind::Rejected) if the run before ended with a command that failed, or the checkpoint's key holds
    /// something else.
    pub async fn connect(to: impl Into<Locator>, options: NodeOptions) -> Result<Self> {
        let locator = to.into();
        if let Some(name) = options.checkpoint.clone() {
            let exact = Exact::connect(locator, name, options).await?;
            return Ok(Self { target: exact.target(), how: How::Exact(exact) });
        }
        let (connection, target) = open(&locator.locate().await?, options.deadlines).await?;
        Ok(Self { target, how: How::Pipelined(Pipelined::over(connection, target, &options)) })
    }

    /// What the server is.
    pub fn target(&self) -> Target {
        self.target
    }
}

/// Removes the checkpoint `name` from the server that `to` names: a migration is over, or is to begin anew in a target that has been
/// emptied. Whether there was one.
///
/// No sink may keep that checkpoint at the time: it would end with an error.
///
/// # Errors
/// As [`Locator::locate`] and [`Connection::open`]; a refusal of the server.
pub async fn remove_checkpoint(to: impl Into<Locator>, name: &CheckpointName, deadlines: Deadlines) -> Result<bool> {
    let address = to.into().locate().await?;
    let mut connection = Connection::open(&address, deadlines).await?;
    let reply = connection.call(["DEL", &name.key()]).await?;
    reply.as_integer().map(|removed| removed > 0).ok_or_else(|| connection.refusal("DEL", &reply))
}

/// Connects to a server, and asks what it is.
async fn open(address: &NodeAddress, deadlines: Deadlines) -> Result<(Connection, Target)> {
    let mut connection = Connection::open(address, deadlines).await?;
    let info = connection.info("server").await?;
    let target = Target::from_info(&info).map_err(|error| error.at(address))?;
    Ok((connection, target))
}

impl Sink for NodeSink {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.target).multi_key(true)
    }

    fn resumed(&self) -> Option<Position> {
        match &self.how {
            How::Pipelined(_) => None,
            How::Exact(sink) => sink.resumed(),
        }
    }

    async fn write(&mut self, batch: Batch) -> Result<()> {
        match &mut self.how {
            How::Pipelined(sink) => sink.write(batch).await,
            How::Exact(sink) => sink.write(batch).await,
        }
    }

    fn acked(&self) -> Watermark {
        match &self.how {
            How::Pipelined(sink) => sink.acked(),
            How::Exact(sink) => sink.acked(),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        match &mut self.how {
            How::Pipelined(sink) => sink.flush().await,
            How::Exact(sink) => sink.flush().await,
        }
    }

    /// Flushes and gives the connection up. A checkpoint stays: [`remove_checkpoint`] removes it.
    async fn close(self) -> Result<()> {
        match self.how {
            How::Pipelined(sink) => sink.close().await,
            How::Exact(sink) => sink.close().await,
        }
    }
}

impl fmt::Debug for NodeSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.how {
            How::Pipelined(sink) => f.debug_tuple("NodeSink").field(sink).finish(),
            How::Exact(sink) => f.debug_tuple("NodeSink").field(sink).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_set() {
        let name = CheckpointName::new("task", 1).ok();
        let options = NodeOptions::default().window(0).patience(Duration::ZERO).keep(1).checkpoint(name.clone());
        assert_eq!((options.window, options.patience, options.keep), (1, Duration::ZERO, 1));
        assert_eq!(options.checkpoint, name);
    }
}
