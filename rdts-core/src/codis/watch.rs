//! Looks at the dashboard as long as data is moved, and says when something moves there.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::shard::CodisShard;
use super::topology::{Group, wrong};
use super::{CodisTopology, Dashboard};
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Rules;
use crate::fleet::{ShardSource, replicas};
use crate::source::{Durable, Locator, ReplicaOptions, Source};
use crate::translate::Target;

/// How a [`CodisWatch`] looks.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchOptions {
    /// How often the dashboard is asked. Default: 1 s.
    pub interval: Duration,
    /// For how long it may fail to answer. Without it no slot moves, since it is what moves them. Default: 60 s.
    pub patience: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), patience: Duration::from_secs(60) }
    }
}

impl WatchOptions {
    /// Sets [`interval`](Self::interval); at least a millisecond.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// Sets [`patience`](Self::patience).
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

/// The topology of a Codis deployment, and the promise that it is still so.
///
/// Codis moves a slot by copying its keys to the new group and deleting them in the old one; the two groups' streams have no
/// common clock, so that a copy which reads both, or writes by the old table, would lose data. So whoever
/// reads or writes by this topology stops when [`changed`](Self::changed) says that a slot is to move or a group gets another primary:
/// what was copied is then to be copied anew, once the moves are over. Cheap to clone; looking ends with the last clone.
#[derive(Clone)]
pub struct CodisWatch(Arc<Inner>);

struct Inner {
    topology: CodisTopology,
    /// `None` for a table that is not watched.
    dashboard: Option<Dashboard>,
    failed: watch::Receiver<Option<(ErrorKind, String)>>,
    task: Option<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl CodisWatch {
    /// Asks the dashboard, and goes on asking it in the background.
    ///
    /// # Errors
    /// As [`Dashboard::topology`]; [`Topology`](ErrorKind::Topology) if slots have no group, or anything is being moved
    /// or promoted.
    pub async fn start(dashboard: Dashboard, options: WatchOptions) -> Result<Self> {
        let topology = dashboard.topology().await?;
        let at_dashboard = |error: Error| error.at(place(&dashboard));
        topology.check_complete().map_err(at_dashboard)?;
        topology.check_steady().map_err(at_dashboard)?;
        let (sender, failed) = watch::channel(None);
        let task = tokio::spawn(look(dashboard.clone(), topology.clone(), options, sender));
        Ok(Self(Arc::new(Inner { topology, dashboard: Some(dashboard), failed, task: Some(task) })))
    }

    /// A table that nobody watches: whoever gives it has to see to it that nothing is moved.
    ///
    /// # Errors
    /// [`Topology`](ErrorKind::Topology) if slots have no group.
    pub fn fixed(topology: CodisTopology) -> Result<Self> {
        topology.check_complete()?;
        let (_, failed) = watch::channel(None);
        Ok(Self(Arc::new(Inner { topology, dashboard: None, failed, task: None })))
    }

    /// The deployment as it was at the start, and is as long as nothing [changes](Self::changed).
    pub fn topology(&self) -> &CodisTopology {
        &self.0.topology
    }

    /// Waits until something changes, and says what; forever if nothing does.
    pub async fn changed(&self) -> Error {
        let mut failed = self.0.failed.clone();
        let known = match failed.wait_for(Option::is_some).await {
            Ok(failed) => failed.as_ref().map(error),
            Err(_) => None,
        };
        match known {
            Some(error) => error,
            // Nobody looks.
            None => std::future::pending().await,
        }
    }

    /// Whether nothing has changed, as far as is known.
    ///
    /// # Errors
    /// What has changed.
    pub fn check(&self) -> Result<()> {
        self.0.failed.borrow().as_ref().map_or(Ok(()), |failed| Err(error(failed)))
    }

    /// Asks the dashboard once more whether nothing has changed: to be called when all is copied, before that is called a success.
    ///
    /// # Errors
    /// What has changed, or why the dashboard cannot be asked.
    pub async fn verify(&self) -> Result<()> {
        self.check()?;
        match &self.0.dashboard {
            Some(dashboard) => compare(dashboard, &self.0.topology, &dashboard.topology().await?),
            None => Ok(()),
        }
    }

    /// Becomes a replica of every group's primary, translating for `target`: the shards of a [`Fleet`](crate::fleet::Fleet). Waits until the
    /// snapshots of all of them start, and looks at the dashboard again then. Strings are not
    /// [grouped](crate::translate::TranslateOptions::group_strings), since each key is judged by itself.
    ///
    /// # Errors
    /// As [`ReplicaSource::open`](crate::source::ReplicaSource::open) and [`verify`](Self::verify); [`Unsupported`](ErrorKind::Unsupported) if rules rename keys.
    pub async fn open_shards(&self, target: Target, mut options: ReplicaOptions) -> Result<Vec<ShardSource>> {
        Rules::refuse_renames(options.translate.rules.as_ref(), "Codis")?;
        options.translate.group_strings = false;
        let primary = |group: &Group| {
            let primary = group.primary().ok_or_else(|| wrong(format!("group {} has no server", group.id)))?;
            Ok::<_, Error>((group.id, primary.clone()))
        };
        let groups = self.topology().shards().map(primary).collect::<Result<Vec<_>>>()?;
        let (locators, watch) = (groups.iter().map(|(_, primary)| Locator::from(primary)).collect(), self.clone());
        let check = || async move { watch.verify().await };
        let sources = replicas(locators, target, options, vec![Durable::default(); groups.len()], check).await?;
        self.verify().await?;
        let shard = |((id, primary), source)| {
            let name = format!("group {id} at {primary}");
            ShardSource::wrapped(name, source, |source| CodisShard::new(self.clone(), id, source))
        };
        Ok(groups.into_iter().zip(sources).map(shard).collect())
    }

    /// `source`, which reads the primary of group `group`, as a shard of this deployment.
    ///
    /// # Errors
    /// [`Topology`](ErrorKind::Topology) if there is no such group.
    pub fn shard<S: Source>(&self, group: u32, source: S) -> Result<CodisShard<S>> {
        match self.0.topology.group(group) {
            Some(_) => Ok(CodisShard::new(self.clone(), group, source)),
            None => Err(wrong(format!("there is no group {group}"))),
        }
    }
}

impl fmt::Debug for CodisWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodisWatch").field("dashboard", &self.0.dashboard).finish_non_exhaustive()
    }
}

fn error((kind, text): &(ErrorKind, String)) -> Error {
    Error::new(*kind, text.clone())
}

fn place(dashboard: &Dashboard) -> String {
    format!("the Codis dashboard at {}", dashboard.address())
}

fn compare(dashboard: &Dashboard, before: &CodisTopology, now: &CodisTopology) -> Result<()> {
    now.check_steady().map_err(|error| error.at(place(dashboard)))?;
    match before.change(now) {
        Some(change) => {
            let text = format!("{change} while data was copied by the old table: start again");
            Err(wrong(text).at(place(dashboard)))
        }
        None => Ok(()),
    }
}

async fn look(
    dashboard: Dashboard,
    before: CodisTopology,
    options: WatchOptions,
    failed: watch::Sender<Option<(ErrorKind, String)>>,
) {
    let mut ticks = tokio::time::interval(options.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answered = Instant::now();
    loop {
        ticks.tick().await;
        let error = match dashboard.topology().await {
            Ok(now) => match compare(&dashboard, &before, &now) {
                Ok(()) => {
                    answered = Instant::now();
                    continue;
                }
                Err(error) => error,
            },
            Err(error) if answered.elapsed() < options.patience => {
                tracing::warn!(%error, "the dashboard cannot be asked; it is asked again");
                continue;
            }
            Err(error) => error,
        };
        failed.send_replace(Some((error.kind(), error.to_string())));
        return;
    }
}
