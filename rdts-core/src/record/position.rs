//! Places in a source's history.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The 40 characters with which a server names its history of writes (`master_replid`; the run id before Redis 4.0).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplicationId([u8; 40]);

impl ReplicationId {
    /// Forty zeros: "no history", as servers print it for an unset `master_replid2`. Files and `SYNC` have no other.
    pub const NONE: Self = Self([b'0'; 40]);

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether this is [`NONE`](Self::NONE).
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

impl FromStr for ReplicationId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match <[u8; 40]>::try_from(text.as_bytes()) {
            Ok(id) if id.iter().all(u8::is_ascii_graphic) => Ok(Self(id)),
            _ => Err(Error::protocol(format!("'{}' is no replication id of 40 characters", text.escape_debug()))),
        }
    }
}

impl fmt::Display for ReplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ReplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a copy has come.
///
/// Positions of one source are totally ordered in the order in which its [`Source`](crate::source::Source) gives them:
/// first those of the snapshot, then those of the stream. Offsets grow, but for one case: after a promotion
/// a stream may go on a few bytes earlier, under a new replication id, where what followed was `PING` and the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Position {
    /// Inside the snapshot.
    #[non_exhaustive]
    Snapshot {
        /// The history that the snapshot belongs to; [`ReplicationId::NONE`] for a `SYNC` of old, something that tells it from others for a file.
        replid: ReplicationId,
        /// The replication offset that the whole snapshot contains.
        offset: u64,
        /// Bytes of RDB up to here.
        rdb_bytes: u64,
    },
    /// In the stream of writes that follows the snapshot.
    #[non_exhaustive]
    Stream {
        /// The history that `offset` counts in.
        replid: ReplicationId,
        /// Bytes of the stream up to and with the last command, as `INFO replication` counts them.
        offset: u64,
        /// The database that the stream has selected at this place: a partial resync does not repeat it.
        db: u32,
    },
}

impl Position {
    /// `rdb_bytes` into the snapshot that holds everything up to `offset` of `replid`.
    pub fn snapshot(replid: ReplicationId, offset: u64, rdb_bytes: u64) -> Self {
        Self::Snapshot { replid, offset, rdb_bytes }
    }

    /// At `offset` of the stream of `replid`, with database `db` selected.
    pub fn stream(replid: ReplicationId, offset: u64, db: u32) -> Self {
        Self::Stream { replid, offset, db }
    }

    /// The replication offset to acknowledge: that of the snapshot as long as it is being copied.
    pub fn offset(&self) -> u64 {
        match self {
            Self::Snapshot { offset, .. } | Self::Stream { offset, .. } => *offset,
        }
    }

    /// The history that this position belongs to.
    pub fn replid(&self) -> ReplicationId {
        match self {
            Self::Snapshot { replid, .. } | Self::Stream { replid, .. } => *replid,
        }
    }

    /// Whether the snapshot is behind us.
    pub fn is_stream(&self) -> bool {
        matches!(self, Self::Stream { .. })
    }
}

/// `snapshot REPLID OFFSET BYTES` or `stream REPLID OFFSET DB`: the form in which positions are stored.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot { replid, offset, rdb_bytes } => write!(f, "snapshot {replid} {offset} {rdb_bytes}"),
            Self::Stream { replid, offset, db } => write!(f, "stream {replid} {offset} {db}"),
        }
    }
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let nonsense = || Error::protocol(format!("'{}' is no position", text.escape_debug()));
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or_else(nonsense);
        let phase = word()?;
        let replid = word()?.parse()?;
        let offset = word()?.parse().map_err(|_| nonsense())?;
        let last = word()?;
        let position = match phase {
            "snapshot" => Self::Snapshot { replid, offset, rdb_bytes: last.parse().map_err(|_| nonsense())? },
            "stream" => Self::Stream { replid, offset, db: last.parse().map_err(|_| nonsense())? },
            _ => return Err(nonsense()),
        };
        words.next().map_or(Ok(position), |_| Err(nonsense()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_back_as_they_were_written() {
        let replid = "4c1b873d2c85f0b3c32321aee14c7ef5363543d4".parse().unwrap();
        for position in [Position::snapshot(replid, 7, u64::MAX), Position::stream(ReplicationId::NONE, u64::MAX, 15)] {
            assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
        }
        let id = "a".repeat(40);
        for text in [
            "",
            "stream",
            "stream x 1 2",
            &format!("stream {id} 1"),
            &format!("stream {id} 1 2 3"),
            &format!("Stream {id} 1 2"),
            &format!("stream {id} -1 2"),
            &format!("stream {id} 1 5000000000"),
        ] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
