//! What this replica knows of each segment of its write-ahead log: which slots
//! it holds, whether its `.idx` file is durable, and when it may be retired.
//!
//! The life of a segment: open; sealed (a later one holds frames); annotated
//! (every slot applied, `.idx` durable); given up (its batches and slots no
//! longer held in memory, once it leaves the hot window); dead (every batch in
//! it trimmed); retired.

use std::collections::BTreeMap;

use paxlog_paxos::Slot;

use crate::place::segment_of;

/// The newest segments are served from the map and held in memory batch by
/// batch.
pub const HOT_SEGMENTS: u32 = 2;

#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    /// The lowest slot and one beyond the highest of its frames.
    slots: Option<(Slot, Slot)>,
    annotated: bool,
    /// Its batches and slots are no longer in memory.
    given_up: bool,
    /// Its `.idx` file is there and can't be read: nobody knows what batches it
    /// holds, so it is neither given another nor retired.
    pinned: bool,
    /// No batch in it can be read any more since this many slots were applied.
    dead_at: Option<Slot>,
}

/// How far segments may be retired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retirable {
    /// The first that must stay, if any before it may go.
    pub(crate) below: Option<u32>,
    /// One beyond the highest slot in those before it.
    pub(crate) slots_end: Slot,
    /// The next one is dead, and goes once the older checkpoint and every
    /// member have come to this slot.
    pub(crate) waits_for: Option<Slot>,
}

/// All segments that hold frames of this group.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    by_number: BTreeMap<u32, Segment>,
}

impl Segments {
    /// Notes a frame.
    pub(crate) fn note_frame(&mut self, lsn: u64, slot: Slot) {
        let segment = self.by_number.entry(segment_of(lsn)).or_default();
        let (start, end) = segment.slots.get_or_insert((slot, Slot(slot.0 + 1)));
        *start = (*start).min(slot);
        *end = (*end).max(Slot(slot.0 + 1));
    }

    /// Notes that frames (of whatever kind) go to this segment now, so that all
    /// before it are sealed.
    pub(crate) fn note_open(&mut self, segment: u32) {
        self.by_number.entry(segment).or_default();
    }

    /// Notes a segment with a durable `.idx` file (at opening).
    pub(crate) fn note_annotated(
        &mut self,
        segment: u32,
        slots: Option<(Slot, Slot)>,
        given_up: bool,
    ) {
        let entry = self.by_number.entry(segment).or_default();
        entry.annotated = true;
        entry.given_up = given_up;
        if let Some((start, end)) = slots {
            let range = entry.slots.get_or_insert((start, end));
            *range = (range.0.min(start), range.1.max(end));
        }
    }

    /// Notes a segment whose `.idx` file can't be read (at opening).
    pub(crate) fn note_pinned(&mut self, segment: u32) {
        self.by_number.entry(segment).or_default().pinned = true;
    }

    /// The segment that takes frames now.
    pub(crate) fn open(&self) -> u32 {
        self.by_number
            .last_key_value()
            .map_or(0, |(number, _)| *number)
    }

    /// The lowest sealed segment without `.idx` file, with its slots, if every
    /// slot of it is applied.
    pub(crate) fn to_annotate(&self, applied: Slot) -> Option<(u32, Option<(Slot, Slot)>)> {
        let open = self.open();
        let (number, segment) = self
            .by_number
            .iter()
            .find(|(_, segment)| !segment.annotated && !segment.pinned)?;
        let ready = *number < open && segment.slots.is_none_or(|(_, end)| end <= applied);
        ready.then_some((*number, segment.slots))
    }

    /// The `.idx` file of the segment is durable.
    pub(crate) fn annotated(&mut self, segment: u32) {
        if let Some(segment) = self.by_number.get_mut(&segment) {
            segment.annotated = true;
        }
    }

    /// Whether the `.idx` file of the segment is durable.
    pub(crate) fn is_annotated(&self, segment: u32) -> bool {
        self.by_number
            .get(&segment)
            .is_some_and(|segment| segment.annotated)
    }

    /// Whether only the `.idx` file has the segment's batches and slots.
    pub(crate) fn is_given_up(&self, segment: u32) -> bool {
        self.by_number
            .get(&segment)
            .is_some_and(|segment| segment.given_up)
    }

    /// The lowest annotated segment beyond the hot window that is still held in
    /// memory, with its slots; marks it as given up.
    pub(crate) fn give_up_next(&mut self) -> Option<(u32, Option<(Slot, Slot)>)> {
        let open = self.open();
        let (number, segment) = self.by_number.iter_mut().find(|(number, segment)| {
            segment.annotated && !segment.given_up && **number + HOT_SEGMENTS <= open
        })?;
        segment.given_up = true;
        Some((*number, segment.slots))
    }

    /// The segments given up that may hold the slot, newest first.
    pub(crate) fn holding(&self, slot: Slot) -> impl Iterator<Item = u32> + '_ {
        self.by_number
            .iter()
            .rev()
            .filter(move |(_, segment)| {
                segment.given_up
                    && segment
                        .slots
                        .is_some_and(|(start, end)| start <= slot && slot < end)
            })
            .map(|(number, _)| *number)
    }

    /// How far segments may be retired. `live` says whether any batch in a
    /// segment can be read; `checkpoint` is the slot of the older checkpoint,
    /// and no member needs values below `members`.
    ///
    /// A segment counts as dead only from the older checkpoint on, so that what
    /// made it dead (a trim) cannot be forgotten by a crash.
    pub(crate) fn retirable(
        &mut self,
        applied: Slot,
        checkpoint: Slot,
        members: Slot,
        live: impl Fn(u32) -> bool,
    ) -> Retirable {
        let open = self.open();
        let mut retirable = Retirable::default();
        for (number, segment) in &mut self.by_number {
            let sealed = number.saturating_add(HOT_SEGMENTS) <= open;
            if !sealed || !segment.annotated || !segment.given_up || live(*number) {
                break;
            }
            // Each that is dead now says so now, also behind one that has to wait: else each would wait for
            // checkpoints of its own, one after the other, and the log grow though it is trimmed.
            let dead_at = *segment.dead_at.get_or_insert(applied);
            let end = segment.slots.map_or(Slot(0), |(_, end)| end);
            if dead_at > checkpoint || end > checkpoint.min(members) {
                retirable.waits_for.get_or_insert(dead_at.max(end));
            }
            if retirable.waits_for.is_none() {
                retirable.below = Some(*number + 1);
                retirable.slots_end = retirable.slots_end.max(end);
            }
        }
        retirable
    }

    /// The segments below this one are gone.
    pub(crate) fn retired(&mut self, below: u32) {
        self.by_number = self.by_number.split_off(&below);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lsn(segment: u64) -> u64 {
        segment << 32 | 4096
    }

    #[test]
    fn a_segment_is_annotated_only_when_sealed_and_applied() {
        let mut segments = Segments::default();
        segments.note_frame(lsn(1), Slot(0));
        segments.note_frame(lsn(1), Slot(4));
        assert_eq!(segments.to_annotate(Slot(9)), None, "still open");
        segments.note_open(2);
        assert_eq!(segments.to_annotate(Slot(4)), None, "slot 4 is not applied");
        assert_eq!(
            segments.to_annotate(Slot(5)),
            Some((1, Some((Slot(0), Slot(5)))))
        );
        segments.annotated(1);
        assert_eq!(segments.to_annotate(Slot(5)), None);
        assert_eq!(segments.give_up_next(), None, "in the hot window");
        segments.note_open(3);
        assert_eq!(segments.give_up_next(), Some((1, Some((Slot(0), Slot(5))))));
        assert_eq!(segments.holding(Slot(4)).collect::<Vec<_>>(), [1]);
        assert_eq!(segments.holding(Slot(5)).count(), 0);
    }

    #[test]
    fn an_old_slot_is_looked_for_in_every_segment_that_may_hold_it() {
        let mut segments = Segments::default();
        // Caught up under load: chosen slots and newer ones took turns.
        segments.note_frame(lsn(1), Slot(0));
        segments.note_frame(lsn(1), Slot(9));
        segments.note_frame(lsn(2), Slot(4));
        segments.note_frame(lsn(2), Slot(12));
        segments.note_open(5);
        for number in 1..=2 {
            segments.annotated(number);
            segments.give_up_next();
        }
        let holding = |slot| segments.holding(Slot(slot)).collect::<Vec<_>>();
        assert_eq!(holding(3), [1]);
        assert_eq!(holding(5), [2, 1], "the newest first");
        assert_eq!(holding(11), [2]);
    }

    #[test]
    fn a_segment_is_retired_only_below_the_checkpoint_that_saw_it_dead() {
        let mut segments = Segments::default();
        segments.note_frame(lsn(1), Slot(0));
        segments.note_frame(lsn(2), Slot(1));
        segments.note_open(4);
        segments.annotated(1);
        segments.annotated(2);
        segments.give_up_next();
        segments.give_up_next();
        let mut look = |applied, kept, live: &dyn Fn(u32) -> bool| {
            assert_eq!(
                segments
                    .retirable(Slot(applied), Slot(kept), Slot(0), live)
                    .below,
                None
            );
            let found = segments.retirable(Slot(applied), Slot(kept), Slot(5), live);
            (found.below, found.slots_end, found.waits_for)
        };
        assert_eq!(look(10, 5, &|_| true), (None, Slot(0), None), "alive");
        let second_lives = |number| number == 2;
        assert_eq!(
            look(10, 5, &second_lives),
            (None, Slot(0), Some(Slot(10))),
            "dead too recently"
        );
        assert_eq!(look(12, 10, &second_lives), (Some(2), Slot(1), None));
        assert_eq!(
            look(12, 10, &|_| false),
            (Some(2), Slot(1), Some(Slot(12))),
            "2 died later"
        );
        assert_eq!(look(13, 12, &|_| false), (Some(3), Slot(2), None));
        segments.retired(3);
        assert_eq!(segments.len(), 1);
    }

    #[test]
    fn segments_that_died_together_go_together() {
        let mut segments = Segments::default();
        for number in 1..=3 {
            segments.note_frame(lsn(number), Slot(number));
        }
        segments.note_open(5);
        for number in 1..=3 {
            segments.annotated(number);
            segments.give_up_next();
        }
        let members = Slot(100);
        let found = segments.retirable(Slot(10), Slot(5), members, |_| false);
        assert_eq!((found.below, found.waits_for), (None, Some(Slot(10))));
        let found = segments.retirable(Slot(20), Slot(10), members, |_| false);
        assert_eq!((found.below, found.waits_for), (Some(4), None));
    }

    #[test]
    fn a_segment_whose_idx_file_is_lost_gets_no_other_and_stays() {
        let mut segments = Segments::default();
        segments.note_frame(lsn(1), Slot(0));
        segments.note_pinned(1);
        segments.note_frame(lsn(2), Slot(1));
        segments.note_open(5);
        assert_eq!(
            segments.to_annotate(Slot(9)).map(|(number, _)| number),
            Some(2),
            "the next one goes on"
        );
        segments.annotated(2);
        segments.give_up_next();
        let found = segments.retirable(Slot(20), Slot(20), Slot(20), |_| false);
        assert_eq!(found.below, None);
    }
}
