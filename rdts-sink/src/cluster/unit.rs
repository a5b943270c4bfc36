//! Commands on their way to one node.

mod collect;
mod wire;

use rdts_core::ledger::Counts;
use rdts_core::record::{Expect, Mark, Position};
use rdts_resp::encode;

pub(super) use self::collect::{Collector, New};
use self::wire::{bulk, line, number};
use super::place::{Place, Reached};
use super::script;

/// The slot of what has no key.
pub(super) const NO_SLOT: u16 = u16::MAX;

/// One command, or its part for one slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
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

/// What is kept of an item: there are as many as keys in the source.
#[derive(Debug, Clone, Copy)]
struct Record {
    /// Where it ends in the body of its unit.
    end: u32,
    bytes: u32,
    /// The lower half of the place's offset.
    at: u32,
    nth: u32,
    shape: u32,
    slot: u16,
}

/// What many items have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    mark: Mark,
    commands: u32,
    marks: bool,
    form: Form,
}

/// How a command stands in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// So many arguments, with words for the script in front.
    Words(usize),
    /// A string's key and value, with which a run of them begins: words for the script are in front.
    First,
    /// One more of the run.
    Next,
    /// As it came.
    Raw,
}

/// The bytes of a command.
#[derive(Debug, Clone, Copy)]
enum Part<'a> {
    /// So many arguments, as bulk strings.
    Words(usize, &'a [u8]),
    /// A key and a value as bulk strings: `SET`, with `NX` unless anything is expected.
    Pair(&'a [u8]),
    /// As it came.
    Raw(&'a [u8]),
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
    records: Vec<Record>,
    shapes: Vec<Shape>,
    /// The upper half of the offsets of all places.
    high: u32,
    /// How many words the body has.
    words: usize,
    /// The first of a run of strings that more may follow, and where it is in the body: its length is not written yet.
    run: Option<(usize, usize)>,
    /// How many of its commands are the source's.
    weight: u64,
    /// What it counts for when no key is left alone.
    counts: Counts,
}

impl Unit {
    fn new(batch: u64, position: Option<Position>) -> Self {
        Self {
            batch,
            how: How::Script,
            position,
            late: false,
            body: Vec::new(),
            records: Vec::new(),
            shapes: Vec::new(),
            high: 0,
            words: 0,
            run: None,
            weight: 0,
            counts: Counts::default(),
        }
    }

    /// A unit without commands.
    pub(super) fn empty() -> Self {
        Self::new(0, None)
    }

    /// Without commands, but like this one for the rest.
    fn emptied(&self) -> Self {
        Self { how: self.how, late: self.late, ..Self::new(self.batch, self.position) }
    }

    /// A single command that cannot be executed by a script.
    pub(super) fn alone(batch: u64, position: Option<Position>, new: New<'_>) -> Self {
        let mut unit = Self { how: How::Alone, ..Self::new(batch, position) };
        unit.push(&new.item(), Part::Raw(new.raw));
        unit
    }

    /// Appends a command. Its place has the upper half of those before.
    fn push(&mut self, item: &Item, part: Part<'_>) {
        let Item { slot, mark, commands, bytes, place, marks } = *item;
        let form = match part {
            Part::Words(args, bulks) => {
                self.end_run();
                self.words += 1 + usize::from(mark.db > 0) + args;
                script::append(&mut self.body, mark, args, bulks);
                Form::Words(args)
            }
            Part::Pair(bulks) => {
                let goes_on = self.run.is_some_and(|(first, _)| self.shape(first).mark == mark);
                if !goes_on {
                    self.end_run();
                    self.words += 1 + usize::from(mark.db > 0);
                    script::begin_run(&mut self.body, mark);
                    self.run = Some((self.records.len(), self.body.len()));
                }
                self.words += 2;
                self.body.extend_from_slice(bulks);
                if goes_on { Form::Next } else { Form::First }
            }
            Part::Raw(raw) => {
                self.body.extend_from_slice(raw);
                Form::Raw
            }
        };
        let shape = Shape { mark, commands, marks, form };
        // Those that come by turns are few.
        let known = self.shapes.iter().rev().take(4).position(|known| *known == shape);
        if known.is_none() {
            self.shapes.push(shape);
        }
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let [high, low] = halves(place);
        self.high = high;
        self.records.push(Record {
            end: narrow(self.body.len()),
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            at: low,
            nth: place.nth,
            shape: narrow(self.shapes.len() - 1 - known.unwrap_or_default()),
            slot,
        });
        self.weight += u64::from(!marks);
        self.counts.commands += u64::from(commands);
        self.counts.bytes += bytes;
        self.counts.keys += u64::from(mark.keys);
    }

    /// Writes down how long the run is that the body ends with.
    fn end_run(&mut self) {
        if let Some((first, start)) = self.run.take() {
            let mark = self.shape(first).mark;
            script::end_run(&mut self.body, start, mark, self.records.len() - first);
        }
    }

    /// Appends a command of another unit.
    fn push_of(&mut self, other: &Self, index: usize) {
        let bytes = other.bulks(index);
        let part = match other.shape(index).form {
            Form::Words(args) => Part::Words(args, bytes),
            Form::First | Form::Next => Part::Pair(bytes),
            Form::Raw => Part::Raw(bytes),
        };
        self.push(&other.item(index), part);
    }

    /// The place of its last command.
    pub(super) fn place(&self) -> Place {
        self.records.last().map_or(Place::START, |record| self.place_of(record))
    }

    fn place_of(&self, record: &Record) -> Place {
        Place { at: u64::from(self.high) << 32 | u64::from(record.at), nth: record.nth }
    }

    fn shape(&self, index: usize) -> Shape {
        self.shapes[self.records[index].shape as usize]
    }

    pub(super) fn item(&self, index: usize) -> Item {
        let record = &self.records[index];
        let Shape { mark, commands, marks, .. } = self.shape(index);
        let place = self.place_of(record);
        Item { slot: record.slot, mark, commands, bytes: record.bytes.into(), place, marks }
    }

    /// The slots of its commands.
    pub(super) fn slots(&self) -> impl Iterator<Item = u16> + '_ {
        self.records.iter().map(|record| record.slot)
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// How many of its commands are the source's.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// What it counts for once it is applied; `kept` are the numbers of its commands that left a key alone.
    pub(super) fn counts(&self, kept: &[usize]) -> Counts {
        let mut counts = self.counts;
        for index in kept.iter().filter(|index| **index < self.len()) {
            counts.kept += 1;
            counts.keys -= u64::from(self.shape(*index).mark.keys);
        }
        counts
    }

    /// The same for another lane than it was meant for: behind each command, what has its slot tell how far it has come. `mark` makes
    /// that.
    pub(super) fn marked(self, mark: impl Fn(u16, Reached) -> Vec<u8>) -> Self {
        if self.how == How::Alone {
            return Self { late: true, ..self };
        }
        let mut marked = Self { late: true, ..self.emptied() };
        for index in (0..self.len()).filter(|index| !self.shape(*index).marks) {
            marked.push_of(&self, index);
            let item = self.item(index);
            let raw = mark(item.slot, Reached { place: item.place, position: self.position });
            let Some((header, bulks)) = line(&raw) else { continue };
            let mark = Mark::new(0, item.mark.kind);
            marked.push(&Item { mark, commands: 0, bytes: 0, marks: true, ..item }, Part::Words(number(header), bulks));
        }
        marked.end_run();
        marked
    }

    /// Its first command as one that goes alone.
    pub(super) fn first_alone(&self) -> Self {
        let mut alone = Self { how: How::Alone, ..self.emptied() };
        alone.push(&self.item(0), Part::Raw(&self.raw(0)));
        alone
    }

    pub(super) fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Where a command begins in the body, with what is in front of it for the script.
    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |previous| self.records[previous].end as usize)
    }

    /// A command in the body, without what is in front of it for the script.
    fn bulks(&self, index: usize) -> &[u8] {
        let body = &self.body[self.start(index)..self.records[index].end as usize];
        let Shape { mark, form, .. } = self.shape(index);
        // The database, if it is not 0, and the number.
        let words = match form {
            Form::Words(_) | Form::First => 1 + usize::from(mark.db > 0),
            Form::Next | Form::Raw => 0,
        };
        (0..words).fold(body, |body, _| bulk(body).map_or(&[][..], |(_, rest)| rest))
    }

    /// A command as RESP.
    pub(super) fn raw(&self, index: usize) -> Vec<u8> {
        let bulks = self.bulks(index);
        let Shape { mark, form, .. } = self.shape(index);
        let mut raw = Vec::with_capacity(bulks.len() + 32);
        match form {
            Form::Raw => raw.extend_from_slice(bulks),
            Form::Words(args) => {
                encode::array_header(&mut raw, args);
                raw.extend_from_slice(bulks);
            }
            Form::First | Form::Next => {
                let (front, back) = wire::around_pair(mark.expect != Expect::Success);
                raw.extend_from_slice(front);
                raw.extend_from_slice(bulks);
                raw.extend_from_slice(back);
            }
        }
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
        let part = |range: std::ops::Range<usize>| {
            let mut part = self.emptied();
            range.for_each(|index| part.push_of(self, index));
            part.end_run();
            part
        };
        let (first, rest) = (part(0..index), part(index..self.len()));
        *self = first;
        rest
    }

    /// The commands of which `keep`, that is asked about their slots in order, says yes.
    pub(super) fn filtered(&self, mut keep: impl FnMut(u16) -> bool) -> Option<Self> {
        let mut kept = self.emptied();
        for (index, slot) in self.slots().enumerate() {
            if keep(slot) {
                kept.push_of(self, index);
            }
        }
        kept.end_run();
        (kept.len() > 0).then_some(kept)
    }

    /// Appends the call of the script: `EVALSHA sha 0 key gate value places command…`; `script` is the first two words.
    pub(super) fn append_call(&self, out: &mut Vec<u8>, script: [&[u8]; 2], step: &Step<'_>) {
        encode::array_header(out, 7 + self.words);
        for word in [script[0], script[1], b"0", step.key, step.gate.as_bytes(), step.value.as_bytes()] {
            encode::bulk(out, word);
        }
        if step.places && !self.late && self.len() > 1 {
            self.append_places(out);
        } else {
            encode::bulk(out, b"");
        }
        out.extend_from_slice(&self.body);
    }

    /// Four bytes that all places have in common, then eight for each. A unit ends before they would differ.
    fn append_places(&self, out: &mut Vec<u8>) {
        encode::bulk_header(out, 4 + 8 * self.len());
        out.extend_from_slice(&self.high.to_be_bytes());
        out.extend(
            self.records
                .iter()
                .flat_map(|Record { at, nth, .. }| (u64::from(*at) << 32 | u64::from(*nth)).to_be_bytes()),
        );
        out.extend_from_slice(b"\r\n");
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

/// The two halves of an offset.
fn halves(place: Place) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = place.at.to_be_bytes();
    [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])]
}

#[cfg(test)]
mod tests {
    use rdts_core::record::Kind;

    use super::*;

    fn collected_as(kind: Kind, commands: &[(u32, &str)], transaction: bool) -> Vec<Unit> {
        let mut collector = Collector::default();
        for (index, (db, text)) in commands.iter().enumerate() {
            let mut raw = Vec::new();
            encode::command(&mut raw, text.split(' ').collect::<Vec<_>>());
            let slot = u16::try_from(index).unwrap_or(NO_SLOT);
            let expect = if text.ends_with(" NX") { Expect::Created } else { Expect::Success };
            let mark = Mark::new(*db, kind).expect(expect).keys(1);
            let place = Place { at: index as u64 / 2, nth: u32::try_from(index % 2).unwrap_or_default() };
            let new = New { slot, mark, raw: &raw, commands: 1, bytes: 1, alone: false, marks: false, place };
            collector.push(1, None, new, transaction);
        }
        collector.take()
    }

    fn collected(commands: &[(u32, &str)], transaction: bool) -> Vec<Unit> {
        collected_as(Kind::Write, commands, transaction)
    }

    /// The words of the call behind the first seven.
    fn words(unit: &Unit) -> Vec<String> {
        let mut call = Vec::new();
        let step = Step { key: b"key", gate: "1", value: "2", places: true };
        unit.append_call(&mut call, [b"EVALSHA", b"sha"], &step);
        let mut decoder = rdts_resp::CommandDecoder::new();
        let decoded = decoder.decode(&call).ok().flatten();
        let Some((used, command)) = decoded else { return Vec::new() };
        assert_eq!(used, call.len());
        command.iter().skip(7).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
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
            let count: usize =
                commands[at..].iter().map(|(db, text)| text.split(' ').count() + 1 + usize::from(*db > 0)).sum();
            assert_eq!(words(&second).len(), count, "{at}");
        }
        let odd = units[0].filtered(|slot| slot != 1);
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

    #[test]
    fn strings_of_a_snapshot_go_in_runs_and_come_out_as_they_went_in() {
        let commands = [
            (0, "SET a 1 NX"),
            (0, "SET b 2 NX"),
            (0, "SET c 3"),
            (2, "SET d 4"),
            (2, "SET e 5"),
            (2, "SET f 6 PX 9 NX"),
            (2, "SET g 7 NX"),
            (0, "SET h 8 NX"),
        ];
        let units = collected_as(Kind::Snapshot, &commands, false);
        assert_eq!(units.len(), 1);
        // The number of words of a run, 16 times, and 8 for it, and how the reply is judged.
        let expected = [
            "0000000073 a 1 b 2 0000000040 c 3 -2 0000000072 d 4 e 5",
            " -2 97 SET f 6 PX 9 NX -2 0000000041 g 7 0000000041 h 8",
        ];
        assert_eq!(words(&units[0]).join(" "), expected.concat());
        let texts: Vec<&str> = commands.iter().map(|(_, text)| *text).collect();
        for at in 0..=commands.len() {
            let mut first = units[0].clone();
            let second = first.split_off(at);
            assert_eq!([shown(&first), shown(&second)].concat(), texts, "{at}");
            assert_eq!((first.counts(&[]).keys, second.weight()), (at as u64, (commands.len() - at) as u64));
            let anew = |commands: &[(u32, &str)]| collected_as(Kind::Snapshot, commands, false).first().map(words);
            assert_eq!(
                [Some(words(&first)), Some(words(&second))].map(|words| words.filter(|words| !words.is_empty())),
                [anew(&commands[..at]), anew(&commands[at..])]
            );
            if at < commands.len() {
                assert_eq!(shown(&second.first_alone()), texts[at..=at]);
                assert_eq!(second.item(0).place, units[0].item(at).place);
            }
        }
        let marked = units[0].clone().marked(|slot, _| {
            let mut raw = Vec::new();
            encode::command(&mut raw, ["SET", "marker", &slot.to_string()]);
            raw
        });
        assert_eq!((marked.len(), marked.weight()), (16, 8));
        assert_eq!(shown(&marked).concat().matches("marker").count(), 8);
        assert_eq!(
            marked.filtered(|slot| slot == 4).as_ref().map(shown),
            Some(vec!["SET e 5".into(), "SET marker 4".into()])
        );
        let counts = units[0].counts(&[1, 2]);
        assert_eq!((counts.keys, counts.kept, counts.commands), (6, 2, 8));
    }

    #[test]
    fn only_what_is_a_plain_string_goes_in_a_run() {
        let pairs = |raw: &[&str], expect: Expect, kind: Kind| {
            let mut command = Vec::new();
            encode::command(&mut command, raw);
            let mark = Mark::new(0, kind).expect(expect);
            let place = Place { at: 1, nth: 1 };
            let new = New { slot: 1, mark, raw: &command, commands: 1, bytes: 1, alone: false, marks: false, place };
            let mut collector = Collector::default();
            collector.push(1, None, new, false);
            let units = collector.take();
            assert_eq!(units.iter().map(|unit| unit.raw(0)).collect::<Vec<_>>(), [command]);
            words(&units[0]).len() == 3
        };
        let snapshot = |raw: &[&str], expect| pairs(raw, expect, Kind::Snapshot);
        assert!(snapshot(&["SET", "k", "v"], Expect::Success));
        assert!(snapshot(&["SET", "k", "", "NX"], Expect::Created));
        assert!(snapshot(&["SET", "", "v", "NX"], Expect::CreatedOrKept));
        // A value that looks like what stands behind one.
        assert!(snapshot(&["SET", "k", "v\r\n$2\r\nNX\r\n"], Expect::Success));
        assert!(snapshot(&["SET", "k", "\r\n$2\r\nNX", "NX"], Expect::Created));
        for (raw, expect) in [
            (&["SET", "k", "v", "NX"][..], Expect::Success),
            (&["SET", "k", "v"], Expect::Created),
            (&["SET", "k", "v", "X\r\n$2\r\nNX"], Expect::Created),
            (&["SET", "k", "v", "XX"], Expect::Created),
            (&["GET", "k", "v"], Expect::Success),
            (&["SET", "k", "v", "PX", "9", "NX"], Expect::Created),
        ] {
            assert!(!snapshot(raw, expect), "{raw:?}");
        }
        assert!(!pairs(&["SET", "k", "v"], Expect::Success, Kind::Write));
    }
}
