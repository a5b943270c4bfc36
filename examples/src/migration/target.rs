//! From the URL of a target to the sinks that write there.

use std::path::{Path, PathBuf};

use rdts_core::checkpoint::CheckpointName;
use rdts_core::cluster::{Topology, TopologyOptions};
use rdts_core::codis::{CodisWatch, Dashboard, WatchOptions};
use rdts_core::endpoint::NodeAddress;
use rdts_core::net::Connection;
use rdts_core::source::Locator;
use rdts_core::translate::{OnConflict, Target};
use rdts_core::{BoxSink, Endpoint, Error, ErrorKind, Result};
use rdts_sink::{
    ClusterOptions, ClusterSink, CodisOptions, CodisSink, FileOptions, MemorySink, NodeOptions, NodeSink, ProxyOptions,
    ProxySink, cluster, file, node,
};

use super::job::Job;
use super::precheck;
use super::state::State;

/// Opens the sinks of a job, one for each shard of the source.
pub(super) struct Targets<'a> {
    job: &'a Job,
    codis: Option<CodisWatch>,
    /// What checkpoints are named after, if the run can be resumed.
    task: Option<String>,
}

impl<'a> Targets<'a> {
    pub(super) async fn of(job: &'a Job, state: Option<&State>) -> Result<Self> {
        let codis = match &job.to {
            Endpoint::Codis { dashboard } => {
                let dashboard = Dashboard::new(dashboard.clone(), job.deadlines);
                Some(CodisWatch::start(dashboard, WatchOptions::default()).await?)
            }
            _ => None,
        };
        Ok(Self { job, codis, task: state.map(|state| state.task().to_owned()) })
    }

    /// The servers, as far as they can be asked.
    pub(super) async fn primaries(&self) -> Result<Vec<NodeAddress>> {
        match (&self.job.to, &self.codis) {
            (Endpoint::Node { .. } | Endpoint::Sentinel { .. } | Endpoint::Cluster { .. }, _) => nodes(self.job).await,
            (_, Some(codis)) => Ok(precheck::primaries(codis.topology())),
            _ => Ok(Vec::new()),
        }
    }

    /// A sink for shard `shard`, counted from 0. Files are written for `oldest`, the oldest server of the source, if there is one.
    pub(super) async fn open(&self, shard: usize, oldest: Option<Target>) -> Result<BoxSink> {
        let checkpoint = self.checkpoint(shard)?;
        let node = NodeOptions::default().deadlines(self.job.deadlines).checkpoint(checkpoint.clone());
        match (&self.job.to, &self.codis) {
            (Endpoint::Node { .. } | Endpoint::Sentinel { .. }, _) => {
                Ok(BoxSink::new(NodeSink::connect(node_of(self.job)?, node).await?))
            }
            (Endpoint::Cluster { seeds }, _) => {
                let options = cluster_options(self.job).checkpoint(checkpoint);
                Ok(BoxSink::new(ClusterSink::connect(seeds, options).await?))
            }
            (Endpoint::Codis { .. }, Some(codis)) => {
                let options = CodisOptions::default().node(node);
                Ok(BoxSink::new(CodisSink::connect(codis, options).await?))
            }
            (Endpoint::Proxy { kind, addresses }, _) => {
                let options = ProxyOptions::default().deadlines(self.job.deadlines);
                Ok(BoxSink::new(ProxySink::connect(*kind, addresses, options).await?))
            }
            (Endpoint::File(path), _) => {
                let options = FileOptions::default().overwrite(self.job.on_conflict == OnConflict::Replace);
                let options = oldest.map_or(options, |oldest| options.target(oldest));
                Ok(BoxSink::new(file::open(numbered(path, shard), options).await?))
            }
            (Endpoint::Memory, _) => Ok(BoxSink::new(MemorySink::new())),
            (other, _) => Err(Error::new(ErrorKind::Unsupported, format!("{other} as a target is not supported"))),
        }
    }

    fn checkpoint(&self, shard: usize) -> Result<Option<CheckpointName>> {
        let shard = u32::try_from(shard).unwrap_or(u32::MAX);
        self.task.as_ref().map(|task| CheckpointName::new(task.as_str(), shard)).transpose()
    }

    /// Removes the checkpoints of a copy from `shards` shards that has come to its end.
    pub(super) async fn forget(&self, shards: usize) -> Result<()> {
        for shard in 0..shards {
            let Some(name) = self.checkpoint(shard)? else { return Ok(()) };
            match &self.job.to {
                Endpoint::Cluster { seeds } => {
                    cluster::remove_checkpoints(seeds, cluster_options(self.job), &name).await?;
                }
                _ => {
                    node::remove_checkpoint(node_of(self.job)?, &name, self.job.deadlines).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether a Codis is still what it was when it was opened.
    pub(super) async fn verify(&self) -> Result<()> {
        match &self.codis {
            Some(codis) => codis.verify().await,
            None => Ok(()),
        }
    }
}

/// Where the server is that is written to.
fn node_of(job: &Job) -> Result<Locator> {
    match &job.to {
        Endpoint::Node { address, .. } => Ok(Locator::from(address)),
        other => Ok(Locator::sentinel(precheck::sentinel(other, job.deadlines)?)),
    }
}

/// The primaries of a server or cluster that is written to.
async fn nodes(job: &Job) -> Result<Vec<NodeAddress>> {
    Ok(match &job.to {
        Endpoint::Cluster { seeds } => {
            let topology = Topology::discover(seeds, cluster_options(job).topology).await?;
            topology.primaries().map(|node| node.address.clone()).collect()
        }
        _ => vec![node_of(job)?.locate().await?],
    })
}

fn cluster_options(job: &Job) -> ClusterOptions {
    ClusterOptions::default().topology(TopologyOptions::default().deadlines(job.deadlines))
}

/// Removes all that `task` has written to a target that was empty when it began, and whatever has come there since.
pub(super) async fn empty(job: &Job, task: &str) -> Result<()> {
    for address in nodes(job).await? {
        let mut connection = Connection::open(&address, job.deadlines).await?;
        let command: &[&str] = match job.target_db() {
            Some(db) => {
                let reply = connection.call(["SELECT", &db.to_string()]).await?;
                if reply.is_error() {
                    return Err(connection.refusal("SELECT", &reply));
                }
                &["FLUSHDB"]
            }
            None => &["FLUSHALL"],
        };
        let reply = connection.call(command.iter().copied()).await?;
        if reply.is_error() {
            return Err(connection.refusal(command[0], &reply));
        }
        // They are no keys, and came with the snapshot as well; servers that do not know the command have none.
        if job.target_db().is_none() {
            connection.call(["FUNCTION", "FLUSH"]).await?;
        }
    }
    if job.target_db().is_some() && !matches!(job.to, Endpoint::Cluster { .. }) {
        // It is in a database that was not emptied. A source of which one database is read has one shard.
        node::remove_checkpoint(node_of(job)?, &CheckpointName::new(task, 0)?, job.deadlines).await?;
    }
    Ok(())
}

/// The first shard's file has the name that was given, the others a number in front of the extension: `out.rdb`, `out.1.rdb`, …
fn numbered(path: &Path, shard: usize) -> PathBuf {
    match (shard, path.extension()) {
        (0, _) | (_, None) => path.to_owned(),
        (shard, Some(extension)) => path.with_extension(format!("{shard}.{}", extension.display())),
    }
}
