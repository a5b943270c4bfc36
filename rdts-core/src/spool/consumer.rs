//! The end of a spool that is read from.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::At;
use super::reader::Reader;
use super::shared::{Piece, Shared};
use crate::error::{Error, ErrorKind, Result};

/// Gives what was written: from memory what has just come, from the disk what has waited.
#[derive(Debug)]
pub(crate) struct Consumer {
    shared: Arc<Shared>,
    /// What was read from the disk, in front of everything else.
    ready: VecDeque<Piece>,
    /// Between two reads of the disk.
    reader: Option<Reader>,
    /// A read of the disk that is under way.
    reading: Option<JoinHandle<(Reader, Result<Vec<Piece>>)>>,
    /// What is before that is not given out.
    from: Option<At>,
}

impl Consumer {
    /// Reads what `shared` says, from `from` on.
    pub(super) fn new(shared: Arc<Shared>, from: Option<At>) -> Self {
        Self { shared, ready: VecDeque::new(), reader: None, reading: None, from }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The next piece, if it is there.
    ///
    /// # Errors
    /// Why nothing more comes, once everything was given out that was written before.
    pub(crate) fn try_next(&mut self) -> Result<Option<Piece>> {
        let piece = self.ready.pop_front();
        if self.reading.is_some() {
            return Ok(piece);
        }
        let mut state = self.shared.state();
        if let Some(place) = state.behind {
            // While these are being looked at, the next are fetched.
            if !state.has_queue() {
                drop(state);
                let from = self.from.take();
                let mut reader = self.reader.take().unwrap_or_else(|| Reader::new(self.shared.clone(), place, from));
                self.reading = Some(tokio::task::spawn_blocking(move || {
                    let pieces = reader.read();
                    (reader, pieces)
                }));
                return Ok(piece);
            }
        }
        match piece.or_else(|| state.pop()) {
            Some(piece) => Ok(Some(piece)),
            None if state.behind.is_some() => Ok(None),
            None => state.failure.take().map_or(Ok(None), Err),
        }
    }

    /// Waits until [`try_next`](Self::try_next) is worth another try. Cancel safe.
    pub(crate) async fn wait(&mut self) -> Result<()> {
        loop {
            if !self.ready.is_empty() {
                return Ok(());
            }
            if let Some(reading) = &mut self.reading {
                let ended = reading.await;
                self.reading = None;
                let (reader, pieces) = ended
                    .map_err(|error| Error::new(ErrorKind::Spool, "reading from the disk ended").with_source(error))?;
                return self.took(reader, pieces?);
            }
            {
                let mut state = self.shared.state();
                if state.has_queue() || state.behind.is_some() || state.failure.is_some() {
                    return Ok(());
                }
                state.starving = true;
            }
            self.shared.room.notify_one();
            self.shared.filled.notified().await;
        }
    }

    fn took(&mut self, reader: Reader, pieces: Vec<Piece>) -> Result<()> {
        self.ready.extend(pieces);
        let mut state = self.shared.state();
        state.reading = reader.place().segment;
        if reader.place() == state.last() {
            // What is written from now on comes directly.
            state.behind = None;
        } else {
            state.behind = Some(reader.place());
            self.reader = Some(reader);
        }
        drop(state);
        self.shared.room.notify_one();
        Ok(())
    }
}
