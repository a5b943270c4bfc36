//! Looks at a running fleet and its source, once a second.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::snapshot::{Progress, ReadyWhen};
use super::tracker::{NodeSample, Tracker};
use crate::error::Result;
use crate::fleet::{Handle, Report};
use crate::net::{Connection, info_field};
use crate::source::SourceNode;

/// How often each node of the source is asked, and a new [`Progress`] is made.
const PERIOD: Duration = Duration::from_secs(1);

/// Follows a running fleet. Ends when it is dropped.
///
/// It opens a connection to each node of the source, and asks `INFO replication` and `INFO keyspace` there, once a second. A node that
/// cannot be asked does not disturb the migration; the lag is not known then.
pub struct Monitor {
    tracker: Arc<Mutex<Tracker>>,
    progress: watch::Receiver<Progress>,
    _tasks: JoinSet<()>,
}

impl Monitor {
    /// Follows the fleet of `handle`, whose snapshots have `snapshot_len` bytes together, if that is known.
    pub fn start(handle: Handle, snapshot_len: Option<u64>, ready_when: ReadyWhen) -> Self {
        let nodes = handle.source_nodes();
        let tracker = Arc::new(Mutex::new(Tracker::new(nodes.len(), snapshot_len, ready_when)));
        let shared = tracker.clone();
        let (sender, progress) = watch::channel(Progress::default());
        let mut tasks = JoinSet::new();
        for (shard, node) in nodes.into_iter().enumerate() {
            if let Some(node) = node {
                tasks.spawn(ask(node, shard, tracker.clone()));
            }
        }
        tasks.spawn(async move {
            let mut ticks = ticks();
            loop {
                ticks.tick().await;
                let (report, paused) = (handle.report(), handle.control().is_paused());
                let now = shared.lock().unwrap_or_else(PoisonError::into_inner).at(Instant::now(), &report, paused);
                sender.send_replace(now);
            }
        });
        Self { tracker, progress, _tasks: tasks }
    }

    /// How far it was a moment ago, at most a second.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// How far it was when the fleet ended, which said `report` of itself.
    pub fn last(self, report: &Report) -> Progress {
        let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
        tracker.at(Instant::now(), report, false)
    }

    /// What is to come, about once a second.
    pub fn updates(&self) -> Updates {
        Updates(self.progress.clone())
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

/// How far a migration is, again and again. Whoever is slow misses some, and gets the latest.
#[derive(Debug, Clone)]
pub struct Updates(watch::Receiver<Progress>);

impl Updates {
    pub(crate) fn new(progress: watch::Receiver<Progress>) -> Self {
        Self(progress)
    }

    /// The next one; `None` when there will be no more. Cancel safe.
    pub async fn next(&mut self) -> Option<Progress> {
        self.0.changed().await.ok()?;
        Some(*self.0.borrow_and_update())
    }

    /// The latest one.
    pub fn latest(&self) -> Progress {
        *self.0.borrow()
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn ask(node: SourceNode, shard: usize, tracker: Arc<Mutex<Tracker>>) {
    let mut ticks = ticks();
    let mut connection: Option<Connection> = None;
    loop {
        ticks.tick().await;
        // After a promotion it is somewhere else.
        let open = match connection.take().filter(|open| *open.address() == node.address()) {
            Some(open) => Ok(open),
            None => node.connect().await,
        };
        let sampled = match open {
            Ok(mut open) => {
                // What it says was so at this time or later.
                let asked = Instant::now();
                sample(&mut open).await.map(|sample| (open, asked, sample))
            }
            Err(error) => Err(error),
        };
        match sampled {
            Ok((open, asked, sample)) => {
                connection = Some(open);
                tracker.lock().unwrap_or_else(PoisonError::into_inner).sampled(shard, asked, sample);
            }
            Err(error) => tracing::debug!(%error, "a node of the source cannot be asked how far it is"),
        }
    }
}

async fn sample(connection: &mut Connection) -> Result<NodeSample> {
    let replication = connection.info("replication").await?;
    let offset = info_field(&replication, "master_repl_offset").and_then(|offset| offset.parse().ok());
    let keyspace = connection.info("keyspace").await?;
    Ok(NodeSample::new(offset, keys(&keyspace)))
}

/// `db0:keys=3,expires=0,avg_ttl=0`, a line for each database that has any.
fn keys(keyspace: &str) -> u64 {
    let of_line = |line: &str| line.split_once(":keys=")?.1.split(',').next()?.trim_end().parse::<u64>().ok();
    keyspace.lines().filter_map(of_line).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_all_databases_are_added_up() {
        let keyspace = "# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\ndb11:keys=40\r\n";
        assert_eq!(keys(keyspace), 43);
        assert_eq!(keys("# Keyspace\r\n"), 0);
    }
}
