//! One node as a source: we are its replica.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rdts_resp::{CommandDecoder, Limits};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::reconnect::{Place, Places, Reconnect, Reconnecting};
use super::snapshot::{Snapshot, Step};
use super::{BATCH, Locator, Source};
use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::ledger::Skipped;
use crate::net::{Connection, Deadlines};
use crate::record::{Batch, BatchBuilder, Position, ReplicationId};
use crate::replica::{Framing, LinkConfig, ReplicaLink, Resume, Sync};
use crate::translate::{SnapshotTranslator, StreamTranslator, Target, TranslateOptions, Translated};

/// How a [`ReplicaSource`] behaves.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplicaOptions {
    /// The link.
    pub link: LinkConfig,
    /// The translation.
    pub translate: TranslateOptions,
    /// End with the snapshot. Default: go on with the stream.
    pub snapshot_only: bool,
    /// Walk through packed values before they are passed on. Default: no, since they come from a server that uses them.
    pub validate: bool,
    /// What happens when the connection breaks while the stream is followed.
    pub reconnect: Reconnect,
}

impl ReplicaOptions {
    /// Sets [`link`](Self::link).
    #[must_use]
    pub fn link(mut self, link: LinkConfig) -> Self {
        self.link = link;
        self
    }

    /// Sets [`translate`](Self::translate).
    #[must_use]
    pub fn translate(mut self, options: TranslateOptions) -> Self {
        self.translate = options;
        self
    }

    /// Sets [`snapshot_only`](Self::snapshot_only).
    #[must_use]
    pub fn snapshot_only(mut self, only: bool) -> Self {
        self.snapshot_only = only;
        self
    }

    /// Sets [`validate`](Self::validate).
    #[must_use]
    pub fn validate(mut self, validate: bool) -> Self {
        self.validate = validate;
        self
    }

    /// Sets [`reconnect`](Self::reconnect).
    #[must_use]
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }
}

/// A full copy of one node, and then its stream of writes, for as long as it lasts.
///
/// The node takes it for a replica. Its primary is told only what [`acknowledge`](Source::acknowledge) says is applied.
///
/// When the connection breaks while the stream is followed, the source asks its [`Locator`] where the node is now (a Sentinel or
/// a cluster may have promoted another one), connects again and goes on behind the last whole command or transaction, if the
/// node there has that history (`PSYNC`, with the second replication id that a promoted replica keeps). [`Reconnect`] says for
/// how long that is tried. While the snapshot is read, a break is an error.
#[derive(Debug)]
pub struct ReplicaSource {
    locator: Locator,
    link: ReplicaLink,
    node: SourceNode,
    _watch: JoinSet<()>,
    /// Up to where the primary waits to hear that all is applied.
    wanted: Option<u64>,
    /// Under way while the link is broken.
    reconnecting: Option<Reconnecting>,
    /// What is applied in the target.
    acknowledged: u64,
    /// Behind the last command that is in no open transaction.
    boundary: Place,
    /// Behind the last of these that is in a batch.
    passed_on: Place,
    options: ReplicaOptions,
    target: Target,
    buffer: BytesMut,
    builder: BatchBuilder,
    skipped: Skipped,
    replid: ReplicationId,
    /// Of the stream: what has been taken from the buffer.
    offset: u64,
    /// Whether the position has moved since the last batch.
    moved: bool,
    state: State,
}

/// The node that a [`ReplicaSource`] reads from, for whoever has something to ask it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SourceNode {
    locator: Locator,
    address: Arc<Mutex<NodeAddress>>,
    /// Says that the node to read from is another one now.
    moved: Arc<Notify>,
    deadlines: Deadlines,
}

impl SourceNode {
    /// Where it is now: another place after a promotion.
    pub fn address(&self) -> NodeAddress {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new connection to it.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn connect(&self) -> Result<Connection> {
        Connection::open(&self.address(), self.deadlines).await
    }

    /// Where the node is that should be read from now. If that is not where the source reads, the source goes there.
    ///
    /// # Errors
    /// As [`Locator::locate`].
    pub async fn locate(&self) -> Result<NodeAddress> {
        let found = self.locator.locate().await?;
        if found != self.address() {
            self.moved.notify_one();
        }
        Ok(found)
    }

    /// How far the stream of the node that should be read from is now, as the source's positions count.
    ///
    /// # Errors
    /// As [`locate`](Self::locate) and [`Connection::open`]; [`Unsupported`](ErrorKind::Unsupported) from a server that counts no
    /// offsets.
    pub async fn offset(&self) -> Result<u64> {
        let mut connection = Connection::open(&self.locate().await?, self.deadlines).await?;
        let info = connection.info("replication").await?;
        let offset = info.lines().find_map(|line| line.trim_end().strip_prefix("master_repl_offset:")?.parse().ok());
        offset.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "this server counts no replication offsets").at(connection.address())
        })
    }
}

/// Asks again and again whether the source still reads from the right node.
async fn keep_watch(node: SourceNode, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        // Who cannot be asked now will be asked again.
        let _ = node.locate().await;
    }
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
    /// As [`Locator::locate`] and [`ReplicaLink::open`]. Nothing is tried again here.
    pub async fn open(locator: impl Into<Locator>, target: Target, options: ReplicaOptions) -> Result<Self> {
        let locator = locator.into();
        let address = locator.locate().await?;
        let link = ReplicaLink::open(&address, options.link, Resume::FullCopy).await?;
        let (Sync::Full { replid, offset }, Some(framing)) = (link.sync(), link.framing()) else {
            return Err(Error::protocol("asked for a full copy, got none").at(address));
        };
        let snapshot = Box::new(Snapshot::new(SnapshotTranslator::new(target, options.translate), options.validate));
        let node = SourceNode {
            locator: locator.clone(),
            address: Arc::new(Mutex::new(address)),
            moved: Arc::default(),
            deadlines: options.link.deadlines,
        };
        let mut watch = JoinSet::new();
        if let Some(period) = locator.watch() {
            watch.spawn(keep_watch(node.clone(), period));
        }
        Ok(Self {
            locator,
            link,
            node,
            _watch: watch,
            wanted: None,
            reconnecting: None,
            acknowledged: offset,
            boundary: Place { offset, db: 0 },
            passed_on: Place { offset, db: 0 },
            options,
            target,
            buffer: BytesMut::new(),
            builder: BatchBuilder::new(BATCH + BATCH / 4),
            skipped: Skipped::default(),
            replid,
            offset,
            moved: false,
            state: State::Snapshot { snapshot, framing },
        })
    }

    /// The node that is read from now, or was last.
    pub fn address(&self) -> &NodeAddress {
        self.link.address()
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
        match self.link.framing() {
            Some(Framing::Length(length)) => Some(length),
            _ => None,
        }
    }

    /// Makes what it can of the bytes that are there: a batch that is full or ends a phase, or `None` if more are needed.
    fn advance(&mut self) -> Result<Option<Batch>> {
        match &mut self.state {
            State::Snapshot { .. } => self.advance_snapshot(),
            State::Delimiter { delimiter, rdb_bytes } => {
                if self.buffer.len() < delimiter.len() {
                    return Ok(None);
                }
                if !self.buffer.starts_with(delimiter) {
                    let text = format!(
                        "the snapshot of {rdb_bytes} bytes is not followed by the delimiter that was announced"
                    );
                    return Err(Error::new(ErrorKind::Snapshot, text));
                }
                let rdb_bytes = *rdb_bytes;
                self.buffer.advance(40);
                Ok(Some(self.end_snapshot(rdb_bytes)))
            }
            State::Stream { .. } => self.advance_stream(),
            State::Over => Ok(None),
        }
    }

    fn advance_snapshot(&mut self) -> Result<Option<Batch>> {
        let State::Snapshot { snapshot, framing } = &mut self.state else { return Ok(None) };
        let before = snapshot.offset();
        let (data, eof) = match framing {
            Framing::Length(length) => {
                let left = *length - before;
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
                (&self.buffer[..here], here as u64 == left)
            }
            Framing::Delimiter(_) => (&self.buffer[..], false),
        };
        let (used, step) = snapshot.advance(data, eof, &mut self.builder)?;
        self.buffer.advance(used);
        let rdb_bytes = snapshot.offset();
        match step {
            Step::NeedMoreData(_) => Ok(None),
            Step::BatchFull => Ok(Some(self.builder.take(Position::snapshot(self.replid, self.offset, rdb_bytes)))),
            Step::End => {
                self.skipped += snapshot.skipped();
                match *framing {
                    Framing::Length(length) if length != rdb_bytes => {
                        let text =
                            format!("the snapshot ends after {rdb_bytes} of the {length} bytes that were announced");
                        Err(Error::new(ErrorKind::Snapshot, text))
                    }
                    Framing::Length(_) => Ok(Some(self.end_snapshot(rdb_bytes))),
                    Framing::Delimiter(delimiter) => {
                        self.state = State::Delimiter { delimiter, rdb_bytes };
                        self.advance()
                    }
                }
            }
        }
    }

    fn end_snapshot(&mut self, rdb_bytes: u64) -> Batch {
        // A primary that sent its snapshot without a file keeps the stream back until it hears this.
        self.link.acknowledge_now();
        self.state = if self.options.snapshot_only {
            State::Over
        } else {
            let translator = Box::new(StreamTranslator::new(self.target, self.options.translate, 0));
            State::Stream { decoder: stream_decoder(), translator }
        };
        tracing::info!(rdb_bytes, offset = self.offset, "the snapshot has been read");
        // The position of the stream, not of the snapshot: everything in the snapshot is behind it.
        let snapshot_end = Position::snapshot(self.replid, self.offset, rdb_bytes);
        let position =
            if self.options.snapshot_only { snapshot_end } else { Position::stream(self.replid, self.offset, 0) };
        self.builder.take(position)
    }

    fn advance_stream(&mut self) -> Result<Option<Batch>> {
        let State::Stream { decoder, translator } = &mut self.state else { return Ok(None) };
        let mut used = 0;
        let mut full = false;
        while !full {
            let decoded = decoder.decode(&self.buffer[used..]).map_err(|error| {
                let place = format!("replication offset {}", self.offset);
                Error::protocol("the stream cannot be read").with_source(error).at(place)
            })?;
            let Some((length, command)) = decoded else { break };
            self.offset += length as u64;
            self.moved = true;
            let commands = self.builder.len();
            match translator.command(&command, self.offset, &mut self.builder)? {
                Translated::Acknowledge => {
                    self.wanted = Some(self.offset);
                    self.builder.set_urgent();
                }
                Translated::Done => {}
            }
            used += length;
            if !translator.in_transaction() {
                self.boundary = Place { offset: self.offset, db: translator.db() };
                if self.builder.len() > commands {
                    self.passed_on = self.boundary;
                }
            }
            let urgent = self.wanted == Some(self.offset);
            full = (urgent || self.builder.size() >= BATCH) && !translator.in_transaction();
            if self.builder.size() > MAX_TRANSACTION {
                let text = format!(
                    "a transaction of more than {} MiB at replication offset {}",
                    MAX_TRANSACTION >> 20,
                    self.offset
                );
                return Err(Error::new(ErrorKind::Limit, text));
            }
        }
        self.buffer.advance(used);
        Ok(full.then(|| self.take_stream()).flatten())
    }

    /// What has come together of the stream, unless a transaction is open or nothing has happened.
    fn take_stream(&mut self) -> Option<Batch> {
        let State::Stream { translator, .. } = &self.state else { return None };
        if !self.moved || translator.in_transaction() {
            return None;
        }
        self.moved = false;
        Some(self.builder.take(Position::stream(self.replid, self.offset, translator.db())))
    }

    /// The link broke: goes back to the last boundary of commands and starts to look for a new link, if that may help.
    fn broken(&mut self, error: Error) -> Result<()> {
        let State::Stream { translator, decoder } = &mut self.state else { return Err(error) };
        if self.replid.is_none() || self.options.reconnect.within.is_zero() || error.retry() != Retry::Resume {
            return Err(error);
        }
        tracing::warn!(%error, offset = self.boundary.offset, "the link to the source broke; connecting again");
        // What was read of a command or transaction that is not whole was passed on to nobody.
        translator.rewind(&mut self.builder);
        *decoder = stream_decoder();
        self.buffer.clear();
        self.offset = self.boundary.offset;
        let places = Places { replid: self.replid, read: self.boundary, passed_on: self.passed_on };
        let (locator, how) = (self.locator.clone(), self.options.reconnect);
        self.reconnecting = Some(Reconnecting::start(locator, self.options.link, places, how));
        Ok(())
    }

    fn reconnected(&mut self, link: ReplicaLink, place: Place) {
        if let Sync::Continue { replid } = link.sync() {
            // A promoted primary has given the history a new name: positions carry it from here on.
            self.moved |= replid != self.replid;
            self.replid = replid;
        }
        if let State::Stream { translator, .. } = &mut self.state {
            translator.select(place.db);
        }
        (self.offset, self.boundary) = (place.offset, place);
        link.set_acknowledged(self.acknowledged.min(place.offset));
        *self.node.address.lock().unwrap_or_else(PoisonError::into_inner) = link.address().clone();
        self.link = link;
        self.reconnecting = None;
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
            let batch = self.advance().map_err(|error| error.at(self.link.address()))?;
            if batch.is_some() || matches!(self.state, State::Over) {
                return Ok(batch);
            }
            if self.reconnecting.is_none() {
                match self.link.try_fill(&mut self.buffer) {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => self.broken(error)?,
                }
            }
            // Nothing more is here yet: what there is should not wait for it.
            if let Some(batch) = self.take_partial() {
                return Ok(Some(batch));
            }
            if let Some(reconnecting) = &mut self.reconnecting {
                let (link, place) = reconnecting.done().await?;
                self.reconnected(link, place);
            } else {
                let filled = tokio::select! {
                    filled = self.link.fill(&mut self.buffer) => filled,
                    () = self.node.moved.notified() => {
                        Err(Error::new(ErrorKind::Disconnected, "another node is the primary now").at(self.link.address()))
                    }
                };
                if let Err(error) = filled {
                    self.broken(error)?;
                }
            }
        }
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<()> {
        self.acknowledged = position.offset();
        self.link.set_acknowledged(self.acknowledged);
        if self.wanted.is_some_and(|wanted| self.acknowledged >= wanted) {
            self.wanted = None;
            self.link.acknowledge_now();
        }
        Ok(())
    }

    fn skipped(&self) -> Skipped {
        let mut skipped = self.skipped;
        match &self.state {
            State::Snapshot { snapshot, .. } => skipped += snapshot.skipped(),
            State::Stream { translator, .. } => skipped += translator.skipped(),
            State::Delimiter { .. } | State::Over => {}
        }
        skipped
    }
}

fn stream_decoder() -> CommandDecoder {
    CommandDecoder::with_limits(Limits::default().max_frame(MAX_COMMAND))
}

/// The longest command that is taken from a stream: a server's longest argument, and room for others beside it.
const MAX_COMMAND: usize = 1 << 30;
/// The longest transaction: it has to be in memory whole, since it is passed on whole or not at all.
const MAX_TRANSACTION: usize = 1 << 30;
