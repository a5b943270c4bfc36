//! Finding the way back to a source whose link broke.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Locator;
use super::replica::Tail;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::net::{Connection, info_field, shortened};
use crate::record::ReplicationId;
use crate::replica::{Acknowledged, LinkConfig, ReplicaLink, Resume, Sync};

/// For how long, and how often, a source whose link broke is looked for.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconnect {
    /// After so long without a link the run ends with an error. Zero: at once. Default: 5 minutes, since a cluster with the
    /// default `cluster-node-timeout` of 15 s takes half a minute to fail over, and a big server minutes to start.
    pub within: Duration,
    /// The pause before the second attempt; it doubles with each. Default: 50 ms.
    pub pause: Duration,
    /// The longest pause. Each is shortened at random by up to a half, so that many shards do not come all at once.
    /// Default: 2 s.
    pub longest_pause: Duration,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(300),
            pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(2),
        }
    }
}

impl Reconnect {
    /// Sets [`within`](Self::within).
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Sets [`pause`](Self::pause).
    #[must_use]
    pub fn pause(mut self, time: Duration) -> Self {
        self.pause = time;
        self
    }

    /// Sets [`longest_pause`](Self::longest_pause).
    #[must_use]
    pub fn longest_pause(mut self, time: Duration) -> Self {
        self.longest_pause = time;
        self
    }
}

/// One attempt may take so long: the node may have died again, and another be primary by then.
const ATTEMPT: Duration = Duration::from_secs(15);
/// A node that says that it is not ready is asked for so long in one attempt. It may be the wrong one.
const READY: Duration = Duration::from_secs(1);

/// Where a source may go on.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) replid: ReplicationId,
    /// What was read: up to the last whole command, or to the last byte if that is in a spool.
    pub(super) read: u64,
    pub(super) passed_on: PassedOn,
}

/// Behind the last command that was passed on: what came after it was for the link alone, such as `PING`. A primary that was
/// demoted goes on sending that for a while, and its successor does not have it.
#[derive(Debug, Clone)]
pub(super) enum PassedOn {
    Here(Place),
    /// Or that will be, once it was read.
    InSpool(Tail),
}

/// A place in the stream, and the database that is selected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) db: u32,
}

/// A link that goes on.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) link: ReplicaLink,
    /// The name of the history now: a promoted primary has given it a new one.
    pub(super) replid: ReplicationId,
    /// Where it goes on, if that is before what was read.
    pub(super) rewound: Option<Place>,
}

/// A search under way, in a task of its own: whoever waits for it may stop waiting and come back.
#[derive(Debug)]
pub(super) struct Reconnecting(JoinSet<Result<Back>>);

impl Reconnecting {
    /// Starts to [`search`].
    pub(super) fn start(seeker: Seeker, places: Places, how: Reconnect) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { seeker.search(&places, how).await });
        Self(tasks)
    }

    /// The new link, once it is there. Cancel safe.
    pub(super) async fn done(&mut self) -> Result<Back> {
        match self.0.join_next().await {
            Some(Ok(result)) => result,
            // The task neither panics nor is it aborted while somebody waits, and gives its result once.
            _ => Err(Error::new(ErrorKind::Disconnected, "the search for the source ended")),
        }
    }
}

/// What is needed to find a source.
#[derive(Debug, Clone)]
pub(super) struct Seeker {
    pub(super) locator: Locator,
    pub(super) link: LinkConfig,
    pub(super) ack: Acknowledged,
}

impl Seeker {
    /// Looks for a link that goes on at one of `places`, for as long as `how` says.
    pub(super) async fn search(&self, places: &Places, how: Reconnect) -> Result<Back> {
        let started = Instant::now();
        let mut pause = how.pause;
        // Only for the handshake; what is read has the deadlines that the caller set.
        let ready = self.link.deadlines.ready.min(READY);
        loop {
            let attempt = tokio::time::timeout(ATTEMPT, self.attempt(places, ready)).await;
            let error = match attempt {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(error)) if error.retry() != Retry::Resume => return Err(error),
                Ok(Err(error)) => error,
                Err(_) => {
                    let text = format!("no link to {} within {ATTEMPT:?}", self.locator.name());
                    Error::new(ErrorKind::Timeout, text)
                }
            };
            tracing::debug!(%error, "the source cannot be reached yet");
            let next = shortened(pause);
            if started.elapsed() + next >= how.within {
                let text = format!("{} could not be reached again within {:?}", self.locator.name(), how.within);
                return Err(Error::new(error.kind(), text).with_source(error));
            }
            tokio::time::sleep(next).await;
            pause = (pause * 2).min(how.longest_pause);
        }
    }

    /// Tries once; a server that is not ready is asked for as long as `ready`.
    ///
    /// # Errors
    /// [`HistoryLost`](ErrorKind::HistoryLost), with the reason; whatever keeps a link from being opened.
    pub(super) async fn attempt(&self, places: &Places, ready: Duration) -> Result<Back> {
        let address = self.locator.locate().await?;
        let deadlines = self.link.deadlines.ready(ready);
        let info = match Connection::open(&address, deadlines).await?.info("replication").await {
            Err(error) if error.retry() == Retry::Resume => return Err(error),
            // A user that may not ask is told less if it goes wrong.
            info => info.unwrap_or_default(),
        };
        let history = History::of(&info, places.replid);
        let rewound = match history.end {
            Some(end) if places.read >= end => {
                places.passed_on.find(history.renamed).await?.filter(|place| place.offset < end)
            }
            _ => None,
        };
        let offset = rewound.map_or(places.read, |place| place.offset);
        let after = Resume::After { replid: places.replid, offset };
        let link = ReplicaLink::open_with(&address, self.link.deadlines(deadlines), after, self.ack.clone()).await?;
        if let Sync::Continue { replid } = link.sync() {
            tracing::info!(%address, sync = ?link.sync(), offset, "the source goes on");
            return Ok(Back { link, replid, rewound });
        }
        drop(link);
        let text = format!("the source cannot go on where reading ended: {}", history.explain(places.replid, offset));
        Err(Error::new(ErrorKind::HistoryLost, text).at(address))
    }
}

impl PassedOn {
    /// The place, if it can be told. `renamed`: the history goes on under another name.
    async fn find(&self, renamed: bool) -> Result<Option<Place>> {
        match self {
            Self::Here(place) => Ok(Some(*place)),
            // Without another name nobody could tell later which bytes a position means.
            Self::InSpool(tail) if renamed => tail.passed_on().await,
            Self::InSpool(_) => Ok(None),
        }
    }
}

/// What a node says about a history.
#[derive(Debug, Default)]
struct History {
    /// The first offset that it does not have; `None` if it does not know the history.
    end: Option<u64>,
    /// It is the name that the history had before a promotion.
    renamed: bool,
    /// The first offset that is in its backlog, if it has one.
    backlog: Option<u64>,
    told: bool,
}

impl History {
    fn of(info: &str, replid: ReplicationId) -> Self {
        let field = |name| info_field(info, name).unwrap_or_default();
        let number = |name| field(name).parse::<u64>().ok();
        let named = |name| field(name).eq_ignore_ascii_case(replid.as_str());
        let renamed = !named("master_replid") && named("master_replid2");
        let end = if named("master_replid") {
            number("master_repl_offset").map(|offset| offset + 1)
        } else if renamed {
            number("second_repl_offset")
        } else {
            None
        };
        let backlog = number("repl_backlog_first_byte_offset").filter(|_| field("repl_backlog_active") == "1");
        Self { end, renamed, backlog, told: !field("master_replid").is_empty() }
    }

    /// Why it does not go on behind `offset`.
    fn explain(&self, replid: ReplicationId, offset: u64) -> String {
        match (self.end, self.backlog) {
            // Before 4.0 a history has no other name than the process's.
            _ if !self.told => format!("it does not go on behind offset {offset} of the history {replid}"),
            (None, _) => format!(
                "it does not know the history {replid} (it was restarted without its data, was given other data, or is no \
                 successor of the former primary)"
            ),
            (Some(end), _) if offset >= end => format!(
                "it lacks {} bytes that were read from the former primary, up to offset {offset}: they were lost with it",
                offset + 1 - end
            ),
            (_, None) => "it keeps no backlog (repl-backlog-size, repl-backlog-ttl)".to_owned(),
            (_, Some(first)) => format!(
                "what follows offset {offset} is not in its backlog any more, which starts at {first} (repl-backlog-size)"
            ),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ID: &str = "4c1b873d2c85f0b3c32321aee14c7ef5363543d4";

    #[test]
    fn a_lost_history_is_explained() {
        let other = "a".repeat(40);
        let info = |id: &str, id2: &str, offset: i64, second: i64, first: i64| {
            format!(
                "# Replication\r\nrole:master\r\nmaster_replid:{id}\r\nmaster_replid2:{id2}\r\nmaster_repl_offset:{offset}\r\n\
                 second_repl_offset:{second}\r\nrepl_backlog_active:1\r\nrepl_backlog_first_byte_offset:{first}\r\n"
            )
        };
        for (info, expected) in [
            (info(&other, &other, 500, -1, 1), "does not know the history"),
            (info(&other, ID, 500, 91, 1), "lacks 10 bytes"),
            (info(ID, &other, 90, -1, 1), "lacks 10 bytes"),
            (info(ID, &other, 500, -1, 200), "starts at 200"),
            (info(&other, ID, 500, 101, 200), "starts at 200"),
            (String::new(), "does not go on behind offset 100"),
        ] {
            let text = History::of(&info, ID.parse().unwrap()).explain(ID.parse().unwrap(), 100);
            assert!(text.contains(expected), "{text}");
        }
    }
}
