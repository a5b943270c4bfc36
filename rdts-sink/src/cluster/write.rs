//! Brings the commands of a batch to the lanes.

use std::sync::Arc;

use rdts_core::command::{Sharding, keys, lookup, sharding, split};
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::ledger::Counts;
use rdts_core::record::{Batch, Command, Commands, Expect, Kind, Mark, Position};
use rdts_core::slot::slot;
use rdts_resp::encode;

use super::OnImpossible;
use super::claims::Filter;
use super::place::{Counter, Place, Reached};
use super::routes::{Routes, Shared};
use super::settle::forward_all;
use super::steps::{Rest, STEPS, Steps, rest};
use super::unit::{Collector, NO_SLOT, New, Unit};
use crate::crossing::{self, Crossing};
use crate::failure::gone;
use crate::judge::{Answer, Judge, Subject};

/// Routes the commands of one batch.
pub(super) struct Router<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) databases: u32,
    pub(super) batch: u64,
    pub(super) counter: &'a mut Counter,
    /// Where the source can be read from to get this batch.
    pub(super) position: Option<Position>,
    /// What the target has already.
    pub(super) filter: Option<&'a Filter>,
    /// What goes to each lane and was not sent yet.
    pub(super) collectors: Vec<Collector>,
    pub(super) transaction: bool,
}

/// What is to be done with a command.
enum Way {
    /// It goes to the lane of a slot, if need be alone.
    Slot(u16, bool),
    Split,
    Cross,
    Broadcast,
    Impossible(String),
}

impl Router<'_> {
    /// Sends everything to the lanes. What concerns several of them is waited for.
    pub(super) async fn route(mut self, batch: &Batch) -> Result<()> {
        let mut commands = batch.commands();
        // In one go, with the routes held: which lane has a slot must not change between this and the sending.
        while let Some((command, way)) = self.run(&mut commands)? {
            match way {
                Way::Broadcast => self.broadcast(&command).await?,
                Way::Cross => self.cross(&command).await?,
                Way::Impossible(why) => self.impossible(&command, &why)?,
                Way::Slot(..) | Way::Split => {}
            }
        }
        Ok(())
    }

    /// Sends commands up to the first one that needs more than that.
    fn run<'b>(&mut self, commands: &mut Commands<'b>) -> Result<Option<(Command<'b>, Way)>> {
        let shared = self.shared.clone();
        let routes = shared.routes();
        let mut dropped = Counts::default();
        self.collectors.resize_with(routes.lanes(), Collector::default);
        let mut stopped = None;
        for command in commands {
            let kind = command.kind();
            if matches!(kind, Kind::Multi | Kind::Exec) {
                self.transaction = kind == Kind::Multi;
                self.shared.progress.count(self.batch, counted(&command));
                continue;
            }
            match self.way(&command)? {
                Way::Slot(slot, alone) => {
                    let new = New {
                        slot,
                        mark: command.mark(),
                        raw: command.raw(),
                        commands: 1,
                        bytes: command.raw().len() as u64,
                        alone,
                        marks: false,
                        place: self.counter.next(at(&command), 0),
                    };
                    self.collect(&routes, new, &mut dropped);
                }
                Way::Split => {
                    let args: Vec<&[u8]> = command.args().collect();
                    let parts = split(&args, slot)?;
                    for (number, part) in parts.iter().enumerate() {
                        let mut raw = Vec::with_capacity(command.raw().len() / parts.len() + 32);
                        encode::command(&mut raw, &part.args);
                        let mark = if number == 0 { command.mark() } else { command.mark().keys(0) };
                        let (commands, bytes) = if number == 0 { (1, command.raw().len() as u64) } else { (0, 0) };
                        let place = self.counter.next(at(&command), 0);
                        let new = New {
                            slot: part.slot,
                            mark,
                            raw: &raw,
                            commands,
                            bytes,
                            alone: false,
                            marks: false,
                            place,
                        };
                        self.collect(&routes, new, &mut dropped);
                    }
                }
                way => {
                    stopped = Some((command, way));
                    break;
                }
            }
        }
        if dropped != Counts::default() {
            self.shared.progress.count(self.batch, dropped);
        }
        self.send(&routes);
        Ok(stopped)
    }

    /// Sends what was collected.
    pub(super) fn send(&mut self, routes: &Routes) {
        self.shared.progress.expect(self.batch, self.collectors.iter().map(|collector| collector.len).sum());
        for (lane, collector) in self.collectors.iter_mut().enumerate() {
            for unit in collector.take() {
                routes.send(lane, unit);
            }
        }
    }

    /// Puts a command to what goes to the lane of its slot, unless the target has it already: then it is counted as what it is.
    pub(super) fn collect(&mut self, routes: &Routes, new: New<'_>, dropped: &mut Counts) {
        if self.has(new.slot, new.place) {
            dropped.commands += u64::from(new.commands);
            dropped.bytes += new.bytes;
            dropped.keys += u64::from(new.mark.keys);
            return;
        }
        let lane = routes.lane_of(new.slot);
        self.collectors[lane].push(self.batch, self.position, new, self.transaction);
        if routes.is_marked(new.slot) {
            let reached = Reached { place: new.place, position: self.position };
            let raw = self.shared.keys.mark(new.slot, lane, reached);
            let mark = Mark::new(0, new.mark.kind);
            let new = New { mark, raw: &raw, commands: 0, bytes: 0, alone: false, marks: true, ..new };
            self.collectors[lane].push(self.batch, self.position, new, self.transaction);
        }
    }

    /// Whether a run before has done this.
    pub(super) fn has(&self, slot: u16, place: Place) -> bool {
        // What has no slot goes with the first one.
        let slot = if slot == NO_SLOT { 0 } else { slot };
        self.filter.is_some_and(|filter| filter.has(slot, place))
    }

    fn way(&self, command: &Command<'_>) -> Result<Way> {
        let db = command.db();
        if db >= self.databases {
            let why = match self.databases {
                1 => "the cluster has no database but 0 (Valkey from 9.0 on has more: cluster-databases)".to_owned(),
                many => format!("the cluster has {many} databases (cluster-databases)"),
            };
            let text = format!("{}: {why}", Subject::from(command).named());
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        if command.kind() == Kind::Code {
            return Ok(Way::Broadcast);
        }
        // Commands of the snapshot have one key, or temporaries in its slot; `MSET` and `MSETNX` of many are for other targets.
        if let Some(key) = command.key()
            && command.kind() == Kind::Snapshot
            && !command.name().first().is_some_and(|letter| letter.eq_ignore_ascii_case(&b'M'))
        {
            return Ok(Way::Slot(slot(key), false));
        }
        let name = command.name();
        let one = lookup(name).is_some_and(|info| info.only_key() == Some(1) && info.name() != "MOVE");
        if let Some(key) = command.key()
            && one
        {
            return Ok(Way::Slot(slot(key), false));
        }
        let args: Vec<&[u8]> = command.args().collect();
        let sharding = sharding(&args)?;
        let mut slots = keys(&args)?.map(|key| slot(args[key.index]));
        let first = slots.next();
        let together = slots.all(|slot| Some(slot) == first);
        // What was rewritten for an older target may be a script, too.
        let alone = command.kind() == Kind::Script || name.eq_ignore_ascii_case(b"EVAL");
        let named = |why: &str| Way::Impossible(why.to_owned());
        Ok(match (sharding, first) {
            (Sharding::Broadcast, _) => Way::Broadcast,
            (Sharding::Refused, _) => named("a cluster cannot do that"),
            (Sharding::Undeclared | Sharding::Together, Some(_)) if name.eq_ignore_ascii_case(b"SORT") => {
                named("a sort by patterns, whose keys may be in any slot")
            }
            (Sharding::Undeclared, _) => named("a script that declares no keys: where they are nobody can tell"),
            (Sharding::Databases, _) if self.databases == 1 => named("the cluster has one database"),
            (_, Some(slot)) if together => Way::Slot(slot, alone),
            (Sharding::Split, _) => Way::Split,
            (Sharding::Cross, _) => Way::Cross,
            (_, Some(_)) => named("its keys are in different slots"),
            (_, None) => Way::Slot(NO_SLOT, alone),
        })
    }

    /// Applies a command on every primary, after everything before and before everything behind it.
    async fn broadcast(&mut self, command: &Command<'_>) -> Result<()> {
        let before = Reached { place: self.counter.0, position: self.position };
        let place = self.counter.next(at(command), 0);
        self.shared.progress.settled().await?;
        if self.shared.routes().any_marked() {
            // It may remove the markers.
            if self.filter.is_some_and(|filter| !filter.is_over(before.place)) {
                let text =
                    format!("{}: slots move while what a run before did is made whole", Subject::from(command).named());
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
            forward_all(self.shared, before, true).await?;
        }
        // Also the primaries that have come since; if nobody answers, the lanes will say so.
        let _ = self.shared.refresh().await;
        {
            let mut routes = self.shared.routes();
            let lanes = routes.lane_of_each(self.shared);
            let has = |lane: usize| self.filter.is_some() && routes.slots_of(lane).all(|slot| self.has(slot, place));
            let lanes: Vec<usize> = lanes.into_iter().filter(|lane| !has(*lane)).collect();
            if lanes.is_empty() {
                self.shared.progress.count(self.batch, counted(command));
            }
            self.shared.progress.expect(self.batch, lanes.len() as u64);
            for (index, lane) in lanes.into_iter().enumerate() {
                let (commands, bytes) = if index == 0 { (1, command.raw().len() as u64) } else { (0, 0) };
                let (mark, raw) = (command.mark(), command.raw());
                let new = New { slot: NO_SLOT, mark, raw, commands, bytes, alone: true, marks: false, place };
                routes.send(lane, Unit::alone(self.batch, self.position, new));
            }
        }
        self.shared.progress.settled().await?;
        // Of several lanes at one node one has done it, and that may have removed the checkpoints of the others.
        let waits = self.shared.routes().restore();
        for wait in waits {
            if wait.await.is_err() {
                self.shared.progress.check()?;
                return Err(gone());
            }
        }
        Ok(())
    }

    /// Executes a command whose keys are in different slots.
    async fn cross(&mut self, command: &Command<'_>) -> Result<()> {
        let place = self.counter.next(at(command), STEPS);
        self.shared.progress.settled().await?;
        let args: Vec<&[u8]> = command.args().collect();
        let end = self.counter.0;
        let left = match self.filter {
            Some(_) => {
                let has = |slot, step| self.has(slot, Place { nth: place.nth + step, ..place });
                rest(self.shared.target, &args, has)?
            }
            None => Rest::Command(args),
        };
        let Rest::Command(args) = left else {
            self.shared.progress.count(self.batch, counted(command));
            return Ok(());
        };
        let reply = match crossing::execute(&mut Steps::new(self, place), command.db(), &args).await? {
            Crossing::Done(reply) => reply,
            Crossing::Refused(why) => return self.impossible(command, &why.to_string()),
        };
        let mut judge = Judge::default();
        judge.answer(command, &Answer::from(&reply))?;
        self.shared.progress.count(self.batch, judge.counts());
        if self.shared.keys.persistent() {
            // Nothing of what follows is applied before all lanes say that this is over.
            let reached = Reached { place: end, position: self.position };
            forward_all(self.shared, reached, false).await?;
        }
        Ok(())
    }

    fn impossible(&self, command: &Command<'_>, why: &str) -> Result<()> {
        let text = format!("{} cannot be executed on a cluster: {why}", Subject::from(command).named());
        match self.shared.options.on_impossible {
            OnImpossible::Stop => Err(Error::new(ErrorKind::Unsupported, text)),
            OnImpossible::Skip => {
                tracing::warn!("{text}; it is left out");
                let mut counts = Counts::default();
                counts.impossible = 1;
                self.shared.progress.count(self.batch, counts);
                Ok(())
            }
        }
    }
}

/// The offset of a command in the order of all.
fn at(command: &Command<'_>) -> u64 {
    Place::offset(command.kind(), command.offset())
}

fn counted(command: &Command<'_>) -> Counts {
    debug_assert_eq!(command.mark().expect, Expect::Success);
    let mut counts = Counts::default();
    counts.commands = 1;
    counts.bytes = command.raw().len() as u64;
    counts
}
