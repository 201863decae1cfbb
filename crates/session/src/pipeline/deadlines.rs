//! When those are due that have no end yet.

use std::collections::VecDeque;

use crate::Nanos;

/// Deadlines with the serials of their items, in order. They mostly come and go in order, so a ring does.
#[derive(Debug, Default)]
pub(super) struct Deadlines(VecDeque<(Nanos, u64)>);

impl Deadlines {
    pub(super) fn insert(&mut self, deadline: Nanos, serial: u64) {
        let entry = (deadline, serial);
        match self.0.back() {
            Some(&last) if last > entry => {
                let at = self.0.partition_point(|&other| other < entry);
                self.0.insert(at, entry);
            }
            _ => self.0.push_back(entry),
        }
    }

    pub(super) fn remove(&mut self, deadline: Nanos, serial: u64) {
        let entry = (deadline, serial);
        if self.0.front() == Some(&entry) {
            self.0.pop_front();
        } else if let Ok(at) = self.0.binary_search(&entry) {
            self.0.remove(at);
        }
    }

    pub(super) fn first(&self) -> Option<(Nanos, u64)> {
        self.0.front().copied()
    }

    pub(super) fn pop_first(&mut self) {
        self.0.pop_front();
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_the_earliest_whatever_the_order() {
        let mut deadlines = Deadlines::default();
        for (deadline, serial) in [(5, 1), (3, 2), (9, 3), (3, 4), (4, 5)] {
            deadlines.insert(deadline, serial);
        }
        deadlines.remove(4, 5);
        deadlines.remove(4, 5);
        let mut seen = Vec::new();
        while let Some(first) = deadlines.first() {
            seen.push(first);
            deadlines.pop_first();
        }
        assert_eq!(seen, [(3, 2), (3, 4), (5, 1), (9, 3)]);
    }
}
