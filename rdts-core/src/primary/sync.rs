//! What a replica gets: the rest of the stream, or the snapshot and the stream behind it.

use rdts_resp::encode;
use tokio::time::Instant;

use super::ReplicaState;
use super::config::{Protocol, SnapshotFraming};
use super::state::{Entry, Replica, Snapshot, State};
use crate::record::ReplicationId;

/// What a replica asks for, and what it can do.
#[derive(Debug)]
pub(super) struct Request {
    /// `None` for a `SYNC`, which is answered with a snapshot and nothing before it.
    pub(super) wanted: Option<Wanted>,
    pub(super) listening_port: u16,
    pub(super) capa_eof: bool,
    pub(super) capa_psync2: bool,
}

/// The place from which a replica with a `PSYNC` wants to go on.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) replid: Vec<u8>,
    /// What it has; `None` if it says itself that it has nothing.
    pub(super) offset: Option<u64>,
}

/// What it gets.
pub(super) enum Start {
    /// This reply, then the stream from where the replica is.
    Continue { reply: Vec<u8> },
    /// This reply, the snapshot, and the stream from the snapshot on.
    Full { reply: Vec<u8>, snapshot: Snapshot, framing: SnapshotFraming },
    /// This reply and nothing else.
    Refused { reply: Vec<u8> },
}

impl Entry {
    /// Decides what the replica gets, and from then on keeps what it needs of the stream.
    pub(super) fn start(&self, request: &Request) -> Start {
        let shared = &self.shared;
        let start = {
            let mut state = shared.state();
            let (start, from) = state.decide(request, shared.config.protocol, shared.config.framing);
            if let Some(offset) = from {
                let replica = Replica {
                    port: request.listening_port,
                    state: ReplicaState::Preparing,
                    sent: offset,
                    acknowledged: offset,
                    heard: Instant::now(),
                    silent: request.wanted.is_none(),
                };
                state.set_replica(self.id, replica);
            }
            start
        };
        match start {
            Start::Full { .. } => shared.count_sync(true),
            Start::Continue { .. } => shared.count_sync(false),
            Start::Refused { .. } => {}
        }
        // Those who wait for a replica see it.
        self.update(|_| ());
        start
    }
}

impl State {
    /// What a replica gets, and the offset that it then has.
    fn decide(&self, request: &Request, protocol: Protocol, framing: SnapshotFraming) -> (Start, Option<u64>) {
        let mut reply = Vec::new();
        if let Some(offset) = request.wanted.as_ref().and_then(|wanted| self.can_continue(wanted)) {
            if protocol == Protocol::Psync2 && request.capa_psync2 {
                encode::simple(&mut reply, format!("CONTINUE {}", self.replid).as_bytes());
            } else {
                encode::simple(&mut reply, b"CONTINUE");
            }
            return (Start::Continue { reply }, Some(offset));
        }
        let refusal = match &self.snapshot {
            Some(snapshot) if self.backlog.reaches(snapshot.offset) => {
                if request.wanted.is_some() {
                    encode::simple(&mut reply, format!("FULLRESYNC {} {}", self.replid, snapshot.offset).as_bytes());
                }
                let framing = if request.capa_eof { framing } else { SnapshotFraming::Length };
                return (Start::Full { reply, snapshot: snapshot.clone(), framing }, Some(snapshot.offset));
            }
            Some(snapshot) => format!(
                "ERR no full sync: the snapshot is of offset {}, but the backlog starts at {}; a newer snapshot or a larger backlog is needed",
                snapshot.offset,
                self.backlog.first(),
            ),
            None => "ERR no full sync: this primary has no snapshot yet".to_owned(),
        };
        encode::error(&mut reply, refusal.as_bytes());
        (Start::Refused { reply }, None)
    }

    /// The offset to go on from, if that is possible.
    fn can_continue(&self, wanted: &Wanted) -> Option<u64> {
        let offset = wanted.offset?;
        let named = |replid: &ReplicationId| wanted.replid.eq_ignore_ascii_case(replid.as_str().as_bytes());
        let same =
            named(&self.replid) || self.previous.is_some_and(|(replid, until)| named(&replid) && offset <= until);
        (same && self.backlog.reaches(offset)).then_some(offset)
    }
}
