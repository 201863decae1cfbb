//! The index (log, offset) → batch.
//!
//! Per batch for the newest segments; per (log, segment) one range for those
//! whose `.idx` file has the rest. So memory grows with the number of logs and
//! segments, never with records.
//!
//! Offsets follow the order of slots, positions the order of writing. The two
//! differ where a slot was accepted again under a later ballot, so the ranges
//! of a log in two segments may overlap, each with holes that the other fills.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use paxlog_log::{LogId, Offset};

use crate::place::Batch;

/// A segment that holds some of a log's offsets in `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ColdRange {
    segment: u32,
    start: Offset,
    end: Offset,
}

#[derive(Debug, Default)]
struct LogIndex {
    /// By offset. Has holes only where a batch went to a `.idx` file before
    /// one of a lower offset did.
    recent: VecDeque<Batch>,
    /// In the order in which the segments were given up.
    cold: Vec<ColdRange>,
}

/// Where to look for an offset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// These batches, the first of which holds the offset, follow each other
    /// without a hole.
    Recent(Vec<Batch>),
    /// One of these segments has it, most likely the first.
    Cold(Vec<u32>),
    /// No segment here has it.
    Nowhere,
}

/// The index of all logs.
#[derive(Debug, Default)]
pub(crate) struct Index {
    logs: BTreeMap<LogId, LogIndex>,
    /// The logs with batches of a segment in `recent`.
    touched: BTreeMap<u32, BTreeSet<LogId>>,
    recent_batches: usize,
    /// Per segment: batches held one by one, and ranges kept. Absent is none:
    /// nothing in that segment can be read any more.
    live: BTreeMap<u32, usize>,
}

impl Index {
    /// Notes an applied batch; its offsets begin where the log's last ended.
    pub(crate) fn push(&mut self, log: LogId, batch: Batch) {
        let recent = &mut self.logs.entry(log).or_default().recent;
        debug_assert!(recent.back().is_none_or(|last| last.end() <= batch.start));
        recent.push_back(batch);
        self.recent_batches += 1;
        add(&mut self.live, batch.place.segment());
        self.touched
            .entry(batch.place.segment())
            .or_default()
            .insert(log);
    }

    /// Batches from the one that holds `offset` on, at most `bytes_max` bytes
    /// of them, but at least one.
    pub(crate) fn find(&self, log: LogId, offset: Offset, bytes_max: u64) -> Found {
        let Some(index) = self.logs.get(&log) else {
            return Found::Nowhere;
        };
        let beyond = index.recent.partition_point(|batch| batch.start <= offset);
        if let Some(first) = beyond.checked_sub(1)
            && offset < index.recent[first].end()
        {
            let mut bytes = 0u64;
            let mut next = index.recent[first].start;
            let batches = index
                .recent
                .range(first..)
                .take_while(|batch| {
                    let fits = bytes == 0 || bytes + u64::from(batch.place.len) <= bytes_max;
                    let follows = batch.start == next;
                    bytes += u64::from(batch.place.len);
                    next = batch.end();
                    fits && follows
                })
                .copied()
                .collect();
            return Found::Recent(batches);
        }
        let mut segments: Vec<u32> = index
            .cold
            .iter()
            .filter(|range| range.start <= offset && offset < range.end)
            .map(|range| range.segment)
            .collect();
        segments.reverse();
        if segments.is_empty() {
            Found::Nowhere
        } else {
            Found::Cold(segments)
        }
    }

    /// The batches of a segment that are still held one by one, by (log, start).
    pub(crate) fn in_segment(&self, segment: u32) -> Vec<(LogId, Batch)> {
        let mut batches = Vec::new();
        for log in self.touched.get(&segment).into_iter().flatten() {
            if let Some(index) = self.logs.get(log) {
                let here = index
                    .recent
                    .iter()
                    .filter(|batch| batch.place.segment() == segment);
                batches.extend(here.map(|batch| (*log, *batch)));
            }
        }
        batches
    }

    /// Forgets the batches of a segment, whose `.idx` file is durable and has
    /// them; keeps a range a log.
    pub(crate) fn forget_segment(&mut self, segment: u32) {
        for log in self.touched.remove(&segment).into_iter().flatten() {
            let Some(index) = self.logs.get_mut(&log) else {
                continue;
            };
            let mut range: Option<ColdRange> = None;
            let before = index.recent.len();
            index.recent.retain(|batch| {
                let here = batch.place.segment() == segment;
                if here {
                    remove(&mut self.live, segment);
                    let range = range.get_or_insert(ColdRange {
                        segment,
                        start: batch.start,
                        end: batch.end(),
                    });
                    range.end = batch.end();
                }
                !here
            });
            self.recent_batches -= before - index.recent.len();
            if range.is_some() {
                add(&mut self.live, segment);
            }
            index.cold.extend(range);
            index.recent.shrink_to(index.recent.len() * 2);
        }
    }

    /// Notes what the `.idx` file of a segment has of a log (at opening).
    pub(crate) fn push_cold(&mut self, segment: u32, log: LogId, start: Offset, end: Offset) {
        add(&mut self.live, segment);
        self.logs.entry(log).or_default().cold.push(ColdRange {
            segment,
            start,
            end,
        });
    }

    /// Forgets segments below `segment`: they are retired.
    pub(crate) fn retire_below(&mut self, segment: u32) {
        for index in self.logs.values_mut() {
            index.cold.retain(|range| range.segment >= segment);
        }
        self.live = self.live.split_off(&segment);
    }

    /// Forgets the batches of a log that end at or below its trim point.
    pub(crate) fn trim(&mut self, log: LogId, to: Offset) {
        let Some(index) = self.logs.get_mut(&log) else {
            return;
        };
        while let Some(batch) = index.recent.front().filter(|batch| batch.end() <= to) {
            remove(&mut self.live, batch.place.segment());
            index.recent.pop_front();
            self.recent_batches -= 1;
        }
        index.cold.retain(|range| {
            let kept = range.end > to;
            if !kept {
                remove(&mut self.live, range.segment);
            }
            kept
        });
    }

    /// Whether any batch in the segment can still be read.
    pub(crate) fn is_live(&self, segment: u32) -> bool {
        self.live.contains_key(&segment)
    }

    /// Every batch that is held one by one, by (log, start).
    pub(crate) fn recent(&self) -> impl Iterator<Item = (LogId, Batch)> + '_ {
        self.logs
            .iter()
            .flat_map(|(log, index)| index.recent.iter().map(move |batch| (*log, *batch)))
    }

    /// How many batches are held one by one.
    pub(crate) fn recent_batches(&self) -> usize {
        self.recent_batches
    }
}

fn add(live: &mut BTreeMap<u32, usize>, segment: u32) {
    *live.entry(segment).or_default() += 1;
}

fn remove(live: &mut BTreeMap<u32, usize>, segment: u32) {
    if let Some(count) = live.get_mut(&segment) {
        *count -= 1;
        if *count == 0 {
            live.remove(&segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use paxlog_log::Timestamp;

    use super::*;
    use crate::place::Place;

    fn batch(start: u64, records: u32, segment: u64) -> Batch {
        Batch {
            start: Offset(start),
            records,
            timestamp: Timestamp(0),
            place: Place {
                lsn: segment << 32 | 4096,
                at: 0,
                len: 10,
            },
        }
    }

    #[test]
    fn batches_are_found_before_and_after_their_segment_is_given_up() {
        let mut index = Index::default();
        let log = LogId(1);
        for batch in [batch(0, 2, 1), batch(2, 3, 1), batch(5, 1, 2)] {
            index.push(log, batch);
        }
        assert_eq!(
            index.find(log, Offset(3), 100),
            Found::Recent(vec![batch(2, 3, 1), batch(5, 1, 2)])
        );
        assert_eq!(
            index.find(log, Offset(0), 20),
            Found::Recent(vec![batch(0, 2, 1), batch(2, 3, 1)])
        );
        assert_eq!(
            index.find(log, Offset(0), 1),
            Found::Recent(vec![batch(0, 2, 1)]),
            "at least one"
        );
        assert_eq!(index.find(log, Offset(6), 20), Found::Nowhere);
        assert_eq!(index.find(LogId(2), Offset(0), 20), Found::Nowhere);
        assert_eq!(index.in_segment(1).len(), 2);
        index.forget_segment(1);
        assert_eq!(index.find(log, Offset(3), 100), Found::Cold(vec![1]));
        assert_eq!(
            index.find(log, Offset(5), 100),
            Found::Recent(vec![batch(5, 1, 2)])
        );
        assert_eq!(index.recent_batches(), 1);
        index.retire_below(2);
        assert_eq!(index.find(log, Offset(3), 100), Found::Nowhere);
    }

    #[test]
    fn a_slot_accepted_again_later_leaves_a_hole_that_another_segment_fills() {
        let mut index = Index::default();
        let log = LogId(1);
        // Offset 1 was written again, into segment 2.
        for batch in [
            batch(0, 1, 1),
            batch(1, 1, 2),
            batch(2, 1, 1),
            batch(3, 1, 2),
        ] {
            index.push(log, batch);
        }
        index.forget_segment(1);
        assert_eq!(index.find(log, Offset(0), 100), Found::Cold(vec![1]));
        assert_eq!(
            index.find(log, Offset(1), 100),
            Found::Recent(vec![batch(1, 1, 2)]),
            "up to the hole"
        );
        index.forget_segment(2);
        assert_eq!(index.find(log, Offset(1), 100), Found::Cold(vec![2, 1]));
    }

    #[test]
    fn trimming_forgets_whole_batches_only() {
        let mut index = Index::default();
        let log = LogId(1);
        index.push(log, batch(0, 4, 1));
        index.push(log, batch(4, 4, 1));
        index.trim(log, Offset(6));
        assert_eq!(
            index.find(log, Offset(6), 100),
            Found::Recent(vec![batch(4, 4, 1)])
        );
        assert_eq!(index.find(log, Offset(2), 100), Found::Nowhere);
        assert_eq!(index.in_segment(1).len(), 1);
    }

    #[test]
    fn a_segment_is_live_until_its_last_batch_is_trimmed() {
        let mut index = Index::default();
        let (a, b) = (LogId(1), LogId(2));
        index.push(a, batch(0, 4, 1));
        index.push(a, batch(4, 4, 1));
        index.push(b, batch(0, 1, 1));
        index.trim(a, Offset(4));
        index.forget_segment(1);
        assert!(index.is_live(1));
        index.trim(a, Offset(8));
        assert!(index.is_live(1), "the other log is there");
        index.trim(b, Offset(1));
        assert!(!index.is_live(1));
    }
}
