//! A node as the source of a shard, which may have to wait until it can be copied.

use std::fmt;
use std::future::Future;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Intake;
use crate::record::{Batch, Position};
use crate::source::{Durable, Opening, ReplicaSource, Source, SourceNode, Turn};

/// A replica of one node, or what will be one.
pub(crate) struct Replica {
    node: SourceNode,
    state: State,
}

enum State {
    /// Becoming a replica; enough full copies of the host are under way.
    Waiting(JoinSet<Result<ReplicaSource>>),
    Open(Box<ReplicaSource>),
}

impl Replica {
    /// Becomes a replica, or finds out that it has to wait for its turn. In that case `check` is asked once it has become one.
    pub(super) async fn open<F>(
        opening: Opening,
        durable: Durable,
        (turn, mut waits): (Turn, watch::Receiver<bool>),
        check: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Self>
    where
        F: Future<Output = Result<()>> + Send,
    {
        let node = opening.node();
        let mut opened = JoinSet::new();
        let waited = waits.clone();
        opened.spawn(async move {
            let source = opening.in_turn(turn).run(durable).await?;
            if *waited.borrow() {
                check().await?;
            }
            Ok(source)
        });
        let state = tokio::select! {
            source = result(&mut opened) => State::Open(Box::new(source?)),
            true = async { waits.wait_for(|waits| *waits).await.is_ok() } => {
                // That it can be reached at all should be known before anything is written.
                node.connect().await?;
                State::Waiting(opened)
            }
        };
        Ok(Self { node, state })
    }

    /// The node that it reads from, or will.
    pub(crate) fn node(&self) -> SourceNode {
        self.node.clone()
    }

    fn source(&self) -> Option<&ReplicaSource> {
        match &self.state {
            State::Open(source) => Some(source),
            State::Waiting(_) => None,
        }
    }

    /// The length of its snapshot, if that is known already.
    pub(super) fn snapshot_len(&self) -> Option<u64> {
        self.source()?.snapshot_len()
    }

    /// Whether it counts offsets, as far as is known.
    pub(super) fn has_offsets(&self) -> bool {
        self.source().is_none_or(ReplicaSource::has_offsets)
    }
}

/// What the one task comes to. Cancel safe.
async fn result(opened: &mut JoinSet<Result<ReplicaSource>>) -> Result<ReplicaSource> {
    let gone = || Error::new(ErrorKind::Interrupted, "opening a source ended without a result");
    opened.join_next().await.ok_or_else(gone)?.map_err(|error| gone().with_source(error))?
}

impl Source for Replica {
    async fn next(&mut self) -> Result<Option<Batch>> {
        loop {
            match &mut self.state {
                State::Open(source) => return source.next().await,
                State::Waiting(opened) => self.state = State::Open(Box::new(result(opened).await?)),
            }
        }
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<()> {
        match &mut self.state {
            State::Open(source) => source.acknowledge(position).await,
            State::Waiting(_) => Ok(()),
        }
    }

    fn intake(&self) -> Intake {
        self.source().map_or_else(Intake::default, Source::intake)
    }
}

impl From<ReplicaSource> for Replica {
    fn from(source: ReplicaSource) -> Self {
        Self { node: source.node(), state: State::Open(Box::new(source)) }
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("node", &self.node).field("waits", &self.source().is_none()).finish()
    }
}
