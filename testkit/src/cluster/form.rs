//! Starting the nodes of a cluster and making it of them, by the commands that all versions have.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Cluster, NodeView, even_layout};
use crate::builder::Builder;
use crate::slot::SLOTS;
use crate::wire::bytes;
use crate::{Certificates, Server};

/// Settings of a cluster before it starts: [`Cluster::builder`].
#[derive(Debug, Clone)]
#[must_use = "a cluster starts with `start`"]
pub struct ClusterBuilder {
    node: Builder,
    primaries: usize,
    replicas: usize,
    layout: Vec<(RangeInclusive<u16>, usize)>,
    full_coverage: bool,
    node_timeout: Duration,
}

impl ClusterBuilder {
    #[track_caller]
    pub(super) fn new(name: &str, primaries: usize) -> Self {
        assert!(primaries > 0, "a cluster has a primary");
        let mut node = Server::builder(name);
        node.cluster = true;
        let layout = even_layout(primaries);
        Self { node, primaries, replicas: 0, layout, full_coverage: true, node_timeout: Duration::from_secs(2) }
    }

    /// So many replicas of each primary. Default: 0.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Which slots are at which primary, by its number. Slots that are not named belong to nobody. Default: all, evenly
    /// spread.
    ///
    /// # Panics
    /// At the start, when there is no such primary.
    pub fn layout(mut self, layout: &[(RangeInclusive<u16>, usize)]) -> Self {
        self.layout = layout.to_vec();
        self
    }

    /// Whether a cluster that lacks slots refuses to serve the others (`cluster-require-full-coverage`). Default: true,
    /// as the servers'.
    pub fn full_coverage(mut self, required: bool) -> Self {
        self.full_coverage = required;
        self
    }

    /// How long a node may be silent before the others take it for dead (`cluster-node-timeout`). Default: 2 s.
    pub fn node_timeout(mut self, timeout: Duration) -> Self {
        self.node_timeout = timeout;
        self
    }

    /// Adds a directive to `redis.conf` of every node, as [`Builder::arg`] does. A `requirepass` is also what replicas
    /// give to their primaries.
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.node = self.node.arg(name, value).with_masterauth();
        self
    }

    /// Has all nodes speak TLS, to each other as well: [`Builder::tls`].
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.node = self.node.tls(certificates);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When a node does not start, or they do not become a cluster within 60 s.
    #[track_caller]
    #[must_use]
    pub fn start(self) -> Cluster {
        let node = self
            .node
            .clone()
            .arg("cluster-node-timeout", &self.node_timeout.as_millis().to_string())
            .arg("cluster-require-full-coverage", if self.full_coverage { "yes" } else { "no" })
            // Tests want a promotion, however long the replica was cut off.
            .arg("cluster-slave-validity-factor", "0");
        let nodes: Vec<Server> = std::thread::scope(|scope| {
            let count = self.primaries * (1 + self.replicas);
            let starting: Vec<_> = (0..count).map(|_| scope.spawn(|| node.clone().start())).collect();
            let started = starting.into_iter().map(std::thread::ScopedJoinHandle::join);
            started.map(|node| node.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let id = |node: &Server| String::from_utf8_lossy(&bytes(node.cmd(&["CLUSTER", "MYID"]))).into_owned();
        let ids = nodes.iter().map(id).collect();
        let covered: usize = self.layout.iter().map(|(range, _)| range.len()).sum();
        // A cluster without any slots is never fine.
        let ok = if self.full_coverage { covered == usize::from(SLOTS) } else { covered > 0 };
        let cluster = Cluster { name: node.name, nodes, ids, ok };
        self.form(&cluster);
        cluster
    }

    #[track_caller]
    fn form(&self, cluster: &Cluster) {
        for (number, node) in cluster.nodes[..self.primaries].iter().enumerate() {
            // Epochs that differ from the start spare the nodes to settle who has which.
            node.cmd(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            let ranges = self.layout.iter().filter(|(_, owner)| *owner == number);
            let slots: Vec<String> = ranges.flat_map(|(range, _)| range.clone()).map(|slot| slot.to_string()).collect();
            if !slots.is_empty() {
                let command = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str));
                node.cmd(&command.collect::<Vec<_>>());
            }
        }
        let stray = self.layout.iter().find(|(_, owner)| *owner >= self.primaries);
        assert!(stray.is_none(), "the layout {stray:?} is for another number of primaries than {}", self.primaries);
        // Everybody with everybody: by hearsay alone it takes seconds.
        for (number, node) in cluster.nodes.iter().enumerate() {
            for other in &cluster.nodes[number + 1..] {
                node.cmd(&["CLUSTER", "MEET", "127.0.0.1", &other.peer_port().to_string()]);
            }
        }
        cluster.wait("the nodes to know each other", || {
            let knows = |node: &Server| {
                let views = NodeView::all(node).unwrap_or_default();
                let known = views.iter().filter(|view| !view.has_flag("handshake"));
                known.filter(|view| cluster.number(&view.id).is_some()).count() == cluster.nodes.len()
            };
            cluster.nodes.iter().all(knows)
        });
        for (number, node) in cluster.nodes[self.primaries..].iter().enumerate() {
            node.cmd(&["CLUSTER", "REPLICATE", cluster.id(number / self.replicas)]);
        }
        cluster.wait_ok();
    }
}
