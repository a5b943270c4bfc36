//! A connection to one node.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use rdts_core::endpoint::NodeAddress;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::net::{Connection, Deadlines};
use rdts_resp::{Reply, ReplyDecoder, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A connection that commands can be sent to without waiting for their replies.
pub(super) struct Link {
    stream: TcpStream,
    input: BytesMut,
    decoder: ReplyDecoder,
    output: Vec<u8>,
    /// How much of `output` is written.
    written: usize,
    address: NodeAddress,
    silence: Duration,
    /// When the node last took or gave something.
    alive: Instant,
}

impl Link {
    pub(super) async fn open(address: &NodeAddress, deadlines: Deadlines) -> Result<Self> {
        let (stream, input) = Connection::open(address, deadlines).await?.into_parts();
        Ok(Self {
            stream,
            input,
            decoder: ReplyDecoder::new(),
            output: Vec::new(),
            written: 0,
            address: address.clone(),
            silence: deadlines.reply,
            alive: Instant::now(),
        })
    }

    pub(super) fn address(&self) -> &NodeAddress {
        &self.address
    }

    /// Where to append what is to be sent.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        }
        &mut self.output
    }

    /// The node owes something from now on.
    pub(super) fn awake(&mut self) {
        self.alive = Instant::now();
    }

    /// For how long the node has neither taken nor given anything.
    pub(super) fn silent(&self) -> Duration {
        self.alive.elapsed()
    }

    /// Writes or reads whatever comes first. Cancel safe.
    ///
    /// # Errors
    /// [`Disconnected`](ErrorKind::Disconnected); [`Timeout`](ErrorKind::Timeout) if the node has been silent for too long.
    pub(super) async fn step(&mut self) -> Result<()> {
        self.input.reserve(16 << 10);
        let (mut reader, mut writer) = self.stream.split();
        let left = &self.output[self.written..];
        let result = tokio::select! {
            biased;
            wrote = writer.write(left), if !left.is_empty() => wrote.map(|wrote| (wrote, true)),
            read = reader.read_buf(&mut self.input) => read.map(|read| (read, false)),
            () = tokio::time::sleep_until(self.alive + self.silence) => {
                let text = format!("the node gave no sign of life for {:?}", self.silence);
                return Err(Error::new(ErrorKind::Timeout, text).at(&self.address));
            }
        };
        self.alive = Instant::now();
        match result {
            Ok((0, _)) => Err(Error::new(ErrorKind::Disconnected, "the node closed the connection").at(&self.address)),
            Ok((wrote, true)) => {
                self.written += wrote;
                Ok(())
            }
            Ok((_, false)) => Ok(()),
            Err(error) => {
                Err(Error::new(ErrorKind::Disconnected, "the connection broke").with_source(error).at(&self.address))
            }
        }
    }

    /// The next reply, if it has come.
    pub(super) fn reply(&mut self) -> Result<Option<Reply>> {
        let decoded = self.decoder.decode(&self.input).map_err(|error| {
            Error::new(ErrorKind::Protocol, "the node's replies cannot be read").with_source(error).at(&self.address)
        })?;
        let Some((used, reply)) = decoded else { return Ok(None) };
        let reply = reply.to_owned();
        self.input.advance(used);
        Ok(Some(reply))
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
