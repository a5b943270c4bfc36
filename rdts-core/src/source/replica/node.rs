//! The node that is read from, for others who have something to ask it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Connection, Deadlines, info_field};
use crate::source::Locator;

/// The node that a [`ReplicaSource`](super::ReplicaSource) reads from, for whoever has something to ask it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SourceNode {
    locator: Locator,
    address: Arc<Mutex<NodeAddress>>,
    /// Says that the node to read from is another one now.
    moved: Arc<Notify>,
    deadlines: Deadlines,
}

impl SourceNode {
    pub(super) fn new(locator: Locator, address: NodeAddress, deadlines: Deadlines) -> Self {
        Self { locator, address: Arc::new(Mutex::new(address)), moved: Arc::default(), deadlines }
    }

    /// Where it is now: another place after a promotion.
    pub fn address(&self) -> NodeAddress {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_address(&self, address: &NodeAddress) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address.clone();
    }

    /// A new connection to it.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn connect(&self) -> Result<Connection> {
        Connection::open(&self.address(), self.deadlines).await
    }

    /// Where the node is that should be read from now. If that is not where the source reads, the source goes there.
    ///
    /// # Errors
    /// As [`Locator::locate`].
    pub async fn locate(&self) -> Result<NodeAddress> {
        let found = self.locator.locate().await?;
        if found != self.address() {
            self.moved.notify_one();
        }
        Ok(found)
    }

    /// How far the stream of the node that should be read from is now, as the source's positions count.
    ///
    /// # Errors
    /// As [`locate`](Self::locate) and [`Connection::open`]; [`Unsupported`](ErrorKind::Unsupported) from a server that counts no
    /// offsets.
    pub async fn offset(&self) -> Result<u64> {
        let mut connection = Connection::open(&self.locate().await?, self.deadlines).await?;
        let info = connection.info("replication").await?;
        let offset = info_field(&info, "master_repl_offset").and_then(|offset| offset.parse().ok());
        offset.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "this server counts no replication offsets").at(connection.address())
        })
    }

    /// Waits until another node should be read from, which is what the error says.
    pub(super) async fn moved(&self) -> Error {
        self.moved.notified().await;
        Error::new(ErrorKind::Disconnected, "another node is the primary now").at(self.address())
    }

    /// Asks again and again whether the source still reads from the right node, if that may change.
    pub(super) fn watch(&self) -> JoinSet<()> {
        let mut watch = JoinSet::new();
        if let Some(period) = self.locator.watch() {
            watch.spawn(keep_watch(self.clone(), period));
        }
        watch
    }
}

async fn keep_watch(node: SourceNode, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        // Who cannot be asked now will be asked again.
        let _ = node.locate().await;
    }
}
