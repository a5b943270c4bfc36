//! The biggest of many, in the memory of a few.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Keeps the `capacity` items with the greatest measure; of equal ones, those that came first.
#[derive(Debug)]
pub(super) struct Top<T> {
    capacity: usize,
    came: u64,
    heap: BinaryHeap<Reverse<Ranked<T>>>,
}

#[derive(Debug)]
struct Ranked<T> {
    measure: u64,
    came: u64,
    item: T,
}

impl<T> Top<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, came: 0, heap: BinaryHeap::new() }
    }

    /// Offers an item, which is made only if it is to be kept.
    pub(super) fn offer(&mut self, measure: u64, item: impl FnOnce() -> T) {
        self.came += 1;
        if self.heap.len() >= self.capacity {
            match self.heap.peek() {
                Some(Reverse(smallest)) if smallest.measure < measure => self.heap.pop(),
                _ => return,
            };
        }
        self.heap.push(Reverse(Ranked { measure, came: self.came, item: item() }));
    }

    /// The items, the greatest first.
    pub(super) fn into_sorted(self) -> Vec<T> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse(ranked)| ranked.item).collect()
    }
}

impl<T> Ranked<T> {
    fn rank(&self) -> (u64, Reverse<u64>) {
        (self.measure, Reverse(self.came))
    }
}

impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Ranked<T> {}
