//! How long is waited.

use std::time::Duration;

/// How long to wait for what.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For name look-up and TCP connection together. Default: 5 s.
    pub connect: Duration,
    /// For the whole reply to one command, or for any progress of a transfer. Default: 60 s, as `repl-timeout` of the servers;
    /// a target that runs one long command is silent for that time.
    pub reply: Duration,
    /// How long a server that is loading, or whose own primary link is down, is asked again before that is an error.
    /// Default: 60 s.
    pub ready: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), reply: Duration::from_secs(60), ready: Duration::from_secs(60) }
    }
}

impl Deadlines {
    /// Sets [`connect`](Self::connect).
    #[must_use]
    pub fn connect(mut self, time: Duration) -> Self {
        self.connect = time;
        self
    }

    /// Sets [`reply`](Self::reply).
    #[must_use]
    pub fn reply(mut self, time: Duration) -> Self {
        self.reply = time;
        self
    }

    /// Sets [`ready`](Self::ready).
    #[must_use]
    pub fn ready(mut self, time: Duration) -> Self {
        self.ready = time;
        self
    }
}
