//! Who is told how a migration goes.

use std::time::Duration;

use rdts_core::fleet::{Handle, Report};
use rdts_core::verify;

/// Is told how a migration goes. Must not block: the migration waits.
pub trait Observer: Send {
    /// A run that ends early can be gone on with.
    fn resumable(&mut self) {}

    /// The copy begins, or begins again.
    fn started(&mut self, started: &Started<'_>);

    /// How far it is; several times a second.
    fn progress(&mut self, report: &Report);

    /// What the comparison of both sides found.
    fn compared(&mut self, _report: &verify::Report) {}

    /// What was done in the end.
    fn done(&mut self, report: Report);

    /// What a person should know before relying on the result.
    fn warn(&mut self, text: &str);

    /// What a person may want to know.
    fn say(&mut self, text: &str);
}

/// What is known when a copy begins.
#[non_exhaustive]
#[derive(Debug)]
pub struct Started<'a> {
    /// Where the data is.
    pub from: String,
    /// Where it goes.
    pub to: String,
    /// The length of the snapshots in bytes, if it is known.
    pub snapshot_len: Option<u64>,
    /// Watches and steers what runs.
    pub handle: &'a Handle,
}

impl<'a> Started<'a> {
    /// A copy from `from` to `to`.
    pub fn new(from: String, to: String, snapshot_len: Option<u64>, handle: &'a Handle) -> Self {
        Self { from, to, snapshot_len, handle }
    }
}

/// How often an observer is told how far a migration is.
const TICK: Duration = Duration::from_millis(200);

/// Tells `observer` how far `work` is until it is done.
pub async fn watch<T>(observer: &mut dyn Observer, handle: &Handle, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            result = &mut work => return result,
            _ = ticks.tick() => observer.progress(&handle.report()),
        }
    }
}
