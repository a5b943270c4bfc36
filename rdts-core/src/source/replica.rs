//! One node as a source: we are its replica.

use bytes::{Buf, BytesMut};
use rdts_resp::{CommandDecoder, Limits};

use super::snapshot::{Snapshot, Step};
use super::{BATCH, Source};
use crate::endpoint::NodeAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Skipped;
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
}

/// A full copy of one node, and then its stream of writes, for as long as it lasts.
///
/// The node takes it for a replica. Its primary is told only what [`acknowledge`](Source::acknowledge) says is applied.
#[derive(Debug)]
pub struct ReplicaSource {
    link: ReplicaLink,
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

#[derive(Debug)]
enum State {
    Snapshot { snapshot: Box<Snapshot>, framing: Framing },
    Delimiter { delimiter: [u8; 40], rdb_bytes: u64 },
    Stream { decoder: CommandDecoder, translator: StreamTranslator },
    Over,
}

impl ReplicaSource {
    /// Becomes a replica of the node at `address`, translating for `target`. Waits until its snapshot starts.
    ///
    /// # Errors
    /// As [`ReplicaLink::open`].
    pub async fn open(address: &NodeAddress, target: Target, options: ReplicaOptions) -> Result<Self> {
        let link = ReplicaLink::open(address, options.link, Resume::FullCopy).await?;
        let (Sync::Full { replid, offset }, Some(framing)) = (link.sync(), link.framing()) else {
            return Err(Error::protocol("asked for a full copy, got none").at(address));
        };
        let snapshot = Box::new(Snapshot::new(SnapshotTranslator::new(target, options.translate), options.validate));
        Ok(Self {
            link,
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
            let limits = Limits::default().max_frame(MAX_COMMAND);
            let translator = StreamTranslator::new(self.target, self.options.translate, 0);
            State::Stream { decoder: CommandDecoder::with_limits(limits), translator }
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
            match translator.command(&command, self.offset, &mut self.builder)? {
                Translated::Acknowledge => self.link.acknowledge_now(),
                Translated::Done => {}
            }
            used += length;
            full = self.builder.size() >= BATCH && !translator.in_transaction();
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
            if self.link.try_fill(&mut self.buffer)? {
                continue;
            }
            // Nothing more is here yet: what there is should not wait for it.
            if let Some(batch) = self.take_partial() {
                return Ok(Some(batch));
            }
            self.link.fill(&mut self.buffer).await?;
        }
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<()> {
        self.link.set_acknowledged(position.offset());
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

/// The longest command that is taken from a stream: a server's longest argument, and room for others beside it.
const MAX_COMMAND: usize = 1 << 30;
/// The longest transaction: it has to be in memory whole, since it is passed on whole or not at all.
const MAX_TRANSACTION: usize = 1 << 30;
