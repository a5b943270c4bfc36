//! What is known of both sides.

use std::collections::BTreeMap;

use futures::StreamExt;
use futures::stream;

use super::discover::{Found, discover};
use super::findings::Findings;
use super::node::{Node, Part};
use super::plan::Plan;
use super::{sample, trial};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::translate::Target;

/// Something that a node was asked; if it did not tell, why.
pub(super) type Answer<T> = Result<T, String>;

/// Everything that checks judge by.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) plan: &'a Plan,
    pub(super) source: Side,
    pub(super) target: Side,
}

/// How keys are spread over the nodes of a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spread {
    /// There are no servers: a file, or memory.
    None,
    /// All on one server, or without a rule over several.
    Servers,
    Cluster,
    Codis,
    /// Nobody but the proxy knows.
    Proxy,
}

/// The source or the target.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) endpoint: String,
    pub(super) spread: Spread,
    /// All nodes that are known of.
    pub(super) nodes: Vec<Node>,
    /// What kept the nodes from being found, if they were not.
    pub(super) lost: Option<Error>,
    /// What is wrong with the slots, as far as the table of all nodes shows it.
    pub(super) disorder: Vec<String>,
}

/// A database that is in use, and how many keys it has on all nodes.
pub(super) type Databases = BTreeMap<u32, u64>;

impl Side {
    /// Finds and asks the source.
    pub(super) async fn source(plan: &Plan) -> Self {
        let mut side = Self::find(&plan.from, plan).await;
        let nodes = std::mem::take(&mut side.nodes).into_iter();
        let asking = stream::iter(nodes.map(|node| async move {
            let (mut node, mut asker) = node.open(plan.deadlines).await;
            node.ask(&mut asker).await;
            if node.part == Part::Primary {
                node.ask_source(&mut asker).await;
                node.sample = sample::take(&mut asker, &node, plan).await;
            }
            node
        }));
        side.nodes = asking.buffered(plan.connections.max(1)).collect().await;
        side
    }

    /// Finds and asks the target, of which databases as `used` will be needed.
    pub(super) async fn target(plan: &Plan, used: &Databases) -> Self {
        let mut side = Self::find(&plan.to, plan).await;
        let mut wanted: Vec<u32> = used.keys().filter_map(|db| plan.map_db(*db)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let nodes = std::mem::take(&mut side.nodes).into_iter();
        let wanted = &wanted;
        let asking = stream::iter(nodes.map(|node| async move {
            let (mut node, mut asker) = node.open(plan.deadlines).await;
            node.ask(&mut asker).await;
            if node.part == Part::Primary {
                node.ask_target(&mut asker, wanted).await;
                node.trial = trial::try_commands(&mut asker, &node).await;
            } else if node.part == Part::Proxy {
                node.ask_databases(&mut asker, wanted).await;
            }
            node
        }));
        side.nodes = asking.buffered(plan.connections.max(1)).collect().await;
        side
    }

    async fn find(endpoint: &Endpoint, plan: &Plan) -> Self {
        let spread = match endpoint {
            Endpoint::Node { .. } | Endpoint::Shards(_) | Endpoint::Sentinel { .. } => Spread::Servers,
            Endpoint::Cluster { .. } => Spread::Cluster,
            Endpoint::Codis { .. } => Spread::Codis,
            Endpoint::Proxy { .. } => Spread::Proxy,
            Endpoint::File(_) | Endpoint::Memory => Spread::None,
        };
        let Found { nodes, lost, disorder } = discover(endpoint, plan.deadlines).await;
        Self { endpoint: endpoint.to_string(), spread, nodes, lost, disorder }
    }

    /// Whether commands with several keys have to be taken apart for it.
    pub(super) fn has_slots(&self) -> bool {
        matches!(self.spread, Spread::Cluster | Spread::Codis | Spread::Proxy)
    }

    /// The nodes that data is read from or written to.
    pub(super) fn primaries(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.part == Part::Primary)
    }

    /// Has `look` at each primary, and says of a side without any, and of primaries that cannot be asked, that the check cannot be made.
    pub(super) fn each<'a>(&'a self, findings: &mut Findings, mut look: impl FnMut(&'a Node, &mut Findings)) {
        if self.spread == Spread::None {
            findings.pass(format!("{} is no server", self.endpoint));
            return;
        }
        if self.spread == Spread::Proxy {
            findings.unknown(&self.endpoint, "a proxy hides the servers behind it");
            return;
        }
        let mut any = false;
        for node in self.primaries() {
            any = true;
            match &node.reached {
                Ok(()) => look(node, findings),
                Err(_) => findings.unknown(&node.address, "it cannot be asked"),
            }
        }
        if !any {
            findings.unknown(&self.endpoint, "its primaries are not known");
        }
    }

    /// The databases of all primaries that hold keys. What cannot be known is not in it.
    pub(super) fn databases(&self, plan: &Plan) -> Databases {
        let mut all = Databases::new();
        for node in self.primaries() {
            for (db, keys) in node.keyspace().unwrap_or_default() {
                if plan.map_db(db).is_some() {
                    *all.entry(db).or_default() += keys.keys;
                }
            }
        }
        all
    }

    /// Family and version of each primary that tells them.
    pub(super) fn versions(&self) -> impl Iterator<Item = (&Node, Target)> {
        self.primaries().filter_map(|node| Some((node, node.version().ok()?)))
    }

    /// How often clients have called each command at any of its primaries, as far as they tell.
    pub(super) fn usage(&self) -> BTreeMap<&str, u64> {
        let mut all = BTreeMap::new();
        for (name, calls) in self.primaries().filter_map(|node| node.usage.as_ref().ok()).flatten() {
            *all.entry(name.as_str()).or_default() += calls;
        }
        all
    }
}
