//! Proxies in front of several servers.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use redis::{Connection, RedisResult, Value};
use tempfile::TempDir;

use crate::process;
use crate::version::server_folder;
use crate::wait::poll;
use crate::wire;
use crate::{Cluster, Server};

/// Starting may have to wait for a machine that is busy with other tests.
const START: Duration = Duration::from_secs(30);
/// How often other ports are tried when somebody else was quicker.
const TRIES: usize = 20;

/// A running proxy of those that `tools/fetch-servers` gets, on a loopback port, in front of servers.
///
/// It is killed when this value is dropped, and when the test process dies. While a test panics, the end of its log is
/// printed.
#[derive(Debug)]
pub struct Proxy {
    name: &'static str,
    dir: TempDir,
    port: u16,
    password: Option<String>,
    child: Child,
}

impl Proxy {
    /// twemproxy, which spreads keys over the servers by ketama hashing of MurmurHash of the key or its hash tag `{…}`
    /// (its default, FNV-1a, puts keys that differ little on one server). It knows one database, and closes the connection on a command that it does not forward.
    ///
    /// # Panics
    /// When it is not there, or does not answer `PING` within 30 s.
    #[track_caller]
    #[must_use]
    pub fn twemproxy(servers: &[&Server]) -> Self {
        let password = servers.iter().find_map(|server| server.password()).map(str::to_owned);
        let auth = password.as_ref().map(|password| format!("  redis_auth: {}\n", quoted(password)));
        let places = servers.iter().enumerate().map(|(n, server)| format!("   - {}:1 server{n}\n", server.addr()));
        let places: String = places.collect();
        let config = |port: u16| {
            format!(
                "rdts:\n  listen: 127.0.0.1:{port}\n  hash: murmur\n  hash_tag: \"{{}}\"\n  distribution: ketama\n  \
                 auto_eject_hosts: false\n  timeout: 10000\n  redis: true\n{}  servers:\n{places}",
                auth.as_deref().unwrap_or_default()
            )
        };
        Self::start("nutcracker", password.clone(), config, |command, config| {
            // A port for its statistics is a must.
            let statistics = process::free_port().to_string();
            command.arg("--conf-file").arg(config).args(["--stats-addr=127.0.0.1", "--stats-port", &statistics]);
            // Unless told otherwise, Debian's writes to a folder of the system.
            command.args(["--output", "/dev/stderr"]);
        })
    }

    /// Envoy's Redis proxy, which spreads keys over the servers by Maglev hashing of the key or its hash tag `{…}`. It
    /// knows one database, and answers an error to a command that it does not forward.
    ///
    /// # Panics
    /// When it is not there, or does not answer `PING` within 30 s.
    #[track_caller]
    #[must_use]
    pub fn envoy(servers: &[&Server]) -> Self {
        Self::start_envoy(servers, "    type: STATIC\n    lb_policy: MAGLEV\n")
    }

    /// Envoy in front of a cluster: it learns by itself which node has which slots, and follows redirections, so that
    /// its clients see no cluster.
    ///
    /// # Panics
    /// As [`Proxy::envoy`].
    #[track_caller]
    #[must_use]
    pub fn envoy_before_cluster(cluster: &Cluster) -> Self {
        let nodes: Vec<&Server> = cluster.nodes().iter().collect();
        let kind = "    lb_policy: CLUSTER_PROVIDED\n    cluster_type:\n      name: envoy.clusters.redis\n      typed_config:\n        \
                    \"@type\": type.googleapis.com/envoy.extensions.clusters.redis.v3.RedisClusterConfig\n        \
                    cluster_refresh_rate: 1s\n        redirect_refresh_interval: 0.1s\n        redirect_refresh_threshold: 1\n";
        Self::start_envoy(&nodes, kind)
    }

    #[track_caller]
    fn start_envoy(servers: &[&Server], kind: &str) -> Self {
        let password = servers.iter().find_map(|server| server.password()).map(str::to_owned);
        let (mut towards_servers, mut from_clients) = (String::new(), String::new());
        if let Some(password) = &password {
            let secret = format!("{{ inline_string: {} }}", quoted(password));
            from_clients = format!("          downstream_auth_passwords: [{secret}]\n");
            towards_servers = format!(
                "    typed_extension_protocol_options:\n      envoy.filters.network.redis_proxy:\n        \"@type\": \
                 type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProtocolOptions\n        \
                 auth_password: {secret}\n"
            );
        }
        let endpoint = |server: &&Server| {
            let port = server.port();
            format!(
                "        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}\n"
            )
        };
        let endpoints: String = servers.iter().map(endpoint).collect();
        let config = |port: u16| {
            format!(
                "static_resources:\n  listeners:\n  - name: redis\n    address: {{ socket_address: {{ address: 127.0.0.1, \
                 port_value: {port} }} }}\n    filter_chains:\n    - filters:\n      - name: envoy.filters.network.redis_proxy\n        \
                 typed_config:\n          \"@type\": \
                 type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy\n          \
                 stat_prefix: redis\n          settings: {{ op_timeout: 10s, enable_hashtagging: true, enable_redirection: true }}\n          \
                 prefix_routes: {{ catch_all_route: {{ cluster: servers }} }}\n{from_clients}  clusters:\n  - name: servers\n    \
                 connect_timeout: 5s\n{kind}{towards_servers}    load_assignment:\n      cluster_name: servers\n      \
                 endpoints:\n      - lb_endpoints:\n{endpoints}"
            )
        };
        Self::start("envoy", password, config, |command, config| {
            command.arg("-c").arg(config).args([
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--log-level",
                "warning",
            ]);
        })
    }

    #[track_caller]
    fn start(
        name: &'static str,
        password: Option<String>,
        config: impl Fn(u16) -> String,
        arguments: impl Fn(&mut Command, &Path),
    ) -> Self {
        let executable = server_folder().join(name).join(name);
        if !executable.is_file() {
            panic!("{name} is not at {}: get it with `tools/fetch-servers {name}`", executable.display());
        }
        let dir = TempDir::with_prefix("rdts-proxy-").expect("a temporary folder can be made");
        let (file, log_file) = (dir.path().join("proxy.yaml"), dir.path().join("proxy.log"));
        for _ in 0..TRIES {
            let port = process::free_port();
            fs::write(&file, config(port)).expect("the temporary folder is writable");
            let log = File::create(&log_file).expect("the temporary folder is writable");
            let mut command = process::tied_command(&executable);
            arguments(&mut command, &file);
            command.current_dir(dir.path()).stdout(log.try_clone().expect("a file can be shared")).stderr(log);
            let mut child = process::spawn(command).unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
            let answers = || -> RedisResult<Value> {
                let mut connection = wire::client(port, password.as_deref())?.get_connection_with_timeout(START)?;
                // Every server must be connected: twemproxy answers PING by itself.
                connection.set_read_timeout(Some(START))?;
                redis::cmd("PING").exec(&mut connection)?;
                redis::cmd("GET").arg("").query(&mut connection)
            };
            let ready = poll(START, || match child.try_wait().expect("a child can be waited for") {
                Some(_) => Some(false),
                None => answers().is_ok().then_some(true),
            });
            if ready == Some(true) {
                return Self { name, dir, port, password, child };
            }
            let _ = child.kill();
            let _ = child.wait();
            let log = tail(&log_file);
            let what = if ready.is_some() { "ended at once" } else { "did not answer" };
            assert!(log.contains("already in use"), "{name} on port {port} {what}; its log ends:\n{log}");
        }
        panic!("{TRIES} ports that were free were taken before {name} could have one");
    }

    /// `redis-proxy://127.0.0.1:PORT`, with `:PASSWORD@` when the servers have one.
    #[must_use]
    pub fn url(&self) -> String {
        let user = self.password.as_deref().map(crate::server::credentials);
        format!("redis-proxy://{}{}", user.unwrap_or_default(), self.addr())
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection through it, of the `redis` crate: RESP2, authenticated.
    ///
    /// # Panics
    /// When it cannot be had.
    #[track_caller]
    #[must_use]
    pub fn connection(&self) -> Connection {
        let connection = wire::client(self.port, self.password.as_deref()).and_then(|client| client.get_connection());
        connection.unwrap_or_else(|error| panic!("no connection to {}: {error}\n{}", self.name, self.log_tail()))
    }

    /// Runs one command over a connection of its own and gives its reply.
    ///
    /// # Panics
    /// When the reply is an error, or the proxy closes the connection.
    #[track_caller]
    pub fn cmd<A: AsRef<[u8]>>(&self, args: &[A]) -> Value {
        self.try_cmd(args).unwrap_or_else(|error| {
            let shown: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(arg.as_ref())).collect();
            panic!("{} on port {}: {}: {error}\n{}", self.name, self.port, shown.join(" "), self.log_tail())
        })
    }

    /// The same, for a command that may be refused.
    ///
    /// # Errors
    /// What the proxy or the server answered, or that it closed the connection.
    pub fn try_cmd<A: AsRef<[u8]>>(&self, args: &[A]) -> RedisResult<Value> {
        let mut command = redis::Cmd::new();
        for arg in args {
            command.arg(arg.as_ref());
        }
        command.query(&mut wire::client(self.port, self.password.as_deref())?.get_connection()?)
    }

    /// The log's last 30 lines.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.dir.path().join("proxy.log"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of {} on port {}:\n{}\n---", self.name, self.port, self.log_tail());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// A text in YAML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
