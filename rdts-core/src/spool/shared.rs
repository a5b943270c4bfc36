//! What the task that fills a spool and the one that reads it have in common.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rdts_rdb::ResumePoint;
use tokio::sync::Notify;

use super::format::FilePlace;
use super::segment::{Directory, Segment};
use super::{At, History, SpoolOptions};
use crate::error::Error;

/// What comes out of a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Bytes of the source, from a place on, and when they came from there, in ms since 1970.
    Data { at: At, bytes: Bytes, arrived: u64 },
    /// What follows is of a history with another name, and perhaps begins earlier than the last bytes end.
    Renamed(History),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Data { bytes, .. } => bytes.len(),
            Self::Renamed(_) => 0,
        }
    }
}

/// Whether there is room is looked at so often, whatever happens.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Shared {
    /// Ours until nobody reads or writes any more.
    pub(super) directory: Directory,
    state: Mutex<State>,
    /// Tells whoever reads that there is something.
    pub(super) filled: Notify,
    /// Tells whoever fills that something may be removed, or is wanted.
    pub(super) room: Notify,
    read_ahead: usize,
    points_every: u64,
}

#[derive(Debug)]
pub(super) struct State {
    /// Never none.
    pub(super) segments: VecDeque<Segment>,
    pub(super) end: At,
    /// What was written and waits to be read.
    queue: VecDeque<Piece>,
    queued: usize,
    /// What follows the queue has to be read from here.
    pub(super) behind: Option<FilePlace>,
    /// The first segment that is still to be read.
    pub(super) reading: u32,
    /// Whoever reads has got everything and waits.
    pub(super) starving: bool,
    /// How much of the snapshot is applied.
    snapshot_applied: u64,
    /// Up to where the stream is, once it is.
    stream_applied: Option<u64>,
    /// Where the snapshot can be gone on with, in their order: no more than one that is not needed any more.
    points: VecDeque<ResumePoint>,
    /// Behind the last command that was passed on, and the database there.
    pub(super) passed_on: (u64, u32),
    /// Nothing more will come.
    pub(super) failure: Option<Error>,
}

impl Shared {
    /// Of these segments; reading starts with `from`, which is in the segment `behind`, or is what is written next.
    pub(super) fn new(
        directory: Directory,
        segments: VecDeque<Segment>,
        end: At,
        from: At,
        behind: Option<FilePlace>,
        options: &SpoolOptions,
    ) -> Self {
        let last = segments.back().map_or(0, |segment| segment.number);
        // Whoever begins somewhere has applied what is before.
        let (snapshot_applied, stream_applied) = match from {
            At::Snapshot(at) => (at, None),
            At::Stream(at) => (0, Some(at)),
        };
        let state = State {
            segments,
            end,
            queue: VecDeque::new(),
            queued: 0,
            behind,
            reading: behind.map_or(last, |place| place.segment),
            starving: false,
            snapshot_applied,
            stream_applied,
            points: VecDeque::new(),
            passed_on: (0, 0),
            failure: None,
        };
        Self {
            directory,
            state: Mutex::new(state),
            filled: Notify::new(),
            room: Notify::new(),
            read_ahead: options.read_ahead,
            points_every: options.segment / 4,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record with `piece` is written: the last segment reaches to `place`.
    pub(super) fn wrote(&self, place: FilePlace, end: At, piece: Option<Piece>) {
        let mut state = self.state();
        let mut before = FilePlace::default();
        if let Some(last) = state.segments.back_mut() {
            before = FilePlace { segment: last.number, byte: last.len };
            last.len = place.byte;
        }
        state.end = end;
        let Some(piece) = piece else { return };
        if state.behind.is_none() {
            // A name has no length, and is given on where it belongs.
            let room = state.queued == 0 || piece.len() == 0 || state.queued + piece.len() <= self.read_ahead;
            if room {
                state.queued += piece.len();
                state.queue.push_back(piece);
                state.reading = place.segment;
            } else {
                state.behind = Some(before);
                state.reading = before.segment;
            }
        }
        state.starving = false;
        drop(state);
        self.filled.notify_one();
    }

    /// Everything up to `at` is applied.
    pub(crate) fn applied(&self, at: At) {
        let mut state = self.state();
        let changed = match at {
            At::Snapshot(at) => std::mem::replace(&mut state.snapshot_applied, at) != at,
            At::Stream(at) => state.stream_applied.replace(at) != Some(at),
        };
        drop(state);
        if changed {
            self.room.notify_one();
        }
    }

    /// The snapshot can be gone on with at `point`, which is behind those before.
    pub(crate) fn add_point(&self, point: ResumePoint) {
        self.state().points.push_back(point);
    }

    /// So many bytes should be between two points.
    pub(crate) fn points_every(&self) -> u64 {
        self.points_every
    }

    /// Whoever reads has passed on all commands up to `offset`, where `db` is selected and no transaction is open.
    pub(crate) fn set_passed_on(&self, offset: u64, db: u32) {
        self.state().passed_on = (offset, db);
    }

    /// The same back.
    pub(crate) fn passed_on(&self) -> (u64, u32) {
        self.state().passed_on
    }

    /// Where the next byte of the source belongs.
    pub(crate) fn end(&self) -> At {
        self.state().end
    }

    /// Waits until something was read or applied, but not for ever.
    pub(crate) async fn wait_for_change(&self) {
        let _ = tokio::time::timeout(PATIENCE, self.room.notified()).await;
    }

    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.state().queued
    }

    /// Nothing more comes. Only the first of several reasons counts.
    pub(crate) fn fail(&self, error: Error) {
        self.state().failure.get_or_insert(error);
        self.filled.notify_one();
    }
}

impl State {
    /// Bytes on the disk.
    pub(super) fn disk(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.len)).sum()
    }

    pub(super) fn pop(&mut self) -> Option<Piece> {
        let piece = self.queue.pop_front()?;
        self.queued -= piece.len();
        Some(piece)
    }

    pub(super) fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The place behind the last record.
    pub(super) fn last(&self) -> FilePlace {
        self.segments.back().map_or_else(FilePlace::default, |last| FilePlace { segment: last.number, byte: last.len })
    }

    /// The segment with this number, and whether another one follows.
    pub(super) fn segment(&self, number: u32) -> Option<(Segment, bool)> {
        let index = self.segments.iter().position(|segment| segment.number == number)?;
        Some((self.segments[index].clone(), index + 1 < self.segments.len()))
    }

    /// How many segments at the front nobody needs any more, if `keep` bytes behind what is applied are to stay, of which the stream begins at
    /// `stream`. If what stays begins in the snapshot: also where that can be gone on with then.
    pub(super) fn removable(&mut self, keep: u64, stream: u64) -> (usize, Option<ResumePoint>) {
        let behind = |at: u64| at.checked_sub(keep).filter(|needed| *needed >= stream);
        if let Some(needed) = self.stream_applied.and_then(behind) {
            return (self.count(At::Stream(needed)), None);
        }
        let of_stream = self.stream_applied.map_or(0, |at| at.saturating_sub(stream));
        let needed = self.snapshot_applied.saturating_sub(keep.saturating_sub(of_stream));
        while self.points.get(1).is_some_and(|second| second.offset() <= needed) {
            self.points.pop_front();
        }
        match self.points.front() {
            Some(point) if point.offset() <= needed => (self.count(At::Snapshot(point.offset())), Some(point.clone())),
            _ => (0, None),
        }
    }

    /// How many segments at the front end before `needed`, and were read.
    fn count(&self, needed: At) -> usize {
        let passed = |next: &&Segment| next.start <= needed && next.number <= self.reading;
        self.segments.iter().skip(1).take_while(passed).count()
    }
}
