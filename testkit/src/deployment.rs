//! What holds data: a server, a cluster, or several servers.

use crate::cluster::NodeView;
use crate::{Cluster, Sentinel, Server, key_slot};

/// Where data is: one server, a cluster, what Sentinels watch over, or several servers that share it between them (behind a proxy, groups of a
/// Codis). References to those become one by themselves where one is wanted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Deployment<'a> {
    /// One server.
    Server(&'a Server),
    /// All primaries of a cluster.
    Cluster(&'a Cluster),
    /// The primary that the Sentinels agree on, whichever that is at the time.
    Sentinel(&'a Sentinel),
    /// Several servers, each key on one of them.
    Servers(Vec<&'a Server>),
}

impl<'a> From<&'a Server> for Deployment<'a> {
    fn from(server: &'a Server) -> Self {
        Self::Server(server)
    }
}

impl<'a> From<&'a Cluster> for Deployment<'a> {
    fn from(cluster: &'a Cluster) -> Self {
        Self::Cluster(cluster)
    }
}

impl<'a> From<&'a Sentinel> for Deployment<'a> {
    fn from(sentinel: &'a Sentinel) -> Self {
        Self::Sentinel(sentinel)
    }
}

impl<'a> From<&[&'a Server]> for Deployment<'a> {
    fn from(servers: &[&'a Server]) -> Self {
        Self::Servers(servers.to_vec())
    }
}

impl<'a, const N: usize> From<&[&'a Server; N]> for Deployment<'a> {
    fn from(servers: &[&'a Server; N]) -> Self {
        Self::Servers(servers.to_vec())
    }
}

impl<'a> From<&'a [Server]> for Deployment<'a> {
    fn from(servers: &'a [Server]) -> Self {
        Self::Servers(servers.iter().collect())
    }
}

impl<'a, const N: usize> From<&'a [Server; N]> for Deployment<'a> {
    fn from(servers: &'a [Server; N]) -> Self {
        Self::Servers(servers.iter().collect())
    }
}

impl<'a> Deployment<'a> {
    /// For people.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Server(server) => server.name().to_owned(),
            Self::Cluster(cluster) => format!("a cluster of {}", cluster.name()),
            Self::Sentinel(sentinel) => format!("{} of {}", sentinel.service(), sentinel.server(0).name()),
            Self::Servers(servers) => servers
                .iter()
                .map(|server| format!("{} at {}", server.name(), server.addr()))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }

    /// The servers with the data, and of a cluster's what each says of its slots.
    pub(crate) fn parts(&self) -> Vec<(&'a Server, Option<NodeView>)> {
        match self {
            Self::Server(server) => vec![(*server, None)],
            Self::Sentinel(sentinel) => vec![(sentinel.server(sentinel.primary()), None)],
            Self::Servers(servers) => servers.iter().map(|server| (*server, None)).collect(),
            Self::Cluster(cluster) => {
                let primaries = cluster.primaries().into_iter().map(|number| cluster.server(number));
                primaries.map(|server| (server, NodeView::own(server))).collect()
            }
        }
    }
}

/// The slot of a command's first key. Only for the commands of the test kit's own data.
pub(crate) fn slot_of<A: AsRef<[u8]>>(command: &[A]) -> Option<u16> {
    let word = |n: usize| command.get(n).map(AsRef::as_ref);
    let place = match word(0)? {
        b"XGROUP" | b"BITOP" => 2,
        b"EVAL" | b"EVALSHA" | b"FCALL" => 3,
        b"XREADGROUP" => 1 + command.iter().position(|word| word.as_ref() == b"STREAMS")?,
        _ => 1,
    };
    word(place).map(key_slot)
}
