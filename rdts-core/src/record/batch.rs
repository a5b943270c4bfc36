//! A batch: commands as RESP in one arena, a small record for each, and where they bring the target.

use std::fmt;
use std::ops::Range;

use super::Position;

/// What a command of a batch stands for.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Puts a key of the snapshot in place, or a part of one that is too big for a single command.
    Snapshot,
    /// A function library or cached script of the snapshot.
    Code,
    /// A write of the stream.
    Write,
    /// `EVAL` or `EVALSHA`, which sources before Redis 5.0 replicate verbatim. That such a script ends in an error after it
    /// has written is part of what the source saw, too.
    Script,
    /// `MULTI`: opens a transaction of the source.
    Multi,
    /// `EXEC`: closes it. Both are always in the same batch.
    Exec,
    /// What a node of a cluster says of slots that move (`CLUSTER SYNCSLOTS …`, `TRIMSLOTS`): no command for a target. It is in
    /// batches only where [`slot_moves`](crate::translate::TranslateOptions::slot_moves) is set, and never reaches a sink.
    Move,
}

/// Which reply of the target means that the command did what was meant. An error never does.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expect {
    /// Any reply that is no error.
    Success,
    /// The key was not there: a `-BUSYKEY`, a null (`SET … NX`) or `:0` (`RENAMENX`) stops the run.
    Created,
    /// As [`Created`](Expect::Created), but a key that was there is left alone and counted as skipped.
    CreatedOrKept,
}

/// What goes with a command, beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mark {
    /// The database that the command is meant for.
    pub db: u32,
    /// What it stands for.
    pub kind: Kind,
    /// The reply that it needs.
    pub expect: Expect,
    /// How many keys of the snapshot are in place once it is applied.
    pub keys: u32,
    /// How many commands of the stream are done once it is applied: 1, or 0 for all but the last of those that one was translated into.
    pub writes: u32,
    /// Whether what it works on may have expired on its way, so that `-ERR no such key` is no failure.
    pub may_expire: bool,
}

impl Mark {
    /// A command for database `db` that completes no key of the snapshot and must merely succeed.
    pub fn new(db: u32, kind: Kind) -> Self {
        Self { db, kind, expect: Expect::Success, keys: 0, writes: 0, may_expire: false }
    }

    /// The reply that is needed.
    #[must_use]
    pub fn expect(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }

    /// Whether what it works on may have expired on its way.
    #[must_use]
    pub fn may_expire(mut self, may_expire: bool) -> Self {
        self.may_expire = may_expire;
        self
    }

    /// How many commands of the stream it completes.
    #[must_use]
    pub fn writes(mut self, writes: u32) -> Self {
        self.writes = writes;
        self
    }

    /// How many keys of the snapshot it completes.
    #[must_use]
    pub fn keys(mut self, keys: u32) -> Self {
        self.keys = keys;
        self
    }
}

#[derive(Clone)]
struct Record {
    end: u32,
    key: Range<u32>,
    mark: Mark,
    offset: u64,
}

/// Commands, ready as RESP in one arena, in the order in which they must be applied to each key.
///
/// A transaction of the source (`MULTI` … `EXEC`) is never split over two batches. `SELECT` is not among the commands:
/// each has the [database](Command::db) it is meant for, and a sink selects as its connections need it.
pub struct Batch {
    arena: Vec<u8>,
    records: Vec<Record>,
    position: Position,
    urgent: bool,
}

impl Batch {
    /// Whether the source waits to hear that this is applied (`REPLCONF GETACK`, which `WAIT` and `CLUSTER SETSLOT` of Valkey send).
    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Where the source is once all of this is applied.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The number of commands.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// How many keys of the snapshot are done once all of this is applied.
    pub fn keys(&self) -> u64 {
        self.records.iter().map(|record| u64::from(record.mark.keys)).sum()
    }

    /// How many commands of the source's stream are done once all of this is applied.
    pub fn writes(&self) -> u64 {
        self.records.iter().map(|record| u64::from(record.mark.writes)).sum()
    }

    /// Whether there is no command: such a batch only moves the position.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The bytes of all commands, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.arena
    }

    /// The commands in order.
    pub fn commands(&self) -> Commands<'_> {
        Commands { batch: self, next: 0 }
    }

    /// Takes the first `count` commands out, as a batch that ends at `position`.
    pub(crate) fn take_front(&mut self, count: usize, position: Position) -> Self {
        let end = count.checked_sub(1).and_then(|last| self.records.get(last)).map_or(0, |record| record.end);
        let rest = self.records.split_off(count);
        let records = std::mem::replace(&mut self.records, rest);
        for record in &mut self.records {
            record.end -= end;
            if record.key != NO_KEY {
                record.key = record.key.start - end..record.key.end - end;
            }
        }
        let rest = self.arena.split_off(end as usize);
        let arena = std::mem::replace(&mut self.arena, rest);
        Self { arena, records, position, urgent: false }
    }

    /// Drops the commands for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&Command<'_>) -> bool) {
        let kept: Vec<bool> = self.commands().map(|command| keep(&command)).collect();
        if kept.iter().all(|keep| *keep) {
            return;
        }
        let (mut start, mut shift) = (0, 0);
        let mut kept = kept.into_iter();
        let arena = &mut self.arena;
        self.records.retain_mut(|record| {
            let end = record.end;
            let length = end - start;
            let keep = kept.next().unwrap_or(true);
            if keep {
                arena.copy_within(start as usize..end as usize, (start - shift) as usize);
                record.end -= shift;
                if record.key != NO_KEY {
                    record.key = record.key.start - shift..record.key.end - shift;
                }
            } else {
                shift += length;
            }
            start = end;
            keep
        });
        self.arena.truncate((start - shift) as usize);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("commands", &self.len())
            .field("bytes", &self.arena.len())
            .field("position", &self.position)
            .finish()
    }
}

/// One command of a [`Batch`].
#[derive(Clone)]
pub struct Command<'a> {
    raw: &'a [u8],
    key: Option<&'a [u8]>,
    mark: Mark,
    offset: u64,
}

impl<'a> Command<'a> {
    /// The command as a RESP array of bulk strings.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Its arguments, the name first.
    pub fn args(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        Args(self.raw.split_first().map_or(&[][..], |_| skip_line(self.raw).1))
    }

    /// Its name as it came, in upper or lower case.
    pub fn name(&self) -> &'a [u8] {
        self.args().next().unwrap_or_default()
    }

    /// Its first key, if it has one.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The database that it is meant for.
    pub fn db(&self) -> u32 {
        self.mark.db
    }

    /// What it stands for.
    pub fn kind(&self) -> Kind {
        self.mark.kind
    }

    /// All that goes with it.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Where the source is after it: bytes of RDB for what comes from the snapshot, the replication offset for the rest.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments may be secrets or huge: the name and the key are enough to recognise a command.
        f.debug_struct("Command")
            .field("name", &self.name().escape_ascii().to_string())
            .field("key", &self.key.map(|key| key.escape_ascii().to_string()))
            .field("mark", &self.mark)
            .field("offset", &self.offset)
            .finish()
    }
}

/// The iterator of [`Batch::commands`].
#[derive(Debug, Clone)]
pub struct Commands<'a> {
    batch: &'a Batch,
    next: usize,
}

impl<'a> Iterator for Commands<'a> {
    type Item = Command<'a>;

    fn next(&mut self) -> Option<Command<'a>> {
        let batch = self.batch;
        let record = batch.records.get(self.next)?;
        let start = self.next.checked_sub(1).map_or(0, |previous| batch.records[previous].end as usize);
        self.next += 1;
        Some(Command {
            raw: &batch.arena[start..record.end as usize],
            key: (record.key != NO_KEY).then(|| &batch.arena[record.key.start as usize..record.key.end as usize]),
            mark: record.mark,
            offset: record.offset,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batch.records.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Commands<'_> {}

/// Bulk strings one after the other, as this crate wrote or checked them.
struct Args<'a>(&'a [u8]);

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (header, rest) = skip_line(self.0);
        let length = header.get(1..)?.iter().fold(0usize, |n, digit| n * 10 + usize::from(digit - b'0'));
        let (arg, rest) = rest.split_at_checked(length)?;
        self.0 = rest.get(2..)?;
        Some(arg)
    }
}

fn skip_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\r') {
        Some(end) => (&bytes[..end], bytes.get(end + 2..).unwrap_or_default()),
        None => (&[], &[]),
    }
}

const NO_KEY: Range<u32> = u32::MAX..u32::MAX;

/// Fills a [`Batch`].
#[derive(Default)]
pub struct BatchBuilder {
    arena: Vec<u8>,
    records: Vec<Record>,
    committed: usize,
    bytes: usize,
    urgent: bool,
}

impl BatchBuilder {
    /// A builder that expects batches of about `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Where the next command is to be appended, whole, as a RESP array of bulk strings.
    pub fn arena(&mut self) -> &mut Vec<u8> {
        if self.arena.capacity() == 0 {
            self.arena.reserve(self.bytes);
            self.records.reserve(self.bytes / 128);
        }
        &mut self.arena
    }

    /// Ends the command that was appended since the last call. `key` is where its first key lies in the arena, `offset`
    /// where the source is after it.
    ///
    /// A batch holds less than 4 GiB: whoever fills one has to [`take`](Self::take) it long before.
    pub fn commit(&mut self, mark: Mark, key: Option<Range<usize>>, offset: u64) {
        let narrow = |n: usize| u32::try_from(n).expect("a batch is taken long before it has 4 GiB");
        self.records.push(Record {
            end: narrow(self.arena.len()),
            key: key.map_or(NO_KEY, |key| narrow(key.start)..narrow(key.end)),
            mark,
            offset,
        });
        self.committed = self.arena.len();
    }

    /// Takes back what was appended since the last [`commit`](Self::commit).
    pub fn discard(&mut self) {
        self.arena.truncate(self.committed);
    }

    /// How many commands have been committed since the last [`take`](Self::take).
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Takes back all commands but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.records.truncate(len);
        self.committed = self.records.last().map_or(0, |record| record.end as usize);
        self.discard();
    }

    /// The source waits to hear that what is in this batch is applied.
    pub fn set_urgent(&mut self) {
        self.urgent = true;
    }

    /// Bytes of the committed commands.
    pub fn size(&self) -> usize {
        self.committed
    }

    /// Whether there is no command yet.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The batch, which ends at `position`; the builder is empty again.
    pub fn take(&mut self, position: Position) -> Batch {
        self.discard();
        self.committed = 0;
        Batch {
            arena: std::mem::take(&mut self.arena),
            records: std::mem::take(&mut self.records),
            position,
            urgent: std::mem::take(&mut self.urgent),
        }
    }
}

impl fmt::Debug for BatchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchBuilder").field("commands", &self.records.len()).field("bytes", &self.committed).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::ReplicationId;

    fn batch(commands: &[&[&str]]) -> Batch {
        let mut builder = BatchBuilder::new(64);
        for (index, command) in commands.iter().enumerate() {
            let arena = builder.arena();
            arena.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
            let mut key = None;
            for (at, arg) in command.iter().enumerate() {
                arena.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
                if at == 1 {
                    key = Some(arena.len()..arena.len() + arg.len());
                }
                arena.extend_from_slice(format!("{arg}\r\n").as_bytes());
            }
            builder.commit(Mark::new(u32::try_from(index).unwrap() % 2, Kind::Write), key, index as u64);
        }
        builder.take(Position::stream(ReplicationId::NONE, 9, 0))
    }

    fn texts(batch: &Batch) -> Vec<(String, Option<String>)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        batch
            .commands()
            .map(|command| (command.args().map(text).collect::<Vec<_>>().join(" "), command.key().map(text)))
            .collect()
    }

    #[test]
    fn commands_come_back_as_they_were_put_in() {
        let batch = batch(&[&["SET", "k", "a\r\nb"], &["PING"], &["DEL", "", "x"]]);
        assert_eq!(
            texts(&batch),
            [("SET k a\r\nb".into(), Some("k".into())), ("PING".into(), None), ("DEL  x".into(), Some(String::new()))]
        );
        assert_eq!(batch.commands().map(|command| command.raw().len()).sum::<usize>(), batch.bytes().len());
        assert_eq!(batch.commands().map(|command| command.offset()).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn retain_keeps_bytes_and_keys_together() {
        let all: &[&[&str]] = &[&["SET", "k1", "v"], &["PING"], &["DEL", "k2"], &["DEL", "k3", "x"]];
        for mask in 0..16u32 {
            let mut kept = batch(all);
            kept.retain(|command| mask >> command.offset() & 1 == 1);
            let expected: Vec<_> = texts(&batch(all))
                .into_iter()
                .enumerate()
                .filter(|(i, _)| mask >> i & 1 == 1)
                .map(|(_, t)| t)
                .collect();
            assert_eq!(texts(&kept), expected, "{mask:04b}");
        }
    }

    #[test]
    fn a_batch_can_be_cut_anywhere() {
        let all: &[&[&str]] = &[&["SET", "k1", "v"], &["PING"], &["DEL", "k2"], &["DEL", "k3", "x"]];
        for count in 0..=4 {
            let mut rest = batch(all);
            let front = rest.take_front(count, Position::stream(ReplicationId::NONE, 3, 0));
            assert_eq!([texts(&front), texts(&rest)].concat(), texts(&batch(all)), "{count}");
            assert_eq!((front.len(), front.position().offset(), rest.position().offset()), (count, 3, 9));
        }
    }

    #[test]
    fn commands_can_be_taken_back() {
        let mut builder = BatchBuilder::new(16);
        for text in ["*1\r\n$1\r\na\r\n", "*1\r\n$1\r\nb\r\n", "*1\r\n$1\r\nc\r\n"] {
            builder.arena().extend_from_slice(text.as_bytes());
            builder.commit(Mark::new(0, Kind::Write), None, 1);
        }
        builder.arena().extend_from_slice(b"*1");
        builder.truncate(1);
        assert_eq!((builder.len(), builder.size()), (1, 11));
        let batch = builder.take(Position::stream(ReplicationId::NONE, 1, 0));
        assert_eq!(batch.bytes(), b"*1\r\n$1\r\na\r\n");
    }

    #[test]
    fn what_was_not_committed_is_not_in_the_batch() {
        let mut builder = BatchBuilder::new(16);
        builder.arena().extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
        builder.commit(Mark::new(0, Kind::Write), None, 1);
        builder.arena().extend_from_slice(b"*1\r\n$4");
        let batch = builder.take(Position::stream(ReplicationId::NONE, 1, 0));
        assert_eq!(batch.bytes(), b"*1\r\n$4\r\nPING\r\n");
        assert!(builder.is_empty() && builder.size() == 0);
    }
}
