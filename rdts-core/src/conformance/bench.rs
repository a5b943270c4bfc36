//! What the checks work with: batches, a sink that is watched, and the target behind it.

use std::future::Future;
use std::time::Duration;

use rdts_resp::encode;

use super::{Abilities, Failure, FailureKind, Harness};
use crate::error::{Error, Result};
use crate::record::{Batch, BatchBuilder, Kind, Mark, Position, ReplicationId};
use crate::sink::{Sink, Watermark};

/// Why a check ends early.
pub(super) enum Stop {
    Failed(Failure),
    NotApplicable(&'static str),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

pub(super) type Checked<T = ()> = Result<T, Stop>;

pub(super) fn failed<T>(kind: FailureKind, expected: impl Into<String>, found: impl Into<String>) -> Checked<T> {
    Err(Failure::new(kind, expected, found).into())
}

pub(super) struct Bench<'a, H> {
    pub(super) harness: &'a mut H,
    pub(super) abilities: Abilities,
    check: &'static str,
    offset: u64,
    frozen: bool,
}

impl<'a, H: Harness> Bench<'a, H> {
    pub(super) fn new(harness: &'a mut H, check: &'static str) -> Self {
        let abilities = harness.abilities();
        Self { harness, abilities, check, offset: 0, frozen: false }
    }

    /// Ends the check unless the target has an ability.
    pub(super) fn needs(&self, ability: bool, name: &'static str) -> Checked {
        if ability { Ok(()) } else { Err(Stop::NotApplicable(name)) }
    }

    /// A key that no other check has.
    pub(super) fn key(&self, name: impl AsRef<[u8]>) -> Vec<u8> {
        [b"rdts:conformance:", self.check.as_bytes(), b":", name.as_ref()].concat()
    }

    /// A fresh sink, watched.
    pub(super) async fn sink(&mut self) -> Checked<Watched<H::Sink>> {
        let sink = within(self.abilities.patience, "a fresh sink", self.harness.sink()).await?;
        let sink = self.of_harness(sink, "a fresh sink")?;
        Ok(Watched {
            sink,
            patience: self.abilities.patience,
            given: Vec::new(),
            seen: Watermark::default(),
            exact: true,
        })
    }

    pub(super) async fn freeze(&mut self) -> Checked {
        self.frozen = true;
        let frozen = within(self.abilities.patience, "freeze", self.harness.freeze()).await?;
        self.of_harness(frozen, "freeze")
    }

    /// Has the target go on, if it is frozen.
    pub(super) async fn thaw(&mut self) -> Checked {
        if !std::mem::take(&mut self.frozen) {
            return Ok(());
        }
        let thawed = within(self.abilities.patience, "thaw", self.harness.thaw()).await?;
        self.of_harness(thawed, "thaw")
    }

    fn of_harness<T>(&self, result: Result<T>, what: &str) -> Checked<T> {
        result.or_else(|error| failed(FailureKind::Harness, what, error.to_string()))
    }

    /// The string at a key of the target.
    pub(super) async fn read(&mut self, db: u32, key: &[u8]) -> Checked<Option<Vec<u8>>> {
        let read = within(self.abilities.patience, "read", self.harness.read(db, key)).await?;
        self.of_harness(read, "read")
    }

    /// Requires a string to be at a key of the target, or nothing.
    pub(super) async fn expect(&mut self, db: u32, key: &[u8], value: Option<&[u8]>) -> Checked {
        let found = self.read(db, key).await?;
        if found.as_deref() == value {
            return Ok(());
        }
        let name = key.escape_ascii();
        failed(FailureKind::State, format!("{} at '{name}' of database {db}", shown(value)), shown(found.as_deref()))
    }

    /// A batch of writes in database 0.
    pub(super) fn writes<A: AsRef<[u8]>>(&mut self, commands: &[&[A]]) -> Batch {
        let mut lines = Lines::default();
        for command in commands {
            lines.add(Mark::new(0, Kind::Write), command);
        }
        self.batch(lines)
    }

    /// A batch of these commands, that ends where the stream is after them.
    pub(super) fn batch(&mut self, mut lines: Lines) -> Batch {
        // An empty batch moves the position as well.
        self.offset += lines.builder.size() as u64 + 1;
        let replid = "c0f0c0f0c0f0c0f0c0f0c0f0c0f0c0f0c0f0c0f0".parse().unwrap_or(ReplicationId::NONE);
        lines.builder.take(Position::stream(replid, self.offset, 0))
    }

    /// The same with a position inside of a snapshot.
    pub(super) fn snapshot(&mut self, mut lines: Lines) -> Batch {
        self.offset += lines.builder.size() as u64;
        lines.builder.take(Position::snapshot(ReplicationId::NONE, 7, self.offset))
    }
}

/// Commands that become a batch.
#[derive(Default)]
pub(super) struct Lines {
    builder: BatchBuilder,
}

impl Lines {
    /// Adds a command. Its second word counts as its key, if its kind has one.
    pub(super) fn add<A: AsRef<[u8]>>(&mut self, mark: Mark, words: &[A]) {
        let arena = self.builder.arena();
        encode::array_header(arena, words.len());
        let mut key = None;
        for (place, word) in words.iter().map(AsRef::as_ref).enumerate() {
            encode::bulk(arena, word);
            if place == 1 && !matches!(mark.kind, Kind::Multi | Kind::Exec | Kind::Script) {
                let end = arena.len() - 2;
                key = Some(end - word.len()..end);
            }
        }
        let offset = arena.len() as u64;
        self.builder.commit(mark, key, offset);
    }

    /// Adds a script with one key.
    pub(super) fn script(&mut self, script: &[u8], key: &[u8]) {
        let arena = self.builder.arena();
        encode::array_header(arena, 4);
        for word in [b"EVAL".as_slice(), script, b"1", key] {
            encode::bulk(arena, word);
        }
        let end = arena.len() - 2;
        let offset = arena.len() as u64;
        self.builder.commit(Mark::new(0, Kind::Script), Some(end - key.len()..end), offset);
    }
}

/// What the sink was given.
struct Given {
    position: Position,
    commands: u64,
    bytes: u64,
    keys: u64,
}

/// A sink whose watermark is looked at after every call.
pub(super) struct Watched<S> {
    pub(super) sink: S,
    patience: Duration,
    given: Vec<Given>,
    seen: Watermark,
    /// Whether every command counts as one.
    exact: bool,
}

impl<S: Sink> Watched<S> {
    /// A sink may count the commands of a transaction in its own way: those that open and close it, or not.
    pub(super) fn count_loosely(&mut self) {
        self.exact = false;
    }

    /// Writes a batch, which must be taken.
    pub(super) async fn write(&mut self, batch: Batch) -> Checked {
        no_error("a batch that is taken", self.try_write(batch).await?)
    }

    pub(super) async fn try_write(&mut self, batch: Batch) -> Checked<Result<()>> {
        self.give(&batch);
        let written = within(self.patience, "a write that ends", self.sink.write(batch)).await?;
        self.look()?;
        Ok(written)
    }

    /// Notes a batch that is written directly.
    pub(super) fn give(&mut self, batch: &Batch) {
        self.given.push(Given {
            position: *batch.position(),
            commands: batch.len() as u64,
            bytes: batch.bytes().len() as u64,
            keys: batch.commands().map(|command| u64::from(command.mark().keys)).sum(),
        });
    }

    /// Flushes, after which everything given must be applied.
    pub(super) async fn flush(&mut self) -> Checked {
        no_error("a flush", self.try_flush().await?)?;
        let (applied, given) = (self.look()?.batches, self.given.len() as u64);
        if applied != given {
            return failed(
                FailureKind::Watermark,
                format!("all {given} batches applied after a flush"),
                format!("{applied}"),
            );
        }
        Ok(())
    }

    pub(super) async fn try_flush(&mut self) -> Checked<Result<()>> {
        let flushed = within(self.patience, "a flush that ends", self.sink.flush()).await?;
        self.look()?;
        Ok(flushed)
    }

    /// Closes, which must succeed.
    pub(super) async fn close(self) -> Checked {
        no_error("a close", self.try_close().await?)
    }

    pub(super) async fn try_close(self) -> Checked<Result<()>> {
        within(self.patience, "a close that ends", self.sink.close()).await
    }

    /// Checks the watermark against what was given, and against the one before.
    pub(super) fn look(&mut self) -> Checked<Watermark> {
        let now = self.sink.acked();
        let given = self.given.len() as u64;
        if now.batches < self.seen.batches || now.batches > given {
            let expected = format!("a watermark between {} and {given} batches", self.seen.batches);
            return failed(FailureKind::Watermark, expected, now.batches.to_string());
        }
        let covered = &self.given[..usize::try_from(now.batches).unwrap_or(usize::MAX).min(self.given.len())];
        let position = covered.last().map(|last| last.position);
        if now.position != position {
            let expected = format!("the position {position:?} of batch {}", now.batches);
            return failed(FailureKind::Watermark, expected, format!("{:?}", now.position));
        }
        let sum = |of: fn(&Given) -> u64| covered.iter().map(of).sum::<u64>();
        let expected = (sum(|given| given.commands), sum(|given| given.bytes), sum(|given| given.keys));
        let found = (now.counts.commands, now.counts.bytes, now.counts.keys + now.counts.kept);
        if self.exact && expected != found {
            let text =
                |(commands, bytes, keys)| format!("{commands} commands, {bytes} bytes, {keys} keys in place or kept");
            let batches = now.batches;
            return failed(FailureKind::Counts, format!("{} in {batches} batches", text(expected)), text(found));
        }
        self.seen = now;
        Ok(now)
    }
}

/// Awaits something that must end in time.
pub(super) async fn within<T>(patience: Duration, what: &str, future: impl Future<Output = T>) -> Checked<T> {
    match tokio::time::timeout(patience, future).await {
        Ok(done) => Ok(done),
        Err(_) => failed(FailureKind::Hang, what, format!("nothing in {patience:?}")),
    }
}

pub(super) fn no_error<T>(what: &str, result: Result<T>) -> Checked<T> {
    result.or_else(|error| failed(FailureKind::Error, what, text(&error)))
}

pub(super) fn text(error: &Error) -> String {
    format!("the error {:?}: {error}", error.kind())
}

fn shown(value: Option<&[u8]>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(value) => {
            let start = value[..value.len().min(80)].escape_ascii();
            format!("'{start}' ({} bytes)", value.len())
        }
    }
}
