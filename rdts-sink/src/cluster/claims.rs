//! What the values of a run before say together: for every slot, how far it has come.
//!
//! A value is a claim: everything of these slots up to this place is applied. It is written in one step with the commands that make
//! it true, in the node that has them, so what it says stays true, and of several claims for a slot the one that says
//! most counts. Nothing here does I/O.

use std::fmt;
use std::str::FromStr;

use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::record::{Batch, Position};
use rdts_core::slot::SLOTS;

use super::place::{Place, Reached, Slots, order};

/// The slots that a lane's value speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Vouched {
    /// Those that have come as far as the lane.
    pub(super) own: Slots,
    pub(super) groups: Vec<Group>,
}

/// Slots that are somewhere else than their lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// They are in the lane and have come further than it when it began; what they have already does not go through it. Otherwise
    /// they were in the lane, and have left it at that place.
    pub(super) ahead: bool,
    pub(super) reached: Reached,
    pub(super) slots: Slots,
}

impl Vouched {
    /// Speaks no more for `slots`, which have come to `reached`.
    pub(super) fn lose(&mut self, slots: &Slots, reached: Reached) {
        let mut lost: Vec<Group> = Vec::new();
        for slot in slots.iter().filter(|slot| self.own.contains(*slot)) {
            let reached = self.of(slot, reached).unwrap_or(reached);
            match lost.iter_mut().find(|group| group.reached == reached) {
                Some(group) => group.slots.insert(slot),
                None => lost.push(Group { ahead: false, reached, slots: [slot].into_iter().collect() }),
            }
        }
        self.own = self.own.without(slots);
        for group in &mut self.groups {
            group.slots = group.slots.without(slots);
        }
        self.groups.retain(|group| !group.slots.is_empty());
        self.groups.append(&mut lost);
    }

    /// The groups that are ahead of `place`, as far as they are in `slots`.
    pub(super) fn ahead_of(&self, place: Place, slots: &Slots) -> Vec<Group> {
        let ahead = self.groups.iter().filter(|group| group.ahead && group.reached.place > place);
        let within = |group: &Group| group.slots.iter().filter(|slot| slots.contains(*slot)).collect::<Slots>();
        let kept = ahead.map(|group| Group { slots: within(group), ..group.clone() });
        kept.filter(|group| !group.slots.is_empty()).collect()
    }

    /// How far a slot has come when the lane is at `lane`, if this speaks for it.
    fn of(&self, slot: u16, lane: Reached) -> Option<Reached> {
        let mut groups = self.groups.iter().filter(|group| group.slots.contains(slot));
        if !self.own.contains(slot) {
            return groups.next().map(|group| group.reached);
        }
        Some(groups.filter(|group| group.ahead).fold(lane, |reached, group| reached.or_later(group.reached)))
    }
}

/// The slots of the lane in the first line; then a line for each group: `>` or `=`, its slots, `PLACE POSITION`.
impl fmt::Display for Vouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.own)?;
        for Group { ahead, reached, slots } in &self.groups {
            write!(f, "\n{}{slots} {reached}", if *ahead { '>' } else { '=' })?;
        }
        Ok(())
    }
}

impl FromStr for Vouched {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut lines = text.split('\n');
        let own = lines.next().ok_or(())?.parse()?;
        let group = |line: &str| {
            let (ahead, rest) = match line.split_at_checked(1).ok_or(())? {
                (">", rest) => (true, rest),
                ("=", rest) => (false, rest),
                _ => return Err(()),
            };
            let (slots, reached) = rest.split_once(' ').ok_or(())?;
            Ok(Group { ahead, reached: reached.parse()?, slots: slots.parse()? })
        };
        Ok(Self { own, groups: lines.map(group).collect::<Result<_, ()>>()? })
    }
}

/// The value of a lane's checkpoint: `RUN:COUNT PLACE POSITION`, and the lines of [`Vouched`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) reached: Reached,
    pub(super) vouched: Vouched,
}

impl FromStr for Value {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (first, rest) = text.split_once('\n').ok_or(())?;
        Ok(Self { reached: marker(first).ok_or(())?, vouched: rest.parse()? })
    }
}

/// What a slot's own marker says: `WORD PLACE POSITION`.
pub(super) fn marker(text: &str) -> Option<Reached> {
    text.split_once(' ')?.1.parse().ok()
}

/// How far every slot has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claims(Vec<Reached>);

impl Claims {
    /// Puts together what lanes and markers say; `None` if nothing was applied by any.
    ///
    /// # Errors
    /// [`HistoryLost`](ErrorKind::HistoryLost) if nobody speaks for a slot, or nobody knows where its history begins, although others
    /// have something.
    pub(super) fn gather(values: &[Value], markers: &[(u16, Reached)]) -> Result<Option<Self>> {
        let mut claims: Vec<Option<Reached>> = vec![None; usize::from(SLOTS)];
        let mut claim = |slot: u16, reached: Reached| {
            let held = &mut claims[usize::from(slot % SLOTS)];
            *held = Some(held.map_or(reached, |held| held.or_later(reached)));
        };
        for Value { reached, vouched } in values {
            for slot in 0..SLOTS {
                if let Some(reached) = vouched.of(slot, *reached) {
                    claim(slot, reached);
                }
            }
        }
        for (slot, reached) in markers.iter().filter(|(_, reached)| reached.place > Place::START) {
            claim(*slot, *reached);
        }
        if claims.iter().flatten().all(|reached| reached.place == Place::START) {
            return Ok(None);
        }
        let lost = |unknown: Slots, why: &str| {
            let text = format!(
                "the target holds data of this task, but {why} for slots {unknown}: a node has lost its data, or keys rdts:checkpoint:* \
                 were removed"
            );
            Err(Error::new(ErrorKind::HistoryLost, text))
        };
        let slots_where = |wanted: &dyn Fn(&Option<Reached>) -> bool| -> Slots {
            (0..SLOTS).filter(|slot| wanted(&claims[usize::from(*slot)])).collect()
        };
        let unclaimed = slots_where(&|claim| claim.is_none());
        if !unclaimed.is_empty() {
            return lost(unclaimed, "no checkpoint speaks");
        }
        let unknown = slots_where(&|claim| claim.is_some_and(|reached| reached.position.is_none()));
        if !unknown.is_empty() {
            return lost(unknown, "no checkpoint says where the source is to be read from");
        }
        Ok(Some(Self(claims.into_iter().flatten().collect())))
    }

    /// From where the source has to be read, so that nothing is missed.
    pub(super) fn resumed(&self) -> Option<Position> {
        self.0.iter().map(|reached| reached.position).min_by_key(|position| order(*position)).flatten()
    }

    /// With what a lane of these slots begins.
    pub(super) fn lane(&self, slots: &Slots) -> (Reached, Vouched) {
        let all = || slots.iter().map(|slot| (slot, self.0[usize::from(slot)]));
        let place = all().map(|(_, reached)| reached.place).min().unwrap_or_default();
        let position = all().map(|(_, reached)| reached.position).min_by_key(|position| order(*position)).flatten();
        let mut groups: Vec<Group> = Vec::new();
        for (slot, reached) in all().filter(|(_, reached)| reached.place > place) {
            match groups.iter_mut().find(|group| group.reached == reached) {
                Some(group) => group.slots.insert(slot),
                None => groups.push(Group { ahead: true, reached, slots: [slot].into_iter().collect() }),
            }
        }
        (Reached { place, position }, Vouched { own: slots.clone(), groups })
    }

    /// What is to be dropped of what is read again.
    pub(super) fn filter(&self) -> Filter {
        let places: Vec<Place> = self.0.iter().map(|reached| reached.place).collect();
        Filter { farthest: places.iter().max().copied().unwrap_or_default(), places, from: self.resumed() }
    }
}

/// Knows what is applied already of a source that is read again.
#[derive(Debug)]
pub(super) struct Filter {
    /// For each slot.
    places: Vec<Place>,
    farthest: Place,
    from: Option<Position>,
}

impl Filter {
    /// Whether this slot has what is at `place` already.
    pub(super) fn has(&self, slot: u16, place: Place) -> bool {
        self.places.get(usize::from(slot)).is_some_and(|reached| *reached >= place)
    }

    /// Whether nobody has anything from here on.
    pub(super) fn is_over(&self, place: Place) -> bool {
        place >= self.farthest
    }

    /// # Errors
    /// [`HistoryLost`](ErrorKind::HistoryLost) if `batch` cannot be what follows the position that was to be resumed from.
    pub(super) fn check(&self, batch: &Batch) -> Result<()> {
        let Some(from) = self.from else { return Ok(()) };
        let now = *batch.position();
        let same = match (from, now) {
            (Position::Snapshot { replid, offset, .. }, Position::Snapshot { replid: other, offset: at, .. }) => {
                (replid, offset) == (other, at)
            }
            _ => true,
        };
        if same && order(Some(now)) >= order(Some(from)) {
            return Ok(());
        }
        let text = format!(
            "the target holds what was read up to '{from}', and the source was not opened from there: it gives '{now}'. Begin anew \
             with an empty target and without the task's checkpoints, or give the task another name"
        );
        Err(Error::new(ErrorKind::HistoryLost, text))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use rdts_core::record::{Kind, ReplicationId};

    use super::*;

    /// Lanes in memory, over a few slots, that do what real ones do: each command is for a slot, and its number is its offset.
    #[derive(Debug, Default)]
    struct Target {
        /// For each slot, which commands were applied, in order.
        applied: Vec<Vec<u64>>,
        /// Which lane has a slot.
        owner: Vec<usize>,
        lanes: Vec<(Reached, Vouched)>,
        /// What is not applied, by lanes; those that came from another lane are marked.
        queues: Vec<Vec<(usize, u64, bool)>>,
        markers: Vec<Option<Reached>>,
        marked: Vec<bool>,
    }

    const USED: usize = 3;
    const LANES: usize = 2;

    /// All slots of the cluster but the first few go with the last of these.
    fn slots_of(owner: &[usize], lane: usize) -> Slots {
        (0..SLOTS).filter(|slot| owner[usize::from(*slot).min(USED - 1)] == lane).collect()
    }

    fn reached(command: u64) -> Reached {
        let position = Some(Position::stream(ReplicationId::NONE, command.saturating_sub(command % 5 + 1), 0));
        Reached { place: Place { at: Place::offset(Kind::Write, command), nth: 1 }, position }
    }

    impl Target {
        /// The next run, with its lanes: what it was told, and the command from which it has to read.
        fn take_over(&mut self) -> (Option<Filter>, u64) {
            let texts = self.lanes.iter().map(|(reached, vouched)| format!("run:1 {reached}\n{vouched}"));
            let values: Vec<Value> = texts.map(|text| text.parse().unwrap()).collect();
            let markers = self.markers.iter().zip(0..).filter_map(|(held, slot)| Some((slot, (*held)?)));
            let claims = Claims::gather(&values, &markers.collect::<Vec<_>>()).unwrap();
            let lane = |lane| {
                let slots = slots_of(&self.owner, lane);
                match &claims {
                    Some(claims) => claims.lane(&slots),
                    None => {
                        let position = Some(Position::stream(ReplicationId::NONE, 0, 0));
                        (Reached { place: Place::START, position }, Vouched { own: slots, groups: Vec::new() })
                    }
                }
            };
            self.lanes = (0..LANES).map(lane).collect();
            self.queues = vec![Vec::new(); LANES];
            self.markers = vec![None; USED];
            self.marked = vec![false; USED];
            let from = claims.as_ref().and_then(Claims::resumed).map_or(0, |position| position.offset());
            (claims.as_ref().map(Claims::filter), from)
        }

        /// The first command of a lane's queue is executed, and its checkpoint or its slot's marker written.
        fn step(&mut self, lane: usize) {
            if self.queues[lane].is_empty() {
                return;
            }
            let (slot, command, late) = self.queues[lane].remove(0);
            self.applied[slot].push(command);
            if self.marked[slot] || late {
                self.markers[slot] = Some(reached(command));
            }
            if !late {
                self.lanes[lane].0 = self.lanes[lane].0.or_later(reached(command));
            }
        }

        /// A slot gets another owner, and what is not applied of it goes there.
        fn move_slot(&mut self, slot: usize, to: usize) {
            let from = std::mem::replace(&mut self.owner[slot], to);
            if from == to {
                return;
            }
            let moved = slots_of(&self.owner, to);
            let (lane, vouched) = &mut self.lanes[from];
            let gone: Slots = vouched.own.iter().filter(|slot| moved.contains(*slot)).collect();
            vouched.lose(&gone, *lane);
            self.marked[slot] = true;
            let (gone, stays): (Vec<_>, Vec<_>) = self.queues[from].iter().copied().partition(|(of, ..)| *of == slot);
            self.queues[from] = stays;
            self.queues[to].extend(gone.into_iter().map(|(slot, command, _)| (slot, command, true)));
        }

        /// All is applied: the lanes speak for what they have.
        fn settle(&mut self) {
            for lane in 0..LANES {
                while !self.queues[lane].is_empty() {
                    self.step(lane);
                }
            }
            let last = self.applied.iter().flatten().max().copied().unwrap_or_default();
            for (lane, (at, vouched)) in self.lanes.iter_mut().enumerate() {
                *at = at.or_later(reached(last));
                let own = slots_of(&self.owner, lane);
                let groups = vouched.ahead_of(at.place, &own);
                *vouched = Vouched { own, groups };
            }
            self.markers = vec![None; USED];
            self.marked = vec![false; USED];
        }
    }

    /// A run of all slots in a debug build takes its time.
    fn cases() -> u32 {
        if std::env::var_os("RDTS_LONG").is_some() { 400 } else { 16 }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases()))]

        /// Whatever moves and crashes when, each slot gets each of its commands once and in order.
        #[test]
        fn every_slot_gets_every_command_once(
            history in prop::collection::vec(0..USED, 10..40),
            events in prop::collection::vec((0..16u8, 0..USED, 0..LANES), 20..150),
        ) {
            let mut target = Target {
                applied: vec![Vec::new(); USED],
                owner: (0..USED).map(|slot| slot % LANES).collect(),
                markers: vec![None; USED],
                ..Target::default()
            };
            let (mut filter, mut next) = target.take_over();
            let read = |target: &mut Target, filter: &mut Option<Filter>, next: &mut u64| {
                let Some(slot) = history.get(usize::try_from(*next).unwrap()).copied() else { return };
                *next += 1;
                let at = reached(*next).place;
                if !filter.as_ref().is_some_and(|filter| filter.has(u16::try_from(slot).unwrap(), at)) {
                    target.queues[target.owner[slot]].push((slot, *next, false));
                }
                if filter.as_ref().is_some_and(|filter| filter.is_over(at)) {
                    *filter = None;
                }
            };
            for (event, slot, lane) in events {
                match event {
                    0 => (filter, next) = target.take_over(),
                    1 => target.move_slot(slot, lane),
                    2 if filter.is_none() => target.settle(),
                    3..=8 => read(&mut target, &mut filter, &mut next),
                    _ => target.step(lane),
                }
            }
            (filter, next) = target.take_over();
            while usize::try_from(next).unwrap() < history.len() {
                read(&mut target, &mut filter, &mut next);
            }
            target.settle();
            for slot in 0..USED {
                let expected: Vec<u64> = (1..).zip(&history).filter(|(_, of)| **of == slot).map(|(n, _)| n).collect();
                prop_assert_eq!(&target.applied[slot], &expected, "slot {}", slot);
            }
        }
    }

    #[test]
    fn what_nobody_speaks_for_is_an_error() {
        let all: Slots = (0..SLOTS).collect();
        let some: Slots = (0..100).collect();
        let value = |reached, own: &Slots| Value { reached, vouched: Vouched { own: own.clone(), groups: Vec::new() } };
        assert_eq!(Claims::gather(&[], &[]).unwrap(), None);
        assert_eq!(Claims::gather(&[value(Reached::default(), &some)], &[]).unwrap(), None);
        for values in [
            vec![value(reached(9), &some)],
            vec![value(reached(9), &some), value(Reached::default(), &all.without(&some))],
        ] {
            assert_eq!(Claims::gather(&values, &[]).unwrap_err().kind(), ErrorKind::HistoryLost);
        }
        for text in ["", "run:1 x", "run:1 0 -\n-", &format!("run:1 {} -\n-\n?1 x", Place::START)] {
            assert!(text.parse::<Value>().is_err(), "{text}");
        }
    }
}
