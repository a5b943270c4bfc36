//! The other end of the replication protocol: serves a snapshot and a stream of writes to replicas.
//!
//! Replicas are real servers (`REPLICAOF` us) or clients such as [`replica`](crate::replica). To them a [`Primary`] is
//! a server with a replication id, an offset and a backlog; it has no keyspace of its own. Whoever embeds it gives it
//! a snapshot in the RDB format, and appends commands.
//!
//! ```no_run
//! # async fn example(rdb: bytes::Bytes) -> Result<(), Box<dyn std::error::Error>> {
//! use rdts_core::primary::{Primary, PrimaryConfig};
//!
//! let primary = Primary::bind("127.0.0.1:0", PrimaryConfig::default()).await?;
//! // A snapshot of an empty stream; what is appended from now on follows it.
//! primary.set_snapshot(rdb, 0)?;
//! primary.append(&[b"SELECT", b"0"]);
//! let offset = primary.append(&[b"SET", b"key", b"value"]);
//! primary.wait_acknowledged(offset).await;
//! primary.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//!  append ──► backlog ──┬──► link ──► replica       one copy of the stream, however many replicas;
//!             snapshot ─┴──► link ──► replica       each link reads it at its own offset
//! ```
//!
//! What a replica sees is what servers do, from 2.6 (`SYNC` only) to `PSYNC` with `capa psync2`, with snapshots by
//! length or by end mark, see [`PrimaryConfig`]. Not done: snapshots on a second connection (`+RDBCHANNELSYNC`,
//! `+DUALCHANNELSYNC`, which replicas offer and never need), `rdb-only` and filters of the snapshot, and TLS.

mod backlog;
mod config;
mod info;
mod link;
mod session;
mod state;
mod sync;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdts_resp::{CommandDecoder, encode};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::task::JoinSet;

use crate::error::{Error, ErrorKind, Result};
use crate::record::ReplicationId;

pub use config::{PrimaryConfig, Protocol, SnapshotFraming};
use state::{Shared, Snapshot};

/// A running primary; clones are handles of the same one. It ends with the last of them, or by
/// [`shutdown`](Primary::shutdown).
#[derive(Clone)]
pub struct Primary(Arc<Owner>);

struct Owner {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// What accepts, pings and looks for the silent. Dropped with the last handle, which ends them.
    tasks: Mutex<JoinSet<()>>,
}

/// How far a replica has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReplicaState {
    /// It has been promised a sync, of which nothing is sent yet but newlines.
    Preparing,
    /// The snapshot is on its way.
    ReceivingSnapshot,
    /// The snapshot is sent with an end mark, and the stream waits for the first acknowledgement.
    AwaitingAck,
    /// It is fed from the stream.
    Online,
}

/// A connected replica.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReplicaInfo {
    /// Where its connection comes from.
    pub address: SocketAddr,
    /// Where it says that it listens itself; 0 if it did not say.
    pub listening_port: u16,
    /// How far the sync is.
    pub state: ReplicaState,
    /// The offset up to which it has been sent the stream: given to the socket, not necessarily received.
    pub sent: u64,
    /// The offset that it has acknowledged; that of its start until it does.
    pub acknowledged: u64,
    /// When it last acknowledged or kept the link alive.
    pub heard: Instant,
}

impl Primary {
    /// Listens on `address` (port 0 for one that is free) and serves who connects, in tasks of the current tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// The address cannot be resolved or listened on.
    pub async fn bind(address: impl ToSocketAddrs, config: PrimaryConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let replid = config.replid.unwrap_or_else(random_replid);
        let (ping_period, timeout) = (config.ping_period, config.timeout);
        let shared = Arc::new(Shared::new(config, replid));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        if !ping_period.is_zero() {
            tasks.spawn(ping(shared.clone(), ping_period));
        }
        if !timeout.is_zero() {
            tasks.spawn(disconnect_silent(shared.clone(), timeout));
        }
        Ok(Self(Arc::new(Owner { shared, address, tasks: Mutex::new(tasks) })))
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.address
    }

    /// Appends one command to the stream and gives the offset behind it.
    ///
    /// Which database it is for is the caller's business: a stream has to `SELECT` one before the first write behind a
    /// snapshot, and whenever it changes. Nothing is put between a `MULTI` and its `EXEC`.
    pub fn append(&self, args: &[&[u8]]) -> u64 {
        let mut command = Vec::with_capacity(encode::command_len(args));
        encode::command(&mut command, args);
        let name = args.first().copied().unwrap_or_default();
        self.0.shared.append(&command, opens_or_closes(name))
    }

    /// Appends commands that are RESP already, any number of them but whole ones, and gives the offset behind them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`] when they are no arrays of bulk strings, or the last one is cut off. Nothing is
    /// appended then.
    pub fn append_raw(&self, commands: &[u8]) -> Result<u64> {
        let mut decoder = CommandDecoder::new();
        let (mut rest, mut transaction) = (commands, None);
        while !rest.is_empty() {
            let at = commands.len() - rest.len();
            let wrong = |what: &str| Error::new(ErrorKind::Protocol, format!("command at byte {at}: {what}"));
            let decoded = decoder.decode(rest).map_err(|error| wrong("no RESP").with_source(error))?;
            let Some((consumed, command)) = decoded else { return Err(wrong("cut off")) };
            if command.is_inline() {
                return Err(wrong("no array of bulk strings"));
            }
            transaction = opens_or_closes(command.name()).or(transaction);
            rest = &rest[consumed..];
        }
        Ok(self.0.shared.append(commands, transaction))
    }

    /// Puts `REPLCONF GETACK *` into the stream, which replicas answer with their offsets at once. Behind an open
    /// transaction.
    pub fn request_acknowledgements(&self) {
        self.0.shared.request_acknowledgements();
    }

    /// Sets what a full sync sends: an RDB, which contains everything up to `offset`. It replaces the one before.
    ///
    /// The stream from `offset` on has to stay within the [`backlog`](PrimaryConfig::backlog); when it has grown past
    /// that, full syncs are refused with an error until there is a newer snapshot.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the stream does not reach `offset`, or does not reach back to it.
    pub fn set_snapshot(&self, rdb: Bytes, offset: u64) -> Result<()> {
        let mut state = self.0.shared.state();
        if !state.backlog.reaches(offset) {
            let (first, end) = (state.backlog.first(), state.backlog.end());
            let text =
                format!("a snapshot of offset {offset} does not fit to a stream that is kept from {first} to {end}");
            return Err(Error::new(ErrorKind::Config, text));
        }
        state.snapshot = Some(Snapshot { rdb, offset });
        Ok(())
    }

    /// The offset behind the last byte of the stream.
    pub fn offset(&self) -> u64 {
        self.0.shared.state().backlog.end()
    }

    /// The earliest offset from which a replica can go on.
    pub fn backlog_start(&self) -> u64 {
        self.0.shared.state().backlog.first()
    }

    /// The name of the history of writes.
    pub fn replid(&self) -> ReplicationId {
        self.0.shared.state().replid
    }

    /// Starts a new history, as a replica does that becomes a primary: replicas that have no more than what is written
    /// so far can go on under the old name, and learn the new one.
    pub fn change_replid(&self, replid: ReplicationId) {
        let mut state = self.0.shared.state();
        state.previous = Some((state.replid, state.backlog.end()));
        state.replid = replid;
    }

    /// Answers as a server does that still loads its data, or stops doing so. Replicas that are connected are not
    /// concerned.
    pub fn set_loading(&self, loading: bool) {
        self.0.shared.state().loading = loading;
    }

    /// The replicas that are connected and have been promised a sync.
    pub fn replicas(&self) -> Vec<ReplicaInfo> {
        self.0.shared.state().replicas()
    }

    /// How many full and how many partial syncs were begun.
    pub fn syncs(&self) -> (u64, u64) {
        self.0.shared.syncs()
    }

    /// Waits until `condition` holds of the replicas, which it is asked whenever one comes, goes, changes its state or
    /// acknowledges.
    pub async fn wait_for(&self, mut condition: impl FnMut(&[ReplicaInfo]) -> bool) {
        let mut changes = self.0.shared.changes();
        while !condition(&self.replicas()) {
            // At once if there was a change since we last waited. The sender lives as long as this handle.
            let _ = changes.changed().await;
        }
    }

    /// Waits until there is a replica, and every one has acknowledged `offset`. Replicas do so once a second, or when
    /// [asked](Primary::request_acknowledgements).
    pub async fn wait_acknowledged(&self, offset: u64) {
        self.wait_for(|replicas| !replicas.is_empty() && replicas.iter().all(|replica| replica.acknowledged >= offset))
            .await;
    }

    /// Cuts the connections of all replicas. They will come back.
    pub fn disconnect_replicas(&self) {
        self.0.shared.abort(|replica| replica.is_some());
    }

    /// Stops listening, cuts all connections and waits until they are closed. The other handles are of no use then.
    pub async fn shutdown(&self) {
        let mut tasks = mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
        self.0.shared.abort(|_| true);
        self.wait_for(|_| self.0.shared.connections() == 0).await;
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.abort(|_| true);
    }
}

impl fmt::Debug for Primary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Primary")
            .field("address", &self.0.address)
            .field("replid", &self.replid())
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}

/// Whether a command opens a transaction or closes it.
fn opens_or_closes(name: &[u8]) -> Option<bool> {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    if is(b"MULTI") { Some(true) } else { (is(b"EXEC") || is(b"DISCARD")).then_some(false) }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => connect(stream, address, &shared).await,
            Err(error) => {
                // Most likely too many open files: others have to close some first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connect(mut stream: TcpStream, address: SocketAddr, shared: &Arc<Shared>) {
    let Some(entry) = shared.enter(address) else {
        tracing::warn!(%address, limit = shared.config.connections, "refusing a connection: there are too many");
        // Whoever does not read this has no use for it.
        let _ = stream.write_all(b"-ERR max number of clients reached\r\n").await;
        return;
    };
    let id = entry.id;
    let task = tokio::spawn(async move {
        match link::serve(stream, &entry).await {
            Ok(()) => tracing::debug!(%address, "a connection ended"),
            Err(error) => tracing::info!(%address, %error, "a connection broke"),
        }
    });
    shared.set_task(id, task.abort_handle());
}

async fn ping(shared: Arc<Shared>, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        shared.ping();
    }
}

async fn disconnect_silent(shared: Arc<Shared>, timeout: Duration) {
    loop {
        tokio::time::sleep(timeout / 10).await;
        shared.abort(|replica| {
            // While a snapshot is on its way, a replica has other things to do.
            replica.is_some_and(|it| it.state == ReplicaState::Online && !it.silent && it.heard.elapsed() > timeout)
        });
    }
}

fn random_replid() -> ReplicationId {
    let hex = random_hex();
    std::str::from_utf8(&hex).ok().and_then(|text| text.parse().ok()).unwrap_or(ReplicationId::NONE)
}

/// Forty hexadecimal digits that nobody else has: names, no secrets.
fn random_hex() -> [u8; 40] {
    // Each state of the standard library's hasher is seeded anew from the system's random numbers.
    let mut digits = [b'0'; 40];
    for part in digits.chunks_mut(16) {
        let number = RandomState::new().hash_one(part.len());
        for (index, digit) in part.iter_mut().enumerate() {
            let nibble = (number >> (4 * index)) & 0xf;
            *digit = b"0123456789abcdef"[nibble as usize];
        }
    }
    digits
}
