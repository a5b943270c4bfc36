//! Where a source or a target is: a URL, taken apart and checked.

mod address;
mod parse;
mod secret;
#[cfg(test)]
mod tests;
mod url;

use std::fmt;
use std::path::PathBuf;

pub use self::address::NodeAddress;
pub use self::secret::{Credentials, Secret};

/// What stands behind the addresses of a proxy.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyKind {
    /// Codis proxies, which share one table of slots: each serves every key.
    Codis,
    /// Any other proxy that speaks RESP: twemproxy, Envoy, a cloud's proxy cluster.
    Plain,
}

/// What a URL of a source or target means.
///
/// | text | is |
/// |---|---|
/// | `redis://[user:pass@]host[:port][/db]` | one server (the port defaults to 6379) |
/// | `redis://[user:pass@]a[:port],b[:port],…` | several servers, each with a part of the keys |
/// | `redis-cluster://[user:pass@]host[:port][,host[:port]…]` | a cluster, found through any of these nodes |
/// | `redis-sentinel://[user:pass@]host[:port][,…]/[db]?service=NAME` | the primary that these Sentinels (port 26379) know by that name; user and password are the data nodes', `&sentinel-user=` and `&sentinel-password=` the Sentinels' own |
/// | `codis://[:product_auth@]host[:port]` | a Codis deployment, found through its dashboard (port 18080) |
/// | `codis-proxy://[:session_auth@]host[:port][,…]` | a Codis deployment behind its proxies (port 19000) |
/// | `redis-proxy://[user:pass@]host[:port][,…]` | any other proxy: twemproxy, Envoy, a cloud's proxy cluster |
/// | `path/to/file`, `file:PATH` | a file, or a folder of AOF files |
/// | `memory:` | a keyspace in this process's memory |
///
/// **Login.** User and password are percent-decoded. One login in front of the list holds for every address; where addresses have
/// logins of their own, as in `redis-cluster://u1:p1@a,u2:p2@b,c`, those without one, and the nodes of a cluster that are found by
/// asking, have the first's. A discovered node has a login of its own if its address is in the list as the cluster announces it.
///
/// **TLS.** `rediss`, `rediss-cluster`, `rediss-sentinel` and `rediss-proxy` are the same over TLS, with these options in the URL's query,
/// all percent-decoded; see [`TlsOptions`](crate::tls::TlsOptions):
///
/// | option | is |
/// |---|---|
/// | `ca=PATH` | the CAs (PEM) that are trusted instead of this machine's |
/// | `cert=PATH&key=PATH` | our certificate and its key (PEM), for servers that want one |
/// | `server-name=NAME` | the name that certificates have to be for, where it is not the host that is dialled |
/// | `verify=off` | believe any certificate; warns in the log |
///
/// The data nodes that Sentinels or a cluster name are spoken to in the same way. Codis knows no TLS.
///
/// ```
/// use rdts_core::endpoint::Endpoint;
///
/// let endpoint: Endpoint = "rediss-cluster://app:s3cret@10.0.0.7:7000,10.0.0.8:7000?ca=/etc/redis/ca.pem".parse()?;
/// assert_eq!(endpoint.to_string(), "rediss-cluster://10.0.0.7:7000,10.0.0.8:7000");
/// assert!(!format!("{endpoint:?}").contains("s3cret"));
/// # Ok::<(), rdts_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// One Redis or Valkey server.
    Node {
        /// Where it is.
        address: NodeAddress,
        /// The one database that is meant; `None` means all of them.
        db: Option<u32>,
    },
    /// Several servers, each with a part of the keys.
    Shards(Vec<NodeAddress>),
    /// A Redis or Valkey Cluster.
    Cluster {
        /// Nodes to ask for the others; at least one.
        seeds: Vec<NodeAddress>,
    },
    /// A primary that Sentinels look after.
    Sentinel {
        /// The Sentinels, with their own credentials; at least one.
        sentinels: Vec<NodeAddress>,
        /// The name by which they know the primary.
        service: String,
        /// How to log in to the primary.
        credentials: Option<Credentials>,
        /// The one database that is meant; `None` means all of them.
        db: Option<u32>,
    },
    /// A Codis deployment.
    Codis {
        /// Its dashboard. The credentials are not the dashboard's, which wants none, but the servers' (`product_auth`).
        dashboard: NodeAddress,
    },
    /// Proxies in front of servers that cannot be reached themselves.
    Proxy {
        /// What they are.
        kind: ProxyKind,
        /// All of them serve the same keys; at least one.
        addresses: Vec<NodeAddress>,
    },
    /// A file or folder on this machine.
    File(PathBuf),
    /// A keyspace in memory.
    Memory,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { address, db } => {
                list(f, "", std::slice::from_ref(address))?;
                db.map_or(Ok(()), |db| write!(f, "/{db}"))
            }
            Self::Shards(addresses) => list(f, "", addresses),
            Self::Cluster { seeds } => list(f, "-cluster", seeds),
            Self::Sentinel { sentinels, service, credentials: _, db } => {
                list(f, "-sentinel", sentinels)?;
                db.map_or(Ok(()), |db| write!(f, "/{db}"))?;
                write!(f, "?service={}", service.escape_debug())
            }
            Self::Codis { dashboard } => write!(f, "codis://{dashboard}"),
            Self::Proxy { kind: ProxyKind::Codis, addresses } => {
                f.write_str("codis-proxy://")?;
                join(f, addresses)
            }
            Self::Proxy { kind: ProxyKind::Plain, addresses } => list(f, "-proxy", addresses),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

/// `rediss-cluster://a:1,b:2`; `kind` is what follows `redis` or `rediss`.
fn list(f: &mut fmt::Formatter<'_>, kind: &str, addresses: &[NodeAddress]) -> fmt::Result {
    let tls = addresses.first().is_some_and(|address| address.tls.is_some());
    write!(f, "{}{kind}://", if tls { "rediss" } else { "redis" })?;
    join(f, addresses)
}

fn join(f: &mut fmt::Formatter<'_>, addresses: &[NodeAddress]) -> fmt::Result {
    for (index, address) in addresses.iter().enumerate() {
        match index {
            0 => write!(f, "{address}")?,
            _ => write!(f, ",{address}")?,
        }
    }
    Ok(())
}
