//! Replicas that promised values and then gave none, though their heartbeats come.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{Nanos, ReplicaId};

/// Doublings of the time that a mark lasts.
const DOUBLINGS_MAX: u32 = 5;

#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Nanos,
    until: Nanos,
    times: u32,
}

/// Who gave nothing lately, and how often. Until they give something, or a connection comes up, or time passes: a
/// fail-over years later shall not wait for others because of it.
#[derive(Debug, Default)]
pub(crate) struct SilentHolders {
    marks: BTreeMap<ReplicaId, Mark>,
}

impl SilentHolders {
    /// These gave nothing; for so long (ns) others are asked first, and longer each time.
    pub(crate) fn note(
        &mut self,
        now: Nanos,
        ids: impl IntoIterator<Item = ReplicaId>,
        lasts: Nanos,
    ) {
        for id in ids {
            let times = self.times(id);
            let mark = Mark {
                at: now,
                until: now + (lasts << times.min(DOUBLINGS_MAX)),
                times: times + 1,
            };
            self.marks.insert(id, mark);
        }
    }

    /// This one is not known to be silent any more.
    pub(crate) fn forget(&mut self, id: ReplicaId) {
        self.marks.remove(&id);
    }

    /// How often it gave nothing, since it last gave something.
    pub(crate) fn times(&self, id: ReplicaId) -> u32 {
        self.marks.get(&id).map_or(0, |mark| mark.times)
    }

    /// Whether it gave nothing lately.
    pub(crate) fn contains(&self, id: ReplicaId, now: Nanos) -> bool {
        self.marks.get(&id).is_some_and(|mark| now < mark.until)
    }

    /// Whose promises phase 1 does without: at most so many, those noted last. Those noted before may give by now, and
    /// with fewer than a majority nothing is decided.
    pub(crate) fn left_out(&self, now: Nanos, most: usize) -> BTreeSet<ReplicaId> {
        let mut lately: Vec<(Nanos, ReplicaId)> = self
            .marks
            .iter()
            .filter(|(_, mark)| now < mark.until)
            .map(|(&id, mark)| (mark.at, id))
            .collect();
        lately.sort_unstable();
        lately.iter().rev().take(most).map(|&(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_left_out_and_never_a_majority() {
        let (a, b) = (ReplicaId(1), ReplicaId(2));
        let mut silent = SilentHolders::default();
        silent.note(10, [a], 100);
        silent.note(20, [b], 100);
        assert_eq!(silent.left_out(30, 1), BTreeSet::from([b]));
        assert_eq!(silent.left_out(30, 2), BTreeSet::from([a, b]));
        silent.note(30, [a], 100);
        assert_eq!(silent.left_out(40, 1), BTreeSet::from([a]));
        silent.forget(a);
        assert_eq!(silent.left_out(40, 1), BTreeSet::from([b]));
        assert_eq!(silent.times(a), 0);
    }

    #[test]
    fn a_mark_passes_and_lasts_longer_each_time() {
        let a = ReplicaId(1);
        let mut silent = SilentHolders::default();
        silent.note(0, [a], 100);
        assert!(silent.contains(a, 99) && !silent.contains(a, 100));
        silent.note(200, [a], 100);
        assert!(silent.contains(a, 399) && !silent.contains(a, 400));
        assert!(silent.left_out(400, 1).is_empty());
        for _ in 0..100 {
            silent.note(400, [a], 100);
        }
        assert!(!silent.contains(a, 400 + (100 << DOUBLINGS_MAX)));
    }
}
