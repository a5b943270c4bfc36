//! How a [`ProxySink`](super::ProxySink) behaves.

use rdts_core::net::Deadlines;
use rdts_core::translate::Target;

/// What to do with a command that a proxy does not pass on and that nothing it passes on can stand for: `FLUSHALL`, a script of several
/// keys, a command of a module.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnRefused {
    /// Stop in front of it.
    #[default]
    Stop,
    /// Leave it out, log it, and count it in [`ProxySink::refused`](super::ProxySink::refused): the target then differs from
    /// the source.
    Skip,
}

/// How a [`ProxySink`](super::ProxySink) behaves.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyOptions {
    /// How long to wait for what. [`Deadlines::reply`] is how long a proxy may be silent while it owes replies.
    pub deadlines: Deadlines,
    /// How many connections write, spread over the proxies; at least one to each. Default: 4.
    pub connections: u32,
    /// How many bytes of commands may be under way on one connection. Default: 1 MiB. Never more than 1000 commands: Codis cuts off whoever
    /// sends on without reading.
    pub window: u32,
    /// What the servers behind the proxy are, if that is known. Default: what [they say themselves](super::ProxySink::target).
    pub target: Option<Target>,
    /// What to do with what the proxy does not pass on. Default: [`OnRefused::Stop`].
    pub on_refused: OnRefused,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            deadlines: Deadlines::default(),
            connections: 4,
            window: 1 << 20,
            target: None,
            on_refused: OnRefused::Stop,
        }
    }
}

impl ProxyOptions {
    /// Sets [`deadlines`](Self::deadlines).
    #[must_use]
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// Sets [`connections`](Self::connections).
    #[must_use]
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    /// Sets [`window`](Self::window), in bytes.
    #[must_use]
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = bytes.max(1);
        self
    }

    /// Sets [`target`](Self::target).
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Sets [`on_refused`](Self::on_refused).
    #[must_use]
    pub fn on_refused(mut self, policy: OnRefused) -> Self {
        self.on_refused = policy;
        self
    }
}
