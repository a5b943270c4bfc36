//! From the URL of a target to the sinks that write there.

use std::path::{Path, PathBuf};

use rdts_core::cluster::TopologyOptions;
use rdts_core::codis::{CodisWatch, Dashboard, WatchOptions};
use rdts_core::translate::{OnConflict, Target};
use rdts_core::{BoxSink, Endpoint, Error, ErrorKind, Result};
use rdts_sink::{
    ClusterOptions, ClusterSink, CodisOptions, CodisSink, FileOptions, MemorySink, NodeOptions, NodeSink, ProxyOptions,
    ProxySink, file,
};

use crate::job::Job;
use crate::precheck;

/// Opens the sinks of a job, one for each shard of the source.
pub(crate) struct Targets<'a> {
    job: &'a Job,
    /// The oldest server of the source, if there is one: files are written for such a server.
    source: Option<Target>,
    codis: Option<CodisWatch>,
}

impl<'a> Targets<'a> {
    pub(crate) async fn of(job: &'a Job, source: Option<Target>) -> Result<Self> {
        let codis = match &job.to {
            Endpoint::Codis { dashboard } => {
                let dashboard = Dashboard::new(dashboard.clone(), job.deadlines);
                Some(CodisWatch::start(dashboard, WatchOptions::default()).await?)
            }
            _ => None,
        };
        Ok(Self { job, source, codis })
    }

    /// A sink for shard `shard`, counted from 0.
    pub(crate) async fn open(&self, shard: usize) -> Result<BoxSink> {
        let node = NodeOptions::default().deadlines(self.job.deadlines);
        match (&self.job.to, &self.codis) {
            (Endpoint::Node { address, .. }, _) => Ok(BoxSink::new(NodeSink::connect(address, node).await?)),
            (Endpoint::Sentinel { .. }, _) => {
                let primary = precheck::sentinel(&self.job.to, self.job.deadlines)?.primary().await?;
                Ok(BoxSink::new(NodeSink::connect(&primary, node).await?))
            }
            (Endpoint::Cluster { seeds }, _) => {
                let topology = TopologyOptions::default().deadlines(self.job.deadlines);
                let options = ClusterOptions::default().topology(topology);
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
                let options = self.source.map_or(options, |source| options.target(source));
                Ok(BoxSink::new(file::open(numbered(path, shard), options).await?))
            }
            (Endpoint::Memory, _) => Ok(BoxSink::new(MemorySink::new())),
            (other, _) => Err(Error::new(ErrorKind::Unsupported, format!("{other} as a target is not supported"))),
        }
    }

    /// Whether a Codis is still what it was when it was opened.
    pub(crate) async fn verify(&self) -> Result<()> {
        match &self.codis {
            Some(codis) => codis.verify().await,
            None => Ok(()),
        }
    }
}

/// The first shard's file has the name that was given, the others a number in front of the extension: `out.rdb`, `out.1.rdb`, …
fn numbered(path: &Path, shard: usize) -> PathBuf {
    match (shard, path.extension()) {
        (0, _) | (_, None) => path.to_owned(),
        (shard, Some(extension)) => path.with_extension(format!("{shard}.{}", extension.display())),
    }
}
