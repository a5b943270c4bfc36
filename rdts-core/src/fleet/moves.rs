//! Which commands of a lane may be passed on, and which wait for other lanes. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rdts_resp::encode;
use tokio::time::Instant;

use super::board::{Board, Shared, place};
use super::rules::Rule;
use crate::command::keys;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Intake;
use crate::record::{Batch, BatchBuilder, Command, Kind, Position, ReplicationId};
use crate::slot::{SLOTS, slot};

/// The commands of one lane on their way from its source to its sink.
#[derive(Debug)]
pub(super) struct Crossing {
    board: Arc<Board>,
    lane: usize,
    queue: VecDeque<Queued>,
    bytes: usize,
    replid: Option<ReplicationId>,
    /// Nodes that have to be asked.
    wanted: BTreeSet<usize>,
    /// The lanes that the next unit waits for.
    blocking: BTreeSet<usize>,
    /// Since when a node says that it serves a slot of which this one has written.
    late: BTreeMap<(u16, usize), Instant>,
    /// Keys of slots that are not at home here which, as far as was read, are there without a break: since which offset.
    alive: BTreeMap<u16, HashMap<Vec<u8>, u64>>,
    /// Atomic moves of slots to this node that are not over: by name, what the node receives in them.
    receiving: BTreeMap<Vec<u8>, Vec<RangeInclusive<u16>>>,
    intake: Intake,
}

#[derive(Debug)]
struct Queued {
    batch: Batch,
    /// When it was read, by the board's clock.
    read: u64,
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
    /// The end of the first of them.
    first: u64,
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
            replid: None,
            wanted: BTreeSet::new(),
            blocking: BTreeSet::new(),
            late: BTreeMap::new(),
            alive: BTreeMap::new(),
            receiving: BTreeMap::new(),
            intake: Intake::default(),
        }
    }

    pub(super) fn intake(&self) -> Intake {
        self.intake
    }

    /// Whether nothing waits here.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.bytes < AHEAD
    }

    /// The nodes that have to be asked now.
    pub(super) fn take_wanted(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.wanted)
    }

    /// The source gave a batch. Comes back at once if there is nothing about it; see [`advance`](Self::advance) otherwise.
    pub(super) fn push(&mut self, batch: Batch) -> Result<Option<Batch>> {
        let replid = batch.position().replid();
        if self.replid.replace(replid).is_some_and(|before| before != replid) && !self.receiving.is_empty() {
            let text = "the node failed over in the middle of an atomic move of slots to it: what became of them cannot be told";
            return Err(Error::new(ErrorKind::Topology, text));
        }
        let board = self.board.clone();
        let mut shared = board.lock();
        shared.lanes[self.lane].read = place(batch.position());
        if self.queue.is_empty() && self.is_plain(&shared, &batch) {
            shared.lanes[self.lane].passed = place(batch.position());
            for command in batch.commands() {
                if let Some(key) = command.key() {
                    shared.slots.pass(slot(key), self.lane, command.offset(), None);
                }
            }
            board.notify(&shared);
            return Ok(Some(batch));
        }
        let queued = self.prepare(&mut shared, batch)?;
        for command in queued.batch.commands() {
            for key in named(&command)? {
                let slot = slot(&key);
                if !shared.slots.is_at_home(slot, self.lane) {
                    let alive = self.alive.entry(slot).or_default();
                    if keeps(command.name()) {
                        alive.entry(key.clone()).or_insert(command.offset());
                    } else {
                        alive.remove(&key);
                    }
                }
                let pending = shared.lanes[self.lane].pending.entry(slot).or_default();
                pending.entry(key).or_default().push_back(command.offset());
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
                (_, Some(key)) => shared.slots.is_at_home(slot(key), self.lane) && !is_arrival(&command),
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
                    self.intake.take_move(&command.mark());
                    self.slot_move(shared, &command)?;
                    continue;
                }
                // Libraries are on every node: one of the lanes brings them.
                (Kind::Code, _) if self.lane != 0 || !self.receiving.is_empty() => {
                    self.intake.take_functions(&command.mark());
                    continue;
                }
                (Kind::Snapshot, Some(key)) if !shared.slots.holds(slot(key), self.lane, 0) => {
                    self.intake.take_move(&command.mark());
                    continue;
                }
                (Kind::Write, None) => return Err(whole_keyspace(command.name())),
                (Kind::Write | Kind::Script, Some(key)) if self.is_received(slot(key)) => {
                    self.intake.take_move(&command.mark());
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
        Ok(Queued { batch: out.take(*batch.position()), read: shared.now(), arrivals })
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
                    shared.lanes[self.lane].imported.push((command.offset(), ranges.clone()));
                    for slot in ranges.into_iter().flatten() {
                        shared.slots.begin(slot, self.lane, command.offset());
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

    /// What may be passed on of the commands that wait.
    pub(super) fn advance(&mut self) -> Result<Option<Batch>> {
        let board = self.board.clone();
        let mut shared = board.lock();
        let (mut passed, mut end, mut dropped) = (0, None, BTreeSet::new());
        let mut blocked = false;
        let Some(mut front) = self.queue.pop_front() else { return Ok(None) };
        while passed < front.batch.len() {
            let unit = Unit::at(&front, passed)?;
            match self.verdict(&mut shared, &unit, (front.read, front.batch.position().replid()))? {
                Verdict::Wait => {
                    blocked = true;
                    break;
                }
                Verdict::Pass => {}
                Verdict::Drop => {
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
        let Shared { lanes, slots, .. } = &mut *shared;
        let lane = &mut lanes[self.lane];
        for command in batch.commands() {
            for key in named(&command)? {
                let slot = slot(&key);
                slots.pass(slot, self.lane, command.offset(), Some(&key));
                let Some(pending) = lane.pending.get_mut(&slot) else { continue };
                if let Some(offsets) = pending.get_mut(&key) {
                    offsets.pop_front();
                    if offsets.is_empty() {
                        pending.remove(&key);
                    }
                }
                if pending.is_empty() {
                    lane.pending.remove(&slot);
                }
            }
        }
        lane.passed = place(batch.position());
        self.bytes = self.bytes.saturating_sub(batch.bytes().len());
        shared.set_waiting(self.lane, false);
        board.notify(&shared);
        let mut index = 0;
        batch.retain(|command| {
            index += 1;
            let dropped = dropped.contains(&(index - 1));
            if dropped {
                self.intake.take_move(&command.mark());
            }
            !dropped
        });
        Ok(Some(batch))
    }

    /// Whether a unit may be passed on that is in a batch which was read then, of that history.
    fn verdict(&mut self, shared: &mut Shared, unit: &Unit, batch: (u64, ReplicationId)) -> Result<Verdict> {
        let held = |slot: &u16| shared.slots.holds(*slot, self.lane, unit.end.0);
        if !unit.slots.is_empty() && unit.removal && !unit.slots.iter().any(held) {
            // Left-overs of a slot that the node lost: what it removes of a slot came there by a command before.
            return Ok(Verdict::Drop);
        }
        self.blocking.clear();
        let mut verdict = Verdict::Pass;
        for slot in &unit.slots {
            if let Verdict::Wait = self.verdict_on(shared, unit, *slot, batch)? {
                verdict = Verdict::Wait;
            }
        }
        Ok(verdict)
    }

    /// The same for one of its slots.
    ///
    /// It was executed between two answers of its own node. What other nodes wrote to the slot before lies before any answer that
    /// was asked for after that; what they wrote to it later lies behind it if they did not serve the slot anew in between.
    fn verdict_on(
        &mut self,
        shared: &mut Shared,
        unit: &Unit,
        slot: u16,
        (read, replid): (u64, ReplicationId),
    ) -> Result<Verdict> {
        let end = unit.end.0;
        let own = &shared.lanes[self.lane];
        let before = own.samples.before_offset(unit.first);
        if unit.arrival
            && shared.slots.holds(slot, self.lane, end)
            && before.is_none_or(|before| before.layout.owned.contains(slot))
        {
            return Err(came_back(slot, &own.name));
        }
        if shared.slots.is_torn(slot, self.lane, end) && shared.keeps(Rule::SeenGone) {
            return Err(came_back(slot, &own.name));
        }
        if shared.slots.is_at_home(slot, self.lane) {
            self.alive.remove(&slot);
            return Ok(Verdict::Pass);
        }
        let since = before.map(|before| before.asked);
        let until = own.samples.after_offset(replid, end).map_or(read, |after| after.answered.min(read));
        // Without the rule, the question that was under way counts.
        let until = if shared.keeps(Rule::AskedAfter) { until } else { until.saturating_sub(1) };
        if shared.slots.tenure(slot, self.lane, end).is_none() {
            shared.slots.begin(slot, self.lane, unit.first);
        }
        let Some((others, floor)) = shared.slots.before(slot, self.lane, end) else { return Ok(Verdict::Pass) };
        let mut wait = false;
        for other in (0..shared.lanes.len()).filter(|other| *other != self.lane) {
            // What has been passed on of a key that went to and fro is applied before it goes on.
            let passed = shared.slots.passed_of(slot, other, &unit.keys);
            wait |= passed > 0 && !shared.lanes[other].has_applied(passed);
        }
        let mut all_through = true;
        for other in others {
            let lane = &shared.lanes[other];
            lane.check()?;
            let needed =
                floor.get(other).copied().unwrap_or_default().max(shared.slots.passed_of(slot, other, &unit.keys));
            let current = |replid: Option<ReplicationId>| {
                lane.read.is_some_and(|(read, _)| replid.is_none_or(|replid| replid == read))
            };
            let base = since.and_then(|since| lane.samples.before(since));
            let cleared =
                shared.slots.tenure(slot, self.lane, end).and_then(|at| shared.slots.cleared(slot, at, other));
            // Of several units of one tenure each looks at what has come to be known since the one before.
            let from =
                cleared.filter(|cleared| base.is_none_or(|base| base.answered < cleared.answered)).or(base).cloned();
            let mut past = lane.samples.after(until).filter(|sample| sample.offset >= needed && current(sample.replid));
            let Some(fence) = past.clone().find(|sample| !sample.layout.is_settled(slot)).cloned() else {
                self.wanted.insert(other);
                (wait, all_through) = (true, false);
                // A node that has lost a slot learns of it a moment later; one that has it anew says so.
                let Some(last) = past.next_back() else { continue };
                let late = *self.late.entry((slot, other)).or_insert_with(Instant::now);
                let same = from.is_some_and(|from| from.layout.config_epoch == last.layout.config_epoch);
                if late.elapsed() > LATE
                    || (!same && self.has_stayed(shared, unit, slot, (last.answered, replid), false) == Some(false))
                {
                    return Err(came_back(slot, &lane.name));
                }
                if !same {
                    self.wanted.insert(self.lane);
                }
                continue;
            };
            if !lane.is_through(slot, fence.offset, Some(&unit.keys)) && shared.keeps(Rule::Through) {
                self.blocking.insert(other);
                (wait, all_through) = (true, false);
                continue;
            }
            let through = lane.is_through(slot, fence.offset, None);
            let passed = shared.slots.passed(slot, other);
            let importing = fence.layout.importing.contains(slot);
            let known = from.as_ref().is_some_and(|from| from.answered >= fence.answered && cleared.is_some());
            let same = from.as_ref().is_some_and(|from| from.layout.config_epoch == fence.layout.config_epoch);
            // What its stream tells of explains a new claim as well, if it takes no keys one by one besides.
            let told = from.as_ref().is_some_and(|from| {
                let mut told =
                    lane.imported.iter().filter(|(at, _)| *at > from.offset && *at <= fence.offset).peekable();
                told.peek().is_some()
                    && from.layout.importing.first().is_none()
                    && fence.layout.importing.first().is_none()
                    && told.all(|(_, ranges)| !ranges.iter().any(|range| range.contains(&slot)))
            });
            let same = known || told || (same && !importing) || !shared.keeps(Rule::Epoch);
            let idle = through && from.is_some_and(|from| passed <= from.offset);
            let mut clear = same;
            if !same && !idle {
                match self.has_stayed(shared, unit, slot, (fence.answered, replid), importing) {
                    Some(true) => clear = !importing,
                    Some(false) => return Err(came_back(slot, &shared.lanes[other].name)),
                    None => {
                        self.wanted.insert(self.lane);
                        (wait, all_through) = (true, false);
                        continue;
                    }
                }
            }
            if let Some(index) = shared.slots.tenure(slot, self.lane, end).filter(|_| clear) {
                shared.slots.clear(slot, index, other, fence.clone());
            }
            let lane = &shared.lanes[other];
            let through = through && lane.is_through(slot, fence.offset, None);
            all_through &= through;
            if through && !fence.layout.is_involved(slot) && passed <= fence.offset {
                let offset = fence.offset;
                shared.slots.settle(slot, other, offset);
            }
        }
        if wait {
            return Ok(Verdict::Wait);
        }
        if all_through {
            shared.slots.confirm(slot, self.lane, end);
        }
        self.late.retain(|(late, _), _| *late != slot);
        Ok(Verdict::Pass)
    }

    /// Whether the slot has stayed with this node from the unit on to an answer that was asked for after `time`: it cannot go
    /// before all its keys have. `None`: not known yet.
    fn has_stayed(
        &self,
        shared: &Shared,
        unit: &Unit,
        slot: u16,
        (time, replid): (u64, ReplicationId),
        all: bool,
    ) -> Option<bool> {
        if !shared.keeps(Rule::Stayed) {
            return Some(true);
        }
        let own = &shared.lanes[self.lane];
        let sample = own.samples.after(time).find(|sample| sample.replid.is_none_or(|other| other == replid));
        if sample.is_none_or(|sample| own.read.is_none_or(|(_, read)| read < sample.offset)) {
            return (!self.has_room()).then_some(false);
        }
        let alive = self.alive.get(&slot);
        let since = |key: &Vec<u8>| alive.and_then(|alive| alive.get(key)).is_some_and(|since| *since <= unit.end.0);
        Some(if all {
            unit.keys.iter().all(since)
        } else {
            alive.is_some_and(|alive| alive.values().any(|since| *since <= unit.end.0))
        })
    }

    fn check_stuck(&self, shared: &Shared) -> Result<()> {
        let stuck = |lane: usize| shared.lanes[lane].waiting.is_some_and(|since| since.elapsed() > STUCK);
        if stuck(self.lane) && !self.blocking.is_empty() && self.blocking.iter().all(|other| stuck(*other)) {
            let text =
                "the shards wait for each other: slots moved to and fro faster than could be followed; copy anew";
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
            if unit.commands == 0 {
                unit.first = command.offset();
            }
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

/// Whether the key of a command is there after it, whatever was before.
fn keeps(name: &[u8]) -> bool {
    const KEEP: [&str; 15] = [
        "RESTORE", "SET", "INCR", "INCRBY", "DECR", "DECRBY", "APPEND", "HSET", "HMSET", "HINCRBY", "SADD", "ZADD",
        "RPUSH", "LPUSH", "XADD",
    ];
    KEEP.iter().any(|keep| name.eq_ignore_ascii_case(keep.as_bytes()))
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
        "slot {slot} moved there and back ({name}) faster than the copy follows: the order of its writes cannot be told; copy \
         anew, and let a slot stay for a second before it moves again"
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
