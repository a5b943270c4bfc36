//! Replicas that become primaries.

use super::{Cluster, NodeView};

impl Cluster {
    /// Swaps a primary with a replica of its own in an orderly way (`CLUSTER FAILOVER`), and waits until all agree on it.
    /// Gives the number of the new primary.
    ///
    /// # Panics
    /// When it has no replica, or it takes more than 60 s.
    #[track_caller]
    pub fn failover(&self, primary: usize) -> usize {
        let replica = *self.replicas_of(primary).first().unwrap_or_else(|| panic!("node {primary} has no replica"));
        let mut asked = None::<std::time::Instant>;
        self.wait("the replica to take over", || {
            if NodeView::own(&self.nodes[replica]).is_some_and(|own| own.is_primary()) {
                return true;
            }
            // It gives up when the primary does not answer in 5 s; then it has to be asked again.
            if asked.is_none_or(|at| at.elapsed().as_secs() >= 6) {
                // Refused while the primary is not in its view, or a promotion is under way.
                if self.nodes[replica].try_cmd(&["CLUSTER", "FAILOVER"]).is_ok() {
                    asked = Some(std::time::Instant::now());
                }
            }
            false
        });
        self.wait("the old primary to be a replica", || {
            NodeView::own(&self.nodes[primary]).is_some_and(|own| own.primary.as_deref() == Some(self.id(replica)))
        });
        self.wait_ok();
        replica
    }

    /// Kills a primary as a crash does, and waits until a replica of its own was promoted and the cluster is fine again.
    /// Gives the number of the new primary. [`Server::kill`](crate::Server::kill) does not wait.
    ///
    /// # Panics
    /// When it has no replica, fewer than three primaries have slots (the majority of them has to agree), or it takes
    /// more than 60 s.
    #[track_caller]
    pub fn kill(&self, primary: usize) -> usize {
        let replicas = self.replicas_of(primary);
        assert!(!replicas.is_empty(), "node {primary} has no replica that could be promoted");
        let voters = self.own_views().filter(|(_, own)| own.is_primary() && !own.slots.is_empty()).count();
        assert!(voters > 2, "of {voters} primaries with slots the rest is no majority that could promote a replica");
        self.nodes[primary].kill();
        let mut promoted = None;
        self.wait("a replica to be promoted", || {
            let is_primary = |node: &&usize| NodeView::own(&self.nodes[**node]).is_some_and(|own| own.is_primary());
            promoted = replicas.iter().find(is_primary).copied();
            promoted.is_some()
        });
        self.wait_ok();
        promoted.expect("it was waited for")
    }

    /// Starts a node again on its port, after an orderly stop if it still runs, and waits until the cluster is fine.
    ///
    /// # Panics
    /// When it does not start, or the cluster is not fine within 60 s.
    #[track_caller]
    pub fn restart(&self, node: usize) {
        self.nodes[node].restart();
        self.wait_ok();
    }
}
