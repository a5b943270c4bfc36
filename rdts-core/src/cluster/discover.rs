//! Asking nodes about their cluster.

use std::time::Duration;

use tokio::task::JoinSet;

use super::topology::{Topology, TopologyOptions};
use super::view::View;
use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Connection, text};

/// How long further nodes are waited for once one has told of a whole cluster: what they say is a check, no need.
const GRACE: Duration = Duration::from_millis(500);
/// So many nodes are asked at a refresh: in a big cluster not all have to be.
const ASKED: usize = 16;

impl Topology {
    /// Asks the nodes at `seeds`, all at once, what their cluster consists of. One that answers is enough. A node has the login of the seed
    /// at the address that the cluster announces for it, else that of the first seed.
    ///
    /// Where several answer, the view that agrees best with the others is taken: nodes learn of changes at different times.
    ///
    /// # Errors
    /// [`Topology`](ErrorKind::Topology): the nodes are in no cluster or in different ones, or there are slots that nobody serves;
    /// [`Config`](ErrorKind::Config) without a seed; and if none can be asked, what kept the first from it: as
    /// [`Connection::open`].
    pub async fn discover(seeds: &[NodeAddress], options: TopologyOptions) -> Result<Self> {
        Self::discover_by(seeds, seeds, options).await
    }

    /// As [`discover`](Self::discover), but who is asked are the nodes at `asked`, while `seeds` say how to log in.
    pub(crate) async fn discover_by(
        asked: &[NodeAddress],
        seeds: &[NodeAddress],
        options: TopologyOptions,
    ) -> Result<Self> {
        let views = views(asked, seeds, &options).await?;
        for view in &views[1..] {
            if !view.same_cluster(&views[0]) && view.missing().is_empty() && views[0].missing().is_empty() {
                let text = format!("this node and {} are in different clusters", views[0].from);
                return Err(Error::new(ErrorKind::Topology, text).at(&view.from));
            }
        }
        best(views).complete(seeds.to_vec(), options)
    }

    /// Asks the nodes of the cluster, and the seeds, anew. Returns whether anything has changed. After an error everything is as
    /// it was before.
    ///
    /// # Errors
    /// As [`discover`](Self::discover); in the middle of a change of the cluster they may pass.
    pub async fn refresh(&mut self) -> Result<bool> {
        let mut asked: Vec<NodeAddress> = Vec::new();
        // All primaries before all replicas, so that every shard is asked.
        let primaries = self.shards.iter().map(|shard| &shard.primary);
        let replicas = self.shards.iter().flat_map(|shard| &shard.replicas);
        for address in primaries.chain(replicas).map(|node| &node.address).chain(&self.seeds) {
            if asked.len() < ASKED && !asked.contains(address) {
                asked.push(address.clone());
            }
        }
        let views = views(&asked, &self.seeds, &self.options).await?;
        self.replace(best(views))
    }

    /// Believes what the node at `address` says, whatever others say: right after it has answered `MOVED`, it is the one who
    /// knows. Returns whether anything has changed. After an error everything is as it was before.
    ///
    /// # Errors
    /// As [`discover`](Self::discover) with that one seed.
    pub async fn refresh_from(&mut self, address: &NodeAddress) -> Result<bool> {
        let view = ask(address, &self.seeds, &self.options).await?;
        self.replace(view)
    }

    fn replace(&mut self, view: View) -> Result<bool> {
        let new = view.complete(self.seeds.clone(), self.options.clone())?;
        let changed = new != *self;
        *self = new;
        Ok(changed)
    }
}

/// What the nodes at `addresses` say: at least one view.
async fn views(addresses: &[NodeAddress], logins: &[NodeAddress], options: &TopologyOptions) -> Result<Vec<View>> {
    let mut asking = JoinSet::new();
    for address in addresses {
        let (address, logins, options) = (address.clone(), logins.to_vec(), options.clone());
        asking.spawn(async move { ask(&address, &logins, &options).await });
    }
    let (mut views, mut failed): (Vec<View>, Option<Error>) = (Vec::new(), None);
    let mut until: Option<tokio::time::Instant> = None;
    loop {
        let next = async {
            match until {
                None => asking.join_next().await,
                Some(until) => tokio::time::timeout_at(until, asking.join_next()).await.unwrap_or_default(),
            }
        };
        match next.await {
            None => break,
            Some(Ok(Ok(view))) => {
                if view.missing().is_empty() {
                    until.get_or_insert_with(|| tokio::time::Instant::now() + GRACE);
                }
                views.push(view);
            }
            Some(Ok(Err(error))) => {
                tracing::info!(%error, "a node of the cluster cannot be asked");
                // That a node is no part of a cluster says more than that another one cannot be reached.
                if failed.as_ref().is_none_or(|_| error.kind() == ErrorKind::Topology) {
                    failed = Some(error);
                }
            }
            Some(Err(_)) => {}
        }
    }
    match (views.is_empty(), failed) {
        (false, _) => Ok(views),
        (true, Some(error)) => Err(error),
        (true, None) => Err(Error::config("no node of the cluster is named")),
    }
}

async fn ask(address: &NodeAddress, logins: &[NodeAddress], options: &TopologyOptions) -> Result<View> {
    let mut connection = Connection::open(address, options.deadlines).await?;
    let reply = connection.call(["CLUSTER", "SLOTS"]).await?;
    let Some(error) = reply.as_error() else { return View::read(&reply, address, logins, options) };
    let text = text(&reply);
    // Servers before 3.0 and forks without clusters do not know the command at all.
    if text.contains("cluster support disabled") || error.starts_with(b"ERR unknown command") {
        let text = format!("this server is no node of a cluster ({text}); a redis:// URL is for a single server");
        return Err(Error::new(ErrorKind::Topology, text).at(address));
    }
    Err(connection.refusal("CLUSTER SLOTS", &reply))
}

/// The view that agrees best with the others; the first of several.
fn best(mut views: Vec<View>) -> View {
    let sum = |view: &View| -> usize {
        let whole = if view.missing().is_empty() { usize::from(crate::slot::SLOTS) } else { 0 };
        whole * views.len() + views.iter().map(|other| view.agreement(other)).sum::<usize>()
    };
    let sums: Vec<usize> = views.iter().map(sum).collect();
    let best = (0..views.len()).rev().max_by_key(|index| sums[*index]).unwrap_or_default();
    views.swap_remove(best)
}
