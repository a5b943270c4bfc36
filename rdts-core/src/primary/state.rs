//! What all connections of a primary share: the stream, the snapshot, and who is connected.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::backlog::Backlog;
use super::config::PrimaryConfig;
use super::{ReplicaInfo, ReplicaState};
use crate::record::ReplicationId;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const GETACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n";

/// Names a connection.
pub(super) type Id = u64;

pub(super) struct Shared {
    pub(super) config: PrimaryConfig,
    state: Mutex<State>,
    /// Told of every append.
    grown: watch::Sender<()>,
    /// Told of every change in what is known of the replicas, and of connections that end.
    changed: watch::Sender<()>,
    full_syncs: AtomicU64,
    partial_syncs: AtomicU64,
}

pub(super) struct State {
    pub(super) replid: ReplicationId,
    /// The name before the current one, and the offset up to which it is as good.
    pub(super) previous: Option<(ReplicationId, u64)>,
    pub(super) backlog: Backlog,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) loading: bool,
    /// Whether a `MULTI` waits for its `EXEC`: nothing of our own goes in between.
    pub(super) transaction: bool,
    /// A `REPLCONF GETACK` waits for that `EXEC`.
    pub(super) ack_wanted: bool,
    connections: BTreeMap<Id, Connection>,
    next: Id,
}

#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) rdb: Bytes,
    pub(super) offset: u64,
}

struct Connection {
    address: SocketAddr,
    task: Option<AbortHandle>,
    replica: Option<Replica>,
}

/// A connection that has asked to be fed.
pub(super) struct Replica {
    pub(super) port: u16,
    pub(super) state: ReplicaState,
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    pub(super) heard: Instant,
    /// It came with `SYNC`, which knows no offsets and no acknowledgements.
    pub(super) silent: bool,
}

impl Shared {
    pub(super) fn new(config: PrimaryConfig, replid: ReplicationId) -> Self {
        let state = State {
            replid,
            previous: None,
            backlog: Backlog::new(config.offset),
            snapshot: None,
            loading: false,
            transaction: false,
            ack_wanted: false,
            connections: BTreeMap::new(),
            next: 0,
        };
        Self {
            config,
            state: Mutex::new(state),
            grown: watch::Sender::new(()),
            changed: watch::Sender::new(()),
            full_syncs: AtomicU64::new(0),
            partial_syncs: AtomicU64::new(0),
        }
    }

    /// A panic elsewhere leaves nothing half-done that would matter here.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn growth(&self) -> watch::Receiver<()> {
        self.grown.subscribe()
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Appends whole commands to the stream and gives the offset behind them.
    ///
    /// `transaction` is whether a `MULTI` is open behind them; `None` for commands that change nothing about that.
    pub(super) fn append(&self, commands: &[u8], transaction: Option<bool>) -> u64 {
        let mut state = self.state();
        state.backlog.append(commands);
        let end = state.backlog.end();
        state.transaction = transaction.unwrap_or(state.transaction);
        if state.ack_wanted && !state.transaction {
            state.ack_wanted = false;
            state.backlog.append(GETACK);
        }
        self.appended(state);
        end
    }

    /// Appends a `PING`, unless nobody would hear it or it would break into a transaction.
    pub(super) fn ping(&self) {
        let mut state = self.state();
        if state.connections.values().any(|connection| connection.replica.is_some()) && !state.transaction {
            state.backlog.append(PING);
            self.appended(state);
        }
    }

    /// Asks the replicas how far they are, behind the transaction if there is one.
    pub(super) fn request_acknowledgements(&self) {
        let mut state = self.state();
        state.ack_wanted = state.transaction;
        if !state.transaction {
            state.backlog.append(GETACK);
            self.appended(state);
        }
    }

    /// Keeps the backlog in its bounds and wakes the links.
    fn appended(&self, mut state: MutexGuard<'_, State>) {
        let late = state.trim(&self.config);
        drop(state);
        self.grown.send_replace(());
        for (address, task) in late {
            tracing::warn!(%address, limit = self.config.output_limit, "disconnecting a replica that lags too far");
            task.abort();
        }
    }

    /// Counts a sync for `INFO stats`.
    pub(super) fn count_sync(&self, full: bool) {
        if full { &self.full_syncs } else { &self.partial_syncs }.fetch_add(1, Ordering::Relaxed);
    }

    /// Full and partial syncs so far.
    pub(super) fn syncs(&self) -> (u64, u64) {
        (self.full_syncs.load(Ordering::Relaxed), self.partial_syncs.load(Ordering::Relaxed))
    }

    /// Enters a connection; `None` when there are too many. It is there until the entry is dropped.
    pub(super) fn enter(self: &Arc<Self>, address: SocketAddr) -> Option<Entry> {
        let mut state = self.state();
        if state.connections.len() >= self.config.connections {
            return None;
        }
        state.next += 1;
        let id = state.next;
        state.connections.insert(id, Connection { address, task: None, replica: None });
        Some(Entry { shared: self.clone(), id })
    }

    /// Lets the connection be ended by [`abort`](Self::abort).
    pub(super) fn set_task(&self, id: Id, task: AbortHandle) {
        // It may be over already.
        if let Some(connection) = self.state().connections.get_mut(&id) {
            connection.task = Some(task);
        }
    }

    /// Ends the connections that `which` picks.
    pub(super) fn abort(&self, which: impl Fn(Option<&Replica>) -> bool) {
        let picked: Vec<_> = {
            let state = self.state();
            let picked = state.connections.values().filter(|connection| which(connection.replica.as_ref()));
            picked.filter_map(|connection| connection.task.clone()).collect()
        };
        for task in picked {
            task.abort();
        }
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.state().connections.len()
    }
}

impl State {
    pub(super) fn replicas(&self) -> Vec<ReplicaInfo> {
        let replicas = self.connections.values().filter_map(|connection| {
            let replica = connection.replica.as_ref()?;
            Some(ReplicaInfo {
                address: connection.address,
                listening_port: replica.port,
                state: replica.state,
                sent: replica.sent,
                acknowledged: replica.acknowledged,
                heard: replica.heard.into_std(),
            })
        });
        replicas.collect()
    }

    /// Makes a connection a replica: from now on, what it still has to be sent is kept.
    pub(super) fn set_replica(&mut self, id: Id, replica: Replica) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.replica = Some(replica);
        }
    }

    /// Keeps as much of the stream as is configured, and what connected replicas need. Gives those that need too much.
    fn trim(&mut self, config: &PrimaryConfig) -> Vec<(SocketAddr, AbortHandle)> {
        let end = self.backlog.end();
        if end - self.backlog.first() <= config.backlog {
            return Vec::new();
        }
        let limit = config.output_limit.max(config.backlog);
        let mut keep = end.saturating_sub(config.backlog);
        let mut late = Vec::new();
        for connection in self.connections.values_mut() {
            let Some(replica) = &connection.replica else { continue };
            if end.saturating_sub(replica.sent) <= limit {
                keep = keep.min(replica.sent);
            } else if let Some(task) = connection.task.take() {
                late.push((connection.address, task));
            }
        }
        self.backlog.forget_before(keep);
        late
    }
}

/// A connection's place among the others; it leaves when this is dropped, however its task ends.
pub(super) struct Entry {
    pub(super) shared: Arc<Shared>,
    pub(super) id: Id,
}

impl Entry {
    /// Changes what is known of this replica, and tells those who wait for that.
    pub(super) fn update(&self, change: impl FnOnce(&mut Replica)) {
        if let Some(replica) = self.shared.state().connections.get_mut(&self.id).and_then(|c| c.replica.as_mut()) {
            change(replica);
        }
        self.shared.changed.send_replace(());
    }

    /// Counts `written` bytes of the stream as sent and puts the next ones into `block`; none are there at the end.
    ///
    /// `false` when they are gone, because this replica is being disconnected.
    pub(super) fn next_block(&self, written: usize, block: &mut Vec<u8>) -> bool {
        block.clear();
        let mut state = self.shared.state();
        let Some(replica) = state.connections.get_mut(&self.id).and_then(|c| c.replica.as_mut()) else {
            return false;
        };
        replica.sent += written as u64;
        let sent = replica.sent;
        if !state.backlog.reaches(sent) {
            return false;
        }
        block.extend_from_slice(state.backlog.read(sent));
        true
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.state().connections.remove(&self.id);
        self.shared.changed.send_replace(());
    }
}
