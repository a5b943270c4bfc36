//! How a [`ProxySink`](super::ProxySink) behaves.

use rdts_core::net::Deadlines;
use rdts_core::translate::Target;

use crate::impossible::OnImpossible;

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
    /// What to do with what the proxy does not pass on. Default: [`OnImpossible::Stop`].
    pub on_impossible: OnImpossible,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            deadlines: Deadlines::default(),
            connections: 4,
            window: 1 << 20,
            target: None,
            on_impossible: OnImpossible::Stop,
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

    /// Sets [`on_impossible`](Self::on_impossible).
    #[must_use]
    pub fn on_impossible(mut self, policy: OnImpossible) -> Self {
        self.on_impossible = policy;
        self
    }
}
