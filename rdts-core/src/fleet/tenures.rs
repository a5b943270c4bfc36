//! Which lanes have something of a slot that is not applied.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::samples::Sample;
use super::view::{SlotSet, View};
use crate::slot::SLOTS;

/// The slots of a cluster.
pub(super) struct Slots {
    /// The lane whose node is the only one to have served the slot as far as anything is not applied, since `from`; or
    /// [`MOVING`].
    home: Vec<u16>,
    from: Vec<u64>,
    /// Of each lane, the slots that are at home there.
    homes: Vec<SlotSet>,
    moving: HashMap<u16, Moving>,
    /// Of each lane and slot, the last command that was passed on.
    passed: Vec<Vec<u64>>,
    hasher: RandomState,
}

const MOVING: u16 = u16::MAX;

/// A slot of which several lanes may have something that is not applied, or none.
#[derive(Debug, Default)]
pub(super) struct Moving {
    pub(super) tenures: Vec<Tenure>,
    /// The last command of a key that a lane has passed on.
    keys: HashMap<(usize, u64), u64>,
}

/// A time during which a node served a slot, in offsets of its stream.
#[derive(Debug, Clone)]
pub(super) struct Tenure {
    pub(super) lane: usize,
    from: u64,
    until: Option<u64>,
    /// Its node lost the slot and imports it again since this offset or later, and nobody saw it without: where this tenure ends
    /// and the next one begins is not known.
    torn: Option<u64>,
    /// What each lane had passed on of the slot when this tenure was seen first.
    pub(super) floor: Vec<u64>,
    /// Of each lane, the last answer of its node by which it did not serve the slot anew since this tenure began.
    cleared: HashMap<usize, Sample>,
    /// It is not known which nodes served the slot before.
    pub(super) wide: bool,
}

impl Slots {
    pub(super) fn new(lanes: usize, owner: impl Fn(u16) -> Option<usize>) -> Self {
        // A slot that nobody serves is nobody's: it is in nobody's snapshot either.
        let home = |slot| owner(slot).and_then(|lane| u16::try_from(lane).ok()).unwrap_or(MOVING);
        let home: Vec<u16> = (0..SLOTS).map(home).collect();
        let nobody = (0..SLOTS).filter(|slot| home[usize::from(*slot)] == MOVING);
        let moving = nobody.map(|slot| (slot, Moving::default())).collect();
        let all = usize::from(SLOTS);
        let mut homes = vec![SlotSet::new(); lanes];
        for (slot, lane) in (0..SLOTS).zip(&home).filter(|(_, lane)| **lane != MOVING) {
            homes[usize::from(*lane)].insert(slot);
        }
        Self { home, homes, from: vec![0; all], moving, passed: vec![vec![0; all]; lanes], hasher: RandomState::new() }
    }

    /// How many slots have something that is not applied of several lanes.
    pub(super) fn moving(&self) -> usize {
        self.moving.len()
    }

    /// Whether only `lane` may have something of the slot that is not applied.
    pub(super) fn is_at_home(&self, slot: u16, lane: usize) -> bool {
        usize::from(self.home[usize::from(slot)]) == lane
    }

    /// Whether the command of `lane` that ends at `offset` belongs to a time during which its node is known to serve the slot.
    pub(super) fn holds(&self, slot: u16, lane: usize, offset: u64) -> bool {
        self.is_at_home(slot, lane) || self.tenure(slot, lane, offset).is_some()
    }

    /// Which of the slot's tenures the command of `lane` that ends at `offset` belongs to. `None` as well if it is at home.
    pub(super) fn tenure(&self, slot: u16, lane: usize, offset: u64) -> Option<usize> {
        let mine = |tenure: &Tenure| tenure.lane == lane && tenure.until.is_none_or(|until| until >= offset);
        self.moving.get(&slot)?.tenures.iter().position(mine)
    }

    /// The lanes that the command of `lane` that ends at `offset` has to follow, and what each lane had passed on of the slot when
    /// its tenure was seen first.
    pub(super) fn before(&self, slot: u16, lane: usize, offset: u64) -> Option<(Vec<usize>, Vec<u64>)> {
        let index = self.tenure(slot, lane, offset)?;
        let tenures = &self.moving.get(&slot)?.tenures;
        let mut others: Vec<usize> = if tenures[index].wide {
            (0..self.passed.len()).collect()
        } else {
            tenures[..index].iter().map(|tenure| tenure.lane).collect()
        };
        others.sort_unstable();
        others.dedup();
        others.retain(|other| *other != lane);
        Some((others, tenures[index].floor.clone()))
    }

    /// All that others wrote to the slot before that tenure of `lane` is applied.
    pub(super) fn confirm(&mut self, slot: u16, lane: usize, offset: u64) {
        let Some(index) = self.tenure(slot, lane, offset) else { return };
        let Some(moving) = self.moving.get_mut(&slot) else { return };
        moving.tenures[index].wide = false;
        let mut at = 0;
        moving.tenures.retain(|tenure| {
            at += 1;
            at > index || tenure.lane != lane
        });
        self.come_home(slot);
    }

    /// The node of `other` did not serve the slot anew between that tenure's begin and its answer.
    pub(super) fn clear(&mut self, slot: u16, index: usize, other: usize, fence: Sample) {
        if let Some(tenure) = self.moving.get_mut(&slot).and_then(|moving| moving.tenures.get_mut(index)) {
            let last = tenure.cleared.entry(other).or_insert_with(|| fence.clone());
            if last.answered < fence.answered {
                *last = fence;
            }
        }
    }

    pub(super) fn cleared(&self, slot: u16, index: usize, other: usize) -> Option<&Sample> {
        self.moving.get(&slot)?.tenures.get(index)?.cleared.get(&other)
    }

    fn come_home(&mut self, slot: u16) {
        let Some(moving) = self.moving.get(&slot) else { return };
        if let [Tenure { lane, from, until: None, torn: None, wide: false, .. }] = moving.tenures[..]
            && let Ok(home) = u16::try_from(lane)
        {
            self.home[usize::from(slot)] = home;
            self.homes[lane].insert(slot);
            self.from[usize::from(slot)] = from;
            self.moving.remove(&slot);
        }
    }

    /// The node of `lane` serves the slot anew, at the latest since its stream was at `from`.
    pub(super) fn begin(&mut self, slot: u16, lane: usize, from: u64) {
        let floor = self.passed.iter().map(|passed| passed[usize::from(slot)]).collect();
        let moving = self.unsettle(slot);
        for tenure in moving.tenures.iter_mut().filter(|tenure| tenure.lane == lane && tenure.until.is_none()) {
            tenure.until = Some(from - 1);
        }
        let wide = moving.tenures.last().is_none_or(|last| last.lane == lane);
        moving.tenures.push(Tenure { lane, from, until: None, torn: None, floor, cleared: HashMap::new(), wide });
    }

    /// Whether the command of `lane` that ends at `offset` may belong to a tenure or to the next one of its node.
    pub(super) fn is_torn(&self, slot: u16, lane: usize, offset: u64) -> bool {
        let torn = |index: usize| self.moving.get(&slot)?.tenures.get(index)?.torn;
        self.tenure(slot, lane, offset).and_then(torn).is_some_and(|since| offset > since)
    }

    /// What a node says of itself ends tenures. `before` is what it said last.
    pub(super) fn learn(&mut self, lane: usize, before: Option<&Sample>, view: &View) {
        if let Some(before) = before {
            let importing = view.importing.without([&view.owned; 3]);
            let again: Vec<u16> = importing.filter(|slot| before.layout.owned.contains(*slot)).collect();
            for slot in again {
                let mine = |tenure: &&mut Tenure| tenure.lane == lane && tenure.until.is_none();
                for tenure in self.unsettle(slot).tenures.iter_mut().filter(mine) {
                    if tenure.from <= before.offset {
                        tenure.torn.get_or_insert(before.offset);
                    }
                }
            }
        }
        let lost = self.homes[lane].without([&view.owned, &view.migrating, &view.importing]);
        let lost: Vec<u16> = lost.filter(|slot| self.from[usize::from(*slot)] <= view.offset).collect();
        for slot in lost {
            self.unsettle(slot);
        }
        for (_, moving) in self.moving.iter_mut().filter(|(slot, _)| !view.is_involved(**slot)) {
            let mine = |tenure: &&mut Tenure| tenure.lane == lane && tenure.from <= view.offset;
            for tenure in moving.tenures.iter_mut().filter(mine).filter(|tenure| tenure.until.is_none()) {
                tenure.until = Some(view.offset);
            }
        }
    }

    fn unsettle(&mut self, slot: u16) -> &mut Moving {
        let home = std::mem::replace(&mut self.home[usize::from(slot)], MOVING);
        let moving = self.moving.entry(slot).or_default();
        if home != MOVING {
            self.homes[usize::from(home)].remove(slot);
            let (lane, from) = (usize::from(home), self.from[usize::from(slot)]);
            moving.tenures.push(Tenure {
                lane,
                from,
                until: None,
                torn: None,
                floor: Vec::new(),
                cleared: HashMap::new(),
                wide: false,
            });
        }
        moving
    }

    /// All that `lane` wrote to the slot before `offset`, when its node did not serve it any more, is applied. Another lane is
    /// at home then if none but its own tenure is left.
    pub(super) fn settle(&mut self, slot: u16, lane: usize, offset: u64) {
        let Some(moving) = self.moving.get_mut(&slot) else { return };
        moving.tenures.retain(|tenure| tenure.lane != lane || tenure.from > offset);
        self.come_home(slot);
    }

    /// `lane` passes on a command.
    pub(super) fn pass(&mut self, slot: u16, lane: usize, offset: u64, key: Option<&[u8]>) {
        self.passed[lane][usize::from(slot)] = offset;
        if self.home[usize::from(slot)] == MOVING
            && let Some(moving) = self.moving.get_mut(&slot)
        {
            moving.keys.extend(key.map(|key| ((lane, self.hasher.hash_one(key)), offset)));
        }
    }

    /// The last command of the slot that `lane` passed on.
    pub(super) fn passed(&self, slot: u16, lane: usize) -> u64 {
        self.passed[lane][usize::from(slot)]
    }

    /// The last command of one of `keys` that `lane` passed on while the slot moved.
    pub(super) fn passed_of(&self, slot: u16, lane: usize, keys: &[Vec<u8>]) -> u64 {
        let Some(moving) = self.moving.get(&slot) else { return 0 };
        let of = |key: &Vec<u8>| moving.keys.get(&(lane, self.hasher.hash_one(key.as_slice())));
        keys.iter().filter_map(of).copied().max().unwrap_or_default()
    }
}
