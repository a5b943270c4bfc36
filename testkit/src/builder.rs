//! How a server is to be started.

use std::path::{Path, PathBuf};

use crate::certificates::{Issued, Pair};
use crate::version::{self, Version};
use crate::{Certificates, Server};

/// Settings of a server before it starts: [`Server::builder`].
#[derive(Debug, Clone)]
#[must_use = "a server starts with `start`"]
pub struct Builder {
    pub(crate) name: String,
    pub(crate) executable: PathBuf,
    pub(crate) version: Version,
    pub(crate) directives: Vec<(String, String)>,
    pub(crate) password: Option<String>,
    pub(crate) rdb: Option<PathBuf>,
    pub(crate) accept_loading: bool,
    /// Whether it is a node of a cluster.
    pub(crate) cluster: bool,
    /// Whether it is a Sentinel.
    pub(crate) sentinel: bool,
    /// Whose CA it trusts, and what it shows.
    pub(crate) tls: Option<Box<Issued>>,
}

impl Builder {
    pub(crate) fn new(name: &str) -> Self {
        let (executable, version) = version::find(name);
        Self {
            name: name.to_owned(),
            executable,
            version,
            directives: Vec::new(),
            password: None,
            rdb: None,
            accept_loading: false,
            cluster: false,
            sentinel: false,
            tls: None,
        }
    }

    /// The server's version, for settings that depend on it.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Adds a directive of `redis.conf`, with or without `--` before its name. The value goes there as it is, so that
    /// several words are several arguments (`.arg("--client-output-buffer-limit", "slave 1mb 1mb 0")`) and one argument
    /// with blanks needs quotes. A `requirepass` is quoted here, and used by [`Server::connection`] and
    /// [`Server::url`].
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        let name = name.trim_start_matches("--").to_owned();
        let mut value = value.to_owned();
        if name == "requirepass" {
            self.password = (!value.is_empty()).then(|| value.clone());
            value = quoted(&value);
        } else if value.is_empty() {
            value = quoted("");
        }
        self.directives.push((name, value));
        self
    }

    /// Has a replica give its primary the password that it asks for itself.
    pub(crate) fn with_masterauth(mut self) -> Self {
        self.directives.retain(|(name, _)| name != "masterauth");
        if let Some(password) = self.quoted_password() {
            self.directives.push(("masterauth".to_owned(), password));
        }
        self
    }

    /// Its password as it stands in `redis.conf`.
    pub(crate) fn quoted_password(&self) -> Option<String> {
        self.password.as_deref().map(quoted)
    }

    /// Has it speak TLS at another port, [`Server::tls_port`], to clients that have a certificate of the same CA. What servers say to each
    /// other goes by TLS then, too. The port in clear remains, for the test kit itself.
    ///
    /// # Panics
    /// At the start, when the server was built without TLS.
    pub fn tls(self, certificates: &Certificates) -> Self {
        let own = certificates.server();
        self.tls_with(certificates, own)
    }

    /// As [`tls`](Self::tls), but the server shows another certificate than [`Certificates::server`].
    pub fn tls_with(mut self, certificates: &Certificates, own: Pair) -> Self {
        self.tls = Some(Box::new(certificates.to_server(own)));
        self
    }

    /// Loads a module that came with the server: a file name in its `modules` folder, such as `rejson.so`.
    ///
    /// # Panics
    /// When the server has no such module.
    pub fn module(self, file: &str) -> Self {
        let path = self.executable.with_file_name("modules").join(file);
        assert!(path.is_file(), "the server {} has no module {}", self.name, path.display());
        let value = quoted(&path.to_string_lossy());
        self.arg("loadmodule", &value)
    }

    /// Starts with a copy of this RDB file as its data.
    pub fn rdb(mut self, file: impl AsRef<Path>) -> Self {
        self.rdb = Some(file.as_ref().to_owned());
        self
    }

    /// Counts the server as started even while it still loads its data (it answers `-LOADING`).
    pub fn accept_loading(mut self) -> Self {
        self.accept_loading = true;
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not answer `PING` within 30 s; the message has the end of its log.
    #[track_caller]
    #[must_use]
    pub fn start(self) -> Server {
        Server::launch(self)
    }

    /// The whole `redis.conf`; what the caller asked for comes last and wins.
    pub(crate) fn config(&self, port: u16, tls_port: Option<u16>, dir: &Path) -> String {
        let dir = quoted(&dir.to_string_lossy());
        let mut lines = vec![format!("port {port}"), "bind 127.0.0.1".to_owned(), format!("dir {dir}")];
        if !self.sentinel {
            lines.push("save \"\"".to_owned());
            if self.version.has_redis(3, 0) {
                // A replica must not wait 5 s for others to join.
                lines.push("repl-diskless-sync-delay 0".to_owned());
            }
            if self.version.has_redis(7, 0) {
                lines.push("enable-debug-command yes".to_owned());
            }
        }
        if self.cluster {
            lines.push("cluster-enabled yes".to_owned());
        }
        if let (Some(issued), Some(port)) = (&self.tls, tls_port) {
            lines.push(format!("tls-port {port}"));
            for (name, path) in [
                ("tls-ca-cert-file", &issued.ca),
                ("tls-cert-file", &issued.own.certificate),
                ("tls-key-file", &issued.own.key),
            ] {
                lines.push(format!("{name} {}", quoted(&path.to_string_lossy())));
            }
            lines.push("tls-replication yes".to_owned());
            if self.cluster {
                lines.push("tls-cluster yes".to_owned());
            }
        }
        lines.extend(self.directives.iter().map(|(name, value)| format!("{name} {value}")));
        lines.join("\n") + "\n"
    }
}

/// A value as one argument in `redis.conf`.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
