//! A shard of a cluster as a source, which waits for other shards where slots move.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::board::{Board, place};
use super::moves::{Crossing, whole_keyspace};
use super::replica::Replica;
use crate::error::Result;
use crate::ledger::Intake;
use crate::record::{Batch, Kind, Position};
use crate::source::Source;

/// The source of one shard.
pub(super) struct Lane {
    source: Replica,
    board: Arc<Board>,
    index: usize,
    crossing: Crossing,
    changed: watch::Receiver<u64>,
    over: bool,
}

/// A lane that waits looks again after so long even if nothing has happened.
const AGAIN: Duration = Duration::from_millis(20);

impl Lane {
    pub(super) fn new(source: Replica, board: Arc<Board>, index: usize) -> Self {
        let crossing = Crossing::new(board.clone(), index);
        let changed = board.watch();
        Self { source, board, index, crossing, changed, over: false }
    }
}

impl Source for Lane {
    async fn next(&mut self) -> Result<Option<Batch>> {
        loop {
            if self.crossing.is_empty() {
                if self.over {
                    return Ok(None);
                }
                let Some(batch) = self.source.next().await? else { return Ok(None) };
                if let Some(batch) = self.crossing.push(batch)? {
                    return Ok(Some(batch));
                }
            }
            self.changed.mark_unchanged();
            if let Some(batch) = self.crossing.advance()? {
                return Ok(Some(batch));
            }
            self.board.ask(self.crossing.take_wanted());
            tokio::select! {
                Ok(()) = self.changed.changed() => {}
                batch = self.source.next(), if !self.over && self.crossing.has_room() => match batch? {
                    Some(batch) => {
                        if let Some(batch) = self.crossing.push(batch)? {
                            return Ok(Some(batch));
                        }
                    }
                    None => self.over = true,
                },
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<()> {
        {
            let mut shared = self.board.lock();
            shared.lanes[self.index].applied = place(position);
            self.board.notify(&shared);
        }
        self.source.acknowledge(position).await
    }

    fn intake(&self) -> Intake {
        let mut intake = self.source.intake();
        intake += self.crossing.intake();
        intake
    }
}

/// One of several sources that have a part of the keys each and are in no cluster.
pub(super) struct OneOfMany {
    source: Replica,
    first: bool,
    intake: Intake,
}

impl OneOfMany {
    /// The first of them brings the libraries of functions, which all have.
    pub(super) fn new(source: Replica, first: bool) -> Self {
        Self { source, first, intake: Intake::default() }
    }
}

impl Source for OneOfMany {
    async fn next(&mut self) -> Result<Option<Batch>> {
        let Some(mut batch) = self.source.next().await? else { return Ok(None) };
        if let Some(command) = batch.commands().find(|command| command.kind() == Kind::Write && command.key().is_none())
        {
            return Err(whole_keyspace(command.name()));
        }
        if !self.first {
            batch.retain(|command| {
                let code = command.kind() == Kind::Code;
                if code {
                    self.intake.take_functions(&command.mark());
                }
                !code
            });
        }
        Ok(Some(batch))
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<()> {
        self.source.acknowledge(position).await
    }

    fn intake(&self) -> Intake {
        let mut intake = self.source.intake();
        intake += self.intake;
        intake
    }
}
