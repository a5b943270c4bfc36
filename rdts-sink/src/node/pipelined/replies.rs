//! The reading side of a [`Pipelined`](super::Pipelined): matches replies to commands.

use std::sync::PoisonError;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rdts_core::endpoint::NodeAddress;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::ledger::Counts;
use rdts_core::net::StreamReader;
use rdts_core::record::Batch;
use rdts_resp::ReplyDecoder;
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, watch};

use super::super::Status;
use super::{InFlight, Log};
use crate::failure::Failure;
use crate::judge::Judge;

/// Reads replies and moves the watermark.
pub(super) struct Replies {
    reader: StreamReader,
    buffer: BytesMut,
    decoder: ReplyDecoder,
    address: NodeAddress,
    silence: Duration,
    status: watch::Sender<Status>,
    log: Log,
    /// The database that the connection has selected, at the place of the next reply.
    db: u32,
}

impl Replies {
    pub(super) fn new(
        reader: StreamReader,
        address: NodeAddress,
        silence: Duration,
        status: watch::Sender<Status>,
        log: Log,
    ) -> Self {
        let buffer = BytesMut::with_capacity(32 << 10);
        Self { reader, buffer, decoder: ReplyDecoder::new(), address, silence, status, log, db: 0 }
    }

    /// Runs until the sink is closed or something fails. Returning drops the batches that are under way, and with them the room
    /// that a waiting writer wants.
    pub(super) async fn run(mut self, mut batches: mpsc::UnboundedReceiver<InFlight>) {
        let Err(error) = self.serve(&mut batches).await else { return };
        let error = error.at(&self.address);
        self.status.send_modify(|status| {
            status.failed = Some(Failure::of(&error));
        });
    }

    async fn serve(&mut self, batches: &mut mpsc::UnboundedReceiver<InFlight>) -> Result<()> {
        loop {
            let next = match batches.try_recv() {
                Ok(in_flight) => Some(in_flight),
                Err(mpsc::error::TryRecvError::Disconnected) => None,
                // A batch is announced before it is sent, so nobody owes what is left here.
                Err(mpsc::error::TryRecvError::Empty) if !self.buffer.is_empty() => return Err(unasked(&self.buffer)),
                Err(mpsc::error::TryRecvError::Empty) => tokio::select! {
                    biased;
                    next = batches.recv() => next,
                    read = self.reader.read_buf(&mut self.buffer) => return Err(match read {
                        Ok(0) => closed(),
                        Ok(_) => unasked(&self.buffer),
                        Err(error) => broken(error),
                    }),
                },
            };
            let Some(in_flight) = next else { return Ok(()) };
            let counts = self.batch(&in_flight.batch).await?;
            // Before the watermark, so that it is there for whoever sees that.
            if let Some(log) = &mut *self.log.lock().unwrap_or_else(PoisonError::into_inner) {
                log.push_back(counts);
            }
            self.status.send_modify(|status| {
                status.watermark.batches += 1;
                status.watermark.position = Some(*in_flight.batch.position());
                status.watermark.counts += counts;
            });
        }
    }

    async fn batch(&mut self, batch: &Batch) -> Result<Counts> {
        let mut judge = Judge::default();
        for command in batch.commands() {
            if command.db() != self.db {
                self.db = command.db();
                let used = loop {
                    match self.decoder.decode(&self.buffer).map_err(nonsense)? {
                        Some((used, reply)) => {
                            judge.select(self.db, &reply)?;
                            break used;
                        }
                        None => self.read().await?,
                    }
                };
                self.buffer.advance(used);
            }
            let used = loop {
                match self.decoder.decode(&self.buffer).map_err(nonsense)? {
                    Some((used, reply)) => {
                        judge.reply(&command, &reply)?;
                        break used;
                    }
                    None => self.read().await?,
                }
            };
            self.buffer.advance(used);
        }
        Ok(judge.counts())
    }

    async fn read(&mut self) -> Result<()> {
        self.buffer.reserve(16 << 10);
        match tokio::time::timeout(self.silence, self.reader.read_buf(&mut self.buffer)).await {
            Ok(Ok(0)) => Err(closed()),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(broken(error)),
            Err(_) => Err(Error::new(ErrorKind::Timeout, format!("the target gave no reply for {:?}", self.silence))),
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Disconnected, "the target closed the connection")
}

fn nonsense(error: rdts_resp::DecodeError) -> Error {
    Error::new(ErrorKind::Protocol, "the target's replies cannot be read").with_source(error)
}

fn broken(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Disconnected, "the connection broke").with_source(error)
}

/// Something came although nothing was asked.
fn unasked(bytes: &[u8]) -> Error {
    let shown = bytes[..bytes.len().min(200)].escape_ascii();
    Error::new(ErrorKind::Disconnected, format!("the target said '{shown}' although nothing was asked"))
}
