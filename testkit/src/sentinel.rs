//! A primary with replicas that Sentinels watch over.

use std::time::Duration;

use crate::builder::Builder;
use crate::version::Version;
use crate::wait::poll;
use crate::wire::{array, bytes};
use crate::{Certificates, Server};

/// How long a change may take on a machine that is busy with other tests.
const SETTLE: Duration = Duration::from_secs(60);

/// A primary, its replicas, and Sentinels of the same version that watch over them.
///
/// ```no_run
/// use rdts_testkit::Sentinel;
///
/// let sentinel = Sentinel::start("redis-7.0");
/// let promoted = sentinel.kill_primary();
/// sentinel.server(promoted).cmd(&["SET", "key", "value"]);
/// ```
///
/// Data nodes have numbers that stay: 0 is the primary at the start. Like [`Cluster`](crate::Cluster)'s they keep nothing
/// on disk.
#[derive(Debug)]
pub struct Sentinel {
    service: String,
    nodes: Vec<Server>,
    sentinels: Vec<Server>,
}

/// Settings of a [`Sentinel`] before it starts: [`Sentinel::builder`].
#[derive(Debug, Clone)]
#[must_use = "it starts with `start`"]
pub struct SentinelBuilder {
    node: Builder,
    service: String,
    replicas: usize,
    sentinels: usize,
    down_after: Duration,
}

impl SentinelBuilder {
    /// So many replicas. Default: 1.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// So many Sentinels, of which the majority has to agree. Default: 3.
    pub fn sentinels(mut self, sentinels: usize) -> Self {
        self.sentinels = sentinels;
        self
    }

    /// The name by which the Sentinels know the primary. Default: `mymaster`, which is that of the servers' example.
    pub fn service(mut self, name: &str) -> Self {
        name.clone_into(&mut self.service);
        self
    }

    /// After how long a silence the primary counts as down (`down-after-milliseconds`). Default: 1 s.
    pub fn down_after(mut self, silence: Duration) -> Self {
        self.down_after = silence;
        self
    }

    /// Adds a directive to `redis.conf` of every data node, as [`Builder::arg`] does. A `requirepass` is also what
    /// replicas and Sentinels give to the primary.
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.node = self.node.arg(name, value).with_masterauth();
        self
    }

    /// Has data nodes and Sentinels speak TLS, to each other as well: [`Builder::tls`].
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.node = self.node.tls(certificates);
        self
    }

    /// Starts it and waits until every Sentinel knows all others and all replicas.
    ///
    /// # Panics
    /// When they do not within 60 s.
    #[track_caller]
    #[must_use]
    pub fn start(self) -> Sentinel {
        let primary = self.node.clone().start();
        let mut nodes = vec![primary];
        for _ in 0..self.replicas {
            let replica = self.node.clone().start();
            replica.replicate(&nodes[0]);
            nodes.push(replica);
        }
        let quorum = (self.sentinels / 2 + 1).to_string();
        let (service, port) = (&self.service, nodes[0].peer_port().to_string());
        let mut sentinel = Server::builder(&self.node.name);
        sentinel.sentinel = true;
        sentinel.tls.clone_from(&self.node.tls);
        let down_after = self.down_after.as_millis().to_string();
        sentinel = sentinel
            .arg("sentinel monitor", &format!("{service} 127.0.0.1 {port} {quorum}"))
            .arg("sentinel down-after-milliseconds", &format!("{service} {down_after}"))
            // After a promotion that came to nothing the next attempt is twice as late.
            .arg("sentinel failover-timeout", &format!("{service} 5000"));
        if let Some(password) = self.node.quoted_password() {
            sentinel = sentinel.arg("sentinel auth-pass", &format!("{service} {password}"));
        }
        let sentinels = (0..self.sentinels).map(|_| sentinel.clone().start()).collect();
        let sentinel = Sentinel { service: self.service, nodes, sentinels };
        sentinel.wait_ok();
        sentinel
    }
}

impl Sentinel {
    /// Starts a primary of the server called `name` with one replica and three Sentinels.
    ///
    /// # Panics
    /// When there is no such server, or they do not find each other within 60 s.
    #[track_caller]
    #[must_use]
    pub fn start(name: &str) -> Self {
        Self::builder(name).start()
    }

    /// The same, with settings of one's own.
    ///
    /// # Panics
    /// When there is no such server.
    #[track_caller]
    pub fn builder(name: &str) -> SentinelBuilder {
        SentinelBuilder {
            node: Server::builder(name),
            service: "mymaster".to_owned(),
            replicas: 1,
            sentinels: 3,
            down_after: Duration::from_secs(1),
        }
    }

    /// The name by which the Sentinels know the primary.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The version of all of them.
    #[must_use]
    pub fn version(&self) -> Version {
        self.nodes[0].version()
    }

    /// `redis-sentinel://127.0.0.1:PORT,…/?service=NAME` with the Sentinels that run, and the data nodes' `:PASSWORD@`
    /// when they have one.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<String> = self.running_sentinels().map(Server::addr).collect();
        format!("redis-sentinel://{}{}/?service={}", self.nodes[0].credentials(), addresses.join(","), self.service)
    }

    /// `rediss-sentinel://127.0.0.1:TLS-PORT,…/?service=NAME&ca=…&cert=…&key=…` with the Sentinels that run, and the data nodes'
    /// `:PASSWORD@` when they have one.
    ///
    /// # Panics
    /// When they were not [told to](SentinelBuilder::tls) speak TLS.
    #[track_caller]
    #[must_use]
    pub fn tls_url(&self) -> String {
        let addresses: Vec<String> =
            self.running_sentinels().map(|node| format!("127.0.0.1:{}", node.tls_port())).collect();
        let (login, options) = (self.nodes[0].credentials(), self.nodes[0].tls_options());
        format!("rediss-sentinel://{login}{}/?service={}&{options}", addresses.join(","), self.service)
    }

    /// All data nodes by their numbers, those that were killed as well.
    #[must_use]
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The data node with this number.
    #[must_use]
    pub fn server(&self, node: usize) -> &Server {
        &self.nodes[node]
    }

    /// The Sentinels.
    #[must_use]
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// The number of the data node that is the primary, as all running Sentinels say.
    ///
    /// # Panics
    /// When they do not agree.
    #[track_caller]
    #[must_use]
    pub fn primary(&self) -> usize {
        self.agreed().unwrap_or_else(|| panic!("the Sentinels of {} do not agree on a primary", self.service))
    }

    /// Has the Sentinels promote a replica while the primary is alive (`SENTINEL FAILOVER`), and waits until all know it.
    /// Gives the number of the new primary.
    ///
    /// The old one takes writes, which will be lost, until the Sentinels tell it, as much as 10 s later:
    /// [`wait_ok`](Self::wait_ok) waits for that.
    ///
    /// # Panics
    /// When it takes more than 60 s.
    #[track_caller]
    pub fn failover(&self) -> usize {
        let old = self.primary();
        self.wait("a Sentinel to begin", || {
            let sentinel = self.running_sentinels().next().expect("a Sentinel runs");
            // It refuses as long as it knows of no good replica, or another promotion is under way.
            sentinel.try_cmd(&["SENTINEL", "FAILOVER", &self.service]).is_ok()
        });
        self.wait_for_other_than(old)
    }

    /// Kills the primary as a crash does, and waits until the Sentinels have promoted a replica. Gives the number of the
    /// new primary.
    ///
    /// # Panics
    /// When it takes more than 60 s.
    #[track_caller]
    pub fn kill_primary(&self) -> usize {
        let old = self.primary();
        self.nodes[old].kill();
        let new = self.wait_for_other_than(old);
        self.wait_ok();
        new
    }

    /// Waits until all Sentinels agree on a running primary, know each other, and have all running replicas in sync with
    /// it.
    ///
    /// # Panics
    /// When they do not within 60 s.
    #[track_caller]
    pub fn wait_ok(&self) {
        self.wait("the Sentinels to agree and the replicas to be in sync", || {
            let Some(primary) = self.agreed() else { return false };
            let (port, running) =
                (self.nodes[primary].peer_port().to_string(), self.nodes.iter().filter(|node| node.is_running()));
            let replicas = running.clone().count() - 1;
            let mut nodes = running.map(|node| (node.peer_port(), node.try_info("replication").unwrap_or_default()));
            nodes.all(|(own, state)| {
                own.to_string() == port && state.get("role").is_some_and(|role| role == "master")
                    || state.get("master_port") == Some(&port)
                        && state.get("master_link_status").is_some_and(|status| status == "up")
            }) && self.running_sentinels().all(|sentinel| {
                let known =
                    |what| sentinel.try_cmd(&["SENTINEL", what, &self.service]).map(array).unwrap_or_default().len();
                // Those that are down stay on the lists.
                known("SENTINELS") + 1 >= self.running_sentinels().count() && known("SLAVES") >= replicas
            })
        });
    }

    #[track_caller]
    fn wait_for_other_than(&self, old: usize) -> usize {
        let mut found = None;
        self.wait("another primary", || {
            found = self.agreed().filter(|new| *new != old);
            let state = found.and_then(|new| self.nodes[new].try_info("replication"));
            state.is_some_and(|state| state["role"] == "master")
        });
        found.expect("it was waited for")
    }

    /// The primary, when all running Sentinels say the same.
    fn agreed(&self) -> Option<usize> {
        let mut said = self.running_sentinels().map(|sentinel| {
            let address = sentinel.try_cmd(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &self.service]).map(array);
            let port = String::from_utf8_lossy(&bytes(address.ok()?.pop()?)).parse().ok()?;
            self.nodes.iter().position(|node| node.peer_port() == port)
        });
        let first = said.next()??;
        said.all(|other| other == Some(first)).then_some(first)
    }

    fn running_sentinels(&self) -> impl Iterator<Item = &Server> {
        self.sentinels.iter().filter(|sentinel| sentinel.is_running())
    }

    #[track_caller]
    fn wait(&self, what: &str, mut condition: impl FnMut() -> bool) {
        if poll(SETTLE, || condition().then_some(())).is_none() {
            let logs: Vec<_> = self.sentinels.iter().map(Server::log_tail).collect();
            panic!("waited {SETTLE:?} in vain for: {what}; the Sentinels' logs end:\n{}", logs.join("\n---\n"));
        }
    }
}
