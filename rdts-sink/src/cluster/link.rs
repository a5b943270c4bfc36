//! A connection to one node.

use std::time::Duration;

use rdts_core::endpoint::NodeAddress;
use rdts_core::error::Result;
use rdts_core::net::{Connection, Deadlines};
use rdts_resp::{Reply, encode};

use crate::duplex::Duplex;

/// A connection that commands can be sent to without waiting for their replies.
pub(super) struct Link(Duplex);

impl Link {
    pub(super) async fn open(address: &NodeAddress, deadlines: Deadlines) -> Result<Self> {
        Ok(Self(Duplex::over(Connection::open(address, deadlines).await?, deadlines.reply)))
    }

    pub(super) fn address(&self) -> &NodeAddress {
        self.0.address()
    }

    /// Where to append what is to be sent.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        self.0.output()
    }

    /// The node owes something from now on.
    pub(super) fn awake(&mut self) {
        self.0.awake();
    }

    /// For how long the node has neither taken nor given anything.
    pub(super) fn silent(&self) -> Duration {
        self.0.alive().elapsed()
    }

    /// Writes or reads whatever comes first. Cancel safe.
    ///
    /// # Errors
    /// [`Disconnected`](rdts_core::ErrorKind::Disconnected); [`Timeout`](rdts_core::ErrorKind::Timeout) if the node has been silent for
    /// too long.
    pub(super) async fn step(&mut self) -> Result<()> {
        self.0.step(true).await.map(drop).map_err(|error| error.at(self.0.address()))
    }

    /// The next reply, if it has come.
    #[allow(
        clippy::redundant_closure_for_method_calls,
        reason = "the method alone is for one lifetime, and this is for all"
    )]
    pub(super) fn reply(&mut self) -> Result<Option<Reply>> {
        self.0.reply(|reply| reply.to_owned()).map_err(|error| error.at(self.0.address()))
    }

    /// Waits for the next reply.
    pub(super) async fn receive(&mut self) -> Result<Reply> {
        loop {
            if let Some(reply) = self.reply()? {
                return Ok(reply);
            }
            self.step().await?;
        }
    }

    /// One command and its reply, with nothing else under way.
    pub(super) async fn call(&mut self, args: &[&[u8]]) -> Result<Reply> {
        encode::command(self.output(), args);
        self.awake();
        self.receive().await
    }
}
