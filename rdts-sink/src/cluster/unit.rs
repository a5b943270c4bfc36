//! Commands on their way to one node.

use rdts_core::record::{Mark, Position};
use rdts_resp::encode;

use super::place::{Place, Reached};
use super::script;

/// The slot of what has no key.
pub(super) const NO_SLOT: u16 = u16::MAX;
/// What a unit holds at most, unless a single command or a transaction is bigger. Small units are cheaper for the node than
/// big ones, and keep other clients waiting for a shorter time.
const UNIT_BYTES: usize = 32 << 10;
const UNIT_COMMANDS: usize = 64;
/// Where even a transaction is cut.
const LONGEST_UNIT: usize = 16 << 20;
/// What Lua can hand to a command (its stack has 8000 places).
const SCRIPT_ARGUMENTS: usize = 7000;
/// What is handed to a command through Lua, which copies it twice.
const SCRIPT_BYTES: usize = 16 << 20;

/// One command, or its part for one slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// Where it ends in the body of its unit.
    end: usize,
    /// The number of its arguments.
    args: usize,
    pub(super) slot: u16,
    pub(super) mark: Mark,
    /// What it counts for: the parts of one command count once.
    pub(super) commands: u32,
    /// As how many bytes it counts.
    pub(super) bytes: u64,
    pub(super) place: Place,
    /// It is no command of the source, but has the slot of the one before tell how far it has come.
    marks: bool,
}

/// How a unit is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// By one script with the checkpoint.
    Script,
    /// One command, in a `MULTI` with the checkpoint: it is a script itself, or too big for one.
    Alone,
}

/// Commands of one batch for one node, in order. Without any it only writes the checkpoint.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) batch: u64,
    pub(super) how: How,
    /// Where the source can be read from to get all of the batch.
    pub(super) position: Option<Position>,
    /// It comes from another lane, later than its place says: each of its slots tells by a marker how far it has come.
    pub(super) late: bool,
    /// The commands as the script wants them, or one as it is.
    body: Vec<u8>,
    items: Vec<Item>,
}

impl Unit {
    fn new(batch: u64, position: Option<Position>) -> Self {
        Self { batch, how: How::Script, position, late: false, body: Vec::new(), items: Vec::new() }
    }

    /// A unit without commands.
    pub(super) fn empty() -> Self {
        Self::new(0, None)
    }

    /// A single command that cannot be executed by a script.
    pub(super) fn alone(batch: u64, position: Option<Position>, new: New<'_>) -> Self {
        let New { slot, mark, raw, commands, bytes, place, .. } = new;
        let item = Item { end: raw.len(), args: 0, slot, mark, commands, bytes, place, marks: false };
        Self { how: How::Alone, body: raw.to_vec(), items: vec![item], ..Self::new(batch, position) }
    }

    /// The place of its last command.
    pub(super) fn place(&self) -> Place {
        self.items.last().map_or(Place::START, |item| item.place)
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// How many of its commands are the source's.
    pub(super) fn weight(&self) -> u64 {
        self.items.iter().filter(|item| !item.marks).count() as u64
    }

    /// The same for another lane than it was meant for: behind each command, what has its slot tell how far it has come. `mark` makes
    /// that.
    pub(super) fn marked(self, mark: impl Fn(u16, Reached) -> Vec<u8>) -> Self {
        if self.how == How::Alone {
            return Self { late: true, ..self };
        }
        let mut marked = Self { late: true, ..Self::new(self.batch, self.position) };
        for (index, item) in self.items.iter().enumerate().filter(|(_, item)| !item.marks) {
            marked.body.extend_from_slice(&self.body[self.range(index)]);
            marked.items.push(Item { end: marked.body.len(), ..*item });
            let raw = mark(item.slot, Reached { place: item.place, position: self.position });
            let Some((header, bulks)) = line(&raw) else { continue };
            let (args, kind) = (number(header), Mark::new(0, item.mark.kind));
            script::append(&mut marked.body, kind, args, bulks);
            let end = marked.body.len();
            marked.items.push(Item { end, args, mark: kind, commands: 0, bytes: 0, marks: true, ..*item });
        }
        marked
    }

    /// Its first command as one that goes alone.
    pub(super) fn first_alone(&self) -> Self {
        let item = self.items[0];
        let (raw, Self { batch, how: _, position, late, .. }) = (self.raw(0), self);
        let new = New {
            slot: item.slot,
            mark: item.mark,
            raw: &raw,
            commands: item.commands,
            bytes: item.bytes,
            alone: true,
            marks: item.marks,
            place: item.place,
        };
        Self { late: *late, ..Self::alone(*batch, *position, new) }
    }

    pub(super) fn bytes(&self) -> usize {
        self.body.len()
    }

    fn range(&self, index: usize) -> std::ops::Range<usize> {
        let start = index.checked_sub(1).map_or(0, |previous| self.items[previous].end);
        start..self.items[index].end
    }

    /// A command as RESP.
    pub(super) fn raw(&self, index: usize) -> Vec<u8> {
        let body = &self.body[self.range(index)];
        if self.how == How::Alone {
            return body.to_vec();
        }
        let mut raw = Vec::with_capacity(body.len());
        encode::array_header(&mut raw, self.items[index].args);
        // In front of the arguments stand the database, if it is not 0, and the number for the script.
        let words = 1 + usize::from(self.items[index].mark.db > 0);
        raw.extend_from_slice((0..words).fold(body, |body, _| bulk(body).map_or(&[][..], |(_, rest)| rest)));
        raw
    }

    /// The arguments of a command.
    pub(super) fn args(&self, index: usize) -> Vec<Vec<u8>> {
        let raw = self.raw(index);
        let mut rest = line(&raw).map_or(&[][..], |(_, rest)| rest);
        let mut args = Vec::new();
        while let Some((arg, behind)) = bulk(rest) {
            args.push(arg.to_vec());
            rest = behind;
        }
        args
    }

    /// Takes the commands from `index` on away.
    pub(super) fn split_off(&mut self, index: usize) -> Self {
        let at = index.checked_sub(1).map_or(0, |previous| self.items[previous].end);
        let mut items = self.items.split_off(index);
        for item in &mut items {
            item.end -= at;
        }
        let Self { batch, how, position, late, .. } = *self;
        Self { batch, how, position, late, body: self.body.split_off(at), items }
    }

    /// The commands that `keep` wants.
    pub(super) fn filtered(&self, mut keep: impl FnMut(&Item) -> bool) -> Option<Self> {
        let mut kept = Self { how: self.how, late: self.late, ..Self::new(self.batch, self.position) };
        for (index, item) in self.items.iter().enumerate() {
            if keep(item) {
                kept.body.extend_from_slice(&self.body[self.range(index)]);
                kept.items.push(Item { end: kept.body.len(), ..*item });
            }
        }
        (!kept.items.is_empty()).then_some(kept)
    }

    /// Appends the call of the script: `EVALSHA sha 0 key gate value places command…`; `script` is the first two words.
    pub(super) fn append_call(&self, out: &mut Vec<u8>, script: [&[u8]; 2], step: &Step<'_>) {
        let words: usize = self.items.iter().map(|item| item.args + 1 + usize::from(item.mark.db > 0)).sum();
        encode::array_header(out, 7 + words);
        for word in [script[0], script[1], b"0", step.key, step.gate.as_bytes(), step.value.as_bytes()] {
            encode::bulk(out, word);
        }
        if step.places && !self.late && self.items.len() > 1 {
            self.append_places(out);
        } else {
            encode::bulk(out, b"");
        }
        out.extend_from_slice(&self.body);
    }

    /// Four bytes that all places have in common, then eight for each. A unit ends before they would differ.
    fn append_places(&self, out: &mut Vec<u8>) {
        let mut places = Vec::with_capacity(4 + 8 * self.items.len());
        places.extend_from_slice(&high(self.place()).to_be_bytes());
        for Item { place, .. } in &self.items {
            places.extend_from_slice(&place.at.to_be_bytes()[4..]);
            places.extend_from_slice(&place.nth.to_be_bytes());
        }
        encode::bulk(out, &places);
    }

    /// Appends the one command of a unit that goes alone, as it is.
    pub(super) fn append_raw(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.body);
    }
}

/// What a call does beside executing commands.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) key: &'a [u8],
    /// What the key's value has to begin with.
    pub(super) gate: &'a str,
    /// What it is when everything is executed.
    pub(super) value: &'a str,
    /// Whether the value has a place.
    pub(super) places: bool,
}

fn high(place: Place) -> u32 {
    u32::try_from(place.at >> 32).unwrap_or_default()
}

/// Collects the commands of one batch for one lane.
#[derive(Debug, Default)]
pub(super) struct Collector {
    open: Option<Unit>,
    done: Vec<Unit>,
    /// Commands that are not in a unit that was taken.
    pub(super) len: u64,
}

impl Collector {
    /// Appends `raw`, a RESP array of bulk strings. Inside of a `transaction` units are not cut.
    pub(super) fn push(&mut self, batch: u64, position: Option<Position>, new: New<'_>, transaction: bool) {
        let New { slot, mark, raw, commands, bytes, alone, marks, place } = new;
        let Some((header, bulks)) = line(raw) else { return };
        let args = number(header);
        self.len += u64::from(!marks);
        if alone || args > SCRIPT_ARGUMENTS || raw.len() > SCRIPT_BYTES {
            self.done.extend(self.open.take());
            self.done.push(Unit::alone(batch, position, new));
            return;
        }
        // What marks a slot goes with its command.
        let full = !marks
            && self.open.as_ref().is_some_and(|open| {
                let size = open.body.len() + raw.len();
                size > LONGEST_UNIT
                    || high(place) != high(open.place())
                    || (!transaction && (size > UNIT_BYTES || open.items.len() >= UNIT_COMMANDS))
            });
        if full {
            self.done.extend(self.open.take());
        }
        let open = self.open.get_or_insert_with(|| {
            let mut unit = Unit::new(batch, position);
            unit.body.reserve(UNIT_BYTES / 4);
            unit.items.reserve(UNIT_COMMANDS);
            unit
        });
        script::append(&mut open.body, mark, args, bulks);
        open.items.push(Item { end: open.body.len(), args, slot, mark, commands, bytes, place, marks });
    }

    /// What was collected.
    pub(super) fn take(&mut self) -> Vec<Unit> {
        self.len = 0;
        self.done.extend(self.open.take());
        std::mem::take(&mut self.done)
    }
}

/// A command to be collected.
#[derive(Debug, Clone, Copy)]
pub(super) struct New<'a> {
    pub(super) slot: u16,
    pub(super) mark: Mark,
    pub(super) raw: &'a [u8],
    pub(super) commands: u32,
    pub(super) bytes: u64,
    /// It cannot be executed by a script.
    pub(super) alone: bool,
    /// As [`Item::marks`].
    pub(super) marks: bool,
    pub(super) place: Place,
}

/// The first line, without its type byte and its end, and what follows.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\r')?;
    Some((bytes.get(1..end)?, bytes.get(end + 2..)?))
}

/// The first bulk string, and what follows.
fn bulk(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = line(bytes)?;
    let (text, rest) = rest.split_at_checked(number(header))?;
    Some((text, rest.get(2..)?))
}

fn number(digits: &[u8]) -> usize {
    digits.iter().fold(0usize, |n, digit| n.saturating_mul(10).saturating_add(usize::from(digit.wrapping_sub(b'0'))))
}

#[cfg(test)]
mod tests {
    use rdts_core::record::Kind;

    use super::*;

    fn collected(commands: &[(u32, &str)], transaction: bool) -> Vec<Unit> {
        let mut collector = Collector::default();
        for (index, (db, text)) in commands.iter().enumerate() {
            let mut raw = Vec::new();
            encode::command(&mut raw, text.split(' ').collect::<Vec<_>>());
            let slot = u16::try_from(index).unwrap_or(NO_SLOT);
            let mark = Mark::new(*db, Kind::Write);
            let place = Place { at: index as u64 / 2, nth: u32::try_from(index % 2).unwrap_or_default() };
            let new = New { slot, mark, raw: &raw, commands: 1, bytes: 1, alone: false, marks: false, place };
            collector.push(1, None, new, transaction);
        }
        collector.take()
    }

    fn shown(unit: &Unit) -> Vec<String> {
        (0..unit.len())
            .map(|index| {
                let args = unit.args(index);
                args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    #[test]
    fn commands_come_out_of_a_unit_as_they_went_in() {
        let commands = [(0, "SET a 1"), (3, "DEL b"), (0, "RPUSH c 1 2 3")];
        let units = collected(&commands, false);
        assert_eq!(units.len(), 1);
        assert_eq!(shown(&units[0]), ["SET a 1", "DEL b", "RPUSH c 1 2 3"]);
        for at in 0..=3 {
            let mut first = units[0].clone();
            let second = first.split_off(at);
            assert_eq!([shown(&first), shown(&second)].concat(), shown(&units[0]), "{at}");
            let mut call = Vec::new();
            let step = Step { key: b"key", gate: "1", value: "2", places: true };
            second.append_call(&mut call, [b"EVALSHA", b"sha"], &step);
            let (used, command) = rdts_resp::CommandDecoder::new()
                .decode(&call)
                .ok()
                .flatten()
                .map(|(used, command)| (used, command.len()))
                .unwrap_or_default();
            let words: usize =
                commands[at..].iter().map(|(db, text)| text.split(' ').count() + 1 + usize::from(*db > 0)).sum();
            assert_eq!((used, command), (call.len(), 7 + words), "{at}");
        }
        let odd = units[0].filtered(|item| item.slot != 1);
        assert_eq!(odd.as_ref().map(shown), Some(vec!["SET a 1".to_owned(), "RPUSH c 1 2 3".to_owned()]));
        assert!(units[0].filtered(|_| false).is_none());
    }

    #[test]
    fn units_are_cut_but_not_inside_of_a_transaction() {
        let many: Vec<(u32, String)> = (0..200).map(|number| (0, format!("INCR {number}"))).collect();
        let many: Vec<(u32, &str)> = many.iter().map(|(db, text)| (*db, text.as_str())).collect();
        assert_eq!(collected(&many, false).iter().map(Unit::len).collect::<Vec<_>>(), [64, 64, 64, 8]);
        assert_eq!(collected(&many, true).iter().map(Unit::len).collect::<Vec<_>>(), [200]);
        let long = format!("SADD k {}", vec!["m"; 8000].join(" "));
        let units = collected(&[(0, "SET a 1"), (0, &long), (0, "SET b 1")], false);
        assert_eq!(units.iter().map(|unit| unit.how).collect::<Vec<_>>(), [How::Script, How::Alone, How::Script]);
        assert_eq!(units[1].args(0).len(), 8002);
    }
}
