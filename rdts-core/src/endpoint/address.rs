//! Where one server is.

use std::fmt;
use std::sync::Arc;

use super::Credentials;
use crate::tls::Tls;

/// One server: a host, a port, how to log in, and whether by TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// A host name or an IP address (IPv6 without brackets).
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// How to log in, if the server wants that.
    pub credentials: Option<Credentials>,
    /// How to speak TLS; `None` is a connection that everybody on the way can read.
    pub tls: Option<Arc<Tls>>,
}

impl NodeAddress {
    /// The node at `host:port`, without credentials and without TLS.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, credentials: None, tls: None }
    }

    /// Sets [`credentials`](Self::credentials).
    #[must_use]
    pub fn with_credentials(mut self, credentials: Option<Credentials>) -> Self {
        self.credentials = credentials;
        self
    }

    /// Sets [`tls`](Self::tls).
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Arc<Tls>>) -> Self {
        self.tls = tls;
        self
    }

    /// Another node of the deployment that this one is of: same credentials, same TLS.
    pub(crate) fn neighbour(&self, host: impl Into<String>, port: u16) -> Self {
        Self::new(host, port).with_credentials(self.credentials.clone()).with_tls(self.tls.clone())
    }

    /// Whether `other` is at the same host and port, whatever the login.
    pub(crate) fn same_place(&self, other: &Self) -> bool {
        self.port == other.port && self.host == other.host
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
