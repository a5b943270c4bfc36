//! Several connections that together are one sink.

use std::collections::VecDeque;
use std::sync::PoisonError;

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::ledger::Counts;
use rdts_core::net::Connection;
use rdts_core::record::{Batch, BatchBuilder, Mark, Position};
use rdts_core::sink::Watermark;
use rdts_resp::encode;

use crate::node::{Log, Pipelined};

/// How many commands may be under way on one connection.
pub(crate) const WINDOW_COMMANDS: u32 = 1000;
/// How many are handed to a connection at once: a part of its window, so that it never runs dry.
const PART_COMMANDS: usize = 250;

/// Spreads the commands of batches over connections, and knows what of them is applied.
///
/// Commands that are put on one lane keep their order. What must not overtake, or be overtaken on, another lane waits for
/// [`flush`](Self::flush).
#[derive(Debug)]
pub(crate) struct Lanes {
    sinks: Vec<Pipelined>,
    /// Batches handed to each.
    sent: Vec<u64>,
    /// What waits to be sent, for each.
    parts: Vec<BatchBuilder>,
    waiting: Vec<usize>,
    pending: VecDeque<Pending>,
    /// The batches in front of the pending ones.
    done: Watermark,
    /// What became of the parts of the pending batches, for each lane.
    logs: Vec<Log>,
    /// How many parts were in front of those, for each.
    counted: Vec<u64>,
    failed: Option<(ErrorKind, String)>,
    /// Nothing is sent while this is set: what waits has to go together.
    together: bool,
    /// What to say when a connection is lost.
    lost: &'static str,
}

/// A batch that may not be applied yet.
#[derive(Debug)]
struct Pending {
    position: Position,
    counts: Counts,
    /// It is applied once each lane has applied so many.
    needs: Vec<u64>,
}

impl Lanes {
    pub(crate) fn new(mut sinks: Vec<Pipelined>, lost: &'static str) -> Self {
        let count = sinks.len();
        let logs = sinks.iter_mut().map(Pipelined::log).collect();
        Self {
            sinks,
            sent: vec![0; count],
            parts: (0..count).map(|_| BatchBuilder::new(16 << 10)).collect(),
            waiting: vec![0; count],
            pending: VecDeque::new(),
            done: Watermark::default(),
            logs,
            counted: vec![0; count],
            failed: None,
            together: false,
            lost,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sinks.len()
    }

    /// Puts a command on a lane; the argument `key` is its key, for messages.
    pub(crate) async fn push(&mut self, lane: usize, args: &[&[u8]], key: usize, mark: Mark) -> Result<()> {
        let part = &mut self.parts[lane];
        let arena = part.arena();
        encode::array_header(arena, args.len());
        let mut at = None;
        for (index, arg) in args.iter().enumerate() {
            encode::bulk(arena, arg);
            if index == key {
                // In front of its line end.
                at = Some(arena.len() - 2 - arg.len()..arena.len() - 2);
            }
        }
        part.commit(mark, at, 0);
        self.pushed(lane).await
    }

    /// From now on, or no longer, what is pushed is to be in one piece: a transaction.
    #[cfg_attr(not(feature = "codis"), allow(dead_code))]
    pub(crate) fn keep_together(&mut self, together: bool) {
        self.together = together;
    }

    async fn pushed(&mut self, lane: usize) -> Result<()> {
        self.waiting[lane] += 1;
        if self.together {
            return Ok(());
        }
        if self.waiting[lane] >= PART_COMMANDS || self.parts[lane].size() >= PART_BYTES {
            self.send(lane).await?;
        }
        Ok(())
    }

    async fn send(&mut self, lane: usize) -> Result<()> {
        if std::mem::take(&mut self.waiting[lane]) == 0 {
            return Ok(());
        }
        // The lane needs no position of the source: that of the whole is known here.
        let part: Batch = self.parts[lane].take(Position::stream(rdts_core::record::ReplicationId::NONE, 0, 0));
        self.sent[lane] += 1;
        let result = self.sinks[lane].write(part).await;
        self.noted(result)
    }

    /// Sends what waits and notes that a batch ends here; `counts` is what is known of it beside what the lanes count.
    pub(crate) async fn end_batch(&mut self, position: Position, counts: Counts) -> Result<()> {
        for lane in 0..self.sinks.len() {
            self.send(lane).await?;
        }
        self.prune();
        self.pending.push_back(Pending { position, counts, needs: self.sent.clone() });
        Ok(())
    }

    /// Sends what waits, and waits until all of it is applied. After an error nothing is sent, but what the other lanes have under way is
    /// waited for: what is in front of the error counts.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        let mut result = self.check();
        for lane in 0..self.sinks.len() {
            if result.is_ok() {
                result = self.send(lane).await;
            }
        }
        for sink in &mut self.sinks {
            result = result.and(sink.flush().await);
        }
        self.prune();
        self.noted(result)
    }

    /// The error that was met before, if any.
    pub(crate) fn check(&self) -> Result<()> {
        self.failed.as_ref().map_or(Ok(()), |(kind, text)| Err(Error::new(*kind, text.clone())))
    }

    /// Remembers an error: nothing is written after it.
    pub(crate) fn noted<T>(&mut self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            if self.failed.is_none() {
                let lost = matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Timeout | ErrorKind::Protocol);
                let text = if lost { format!("{error}. {}", self.lost) } else { error.to_string() };
                self.failed = Some((error.kind(), text));
            }
            self.check().err().unwrap_or(error)
        })
    }

    pub(crate) fn acked(&self) -> Watermark {
        let mut watermark = self.done;
        let mut counted = self.counted.clone();
        for pending in self.pending.iter().take_while(|pending| self.is_applied(pending)) {
            self.advance(&mut watermark, &mut counted, pending);
        }
        watermark
    }

    fn is_applied(&self, pending: &Pending) -> bool {
        self.sinks.iter().zip(&pending.needs).all(|(sink, need)| sink.acked().batches >= *need)
    }

    /// Moves the watermark over a batch that is applied; `counted` says how many parts of each lane it has counted.
    fn advance(&self, watermark: &mut Watermark, counted: &mut [u64], pending: &Pending) {
        watermark.batches += 1;
        watermark.position = Some(pending.position);
        watermark.counts += pending.counts;
        for (lane, need) in pending.needs.iter().enumerate() {
            let log = self.logs[lane].lock().unwrap_or_else(PoisonError::into_inner);
            let first = usize::try_from(counted[lane] - self.counted[lane]).unwrap_or(usize::MAX);
            let count = usize::try_from(need - counted[lane]).unwrap_or(usize::MAX);
            for counts in log.iter().flatten().skip(first).take(count) {
                // Commands and bytes are counted as they were given.
                watermark.counts.keys += counts.keys;
                watermark.counts.kept += counts.kept;
                watermark.counts.script_errors += counts.script_errors;
            }
            counted[lane] = *need;
        }
    }

    /// Forgets the batches that are applied.
    fn prune(&mut self) {
        let (mut watermark, mut counted, mut applied) = (self.done, self.counted.clone(), 0);
        for pending in self.pending.iter().take_while(|pending| self.is_applied(pending)) {
            self.advance(&mut watermark, &mut counted, pending);
            applied += 1;
        }
        self.pending.drain(..applied);
        for (lane, log) in self.logs.iter().enumerate() {
            let gone = usize::try_from(counted[lane] - self.counted[lane]).unwrap_or(usize::MAX);
            if let Some(log) = &mut *log.lock().unwrap_or_else(PoisonError::into_inner) {
                log.drain(..gone.min(log.len()));
            }
        }
        (self.done, self.counted) = (watermark, counted);
    }

    pub(crate) async fn close(mut self) -> Result<()> {
        let mut result = self.flush().await;
        for sink in self.sinks {
            let closed = sink.close().await;
            if result.is_ok() {
                result = closed;
            }
        }
        result
    }
}

/// A connection for one command at a time, and the database that it has selected.
pub(crate) struct Control {
    pub(crate) connection: Connection,
    db: u32,
}

impl Control {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection, db: 0 }
    }

    /// Selects a database.
    pub(crate) async fn select(&mut self, db: u32) -> Result<()> {
        if self.db == db {
            return Ok(());
        }
        let reply = self.connection.call(["SELECT", &db.to_string()]).await?;
        if reply.is_error() {
            return Err(self.connection.refusal("SELECT", &reply));
        }
        self.db = db;
        Ok(())
    }
}

/// Bytes that are handed to a connection at once.
const PART_BYTES: usize = 64 << 10;
