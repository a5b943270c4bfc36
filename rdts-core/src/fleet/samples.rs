//! What a node said of itself in the course of time.

use std::collections::VecDeque;
use std::sync::Arc;

use super::view::{SlotSet, View};
use crate::record::ReplicationId;

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// It was true at some moment between these two times of the board's clock.
    pub(super) asked: u64,
    pub(super) answered: u64,
    pub(super) replid: Option<ReplicationId>,
    pub(super) offset: u64,
    pub(super) layout: Arc<Layout>,
}

/// Which slots a node says that it has to do with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) config_epoch: u64,
    pub(super) owned: SlotSet,
    pub(super) migrating: SlotSet,
    pub(super) importing: SlotSet,
}

/// The answers of one node, in their order. Never empty, but by default.
#[derive(Debug, Default)]
pub(super) struct Samples(VecDeque<Sample>);

/// So many are kept; of more, every second one among equal ones is forgotten.
const KEPT: usize = 4096;

impl Samples {
    pub(super) fn new(first: View) -> Self {
        let mut samples = Self::default();
        samples.add(0, 0, &first);
        samples
    }

    pub(super) fn add(&mut self, asked: u64, answered: u64, view: &View) {
        let layout = Layout {
            config_epoch: view.config_epoch,
            owned: view.owned.clone(),
            migrating: view.migrating.clone(),
            importing: view.importing.clone(),
        };
        let same = self.0.back().map(|last| last.layout.clone()).filter(|last| **last == layout);
        let layout = same.unwrap_or_else(|| Arc::new(layout));
        self.0.push_back(Sample { asked, answered, replid: view.replid, offset: view.offset, layout });
        if self.0.len() > KEPT {
            let old = std::mem::take(&mut self.0);
            let last = |index: usize| {
                old.get(index + 1).is_none_or(|next| {
                    !Arc::ptr_eq(&next.layout, &old[index].layout) || next.replid != old[index].replid
                })
            };
            let first = |index: usize| index == 0 || last(index - 1);
            let keep = |index: usize| index.is_multiple_of(2) || first(index) || last(index) || index + 64 > old.len();
            self.0 = (0..old.len()).filter(|index| keep(*index)).map(|index| old[index].clone()).collect();
            // A layout that never stays the same for long.
            while self.0.len() > 2 * KEPT {
                self.0.pop_front();
            }
        }
    }

    pub(super) fn last(&self) -> Option<&Sample> {
        self.0.back()
    }

    /// The last one that was answered before `time`.
    pub(super) fn before(&self, time: u64) -> Option<&Sample> {
        self.0.get(self.0.partition_point(|sample| sample.answered <= time).checked_sub(1)?)
    }

    /// Those that were asked after `time`. A question that was under way then does not count: what it says may be older.
    pub(super) fn after(&self, time: u64) -> impl DoubleEndedIterator<Item = &Sample> + Clone {
        self.0.range(self.0.partition_point(|sample| sample.asked <= time)..)
    }

    /// The last one before the command that ends at `offset` was executed.
    pub(super) fn before_offset(&self, offset: u64) -> Option<&Sample> {
        self.0.iter().rev().find(|sample| sample.offset < offset)
    }

    /// The first one after it was executed.
    pub(super) fn after_offset(&self, replid: ReplicationId, offset: u64) -> Option<&Sample> {
        let past = self.0.iter().rev().take_while(|sample| sample.offset >= offset);
        past.filter(|sample| sample.replid.is_none_or(|other| other == replid)).last()
    }
}

impl Layout {
    /// Whether it may execute commands of the slot.
    pub(super) fn is_involved(&self, slot: u16) -> bool {
        self.owned.contains(slot) || self.importing.contains(slot)
    }

    /// Whether the slot is its own, and was all the time that it has been.
    pub(super) fn is_settled(&self, slot: u16) -> bool {
        self.owned.contains(slot) && !self.migrating.contains(slot)
    }
}
