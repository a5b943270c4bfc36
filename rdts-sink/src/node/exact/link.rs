//! A connection, what was said over it, and what the server owes.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rdts_core::endpoint::NodeAddress;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::failpoint;
use rdts_core::net::Connection;
use rdts_resp::{DecodeError, ReplyDecoder, ReplyRef, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A reply that is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
    /// To this command, which must succeed.
    Success(&'static str),
    /// To the `GET` of the checkpoint.
    Checkpoint,
    /// To a `SELECT` that finds out whether there is such a database.
    Select(u32),
    /// To `MULTI`.
    Multi,
    /// `QUEUED`, so many times.
    Queued(usize),
    /// To `EXEC`.
    Executed,
}

/// What `EXEC` is answered with.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The replies of so many commands follow.
    Replies(usize),
    /// The watched key was written by somebody.
    Changed,
    Error(Vec<u8>),
}

/// One connection from its beginning to its end, and how far the transactions are that go over it.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    input: BytesMut,
    decoder: ReplyDecoder,
    output: Vec<u8>,
    /// How much of `output` is written.
    written: usize,
    owed: VecDeque<Owed>,
    address: NodeAddress,
    silence: Duration,
    /// When the server last took or gave something, or began to owe something.
    alive: Instant,
    /// The `EXEC` of the first transaction that is not applied was sent.
    pub(super) executing: bool,
    /// The transaction behind that: `MULTI` was sent.
    pub(super) begun: bool,
    /// All of it was sent but `EXEC`.
    pub(super) sealed: bool,
    /// How many of its batches were sent.
    pub(super) put: usize,
    /// The database that it has selected by then.
    pub(super) db: u32,
    /// Of the transaction whose replies come, how many commands were queued.
    pub(super) queued: usize,
    /// Answers that an `EXEC` has to wait for.
    pub(super) unverified: usize,
    /// The databases that are known to be there.
    pub(super) dbs: BTreeSet<u32>,
}

impl Link {
    /// Over `connection`, on which nothing is owed. `silence` is how long the server may owe something.
    pub(super) fn over(connection: Connection, silence: Duration) -> Self {
        let address = connection.address().clone();
        let (stream, input) = connection.into_parts();
        Self {
            stream,
            input,
            decoder: ReplyDecoder::new(),
            output: Vec::new(),
            written: 0,
            owed: VecDeque::new(),
            address,
            silence,
            alive: Instant::now(),
            executing: false,
            begun: false,
            sealed: false,
            put: 0,
            db: 0,
            queued: 0,
            unverified: 0,
            dbs: BTreeSet::from([0]),
        }
    }

    pub(super) fn address(&self) -> &NodeAddress {
        &self.address
    }

    /// Has one command sent.
    pub(super) fn say<A: AsRef<[u8]>>(&mut self, args: &[A], owed: Owed) {
        encode::command(self.output(), args);
        self.owe(owed);
    }

    /// Where to append what is to be sent; what it will be answered with has to be [said](Self::owe).
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        }
        &mut self.output
    }

    pub(super) fn owe(&mut self, owed: Owed) {
        if self.owed.is_empty() {
            self.alive = Instant::now();
        }
        self.unverified += usize::from(matches!(owed, Owed::Checkpoint | Owed::Select(_)));
        match (self.owed.back_mut(), owed) {
            (Some(Owed::Queued(before)), Owed::Queued(more)) => *before += more,
            (_, Owed::Queued(0)) => {}
            _ => self.owed.push_back(owed),
        }
    }

    /// What comes next.
    pub(super) fn owed(&self) -> Option<Owed> {
        self.owed.front().copied()
    }

    /// It came.
    pub(super) fn settle(&mut self) {
        match self.owed.front_mut() {
            Some(Owed::Queued(left)) if *left > 1 => *left -= 1,
            _ => {
                if let Some(Owed::Checkpoint | Owed::Select(_)) = self.owed.pop_front() {
                    self.unverified -= 1;
                }
            }
        }
    }

    /// When it is time to ask the server whether it is there, if nothing else is said.
    pub(super) fn alive(&self) -> Instant {
        self.alive
    }

    /// Writes or reads whatever comes first. Cancel safe.
    ///
    /// # Errors
    /// [`Disconnected`](ErrorKind::Disconnected), also if something comes that is not owed; [`Timeout`](ErrorKind::Timeout) if
    /// the server owes something and has been silent for too long.
    pub(super) async fn step(&mut self) -> Result<()> {
        self.input.reserve(16 << 10);
        let (mut reader, mut writer) = self.stream.split();
        let left = &self.output[self.written..];
        let result = tokio::select! {
            biased;
            wrote = writer.write(left), if !left.is_empty() => wrote.map(|wrote| (wrote, true)),
            read = reader.read_buf(&mut self.input) => read.map(|read| (read, false)),
            () = tokio::time::sleep_until(self.alive + self.silence), if !self.owed.is_empty() => {
                let text = format!("the target gave no sign of life for {:?}", self.silence);
                return Err(Error::new(ErrorKind::Timeout, text));
            }
        };
        self.alive = Instant::now();
        match result {
            Ok((0, _)) => Err(Error::new(ErrorKind::Disconnected, "the target closed the connection")),
            Ok((wrote, true)) => {
                self.written += wrote;
                if self.executing && self.written == self.output.len() {
                    failpoint::hit("sink.committed");
                }
                Ok(())
            }
            Ok((_, false)) if self.owed.is_empty() => {
                let shown = self.input[..self.input.len().min(200)].escape_ascii();
                let text = format!("the target said '{shown}' although nothing was asked");
                Err(Error::new(ErrorKind::Disconnected, text))
            }
            Ok((_, false)) => Ok(()),
            Err(error) => Err(Error::new(ErrorKind::Disconnected, "the connection broke").with_source(error)),
        }
    }

    /// Shows the next reply to `see`, if it has come, and takes it away.
    #[inline]
    pub(super) fn reply<T>(&mut self, see: impl FnOnce(&ReplyRef<'_>) -> T) -> Result<Option<T>> {
        let Some((used, reply)) = self.decoder.decode(&self.input).map_err(nonsense)? else { return Ok(None) };
        let seen = see(&reply);
        self.input.advance(used);
        Ok(Some(seen))
    }

    /// Takes those of `most` replies `QUEUED` that have come and are nothing else.
    pub(super) fn take_queued(&mut self, most: usize) {
        const QUEUED: &[u8] = b"+QUEUED\r\n";
        let count = self.input.chunks_exact(QUEUED.len()).take(most).take_while(|reply| *reply == QUEUED).count();
        self.input.advance(count * QUEUED.len());
        self.queued += count;
        if let Some(Owed::Queued(left)) = self.owed.front_mut() {
            *left -= count;
            if *left == 0 {
                self.owed.pop_front();
            }
        }
    }

    /// What `EXEC` is answered with, if so much of it has come: the replies of its commands are read one by one.
    pub(super) fn outcome(&mut self) -> Result<Option<Outcome>> {
        if self.input.first() != Some(&b'*') {
            return self.reply(|reply| match reply.as_error() {
                Some(error) => Outcome::Error(error.to_vec()),
                None if reply.is_null() => Outcome::Changed,
                None => Outcome::Error(format!("{reply:?}").into_bytes()),
            });
        }
        /// No number is longer.
        const LINE: usize = 32;
        let Some(end) = self.input.iter().take(LINE).position(|byte| *byte == b'\n') else {
            return if self.input.len() < LINE { Ok(None) } else { Err(unreadable()) };
        };
        let line = std::str::from_utf8(&self.input[1..end]).unwrap_or_default().trim_end();
        let outcome = match line.parse::<i64>().map(usize::try_from) {
            Ok(Ok(count)) => Outcome::Replies(count),
            Ok(Err(_)) => Outcome::Changed,
            Err(_) => return Err(unreadable()),
        };
        self.input.advance(end + 1);
        Ok(Some(outcome))
    }

    /// Tells the server that this is over.
    pub(super) async fn shut(&mut self) {
        let _ = self.stream.shutdown().await;
    }
}

fn nonsense(error: DecodeError) -> Error {
    Error::new(ErrorKind::Protocol, "the target's replies cannot be read").with_source(error)
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Protocol, "the target's reply to EXEC cannot be read")
}
