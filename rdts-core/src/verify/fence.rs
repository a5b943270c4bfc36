//! Waiting for what is on its way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::fleet;

/// Knows when a target has what its source had.
///
/// A [`fleet::Handle`] of the migration that is running is one: it compares the replication offsets of the source's nodes with what is
/// applied in the target.
pub trait Fence: Send + Sync + 'static {
    /// Comes back when everything that the source had at the time of the call is applied in the target.
    ///
    /// # Errors
    /// It never will be, or nobody can tell.
    fn caught_up(&self) -> impl Future<Output = Result<()>> + Send;
}

trait DynFence: Send + Sync {
    fn caught_up(&self) -> Pin<Box<dyn Future<Output = Result<()>> + Send + '_>>;
}

impl<F: Fence> DynFence for F {
    fn caught_up(&self) -> Pin<Box<dyn Future<Output = Result<()>> + Send + '_>> {
        Box::pin(Fence::caught_up(self))
    }
}

/// The object-safe twin of [`Fence`].
pub struct BoxFence(Box<dyn DynFence>);

impl BoxFence {
    /// Boxes `fence`.
    pub fn new(fence: impl Fence) -> Self {
        Self(Box::new(fence))
    }

    pub(super) async fn caught_up(&self) -> Result<()> {
        self.0.caught_up().await
    }
}

impl fmt::Debug for BoxFence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxFence")
    }
}

/// Between two looks at what is applied.
const LOOK: Duration = Duration::from_millis(10);

impl Fence for fleet::Handle {
    /// A migration that has ended applies nothing any more; whoever waits for it waits in vain, and so there is a limit of ten minutes.
    async fn caught_up(&self) -> Result<()> {
        let goals = self.source_offsets().await?;
        let started = tokio::time::Instant::now();
        loop {
            let report = self.report();
            let applied = report.shards.iter().map(|(_, shard)| shard.applied.position);
            let there = applied.zip(&goals).all(|(position, goal)| {
                position.is_some_and(|position| position.is_stream() && position.offset() >= *goal)
            });
            if there {
                return Ok(());
            }
            if started.elapsed() > Duration::from_secs(600) {
                let text = "the target has not applied within ten minutes what the source had";
                return Err(Error::new(ErrorKind::Timeout, text));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
