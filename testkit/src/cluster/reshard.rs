//! Slots that move from one node to another, in both ways that servers have.

use std::ops::RangeInclusive;
use std::time::Instant;

use redis::{Connection, Value};

use super::{Cluster, NodeView, SETTLE};
use crate::wire::{array, bytes};

/// Keys that one `MIGRATE` takes with it, as many as `redis-cli` gives it.
const KEYS: usize = 10;

impl Cluster {
    /// Moves slots between two primaries as `redis-cli --cluster reshard` does, slot by slot and key by key, while
    /// clients go on.
    ///
    /// # Panics
    /// When a node refuses, or the cluster does not agree on it within 60 s.
    #[track_caller]
    pub fn migrate_slots(&self, slots: RangeInclusive<u16>, from: usize, to: usize) {
        let mut connections = (self.nodes[from].connection(), self.nodes[to].connection());
        for slot in slots {
            connections = OpenSlot::begin(self, slot, from, to, connections).complete();
        }
        self.wait_agreed();
    }

    /// Begins to move one slot and comes back while it is open: half of it can be at one node and half at the other, for
    /// as long as a test likes. Clients see `ASK` and `TRYAGAIN`.
    ///
    /// # Panics
    /// When a node refuses.
    #[track_caller]
    #[must_use = "the slot stays open until `finish`"]
    pub fn open_slot(&self, slot: u16, from: usize, to: usize) -> OpenSlot<'_> {
        OpenSlot::begin(self, slot, from, to, (self.nodes[from].connection(), self.nodes[to].connection()))
    }

    /// Moves slots to a primary in one atomic step, and waits for its end: `CLUSTER MIGRATESLOTS` of Valkey 9.0,
    /// `CLUSTER MIGRATION IMPORT` of Redis 8.4. All of them must be at one node.
    ///
    /// # Panics
    /// When the version has neither, or the move fails or takes more than 60 s.
    #[track_caller]
    pub fn migrate_atomic(&self, slots: RangeInclusive<u16>, to: usize) {
        let from = self.primary_of(*slots.start());
        let (first, last) = (slots.start().to_string(), slots.end().to_string());
        if self.version().has_valkey(9, 0) {
            let id = self.id(to);
            self.nodes[from].cmd(&["CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", &first, &last, "NODE", id]);
        } else if !self.version().is_valkey() && self.version().has_redis(8, 4) {
            self.nodes[to].cmd(&["CLUSTER", "MIGRATION", "IMPORT", &first, &last]);
        } else {
            panic!("{} cannot move slots atomically: Valkey 9.0 and Redis 8.4 can", self.name);
        }
        self.wait("the atomic move to end", || {
            let states = self.atomic_moves(from, to);
            assert!(!states.iter().any(|state| state == "failed"), "the move failed: {}", self.nodes[from].log_tail());
            let own = NodeView::own(&self.nodes[to]).unwrap_or_else(|| panic!("node {to} does not answer"));
            slots.clone().all(|slot| own.has(slot))
                && states.iter().all(|state| state == "success" || state == "completed")
        });
        self.wait_agreed();
    }

    /// The states of all atomic moves that the two nodes know of.
    fn atomic_moves(&self, from: usize, to: usize) -> Vec<String> {
        let moves = if self.version().is_valkey() {
            array(self.nodes[from].cmd(&["CLUSTER", "GETSLOTMIGRATIONS"]))
        } else {
            array(self.nodes[to].cmd(&["CLUSTER", "MIGRATION", "STATUS", "ALL"]))
        };
        let state = |fields: Value| {
            let mut fields = match fields {
                Value::Map(pairs) => pairs.into_iter().flat_map(|(name, value)| [name, value]).collect(),
                fields => array(fields),
            }
            .into_iter();
            while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
                if bytes(name) == b"state" {
                    return Some(String::from_utf8_lossy(&bytes(value)).into_owned());
                }
            }
            None
        };
        moves.into_iter().filter_map(state).collect()
    }

    /// Waits until every running node knows what each primary says of its own slots.
    #[track_caller]
    pub(super) fn wait_agreed(&self) {
        self.wait("the nodes to agree on the slots", || {
            let own: Vec<_> = self.own_views().filter(|(_, own)| own.is_primary()).map(|(_, own)| own).collect();
            let agrees = |node| {
                let views = NodeView::all(node).unwrap_or_default();
                own.iter().all(|own| views.iter().any(|view| view.id == own.id && view.slots == own.slots))
            };
            self.nodes.iter().filter(|node| node.is_running()).all(agrees)
        });
    }
}

/// A slot that is being moved: [`Cluster::open_slot`]. When this value is dropped without [`finish`](Self::finish) it
/// stays open.
#[must_use = "the slot stays open until `finish`"]
pub struct OpenSlot<'a> {
    cluster: &'a Cluster,
    slot: u16,
    from: usize,
    to: usize,
    source: Connection,
    target: Connection,
}

impl std::fmt::Debug for OpenSlot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "slot {} on its way from node {} to node {}", self.slot, self.from, self.to)
    }
}

impl<'a> OpenSlot<'a> {
    #[track_caller]
    fn begin(
        cluster: &'a Cluster,
        slot: u16,
        from: usize,
        to: usize,
        (source, target): (Connection, Connection),
    ) -> Self {
        let mut open = Self { cluster, slot, from, to, source, target };
        let number = slot.to_string();
        open.at_target(&["CLUSTER", "SETSLOT", &number, "IMPORTING", cluster.id(from)]);
        open.at_source(&["CLUSTER", "SETSLOT", &number, "MIGRATING", cluster.id(to)]);
        open
    }

    /// Moves at most so many keys; the number of those that it moved, which is 0 when there are none left.
    ///
    /// # Panics
    /// When a node refuses.
    #[track_caller]
    pub fn move_keys(&mut self, at_most: usize) -> usize {
        let found = self.at_source(&["CLUSTER", "GETKEYSINSLOT", &self.slot.to_string(), &at_most.to_string()]);
        let keys: Vec<Vec<u8>> = array(found).into_iter().map(bytes).collect();
        let target = &self.cluster.nodes[self.to];
        // Several keys in one command came with 3.0.6.
        let many = self.cluster.version().has_redis(3, 2);
        for keys in keys.chunks(if many { KEYS } else { 1 }) {
            let port = target.peer_port().to_string();
            let key: &[u8] = if many { b"" } else { &keys[0] };
            let mut command: Vec<&[u8]> = vec![b"MIGRATE", b"127.0.0.1", port.as_bytes(), key, b"0", b"60000"];
            if let Some(password) = target.password() {
                command.extend([b"AUTH", password.as_bytes()]);
            }
            if many {
                command.push(b"KEYS");
                command.extend(keys.iter().map(Vec::as_slice));
            }
            self.at_source(&command);
        }
        keys.len()
    }

    /// Moves the keys that are left, and gives the slot to its new owner.
    ///
    /// # Panics
    /// When a node refuses, or the cluster does not agree on it within 60 s.
    #[track_caller]
    pub fn finish(self) {
        let cluster = self.cluster;
        self.complete();
        cluster.wait_agreed();
    }

    #[track_caller]
    fn complete(mut self) -> (Connection, Connection) {
        while self.move_keys(100) > 0 {}
        let (slot, id) = (self.slot.to_string(), self.cluster.id(self.to));
        let command = ["CLUSTER", "SETSLOT", &slot, "NODE", id];
        // The new owner first: the other way round, nobody has it for a moment.
        self.at_target(&command);
        self.at_source(&command);
        (self.source, self.target)
    }

    #[track_caller]
    fn at_source<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        confirmed(&mut self.source, args).unwrap_or_else(|error| panic!("{self:?}: the source says {error}"))
    }

    #[track_caller]
    fn at_target<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        confirmed(&mut self.target, args).unwrap_or_else(|error| panic!("{self:?}: the target says {error}"))
    }
}

/// Valkey gives its replicas two seconds to confirm a change of the slots, which may be too little on a machine that is busy with
/// other tests. The same change may be asked for again.
fn confirmed<A: AsRef<[u8]>>(connection: &mut Connection, args: &[A]) -> redis::RedisResult<Value> {
    let started = Instant::now();
    loop {
        match run(connection, args) {
            Err(error) if error.code() == Some("NOREPLICAS") && started.elapsed() < SETTLE => {}
            reply => return reply,
        }
    }
}

fn run<A: AsRef<[u8]>>(connection: &mut Connection, args: &[A]) -> redis::RedisResult<Value> {
    let mut command = redis::Cmd::new();
    for arg in args {
        command.arg(arg.as_ref());
    }
    command.query(connection)
}
