//! What is looked at before anything is written.

use rdts_core::codis::CodisTopology;
use rdts_core::endpoint::NodeAddress;
use rdts_core::net::{Connection, Deadlines, info_field};
use rdts_core::precheck::{self, Verdict};
use rdts_core::sentinel::Service;
use rdts_core::translate::{OnConflict, Target};
use rdts_core::{Endpoint, Error, ErrorKind, Result};

use super::job::Job;
use super::source::Found;
use super::target::Targets;

/// The servers of both sides, and what they say of themselves.
///
/// Servers behind a proxy cannot be asked: there the first key that is in the way ends the run.
pub(super) struct Servers {
    source: Vec<Server>,
    target: Vec<Server>,
}

impl Servers {
    pub(super) async fn ask(job: &Job, found: &Found, targets: &Targets<'_>) -> Result<Self> {
        let target = servers(targets.primaries().await?, job.deadlines).await?;
        Ok(Self { source: servers(found.primaries().await?, job.deadlines).await?, target })
    }

    /// Refuses a target that is the source, since what is written to it would come out of it again for ever.
    pub(super) fn refuse_same(&self, job: &Job) -> Result<()> {
        // From one database into another, a server may well be both.
        if job.source_db().is_some() && job.source_db() != job.target_db() {
            return Ok(());
        }
        for server in &self.target {
            if let Some(id) = server.field("run_id")
                && self.source.iter().any(|other| other.field("run_id") == Some(id))
            {
                let text = "source and target are the same server";
                return Err(Error::new(ErrorKind::SameServer, text).at(&server.address));
            }
        }
        Ok(())
    }

    /// Refuses a target that holds data unless the conflict policy allows for that.
    pub(super) fn refuse_data(&self, job: &Job) -> Result<()> {
        match job.on_conflict {
            OnConflict::Fail => self.target.iter().try_for_each(|server| server.is_empty(job.target_db())),
            _ => Ok(()),
        }
    }

    /// Refuses a target that cannot hold what the source holds, and nobody has said that it may be left out.
    pub(super) async fn refuse_losses(&self, job: &Job) -> Result<()> {
        let versions = |servers: &[Server]| servers.iter().map(Server::version).collect::<Result<Vec<Target>>>();
        let (from, to) = (versions(&self.source)?, versions(&self.target)?);
        let newer = |from: &Target, to: &Target| from.family() != to.family() || from.version() > to.version();
        if !from.iter().any(|from| to.iter().any(|to| newer(from, to))) {
            return Ok(());
        }
        let report = precheck::run(&job.plan()).await;
        let lost = ["data-types", "hash-field-expiry", "functions"];
        let failed = report.with(Verdict::Fail).filter(|check| lost.contains(&&*check.name));
        let seen: Vec<&str> = failed.map(|check| check.seen.as_str()).collect();
        if seen.is_empty() { Ok(()) } else { Err(Error::new(ErrorKind::Loss, seen.join("; "))) }
    }

    /// The oldest version among the source's servers, if it has servers.
    pub(super) fn oldest_source(&self) -> Result<Option<Target>> {
        let versions: Result<Vec<Target>> = self.source.iter().map(Server::version).collect();
        Ok(versions?.into_iter().min_by_key(Target::version))
    }
}

/// A server and what it says of itself.
struct Server {
    address: NodeAddress,
    info: String,
}

impl Server {
    async fn ask(address: NodeAddress, deadlines: Deadlines) -> Result<Self> {
        let info = Connection::open(&address, deadlines).await?.info("default").await?;
        Ok(Self { address, info })
    }

    fn field(&self, name: &str) -> Option<&str> {
        info_field(&self.info, name)
    }

    fn version(&self) -> Result<Target> {
        Target::from_info(&self.info).map_err(|error| error.at(&self.address))
    }

    /// Refuses keys in database `db`, or in any.
    fn is_empty(&self, db: Option<u32>) -> Result<()> {
        // db0:keys=3,expires=0,avg_ttl=0
        let start = db.map_or_else(|| "db".to_owned(), |db| format!("db{db}:"));
        let found: Vec<&str> = self
            .info
            .lines()
            .map(str::trim_end)
            .filter(|line| line.starts_with(&start) && line.contains(":keys="))
            .collect();
        if found.is_empty() {
            return Ok(());
        }
        let text = format!("the target is not empty ({})", found.join(" "));
        Err(Error::new(ErrorKind::TargetNotEmpty, text).at(&self.address))
    }
}

async fn servers(addresses: Vec<NodeAddress>, deadlines: Deadlines) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for address in addresses {
        servers.push(Server::ask(address, deadlines).await?);
    }
    Ok(servers)
}

/// The primaries of a Codis.
pub(super) fn primaries(topology: &CodisTopology) -> Vec<NodeAddress> {
    topology.shards().filter_map(|group| group.primary().cloned()).collect()
}

/// The Sentinels of an endpoint that is one of theirs.
pub(super) fn sentinel(endpoint: &Endpoint, deadlines: Deadlines) -> Result<Service> {
    match endpoint {
        Endpoint::Sentinel { sentinels, service, credentials, .. } => {
            Ok(Service::new(sentinels.clone(), service.clone()).credentials(credentials.clone()).deadlines(deadlines))
        }
        other => Err(Error::new(ErrorKind::Config, format!("{other} has no Sentinels"))),
    }
}
