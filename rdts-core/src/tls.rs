//! How connections are secured: TLS 1.2 and 1.3, by rustls.
//!
//! ```text
//! rediss://…?ca=…&cert=…&key=… ──► TlsOptions ──► Tls (shared by all nodes of a deployment; files are read at the first connection)
//!                                                  │
//!                                     Connection ──┴──► net::Stream, or an error of kind Tls that says whose certificate is at fault
//! ```

mod client;
mod failure;
mod unverified;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::error::Result;

pub(crate) use self::client::{handshake, is_spoken};
pub(crate) use self::failure::{NO_TLS, refusal};

/// How to speak TLS. The default trusts the CAs of this machine, and has no certificate to show.
///
/// All files are PEM. They are read once, at the first connection: what replaces them is seen by the next run.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// The CAs that are trusted, instead of this machine's (which are those of its operating system, or of the environment variables
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR`). Default: this machine's.
    pub ca: Option<PathBuf>,
    /// What we show to a server that asks who we are (mTLS): our certificate, with whatever stands between it and the CA behind it, and its
    /// key, not encrypted. Default: nothing, which servers with `tls-auth-clients yes` (their default) refuse.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// What the server's certificate has to be for, and what it is told that is wanted (SNI). Default: the host that is dialled, which for
    /// the nodes of a cluster is mostly an IP address.
    pub server_name: Option<String>,
    /// Whether any certificate is believed, so that whoever is on the way can take the place of the server, and read and change everything.
    /// Warns in the log. Default: false.
    pub accept_any_certificate: bool,
}

impl TlsOptions {
    /// Sets [`ca`](Self::ca).
    #[must_use]
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca = Some(file.into());
        self
    }

    /// Sets [`identity`](Self::identity).
    #[must_use]
    pub fn identity(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// Sets [`server_name`](Self::server_name).
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Sets [`accept_any_certificate`](Self::accept_any_certificate).
    #[must_use]
    pub fn accept_any_certificate(mut self, yes: bool) -> Self {
        self.accept_any_certificate = yes;
        self
    }
}

/// What all connections to a deployment share: the options, and once one was made, what the files say.
pub struct Tls {
    options: TlsOptions,
    config: OnceCell<Arc<rustls::ClientConfig>>,
}

impl Tls {
    /// With these options. Nothing is read yet.
    pub fn new(options: TlsOptions) -> Self {
        Self { options, config: OnceCell::new() }
    }

    /// The options.
    pub fn options(&self) -> &TlsOptions {
        &self.options
    }

    async fn config(&self) -> Result<Arc<rustls::ClientConfig>> {
        self.config.get_or_try_init(|| client::configure(&self.options)).await.cloned()
    }
}

/// By the options: two that would do the same are the same.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.options == other.options
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.options, f)
    }
}
