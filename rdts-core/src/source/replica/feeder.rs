//! The task that takes everything from the source and puts it into the spool.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::time::sleep_until;

use super::SourceNode;
use super::tail::Tail;
use super::turn::Permit;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::failpoint;
use crate::record::ReplicationId;
use crate::replica::ReplicaLink;
use crate::source::Reconnect;
use crate::source::reconnect::{PassedOn, Place, Places, Seeker};
use crate::spool::{At, History, Shared, Syncer, Writer, blocking};

/// Waits for no target: only for the disk, and when the spool is full.
#[derive(Debug)]
pub(super) struct Feeder {
    pub(super) link: ReplicaLink,
    pub(super) seeker: Seeker,
    pub(super) reconnect: Reconnect,
    pub(super) node: SourceNode,
    pub(super) tail: Tail,
    /// End with the snapshot.
    pub(super) snapshot_only: bool,
    /// To copy the snapshot.
    pub(super) permit: Option<Permit>,
}

/// So much is written at once, if it is there.
const BLOCK: usize = 1 << 20;

impl Feeder {
    /// Runs until something fails, which whoever reads is told when he has got everything before.
    pub(super) async fn run(mut self, writer: Writer) {
        // Whoever reads must not wait for a task that is gone, however it went.
        let ended = Ended(writer.shared().clone());
        let Err(error) = self.feed(writer).await;
        ended.0.fail(error);
    }

    async fn feed(&mut self, mut writer: Writer) -> Result<Infallible> {
        let mut syncer = Syncer::new(&writer);
        let mut room = true;
        loop {
            syncer.tick(&mut writer).await?;
            if !room {
                writer = self.wait_for_room(writer).await?;
            }
            let mut block = BytesMut::new();
            let filled = tokio::select! {
                filled = self.link.fill(&mut block) => filled,
                moved = self.node.moved() => Err(moved),
                () = sleep_until(syncer.due()) => {
                    (writer, room) = make_room(writer).await?;
                    continue;
                }
            };
            let mut broken = filled.err();
            while broken.is_none() && block.len() < BLOCK {
                match self.link.try_fill(&mut block) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => broken = Some(error),
                }
            }
            failpoint::hit("source.read");
            if !block.is_empty() {
                let over;
                (writer, over, room) = append(writer, block.freeze(), self.link.arrived()).await?;
                failpoint::hit("source.spooled");
                if over {
                    self.permit = None;
                    // A primary that sent its snapshot without a file keeps the stream back until it hears this.
                    self.seeker.ack.tell();
                    syncer.hurry();
                    if self.snapshot_only {
                        return Err(Error::new(ErrorKind::Disconnected, "the snapshot is over"));
                    }
                }
            }
            if let Some(error) = broken {
                writer = self.reconnect(writer, error).await?;
            }
        }
    }

    /// The spool is full: reads nothing until there is room.
    async fn wait_for_room(&self, mut writer: Writer) -> Result<Writer> {
        let shared = writer.shared().clone();
        let text = "the spool is full: nothing is read from the source until the target has applied more; the source buffers, and will cut us \
                    off when it has enough (client-output-buffer-limit)";
        let mut warned = false;
        loop {
            let room;
            (writer, room) = make_room(writer).await?;
            if room {
                return Ok(writer);
            }
            if !std::mem::replace(&mut warned, true) {
                tracing::warn!(source = %self.node.address(), "{text}");
            }
            shared.wait_for_change().await;
        }
    }

    /// The link broke: finds another one that goes on at the byte behind the spool's last one.
    async fn reconnect(&mut self, mut writer: Writer, error: Error) -> Result<Writer> {
        let replid = writer.contents().last().replid;
        let At::Stream(offset) = writer.shared().end() else { return Err(error) };
        if replid.is_none() || self.reconnect.within.is_zero() || error.retry() != Retry::Resume {
            return Err(error);
        }
        tracing::warn!(%error, offset, "the link to the source broke; connecting again");
        let places = Places { replid, read: offset, passed_on: PassedOn::InSpool(self.tail.clone()) };
        let back = self.seeker.search(&places, self.reconnect).await?;
        self.node.set_address(back.link.address());
        self.link = back.link;
        if let Some(history) = next_history(replid, offset, back.replid, back.rewound) {
            writer = blocking(move || writer.rename(history).map(|()| writer)).await?;
        }
        Ok(writer)
    }
}

/// The history that begins when the source goes on as `back` says.
pub(super) fn next_history(
    replid: ReplicationId,
    offset: u64,
    back: ReplicationId,
    rewound: Option<Place>,
) -> Option<History> {
    let from = rewound.map_or(offset, |place| place.offset);
    let history = History { replid: back, from, rewound: rewound.map(|place| place.db) };
    (back != replid || rewound.is_some()).then_some(history)
}

async fn append(mut writer: Writer, bytes: Bytes, arrived: u64) -> Result<(Writer, bool, bool)> {
    blocking(move || {
        let over = writer.append(bytes, arrived)?;
        let room = writer.make_room()?;
        Ok((writer, over, room))
    })
    .await
}

async fn make_room(mut writer: Writer) -> Result<(Writer, bool)> {
    blocking(move || {
        let room = writer.make_room()?;
        Ok((writer, room))
    })
    .await
}

struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.fail(Error::new(ErrorKind::Disconnected, "the link to the source ended"));
    }
}
