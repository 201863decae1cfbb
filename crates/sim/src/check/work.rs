//! How much work a check was, in steps rather than in time.

use std::cell::Cell;
use std::cmp::Ordering;

/// Counts comparisons, searches and turns of loops.
#[derive(Debug, Default)]
pub(super) struct Work(Cell<u64>);

impl Work {
    pub(super) fn steps(&self) -> u64 {
        self.0.get()
    }

    pub(super) fn step(&self) {
        self.0.set(self.0.get() + 1);
    }

    /// Sorts, stably, by a key; each comparison is a step.
    pub(super) fn sort_by_key<T, K: Ord>(&self, items: &mut [T], key: impl Fn(&T) -> K) {
        items.sort_by(|one, two| {
            self.step();
            key(one).cmp(&key(two))
        });
    }

    /// How many items at the begin of an ordered slice are so; each look is a step.
    pub(super) fn partition_point<T>(&self, items: &[T], so: impl Fn(&T) -> bool) -> usize {
        items.partition_point(|item| {
            self.step();
            so(item)
        })
    }

    /// Where the item is in an ordered slice, if it is there; each look is a step.
    pub(super) fn find_by<T>(&self, items: &[T], order: impl Fn(&T) -> Ordering) -> Option<usize> {
        items
            .binary_search_by(|item| {
                self.step();
                order(item)
            })
            .ok()
    }
}
