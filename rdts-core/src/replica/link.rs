//! A replica's connection: handshake done, a task that reads and a task that acknowledges.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use rdts_resp::encode;
use tokio::io::AsyncReadExt;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::lines::{Lines, shake_hands};
use super::{Announce, Framing, Resume, Sync};
use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Connection, Deadlines, StreamReader, StreamWriter, broken};

/// How a [`ReplicaLink`] behaves.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkConfig {
    /// How long to wait for what. [`Deadlines::reply`] is also how long the primary may be silent: it sends something at
    /// least every `repl-ping-replica-period` (10 s).
    pub deadlines: Deadlines,
    /// How many bytes may be read ahead of whoever takes them. When so many wait, the socket is left alone, and the primary
    /// has to buffer. Default: 8 MiB.
    pub read_ahead: u32,
    /// Pause between two acknowledgements. Default: 1 s, as real replicas do.
    pub ack_period: Duration,
    /// Where the primary is told that we can be reached. Default: nowhere.
    pub announce: Announce,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            deadlines: Deadlines::default(),
            read_ahead: 8 << 20,
            ack_period: Duration::from_secs(1),
            announce: Announce::default(),
        }
    }
}

impl LinkConfig {
    /// Sets [`deadlines`](Self::deadlines).
    #[must_use]
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// Sets [`read_ahead`](Self::read_ahead); at least one block of 256 KiB is read whatever this says.
    #[must_use]
    pub fn read_ahead(mut self, bytes: u32) -> Self {
        self.read_ahead = bytes;
        self
    }

    /// Sets [`ack_period`](Self::ack_period).
    #[must_use]
    pub fn ack_period(mut self, period: Duration) -> Self {
        self.ack_period = period;
        self
    }

    /// Sets [`announce`](Self::announce).
    #[must_use]
    pub fn announce(mut self, announce: Announce) -> Self {
        self.announce = announce;
        self
    }
}

/// One read's worth of bytes. Big enough that a system call is cheap beside its bytes.
const BLOCK: u32 = 256 << 10;
/// After a read of less than this it pays to wait a moment for more.
const SMALL: usize = 32 << 10;

/// Bytes, and when they were read, in ms since 1970.
type Block = (Bytes, u64, OwnedSemaphorePermit);

/// A link to a primary that has agreed to send: the bytes of its RDB (if any) and then of its stream, and the
/// acknowledgements that keep it alive.
///
/// Dropping it closes the connection.
pub struct ReplicaLink {
    address: NodeAddress,
    sync: Sync,
    framing: Option<Framing>,
    blocks: mpsc::UnboundedReceiver<Result<Block>>,
    /// When what was taken last was read.
    arrived: u64,
    ack: Acknowledged,
    _tasks: JoinSet<()>,
}

/// What a primary is told to be applied. Clones are the same one, and it may outlive a link.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acknowledged(Arc<Ack>);

#[derive(Debug, Default)]
struct Ack {
    offset: AtomicU64,
    now: Notify,
}

impl Acknowledged {
    /// Starts with `offset`.
    pub(crate) fn at(offset: u64) -> Self {
        Self(Arc::new(Ack { offset: AtomicU64::new(offset), now: Notify::new() }))
    }

    /// Everything up to `offset` is applied.
    pub(crate) fn set(&self, offset: u64) {
        self.0.offset.store(offset, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.offset.load(Ordering::Relaxed)
    }

    /// The primary is told at once.
    pub(crate) fn tell(&self) {
        self.0.now.notify_one();
    }
}

impl ReplicaLink {
    /// Connects, logs in, shakes hands, and waits until the RDB or the stream starts, which a primary may delay while it
    /// makes a snapshot.
    ///
    /// # Errors
    /// What [`Connection::open`] and [`Handshake`](super::Handshake) say, all with the address.
    pub async fn open(address: &NodeAddress, config: LinkConfig, resume: Resume) -> Result<Self> {
        let offset = match resume {
            Resume::After { offset, .. } => offset,
            Resume::FullCopy => 0,
        };
        Self::open_with(address, config, resume, Acknowledged::at(offset)).await
    }

    /// As [`open`](Self::open), but the primary is told what `ack` says; that is set to where a full copy starts.
    pub(crate) async fn open_with(
        address: &NodeAddress,
        config: LinkConfig,
        resume: Resume,
        ack: Acknowledged,
    ) -> Result<Self> {
        let connection = Connection::open(address, config.deadlines).await?;
        let (stream, input) = connection.into_parts();
        let mut lines = Lines { stream, input, deadline: config.deadlines.reply };
        let (sync, framing) = shake_hands(&mut lines, resume, config).await.map_err(|error| error.at(address))?;
        tracing::info!(%address, ?sync, ?framing, "the primary sends");
        if let Sync::Full { offset, .. } = sync {
            ack.set(offset);
        }
        let (sender, blocks) = mpsc::unbounded_channel();
        let (reader, writer) = lines.stream.into_split();
        let mut tasks = JoinSet::new();
        tasks.spawn(read(reader, lines.input, sender, config));
        // A server that only knows SYNC knows no REPLCONF ACK either, and would answer it with an error into its own stream.
        if !matches!(sync, Sync::Full { replid, .. } if replid.is_none()) {
            tasks.spawn(acknowledge(writer, ack.clone(), config.ack_period));
        } else {
            tasks.spawn(async move {
                let _open = writer;
                std::future::pending::<()>().await;
            });
        }
        let arrived = unix_ms();
        Ok(Self { address: address.clone(), sync, framing, blocks, arrived, ack, _tasks: tasks })
    }

    /// What the primary agreed to.
    pub fn sync(&self) -> Sync {
        self.sync
    }

    /// The frame of the RDB; `None` when the stream goes on without one.
    pub fn framing(&self) -> Option<Framing> {
        self.framing
    }

    /// Who sends.
    pub fn address(&self) -> &NodeAddress {
        &self.address
    }

    /// Appends the next bytes to `buffer`, waiting for them if need be; cancel safe.
    ///
    /// # Errors
    /// [`Disconnected`](ErrorKind::Disconnected) when the primary is gone, [`Timeout`](ErrorKind::Timeout) when it is silent.
    /// Everything that was read before is given out first.
    pub async fn fill(&mut self, buffer: &mut BytesMut) -> Result<()> {
        let block = self.blocks.recv().await;
        self.take(block.unwrap_or_else(|| Err(closed())), buffer)
    }

    /// As [`fill`](Self::fill), but only if bytes are there already; says whether they were.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub fn try_fill(&mut self, buffer: &mut BytesMut) -> Result<bool> {
        match self.blocks.try_recv() {
            Ok(block) => self.take(block, buffer).map(|()| true),
            Err(mpsc::error::TryRecvError::Empty) => Ok(false),
            Err(mpsc::error::TryRecvError::Disconnected) => self.take(Err(closed()), buffer).map(|()| true),
        }
    }

    fn take(&mut self, block: Result<Block>, buffer: &mut BytesMut) -> Result<()> {
        let (bytes, arrived, _permit) = block.map_err(|error| error.at(&self.address))?;
        self.arrived = arrived;
        append(buffer, bytes);
        Ok(())
    }

    /// When the bytes that were taken last came from the socket, in ms since 1970.
    pub fn arrived(&self) -> u64 {
        self.arrived
    }

    /// The offset to tell the primary from now on: everything up to it is applied.
    pub fn set_acknowledged(&self, offset: u64) {
        self.ack.set(offset);
    }

    /// Tells it at once: after the RDB (a primary that sent it without a file waits for that) and when it asks for it.
    pub fn acknowledge_now(&self) {
        self.ack.tell();
    }
}

impl fmt::Debug for ReplicaLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicaLink")
            .field("address", &self.address)
            .field("sync", &self.sync)
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
}

/// Appends `bytes`, without a copy where nothing is in front of them and nobody else holds them.
pub(crate) fn append(buffer: &mut BytesMut, bytes: Bytes) {
    if buffer.is_empty() {
        match bytes.try_into_mut() {
            Ok(bytes) => *buffer = bytes,
            Err(bytes) => buffer.extend_from_slice(&bytes),
        }
    } else {
        buffer.extend_from_slice(&bytes);
    }
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    u64::try_from(now).unwrap_or(u64::MAX)
}

fn closed() -> Error {
    Error::new(ErrorKind::Disconnected, "the primary closed the connection")
}

async fn read(
    mut socket: StreamReader,
    first: BytesMut,
    blocks: mpsc::UnboundedSender<Result<Block>>,
    config: LinkConfig,
) {
    let room = Arc::new(Semaphore::new(config.read_ahead.max(BLOCK) as usize));
    let silence = config.deadlines.reply;
    let mut block = first;
    loop {
        if !block.is_empty() {
            let (bytes, arrived) = (block.split().freeze(), unix_ms());
            // A block is never larger than the room; what the handshake left is smaller.
            let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let Ok(permit) = room.clone().acquire_many_owned(size).await else { return };
            let small = bytes.len() < SMALL;
            if blocks.send(Ok((bytes, arrived, permit))).is_err() {
                return;
            }
            // A primary sends its snapshot in pieces of 16 KiB. Taking several at a time costs both sides less, and a
            // millisecond is nothing beside what a command takes to get here.
            if small {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        if block.capacity() < BLOCK as usize / 4 {
            block = BytesMut::with_capacity(BLOCK as usize);
        }
        let error = match tokio::time::timeout(silence, socket.read_buf(&mut block)).await {
            Ok(Ok(0)) => closed(),
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => broken(error),
            Err(_) => Error::new(ErrorKind::Timeout, format!("the primary was silent for {silence:?}")),
        };
        let _ = blocks.send(Err(error));
        return;
    }
}

async fn acknowledge(mut socket: StreamWriter, ack: Acknowledged, period: Duration) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut command = Vec::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = ack.0.now.notified() => {}
        }
        let offset = ack.get();
        command.clear();
        encode::command(&mut command, ["REPLCONF", "ACK", itoa::Buffer::new().format(offset)]);
        // A broken connection is reported by the reading side, which knows what arrived before.
        if socket.send(&command).await.is_err() {
            return;
        }
    }
}
