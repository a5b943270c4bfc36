//! Where batches go.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::error::Result;
use crate::ledger::Counts;
use crate::record::{Batch, Position};
use crate::translate::Target;

/// How far a sink has applied what it was given. Cumulative: everything up to here, nothing beyond.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watermark {
    /// How many batches, counted from the first one written.
    pub batches: u64,
    /// The position of the last of them; `None` before the first.
    pub position: Option<Position>,
    /// What became of their commands.
    pub counts: Counts,
}

/// What a sink takes.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// What the commands of a batch have to be translated for.
    pub target: Target,
    /// Whether one command may name any keys: not where they are spread over nodes.
    pub multi_key: bool,
}

impl Capabilities {
    /// A sink for commands of `target` that takes nothing else for granted.
    pub fn new(target: Target) -> Self {
        Self { target, multi_key: false }
    }

    /// Sets [`multi_key`](Self::multi_key).
    #[must_use]
    pub fn multi_key(mut self, multi_key: bool) -> Self {
        self.multi_key = multi_key;
        self
    }
}

/// A place to write batches to.
///
/// [`write`](Sink::write) means *accepted*: awaiting it is the back-pressure. [`acked`](Sink::acked) says what is *applied*.
/// After an error a sink takes nothing more, and its watermark stays where it is.
pub trait Sink: Send + 'static {
    /// What this sink takes.
    fn capabilities(&self) -> Capabilities;

    /// Where a run before has brought the target, as the target itself says ([`checkpoint`](crate::checkpoint)): the source has to be read from
    /// there on. A sink of several lanes says where the last of them is; it drops by itself what the others have already. `None` if
    /// the target holds nothing of this task, or the sink keeps no checkpoint.
    fn resumed(&self) -> Option<Position> {
        None
    }

    /// Accepts a batch, once there is room for it.
    ///
    /// # Errors
    /// What this batch, or one accepted before it, met.
    fn write(&mut self, batch: Batch) -> impl Future<Output = Result<()>> + Send;

    /// How far everything is applied. Cheap; never goes back.
    fn acked(&self) -> Watermark;

    /// Waits until everything accepted is applied.
    ///
    /// # Errors
    /// What any accepted batch met.
    fn flush(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Flushes, and gives connections and files up: everything that was to come has come. A sink that is dropped without it was part of a
    /// run that failed; what it has applied is in the target, but a file for example does not get its name.
    ///
    /// # Errors
    /// As [`flush`](Sink::flush).
    fn close(self) -> impl Future<Output = Result<()>> + Send
    where
        Self: Sized;
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The object-safe twin of [`Sink`]; every sink is one.
trait DynSink: Send {
    fn capabilities(&self) -> Capabilities;
    fn resumed(&self) -> Option<Position>;
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<()>>;
    fn acked(&self) -> Watermark;
    fn flush(&mut self) -> BoxFuture<'_, Result<()>>;
    fn close(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}

impl<S: Sink> DynSink for S {
    fn capabilities(&self) -> Capabilities {
        Sink::capabilities(self)
    }
    fn resumed(&self) -> Option<Position> {
        Sink::resumed(self)
    }
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<()>> {
        Box::pin(Sink::write(self, batch))
    }
    fn acked(&self) -> Watermark {
        Sink::acked(self)
    }
    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(Sink::flush(self))
    }
    fn close(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(Sink::close(*self))
    }
}

/// A sink whose kind is chosen at run time: one allocation per batch.
pub struct BoxSink(Box<dyn DynSink>);

impl BoxSink {
    /// Boxes `sink`.
    pub fn new(sink: impl Sink) -> Self {
        Self(Box::new(sink))
    }
}

impl fmt::Debug for BoxSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxSink").field("acked", &self.0.acked()).finish_non_exhaustive()
    }
}

impl Sink for BoxSink {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn resumed(&self) -> Option<Position> {
        self.0.resumed()
    }
    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.0.write(batch).await
    }
    fn acked(&self) -> Watermark {
        self.0.acked()
    }
    async fn flush(&mut self) -> Result<()> {
        self.0.flush().await
    }
    async fn close(self) -> Result<()> {
        self.0.close().await
    }
}
