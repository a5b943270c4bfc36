//! From commands of a batch to units.

use rdts_core::record::{Expect, Kind, Mark, Position};

use super::super::place::Place;
use super::wire::{around_pair, bulk, line, number};
use super::{Item, Part, Unit, halves};

/// What a unit holds at most, unless a single command or a transaction is bigger: small units keep other clients waiting for a shorter
/// time, and are no dearer for the node than big ones. Each has a reply, which this side has to wake up for: so strings, whose number
/// makes up for their size, are more.
const UNIT_BYTES: usize = 32 << 10;
const UNIT_COMMANDS: usize = 64;
const UNIT_PAIRS: usize = 256;
/// Where even a transaction is cut.
const LONGEST_UNIT: usize = 16 << 20;
/// What Lua can hand to a command (its stack has 8000 places).
const SCRIPT_ARGUMENTS: usize = 7000;
/// What is handed to a command through Lua, which copies it twice.
const SCRIPT_BYTES: usize = 16 << 20;

/// Collects the commands of one batch for one lane.
#[derive(Debug, Default)]
pub(in super::super) struct Collector {
    open: Option<Unit>,
    /// How much of it is full.
    load: usize,
    done: Vec<Unit>,
    /// Commands that are not in a unit that was taken.
    pub(in super::super) len: u64,
}

impl Collector {
    /// Appends a command. Inside of a `transaction` units are not cut.
    pub(in super::super) fn push(&mut self, batch: u64, position: Option<Position>, new: New<'_>, transaction: bool) {
        let item = new.item();
        let (part, load) = match pair(new.mark, new.raw) {
            Some(bulks) if !new.alone && !new.marks => (Part::Pair(bulks), 1),
            _ => {
                let Some((header, bulks)) = line(new.raw) else { return };
                (Part::Words(number(header), bulks), UNIT_PAIRS / UNIT_COMMANDS)
            }
        };
        self.len += u64::from(!new.marks);
        let args = if let Part::Words(args, _) = part { args } else { 0 };
        if new.alone || args > SCRIPT_ARGUMENTS || new.raw.len() > SCRIPT_BYTES {
            self.end();
            self.done.push(Unit::alone(batch, position, new));
            return;
        }
        // What marks a slot goes with its command.
        let full = !new.marks
            && self.open.as_ref().is_some_and(|open| {
                let size = open.body.len() + new.raw.len();
                size > LONGEST_UNIT
                    || halves(new.place)[0] != open.high
                    || (!transaction && (size > UNIT_BYTES || self.load + load > UNIT_PAIRS))
            });
        if full {
            self.end();
        }
        let open = self.open.get_or_insert_with(|| {
            let mut unit = Unit::new(batch, position);
            unit.body.reserve(UNIT_BYTES / 2 - UNIT_BYTES / 8);
            unit.records.reserve(UNIT_PAIRS);
            unit
        });
        self.load += load;
        open.push(&item, part);
    }

    /// The open unit is over.
    fn end(&mut self) {
        self.load = 0;
        if let Some(mut unit) = self.open.take() {
            unit.end_run();
            // It is kept for a while, and with little traffic much smaller than expected.
            if unit.body.capacity() > 8 * unit.body.len() {
                unit.body.shrink_to_fit();
                unit.records.shrink_to_fit();
            }
            self.done.push(unit);
        }
    }

    /// What was collected.
    pub(in super::super) fn take(&mut self) -> Vec<Unit> {
        self.len = 0;
        self.end();
        std::mem::take(&mut self.done)
    }
}

/// A command to be collected.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct New<'a> {
    pub(in super::super) slot: u16,
    pub(in super::super) mark: Mark,
    /// A RESP array of bulk strings.
    pub(in super::super) raw: &'a [u8],
    pub(in super::super) commands: u32,
    pub(in super::super) bytes: u64,
    /// It cannot be executed by a script.
    pub(in super::super) alone: bool,
    /// As [`Item::marks`].
    pub(in super::super) marks: bool,
    pub(in super::super) place: Place,
}

impl New<'_> {
    pub(super) fn item(&self) -> Item {
        let Self { slot, mark, commands, bytes, marks, place, .. } = *self;
        Item { slot, mark, commands, bytes, place, marks }
    }
}

/// The key and the value of a command of the snapshot that is no more than `SET key value`, or `SET key value NX` whose reply is judged.
fn pair(mark: Mark, raw: &[u8]) -> Option<&[u8]> {
    if mark.kind != Kind::Snapshot || mark.may_expire {
        return None;
    }
    let (front, back) = around_pair(mark.expect != Expect::Success);
    let bulks = raw.strip_prefix(front)?.strip_suffix(back)?;
    // It may be the end of a longer word that looks like this.
    let (_, value) = bulk(bulks)?;
    let (_, rest) = bulk(value)?;
    rest.is_empty().then_some(bulks)
}
