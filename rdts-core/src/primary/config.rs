//! How a primary behaves.

use std::fmt;
use std::time::Duration;

use crate::record::ReplicationId;

/// How a [`Primary`](super::Primary) behaves. Every setting has a default; set those that matter.
///
/// ```
/// use std::time::Duration;
/// use rdts_core::primary::{PrimaryConfig, SnapshotFraming};
///
/// let config = PrimaryConfig::default()
///     .password("secret")
///     .framing(SnapshotFraming::Eof)
///     .ping_period(Duration::from_secs(1));
/// # let _ = config;
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct PrimaryConfig {
    pub(super) replid: Option<ReplicationId>,
    pub(super) offset: u64,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) version: String,
    pub(super) protocol: Protocol,
    pub(super) framing: SnapshotFraming,
    pub(super) write_chunk: usize,
    pub(super) newlines_before_reply: u32,
    pub(super) newlines_before_snapshot: u32,
    pub(super) newline_period: Duration,
    pub(super) ping_period: Duration,
    pub(super) timeout: Duration,
    pub(super) backlog: u64,
    pub(super) output_limit: u64,
    pub(super) connections: usize,
}

/// Which generation of the replication protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// As Redis since 4.0 and Valkey: `+CONTINUE` names the replication id to replicas that announce `capa psync2`.
    Psync2,
    /// As Redis 2.8 to 3.2: `+CONTINUE` is bare, and `REPLCONF ip-address` and `version` are unknown.
    Psync,
    /// As Redis 2.6: no `PSYNC`, no `REPLCONF capa`, no acknowledgements; replicas use `SYNC`.
    SyncOnly,
}

/// How a replica is told where the snapshot ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SnapshotFraming {
    /// `$<length>`, as servers do that send a file.
    Length,
    /// `$EOF:<mark>`, as servers do that stream a snapshot without a file. Only replicas that announced `capa eof` get
    /// it, others get the length. The stream is held back until the replica's first `REPLCONF ACK`.
    Eof,
}

impl Default for PrimaryConfig {
    fn default() -> Self {
        Self {
            replid: None,
            offset: 0,
            user: None,
            password: None,
            version: "7.0.15".to_owned(),
            protocol: Protocol::Psync2,
            framing: SnapshotFraming::Length,
            write_chunk: 64 << 10,
            newlines_before_reply: 0,
            newlines_before_snapshot: 0,
            newline_period: Duration::from_secs(1),
            ping_period: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            backlog: 10 << 20,
            output_limit: 256 << 20,
            connections: 128,
        }
    }
}

impl PrimaryConfig {
    /// The name of this history of writes. Default: a random one.
    #[must_use]
    pub fn replid(mut self, replid: ReplicationId) -> Self {
        self.replid = Some(replid);
        self
    }

    /// The offset at which the stream starts: the first byte appended takes it one further. Default 0.
    #[must_use]
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// What `AUTH` has to be given before anything else. Default: nothing.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The user that the password belongs to, which `AUTH` then has to name. Default `default`, which it may leave out.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The `redis_version` that `INFO` says. Default `7.0.15`.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Which generation of the protocol is spoken. Default [`Protocol::Psync2`].
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// How the end of a snapshot is told. Default [`SnapshotFraming::Length`].
    #[must_use]
    pub fn framing(mut self, framing: SnapshotFraming) -> Self {
        self.framing = framing;
        self
    }

    /// The most bytes of a snapshot that are handed to the socket at once; 0 is taken as 1. Default 64 KiB.
    #[must_use]
    pub fn write_chunk(mut self, bytes: usize) -> Self {
        self.write_chunk = bytes.max(1);
        self
    }

    /// How many newlines keep the link alive before `+FULLRESYNC`, as Redis 3.2 sends them while it waits to start a
    /// snapshot without a file. Default 0.
    #[must_use]
    pub fn newlines_before_reply(mut self, count: u32) -> Self {
        self.newlines_before_reply = count;
        self
    }

    /// How many newlines keep the link alive before the header of the snapshot, as servers send them while they write
    /// one. Default 0.
    #[must_use]
    pub fn newlines_before_snapshot(mut self, count: u32) -> Self {
        self.newlines_before_snapshot = count;
        self
    }

    /// The pause behind each of those newlines. Default 1 s.
    #[must_use]
    pub fn newline_period(mut self, period: Duration) -> Self {
        self.newline_period = period;
        self
    }

    /// How often `PING` is put into the stream while there are replicas; zero for never. Default 10 s.
    #[must_use]
    pub fn ping_period(mut self, period: Duration) -> Self {
        self.ping_period = period;
        self
    }

    /// A replica that is silent for so long is disconnected; zero for never. Default 60 s. Replicas acknowledge once a
    /// second; one that came with `SYNC` cannot, and is spared.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// How many bytes of the stream are kept for replicas that come back, and between the snapshot and now. Default 10
    /// MiB.
    ///
    /// A snapshot that is further back than this cannot be served any more.
    #[must_use]
    pub fn backlog(mut self, bytes: u64) -> Self {
        self.backlog = bytes;
        self
    }

    /// A replica that lags by more bytes than this, and by more than the [`backlog`](Self::backlog), is disconnected.
    /// Default 256 MiB. The larger of the two bounds the memory that the stream takes.
    #[must_use]
    pub fn output_limit(mut self, bytes: u64) -> Self {
        self.output_limit = bytes;
        self
    }

    /// How many connections are served at a time; more are refused. Default 128.
    #[must_use]
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = count;
        self
    }
}

impl fmt::Debug for PrimaryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrimaryConfig")
            .field("replid", &self.replid)
            .field("offset", &self.offset)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("version", &self.version)
            .field("protocol", &self.protocol)
            .field("framing", &self.framing)
            .field("write_chunk", &self.write_chunk)
            .field("newlines_before_reply", &self.newlines_before_reply)
            .field("newlines_before_snapshot", &self.newlines_before_snapshot)
            .field("newline_period", &self.newline_period)
            .field("ping_period", &self.ping_period)
            .field("timeout", &self.timeout)
            .field("backlog", &self.backlog)
            .field("output_limit", &self.output_limit)
            .field("connections", &self.connections)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_shown() {
        let shown = format!("{:?}", PrimaryConfig::default().user("repl").password("s3cret"));
        assert!(shown.contains("repl") && shown.contains("***") && !shown.contains("s3cret"), "{shown}");
    }
}
