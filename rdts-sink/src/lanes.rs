//! Several connections that together are one sink.

use std::collections::VecDeque;

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::ledger::Counts;
use rdts_core::record::{Batch, BatchBuilder, Mark, Position};
use rdts_core::sink::{Sink, Watermark};
use rdts_resp::encode;

use crate::node::NodeSink;

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
    sinks: Vec<NodeSink>,
    /// Batches handed to each.
    sent: Vec<u64>,
    /// What waits to be sent, for each.
    parts: Vec<BatchBuilder>,
    waiting: Vec<usize>,
    pending: VecDeque<Pending>,
    /// The batches in front of the pending ones.
    done: Watermark,
    failed: Option<(ErrorKind, String)>,
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
    pub(crate) fn new(sinks: Vec<NodeSink>, lost: &'static str) -> Self {
        let count = sinks.len();
        Self {
            sinks,
            sent: vec![0; count],
            parts: (0..count).map(|_| BatchBuilder::new(16 << 10)).collect(),
            waiting: vec![0; count],
            pending: VecDeque::new(),
            done: Watermark::default(),
            failed: None,
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

    async fn pushed(&mut self, lane: usize) -> Result<()> {
        self.waiting[lane] += 1;
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

    /// Sends what waits, and waits until all of it is applied.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.check()?;
        for lane in 0..self.sinks.len() {
            self.send(lane).await?;
        }
        for lane in 0..self.sinks.len() {
            let result = self.sinks[lane].flush().await;
            self.noted(result)?;
        }
        self.prune();
        Ok(())
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
        for pending in self.pending.iter().take_while(|pending| self.is_applied(pending)) {
            advance(&mut watermark, pending);
        }
        // What the replies say is known for each connection only.
        for sink in &self.sinks {
            let counts = sink.acked().counts;
            watermark.counts.keys += counts.keys;
            watermark.counts.kept += counts.kept;
            watermark.counts.script_errors += counts.script_errors;
        }
        watermark
    }

    fn is_applied(&self, pending: &Pending) -> bool {
        self.sinks.iter().zip(&pending.needs).all(|(sink, need)| sink.acked().batches >= *need)
    }

    fn prune(&mut self) {
        while let Some(first) = self.pending.front()
            && self.is_applied(first)
        {
            advance(&mut self.done, first);
            self.pending.pop_front();
        }
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

/// Bytes that are handed to a connection at once.
const PART_BYTES: usize = 64 << 10;

fn advance(watermark: &mut Watermark, pending: &Pending) {
    watermark.batches += 1;
    watermark.position = Some(pending.position);
    watermark.counts += pending.counts;
}
