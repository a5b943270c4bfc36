//! The second phase: commands.

use bytes::Buf;
use rdts_resp::{CommandDecoder, Limits};

use super::{ReplicaSource, State};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Batch, Position};
use crate::source::BATCH;
use crate::source::reconnect::Place;
use crate::spool::History;
use crate::translate::{StreamTranslator, Translated};

/// The longest command that is taken from a stream: a server's longest argument, and room for others beside it.
const MAX_COMMAND: usize = 1 << 30;
/// The longest transaction: it has to be in memory whole, since it is passed on whole or not at all.
const MAX_TRANSACTION: usize = 1 << 30;

pub(super) fn stream_decoder() -> CommandDecoder {
    CommandDecoder::with_limits(Limits::default().max_frame(MAX_COMMAND))
}

impl State {
    /// At a place where `db` is selected.
    pub(super) fn stream(source: &ReplicaSource, db: u32) -> Self {
        let mut translator = Box::new(StreamTranslator::new(source.target, source.options.translate.clone(), db));
        translator.arrived(source.arrived);
        Self::Stream { decoder: stream_decoder(), translator }
    }
}

impl ReplicaSource {
    /// What is put into the buffer now came from the source at `unix_ms` (ms since 1970).
    pub(super) fn arrived(&mut self, unix_ms: u64) {
        self.arrived = unix_ms;
        if let State::Stream { translator, .. } = &mut self.state {
            translator.arrived(unix_ms);
        }
    }

    pub(super) fn advance_stream(&mut self) -> Result<Option<Batch>> {
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
    pub(super) fn take_stream(&mut self) -> Option<Batch> {
        let State::Stream { translator, .. } = &self.state else { return None };
        if !self.moved || translator.in_transaction() {
            return None;
        }
        self.moved = false;
        self.input.passed_on(self.passed_on);
        Some(self.builder.take(Position::stream(self.replid, self.offset, translator.db())))
    }

    /// Goes back to the last boundary of commands: the link broke, and what was read of a command or transaction that is not whole was
    /// passed on to nobody.
    pub(super) fn rewind(&mut self) {
        let State::Stream { translator, decoder } = &mut self.state else { return };
        translator.rewind(&mut self.builder);
        *decoder = stream_decoder();
        self.buffer.clear();
        self.offset = self.boundary.offset;
    }

    /// Goes on at `place`.
    pub(super) fn go_on_at(&mut self, place: Place) {
        if let State::Stream { translator, .. } = &mut self.state {
            translator.select(place.db);
        }
        (self.offset, self.boundary) = (place.offset, place);
        if self.passed_on.offset > place.offset {
            self.passed_on = place;
        }
    }

    /// The history has another name from here on, and perhaps goes on earlier than what was read.
    pub(super) fn renamed(&mut self, history: History) {
        self.moved |= history.replid != self.replid;
        self.replid = history.replid;
        if let Some(db) = history.rewound {
            self.rewind();
            self.go_on_at(Place { offset: history.from, db });
        }
    }
}
