//! Where a source begins: with a full copy, or where a run before has ended.

use tokio::task::JoinSet;

use super::feeder::{Feeder, next_history};
use super::input::Input;
use super::tail::Tail;
use super::turn::{Permit, Turn};
use super::{Durable, ReplicaOptions, ReplicaSource, SourceNode, State};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Position, ReplicationId};
use crate::replica::{Acknowledged, Framing, ReplicaLink, Resume, Sync};
use crate::source::Locator;
use crate::source::reconnect::{Back, PassedOn, Place, Places, Seeker};
use crate::source::snapshot::Snapshot;
use crate::spool::{At, Beginning, Consumer, Contents, Found, Located, Writer, blocking};
use crate::translate::{SnapshotTranslator, Target};

/// Makes a source.
pub(crate) struct Opening {
    seeker: Seeker,
    node: SourceNode,
    target: Target,
    options: ReplicaOptions,
    /// Of a fleet: whose turn it is to be copied.
    turn: Option<Turn>,
}

/// Where reading begins.
struct Start {
    replid: ReplicationId,
    offset: u64,
    snapshot: Option<Begun>,
    db: u32,
}

/// Of a snapshot: how it ends, where it is read from, and how much of it was passed on by a run before.
struct Begun {
    framing: Framing,
    beginning: Beginning,
    skip_to: u64,
}

impl Start {
    fn snapshot(replid: ReplicationId, offset: u64, begun: Begun) -> Self {
        Self { replid, offset, snapshot: Some(begun), db: 0 }
    }

    fn stream(replid: ReplicationId, offset: u64, db: u32) -> Self {
        Self { replid, offset, snapshot: None, db }
    }
}

impl Opening {
    /// Finds the node.
    pub(crate) async fn new(locator: Locator, target: Target, options: ReplicaOptions) -> Result<Self> {
        let address = locator.locate().await?;
        let node = SourceNode::new(locator.clone(), address, options.link.deadlines);
        let seeker = Seeker { locator, link: options.link, ack: Acknowledged::default() };
        Ok(Self { seeker, node, target, options, turn: None })
    }

    /// Waits for this turn before a full copy.
    pub(crate) fn in_turn(mut self, turn: Turn) -> Self {
        self.turn = Some(turn);
        self
    }

    /// The node that will be read from.
    pub(crate) fn node(&self) -> SourceNode {
        self.node.clone()
    }

    /// Begins as `durable` says.
    pub(crate) async fn run(self, durable: Durable) -> Result<ReplicaSource> {
        if self.options.snapshot_only && durable.resumed.is_some_and(|position| position.is_stream()) {
            return self.over(durable.resumed);
        }
        let Some((directory, options)) = &durable.spool else {
            return match durable.resumed {
                None => self.full_copy(None).await,
                Some(Position::Stream { replid, offset, db }) => self.go_on(replid, offset, db, None).await,
                Some(Position::Snapshot { .. }) => Err(not_kept("the run kept no spool")),
            };
        };
        let found = Found::open(directory, *options).await?;
        match durable.resumed {
            None if found.has_snapshot() => match self.spooled_snapshot(found, Beginning::default(), 0).await {
                // The target holds nothing yet: it costs no more to begin anew.
                Err(error) if error.kind() == ErrorKind::HistoryLost => {
                    tracing::warn!(%error, "the snapshot in the spool is of no use any more; it is copied again");
                    let found = Found::open(directory, *options).await?;
                    self.full_copy(Some(found)).await
                }
                source => source,
            },
            None => {
                if let (Some(_), Some(end)) = (found.contents(), found.end()) {
                    tracing::info!(%end, "the target holds nothing, and the spool no whole snapshot: it is emptied");
                }
                self.full_copy(Some(found)).await
            }
            Some(Position::Stream { replid, offset, db }) => match found.find(&Position::stream(replid, offset, db)) {
                Some(located) => self.spooled_stream(found, located).await,
                None => self.go_on(replid, offset, db, Some(found)).await,
            },
            Some(position @ Position::Snapshot { rdb_bytes, .. }) => {
                let Some(beginning) = found.snapshot_from(&position, rdb_bytes) else {
                    return Err(not_kept("the rest of its snapshot is not whole in the spool"));
                };
                self.spooled_snapshot(found, beginning, rdb_bytes).await
            }
        }
    }

    /// A full copy, through the spool if there is one.
    async fn full_copy(&self, found: Option<Found>) -> Result<ReplicaSource> {
        let mut permit = None;
        if let Some(turn) = &self.turn {
            permit = turn.take(&self.node.address().host).await?;
        }
        let address = self.node.address();
        let ack = self.seeker.ack.clone();
        let link = ReplicaLink::open_with(&address, self.options.link, Resume::FullCopy, ack).await?;
        let (Sync::Full { replid, offset }, Some(framing)) = (link.sync(), link.framing()) else {
            return Err(Error::protocol("asked for a full copy, got none").at(address));
        };
        let start = Start::snapshot(replid, offset, Begun { framing, beginning: Beginning::default(), skip_to: 0 });
        let Some(found) = found else {
            let mut source = self.source(start, Input::link(link))?;
            source.permit = permit;
            return Ok(source);
        };
        let (writer, consumer) = found.begin(Contents::full(replid, offset, framing)).await?;
        self.source(start, self.fed(writer, consumer, Some(link), permit))
    }

    /// Behind `offset`, which the spool, if there is one, does not hold.
    async fn go_on(&self, replid: ReplicationId, offset: u64, db: u32, found: Option<Found>) -> Result<ReplicaSource> {
        let place = Place { offset, db };
        let back = self.continued(replid, offset, place, PassedOn::Here(place)).await?;
        let Some(found) = found else {
            return self.source(Start::stream(back.replid, offset, db), Input::link(back.link));
        };
        let (mut writer, consumer) = found.begin(Contents::stream(replid, offset)).await?;
        consumer.shared().set_passed_on(offset, db);
        if let Some(history) = next_history(replid, offset, back.replid, None) {
            writer = blocking(move || writer.rename(history).map(|()| writer)).await?;
        }
        self.source(Start::stream(replid, offset, db), self.fed(writer, consumer, Some(back.link), None))
    }

    /// What the spool holds from `located` on, and what follows it.
    async fn spooled_stream(&self, found: Found, located: Located) -> Result<ReplicaSource> {
        let Located { at, replid, db } = located;
        let At::Stream(offset) = at else { return Err(not_kept("its position is in the snapshot")) };
        let (writer, consumer) = found.go_on(at).await?;
        let (writer, link) = self.follow(writer, &consumer, Place { offset, db }).await?;
        self.source(Start::stream(replid, offset, db), self.fed(writer, consumer, Some(link), None))
    }

    /// The snapshot in the spool from `beginning` on, whose first `skip_to` bytes were passed on, and what follows it.
    async fn spooled_snapshot(&self, found: Found, beginning: Beginning, skip_to: u64) -> Result<ReplicaSource> {
        let Some((first, framing)) = found.contents().and_then(|held| Some((held.first(), held.framing?))) else {
            return Err(not_kept("there is no snapshot in the spool"));
        };
        let at = beginning.at();
        tracing::info!(replid = %first.replid, offset = first.from, %at, skip_to, "going on with the snapshot in the spool");
        let (mut writer, consumer) = found.go_on(at).await?;
        let mut link = None;
        if !self.options.snapshot_only {
            let place = Place { offset: first.from, db: 0 };
            let followed = self.follow(writer, &consumer, place).await?;
            (writer, link) = (followed.0, Some(followed.1));
        }
        let start = Start::snapshot(first.replid, first.from, Begun { framing, beginning, skip_to });
        self.source(start, self.fed(writer, consumer, link, None))
    }

    /// A link that goes on behind the spool.
    async fn follow(&self, mut writer: Writer, consumer: &Consumer, place: Place) -> Result<(Writer, ReplicaLink)> {
        consumer.shared().set_passed_on(place.offset, place.db);
        let replid = writer.contents().last().replid;
        let At::Stream(end) = consumer.shared().end() else {
            return Err(not_kept("its snapshot is not whole in the spool"));
        };
        let back = self.continued(replid, end, place, PassedOn::InSpool(self.tail(consumer))).await?;
        if let Some(history) = next_history(replid, end, back.replid, back.rewound) {
            writer = blocking(move || writer.rename(history).map(|()| writer)).await?;
        }
        Ok((writer, back.link))
    }

    async fn continued(&self, replid: ReplicationId, read: u64, applied: Place, passed_on: PassedOn) -> Result<Back> {
        if replid.is_none() {
            let text = "a source that only knows SYNC counts no offsets: its stream cannot be gone on with";
            return Err(Error::new(ErrorKind::HistoryLost, text).at(self.node.address()));
        }
        self.seeker.ack.set(applied.offset);
        let places = Places { replid, read, passed_on };
        let back = self.seeker.attempt(&places, self.options.link.deadlines.ready).await?;
        self.node.set_address(back.link.address());
        Ok(back)
    }

    fn tail(&self, consumer: &Consumer) -> Tail {
        Tail { shared: consumer.shared().clone(), target: self.target, options: self.options.translate.clone() }
    }

    /// A spool that is filled from `link`, or not at all.
    fn fed(&self, writer: Writer, consumer: Consumer, link: Option<ReplicaLink>, permit: Option<Permit>) -> Input {
        let mut tasks = JoinSet::new();
        if let Some(link) = link {
            let feeder = Feeder {
                link,
                seeker: self.seeker.clone(),
                reconnect: self.options.reconnect,
                node: self.node.clone(),
                tail: self.tail(&consumer),
                snapshot_only: self.options.snapshot_only,
                permit,
            };
            tasks.spawn(feeder.run(writer));
        }
        Input::Spool { consumer, _feeder: tasks }
    }

    /// Nothing is left to be done.
    fn over(&self, position: Option<Position>) -> Result<ReplicaSource> {
        let position = position.unwrap_or(Position::stream(ReplicationId::NONE, 0, 0));
        let start = Start::stream(position.replid(), position.offset(), 0);
        let mut source = self.source(start, Input::None)?;
        source.state = State::Over;
        Ok(source)
    }

    fn source(&self, start: Start, input: Input) -> Result<ReplicaSource> {
        let place = Place { offset: start.offset, db: start.db };
        let from = (self.seeker.clone(), self.node.clone(), input);
        let mut source = ReplicaSource::at(place, start.replid, self.target, self.options.clone(), from);
        match start.snapshot {
            Some(Begun { framing, beginning, skip_to }) => {
                let translator = SnapshotTranslator::new(self.target, self.options.translate.clone());
                let snapshot = match &beginning.point {
                    None => Snapshot::new(translator, self.options.validate),
                    Some(point) => Snapshot::resume(translator, self.options.validate, point)?,
                };
                let snapshot = Box::new(snapshot.skip_to(skip_to).points_every(source.input.points_every()));
                source.framing = Some(framing);
                source.state = State::Snapshot { snapshot, framing };
            }
            None => {
                source.state = State::stream(&source, start.db);
                // The first batch says where this is, though nothing may be written for long.
                source.moved = true;
            }
        }
        Ok(source)
    }
}

fn not_kept(why: &str) -> Error {
    let text = format!("the run before ended while the snapshot was copied, and {why}: it has to be copied again");
    Error::new(ErrorKind::HistoryLost, text)
}
