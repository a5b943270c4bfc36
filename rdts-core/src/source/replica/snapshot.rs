//! The first phase: the RDB, and what marks its end.

use bytes::Buf;

use super::{Input, ReplicaSource, State};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Batch, Position};
use crate::replica::Framing;
use crate::source::snapshot::Step;

impl ReplicaSource {
    pub(super) fn advance_snapshot(&mut self) -> Result<Option<Batch>> {
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
        snapshot.take_points().for_each(|point| self.input.add_point(point));
        let rdb_bytes = snapshot.offset();
        match step {
            Step::NeedMoreData(_) => Ok(None),
            Step::BatchFull => Ok(Some(self.builder.take(Position::snapshot(self.replid, self.offset, rdb_bytes)))),
            Step::End => {
                self.intake += snapshot.intake();
                match *framing {
                    Framing::Length(length) if length != rdb_bytes => {
                        let text =
                            format!("the snapshot ends after {rdb_bytes} of the {length} bytes that were announced");
                        Err(Error::new(ErrorKind::Snapshot, text))
                    }
                    Framing::Length(_) => Ok(Some(self.end_snapshot(rdb_bytes))),
                    Framing::Delimiter(delimiter) => {
                        self.state = State::Delimiter { delimiter, rdb_bytes };
                        self.advance_delimiter()
                    }
                }
            }
        }
    }

    pub(super) fn advance_delimiter(&mut self) -> Result<Option<Batch>> {
        let State::Delimiter { delimiter, rdb_bytes } = self.state else { return Ok(None) };
        if self.buffer.len() < delimiter.len() {
            return Ok(None);
        }
        if !self.buffer.starts_with(&delimiter) {
            let text = format!("the snapshot of {rdb_bytes} bytes is not followed by the delimiter that was announced");
            return Err(Error::new(ErrorKind::Snapshot, text));
        }
        self.buffer.advance(delimiter.len());
        Ok(Some(self.end_snapshot(rdb_bytes)))
    }

    fn end_snapshot(&mut self, rdb_bytes: u64) -> Batch {
        self.permit = None;
        // A primary that sent its snapshot without a file keeps the stream back until it hears this.
        self.ack.tell();
        tracing::info!(rdb_bytes, offset = self.offset, "the snapshot has been read");
        if self.options.snapshot_only {
            (self.state, self.input) = (State::Over, Input::None);
            return self.builder.take(Position::snapshot(self.replid, self.offset, rdb_bytes));
        }
        self.state = State::stream(self, 0);
        // The position of the stream, not of the snapshot: everything in the snapshot is behind it.
        self.builder.take(Position::stream(self.replid, self.offset, 0))
    }
}
