//! A shard of a cluster as a source, which waits for other shards where slots move.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::board::{Board, place};
use super::moves::{Crossing, Moment, whole_keyspace};
use super::view::View;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Skipped;
use crate::record::{Batch, Kind, Position};
use crate::source::{ReplicaSource, Source};

/// The source of one shard.
pub(super) struct Lane {
    source: ReplicaSource,
    board: Arc<Board>,
    index: usize,
    crossing: Crossing,
    changed: watch::Receiver<u64>,
    asked: Vec<Asked>,
    over: bool,
}

/// A question that another node has not answered yet.
struct Asked {
    node: usize,
    moment: Moment,
    answer: oneshot::Receiver<Result<Arc<View>>>,
}

/// A lane that waits looks again after so long even if nothing has happened.
const AGAIN: Duration = Duration::from_millis(20);

impl Lane {
    pub(super) fn new(source: ReplicaSource, board: Arc<Board>, index: usize) -> Self {
        let crossing = Crossing::new(board.clone(), index);
        let changed = board.watch();
        Self { source, board, index, crossing, changed, asked: Vec::new(), over: false }
    }

    fn ask(&mut self) {
        // One question at a time to each node: the next one covers what comes in the meantime.
        let (wanted, moment) = self.crossing.take_wanted();
        for node in wanted {
            if !self.asked.iter().any(|asked| asked.node == node) {
                self.asked.push(Asked { node, moment, answer: self.board.askers[node].ask() });
            }
        }
    }
}

/// The first question that is answered.
struct Answered<'a>(&'a mut Vec<Asked>);

impl Future for Answered<'_> {
    type Output = Result<(usize, Moment, Arc<View>)>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        for index in 0..self.0.len() {
            if let Poll::Ready(answer) = Pin::new(&mut self.0[index].answer).poll(context) {
                let Asked { node, moment, .. } = self.0.swap_remove(index);
                let gone = || Error::new(ErrorKind::Interrupted, "a node is not asked any more");
                return Poll::Ready(answer.unwrap_or_else(|_| Err(gone())).map(|view| (node, moment, view)));
            }
        }
        Poll::Pending
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
            self.ask();
            tokio::select! {
                answered = Answered(&mut self.asked) => {
                    let (node, moment, view) = answered?;
                    self.crossing.answer(node, moment, view);
                }
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

    fn skipped(&self) -> Skipped {
        let mut skipped = self.source.skipped();
        skipped += self.crossing.skipped();
        skipped
    }
}

/// One of several sources that have a part of the keys each and are in no cluster.
pub(super) struct OneOfMany {
    source: ReplicaSource,
    first: bool,
    skipped: Skipped,
}

impl OneOfMany {
    /// The first of them brings the libraries of functions, which all have.
    pub(super) fn new(source: ReplicaSource, first: bool) -> Self {
        Self { source, first, skipped: Skipped::default() }
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
            let before = batch.len();
            batch.retain(|command| command.kind() != Kind::Code);
            self.skipped.functions += (before - batch.len()) as u64;
        }
        Ok(Some(batch))
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<()> {
        self.source.acknowledge(position).await
    }

    fn skipped(&self) -> Skipped {
        let mut skipped = self.source.skipped();
        skipped += self.skipped;
        skipped
    }
}
