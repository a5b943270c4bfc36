//! One real server as a child process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Mutex;
use std::time::Duration;

use redis::{Client, Connection, RedisResult, Value};
use tempfile::TempDir;

use crate::builder::Builder;
use crate::process::{self, Signal};
use crate::version::Version;
use crate::wait::{poll, wait_until};
use crate::wire;

/// Starting may have to wait for a machine that is busy with other tests.
const START: Duration = Duration::from_secs(30);
/// How often another port is tried when somebody else was quicker.
const PORT_TRIES: usize = 20;

/// A running server of one of the versions that `tools/fetch-servers` gets, on a loopback port and in a folder of its
/// own.
///
/// It keeps nothing on disk unless asked to, and allows `DEBUG`. It is killed when this value is dropped, and when the
/// test process dies. While a test panics, the end of its log is printed.
#[derive(Debug)]
pub struct Server {
    settings: Builder,
    dir: TempDir,
    port: u16,
    tls_port: Option<u16>,
    /// `None` after [`Server::stop`] and [`Server::kill`].
    child: Mutex<Option<Child>>,
}

impl Server {
    /// Starts the server called `name` (`redis-7.0`, `valkey-9.1`, …) with the test kit's settings.
    ///
    /// # Panics
    /// When there is no such server, or it does not answer `PING` within 30 s.
    #[track_caller]
    #[must_use]
    pub fn start(name: &str) -> Self {
        Self::builder(name).start()
    }

    /// The same, with settings of one's own.
    ///
    /// # Panics
    /// When there is no such server.
    #[track_caller]
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    #[track_caller]
    pub(crate) fn launch(settings: Builder) -> Self {
        let dir = TempDir::with_prefix("rdts-server-").expect("a temporary folder can be made");
        if let Some(rdb) = &settings.rdb {
            let copied = fs::copy(rdb, dir.path().join("dump.rdb"));
            copied.unwrap_or_else(|error| panic!("cannot copy {}: {error}", rdb.display()));
        }
        let mut server = Self { settings, dir, port: 0, tls_port: None, child: Mutex::new(None) };
        for _ in 0..PORT_TRIES {
            let port = || if server.settings.cluster { process::free_port_of_cluster() } else { process::free_port() };
            let ports = (port(), server.settings.tls.as_ref().map(|_| port()));
            (server.port, server.tls_port) = ports;
            if server.run() {
                return server;
            }
        }
        panic!("{PORT_TRIES} ports that were free were taken before {} could have one", server.settings.name);
    }

    /// Starts the process and waits until it answers. `false` when the port was taken.
    #[track_caller]
    fn run(&self) -> bool {
        let config = self.dir.path().join("redis.conf");
        fs::write(&config, self.settings.config(self.port, self.tls_port, self.dir.path()))
            .expect("the temporary folder is writable");
        let log = File::create(self.log_path()).expect("the temporary folder is writable");
        let mut command = process::tied_command(&self.settings.executable);
        command.arg(&config).current_dir(self.dir.path());
        if self.settings.sentinel {
            command.arg("--sentinel");
        }
        command.stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        let mut child = process::spawn(command)
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.settings.executable.display()));
        let ready = poll(START, || {
            if child.try_wait().expect("a child can be waited for").is_some() {
                return Some(false);
            }
            // Its own log says that the port is its own; on a port of somebody else's PING would be answered as well.
            let log = self.log();
            let bound = ["Server initialized", "Server started", "Sentinel ID is", "Sentinel runid is"];
            (bound.iter().any(|line| log.contains(line)) && self.answers()).then_some(true)
        });
        match ready {
            Some(true) => {
                *self.child.lock().unwrap() = Some(child);
                true
            }
            Some(false) if self.log().contains("Address already in use") => false,
            failed => {
                // It has either ended by itself or is of no use.
                let _ = child.kill();
                let _ = child.wait();
                let what = if failed.is_some() { "ended at once" } else { "did not answer PING" };
                panic!("{} on port {} {what}; its log ends:\n{}", self.settings.name, self.port, self.log_tail());
            }
        }
    }

    fn answers(&self) -> bool {
        let connection = self.client().and_then(|client| {
            let connection = client.get_connection_with_timeout(START)?;
            connection.set_read_timeout(Some(START))?;
            Ok(connection)
        });
        let Ok(mut connection) = connection else {
            return false;
        };
        match redis::cmd("PING").query::<Value>(&mut connection) {
            Ok(_) => true,
            Err(error) => error.code() == Some("LOADING") && self.settings.accept_loading,
        }
    }

    /// Its name, as it was given to [`Server::start`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.settings.version
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `redis://127.0.0.1:PORT`, with `:PASSWORD@` when it has one.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}{}", self.credentials(), self.addr())
    }

    /// Its port on 127.0.0.1 where it speaks TLS.
    ///
    /// # Panics
    /// When it was not [told to](Builder::tls).
    #[track_caller]
    #[must_use]
    pub fn tls_port(&self) -> u16 {
        self.tls_port.expect("the server was started with TLS")
    }

    /// `rediss://127.0.0.1:TLS-PORT?ca=…&cert=…&key=…`, with `:PASSWORD@` when it has one.
    ///
    /// # Panics
    /// When it was not [told to](Builder::tls) speak TLS.
    #[track_caller]
    #[must_use]
    pub fn tls_url(&self) -> String {
        format!("rediss://{}127.0.0.1:{}?{}", self.credentials(), self.tls_port(), self.tls_options())
    }

    /// The options of a URL that has TLS.
    #[track_caller]
    pub(crate) fn tls_options(&self) -> &str {
        &self.settings.tls.as_ref().expect("the server was started with TLS").url_options
    }

    /// The port at which other servers speak to it.
    pub(crate) fn peer_port(&self) -> u16 {
        self.tls_port.unwrap_or(self.port)
    }

    /// Adds an ACL user (Redis 6.0 and later), or makes one that exists what `rules` say and nothing else: `~* +@all -@dangerous`.
    ///
    /// # Panics
    /// When the server refuses it.
    #[track_caller]
    pub fn set_user(&self, name: &str, password: &str, rules: &str) {
        let password = format!(">{password}");
        let words = ["ACL", "SETUSER", name, "reset", "on", &password].into_iter().chain(rules.split_whitespace());
        self.cmd(&words.collect::<Vec<_>>());
    }

    /// `:PASSWORD@` of a URL, or nothing.
    pub(crate) fn credentials(&self) -> String {
        self.password().map(credentials).unwrap_or_default()
    }

    pub(crate) fn password(&self) -> Option<&str> {
        self.settings.password.as_deref()
    }

    /// Whether it was started and neither stopped nor killed since.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child.lock().unwrap().is_some()
    }

    /// Its folder, where an RDB or AOF file is when it writes one.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process's id.
    ///
    /// # Panics
    /// When it was stopped.
    #[track_caller]
    #[must_use]
    pub fn pid(&self) -> u32 {
        match &*self.child.lock().unwrap() {
            Some(child) => child.id(),
            None => panic!("{} was stopped", self.settings.name),
        }
    }

    /// Seconds of CPU, user and system, that the process has used, all its threads, in steps of 10 ms.
    ///
    /// # Panics
    /// When it was stopped.
    #[track_caller]
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        self.stat().own_cpu
    }

    /// [`Server::cpu_seconds`] and those of its children that have ended, which saved an RDB or rewrote an AOF for it.
    ///
    /// # Panics
    /// When it was stopped.
    #[track_caller]
    #[must_use]
    pub fn cpu_seconds_with_children(&self) -> f64 {
        let stat = self.stat();
        stat.own_cpu + stat.children_cpu
    }

    #[track_caller]
    fn stat(&self) -> process::Stat {
        let pid = self.pid();
        process::stat(pid).unwrap_or_else(|| panic!("no /proc/{pid}/stat of {}", self.settings.name))
    }

    /// A connection of the `redis` crate: RESP2, authenticated, without a limit of time. (With one, a test that is
    /// suspended and goes on has its reads fail with EINTR.)
    ///
    /// # Panics
    /// When it cannot be had.
    #[track_caller]
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.try_connection().unwrap_or_else(|error| self.fail("no connection", &error))
    }

    fn try_connection(&self) -> RedisResult<Connection> {
        self.client()?.get_connection()
    }

    fn client(&self) -> RedisResult<Client> {
        wire::client(self.port, self.password())
    }

    /// Runs one command and gives its reply. Each call has a connection of its own, so `SELECT` and `MULTI` have no
    /// effect on the next one: that is what [`Server::connection`] is for.
    ///
    /// # Panics
    /// When the reply is an error.
    #[track_caller]
    pub fn cmd<A: AsRef<[u8]>>(&self, args: &[A]) -> Value {
        self.try_cmd(args).unwrap_or_else(|error| {
            let shown: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(arg.as_ref())).collect();
            self.fail(&shown.join(" "), &error)
        })
    }

    /// The same, for a command that may be refused.
    ///
    /// # Errors
    /// What the server answered, or why it could not be asked.
    pub fn try_cmd<A: AsRef<[u8]>>(&self, args: &[A]) -> RedisResult<Value> {
        let mut command = redis::Cmd::new();
        for arg in args {
            command.arg(arg.as_ref());
        }
        command.query(&mut self.try_connection()?)
    }

    #[track_caller]
    fn fail(&self, what: &str, error: &redis::RedisError) -> ! {
        panic!("{} on port {}: {what}: {error}; its log ends:\n{}", self.settings.name, self.port, self.log_tail())
    }

    /// A section of `INFO` (`replication`, `memory`, …; `all` for everything) as field → value.
    #[track_caller]
    #[must_use]
    pub fn info(&self, section: &str) -> BTreeMap<String, String> {
        fields(self.cmd(&["INFO", section]))
    }

    /// [`Server::info`] of a server that may not be there, or cut connections: Sentinels have those whom they make a
    /// replica do so.
    pub(crate) fn try_info(&self, section: &str) -> Option<BTreeMap<String, String>> {
        self.try_cmd(&["INFO", section]).ok().map(fields)
    }

    /// Waits until the server calls itself `role`: `master` or `slave`. One that changes its role cuts connections on the way.
    ///
    /// # Panics
    /// When it does not within a minute.
    #[track_caller]
    pub fn wait_for_role(&self, role: &str) {
        self.wait_until(&format!("the role {role}"), Duration::from_secs(60), |server| {
            server.try_info("replication").is_some_and(|info| info.get("role").is_some_and(|is| is == role))
        });
    }

    /// Waits until `condition` holds of this server, and looks again every 5 ms.
    ///
    /// # Panics
    /// When it does not within `deadline`; the message has `what` and the end of the log.
    #[track_caller]
    pub fn wait_until(&self, what: &str, deadline: Duration, mut condition: impl FnMut(&Self) -> bool) {
        if poll(deadline, || condition(self).then_some(())).is_none() {
            let log = self.log_tail();
            panic!("waited {deadline:?} in vain for: {what}, of {}; its log ends:\n{log}", self.settings.name);
        }
    }

    /// Waits until `text` is in the log.
    ///
    /// # Panics
    /// When it is not within `deadline`.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str, deadline: Duration) {
        self.wait_until(&format!("{text:?} in the log"), deadline, |server| server.log().contains(text));
    }

    /// The log since the last start.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The log's last 30 lines.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    /// Makes it a replica of `primary` and waits until the two are in sync: the oracle for our own replication.
    ///
    /// # Panics
    /// When they are not within 60 s.
    #[track_caller]
    pub fn replicate(&self, primary: &Self) {
        self.replicate_without_waiting(primary);
        self.wait_in_sync(primary);
    }

    /// Makes it a replica of `primary`.
    #[track_caller]
    pub fn replicate_without_waiting(&self, primary: &Self) {
        if let Some(password) = &primary.settings.password {
            self.cmd(&["CONFIG", "SET", "masterauth", password]);
        }
        self.cmd(&["SLAVEOF", "127.0.0.1", &primary.peer_port().to_string()]);
    }

    /// Waits until this replica of `primary` has got everything that `primary` has written.
    ///
    /// # Panics
    /// When it has not within 60 s.
    #[track_caller]
    pub fn wait_in_sync(&self, primary: &Self) {
        self.wait_until("the replica to be in sync", Duration::from_secs(60), |replica| {
            let (Some(there), Some(here)) = (primary.try_info("replication"), replica.try_info("replication")) else {
                return false;
            };
            // A replica says `master_link_status:up` as soon as the snapshot is loaded.
            here.get("master_link_status").is_some_and(|status| status == "up")
                && here.get("slave_repl_offset") == there.get("master_repl_offset")
        });
    }

    /// Ends a replica's replication; it keeps its data and takes writes.
    #[track_caller]
    pub fn promote(&self) {
        self.cmd(&["SLAVEOF", "NO", "ONE"]);
    }

    /// Sends a signal to the process.
    ///
    /// # Panics
    /// When it was stopped.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        signal.send(self.pid());
    }

    /// Ends it in an orderly way (SIGTERM: it saves if it is set to), and waits for the end. Its folder stays.
    ///
    /// # Panics
    /// When it was stopped before, or has not ended after 30 s.
    #[track_caller]
    pub fn stop(&self) {
        self.end(Signal::Term);
    }

    /// Ends it as a crash would (SIGKILL). Its folder stays.
    ///
    /// # Panics
    /// When it was stopped before.
    #[track_caller]
    pub fn kill(&self) {
        self.end(Signal::Kill);
    }

    #[track_caller]
    fn end(&self, signal: Signal) {
        self.signal(signal);
        let mut child = self.child.lock().unwrap();
        let ended = child.as_mut().and_then(|child| process::wait_for_exit(child, START));
        assert!(ended.is_some(), "{} did not end; its log ends:\n{}", self.settings.name, self.log_tail());
        *child = None;
    }

    /// Starts it again on the same port and in the same folder, after an orderly stop if it still runs.
    ///
    /// # Panics
    /// When it does not answer within 30 s, or somebody else has taken the port.
    #[track_caller]
    pub fn restart(&self) {
        if self.child.lock().unwrap().is_some() {
            self.stop();
        }
        // Whoever has the port may only be passing by: an outgoing connection, or another server's search for a port.
        wait_until("the port to be free again", START, || self.run());
    }
}

fn fields(info: Value) -> BTreeMap<String, String> {
    let text: String = redis::from_redis_value(info).expect("INFO answers a text");
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(field, value)| (field.to_owned(), value.to_owned())).collect()
}

/// `:PASSWORD@` of a URL.
pub(crate) fn credentials(password: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    let password: String = password.bytes().map(escape).collect();
    format!(":{password}@")
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of {} on port {}:\n{}\n---", self.settings.name, self.port, self.log_tail());
        }
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(child) = child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
