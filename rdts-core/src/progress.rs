//! How far a migration is, how fast it goes, how far behind the source the target is, and when clients may be led there.
//!
//! [`Monitor`] looks at a running [fleet](crate::fleet) once a second and gives a [`Progress`], on request or as a series of them;
//! [`metrics`](crate::metrics) has the same for whoever collects numbers.
//!
//! # Lag
//!
//! Nothing is written into the source in order to measure it. Each source node is asked once a second, on a connection of its own, how far
//! its stream is (`INFO replication`), and the answers are kept with the times at which they came:
//!
//! ```text
//!  time     12:00:01   12:00:02   12:00:03   12:00:04 = now
//!  offset       1000       5000       9000      13000
//!                        ▲ applied is 6000: the target holds what the source held at 12:00:02, and not all of 12:00:03:
//!                          the lag is 13000 - 6000 bytes and 2 seconds
//! ```
//!
//! So the lag in seconds is the age of the latest answer that is applied, and zero if that is the last one: it is exact to the period between
//! two answers. When a node has not answered for [`STALE`], its lag is not known. Of several shards, the bytes
//! are added up, and the seconds are those of the last one. Sources that count no offsets (files, `SYNC`, `SCAN`) have no lag.
//!
//! # Ready to cut over
//!
//! The snapshot is in the target, and the lag, which is known, has been within [`ReadyWhen::bytes`] and [`ReadyWhen::lag`] all the time for
//! [`ReadyWhen::during`]. A moment beyond them and the time begins again; so does a pause.

mod lag;
mod monitor;
mod rate;
mod snapshot;
mod tracker;

pub use monitor::{Monitor, Updates};
pub use snapshot::{Phase, Progress, ReadyWhen, SourceSide, TargetSide};
pub use tracker::{NodeSample, Tracker};

/// For so long an answer of a source counts as what it is now.
pub const STALE: std::time::Duration = std::time::Duration::from_secs(5);
