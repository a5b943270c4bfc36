//! Leaving commands out.

use std::fmt;

use crate::error::Result;
use crate::ledger::Intake;
use crate::record::{Batch, Command, Kind, Position};
use crate::source::Source;

/// A source without the commands that a predicate does not want.
///
/// The predicate sees each command as it would go to the target: those that put keys of the snapshot in place and those of the
/// stream alike, so that a rule by [database](Command::db) and [key](Command::key) holds in both phases. It decides about a
/// command as a whole; if it has several keys, [`command::keys`](crate::command::keys()) finds them all in its
/// [arguments](Command::args). `MULTI` and `EXEC` are kept.
///
/// ```
/// use rdts_core::Source;
/// use rdts_core::filter::Filtered;
///
/// fn users_only(source: impl Source) -> impl Source {
///     Filtered::new(source, |command| command.key().is_some_and(|key| key.starts_with(b"user:")))
/// }
/// ```
pub struct Filtered<S, F> {
    source: S,
    keep: F,
    left_out: Intake,
}

impl<S: Source, F: FnMut(&Command<'_>) -> bool + Send + 'static> Filtered<S, F> {
    /// Leaves out what `keep` says no to.
    pub fn new(source: S, keep: F) -> Self {
        Self { source, keep, left_out: Intake::default() }
    }
}

impl<S: Source, F: FnMut(&Command<'_>) -> bool + Send + 'static> Source for Filtered<S, F> {
    async fn next(&mut self) -> Result<Option<Batch>> {
        let mut batch = self.source.next().await?;
        if let Some(batch) = &mut batch {
            batch.retain(|command| {
                let keep = matches!(command.kind(), Kind::Multi | Kind::Exec) || (self.keep)(command);
                if !keep {
                    self.left_out.filter(&command.mark());
                }
                keep
            });
        }
        Ok(batch)
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<()> {
        self.source.acknowledge(position).await
    }

    fn intake(&self) -> Intake {
        let mut intake = self.source.intake();
        intake += self.left_out;
        intake
    }
}

impl<S: fmt::Debug, F> fmt::Debug for Filtered<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filtered").field("source", &self.source).finish_non_exhaustive()
    }
}
