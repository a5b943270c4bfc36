//! Whether a source can bear to be copied, and bears it: its limits on replicas, its backlog, its memory.
//!
//! A server cuts a replica off that does not keep up, and forgets soon what it has sent; copying begins again from nothing then. What there
//! is to see of that in advance, and while it comes nearer, is said here with numbers and a remedy. Nothing is ever changed in a source.

mod facts;

use std::fmt;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::net::Connection;
use crate::source::SourceNode;

pub use facts::{OutputBuffer, ReplicaBuffer, SourceFacts};

/// Something that can break a copy, or make the source suffer from it.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// What it is about.
    pub about: About,
    /// What was seen, with numbers.
    pub seen: String,
    /// What an operator can do.
    pub remedy: String,
}

/// What a [`Concern`] is about.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum About {
    /// `client-output-buffer-limit`: the source cuts a replica off that has so much still to get.
    OutputBuffer,
    /// `repl-backlog-size`: after an interruption that wrote more than that, only a full copy helps.
    Backlog,
    /// `repl-timeout`: the source cuts a replica off that was silent for so long.
    Timeout,
    /// Making a snapshot: one is under way, or the last one made clients wait.
    Snapshot,
    /// The memory that a snapshot may need beside the data.
    Memory,
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.seen, self.remedy)
    }
}

/// A full copy is assumed to take at least a second for so many bytes of the source's memory: what a server writes of a snapshot on one
/// core, with common hardware and network.
const SNAPSHOT_RATE: u64 = 100 << 20;
/// An interruption that the backlog should bear.
const INTERRUPTION: u64 = 60;
/// A source that gives a replica less time takes a short pause of a machine for its end.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A fork that keeps clients waiting for longer is worth saying.
const LONG_FORK: Duration = Duration::from_secs(1);

impl SourceFacts {
    /// What to think of before a full copy is started.
    pub fn before_copy(&self) -> Vec<Concern> {
        let mut concerns = Vec::new();
        let mut concern = |about, seen: String, remedy: String| concerns.push(Concern { about, seen, remedy });
        let rate = self.input_rate;
        let seconds = self.used_memory / SNAPSHOT_RATE + 1;
        let meanwhile = rate.saturating_mul(seconds);
        if let Some(limit) = self.output_buffer {
            let bound = limit.within(Duration::from_secs(seconds));
            if bound.is_some_and(|bound| meanwhile > bound / 2) {
                let seen = format!(
                    "clients write {}/s, and a copy of {} takes at least {seconds} s: {} will wait in the source for it, which allows a replica {limit}",
                    Bytes(rate),
                    Bytes(self.used_memory),
                    Bytes(meanwhile),
                );
                let enough = meanwhile.saturating_mul(4).max(256 << 20) >> 20;
                let remedy = format!(
                    "CONFIG SET client-output-buffer-limit \"slave {enough}mb {enough}mb 0\" at the source, or copy when less is written"
                );
                concern(About::OutputBuffer, seen, remedy);
            }
        }
        if let Some(backlog) = self.backlog
            && rate.saturating_mul(INTERRUPTION) > backlog
        {
            let seen = format!(
                "clients write {}/s, and the backlog holds {}: after an interruption of more than {} s the copy cannot go on",
                Bytes(rate),
                Bytes(backlog),
                backlog / rate.max(1),
            );
            let enough = (rate.saturating_mul(INTERRUPTION * 4) >> 20) + 1;
            concern(About::Backlog, seen, format!("CONFIG SET repl-backlog-size {enough}mb at the source"));
        }
        if let Some(timeout) = self.repl_timeout.filter(|timeout| *timeout < SHORTEST_TIMEOUT) {
            let seen = format!("the source cuts off a replica that is silent for {} s", timeout.as_secs());
            concern(About::Timeout, seen, "CONFIG SET repl-timeout 60 at the source".to_owned());
        }
        if self.saving {
            let seen = "the source is writing a snapshot or its AOF anew: the copy waits for that".to_owned();
            concern(About::Snapshot, seen, "start when that is over, if the source is short of memory".to_owned());
        }
        if self.last_fork > LONG_FORK {
            let seen = format!(
                "clients of the source waited {:.1} s when its last snapshot began",
                self.last_fork.as_secs_f64()
            );
            concern(About::Snapshot, seen, "copy from one of its replicas, or when few clients are there".to_owned());
        }
        if let Some(system) = self.system_memory
            && self.used_memory > system / 2
        {
            let seen = format!(
                "the source uses {} of the {} that its machine has: what is written while a snapshot is made needs memory twice",
                Bytes(self.used_memory),
                Bytes(system)
            );
            concern(About::Memory, seen, "copy from one of its replicas, or when less is written".to_owned());
        }
        concerns
    }

    /// What to think of while the source is being copied.
    pub fn while_copying(&self) -> Vec<Concern> {
        let fullest = self.replicas.iter().max_by_key(|replica| replica.waiting);
        let (Some(replica), Some(limit)) = (fullest, self.output_buffer) else { return Vec::new() };
        let Some(bound) = limit.within(Duration::MAX).filter(|bound| replica.waiting > bound / 2) else {
            return Vec::new();
        };
        let seen = format!(
            "{} wait in the source for its replica at {}, which is cut off at {limit}",
            Bytes(replica.waiting),
            replica.address,
        );
        let remedy = format!(
            "CONFIG SET client-output-buffer-limit \"slave {0}mb {0}mb 0\" at the source, have less written, or give the copy a spool",
            bound.saturating_mul(4) >> 20
        );
        vec![Concern { about: About::OutputBuffer, seen, remedy }]
    }
}

/// How often a source is looked at while it is being copied.
const PERIOD: Duration = Duration::from_secs(5);

/// Looks at a source as long as this lives, and logs a warning (`tracing`) when something becomes a concern.
#[derive(Debug)]
pub struct Watch {
    _tasks: JoinSet<()>,
}

impl Watch {
    /// Starts to look at `nodes`. Must be called within a tokio runtime.
    pub fn start(nodes: impl IntoIterator<Item = SourceNode>) -> Self {
        let mut tasks = JoinSet::new();
        for node in nodes {
            tasks.spawn(look(node));
        }
        Self { _tasks: tasks }
    }
}

async fn look(node: SourceNode) {
    let mut connection: Option<Connection> = None;
    let mut known: Vec<About> = Vec::new();
    loop {
        tokio::time::sleep(PERIOD).await;
        // A node that cannot be asked is looked for by the source itself, which says so.
        if connection.as_ref().is_none_or(|open| *open.address() != node.address()) {
            connection = node.connect().await.ok();
        }
        let Some(open) = &mut connection else { continue };
        let Ok(facts) = SourceFacts::ask(open).await else {
            connection = None;
            continue;
        };
        let concerns = facts.while_copying();
        for concern in concerns.iter().filter(|concern| !known.contains(&concern.about)) {
            tracing::warn!(source = %open.address(), "{concern}");
        }
        known = concerns.iter().map(|concern| concern.about).collect();
    }
}

/// A number of bytes, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.iter().find(|(bits, _)| self.0 >> bits > 0) {
            Some((bits, unit)) => write!(f, "{:.1} {unit}", self.0 as f64 / (1u64 << bits) as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calm() -> SourceFacts {
        SourceFacts {
            output_buffer: Some(OutputBuffer { hard: 256 << 20, soft: 64 << 20, soft_time: Duration::from_secs(60) }),
            backlog: Some(1 << 20),
            repl_timeout: Some(Duration::from_secs(60)),
            input_rate: 10 << 10,
            used_memory: 1 << 30,
            system_memory: Some(16 << 30),
            ..SourceFacts::default()
        }
    }

    fn about(facts: &SourceFacts) -> Vec<About> {
        facts.before_copy().iter().map(|concern| concern.about).collect()
    }

    #[test]
    fn a_calm_source_is_no_concern() {
        assert_eq!(about(&calm()), []);
        assert_eq!(about(&SourceFacts::default()), []);
    }

    #[test]
    fn each_limit_is_seen_before_it_is_reached() {
        // 7 GiB take 72 s; at 2 MiB/s more than the 64 MiB wait for longer than the 60 s.
        let busy = SourceFacts { input_rate: 2 << 20, used_memory: 7 << 30, backlog: Some(1 << 30), ..calm() };
        assert_eq!(about(&busy), [About::OutputBuffer]);
        let unlimited = OutputBuffer { hard: 0, soft: 0, soft_time: Duration::ZERO };
        assert_eq!(about(&SourceFacts { output_buffer: Some(unlimited), ..busy }), []);
        assert_eq!(about(&SourceFacts { input_rate: 20 << 10, ..calm() }), [About::Backlog]);
        assert_eq!(about(&SourceFacts { repl_timeout: Some(Duration::from_secs(5)), ..calm() }), [About::Timeout]);
        assert_eq!(about(&SourceFacts { saving: true, ..calm() }), [About::Snapshot]);
        assert_eq!(about(&SourceFacts { last_fork: Duration::from_secs(2), ..calm() }), [About::Snapshot]);
        assert_eq!(about(&SourceFacts { system_memory: Some(3 << 29), ..calm() }), [About::Memory]);
    }

    #[test]
    fn a_replica_that_falls_behind_is_seen() {
        let replica = |waiting| ReplicaBuffer { address: "10.0.0.1:5000".to_owned(), waiting };
        let behind = |waiting| SourceFacts { replicas: vec![replica(1), replica(waiting)], ..calm() };
        assert_eq!(behind(30 << 20).while_copying(), []);
        let concerns = behind(40 << 20).while_copying();
        assert_eq!(concerns.len(), 1);
        assert!(concerns[0].to_string().starts_with("40.0 MiB wait in the source for its replica at 10.0.0.1:5000"));
    }
}
