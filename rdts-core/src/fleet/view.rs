//! What a node of a cluster says of itself: which slots it serves, and how far its stream is.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rdts_resp::Reply;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::board::Board;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::net::{Connection, info_field};
use crate::record::ReplicationId;
use crate::slot::SLOTS;
use crate::source::SourceNode;

/// A primary's word on itself.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// Its name in the cluster.
    pub(super) id: String,
    /// The name of its history; `None` before Redis 4.0.
    pub(super) replid: Option<ReplicationId>,
    /// How far its stream was while its slots were what this says.
    pub(super) offset: u64,
    /// The version of its claim to slots: grows whenever it takes over a slot from a node with a later one.
    pub(super) config_epoch: u64,
    pub(super) owned: SlotSet,
    /// Slots that it is giving away or taking, key by key.
    pub(super) migrating: SlotSet,
    pub(super) importing: SlotSet,
}

/// So often in a row the slots of a node may change while it is asked for them.
const ATTEMPTS: usize = 20;

/// A set of slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotSet(Box<[u64]>);

impl SlotSet {
    pub(super) fn new() -> Self {
        Self(vec![0; usize::from(SLOTS) / 64].into())
    }

    pub(super) fn insert(&mut self, slot: u16) {
        self.0[usize::from(slot / 64)] |= 1 << (slot % 64);
    }

    pub(super) fn remove(&mut self, slot: u16) {
        self.0[usize::from(slot / 64)] &= !(1 << (slot % 64));
    }

    /// Those of this set that are in none of `others`.
    pub(super) fn without(&self, others: [&Self; 3]) -> impl Iterator<Item = u16> {
        let left = (0..SLOTS / 64).map(move |word| {
            let at = usize::from(word);
            (word, others.iter().fold(self.0[at], |left, other| left & !other.0[at]))
        });
        left.filter(|(_, bits)| *bits != 0)
            .flat_map(|(word, bits)| (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit))
    }

    pub(super) fn contains(&self, slot: u16) -> bool {
        self.0[usize::from(slot / 64)] >> (slot % 64) & 1 == 1
    }

    pub(super) fn first(&self) -> Option<u16> {
        (0..SLOTS).find(|slot| self.contains(*slot))
    }
}

impl View {
    /// Whether it may execute commands of the slot.
    pub(super) fn is_involved(&self, slot: u16) -> bool {
        self.owned.contains(slot) || self.migrating.contains(slot) || self.importing.contains(slot)
    }

    /// Asks the node at the other end: for its slots, for its offset, and for its slots again until they are the same. A view whose
    /// slots are older than its offset would end the time of a node that has just begun to import one.
    pub(super) async fn ask(connection: &mut Connection) -> Result<Self> {
        let mut before = nodes(connection).await?;
        for _ in 0..ATTEMPTS {
            let info = connection.info("replication").await?;
            let after = nodes(connection).await?;
            let view = |nodes: &str| Self::read(nodes, &info).map_err(|error| error.at(connection.address()));
            let view = (view(&before)?, view(&after)?);
            if view.0.has_slots_of(&view.1) {
                return Ok(view.1);
            }
            before = after;
        }
        Err(Error::new(ErrorKind::NotReady, "its slots change all the time").at(connection.address()))
    }

    /// Whether both say the same of the node's slots.
    pub(super) fn has_slots_of(&self, other: &Self) -> bool {
        self.id == other.id
            && self.config_epoch == other.config_epoch
            && self.owned == other.owned
            && self.migrating == other.migrating
            && self.importing == other.importing
    }

    fn read(nodes: &str, info: &str) -> Result<Self> {
        let field = |name: &str| info_field(info, name);
        if field("role") != Some("master") {
            return Err(Error::new(ErrorKind::NotReady, "is a replica at present"));
        }
        let nonsense =
            || Error::new(ErrorKind::Topology, "the answer to CLUSTER NODES or INFO is not that of a server");
        let offset = field("master_repl_offset").and_then(|offset| offset.parse().ok()).ok_or_else(nonsense)?;
        let replid = field("master_replid").map(str::parse).transpose()?;
        let own = nodes.lines().find(|line| line.split(' ').nth(2).is_some_and(|flags| flags.contains("myself")));
        let own = own.ok_or_else(nonsense)?;
        let id = own.split(' ').next().unwrap_or_default().to_owned();
        let config_epoch = own.split(' ').nth(6).and_then(|epoch| epoch.parse().ok()).ok_or_else(nonsense)?;
        let (mut owned, mut migrating, mut importing) = (SlotSet::new(), SlotSet::new(), SlotSet::new());
        let slot = |text: &str| text.parse::<u16>().ok().filter(|slot| *slot < SLOTS).ok_or_else(nonsense);
        for word in own.split(' ').skip(8).filter(|word| !word.is_empty()) {
            if let Some(moving) = word.strip_prefix('[') {
                match (moving.split_once("->-"), moving.split_once("-<-")) {
                    (Some((number, _)), _) => migrating.insert(slot(number)?),
                    (_, Some((number, _))) => importing.insert(slot(number)?),
                    _ => return Err(nonsense()),
                }
                continue;
            }
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            (slot(first)?..=slot(last)?).for_each(|slot| owned.insert(slot));
        }
        Ok(Self { id, replid, offset, config_epoch, owned, migrating, importing })
    }
}

async fn nodes(connection: &mut Connection) -> Result<String> {
    let reply = connection.call(["CLUSTER", "NODES"]).await?;
    match reply.as_bytes().filter(|_| !reply.is_error()) {
        Some(nodes) => Ok(String::from_utf8_lossy(nodes).into_owned()),
        None => Err(connection.refusal("CLUSTER NODES", &reply)),
    }
}

/// Whether an atomic move is under way at a node; what it is called.
pub(super) async fn atomic_move(connection: &mut Connection) -> Result<Option<String>> {
    const OVER: [&str; 6] = ["success", "failed", "cancelled", "completed", "canceled", "none"];
    for command in [&["CLUSTER", "GETSLOTMIGRATIONS"][..], &["CLUSTER", "MIGRATION", "STATUS", "ALL"]] {
        let reply = connection.call(command).await?;
        // Servers without such moves do not know it.
        for task in reply.as_array().into_iter().flatten() {
            let field = |name| task.get(name).and_then(Reply::as_str);
            match field("state") {
                Some(state) if !OVER.contains(&state) => {
                    let what = field("slot_ranges").or(field("slots")).unwrap_or("some slots");
                    return Ok(Some(format!("{what} ({state})")));
                }
                _ => {}
            }
        }
    }
    Ok(None)
}

/// Asks one node again and again, and at once if somebody needs to know; what it says goes to the board.
#[derive(Debug)]
pub(super) struct Asker {
    wanted: Arc<Notify>,
    _task: JoinSet<()>,
}

/// So often a node is asked even if nobody waits for it: a slot that moves again sooner than after a few of these is ambiguous.
const ROUND: Duration = Duration::from_millis(100);
/// The least time between two questions, and between two attempts to ask a node that cannot be asked: the link to it is broken as
/// well then, and its shard looks for it.
const PAUSE: Duration = Duration::from_millis(5);

impl Asker {
    /// Asks `node`, that of a lane of the board, for as long as this is there.
    pub(super) fn start(node: SourceNode, lane: usize, board: Weak<Board>) -> Self {
        let wanted = Arc::new(Notify::new());
        let mut task = JoinSet::new();
        task.spawn(ask(node, lane, board, wanted.clone()));
        Self { wanted, _task: task }
    }

    /// Has the node asked once more, after this call.
    pub(super) fn ask(&self) {
        self.wanted.notify_one();
    }
}

async fn ask(node: SourceNode, lane: usize, board: Weak<Board>, wanted: Arc<Notify>) {
    let mut connection: Option<Connection> = None;
    loop {
        tokio::time::sleep(PAUSE).await;
        let _ = tokio::time::timeout(ROUND, wanted.notified()).await;
        let address = node.address();
        // After a promotion the shard is somewhere else.
        let mut open = match connection.take().filter(|open| *open.address() == address) {
            Some(open) => Ok(open),
            None => node.connect().await,
        };
        let Some(asked) = board.upgrade().map(|board| board.lock().tick()) else { return };
        let view = match &mut open {
            Ok(open) => View::ask(open).await,
            Err(_) => Err(Error::new(ErrorKind::Connect, "cannot be asked")),
        };
        let Some(board) = board.upgrade() else { return };
        match (view, open) {
            (Ok(view), Ok(open)) => {
                connection = Some(open);
                board.sampled(lane, asked, view);
            }
            (Err(error), _) | (_, Err(error)) if error.retry() == Retry::Resume => {
                tracing::debug!(%error, "a node cannot be asked for its slots");
                wanted.notify_one();
                tokio::time::sleep(10 * PAUSE).await;
            }
            (Err(error), _) | (_, Err(error)) => {
                board.failed(lane, error.kind(), error.to_string());
                return;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_what_it_serves() {
        let info = "role:master\r\nmaster_replid:4c1b873d2c85f0b3c32321aee14c7ef5363543d4\r\nmaster_repl_offset:17\r\n";
        let nodes = "aa 127.0.0.1:1@2 master - 0 0 1 connected 0-9\n\
                     bb 127.0.0.1:2@3,host myself,master - 0 0 2 connected 10-12 77 [11->-aa] [3-<-aa]\n";
        let view = View::read(nodes, info).unwrap();
        let of = |set: &SlotSet| (0..SLOTS).filter(|slot| set.contains(*slot)).collect::<Vec<_>>();
        assert_eq!(
            (of(&view.owned), of(&view.migrating), of(&view.importing)),
            (vec![10, 11, 12, 77], vec![11], vec![3])
        );
        assert_eq!((view.id.as_str(), view.offset, view.config_epoch), ("bb", 17, 2));
        assert_eq!(View::read(nodes, "role:slave\r\n").unwrap_err().kind(), ErrorKind::NotReady);
        for nodes in ["", "bb x myself - 0 0 2 c 1-x", "bb x myself - 0 0 2 connected link 99999"] {
            assert_eq!(View::read(nodes, info).unwrap_err().kind(), ErrorKind::Topology, "{nodes}");
        }
    }
}
