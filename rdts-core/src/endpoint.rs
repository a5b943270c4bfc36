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

/// What a URL of a source or target means.
///
/// | text | is |
/// |---|---|
/// | `redis://[user:pass@]host[:port][/db]` | one server (the port defaults to 6379) |
/// | `path/to/file.rdb`, `file:PATH` | an RDB file |
/// | `memory:` | a keyspace in this process's memory |
///
/// `rediss`, `redis-cluster`, `rediss-cluster`, `redis-sentinel`, `codis` and `codis-proxy` are known names that this
/// version refuses with [`ErrorKind::Unsupported`].
///
/// ```
/// use rdts_core::endpoint::Endpoint;
///
/// let endpoint: Endpoint = "redis://app:s3cret@10.0.0.7:6380".parse()?;
/// assert_eq!(endpoint.to_string(), "redis://10.0.0.7:6380");
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
    /// A file on this machine.
    File(PathBuf),
    /// A keyspace in memory.
    Memory,
}

const LATER: [&str; 6] = ["rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "codis", "codis-proxy"];

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
            "redis" => node(text),
            "file" => file(rest.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(rest)),
            _ if LATER.contains(&scheme) => Err(Error::new(
                ErrorKind::Unsupported,
                format!("the scheme '{scheme}:' is not supported yet; this version knows redis:, file: and memory:"),
            )),
            _ if rest.starts_with("//") => Err(Error::config(format!(
                "unknown scheme '{scheme}:'; known are redis:, file: and memory:, or the path of an RDB file"
            ))),
            _ => file(text),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { address, db: None } => write!(f, "redis://{address}"),
            Self::Node { address, db: Some(db) } => write!(f, "redis://{address}/{db}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

fn file(path: &str) -> Result<Endpoint> {
    if path.is_empty() {
        return Err(Error::config("an empty path; expected a URL or the path of an RDB file"));
    }
    Ok(Endpoint::File(PathBuf::from(path)))
}

fn node(text: &str) -> Result<Endpoint> {
    let authority = text["redis://".len().min(text.len())..].split('/').next().unwrap_or_default();
    if authority.rsplit('@').next().unwrap_or_default().contains(',') {
        return Err(Error::new(ErrorKind::Unsupported, "a list of shards (redis://a,b,c) is not supported yet"));
    }
    // The URL itself may hold a password, so no message repeats it.
    let url = Url::parse(text).map_err(|error| Error::config("not a valid redis:// URL").with_source(error))?;
    let host = match url.host() {
        Some(url::Host::Ipv6(ip)) => ip.to_string(),
        Some(host) => host.to_string(),
        None => return Err(Error::config("a redis:// URL needs a host, as in redis://127.0.0.1:6379")),
    };
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::config("a redis:// URL takes no '?' or '#' part; escape them in a password as %3F and %23"));
    }
    let user = decode(url.username(), "user")?;
    let password = url.password().map(|text| decode(text, "password")).transpose()?;
    let credentials = match (user.is_empty(), password) {
        (_, Some(password)) => {
            Some(Credentials { user: (!user.is_empty()).then_some(user), password: Secret::new(password) })
        }
        (true, None) => None,
        (false, None) => {
            return Err(Error::config(
                "a redis:// URL has a user without a password; write redis://:PASSWORD@host for a password alone",
            ));
        }
    };
    let db = match url.path() {
        "" | "/" => None,
        path => Some(path[1..].parse().map_err(|_| {
            Error::config(format!("'{}' is no database number in a redis:// URL", path[1..].escape_debug()))
        })?),
    };
    let address = NodeAddress { host, port: url.port().unwrap_or(6379), credentials };
    Ok(Endpoint::Node { address, db })
}

fn decode(text: &str, what: &str) -> Result<String> {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map(Into::into)
        .map_err(|_| Error::config(format!("the {what} of the redis:// URL is not UTF-8 after percent-decoding")))
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
            ("redis-cluster://:hunter2@h:1", ErrorKind::Unsupported),
            ("codis://h:1", ErrorKind::Unsupported),
            ("redis://:hunter2@a:1,b:2", ErrorKind::Unsupported),
            ("redis://:hunter2@a,b", ErrorKind::Unsupported),
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
