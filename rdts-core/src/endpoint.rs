//! Where a source or a target is: a URL, taken apart and checked.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use crate::error::{Error, ErrorKind, Result};

/// A password that neither `Debug` nor `Display` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The hidden text, for the wire and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Who we are to the server: `AUTH password`, or `AUTH user password` (Redis 6.0 and later).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The ACL user; `None` is the server's `default` user.
    pub user: Option<String>,
    /// The password.
    pub password: Secret,
}

/// One server: a host, a port, and how to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// A host name or an IP address (IPv6 without brackets).
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// How to log in, if the server wants that.
    pub credentials: Option<Credentials>,
}

impl NodeAddress {
    /// The node at `host:port`, without credentials.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, credentials: None }
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

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
/// User and password are percent-decoded and hold for every address of the list. `rediss` and `rediss-cluster` (TLS) are known
/// names that this version refuses with [`ErrorKind::Unsupported`].
///
/// ```
/// use rdts_core::endpoint::Endpoint;
///
/// let endpoint: Endpoint = "redis-cluster://app:s3cret@10.0.0.7:7000,10.0.0.8:7000".parse()?;
/// assert_eq!(endpoint.to_string(), "redis-cluster://10.0.0.7:7000,10.0.0.8:7000");
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

/// Schemes that a later version will know.
const LATER: [&str; 2] = ["rediss", "rediss-cluster"];
const KNOWN: &str = "redis:, redis-cluster:, redis-sentinel:, codis:, codis-proxy:, redis-proxy:, file: and memory:";

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return file(text);
        };
        match scheme {
            "redis" => node_or_shards(&Parts::of(text, "redis", 6379)?),
            "redis-cluster" => {
                let parts = Parts::of(text, "redis-cluster", 6379)?;
                // A cluster has one database, so that naming it changes nothing.
                if !matches!(parts.db()?, None | Some(0)) {
                    return Err(Error::config("a cluster has one database: a redis-cluster:// URL takes none but /0"));
                }
                Ok(Self::Cluster { seeds: parts.no_query()?.addresses()? })
            }
            "redis-sentinel" => sentinel(&Parts::of(text, "redis-sentinel", 26379)?),
            "codis" => {
                let mut addresses = Parts::of(text, "codis", 18080)?.no_query()?.no_path()?.addresses()?;
                match (addresses.pop(), addresses.is_empty()) {
                    (Some(dashboard), true) => Ok(Self::Codis { dashboard }),
                    _ => Err(Error::config("a codis:// URL names one dashboard, as in codis://10.0.0.7:18080")),
                }
            }
            "codis-proxy" => proxy(ProxyKind::Codis, &Parts::of(text, "codis-proxy", 19000)?),
            "redis-proxy" => proxy(ProxyKind::Plain, &Parts::of(text, "redis-proxy", 6379)?),
            "file" => file(rest.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(rest)),
            _ if LATER.contains(&scheme) => Err(Error::new(
                ErrorKind::Unsupported,
                format!("the scheme '{scheme}:' (TLS) is not supported yet; this version knows {KNOWN}"),
            )),
            _ if rest.starts_with("//") => {
                Err(Error::config(format!("unknown scheme '{scheme}:'; known are {KNOWN}, or the path of a file")))
            }
            _ => file(text),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { address, db: None } => write!(f, "redis://{address}"),
            Self::Node { address, db: Some(db) } => write!(f, "redis://{address}/{db}"),
            Self::Shards(addresses) => list(f, "redis", addresses),
            Self::Cluster { seeds } => list(f, "redis-cluster", seeds),
            Self::Sentinel { sentinels, service, credentials: _, db } => {
                list(f, "redis-sentinel", sentinels)?;
                db.map_or(Ok(()), |db| write!(f, "/{db}"))?;
                write!(f, "?service={}", service.escape_debug())
            }
            Self::Codis { dashboard } => write!(f, "codis://{dashboard}"),
            Self::Proxy { kind: ProxyKind::Codis, addresses } => list(f, "codis-proxy", addresses),
            Self::Proxy { kind: ProxyKind::Plain, addresses } => list(f, "redis-proxy", addresses),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, scheme: &str, addresses: &[NodeAddress]) -> fmt::Result {
    for (index, address) in addresses.iter().enumerate() {
        match index {
            0 => write!(f, "{scheme}://{address}")?,
            _ => write!(f, ",{address}")?,
        }
    }
    Ok(())
}

fn file(path: &str) -> Result<Endpoint> {
    if path.is_empty() {
        return Err(Error::config("an empty path; expected a URL or the path of a file"));
    }
    Ok(Endpoint::File(PathBuf::from(path)))
}

fn node_or_shards(parts: &Parts<'_>) -> Result<Endpoint> {
    let db = parts.no_query()?.db()?;
    let mut addresses = parts.addresses()?;
    match (addresses.len(), db) {
        (0 | 1, _) => match addresses.pop() {
            Some(address) => Ok(Endpoint::Node { address, db }),
            None => Err(Error::config("a redis:// URL needs a host, as in redis://127.0.0.1:6379")),
        },
        (_, None) => Ok(Endpoint::Shards(addresses)),
        (_, Some(_)) => Err(Error::new(ErrorKind::Unsupported, "one database of a list of shards is not supported")),
    }
}

fn sentinel(parts: &Parts<'_>) -> Result<Endpoint> {
    let (mut service, mut user, mut password) = (None, None, None);
    for (name, value) in &parts.query {
        let slot = match name.as_str() {
            "service" => &mut service,
            "sentinel-user" => &mut user,
            "sentinel-password" => &mut password,
            _ => {
                return Err(Error::config(format!(
                    "'{}' is no option of a redis-sentinel:// URL; it has service, sentinel-user and sentinel-password",
                    name.escape_debug()
                )));
            }
        };
        if slot.replace(value.clone()).is_some() {
            return Err(Error::config(format!("the redis-sentinel:// URL says '{name}' twice")));
        }
    }
    let Some(service) = service.filter(|service| !service.is_empty()) else {
        return Err(Error::config(
            "a redis-sentinel:// URL needs the primary's name, as in redis-sentinel://h:26379/?service=mymaster",
        ));
    };
    let own = match (user, password) {
        (user, Some(password)) => Some(Credentials { user, password: Secret::new(password) }),
        (None, None) => None,
        (Some(_), None) => {
            return Err(Error::config("the redis-sentinel:// URL has a sentinel-user without a sentinel-password"));
        }
    };
    let mut sentinels = parts.addresses()?;
    for sentinel in &mut sentinels {
        sentinel.credentials.clone_from(&own);
    }
    Ok(Endpoint::Sentinel { sentinels, service, credentials: parts.credentials.clone(), db: parts.db()? })
}

fn proxy(kind: ProxyKind, parts: &Parts<'_>) -> Result<Endpoint> {
    Ok(Endpoint::Proxy { kind, addresses: parts.no_query()?.no_path()?.addresses()? })
}

/// A URL with a list of hosts, taken apart. The URL may hold a password, so no message repeats it.
struct Parts<'a> {
    scheme: &'static str,
    hosts: &'a str,
    port: u16,
    credentials: Option<Credentials>,
    path: &'a str,
    query: Vec<(String, String)>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str, scheme: &'static str, port: u16) -> Result<Self> {
        let Some(rest) = text[scheme.len()..].strip_prefix("://") else {
            return Err(Error::config(format!("not a valid {scheme}:// URL")));
        };
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        if text.contains('#') {
            return Err(Error::config(format!("a {scheme}:// URL takes no '#'; write it as %23 in a password")));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) =
            authority.rsplit_once('@').map_or((None, authority), |(login, hosts)| (Some(login), hosts));
        let credentials = login.map(|login| credentials(login, scheme)).transpose()?.flatten();
        let query = query.map_or_else(Vec::new, |query| {
            url::form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into(), value.into())).collect()
        });
        Ok(Self { scheme, hosts, port, credentials, path, query })
    }

    fn no_query(&self) -> Result<&Self> {
        if self.query.is_empty() {
            return Ok(self);
        }
        Err(Error::config(format!("a {}:// URL takes no '?'; write it as %3F in a password", self.scheme)))
    }

    fn no_path(&self) -> Result<&Self> {
        if self.path.is_empty() {
            return Ok(self);
        }
        Err(Error::config(format!("a {}:// URL takes nothing after its hosts", self.scheme)))
    }

    fn db(&self) -> Result<Option<u32>> {
        match self.path {
            "" => Ok(None),
            path => Ok(Some(path.parse().map_err(|_| {
                Error::config(format!("'{}' is no database number in a {}:// URL", path.escape_debug(), self.scheme))
            })?)),
        }
    }

    fn addresses(&self) -> Result<Vec<NodeAddress>> {
        self.hosts.split(',').map(|host| self.address(host)).collect()
    }

    fn address(&self, text: &str) -> Result<NodeAddress> {
        if text.is_empty() {
            let example = format!("{}://127.0.0.1:{}", self.scheme, self.port);
            return Err(Error::config(format!("a {}:// URL needs a host, as in {example}", self.scheme)));
        }
        let wrong =
            || Error::config(format!("'{}' is no host and port in a {}:// URL", text.escape_debug(), self.scheme));
        // The syntax of hosts and ports is that of any URL with an authority.
        let url = Url::parse(&format!("redis://{text}")).map_err(|error| wrong().with_source(error))?;
        let host = match url.host() {
            Some(url::Host::Ipv6(ip)) => ip.to_string(),
            Some(host) => host.to_string(),
            None => return Err(wrong()),
        };
        Ok(NodeAddress { host, port: url.port().unwrap_or(self.port), credentials: self.credentials.clone() })
    }
}

fn credentials(login: &str, scheme: &str) -> Result<Option<Credentials>> {
    let decode = |text: &str, what: &str| -> Result<String> {
        percent_encoding::percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| {
            Error::config(format!("the {what} of the {scheme}:// URL is not UTF-8 after percent-decoding"))
        })
    };
    match login.split_once(':') {
        Some((user, password)) => {
            let user = Some(decode(user, "user")?).filter(|user| !user.is_empty());
            Ok(Some(Credentials { user, password: Secret::new(decode(password, "password")?) }))
        }
        None if login.is_empty() => Ok(None),
        None => Err(Error::config(format!(
            "a {scheme}:// URL has a user without a password; write {scheme}://:PASSWORD@host for a password alone"
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Endpoint> {
        text.parse()
    }

    #[test]
    fn a_node_with_everything() {
        let Endpoint::Node { address, db } = parse("redis://us%40er:p%3Aw@[::1]:7000/5").unwrap() else {
            unreachable!("a redis URL is a node")
        };
        assert_eq!((address.host.as_str(), address.port, db), ("::1", 7000, Some(5)));
        let credentials = address.credentials.unwrap();
        assert_eq!(credentials.user.as_deref(), Some("us@er"));
        assert_eq!(credentials.password.expose(), "p:w");
    }

    #[test]
    fn password_alone_and_default_port() {
        let Endpoint::Node { address, db } = parse("redis://:pw@example.org").unwrap() else {
            unreachable!("a redis URL is a node")
        };
        assert_eq!((address.port, db), (6379, None));
        assert_eq!(address.credentials.unwrap().user, None);
    }

    #[test]
    fn lists_of_addresses_share_the_credentials() {
        let text = "redis://u:p@a,b:1,[::1]:2";
        let Endpoint::Shards(shards) = parse(text).unwrap() else { unreachable!("several addresses are shards") };
        assert_eq!(shards.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:6379", "b:1", "[::1]:2"]);
        assert!(shards.iter().all(|shard| shard.credentials == shards[0].credentials && shard.credentials.is_some()));
        for (text, shown) in [
            ("redis-cluster://:p@a,b:1/0", "redis-cluster://a:6379,b:1"),
            ("codis://:auth@dash", "codis://dash:18080"),
            ("codis-proxy://a,b", "codis-proxy://a:19000,b:19000"),
            ("redis-proxy://a:1", "redis-proxy://a:1"),
            ("redis-sentinel://:p@a,b:2/3?service=main", "redis-sentinel://a:26379,b:2/3?service=main"),
            ("redis://a,b", "redis://a:6379,b:6379"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn sentinels_have_credentials_of_their_own() {
        let text = "redis-sentinel://app:pw@a,b/?service=my%20main&sentinel-password=s%26p";
        let Endpoint::Sentinel { sentinels, service, credentials, db } = parse(text).unwrap() else {
            unreachable!("that scheme is a Sentinel's")
        };
        assert_eq!((service.as_str(), db, sentinels.len()), ("my main", None, 2));
        assert_eq!(credentials.unwrap().password.expose(), "pw");
        let own = sentinels[1].credentials.clone().unwrap();
        assert_eq!((own.user, own.password.expose()), (None, "s&p"));
    }

    #[test]
    fn files_and_memory() {
        for (text, path) in [
            ("dump.rdb", "dump.rdb"),
            ("file:a/b.rdb", "a/b.rdb"),
            ("file:///x/y", "/x/y"),
            ("/abs", "/abs"),
            ("a:b", "a:b"),
        ] {
            assert_eq!(parse(text).unwrap(), Endpoint::File(path.into()), "{text}");
        }
        assert_eq!(parse("memory:").unwrap(), Endpoint::Memory);
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_never_shows_the_password() {
        for (text, kind) in [
            ("rediss://:hunter2@h", ErrorKind::Unsupported),
            ("rediss-cluster://:hunter2@h:1", ErrorKind::Unsupported),
            ("redis://:hunter2@a,b/3", ErrorKind::Unsupported),
            ("redis://:hunter2@a,,b", ErrorKind::Config),
            ("redis-cluster://:hunter2@a/1", ErrorKind::Config),
            ("redis-cluster://:hunter2@a?x=y", ErrorKind::Config),
            ("redis-sentinel://:hunter2@a", ErrorKind::Config),
            ("redis-sentinel://:hunter2@a/?service=", ErrorKind::Config),
            ("redis-sentinel://:hunter2@a/?service=s&service=t", ErrorKind::Config),
            ("redis-sentinel://:hunter2@a/?service=s&colour=blue", ErrorKind::Config),
            ("redis-sentinel://a/?service=s&sentinel-user=hunter2", ErrorKind::Config),
            ("codis://:hunter2@a,b", ErrorKind::Config),
            ("codis://:hunter2@a/x", ErrorKind::Config),
            ("codis-proxy://:hunter2@a/0", ErrorKind::Config),
            ("redis-proxy://:hunter2@", ErrorKind::Config),
            ("redis-proxy:hunter2", ErrorKind::Config),
            ("http://:hunter2@h", ErrorKind::Config),
            ("redis://:hunter2@h/x", ErrorKind::Config),
            ("redis://:hunter2@h:99999", ErrorKind::Config),
            ("redis://hunter2@h", ErrorKind::Config),
            ("redis://", ErrorKind::Config),
            ("redis://h?db=1", ErrorKind::Config),
            ("", ErrorKind::Config),
            ("file:", ErrorKind::Config),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), kind, "{text}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}: {error:?}");
        }
    }
}
