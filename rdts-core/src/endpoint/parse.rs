//! From the text to the endpoint.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::url::Parts;
use super::{Credentials, Endpoint, ProxyKind, Secret};
use crate::error::{Error, ErrorKind, Result};
use crate::tls::{Tls, TlsOptions};

const KNOWN: &str = "redis:, redis-cluster:, redis-sentinel:, redis-proxy: and with TLS rediss:, rediss-cluster:, rediss-sentinel:, \
                     rediss-proxy:, and codis:, codis-proxy:, file: and memory:";

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
            "redis" => node_or_shards(Parts::of(text, "redis", 6379)?),
            "rediss" => node_or_shards(secured(Parts::of(text, "rediss", 6379)?)?),
            "redis-cluster" => cluster(Parts::of(text, "redis-cluster", 6379)?),
            "rediss-cluster" => cluster(secured(Parts::of(text, "rediss-cluster", 6379)?)?),
            "redis-sentinel" => sentinel(Parts::of(text, "redis-sentinel", 26379)?),
            "rediss-sentinel" => sentinel(secured(Parts::of(text, "rediss-sentinel", 26379)?)?),
            "redis-proxy" => proxy(ProxyKind::Plain, Parts::of(text, "redis-proxy", 6379)?),
            "rediss-proxy" => proxy(ProxyKind::Plain, secured(Parts::of(text, "rediss-proxy", 6379)?)?),
            "codis-proxy" => proxy(ProxyKind::Codis, Parts::of(text, "codis-proxy", 19000)?),
            "codis" => {
                let mut addresses = Parts::of(text, "codis", 18080)?.no_more_query()?.no_path()?.addresses()?;
                match (addresses.pop(), addresses.is_empty()) {
                    (Some(dashboard), true) => Ok(Self::Codis { dashboard }),
                    _ => Err(Error::config("a codis:// URL names one dashboard, as in codis://10.0.0.7:18080")),
                }
            }
            "file" => file(rest.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(rest)),
            _ if rest.starts_with("//") => {
                Err(Error::config(format!("unknown scheme '{scheme}:'; known are {KNOWN}, or the path of a file")))
            }
            _ => file(text),
        }
    }
}

fn file(path: &str) -> Result<Endpoint> {
    if path.is_empty() {
        return Err(Error::config("an empty path; expected a URL or the path of a file"));
    }
    Ok(Endpoint::File(PathBuf::from(path)))
}

fn node_or_shards(parts: Parts<'_>) -> Result<Endpoint> {
    let parts = parts.no_more_query()?;
    let db = parts.db()?;
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

fn cluster(parts: Parts<'_>) -> Result<Endpoint> {
    let parts = parts.no_more_query()?;
    // A cluster has one database, so that naming it changes nothing.
    if !matches!(parts.db()?, None | Some(0)) {
        let scheme = parts.scheme;
        return Err(Error::config(format!("a cluster has one database: a {scheme}:// URL takes none but /0")));
    }
    Ok(Endpoint::Cluster { seeds: parts.addresses()? })
}

fn sentinel(mut parts: Parts<'_>) -> Result<Endpoint> {
    let scheme = parts.scheme;
    let service = parts.take("service")?.filter(|service| !service.is_empty());
    let own = match (parts.take("sentinel-user")?, parts.take("sentinel-password")?) {
        (user, Some(password)) => Some(Credentials { user, password: Secret::new(password) }),
        (None, None) => None,
        (Some(_), None) => {
            return Err(Error::config(format!("the {scheme}:// URL has a sentinel-user without a sentinel-password")));
        }
    };
    let parts = parts.no_more_query()?;
    let Some(service) = service else {
        return Err(Error::config(format!(
            "a {scheme}:// URL needs the primary's name, as in {scheme}://h:26379/?service=mymaster"
        )));
    };
    let credentials = parts.one_login()?;
    let mut sentinels = parts.addresses()?;
    for sentinel in &mut sentinels {
        sentinel.credentials.clone_from(&own);
    }
    Ok(Endpoint::Sentinel { sentinels, service, credentials, db: parts.db()? })
}

fn proxy(kind: ProxyKind, parts: Parts<'_>) -> Result<Endpoint> {
    Ok(Endpoint::Proxy { kind, addresses: parts.no_more_query()?.no_path()?.addresses()? })
}

/// Takes the options of TLS out of the query.
fn secured(mut parts: Parts<'_>) -> Result<Parts<'_>> {
    let scheme = parts.scheme;
    let path = |name: &str, value: Option<String>| match value {
        Some(value) if value.is_empty() => Err(Error::config(format!("the {scheme}:// URL has an empty '{name}'"))),
        value => Ok(value),
    };
    let mut options = TlsOptions::default();
    if let Some(ca) = path("ca", parts.take("ca")?)? {
        options = options.ca(ca);
    }
    match (path("cert", parts.take("cert")?)?, path("key", parts.take("key")?)?) {
        (Some(cert), Some(key)) => options = options.identity(cert, key),
        (None, None) => {}
        _ => return Err(Error::config(format!("a client certificate in a {scheme}:// URL needs both cert= and key="))),
    }
    if let Some(name) = path("server-name", parts.take("server-name")?)? {
        options = options.server_name(name);
    }
    match parts.take("verify")?.as_deref() {
        None | Some("on") => {}
        Some("off") => options = options.accept_any_certificate(true),
        Some(_) => return Err(Error::config(format!("'verify' of a {scheme}:// URL is 'on' or 'off'"))),
    }
    parts.tls = Some(Arc::new(Tls::new(options)));
    Ok(parts)
}
