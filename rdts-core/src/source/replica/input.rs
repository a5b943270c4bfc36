//! Where the bytes come from: a link, or a spool that a task fills.

use std::sync::Arc;

use bytes::Bytes;
use rdts_rdb::ResumePoint;
use tokio::task::JoinSet;

use super::{ReplicaSource, State};
use crate::error::{Error, Result, Retry};
use crate::failpoint;
use crate::record::Position;
use crate::replica::{ReplicaLink, append};
use crate::source::reconnect::{Back, PassedOn, Place, Places, Reconnecting};
use crate::spool::{At, Consumer, Piece, Shared};

#[derive(Debug)]
pub(super) enum Input {
    Link {
        link: Box<ReplicaLink>,
        /// Under way while the link is broken.
        reconnecting: Option<Reconnecting>,
    },
    Spool {
        consumer: Consumer,
        /// The task that fills it; none if all that is wanted is in it.
        _feeder: JoinSet<()>,
    },
    None,
}

impl Input {
    pub(super) fn link(link: ReplicaLink) -> Self {
        Self::Link { link: Box::new(link), reconnecting: None }
    }

    fn shared(&self) -> Option<&Arc<Shared>> {
        match self {
            Self::Spool { consumer, .. } => Some(consumer.shared()),
            _ => None,
        }
    }

    /// Everything up to `position` is applied.
    pub(super) fn applied(&self, position: &Position) {
        if let Some(shared) = self.shared() {
            shared.applied(match *position {
                Position::Snapshot { rdb_bytes, .. } => At::Snapshot(rdb_bytes),
                Position::Stream { offset, .. } => At::Stream(offset),
            });
        }
    }

    /// The snapshot can be gone on with there.
    pub(super) fn add_point(&self, point: ResumePoint) {
        if let Some(shared) = self.shared() {
            shared.add_point(point);
        }
    }

    /// So many bytes should be between two of these; `None` if they are of no use.
    pub(super) fn points_every(&self) -> Option<u64> {
        self.shared().map(|shared| shared.points_every())
    }

    /// All commands up to `place` are in batches.
    pub(super) fn passed_on(&self, place: Place) {
        if let Some(shared) = self.shared() {
            shared.set_passed_on(place.offset, place.db);
        }
    }
}

impl ReplicaSource {
    /// Takes what is there, and says whether that was anything.
    pub(super) fn more(&mut self) -> Result<bool> {
        match &mut self.input {
            Input::Link { reconnecting: Some(_), .. } | Input::None => Ok(false),
            Input::Link { link, .. } => match link.try_fill(&mut self.buffer) {
                Ok(some) => {
                    failpoint::hit("source.read");
                    let arrived = link.arrived();
                    self.arrived(arrived);
                    Ok(some)
                }
                Err(error) => self.broken(error).map(|()| false),
            },
            Input::Spool { consumer, .. } => match consumer.try_next()? {
                Some(Piece::Data { at, bytes, arrived }) => {
                    self.arrived(arrived);
                    self.data(at, bytes).map(|()| true)
                }
                Some(Piece::Renamed(history)) => {
                    self.renamed(history);
                    Ok(true)
                }
                None => Ok(false),
            },
        }
    }

    /// Waits until there is more.
    pub(super) async fn wait(&mut self) -> Result<()> {
        match &mut self.input {
            Input::Link { reconnecting: Some(reconnecting), .. } => {
                let back = reconnecting.done().await?;
                self.reconnected(back);
            }
            Input::Link { link, .. } => {
                let filled = tokio::select! {
                    filled = link.fill(&mut self.buffer) => filled,
                    moved = self.node.moved() => Err(moved),
                };
                let arrived = link.arrived();
                self.arrived(arrived);
                if let Err(error) = filled {
                    self.broken(error)?;
                }
                failpoint::hit("source.read");
            }
            Input::Spool { consumer, .. } => consumer.wait().await?,
            Input::None => {}
        }
        Ok(())
    }

    fn data(&mut self, at: At, bytes: Bytes) -> Result<()> {
        let waiting = self.buffer.len() as u64;
        let fits = match (&self.state, at) {
            (State::Stream { .. }, At::Stream(at)) => at == self.offset + waiting,
            (State::Snapshot { snapshot, .. }, At::Snapshot(at)) => at == snapshot.offset() + waiting,
            (State::Delimiter { rdb_bytes, .. }, At::Snapshot(at)) => at == rdb_bytes + waiting,
            _ => false,
        };
        if !fits {
            // Where the spool saw the snapshot end, and where the parser did, for example.
            let text = format!("'{at}' is not what follows replication offset {}", self.offset);
            return Err(Error::new(crate::ErrorKind::SpoolDamaged, text));
        }
        append(&mut self.buffer, bytes);
        Ok(())
    }

    /// The link broke: goes back to the last boundary of commands and starts to look for a new link, if that may help.
    fn broken(&mut self, error: Error) -> Result<()> {
        let how = self.options.reconnect;
        let stream = matches!(self.state, State::Stream { .. });
        if !stream || self.replid.is_none() || how.within.is_zero() || error.retry() != Retry::Resume {
            return Err(error);
        }
        tracing::warn!(%error, offset = self.boundary.offset, "the link to the source broke; connecting again");
        self.rewind();
        let passed_on = PassedOn::Here(self.passed_on);
        let places = Places { replid: self.replid, read: self.boundary.offset, passed_on };
        let search = Reconnecting::start(self.seeker.clone(), places, how);
        if let Input::Link { reconnecting, .. } = &mut self.input {
            *reconnecting = Some(search);
        }
        Ok(())
    }

    fn reconnected(&mut self, back: Back) {
        // A promoted primary has given the history a new name: positions carry it from here on.
        self.moved |= back.replid != self.replid;
        self.replid = back.replid;
        let place = back.rewound.unwrap_or(self.boundary);
        self.go_on_at(place);
        self.ack.set(self.ack.get().min(place.offset));
        self.node.set_address(back.link.address());
        self.input = Input::link(back.link);
    }
}
