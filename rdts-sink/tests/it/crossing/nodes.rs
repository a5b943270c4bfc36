//! Both sides: a cluster whose nodes are called one by one, and one server.

use std::collections::BTreeSet;

use rdts_core::endpoint::NodeAddress;
use rdts_core::net::{Connection, Deadlines};
use rdts_core::slot::{SLOTS, codis, slot, tag};
use rdts_core::translate::Target;
use rdts_core::{Error, ErrorKind, Result};
use rdts_resp::Reply;
use rdts_sink::crossing::{Crossing, Nodes, execute};
use rdts_testkit::{Cluster, Server};

/// What there is to know of a key: the digest of its value, or its type where the server has none, and when it expires.
#[derive(Debug, PartialEq)]
pub(super) struct State {
    digest: Reply,
    expires_at: Option<i64>,
}

/// A cluster, or the groups of a Codis.
pub(super) struct Spread {
    target: Target,
    codis: bool,
    nodes: Vec<Connection>,
    owners: Vec<usize>,
    /// How many calls succeed until one fails.
    calls_left: u64,
}

impl Spread {
    pub(super) async fn connect(cluster: &Cluster) -> Self {
        let mut nodes = Vec::new();
        for server in cluster.nodes() {
            nodes.push(connect(server).await);
        }
        let target = Target::from_info(&nodes[0].info("server").await.unwrap()).unwrap();
        let mut owners = vec![usize::MAX; usize::from(SLOTS)];
        for range in nodes[0].call(["CLUSTER", "SLOTS"]).await.unwrap().as_array().unwrap() {
            let [Reply::Integer(first), Reply::Integer(last), Reply::Array(primary), ..] = range.as_array().unwrap()
            else {
                panic!("{range:?}");
            };
            let owner = cluster.nodes().iter().position(|node| Some(i64::from(node.port())) == primary[1].as_integer());
            owners[usize::try_from(*first).unwrap()..=usize::try_from(*last).unwrap()].fill(owner.unwrap());
        }
        Self { target, codis: false, nodes, owners, calls_left: u64::MAX }
    }

    /// Servers that share the slots of a Codis, of which they know nothing.
    pub(super) async fn codis(servers: &[Server]) -> Self {
        let mut nodes = Vec::new();
        for server in servers {
            nodes.push(connect(server).await);
        }
        let target = Target::from_info(&nodes[0].info("server").await.unwrap()).unwrap();
        let owners = (0..usize::from(codis::SLOTS)).map(|slot| slot % nodes.len()).collect();
        Self { target, codis: true, nodes, owners, calls_left: u64::MAX }
    }

    fn node_of(&mut self, key: &[u8]) -> &mut Connection {
        let slot = self.slot(key);
        &mut self.nodes[self.owners[usize::from(slot)]]
    }

    /// Lets calls fail once so many have succeeded.
    pub(super) fn fail_after(&mut self, calls: u64) {
        self.calls_left = calls;
    }

    /// Executes a command of any slots.
    pub(super) async fn done(&mut self, args: &[&[u8]]) -> Reply {
        match execute(self, 0, args).await.unwrap() {
            Crossing::Done(reply) => reply,
            other => panic!("{args:?}: {other:?}"),
        }
    }

    pub(super) async fn everywhere(&mut self, args: &[&[u8]]) {
        for node in &mut self.nodes {
            assert!(!node.call(args).await.unwrap().is_error());
        }
    }

    pub(super) async fn state(&mut self, key: &[u8]) -> State {
        let target = self.target;
        state(self.node_of(key), target, key).await
    }

    /// All elements of some sets and lists, each once.
    pub(super) async fn elements(&mut self, sets: &[&[u8]], lists: &[&[u8]]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for key in sets.iter().chain(lists) {
            let command: &[&[u8]] =
                if sets.contains(key) { &[b"SMEMBERS", key] } else { &[b"LRANGE", key, b"0", b"-1"] };
            let reply = self.done(command).await;
            found.extend(reply.as_array().unwrap().iter().map(|element| element.as_str().unwrap().to_string()));
        }
        found
    }
}

impl Nodes for Spread {
    fn target(&self) -> Target {
        self.target
    }

    async fn call(&mut self, key: &[u8], db: u32, args: &[&[u8]]) -> Result<Reply> {
        assert_eq!(db, 0, "a cluster has one database");
        if self.calls_left == 0 {
            return Err(Error::new(ErrorKind::Disconnected, "as the test wants it"));
        }
        self.calls_left -= 1;
        let reply = self.node_of(key).call(args).await?;
        let code = reply.error_code();
        assert!(!matches!(code, Some("MOVED" | "CROSSSLOT")), "{args:?}: {reply:?}");
        Ok(reply)
    }

    async fn call_all(&mut self, _db: u32, args: &[&[u8]]) -> Result<Reply> {
        let mut last = Reply::Null;
        for node in &mut self.nodes {
            last = node.call(args).await?;
            if last.is_error() {
                break;
            }
        }
        Ok(last)
    }

    fn slot(&self, key: &[u8]) -> u16 {
        if self.codis { codis::slot(key) } else { slot(key) }
    }

    fn tag(&self, slot: u16) -> &'static str {
        if self.codis { codis::tag(slot) } else { tag(slot) }
    }
}

/// One server.
pub(super) struct Single {
    target: Target,
    connection: Connection,
}

impl Single {
    pub(super) async fn connect(server: &Server) -> Self {
        let mut connection = connect(server).await;
        let target = Target::from_info(&connection.info("server").await.unwrap()).unwrap();
        Self { target, connection }
    }

    /// Executes a command; one that may wait does not.
    pub(super) async fn execute(&mut self, args: &[&[u8]]) -> Reply {
        if !args[0].to_ascii_uppercase().starts_with(b"B") || args[0].eq_ignore_ascii_case(b"BITOP") {
            return self.connection.call(args).await.unwrap();
        }
        match self.transaction(&[args]).await {
            Reply::Array(mut replies) => replies.pop().unwrap(),
            other => other,
        }
    }

    pub(super) async fn transaction(&mut self, commands: &[&[&[u8]]]) -> Reply {
        assert_eq!(self.connection.call(["MULTI"]).await.unwrap(), Reply::Simple("OK".into()));
        for args in commands {
            let queued = self.connection.call(*args).await.unwrap();
            assert_eq!(queued, Reply::Simple("QUEUED".into()), "{args:?}");
        }
        self.connection.call(["EXEC"]).await.unwrap()
    }

    pub(super) async fn state(&mut self, key: &[u8]) -> State {
        state(&mut self.connection, self.target, key).await
    }
}

async fn connect(server: &Server) -> Connection {
    let address = NodeAddress::new("127.0.0.1", server.port());
    Connection::open(&address, Deadlines::default()).await.unwrap()
}

async fn state(connection: &mut Connection, target: Target, key: &[u8]) -> State {
    let digest: &[&[u8]] = match target.version() {
        // It knows the type, too.
        (5.., ..) => &[b"DEBUG", b"DIGEST-VALUE", key],
        _ => &[b"TYPE", key],
    };
    let digest = connection.call(digest).await.unwrap();
    State { digest, expires_at: expires_at(connection, target, key).await }
}

/// When a key expires, in milliseconds of Unix time: where the server cannot say so what is left, added to a clock that
/// shows the same before and after.
async fn expires_at(connection: &mut Connection, target: Target, key: &[u8]) -> Option<i64> {
    let mut ask = async |command: &str| {
        connection.call([command.as_bytes(), key]).await.unwrap().as_integer().filter(|time| *time >= 0)
    };
    if target.version() >= (7, 0, 0) {
        return ask("PEXPIRETIME").await;
    }
    ask("PTTL").await?;
    loop {
        let before = now(connection).await;
        let left = connection.call([b"PTTL", key]).await.unwrap().as_integer().unwrap();
        if now(connection).await == before {
            return Some(before + left);
        }
    }
}

async fn now(connection: &mut Connection) -> i64 {
    let reply = connection.call(["TIME"]).await.unwrap();
    let parts: Vec<i64> =
        reply.as_array().unwrap().iter().map(|part| part.as_str().unwrap().parse().unwrap()).collect();
    parts[0] * 1000 + parts[1] / 1000
}
