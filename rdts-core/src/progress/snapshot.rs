//! How far a migration is at one moment.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a migration is doing.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Nothing has come to the target yet.
    #[default]
    Starting,
    /// The snapshot is being copied.
    Snapshot,
    /// The snapshot is in the target, and the writes that follow it are being applied.
    Stream,
    /// Nothing runs any more.
    Ended,
}

impl Phase {
    /// Its name, as it is serialised.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Snapshot => "snapshot",
            Self::Stream => "stream",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The source's side of a [`Progress`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceSide {
    /// Keys that the source has, in all databases, as its nodes said last; `None` until all have, and for sources that are no servers.
    pub keys: Option<u64>,
    /// The length of its snapshots in bytes, if it is known. Zero when they need not be copied.
    pub bytes: Option<u64>,
    /// Keys of the snapshots that have been read.
    pub keys_read: u64,
    /// Bytes of the snapshots that have been read.
    pub bytes_read: u64,
}

/// The target's side of a [`Progress`], counted from the start of this run.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetSide {
    /// Keys of the snapshots that are in place.
    pub keys: u64,
    /// Commands that the target took, for the snapshot and the stream.
    pub commands: u64,
    /// Bytes of those commands.
    pub bytes: u64,
}

/// How far a migration is at one moment. Durations are serialised in seconds.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// How much of the snapshots is in the target, from 0 to 100, and less until all is: by their bytes, or, if their length is not known (a
    /// primary that writes them to no disk does not say), by the keys that the source has now. `None` if that is not known either.
    /// 100 in the stream.
    pub percent: Option<f64>,
    /// The source's side.
    pub source: SourceSide,
    /// The target's side.
    pub target: TargetSide,
    /// Commands per second that the target took, over the last ten seconds.
    pub commands_per_second: f64,
    /// Bytes of commands per second that the target took, over the last ten seconds.
    pub bytes_per_second: f64,
    /// How much of the stream is not applied yet, in bytes; `None` if it is not known.
    pub lag_bytes: Option<u64>,
    /// How far behind the source the target is in time; `None` if it is not known.
    #[serde(with = "seconds")]
    pub lag: Option<Duration>,
    /// How long it will take, as fast as it went lately: in the snapshot until that is in the target, in the stream until the target has
    /// caught up. `None` if that cannot be told, or will never be since the source is faster.
    #[serde(with = "seconds")]
    pub left: Option<Duration>,
    /// Whether clients may be [led to the target](super#ready-to-cut-over).
    pub ready: bool,
    /// Whether it is paused.
    pub paused: bool,
}

/// When clients may be led to the target.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyWhen {
    /// The most that may be missing in the target, in bytes of the stream. Default: 1 MiB.
    pub bytes: u64,
    /// The most that the target may be behind. Default: 2 s.
    pub lag: Duration,
    /// For how long. Default: 5 s.
    pub during: Duration,
}

impl Default for ReadyWhen {
    fn default() -> Self {
        Self { bytes: 1 << 20, lag: Duration::from_secs(2), during: Duration::from_secs(5) }
    }
}

impl ReadyWhen {
    /// Sets [`bytes`](Self::bytes).
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets [`lag`](Self::lag).
    #[must_use]
    pub fn lag(mut self, lag: Duration) -> Self {
        self.lag = lag;
        self
    }

    /// Sets [`during`](Self::during).
    #[must_use]
    pub fn during(mut self, during: Duration) -> Self {
        self.during = during;
        self
    }
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(clippy::ref_option)] // serde calls it so.
    pub(super) fn serialize<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_secs_f64()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }
}
