//! Batches that go to the server as one transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use rdts_core::record::{Batch, Command, Kind, Position};
use rdts_resp::encode;
use tokio::sync::OwnedSemaphorePermit;

use crate::judge::Subject;

/// A batch, and the room that it takes in the window until it is applied.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) batch: Batch,
    pub(super) room: Option<OwnedSemaphorePermit>,
    /// The databases of its commands.
    pub(super) dbs: BTreeSet<u32>,
}

impl Accepted {
    pub(super) fn new(batch: Batch, room: Option<OwnedSemaphorePermit>) -> Self {
        let (mut dbs, mut last) = (BTreeSet::new(), None);
        for command in batch.commands().filter(|command| !is_frame(command)) {
            if last.replace(command.db()) != Some(command.db()) {
                dbs.insert(command.db());
            }
        }
        Self { batch, room, dbs }
    }
}

/// One or several whole batches.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    batches: Vec<Arc<Batch>>,
    rooms: Vec<OwnedSemaphorePermit>,
    /// Of commands.
    bytes: usize,
    commands: usize,
    dbs: BTreeSet<u32>,
    /// The databases that `SWAPDB` exchanges, in order.
    swaps: Vec<(u32, u32)>,
    /// How many batches the watermark has passed.
    pub(super) told: usize,
    /// Nothing can be added: the server may have been told to execute it.
    pub(super) closed: bool,
}

impl Transaction {
    /// Whether it takes another batch, with a window of so many bytes.
    pub(super) fn takes(&self, accepted: &Accepted, window: usize) -> bool {
        !self.closed && (self.batches.is_empty() || self.bytes + accepted.batch.bytes().len() <= window)
    }

    pub(super) fn push(&mut self, accepted: Accepted) {
        let Accepted { batch, room, dbs } = accepted;
        self.bytes += batch.bytes().len();
        self.commands += batch.len();
        self.dbs.extend(dbs);
        self.swaps.extend(batch.commands().filter_map(|command| swap(&command)));
        self.rooms.extend(room);
        self.batches.push(Arc::new(batch));
    }

    pub(super) fn batches(&self) -> &[Arc<Batch>] {
        &self.batches
    }

    pub(super) fn dbs(&self) -> impl Iterator<Item = u32> {
        self.dbs.iter().copied()
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn memory(&self) -> usize {
        /// What a batch keeps for each command beside its bytes.
        const RECORD: usize = 48;
        self.bytes + self.commands * RECORD
    }

    /// Where it brings the target.
    pub(super) fn position(&self) -> Option<Position> {
        self.batches.last().map(|batch| *batch.position())
    }

    /// It is applied: gives the room back.
    pub(super) fn release(&mut self) {
        self.rooms.clear();
    }

    /// What has to follow the commands, which leave database `db` selected, so that `key` in database 0 holds `value`, and nothing is left
    /// of it where a `SWAPDB` has put it.
    pub(super) fn tail(&self, db: u32, key: &str, value: &str) -> Vec<Vec<Vec<u8>>> {
        let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let stray = self.swaps.iter().fold(0, |at, (one, other)| match at {
            at if at == *one => *other,
            at if at == *other => *one,
            at => at,
        });
        let mut tail: Vec<Vec<Vec<u8>>> = Vec::new();
        if stray != 0 {
            tail.extend([words(&["SELECT", &stray.to_string()]), words(&["DEL", key])]);
        }
        if stray != 0 || db != 0 {
            tail.push(words(&["SELECT", "0"]));
        }
        tail.push(words(&["SET", key, value]));
        tail
    }

    /// The command that the server queued, or refused to queue, after `before` others.
    pub(super) fn named(&self, before: usize) -> String {
        let (mut left, mut db) = (before, 0);
        for command in self.batches.iter().flat_map(|batch| batch.commands()).filter(|command| !is_frame(command)) {
            if command.db() != db {
                db = command.db();
                if left == 0 {
                    return format!("SELECT {db}");
                }
                left -= 1;
            }
            if left == 0 {
                return Subject::from(&command).named();
            }
            left -= 1;
        }
        "writing the checkpoint".to_owned()
    }
}

/// Whether a command is the frame of a transaction of the source, which cannot be nested in another one.
pub(super) fn is_frame(command: &Command<'_>) -> bool {
    matches!(command.kind(), Kind::Multi | Kind::Exec)
}

/// Appends the batch's commands, with a `SELECT` wherever the database changes from `db`, and says how many that are.
pub(super) fn append(batch: &Batch, db: &mut u32, out: &mut Vec<u8>) -> usize {
    if batch.commands().all(|command| command.db() == *db && !is_frame(&command)) {
        out.extend_from_slice(batch.bytes());
        return batch.len();
    }
    let mut count = 0;
    for command in batch.commands().filter(|command| !is_frame(command)) {
        if command.db() != *db {
            *db = command.db();
            encode::command(out, [b"SELECT".as_slice(), db.to_string().as_bytes()]);
            count += 1;
        }
        out.extend_from_slice(command.raw());
        count += 1;
    }
    count
}

/// The databases that a command exchanges.
fn swap(command: &Command<'_>) -> Option<(u32, u32)> {
    if command.kind() != Kind::Write || !command.name().eq_ignore_ascii_case(b"SWAPDB") {
        return None;
    }
    let mut dbs = command.args().skip(1).map(|arg| std::str::from_utf8(arg).ok()?.parse().ok());
    Some((dbs.next()??, dbs.next()??))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rdts_core::record::{BatchBuilder, Mark, ReplicationId};

    use super::*;

    fn accepted(commands: &[(u32, Kind, &str)]) -> Accepted {
        let mut builder = BatchBuilder::new(64);
        for (db, kind, text) in commands {
            encode::command(builder.arena(), text.split(' ').collect::<Vec<_>>());
            builder.commit(Mark::new(*db, *kind), None, 0);
        }
        Accepted::new(builder.take(Position::stream(ReplicationId::NONE, 1, 0)), None)
    }

    fn transaction(commands: &[(u32, Kind, &str)]) -> Transaction {
        let mut transaction = Transaction::default();
        transaction.push(accepted(commands));
        transaction
    }

    fn tail(transaction: &Transaction, db: u32) -> Vec<String> {
        let shown = |words: &Vec<Vec<u8>>| String::from_utf8(words.join(&b' ')).unwrap();
        transaction.tail(db, "key", "value").iter().map(shown).collect()
    }

    #[test]
    fn frames_are_left_out_and_databases_selected() {
        let commands = [
            (0, Kind::Write, "INCR a"),
            (3, Kind::Multi, "MULTI"),
            (3, Kind::Write, "INCR b"),
            (0, Kind::Write, "INCR c"),
            (0, Kind::Exec, "EXEC"),
            (7, Kind::Write, "INCR d"),
        ];
        let transaction = transaction(&commands);
        let (mut out, mut db) = (Vec::new(), 0);
        let count = append(&transaction.batches()[0], &mut db, &mut out);
        let text = String::from_utf8(out).unwrap();
        let words: Vec<_> =
            text.split("\r\n").filter(|word| !word.starts_with(['*', '$']) && !word.is_empty()).collect();
        assert_eq!(words.join(" "), "INCR a SELECT 3 INCR b SELECT 0 INCR c SELECT 7 INCR d");
        assert_eq!((count, db), (7, 7));
        assert_eq!(transaction.dbs().collect::<Vec<_>>(), [0, 3, 7]);
        let names: Vec<_> = (0..8).map(|before| transaction.named(before)).collect();
        assert_eq!(names[..3], ["INCR in db 0", "SELECT 3", "INCR in db 3"]);
        assert_eq!(names[6..], ["INCR in db 7", "writing the checkpoint"]);
    }

    #[test]
    fn a_checkpoint_that_was_swapped_away_is_removed() {
        let write = |text| (0, Kind::Write, text);
        for (commands, expected) in [
            (vec![write("INCR a")], "SET key value"),
            (vec![write("swapdb 0 3")], "SELECT 3,DEL key,SELECT 0,SET key value"),
            (vec![write("SWAPDB 3 0"), write("SWAPDB 3 5")], "SELECT 5,DEL key,SELECT 0,SET key value"),
            (vec![write("SWAPDB 0 3"), write("SWAPDB 0 3")], "SET key value"),
            (vec![write("SWAPDB 1 2"), write("SWAPDB 0 0")], "SET key value"),
        ] {
            assert_eq!(tail(&transaction(&commands), 0).join(","), expected, "{commands:?}");
        }
        assert_eq!(tail(&transaction(&[write("INCR a")]), 4).join(","), "SELECT 0,SET key value");
    }

    #[test]
    fn a_transaction_takes_batches_up_to_the_window_or_a_single_one() {
        let batch = || accepted(&[(0, Kind::Write, "INCR a")]);
        let one = batch().batch.bytes().len();
        let mut transaction = Transaction::default();
        assert!(transaction.takes(&batch(), 1));
        transaction.push(batch());
        assert!(transaction.takes(&batch(), 2 * one) && !transaction.takes(&batch(), 2 * one - 1));
        transaction.closed = true;
        assert!(!transaction.takes(&batch(), 2 * one));
    }
}
