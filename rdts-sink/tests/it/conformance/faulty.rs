//! Sinks that break the contract, each in one way: the suite must notice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdts_core::conformance::{self, Abilities, FailureKind, Harness, Outcome};
use rdts_core::record::{Batch, BatchBuilder, ReplicationId};
use rdts_core::sink::{Capabilities, Watermark};
use rdts_core::{Error, ErrorKind, Position, Result, Sink};
use rdts_sink::MemorySink;
use rdts_sink::memory::MemoryStore;

use super::{of_memory, string};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Says that a batch is applied when it is accepted, and applies it later.
    Hasty,
    /// Says so, and loses what is accepted when it is closed.
    Forgetful,
    /// Applies the later of two batches first.
    Unordered,
    /// Leaves batches without commands out.
    SkipsEmpty,
    /// Never says that the last batch is applied.
    Modest,
    /// Has its watermark jump back.
    Undecided,
    /// Counts keys twice.
    Boastful,
    /// Goes on after an error as if nothing had been.
    Careless,
    /// Turns errors into those of another kind.
    Vague,
    /// Flushes for ever.
    Stuck,
    /// Does not wake up after a flush that was given up.
    Touchy,
    /// Closes after an error as if nothing had been.
    Unaware,
    /// Panics when it is dropped while something is under way.
    Fragile,
    /// Cuts values off at a line feed.
    Textual,
}

struct Faulty {
    fault: Fault,
    inner: MemorySink,
    waiting: VecDeque<Batch>,
    ahead: u64,
    position: Option<Position>,
}

impl Faulty {
    async fn drain(&mut self) -> Result<()> {
        while let Some(batch) = self.waiting.pop_front() {
            self.inner.write(batch).await?;
        }
        Ok(())
    }
}

impl Sink for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn write(&mut self, mut batch: Batch) -> Result<()> {
        match self.fault {
            Fault::Hasty | Fault::Forgetful | Fault::Fragile => {
                self.ahead += 1;
                self.position = Some(*batch.position());
                self.waiting.push_back(batch);
                if self.fault == Fault::Fragile && self.ahead == 1 { self.drain().await } else { Ok(()) }
            }
            Fault::Unordered => {
                self.waiting.push_front(batch);
                if self.waiting.len() > 1 { self.drain().await } else { Ok(()) }
            }
            Fault::SkipsEmpty if batch.is_empty() => Ok(()),
            Fault::Careless => {
                let _ = self.inner.write(batch).await;
                Ok(())
            }
            Fault::Vague => {
                let written = self.inner.write(batch).await;
                written.map_err(|error| Error::new(ErrorKind::Protocol, error.to_string()))
            }
            Fault::Textual => {
                batch.retain(|command| command.args().all(|arg| !arg.contains(&b'\n')));
                self.inner.write(batch).await
            }
            _ => self.inner.write(batch).await,
        }
    }

    fn acked(&self) -> Watermark {
        let mut watermark = self.inner.acked();
        match self.fault {
            Fault::Hasty | Fault::Forgetful => {
                watermark.batches = self.ahead;
                watermark.position = self.position;
            }
            Fault::Modest => watermark = Watermark::default(),
            Fault::Undecided if watermark.batches % 3 == 2 => watermark = Watermark::default(),
            Fault::Boastful => watermark.counts.keys *= 2,
            _ => {}
        }
        watermark
    }

    async fn flush(&mut self) -> Result<()> {
        match self.fault {
            Fault::Stuck => std::future::pending().await,
            Fault::Touchy if !self.waiting.is_empty() => std::future::pending().await,
            Fault::Touchy => {
                // Remembers that it was begun, and not that it was given up.
                self.waiting.push_back(BatchBuilder::new(0).take(Position::snapshot(ReplicationId::NONE, 0, 0)));
                tokio::task::yield_now().await;
                self.waiting.clear();
            }
            Fault::Forgetful => return Ok(()),
            _ => {}
        }
        self.drain().await?;
        self.inner.flush().await
    }

    async fn close(mut self) -> Result<()> {
        if self.fault == Fault::Forgetful {
            self.waiting.clear();
            return Ok(());
        }
        let flushed = self.flush().await;
        if self.fault == Fault::Unaware { Ok(()) } else { flushed }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        assert!(self.fault != Fault::Fragile || self.waiting.is_empty(), "something is under way");
    }
}

struct Bad(Fault, Arc<Mutex<MemoryStore>>);

impl Harness for Bad {
    type Sink = Faulty;

    fn abilities(&self) -> Abilities {
        of_memory().patience(Duration::from_secs(2))
    }

    async fn sink(&mut self) -> Result<Faulty> {
        let inner = MemorySink::new();
        self.1 = inner.store();
        let (fault, waiting) = (self.0, VecDeque::new());
        Ok(Faulty { fault, inner, waiting, ahead: 0, position: None })
    }

    async fn read(&mut self, db: u32, key: &[u8]) -> Result<Option<Vec<u8>>> {
        string(&self.1, db, key)
    }
}

#[tokio::test]
async fn every_fault_is_found() {
    use FailureKind::{Counts, Hang, Watermark};
    let faults = [
        (Fault::Hasty, "a_flush_covers_everything", Counts),
        (Fault::Forgetful, "closing_applies_what_is_left", Counts),
        (Fault::Unordered, "commands_of_a_key_keep_their_order", Watermark),
        (Fault::SkipsEmpty, "empty_batches_move_the_position", Watermark),
        (Fault::Modest, "a_flush_covers_everything", Watermark),
        (Fault::Undecided, "the_watermark_never_goes_back", Watermark),
        (Fault::Boastful, "counts_add_up", Counts),
        (Fault::Careless, "an_error_stops_the_sink", FailureKind::Error),
        (Fault::Unaware, "an_error_stops_the_sink", FailureKind::Error),
        (Fault::Vague, "a_key_that_must_be_new_is_a_conflict", FailureKind::Error),
        (Fault::Stuck, "a_fresh_sink_has_applied_nothing", Hang),
        (Fault::Touchy, "a_flush_can_be_given_up", Hang),
        (Fault::Fragile, "dropping_a_sink_does_not_hang", FailureKind::Error),
        (Fault::Textual, "any_bytes_are_kept", Counts),
    ];
    for (fault, check, kind) in faults {
        let outcome = conformance::check(&mut Bad(fault, Arc::default()), check).await;
        let Some(Outcome::Failed(failure)) = outcome else { panic!("{fault:?} is not found: {outcome:?}") };
        assert_eq!((failure.check(), failure.kind()), (check, kind), "{fault:?}: {failure}");
    }
}

#[tokio::test]
async fn a_check_that_does_not_exist_is_none() {
    assert_eq!(conformance::check(&mut Bad(Fault::Stuck, Arc::default()), "no such check").await, None);
}
