//! A cluster of real servers.

mod failover;
mod form;
mod reshard;
mod router;
mod view;

use std::time::Duration;

use redis::{RedisResult, Value};

use crate::Server;
use crate::slot::SLOTS;
use crate::version::Version;
use crate::wait::poll;
use crate::wire::{array, bytes};

pub use form::ClusterBuilder;
pub use reshard::OpenSlot;
pub(crate) use router::{Router, Unit};
pub(crate) use view::NodeView;

/// How long a change of the cluster may take on a machine that is busy with other tests.
const SETTLE: Duration = Duration::from_secs(60);

/// A running cluster: several nodes of one version on loopback ports, with a bus port 10000 above each.
///
/// ```no_run
/// use rdts_testkit::Cluster;
///
/// let cluster = Cluster::builder("redis-7.0", 3).replicas(1).start();
/// cluster.cmd(&["SET", "key", "value"]);
/// let owner = cluster.primary_of(rdts_testkit::key_slot(b"key"));
/// let promoted = cluster.failover(owner);
/// assert_ne!(owner, promoted);
/// ```
///
/// Nodes have numbers that stay: first the primaries as they were at the start, then the replicas, those of the first
/// primary first. A node keeps nothing on disk but what it knows of the cluster: a primary that is killed and comes back
/// before a replica was promoted is empty.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    nodes: Vec<Server>,
    ids: Vec<String>,
    /// Whether the nodes say that the cluster is fine once they agree.
    ok: bool,
}

impl Cluster {
    /// Starts a cluster of `primaries` nodes of the server called `name`, all slots evenly spread over them, in about 2 s:
    /// so long a node that has just started refuses to serve.
    ///
    /// # Panics
    /// When there is no such server, or the cluster does not come up.
    #[track_caller]
    #[must_use]
    pub fn start(name: &str, primaries: usize) -> Self {
        Self::builder(name, primaries).start()
    }

    /// The same, with replicas, another layout of the slots, or other settings.
    ///
    /// # Panics
    /// When there is no such server.
    #[track_caller]
    pub fn builder(name: &str, primaries: usize) -> ClusterBuilder {
        ClusterBuilder::new(name, primaries)
    }

    /// The name of the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version of its nodes.
    #[must_use]
    pub fn version(&self) -> Version {
        self.nodes[0].version()
    }

    /// `redis-cluster://127.0.0.1:PORT,127.0.0.1:PORT,…` with the nodes that run, and `:PASSWORD@` when they have one.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().filter(|node| node.is_running()).map(Server::addr).collect();
        format!("redis-cluster://{}{}", self.nodes[0].credentials(), addresses.join(","))
    }

    /// `rediss-cluster://127.0.0.1:TLS-PORT,…?ca=…&cert=…&key=…` with the nodes that run, and `:PASSWORD@` when they have one.
    ///
    /// # Panics
    /// When they were not [told to](ClusterBuilder::tls) speak TLS.
    #[track_caller]
    #[must_use]
    pub fn tls_url(&self) -> String {
        let running = self.nodes.iter().filter(|node| node.is_running());
        let addresses: Vec<String> = running.map(|node| format!("127.0.0.1:{}", node.tls_port())).collect();
        let (login, options) = (self.nodes[0].credentials(), self.nodes[0].tls_options());
        format!("rediss-cluster://{login}{}?{options}", addresses.join(","))
    }

    /// All nodes by their numbers, those that were killed as well.
    #[must_use]
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The node with this number.
    #[must_use]
    pub fn server(&self, node: usize) -> &Server {
        &self.nodes[node]
    }

    /// The ID by which the other nodes know it.
    #[must_use]
    pub fn id(&self, node: usize) -> &str {
        &self.ids[node]
    }

    /// The numbers of the running nodes that are primaries, with slots or without.
    #[must_use]
    pub fn primaries(&self) -> Vec<usize> {
        self.own_views().filter(|(_, own)| own.is_primary()).map(|(node, _)| node).collect()
    }

    /// The numbers of the running replicas of a primary.
    #[must_use]
    pub fn replicas_of(&self, primary: usize) -> Vec<usize> {
        let id = &self.ids[primary];
        let replicas = self.own_views().filter(|(_, own)| own.primary.as_ref() == Some(id));
        replicas.map(|(node, _)| node).collect()
    }

    /// The number of the node that serves a slot: the running primary that says so of itself, and of several the one of
    /// the latest epoch.
    ///
    /// # Panics
    /// When none does.
    #[track_caller]
    #[must_use]
    pub fn primary_of(&self, slot: u16) -> usize {
        let owners = self.own_views().filter(|(_, own)| own.is_primary() && own.has(slot));
        let latest = owners.max_by_key(|(_, own)| own.epoch);
        latest.unwrap_or_else(|| panic!("no running node of {} has slot {slot}", self.name)).0
    }

    /// Runs one command where its first key is, or at the first primary when it has no key, following redirections, and
    /// gives its reply. The server says which arguments are keys.
    ///
    /// # Panics
    /// When the reply is another error, or there is none within 60 s.
    #[track_caller]
    pub fn cmd<A: AsRef<[u8]>>(&self, args: &[A]) -> Value {
        self.try_cmd(args).unwrap_or_else(|error| {
            let shown: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(arg.as_ref())).collect();
            panic!("cluster of {}: {}: {error}", self.name, shown.join(" "))
        })
    }

    /// The same, for a command that may be refused.
    ///
    /// # Errors
    /// What the server answered, or that the connection broke while it was executed.
    ///
    /// # Panics
    /// When the cluster is down for 60 s.
    #[track_caller]
    pub fn try_cmd<A: AsRef<[u8]>>(&self, args: &[A]) -> RedisResult<Value> {
        let any = self.nodes.iter().find(|node| node.is_running()).expect("a node of the cluster runs");
        let mut question: Vec<&[u8]> = vec![b"COMMAND", b"GETKEYS"];
        question.extend(args.iter().map(AsRef::as_ref));
        // A command without keys is an error here.
        let keys = any.try_cmd(&question).map(array).unwrap_or_default();
        let slot = keys.into_iter().next().map(|key| crate::key_slot(&bytes(key)));
        let command = args.iter().map(|arg| arg.as_ref().to_vec()).collect();
        let mut replies = Router::new(self).run(&Unit { slot, commands: vec![command] })?;
        replies.pop().expect("a command has a reply").extract_error()
    }

    /// Waits until all running nodes agree on who has which slots, have nobody to get to know, say that the cluster is
    /// fine, and all replicas are in sync with their primaries.
    ///
    /// # Panics
    /// When they do not within 60 s; the message has what each of them says.
    #[track_caller]
    pub fn wait_ok(&self) {
        self.wait("the cluster to be fine", || self.is_settled());
    }

    #[track_caller]
    fn wait(&self, what: &str, mut condition: impl FnMut() -> bool) {
        if poll(SETTLE, || condition().then_some(())).is_none() {
            let running = self.nodes.iter().enumerate().filter(|(_, node)| node.is_running());
            let said = running.map(|(number, node)| {
                let state = node.try_cmd(&["CLUSTER", "NODES"]).map(bytes).unwrap_or_default();
                format!("node {number}, {}:\n{}", node.addr(), String::from_utf8_lossy(&state))
            });
            panic!("waited {SETTLE:?} in vain for: {what}, of {}\n{}", self.name, said.collect::<Vec<_>>().join("\n"));
        }
    }

    fn is_settled(&self) -> bool {
        let running = || self.nodes.iter().filter(|node| node.is_running());
        let mut owners = None;
        for node in running() {
            let Some(views) = NodeView::all(node) else {
                return false;
            };
            let strangers = views.iter().any(|view| view.has_flag("handshake"));
            if strangers || views.iter().filter(|view| !view.has_flag("fail")).count() != running().count() {
                return false;
            }
            let mut seen: Vec<_> = views.into_iter().map(|view| (view.id, view.primary, view.slots)).collect();
            seen.retain(|(_, primary, slots)| primary.is_some() || !slots.is_empty());
            seen.sort_unstable_by(|left, right| left.0.cmp(&right.0));
            // Of a node that has failed nothing is known for certain but that it has no slots.
            seen.retain(|(id, ..)| {
                self.ids.iter().position(|known| known == id).is_some_and(|n| self.nodes[n].is_running())
            });
            if *owners.get_or_insert_with(|| seen.clone()) != seen {
                return false;
            }
        }
        running().all(|node| {
            let state = node.try_cmd(&["CLUSTER", "INFO"]).map(bytes).unwrap_or_default();
            let ok = String::from_utf8_lossy(&state).contains("cluster_state:ok");
            let replication = node.try_info("replication").unwrap_or_default();
            (ok || !self.ok)
                && (replication.get("role").is_some_and(|role| role == "master")
                    || replication.get("master_link_status").is_some_and(|status| status == "up"))
        })
    }

    /// What each running node says of itself.
    fn own_views(&self) -> impl Iterator<Item = (usize, NodeView)> {
        let running = self.nodes.iter().enumerate().filter(|(_, node)| node.is_running());
        running.filter_map(|(number, node)| Some((number, NodeView::own(node)?)))
    }

    /// The number of the node with this ID.
    fn number(&self, id: &str) -> Option<usize> {
        self.ids.iter().position(|known| known == id)
    }
}

/// The ranges of slots that `primaries` nodes have when all slots are spread evenly.
fn even_layout(primaries: usize) -> Vec<(std::ops::RangeInclusive<u16>, usize)> {
    let bound = |n: usize| u16::try_from(n * usize::from(SLOTS) / primaries).expect("at most 16384");
    (0..primaries).map(|n| (bound(n)..=bound(n + 1) - 1, n)).collect()
}
