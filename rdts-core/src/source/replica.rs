//! One node as a source: we are its replica.

mod feeder;
mod input;
mod node;
mod options;
mod resume;
mod snapshot;
mod stream;
mod tail;
mod turn;

use bytes::BytesMut;
use rdts_resp::CommandDecoder;
use tokio::task::JoinSet;

use super::reconnect::{Place, Seeker};
use super::snapshot::Snapshot;
use super::{BATCH, Locator, Source};
use crate::endpoint::NodeAddress;
use crate::error::Result;
use crate::failpoint;
use crate::ledger::Intake;
use crate::record::{Batch, BatchBuilder, Position, ReplicationId};
use crate::replica::{Acknowledged, Framing};
use crate::translate::{StreamTranslator, Target};

use input::Input;
pub use node::SourceNode;
pub use options::{Durable, ReplicaOptions};
pub(crate) use resume::Opening;
pub(super) use tail::Tail;
use turn::Permit;
pub(crate) use turn::{Turn, Turns};

/// A full copy of one node, and then its stream of writes, for as long as it lasts.
///
/// The node takes it for a replica. Its primary is told only what [`acknowledge`](Source::acknowledge) says is applied.
///
/// When the connection breaks while the stream is followed, the source asks its [`Locator`] where the node is now (a Sentinel or
/// a cluster may have promoted another one), connects again and goes on behind the last whole command or transaction, if the
/// node there has that history (`PSYNC`, with the second replication id that a promoted replica keeps).
/// [`Reconnect`](super::Reconnect) says for how long that is tried. While the snapshot is transferred, a break is an error.
///
/// With a [spool](crate::spool), everything is taken from the node as it comes, and written to the disk, however slowly it is read here; and
/// [`resume`](Self::resume) goes on where a run before has ended.
#[derive(Debug)]
pub struct ReplicaSource {
    input: Input,
    seeker: Seeker,
    node: SourceNode,
    _watch: JoinSet<()>,
    /// What the primary is told to be applied.
    ack: Acknowledged,
    /// To copy the snapshot, until it was read; with a spool the one who fills it has that.
    permit: Option<Permit>,
    /// Up to where the primary waits to hear that all is applied.
    wanted: Option<u64>,
    /// Behind the last command that is in no open transaction.
    boundary: Place,
    /// Behind the last of these that is in a batch.
    passed_on: Place,
    options: ReplicaOptions,
    target: Target,
    framing: Option<Framing>,
    buffer: BytesMut,
    /// When the last bytes in the buffer came from the source, in ms since 1970.
    arrived: u64,
    builder: BatchBuilder,
    intake: Intake,
    replid: ReplicationId,
    /// Of the stream: what has been taken from the buffer.
    offset: u64,
    /// Whether the position has moved since the last batch.
    moved: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Snapshot { snapshot: Box<Snapshot>, framing: Framing },
    Delimiter { delimiter: [u8; 40], rdb_bytes: u64 },
    Stream { decoder: CommandDecoder, translator: Box<StreamTranslator> },
    Over,
}

impl ReplicaSource {
    /// Becomes a replica of the node that `locator` finds (an address does as well), translating for `target`. Waits until its
    /// snapshot starts.
    ///
    /// # Errors
    /// As [`Locator::locate`] and [`ReplicaLink::open`](crate::replica::ReplicaLink::open). Nothing is tried again here.
    pub async fn open(locator: impl Into<Locator>, target: Target, options: ReplicaOptions) -> Result<Self> {
        Self::resume(locator, target, options, Durable::default()).await
    }

    /// The same, but goes on where a run before has ended, as `durable` says.
    ///
    /// | the target | the spool | what happens |
    /// |---|---|---|
    /// | holds nothing | a whole snapshot | it is read from its start, then what follows it; if the node cannot go on behind it, a new full copy |
    /// | holds nothing | anything else | a new full copy |
    /// | a part of a snapshot | all of it that the target lacks | it is read from the last point before that on, and what the target has is not given out again |
    /// | a part of a snapshot | anything else | [`HistoryLost`](crate::ErrorKind::HistoryLost): no server sends the rest of a snapshot |
    /// | is in the stream | reaches back to there | it is read from there on, then what follows it |
    /// | is in the stream | anything else | the node is asked for what follows (`PSYNC`) |
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`HistoryLost`](crate::ErrorKind::HistoryLost) if the node cannot go on: its backlog does not reach back
    /// that far, or it has another history. Nothing of what it offers instead is read. What is wrong with the spool is
    /// [`Spool`](crate::ErrorKind::Spool) or [`SpoolDamaged`](crate::ErrorKind::SpoolDamaged).
    pub async fn resume(
        locator: impl Into<Locator>,
        target: Target,
        options: ReplicaOptions,
        durable: Durable,
    ) -> Result<Self> {
        Opening::new(locator.into(), target, options).await?.run(durable).await
    }

    /// At a place of a stream, with nothing read.
    fn at(
        place: Place,
        replid: ReplicationId,
        target: Target,
        options: ReplicaOptions,
        from: (Seeker, SourceNode, Input),
    ) -> Self {
        let (seeker, node, input) = from;
        Self {
            input,
            ack: seeker.ack.clone(),
            _watch: node.watch(),
            seeker,
            node,
            permit: None,
            wanted: None,
            boundary: place,
            passed_on: place,
            options,
            target,
            framing: None,
            buffer: BytesMut::new(),
            arrived: 0,
            builder: BatchBuilder::new(BATCH + BATCH / 4),
            intake: Intake::default(),
            replid,
            offset: place.offset,
            moved: false,
            state: State::Over,
        }
    }

    /// The node that is read from now, or was last.
    pub fn address(&self) -> NodeAddress {
        self.node.address()
    }

    /// The same to ask elsewhere, while the source is being read.
    pub fn node(&self) -> SourceNode {
        self.node.clone()
    }

    /// Whether the primary counts offsets: one that only knows `SYNC` does not.
    pub fn has_offsets(&self) -> bool {
        !self.replid.is_none()
    }

    /// The length of the snapshot in bytes, if the primary announced it.
    pub fn snapshot_len(&self) -> Option<u64> {
        match self.framing {
            Some(Framing::Length(length)) => Some(length),
            _ => None,
        }
    }

    /// Makes what it can of the bytes that are there: a batch that is full or ends a phase, or `None` if more are needed.
    fn advance(&mut self) -> Result<Option<Batch>> {
        match &mut self.state {
            State::Snapshot { .. } => self.advance_snapshot(),
            State::Delimiter { .. } => self.advance_delimiter(),
            State::Stream { .. } => self.advance_stream(),
            State::Over => Ok(None),
        }
    }

    /// What has come together, when nothing more is there to go with it.
    fn take_partial(&mut self) -> Option<Batch> {
        match &self.state {
            State::Snapshot { snapshot, .. } if !self.builder.is_empty() => {
                let position = Position::snapshot(self.replid, self.offset, snapshot.offset());
                Some(self.builder.take(position))
            }
            State::Stream { .. } => self.take_stream(),
            _ => None,
        }
    }
}

impl Source for ReplicaSource {
    async fn next(&mut self) -> Result<Option<Batch>> {
        loop {
            let mut batch = self.advance().map_err(|error| error.at(self.node.address()))?;
            if batch.is_none() {
                if matches!(self.state, State::Over) {
                    return Ok(None);
                }
                if self.more()? {
                    continue;
                }
                // Nothing more is here yet: what there is should not wait for it.
                batch = self.take_partial();
            }
            if batch.is_some() {
                failpoint::hit("source.translated");
                return Ok(batch);
            }
            self.wait().await?;
        }
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<()> {
        let applied = position.offset();
        self.ack.set(applied);
        self.input.applied(position);
        if self.wanted.is_some_and(|wanted| applied >= wanted) {
            self.wanted = None;
            self.ack.tell();
        }
        Ok(())
    }

    fn intake(&self) -> Intake {
        let mut intake = self.intake;
        match &self.state {
            State::Snapshot { snapshot, .. } => intake += snapshot.intake(),
            State::Stream { translator, .. } => intake += translator.intake(),
            State::Delimiter { .. } | State::Over => {}
        }
        intake
    }
}
