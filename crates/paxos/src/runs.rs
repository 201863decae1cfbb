//! The ballot of every held slot below the chosen prefix, kept as runs of equal ballots, so that memory grows
//! with changes of leader and not with slots.

use std::collections::BTreeMap;

use crate::types::{Ballot, Slot};

/// Slot → ballot over a contiguous range `start..end`.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    start: Slot,
    end: Slot,
    /// First slot of a run → its ballot; a run goes up to the next one, or to `end`.
    runs: BTreeMap<Slot, Ballot>,
}

impl Runs {
    pub(crate) fn new(start: Slot) -> Runs {
        Runs {
            start,
            end: start,
            runs: BTreeMap::new(),
        }
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<Ballot> {
        if slot < self.start || slot >= self.end {
            return None;
        }
        self.runs.range(..=slot).next_back().map(|(_, &b)| b)
    }

    /// Sets one slot, at most the one after the last.
    pub(crate) fn set(&mut self, slot: Slot, ballot: Ballot) {
        if slot < self.start {
            return;
        }
        assert!(slot <= self.end, "runs are contiguous");
        if slot == self.end {
            self.end = slot.next();
            if self.runs.last_key_value().map(|(_, &b)| b) != Some(ballot) {
                self.runs.insert(slot, ballot);
            }
            return;
        }
        let old = self.get(slot);
        if old == Some(ballot) {
            return;
        }
        if slot.next() < self.end && !self.runs.contains_key(&slot.next()) {
            let old = old.expect("within the range");
            self.runs.insert(slot.next(), old);
        }
        self.runs.insert(slot, ballot);
        // Join with equal neighbours.
        if self.runs.get(&slot.next()) == Some(&ballot) {
            self.runs.remove(&slot.next());
        }
        let before = self.runs.range(..slot).next_back().map(|(_, &b)| b);
        if before == Some(ballot) {
            self.runs.remove(&slot);
        }
    }

    /// The first slot at or after `slot` that does not have `ballot`.
    pub(crate) fn run_end(&self, slot: Slot, ballot: Ballot) -> Slot {
        if self.get(slot) != Some(ballot) {
            return slot;
        }
        let mut rest = self.runs.range(slot.next()..);
        rest.find(|(_, b)| **b != ballot)
            .map_or(self.end, |(&s, _)| s)
    }

    /// Forgets everything below.
    pub(crate) fn cut(&mut self, below: Slot) {
        if below <= self.start {
            return;
        }
        let at = self.get(below);
        self.runs = self.runs.split_off(&below);
        self.start = below;
        if below >= self.end {
            self.end = below;
            self.runs.clear();
        } else if let Some(ballot) = at {
            self.runs.entry(below).or_insert(ballot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ReplicaId;

    #[test]
    fn runs_are_a_map_of_slots() {
        // Against a plain map, over every short sequence of sets in a small range.
        let mut state = 7u64;
        for _ in 0..2000 {
            let mut runs = Runs::new(Slot(10));
            let mut model: BTreeMap<Slot, Ballot> = BTreeMap::new();
            for _ in 0..30 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let r = state >> 33;
                let ballot = Ballot::new(r % 3, ReplicaId(1));
                let len = model.len() as u64;
                let start = model.keys().next().map_or(10, |s| s.0);
                if r % 16 == 15 && len > 3 {
                    runs.cut(Slot(start + 2));
                    model.retain(|s, _| s.0 >= start + 2);
                } else {
                    let slot = Slot(runs.start.0 + (r / 16) % (runs.end.since(runs.start) + 1));
                    runs.set(slot, ballot);
                    model.insert(slot, ballot);
                }
                for slot in 8..45 {
                    assert_eq!(runs.get(Slot(slot)), model.get(&Slot(slot)).copied());
                }
                for slot in runs.start.0..runs.end.0 {
                    let mut end = slot;
                    while model.get(&Slot(end)) == Some(&ballot) {
                        end += 1;
                    }
                    assert_eq!(runs.run_end(Slot(slot), ballot), Slot(end));
                }
            }
        }
    }
}
