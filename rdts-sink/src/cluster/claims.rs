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
