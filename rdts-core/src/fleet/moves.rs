//! Which commands of a lane may be passed on, and which wait for other lanes. No I/O.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rdts_resp::encode;
use tokio::time::Instant;

use super::board::{Board, Shared, place};
use super::view::View;
use crate::command::keys;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Skipped;
use crate::record::{Batch, BatchBuilder, Command, Kind, Position, ReplicationId};
use crate::slot::{SLOTS, slot};

/// The commands of one lane on their way from its source to its sink.
#[derive(Debug)]
pub(super) struct Crossing {
    board: Arc<Board>,
    lane: usize,
    queue: VecDeque<Queued>,
    bytes: usize,
    /// Batches that were read.
    read: u64,
    replid: Option<ReplicationId>,
    /// What the other nodes said, each with the number of batches that had been read when it was asked.
    fences: BTreeMap<usize, (u64, Arc<View>)>,
    /// Answers to questions that were asked before this last grew do not count.
    epoch: u64,
    /// Nodes that have to be asked.
    wanted: BTreeSet<usize>,
    /// Slots that were seen here for the first time, and when: where they were before has to know of it.
    fresh: BTreeMap<u16, Instant>,
    /// Atomic moves of slots to this node that are not over: by name, what the node receives in them.
    receiving: BTreeMap<Vec<u8>, Vec<RangeInclusive<u16>>>,
    skipped: Skipped,
}

/// When a question was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    epoch: u64,
    read: u64,
}

#[derive(Debug)]
struct Queued {
    batch: Batch,
    number: u64,
    /// Offsets of commands with which a key arrived from another node.
    arrivals: BTreeSet<u64>,
}

/// Commands that belong together: one, or a transaction.
#[derive(Debug, Default)]
struct Unit {
    commands: usize,
    slots: BTreeSet<u16>,
    keys: Vec<Vec<u8>>,
    /// Whether one of them is an arrival.
    arrival: bool,
    /// Whether all of them only remove keys.
    removal: bool,
    /// The end of the last of them, and its database.
    end: (u64, u32),
}

enum Verdict {
    Pass,
    Drop,
    Wait,
}

/// A node that still serves a slot of which another one has written is asked again for so long: it learns of a move a moment
/// later.
const LATE: Duration = Duration::from_secs(20);
/// Lanes that wait for each other for so long will do so for ever.
const STUCK: Duration = Duration::from_secs(60);
/// So much a waiting lane reads ahead.
pub(super) const AHEAD: usize = 64 << 20;

impl Crossing {
    pub(super) fn new(board: Arc<Board>, lane: usize) -> Self {
        Self {
            board,
            lane,
            queue: VecDeque::new(),
            bytes: 0,
            read: 0,
            replid: None,
            fences: BTreeMap::new(),
            epoch: 0,
            wanted: BTreeSet::new(),
            fresh: BTreeMap::new(),
            receiving: BTreeMap::new(),
            skipped: Skipped::default(),
        }
    }

    pub(super) fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Whether nothing waits here.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.bytes < AHEAD
    }

    /// The nodes that have to be asked now; the answers go to [`answer`](Self::answer) with the moment.
    pub(super) fn take_wanted(&mut self) -> (Vec<usize>, Moment) {
        (std::mem::take(&mut self.wanted).into_iter().collect(), Moment { epoch: self.epoch, read: self.read })
    }

    /// What node `other` said when it was asked after [`take_wanted`](Self::take_wanted) had given `moment`.
    pub(super) fn answer(&mut self, other: usize, moment: Moment, view: Arc<View>) {
        if moment.epoch == self.epoch {
            self.fences.insert(other, (moment.read, view));
        }
    }

    /// The source gave a batch. Comes back at once if there is nothing about it; see [`advance`](Self::advance) otherwise.
    pub(super) fn push(&mut self, batch: Batch) -> Result<Option<Batch>> {
        let replid = batch.position().replid();
        if self.replid.replace(replid).is_some_and(|before| before != replid) && !self.receiving.is_empty() {
            let text = "the node failed over in the middle of an atomic move of slots to it: what became of them cannot be told";
            return Err(Error::new(ErrorKind::Topology, text));
        }
        self.read += 1;
        let board = self.board.clone();
        let mut shared = board.lock();
        shared.lanes[self.lane].read = place(batch.position());
        if self.queue.is_empty() && self.is_plain(&shared, &batch) {
            shared.lanes[self.lane].passed = place(batch.position());
            board.notify(&shared);
            return Ok(Some(batch));
        }
        let queued = self.prepare(&mut shared, batch)?;
        for command in queued.batch.commands() {
            for key in named(&command)? {
                let place = (command.offset(), queued.arrivals.contains(&command.offset()));
                shared.lanes[self.lane].pending.entry(key).or_default().push_back(place);
            }
        }
        self.bytes += queued.batch.bytes().len();
        self.queue.push_back(queued);
        board.notify(&shared);
        Ok(None)
    }

    /// Whether every command of the batch is one of this lane's own slots, and nothing more.
    fn is_plain(&self, shared: &Shared, batch: &Batch) -> bool {
        self.receiving.is_empty()
            && batch.commands().all(|command| match (command.kind(), command.key()) {
                (Kind::Move, _) => false,
                (Kind::Multi | Kind::Exec, _) => true,
                (Kind::Code, _) => self.lane == 0,
                (_, Some(key)) => shared.is_at_home(slot(key), self.lane) && !is_arrival(&command),
                (kind, None) => kind == Kind::Script,
            })
    }

    /// Takes out of a batch what is not for the target, and makes of the rest what a target understands.
    fn prepare(&mut self, shared: &mut Shared, batch: Batch) -> Result<Queued> {
        let mut arrivals = BTreeSet::new();
        let mut out = BatchBuilder::new(batch.bytes().len());
        for command in batch.commands() {
            match (command.kind(), command.key()) {
                (Kind::Move, _) => {
                    self.skipped.cluster += 1;
                    self.slot_move(shared, &command)?;
                    continue;
                }
                // Libraries are on every node: one of the lanes brings them.
                (Kind::Code, _) if self.lane != 0 || !self.receiving.is_empty() => {
                    self.skipped.functions += 1;
                    continue;
                }
                (Kind::Snapshot, Some(key)) if !shared.holds(slot(key), self.lane) => {
                    self.skipped.cluster += 1;
                    continue;
                }
                (Kind::Write, None) => return Err(whole_keyspace(command.name())),
                (Kind::Write | Kind::Script, Some(key)) if self.is_received(slot(key)) => {
                    self.skipped.cluster += 1;
                    continue;
                }
                _ => {}
            }
            let start = out.arena().len();
            let key = if is_arrival(&command) {
                arrivals.insert(command.offset());
                Some(restore(&command, out.arena()))
            } else {
                let key = command.key().map(|key| key.as_ptr() as usize - command.raw().as_ptr() as usize);
                out.arena().extend_from_slice(command.raw());
                key.map(|at| start + at).zip(command.key()).map(|(at, key)| at..at + key.len())
            };
            out.commit(command.mark(), key, command.offset());
        }
        Ok(Queued { batch: out.take(*batch.position()), number: self.read, arrivals })
    }

    /// Whether the node receives the slot in an atomic move: what it writes of it is its private copy.
    fn is_received(&self, slot: u16) -> bool {
        self.receiving.values().flatten().any(|range| range.contains(&slot))
    }

    /// What a node says of slots that move.
    fn slot_move(&mut self, shared: &mut Shared, command: &Command<'_>) -> Result<()> {
        let words: Vec<&[u8]> = command.args().collect();
        let is =
            |index: usize, word: &str| words.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        // Keys of slots that are served elsewhere.
        if is(0, "TRIMSLOTS") || is(1, "SETSLOT") {
            return Ok(());
        }
        let unknown = || {
            let text = format!(
                "{} of a cluster's node is not understood",
                words.iter().take(4).map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
            );
            Error::new(ErrorKind::Unsupported, text)
        };
        if !is(1, "SYNCSLOTS") {
            return Err(unknown());
        }
        if is(2, "CONF") && is(3, "ASM-TASK") {
            // Redis 8.4: id:source:destination:operation:state:ranges
            let text = words.get(4).and_then(|word| std::str::from_utf8(word).ok()).ok_or_else(unknown)?;
            let fields: Vec<&str> = text.split(':').collect();
            let [id, _, _, operation, state, ranges] = fields[..] else { return Err(unknown()) };
            let ranges = ranges.split([' ', ',']).map(range).collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
            match (operation, state) {
                ("import", "completed") => {
                    self.receiving.remove(id.as_bytes());
                    for slot in ranges.into_iter().flatten() {
                        self.first_seen(shared, slot);
                    }
                }
                ("import", "failed" | "canceled" | "cancelled") => drop(self.receiving.remove(id.as_bytes())),
                ("import", _) => drop(self.receiving.insert(id.as_bytes().to_vec(), ranges)),
                _ => {}
            }
            return Ok(());
        }
        if is(2, "CONF") {
            return Ok(());
        }
        let text = "an atomic move of slots (CLUSTER MIGRATESLOTS) while a Valkey cluster is copied cannot be followed: its stream \
                    does not tell which deletions were the move's";
        Err(Error::new(ErrorKind::Unsupported, text))
    }

    /// A slot is written here that was only written elsewhere before.
    fn first_seen(&mut self, shared: &mut Shared, slot: u16) {
        if !shared.holds(slot, self.lane) {
            shared.append(slot, self.lane);
            self.fresh.insert(slot, Instant::now());
            // What was asked before other lanes could know of it does not count.
            self.fences.clear();
            self.epoch += 1;
        }
    }

    /// What may be passed on of the commands that wait.
    pub(super) fn advance(&mut self) -> Result<Option<Batch>> {
        let board = self.board.clone();
        let mut shared = board.lock();
        let (mut passed, mut end, mut dropped) = (0, None, BTreeSet::new());
        let mut blocked = false;
        let Some(mut front) = self.queue.pop_front() else { return Ok(None) };
        while passed < front.batch.len() {
            let unit = Unit::at(&front, passed)?;
            match self.verdict(&mut shared, &unit, front.number)? {
                Verdict::Wait => {
                    blocked = true;
                    break;
                }
                Verdict::Pass => {}
                Verdict::Drop => {
                    self.skipped.cluster += unit.commands as u64;
                    dropped.extend(passed..passed + unit.commands);
                }
            }
            passed += unit.commands;
            end = Some(unit.end);
        }
        if blocked && passed == 0 {
            self.queue.push_front(front);
            shared.set_waiting(self.lane, true);
            board.notify(&shared);
            return self.check_stuck(&shared).map(|()| None);
        }
        let mut batch = match end {
            Some((offset, db)) if blocked => {
                let position = Position::stream(front.batch.position().replid(), offset, db);
                let batch = front.batch.take_front(passed, position);
                self.queue.push_front(front);
                batch
            }
            _ => front.batch,
        };
        let lane = &mut shared.lanes[self.lane];
        for command in batch.commands() {
            for key in named(&command)? {
                if let Some(offsets) = lane.pending.get_mut(&key) {
                    offsets.pop_front();
                    if offsets.is_empty() {
                        lane.pending.remove(&key);
                    }
                }
            }
        }
        lane.passed = place(batch.position());
        self.bytes = self.bytes.saturating_sub(batch.bytes().len());
        shared.set_waiting(self.lane, false);
        board.notify(&shared);
        let mut index = 0;
        batch.retain(|_| {
            index += 1;
            !dropped.contains(&(index - 1))
        });
        Ok(Some(batch))
    }

    /// Whether a unit of the batch with that number may be passed on.
    fn verdict(&mut self, shared: &mut Shared, unit: &Unit, number: u64) -> Result<Verdict> {
        if !unit.slots.is_empty() && unit.removal && unit.slots.iter().all(|slot| !shared.holds(*slot, self.lane)) {
            // Left-overs of a slot that the node lost: what it removes of a slot came there by a command before.
            return Ok(Verdict::Drop);
        }
        let mut others = BTreeSet::new();
        let mut comes_back = false;
        for slot in &unit.slots {
            if unit.arrival && shared.is_at_home(*slot, self.lane) {
                // It comes back from somewhere, unseen: all must be applied that was before.
                comes_back = true;
                others.extend((0..shared.lanes.len()).filter(|other| *other != self.lane));
            } else if unit.arrival && shared.holds(*slot, self.lane) && !shared.is_last(*slot, self.lane) {
                // Its order among the others would change while they may still have something of before.
                return Err(came_back(*slot, &shared.lanes[self.lane].name));
            }
            self.first_seen(shared, *slot);
            others.extend(shared.before(*slot, self.lane));
        }
        let mut wait = false;
        let mut all_applied = true;
        for other in &others {
            let Some((_, view)) = self.fences.get(other).filter(|(asked, _)| *asked >= number) else {
                self.wanted.insert(*other);
                wait = true;
                continue;
            };
            let late = unit
                .slots
                .iter()
                .find(|slot| !comes_back && view.owned.contains(**slot) && !view.migrating.contains(**slot));
            if let Some(slot) = late {
                let since = *self.fresh.entry(*slot).or_insert_with(Instant::now);
                if since.elapsed() > LATE {
                    return Err(came_back(*slot, &shared.lanes[*other].name));
                }
                self.wanted.insert(*other);
                wait = true;
                continue;
            }
            match shared.is_behind(*other, (view.replid, view.offset), &unit.keys, unit.arrival) {
                Some(applied) => all_applied &= applied,
                None => wait = true,
            }
        }
        if wait {
            return Ok(Verdict::Wait);
        }
        for slot in &unit.slots {
            self.fresh.remove(slot);
            for other in others.iter().filter(|_| all_applied) {
                if self.fences.get(other).is_some_and(|(_, view)| !view.is_involved(*slot)) {
                    shared.remove(*slot, *other);
                }
            }
        }
        Ok(Verdict::Pass)
    }

    fn check_stuck(&self, shared: &Shared) -> Result<()> {
        let stuck = |lane: usize| shared.lanes[lane].waiting.is_some_and(|since| since.elapsed() > STUCK);
        if stuck(self.lane) && self.fences.keys().all(|other| stuck(*other)) {
            let text = "the shards wait for each other: slots moved to and fro faster than could be followed";
            return Err(Error::new(ErrorKind::Topology, text));
        }
        Ok(())
    }
}

impl Unit {
    /// The unit that starts with a command of the batch.
    fn at(queued: &Queued, first: usize) -> Result<Self> {
        let mut unit = Self { removal: true, ..Self::default() };
        let mut depth = 0;
        for command in queued.batch.commands().skip(first) {
            unit.commands += 1;
            unit.end = (command.offset(), command.db());
            match command.kind() {
                Kind::Multi => depth += 1,
                Kind::Exec => depth = 0,
                Kind::Snapshot | Kind::Code => {}
                _ => {
                    for key in named(&command)? {
                        unit.slots.insert(slot(&key));
                        unit.keys.push(key);
                    }
                    unit.arrival |= queued.arrivals.contains(&command.offset());
                    let name = command.name();
                    unit.removal &= name.eq_ignore_ascii_case(b"DEL") || name.eq_ignore_ascii_case(b"UNLINK");
                }
            }
            if depth == 0 {
                break;
            }
        }
        Ok(unit)
    }
}

/// The keys of a command of the stream.
fn named(command: &Command<'_>) -> Result<Vec<Vec<u8>>> {
    match (command.kind(), command.key()) {
        (Kind::Write | Kind::Script, Some(first)) => {
            let args: Vec<&[u8]> = command.args().collect();
            let mut named: Vec<Vec<u8>> =
                keys(&args)?.filter_map(|key| args.get(key.index)).map(|key| key.to_vec()).collect();
            if !named.iter().any(|key| key == first) {
                named.push(first.to_vec());
            }
            Ok(named)
        }
        _ => Ok(Vec::new()),
    }
}

const ARRIVAL: &[u8] = b"RESTORE-ASKING";

fn is_arrival(command: &Command<'_>) -> bool {
    // The length of the name first, where it stands in a command of less than ten arguments.
    command.raw().get(4..8) == Some(b"$14\r") && command.name().eq_ignore_ascii_case(ARRIVAL)
}

/// A key that arrived by `MIGRATE`, for a target that may have it already. Gives the place of the key.
fn restore(command: &Command<'_>, out: &mut Vec<u8>) -> std::ops::Range<usize> {
    let args: Vec<&[u8]> = command.args().skip(1).collect();
    let replaces = args.iter().skip(3).any(|arg| arg.eq_ignore_ascii_case(b"REPLACE"));
    encode::array_header(out, 1 + args.len() + usize::from(!replaces));
    encode::bulk(out, b"RESTORE");
    let mut place = 0..0;
    for (index, arg) in args.iter().enumerate() {
        encode::bulk(out, arg);
        if index == 0 {
            let end = out.len() - 2;
            place = end - arg.len()..end;
        }
    }
    if !replaces {
        encode::bulk(out, b"REPLACE");
    }
    place
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (last < SLOTS).then_some(first..=last)
}

fn came_back(slot: u16, name: &str) -> Error {
    let text = format!(
        "slot {slot} came back to {name} before its move away could be followed: the order of its writes cannot be told"
    );
    Error::new(ErrorKind::Topology, text)
}

pub(super) fn whole_keyspace(name: &[u8]) -> Error {
    let text = format!(
        "{} at one shard concerns its part of the keys alone, and at the target it would concern those of all shards",
        name.escape_ascii()
    );
    Error::new(ErrorKind::Unsupported, text)
}
