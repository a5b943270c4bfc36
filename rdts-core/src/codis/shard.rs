//! One group of a Codis deployment as a source.

use super::CodisWatch;
use super::topology::wrong;
use crate::command::keys;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Intake;
use crate::record::{Batch, Command, Kind, Position};
use crate::slot::codis::slot;
use crate::source::Source;
use crate::translate::of_temporary;

/// What one group says, without what does not belong to it.
///
/// A server of Codis does not know which slots are its own. It may still hold keys of slots that it gave away, and keys that a
/// command stored in the wrong place (a proxy routes `ZUNIONSTORE` by its first source): nobody sees them through a proxy, and another group may
/// have a key of the same name. They are left out, and so is what happens to them, such as their expiry;
/// [`Intake::elsewhere`] counts that.
///
/// It stops with [`Topology`](crate::ErrorKind::Topology) when slots move: at the latest at the next look at the dashboard, and at
/// once where this group's own stream shows that keys arrive.
#[derive(Debug)]
pub struct CodisShard<S> {
    watch: CodisWatch,
    group: u32,
    source: S,
    left_out: Intake,
}

/// Where the keys of a command belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belongs {
    Here,
    Elsewhere,
    Both,
}

impl<S: Source> CodisShard<S> {
    pub(super) fn new(watch: CodisWatch, group: u32, source: S) -> Self {
        Self { watch, group, source, left_out: Intake::default() }
    }

    /// The number of the group.
    pub fn group(&self) -> u32 {
        self.group
    }

    fn belongs(&self, command: &Command<'_>) -> Result<Belongs> {
        let topology = self.watch.topology();
        let (mut here, mut elsewhere) = (false, false);
        let mut see = |key: &[u8]| match topology.owner_of(key) == self.group {
            true => here = true,
            false => elsewhere = true,
        };
        let Some(key) = command.key() else { return Ok(Belongs::Here) };
        if command.kind() != Kind::Snapshot {
            // A look at all keys; nearly every command has one.
            let args: Vec<&[u8]> = command.args().collect();
            keys(&args)?.for_each(|key| see(args[key.index]));
        } else if command.name().starts_with(b"MSET") {
            command.args().skip(1).step_by(2).for_each(see);
        } else {
            // What is built under another name and renamed is judged by its own name.
            see(of_temporary(key).unwrap_or(key));
        }
        Ok(match (here, elsewhere) {
            (_, false) => Belongs::Here,
            (false, true) => Belongs::Elsewhere,
            (true, true) => Belongs::Both,
        })
    }

    fn check(&mut self, mut batch: Batch) -> Result<Batch> {
        let mut stays = Vec::with_capacity(batch.len());
        for command in batch.commands() {
            let belongs = self.belongs(&command)?;
            let name = command.name();
            let is = |other: &[&[u8]]| other.iter().any(|other| name.eq_ignore_ascii_case(other));
            if belongs == Belongs::Elsewhere && command.kind() == Kind::Write && is(&[b"RESTORE"]) {
                // No proxy lets a client do this: it is a key that comes from another group.
                return Err(self.arrival(&command));
            }
            if belongs == Belongs::Both {
                return Err(self.mixed(&command));
            }
            if command.kind() == Kind::Write && is(&[b"FLUSHALL", b"FLUSHDB", b"SWAPDB"]) {
                return Err(self.whole(&command));
            }
            stays.push(belongs != Belongs::Elsewhere);
        }
        let mut stays = stays.into_iter();
        batch.retain(|command| {
            let stays = stays.next().unwrap_or(true);
            if !stays {
                self.left_out.take_elsewhere(&command.mark());
            }
            stays
        });
        Ok(batch)
    }

    fn arrival(&self, command: &Command<'_>) -> Error {
        let key = command.key().unwrap_or_default();
        wrong(format!(
            "group {} got key \"{}\" of slot {}, which belonged to group {}: slots are being moved. Let the moves finish and start \
             again",
            self.group,
            key[..key.len().min(128)].escape_ascii(),
            slot(key),
            self.watch.topology().owner_of(key)
        ))
    }

    fn whole(&self, command: &Command<'_>) -> Error {
        let text = format!(
            "{} was executed in group {} alone, and cannot be told apart from the other groups' keys in the target",
            command.name().escape_ascii(),
            self.group
        );
        Error::new(ErrorKind::Unsupported, text)
    }

    fn mixed(&self, command: &Command<'_>) -> Error {
        let key = command.key().unwrap_or_default();
        let text = format!(
            "{} of key \"{}\" was executed in group {}, but has keys that belong to another group: what it did cannot be told. Delete \
             the keys that are in the wrong group, keep such keys under one hash tag, and start again",
            command.name().escape_ascii(),
            key[..key.len().min(128)].escape_ascii(),
            self.group
        );
        wrong(text)
    }
}

impl<S: Source> Source for CodisShard<S> {
    async fn next(&mut self) -> Result<Option<Batch>> {
        let watch = self.watch.clone();
        let batch = tokio::select! {
            biased;
            error = watch.changed() => return Err(error),
            batch = self.source.next() => batch?,
        };
        batch.map(|batch| self.check(batch)).transpose()
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<()> {
        self.source.acknowledge(position).await
    }

    fn intake(&self) -> Intake {
        let mut intake = self.source.intake();
        intake += self.left_out;
        intake
    }
}
