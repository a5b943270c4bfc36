//! Where batches come from.

mod aof;
mod detect;
mod locate;
mod rdb;
mod reconnect;
mod replica;
mod scan;
mod snapshot;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::error::Result;
use crate::ledger::Intake;
use crate::record::{Batch, Position};

pub use aof::{AofOptions, AofSource, CutTail};
pub use detect::{FileKind, detect};
pub use locate::{Locate, Locator};
pub use rdb::RdbSource;
pub use reconnect::Reconnect;
pub use replica::{Durable, ReplicaOptions, ReplicaSource, SourceNode};
pub(crate) use replica::{Opening, Turn, Turns};
pub use scan::{ScanChanges, ScanHandle, ScanOptions, ScanSource};

/// A snapshot and then, for a live source, the stream of writes that follows it, as batches of commands for the target.
pub trait Source: Send + 'static {
    /// The next batch, or `None` once there is nothing more: the snapshot is whole and nothing follows it, or the source
    /// was asked to stop.
    ///
    /// Cancel safe: a future that is dropped before it is ready has taken nothing.
    ///
    /// # Errors
    /// Whatever breaks the source. Batches given before stay valid; none follows.
    fn next(&mut self) -> impl Future<Output = Result<Option<Batch>>> + Send;

    /// Everything up to `position` is applied in the target. A replica tells its primary so.
    ///
    /// # Errors
    /// If the source cannot be told; reading may go on.
    fn acknowledge(&mut self, position: &Position) -> impl Future<Output = Result<()>> + Send;

    /// What was read so far, and what of it is in no batch, for a stated reason.
    fn intake(&self) -> Intake {
        Intake::default()
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The object-safe twin of [`Source`]; every source is one.
trait DynSource: Send {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Batch>>>;
    fn acknowledge<'a>(&'a mut self, position: &'a Position) -> BoxFuture<'a, Result<()>>;
    fn intake(&self) -> Intake;
}

impl<S: Source> DynSource for S {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Batch>>> {
        Box::pin(Source::next(self))
    }
    fn acknowledge<'a>(&'a mut self, position: &'a Position) -> BoxFuture<'a, Result<()>> {
        Box::pin(Source::acknowledge(self, position))
    }
    fn intake(&self) -> Intake {
        Source::intake(self)
    }
}

/// A source whose kind is chosen at run time: one allocation per batch.
pub struct BoxSource(Box<dyn DynSource>);

impl BoxSource {
    /// Boxes `source`.
    pub fn new(source: impl Source) -> Self {
        Self(Box::new(source))
    }
}

impl fmt::Debug for BoxSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxSource").field("intake", &self.0.intake()).finish_non_exhaustive()
    }
}

impl Source for BoxSource {
    async fn next(&mut self) -> Result<Option<Batch>> {
        self.0.next().await
    }
    async fn acknowledge(&mut self, position: &Position) -> Result<()> {
        self.0.acknowledge(position).await
    }
    fn intake(&self) -> Intake {
        self.0.intake()
    }
}

/// A batch is given out once it has so many bytes: enough that a system call or a hand-over between tasks is cheap beside
/// them, little enough to stay in the processor's cache.
const BATCH: usize = 128 << 10;
