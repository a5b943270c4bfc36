//! A connection that is written and read at the same time, by one task.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use rdts_core::endpoint::NodeAddress;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::net::{Connection, Moved, Stream};
use rdts_resp::{ReplyDecoder, ReplyRef};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

/// What is to be sent and what has come, over one connection. No error names the node.
#[derive(Debug)]
pub(crate) struct Duplex {
    stream: Stream,
    input: BytesMut,
    decoder: ReplyDecoder,
    output: Vec<u8>,
    /// How much of `output` is written.
    written: usize,
    address: NodeAddress,
    silence: Duration,
    /// When the node last took or gave something, or began to owe something.
    alive: Instant,
}

/// What a [`step`](Duplex::step) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something was written.
    Wrote,
    /// Something has come.
    Read,
}

impl Duplex {
    /// Over `connection`, on which nothing is owed. `silence` is how long the node may owe something.
    pub(crate) fn over(connection: Connection, silence: Duration) -> Self {
        let address = connection.address().clone();
        let (stream, input) = connection.into_parts();
        Self {
            stream,
            input,
            decoder: ReplyDecoder::new(),
            output: Vec::new(),
            written: 0,
            address,
            silence,
            alive: Instant::now(),
        }
    }

    pub(crate) fn address(&self) -> &NodeAddress {
        &self.address
    }

    /// Where to append what is to be sent.
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        }
        &mut self.output
    }

    /// Whether all of the output was written.
    pub(crate) fn is_written(&self) -> bool {
        self.written == self.output.len()
    }

    /// The node owes something from now on.
    pub(crate) fn awake(&mut self) {
        self.alive = Instant::now();
    }

    /// When the node last took or gave something, or began to owe something.
    pub(crate) fn alive(&self) -> Instant {
        self.alive
    }

    /// Writes or reads whatever comes first. Cancel safe. `owing`: the node owes something.
    ///
    /// # Errors
    /// [`Disconnected`](ErrorKind::Disconnected); [`Timeout`](ErrorKind::Timeout) if the node owes something and has been silent for too
    /// long.
    pub(crate) async fn step(&mut self, owing: bool) -> Result<Step> {
        self.input.reserve(16 << 10);
        let until = self.alive + self.silence;
        let moved = tokio::select! {
            biased;
            moved = self.stream.exchange(&self.output[self.written..], &mut self.input) => moved,
            () = tokio::time::sleep_until(until), if owing => {
                let text = format!("the node gave no sign of life for {:?}", self.silence);
                return Err(Error::new(ErrorKind::Timeout, text));
            }
        };
        self.alive = Instant::now();
        match moved {
            Ok(Moved::Wrote(0) | Moved::Read(0)) => {
                Err(Error::new(ErrorKind::Disconnected, "the node closed the connection"))
            }
            Ok(Moved::Wrote(count)) => {
                self.written += count;
                Ok(Step::Wrote)
            }
            Ok(Moved::Read(_)) => Ok(Step::Read),
            Err(error) => Err(Error::new(ErrorKind::Disconnected, "the connection broke").with_source(error)),
        }
    }

    /// Shows the next reply to `see`, if it has come, and takes it away.
    #[inline]
    pub(crate) fn reply<T>(&mut self, see: impl FnOnce(&ReplyRef<'_>) -> T) -> Result<Option<T>> {
        let decoded = self
            .decoder
            .decode(&self.input)
            .map_err(|error| Error::new(ErrorKind::Protocol, "the node's replies cannot be read").with_source(error))?;
        let Some((used, reply)) = decoded else { return Ok(None) };
        let seen = see(&reply);
        self.input.advance(used);
        Ok(Some(seen))
    }

    /// What has come and was not taken.
    pub(crate) fn input(&self) -> &[u8] {
        &self.input
    }

    /// Takes so many bytes of what has come.
    pub(crate) fn take(&mut self, count: usize) {
        self.input.advance(count);
    }

    /// Tells the node that this is over.
    pub(crate) async fn shut(&mut self) {
        let _ = self.stream.shutdown().await;
    }
}
