//! A connection, what was said over it, and what the server owes.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rdts_core::endpoint::NodeAddress;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::failpoint;
use rdts_core::net::Connection;
use rdts_resp::{ReplyRef, encode};
use tokio::time::Instant;

use crate::duplex::{Duplex, Step};

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
    duplex: Duplex,
    owed: VecDeque<Owed>,
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
        Self {
            duplex: Duplex::over(connection, silence),
            owed: VecDeque::new(),
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
        self.duplex.address()
    }

    /// Has one command sent.
    pub(super) fn say<A: AsRef<[u8]>>(&mut self, args: &[A], owed: Owed) {
        encode::command(self.output(), args);
        self.owe(owed);
    }

    /// Where to append what is to be sent; what it will be answered with has to be [said](Self::owe).
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        self.duplex.output()
    }

    pub(super) fn owe(&mut self, owed: Owed) {
        if self.owed.is_empty() {
            self.duplex.awake();
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
        self.duplex.alive()
    }

    /// Writes or reads whatever comes first. Cancel safe.
    ///
    /// # Errors
    /// [`Disconnected`](ErrorKind::Disconnected), also if something comes that is not owed; [`Timeout`](ErrorKind::Timeout) if
    /// the server owes something and has been silent for too long.
    pub(super) async fn step(&mut self) -> Result<()> {
        match self.duplex.step(!self.owed.is_empty()).await? {
            Step::Wrote => {
                if self.executing && self.duplex.is_written() {
                    failpoint::hit("sink.committed");
                }
                Ok(())
            }
            Step::Read if self.owed.is_empty() => {
                let input = self.duplex.input();
                let shown = input[..input.len().min(200)].escape_ascii();
                let text = format!("the target said '{shown}' although nothing was asked");
                Err(Error::new(ErrorKind::Disconnected, text))
            }
            Step::Read => Ok(()),
        }
    }

    /// Shows the next reply to `see`, if it has come, and takes it away.
    #[inline]
    pub(super) fn reply<T>(&mut self, see: impl FnOnce(&ReplyRef<'_>) -> T) -> Result<Option<T>> {
        self.duplex.reply(see)
    }

    /// Takes those of `most` replies `QUEUED` that have come and are nothing else.
    pub(super) fn take_queued(&mut self, most: usize) {
        const QUEUED: &[u8] = b"+QUEUED\r\n";
        let input = self.duplex.input();
        let count = input.chunks_exact(QUEUED.len()).take(most).take_while(|reply| *reply == QUEUED).count();
        self.duplex.take(count * QUEUED.len());
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
        if self.duplex.input().first() != Some(&b'*') {
            return self.reply(|reply| match reply.as_error() {
                Some(error) => Outcome::Error(error.to_vec()),
                None if reply.is_null() => Outcome::Changed,
                None => Outcome::Error(format!("{reply:?}").into_bytes()),
            });
        }
        /// No number is longer.
        const LINE: usize = 32;
        let input = self.duplex.input();
        let Some(end) = input.iter().take(LINE).position(|byte| *byte == b'\n') else {
            return if input.len() < LINE { Ok(None) } else { Err(unreadable()) };
        };
        let line = std::str::from_utf8(&input[1..end]).unwrap_or_default().trim_end();
        let outcome = match line.parse::<i64>().map(usize::try_from) {
            Ok(Ok(count)) => Outcome::Replies(count),
            Ok(Err(_)) => Outcome::Changed,
            Err(_) => return Err(unreadable()),
        };
        self.duplex.take(end + 1);
        Ok(Some(outcome))
    }

    /// Tells the server that this is over.
    pub(super) async fn shut(&mut self) {
        self.duplex.shut().await;
    }
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Protocol, "the target's reply to EXEC cannot be read")
}
