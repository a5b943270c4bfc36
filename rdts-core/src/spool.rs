//! A buffer on disk between a source and whoever reads it.
//!
//! A source that is a server must not be made to wait: it buffers for a replica that reads slowly only up to its
//! `client-output-buffer-limit` and then cuts it off, and after a break it can go on only where its backlog (1 MB by default)
//! reaches back to. With a spool, everything is taken from the socket as it comes and written to files. Whoever reads gets it
//! from memory as long as he keeps up, from the files if he does not, and again from the files if the process died.
//!
//! A spool is given to a source by [`Durable`](crate::source::Durable); there is no other way to use one.
//!
//! # What is in the directory
//!
//! `lock`, which the process that uses the directory holds locked, and segments, which are named by their number and the place at
//! which they begin: `00000001-snapshot-0.spool`, `00000002-stream-1234.spool` … A place of the snapshot is a byte of its transfer,
//! a place of the stream a replication offset. A new segment begins when the last one has its size, at the end of the snapshot, and
//! where the history gets another name; what it begins at may then be earlier than where the one before ends: what that one has beyond is
//! void.
//!
//! `snapshot.point`, once the beginning of a snapshot was removed: where the snapshot can be gone on with, between two of its keys. Two lines of
//! text (the form, and which snapshot it is), a [`ResumePoint`](rdts_rdb::ResumePoint) as bytes, CRC-32C of all that. It is written, and on
//! the disk, before the segments in front of it are removed.
//!
//! A segment is a sequence of records, which are a header and a payload of up to 4 MiB. Numbers are little-endian.
//!
//! | bytes of the header | |
//! |---|---|
//! | 0..4 | `RDTS` |
//! | 4 | `H`: the head of the segment, its first record; `D`: data |
//! | 5..8 | 2: the version of the format; 0; 0 |
//! | 8..12 | length of the payload |
//! | 12..20 | the place of its first byte |
//! | 20..28 | the number of a segment and a byte in it: all before that was safe on the disk when this was written |
//! | 28..36 | when the payload came from the source, in ms since 1970; 0 in a head |
//! | 36..40 | CRC-32C of the payload |
//! | 40..44 | CRC-32C of the header up to here |
//!
//! The head is text: the version of the format, where the segment begins, how the snapshot's end is told, and the names of the history
//! so far (replication id, the offset from which on it is that, the database that is selected there).
//!
//! # After a crash
//!
//! The last record may be cut off. The spool ends in front of it, and what follows is asked of the source again. The same goes for damage
//! behind what was known to be on the disk, which a crash of the machine leaves. Other damage is an error
//! ([`SpoolDamaged`](crate::ErrorKind::SpoolDamaged)) that names the file and the byte.
//!
//! # Limits
//!
//! [`SpoolOptions::limit`] bounds what is on the disk. Near it there is a warning; at it reading from the socket stops until something is
//! applied and its segments are removed, which is the moment when the source begins to buffer. What is applied of the snapshot is removed
//! like what is applied of the stream, but for the last [`SpoolOptions::keep`] bytes (at most a quarter of the limit when there is no room).
//! Two things can exceed the limit: a transaction that is longer than it, since it is passed on as a whole, and a value that is longer,
//! since a snapshot can only be gone on with between two keys.
//!
//! A snapshot of any size can be resumed from when its last byte has been received. Until then it cannot: no server sends the rest of one.

mod consumer;
mod format;
mod found;
mod mark;
mod point;
mod reader;
mod recover;
mod segment;
mod shared;
mod syncer;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]
mod tests;
mod writer;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::record::{Position, ReplicationId};
use crate::replica::Framing;

pub(crate) use consumer::Consumer;
pub(crate) use found::{Beginning, Found, blocking};
pub(crate) use reader::Reader;
pub(crate) use shared::{Piece, Shared};
pub(crate) use syncer::Syncer;
pub(crate) use writer::Writer;

/// How a spool behaves.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolOptions {
    /// Bytes of a segment. Default: 64 MiB; at most 256 MiB.
    pub segment: u64,
    /// Bytes that may be on the disk; at least four segments. Default: 16 GiB.
    pub limit: u64,
    /// Bytes that wait in memory for whoever reads. When there are more, they are read from the disk later. Default: 8 MiB.
    pub read_ahead: usize,
    /// So many bytes stay on the disk after they were applied, since a target that has lost its last writes by a fail-over
    /// asks for them again. Default: 128 MiB.
    pub keep: u64,
    /// How often what was written is made safe against a crash of the machine. Default: 1 s.
    pub sync_period: Duration,
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self {
            segment: 64 << 20,
            limit: 16 << 30,
            read_ahead: 8 << 20,
            keep: 128 << 20,
            sync_period: Duration::from_secs(1),
        }
    }
}

impl SpoolOptions {
    /// Sets [`segment`](Self::segment).
    #[must_use]
    pub fn segment(mut self, bytes: u64) -> Self {
        self.segment = bytes;
        self
    }

    /// Sets [`limit`](Self::limit).
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Sets [`read_ahead`](Self::read_ahead).
    #[must_use]
    pub fn read_ahead(mut self, bytes: usize) -> Self {
        self.read_ahead = bytes;
        self
    }

    /// Sets [`keep`](Self::keep).
    #[must_use]
    pub fn keep(mut self, bytes: u64) -> Self {
        self.keep = bytes;
        self
    }

    /// Sets [`sync_period`](Self::sync_period).
    #[must_use]
    pub fn sync_period(mut self, period: Duration) -> Self {
        self.sync_period = period;
        self
    }

    fn check(&self) -> Result<()> {
        if self.segment == 0 || self.segment > 256 << 20 || self.limit < 4 * self.segment {
            let text = format!(
                "a spool of at most {} bytes in segments of {}: a segment has up to 256 MiB, and the limit is at least four of them",
                self.limit, self.segment
            );
            return Err(Error::config(text));
        }
        Ok(())
    }
}

/// A place in what a source sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum At {
    /// So many bytes of the snapshot's transfer, with what marks its end.
    Snapshot(u64),
    /// At this replication offset.
    Stream(u64),
}

impl At {
    /// So many bytes further on.
    fn plus(self, bytes: u64) -> Self {
        match self {
            Self::Snapshot(at) => Self::Snapshot(at + bytes),
            Self::Stream(at) => Self::Stream(at + bytes),
        }
    }

    fn is_stream(self) -> bool {
        matches!(self, Self::Stream(_))
    }

    fn number(self) -> u64 {
        match self {
            Self::Snapshot(at) | Self::Stream(at) => at,
        }
    }

    /// The place with the same kind and this number.
    fn with(self, number: u64) -> Self {
        match self {
            Self::Snapshot(_) => Self::Snapshot(number),
            Self::Stream(_) => Self::Stream(number),
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot(at) => write!(f, "snapshot {at}"),
            Self::Stream(at) => write!(f, "stream {at}"),
        }
    }
}

impl FromStr for At {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once(' ') {
            Some(("snapshot", at)) => at.parse().map(Self::Snapshot).map_err(drop),
            Some(("stream", at)) => at.parse().map(Self::Stream).map_err(drop),
            _ => Err(()),
        }
    }
}

/// A name that a history of writes has from an offset on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) replid: ReplicationId,
    pub(crate) from: u64,
    /// If what was read goes beyond `from` and is void there: the database that is selected at `from`.
    pub(crate) rewound: Option<u32>,
}

/// Where a position is in a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) at: At,
    /// The name of the history there.
    pub(crate) replid: ReplicationId,
    /// The database that is selected there.
    pub(crate) db: u32,
}

/// What a spool holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    /// How the snapshot ends that it begins with, if it begins with one.
    pub(crate) framing: Option<Framing>,
    /// The names of the history, the first from where the snapshot or the spool begins.
    pub(crate) histories: Vec<History>,
}

/// So many names are remembered: there is a new one with each promotion.
const MOST_HISTORIES: usize = 64;

impl Contents {
    /// A snapshot of `replid` at `offset`, and what follows it.
    pub(crate) fn full(replid: ReplicationId, offset: u64, framing: Framing) -> Self {
        Self { framing: Some(framing), histories: vec![History { replid, from: offset, rewound: None }] }
    }

    /// A stream alone.
    pub(crate) fn stream(replid: ReplicationId, offset: u64) -> Self {
        Self { framing: None, histories: vec![History { replid, from: offset, rewound: None }] }
    }

    pub(crate) fn first(&self) -> History {
        *self.histories.first().expect("there is always a name")
    }

    pub(crate) fn last(&self) -> History {
        *self.histories.last().expect("there is always a name")
    }

    /// Where the stream's first byte is.
    fn stream_start(&self) -> At {
        At::Stream(self.first().from)
    }

    fn start(&self) -> At {
        if self.framing.is_some() { At::Snapshot(0) } else { self.stream_start() }
    }

    fn rename(&mut self, history: History) {
        self.histories.push(history);
        if self.histories.len() > MOST_HISTORIES {
            self.histories.remove(0);
        }
    }

    /// Where `position` is; `None` if it is of no history that is known here.
    ///
    /// A position may be beyond the place to which the next history went back: there were only `PING` and the like in between, which
    /// the successor does not have.
    pub(crate) fn find(&self, position: &Position) -> Option<Located> {
        let (replid, offset, mut db) = match *position {
            Position::Snapshot { replid, offset, .. } => {
                let first = self.first();
                let ours = self.framing.is_some() && (first.replid, first.from) == (replid, offset);
                return ours.then_some(Located { at: At::Snapshot(0), replid, db: 0 });
            }
            Position::Stream { replid, offset, db } => (replid, offset, db),
        };
        let mut index = self.histories.iter().rposition(|history| history.replid == replid)?;
        // Up to where a history got its name it is the one before.
        while offset < self.histories[index].from {
            index = index.checked_sub(1)?;
        }
        let replid = self.histories[index].replid;
        let (mut at, mut name) = (offset, replid);
        for next in &self.histories[index + 1..] {
            match next.rewound {
                _ if at < next.from => break,
                Some(selected) if at > next.from => (at, db) = (next.from, selected),
                None if at > next.from => return None,
                _ => {}
            }
            name = next.replid;
        }
        Some(Located { at: At::Stream(at), replid: name, db })
    }
}

fn failed(what: &str, path: &std::path::Path, error: std::io::Error) -> Error {
    let full = matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
    let what = if full { "the disk of the spool is full" } else { what };
    Error::new(ErrorKind::Spool, what).with_source(error).at(path.display())
}

fn damaged(path: &std::path::Path, byte: u64, what: &str) -> Error {
    Error::new(ErrorKind::SpoolDamaged, format!("{what} at byte {byte}")).at(path.display())
}
