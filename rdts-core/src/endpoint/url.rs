//! A URL with a list of hosts, taken apart.

use std::sync::Arc;

use url::Url;

use super::{Credentials, NodeAddress, Secret};
use crate::error::{Error, Result};
use crate::tls::Tls;

/// Options that a URL without TLS has no use for.
const TLS_OPTIONS: [&str; 5] = ["ca", "cert", "key", "server-name", "verify"];

/// The URL may hold a password, so no message repeats it.
pub(super) struct Parts<'a> {
    pub(super) scheme: &'static str,
    /// How to speak TLS; the caller sets it.
    pub(super) tls: Option<Arc<Tls>>,
    hosts: Vec<(Option<Credentials>, &'a str)>,
    port: u16,
    path: &'a str,
    /// What nobody has taken yet.
    query: Vec<(String, String)>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(text: &'a str, scheme: &'static str, port: u16) -> Result<Self> {
        let Some(rest) = text[scheme.len()..].strip_prefix("://") else {
            return Err(Error::config(format!("not a valid {scheme}:// URL")));
        };
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        if text.contains('#') {
            return Err(Error::config(format!("a {scheme}:// URL takes no '#'; write it as %23 in a password")));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let query = query.map_or_else(Vec::new, |query| {
            url::form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into(), value.into())).collect()
        });
        Ok(Self { scheme, tls: None, hosts: hosts(authority, scheme)?, port, path, query })
    }

    /// The value of the option `name`, which is known from here on.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>> {
        let mut found = self.query.extract_if(.., |(known, _)| known == name).map(|(_, value)| value);
        let (value, again) = (found.next(), found.next());
        match again {
            None => Ok(value),
            Some(_) => Err(Error::config(format!("the {}:// URL says '{name}' twice", self.scheme))),
        }
    }

    /// Everything in the query was taken.
    pub(super) fn no_more_query(self) -> Result<Self> {
        let Some((name, _)) = self.query.first() else { return Ok(self) };
        let scheme = self.scheme;
        if self.tls.is_none() && TLS_OPTIONS.contains(&name.as_str()) {
            let text = format!(
                "'{name}' is an option of TLS, which a {scheme}:// URL does not speak: rediss:// and its kin do"
            );
            return Err(Error::config(text));
        }
        // What is no option may be the rest of a password that was cut by its own '?'.
        Err(Error::config(format!(
            "a {scheme}:// URL has no such option as follows its '?'; a '?' in a password is written as %3F"
        )))
    }

    pub(super) fn no_path(self) -> Result<Self> {
        if self.path.is_empty() {
            return Ok(self);
        }
        Err(Error::config(format!("a {}:// URL takes nothing after its hosts", self.scheme)))
    }

    pub(super) fn db(&self) -> Result<Option<u32>> {
        match self.path {
            "" => Ok(None),
            path => Ok(Some(path.parse().map_err(|_| {
                Error::config(format!("'{}' is no database number in a {}:// URL", path.escape_debug(), self.scheme))
            })?)),
        }
    }

    /// The one login of a URL whose addresses cannot have their own.
    pub(super) fn one_login(&self) -> Result<Option<Credentials>> {
        if self.hosts[1..].iter().any(|(own, _)| own.is_some()) {
            let text = "a login belongs in front of the first address only, and holds for all; an '@' in a password is written as %40";
            return Err(Error::config(format!("{}:// URL: {text}", self.scheme)));
        }
        Ok(self.hosts[0].0.clone())
    }

    pub(super) fn addresses(&self) -> Result<Vec<NodeAddress>> {
        let first = &self.hosts[0].0;
        self.hosts.iter().map(|(own, host)| self.address(host, own.as_ref().or(first.as_ref()))).collect()
    }

    fn address(&self, text: &str, credentials: Option<&Credentials>) -> Result<NodeAddress> {
        let scheme = self.scheme;
        if text.is_empty() {
            let example = format!("{scheme}://127.0.0.1:{}", self.port);
            return Err(Error::config(format!("a {scheme}:// URL needs a host, as in {example}")));
        }
        let wrong = || Error::config(format!("'{}' is no host and port in a {scheme}:// URL", text.escape_debug()));
        // The syntax of hosts and ports is that of any URL with an authority.
        let url = Url::parse(&format!("redis://{text}")).map_err(|error| wrong().with_source(error))?;
        let host = match url.host() {
            Some(url::Host::Ipv6(ip)) => ip.to_string(),
            Some(host) => host.to_string(),
            None => return Err(wrong()),
        };
        let address = NodeAddress::new(host, url.port().unwrap_or(self.port));
        Ok(address.with_credentials(credentials.cloned()).with_tls(self.tls.clone()))
    }
}

/// Each host with the login in front of it; at least one.
fn hosts<'a>(authority: &'a str, scheme: &str) -> Result<Vec<(Option<Credentials>, &'a str)>> {
    // A single login may have commas in its password; where there are several, they are what separates them.
    let (login, rest) = match authority.matches('@').count() {
        0 | 1 => authority.rsplit_once('@').map_or((None, authority), |(login, rest)| (Some(login), rest)),
        _ => (None, authority),
    };
    let mut hosts = Vec::new();
    for host in rest.split(',') {
        let (own, host) = host.rsplit_once('@').map_or((None, host), |(login, host)| (Some(login), host));
        let login = own.or(login.filter(|_| hosts.is_empty()));
        hosts.push((login.map(|login| credentials(login, scheme)).transpose()?.flatten(), host));
    }
    Ok(hosts)
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
