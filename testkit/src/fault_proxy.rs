//! A network that breaks when a test wants it to.

mod connection;

use std::net::Ipv4Addr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Server;

/// A proxy on a loopback port that passes bytes on, both ways, to a server that can be changed, and breaks in the ways in which
/// networks break. All of it can be changed while connections are open, and holds for those that come as well.
///
/// ```no_run
/// use rdts_testkit::{Direction, FaultProxy, Flow, Server};
///
/// let server = Server::start("redis-7.0");
/// let proxy = FaultProxy::before(&server);
/// // A replica of `proxy.url()` hears nothing any more, and nobody tells it why.
/// proxy.set(Direction::ToClient, Flow::Lost);
/// proxy.set(Direction::ToClient, Flow::Free);
/// ```
///
/// It ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    credentials: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // There is no third one.
pub enum Direction {
    /// From whoever has connected to the server.
    ToServer,
    /// From the server to whoever has connected.
    ToClient,
}

/// How bytes go in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Flow {
    /// As they come.
    #[default]
    Free,
    /// Not at all for the time being: nothing is read, so that buffers fill and the sender has to wait. Nothing is lost.
    Held,
    /// They are read and thrown away, and so is the end of the connection. A connection that has lost something so remains dead in
    /// that direction whatever is set afterwards: one direction makes a half-open connection, both a black hole.
    Lost,
    /// One by one, each in a write of its own.
    Single,
    /// So many a second over all connections together; not 0.
    Limited(u64),
    /// Each so much later than it came.
    Late(Duration),
}

/// What holds for all connections.
#[derive(Debug, Clone, Copy)]
struct Setting {
    upstream: u16,
    /// To the server, to the client.
    flows: [Flow; 2],
    refuse: bool,
    end: bool,
}

#[derive(Debug)]
struct Shared {
    setting: watch::Sender<Setting>,
    /// Counts the calls of `cut`.
    cuts: watch::Sender<u64>,
    counters: Mutex<Counters>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Counters {
    accepted: u64,
    refused: u64,
    open: u64,
    passed: [u64; 2],
    resets: u64,
    /// What may still pass before the connection that reaches this is reset.
    until_reset: [Option<u64>; 2],
    /// When the last byte at a limited rate is through.
    limited_until: [Option<Instant>; 2],
}

impl FaultProxy {
    /// A proxy in front of a server.
    ///
    /// # Panics
    /// When there is no free port.
    #[track_caller]
    #[must_use]
    pub fn before(server: &Server) -> Self {
        let mut proxy = Self::start(server.port());
        proxy.credentials = server.credentials();
        proxy
    }

    /// A proxy in front of a port on 127.0.0.1.
    ///
    /// # Panics
    /// When there is no free port.
    #[track_caller]
    #[must_use]
    pub fn start(upstream: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be had");
        let listener =
            runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a loopback port can be had");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let setting = Setting { upstream, flows: [Flow::Free; 2], refuse: false, end: false };
        let shared = Arc::new(Shared {
            setting: watch::Sender::new(setting),
            cuts: watch::Sender::new(0),
            counters: Mutex::default(),
            changed: Condvar::new(),
        });
        let serving = serve(listener, Arc::clone(&shared));
        let run = move || runtime.block_on(serving);
        let thread =
            std::thread::Builder::new().name("fault proxy".into()).spawn(run).expect("a thread can be started");
        Self { port, credentials: String::new(), shared, thread: Some(thread) }
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

    /// `redis://127.0.0.1:PORT`, with the server's `:PASSWORD@` if it has one.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}{}", self.credentials, self.addr())
    }

    /// Where new connections go from now on: a port on 127.0.0.1.
    pub fn set_upstream(&self, port: u16) {
        self.shared.setting.send_modify(|setting| setting.upstream = port);
    }

    /// How bytes go in one direction from now on.
    ///
    /// # Panics
    /// When they are limited to 0 bytes a second, which is [`Flow::Held`].
    #[track_caller]
    pub fn set(&self, direction: Direction, flow: Flow) {
        assert_ne!(flow, Flow::Limited(0), "0 bytes a second are Flow::Held");
        self.shared.counters().limited_until[direction as usize] = None;
        self.shared.setting.send_modify(|setting| setting.flows[direction as usize] = flow);
    }

    /// How bytes go in both directions from now on.
    ///
    /// # Panics
    /// As [`FaultProxy::set`].
    #[track_caller]
    pub fn set_both(&self, flow: Flow) {
        self.set(Direction::ToServer, flow);
        self.set(Direction::ToClient, flow);
    }

    /// Whether new connections are reset as soon as they are accepted.
    pub fn refuse(&self, refuse: bool) {
        self.shared.setting.send_modify(|setting| setting.refuse = refuse);
    }

    /// Closes all connections, on both sides.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Resets (RST) the connection, on both sides, over which the `bytes`-th byte from now on passes in that direction, right behind
    /// it. Once.
    pub fn reset_after(&self, direction: Direction, bytes: u64) {
        self.shared.counters().until_reset[direction as usize] = Some(bytes);
    }

    /// How many connections were accepted so far, without those that were refused.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.counters().accepted
    }

    /// How many connections were refused so far, also since the server could not be reached.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.counters().refused
    }

    /// How many connections are open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.shared.counters().open
    }

    /// How many connections [`reset_after`](Self::reset_after) has reset.
    #[must_use]
    pub fn resets(&self) -> u64 {
        self.shared.counters().resets
    }

    /// How many bytes were passed on so far in that direction.
    #[must_use]
    pub fn passed(&self, direction: Direction) -> u64 {
        self.shared.counters().passed[direction as usize]
    }

    /// Waits until a condition on the proxy holds; it is looked at whenever one of the numbers above changes.
    ///
    /// # Panics
    /// When it does not hold within `deadline`; `what` is in the message.
    #[track_caller]
    pub fn wait_until(&self, what: &str, deadline: Duration, mut condition: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + deadline;
        let mut version = self.shared.counters();
        loop {
            drop(version);
            if condition(self) {
                return;
            }
            version = self.shared.counters();
            // What changed between the look and here wakes nobody: look again soon in any case.
            let left = end.saturating_duration_since(Instant::now()).min(Duration::from_millis(20));
            assert!(!left.is_zero(), "waited {deadline:?} in vain for: {what}; {version:?}");
            (version, _) = self.shared.changed.wait_timeout(version, left).unwrap();
        }
    }

    /// Waits until `bytes` more were passed on in that direction.
    ///
    /// # Panics
    /// When they were not within `deadline`.
    #[track_caller]
    pub fn wait_for_bytes(&self, direction: Direction, bytes: u64, deadline: Duration) {
        let goal = self.passed(direction) + bytes;
        self.wait_until("bytes to pass", deadline, |proxy| proxy.passed(direction) >= goal);
    }

    /// Waits until `connections` more were accepted.
    ///
    /// # Panics
    /// When they were not within `deadline`.
    #[track_caller]
    pub fn wait_for_connections(&self, connections: u64, deadline: Duration) {
        let goal = self.accepted() + connections;
        self.wait_until("connections", deadline, |proxy| proxy.accepted() >= goal);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.setting.send_modify(|setting| setting.end = true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the fault proxy has panicked");
        }
    }
}

impl Shared {
    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap()
    }

    fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.counters());
        self.changed.notify_all();
    }
}

/// Accepts connections until the proxy is dropped; those that are open end with the runtime.
async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut setting = shared.setting.subscribe();
    loop {
        let accepted = tokio::select! {
            Ok(_) = setting.wait_for(|setting| setting.end) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((client, _)) = accepted else { continue };
        // Those that are cut from here on include this one, also while it is being connected.
        let cuts = shared.cuts.subscribe();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let Setting { upstream, refuse, .. } = *shared.setting.borrow();
            match TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await {
                Ok(server) if !refuse => connection::run(client, server, cuts, &shared).await,
                _ => {
                    let _ = client.set_zero_linger();
                    drop(client);
                    shared.count(|counters| counters.refused += 1);
                }
            }
        });
    }
}
