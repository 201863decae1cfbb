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

use paxlog_log::{LogId, Offset, Timestamp};

use crate::place::{Batch, Extent};

/// A segment that holds some of a log's offsets, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ColdRange {
    segment: u32,
    extent: Extent,
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

/// Where to look for the first record of a time or later.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AtTime {
    /// It has this offset; none: there is no such record yet.
    Known(Option<Offset>),
    /// In the `.idx` files of these segments, unless it has this offset.
    Cold(Vec<u32>, Option<Offset>),
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
            .filter(|range| range.extent.start <= offset && offset < range.extent.end)
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
                    match &mut range {
                        Some(range) => range.extent.add(batch),
                        None => {
                            range = Some(ColdRange {
                                segment,
                                extent: Extent::of(batch),
                            })
                        }
                    }
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
    pub(crate) fn push_cold(&mut self, segment: u32, log: LogId, extent: Extent) {
        add(&mut self.live, segment);
        let cold = &mut self.logs.entry(log).or_default().cold;
        cold.push(ColdRange { segment, extent });
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
            let kept = range.extent.end > to;
            if !kept {
                remove(&mut self.live, range.segment);
            }
            kept
        });
    }

    /// Forgets a log that was deleted.
    pub(crate) fn remove(&mut self, log: LogId) {
        self.trim(log, Offset(u64::MAX));
        self.logs.remove(&log);
    }

    /// Bytes of the batches kept of a log; one that is trimmed in part counts whole.
    pub(crate) fn bytes(&self, log: LogId) -> u64 {
        let Some(index) = self.logs.get(&log) else {
            return 0;
        };
        let cold = index.cold.iter().map(|range| range.extent.bytes);
        let recent = index.recent.iter().map(|batch| u64::from(batch.place.len));
        cold.chain(recent).sum()
    }

    /// Where the first record of a log at or beyond `from` is whose timestamp is not less.
    pub(crate) fn at_time(&self, log: LogId, from: Offset, timestamp: Timestamp) -> AtTime {
        let Some(index) = self.logs.get(&log) else {
            return AtTime::Known(None);
        };
        let first = index
            .recent
            .partition_point(|batch| batch.timestamp < timestamp || batch.end() <= from);
        let recent = index.recent.get(first).map(|batch| batch.start.max(from));
        let may_have = |range: &&ColdRange| {
            range.extent.last >= timestamp
                && range.extent.end > from
                && recent.is_none_or(|recent| range.extent.start < recent)
        };
        let cold = index.cold.iter().filter(may_have);
        // Wherever it is, none of them begins beyond it: the first one's end is a bound.
        let Some(bound) = cold
            .clone()
            .min_by_key(|range| range.extent.start)
            .map(|range| range.extent.end)
        else {
            return AtTime::Known(recent);
        };
        let segments = cold
            .filter(|range| range.extent.start < bound)
            .map(|range| range.segment)
            .collect();
        AtTime::Cold(segments, recent)
    }

    /// The first offset to keep of a log where records older than `older` go, and the oldest ones while more than
    /// `bytes_max` bytes are kept (0: no bound). As coarse as the index is: by batches in the newest segments, by
    /// segments before; so what is kept is never less than what is to be kept. None: all is kept.
    pub(crate) fn beyond_retention(
        &self,
        log: LogId,
        older: Timestamp,
        bytes_max: u64,
    ) -> Option<Offset> {
        let index = self.logs.get(&log)?;
        let mut extents: Vec<Extent> = index.cold.iter().map(|range| range.extent).collect();
        extents.sort_unstable_by_key(|extent| extent.end);
        let recent = index.recent.iter().map(Extent::of);
        let mut kept = if bytes_max > 0 { self.bytes(log) } else { 0 };
        let mut to = None;
        for extent in extents.into_iter().chain(recent) {
            let too_many = bytes_max > 0 && kept.saturating_sub(extent.bytes) >= bytes_max;
            if extent.last >= older && !too_many {
                break;
            }
            kept = kept.saturating_sub(extent.bytes);
            to = to.max(Some(extent.end));
        }
        to
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

    fn at(start: u64, segment: u64, timestamp: u64) -> Batch {
        Batch {
            timestamp: Timestamp(timestamp),
            ..batch(start, 1, segment)
        }
    }

    #[test]
    fn a_time_is_found_in_memory_or_in_the_segments_that_may_have_it() {
        let mut index = Index::default();
        let log = LogId(1);
        for batch in [
            at(0, 1, 10),
            at(1, 1, 20),
            at(2, 2, 20),
            at(3, 2, 30),
            at(4, 3, 40),
        ] {
            index.push(log, batch);
        }
        let ask = |index: &Index, from, time| index.at_time(log, Offset(from), Timestamp(time));
        let known = |offset| AtTime::Known(Some(Offset(offset)));
        assert_eq!(ask(&index, 0, 0), known(0));
        assert_eq!(ask(&index, 0, 11), known(1));
        assert_eq!(ask(&index, 2, 11), known(2), "below is trimmed");
        assert_eq!(ask(&index, 0, 41), AtTime::Known(None));
        index.forget_segment(1);
        assert_eq!(ask(&index, 0, 11), AtTime::Cold(vec![1], Some(Offset(2))));
        assert_eq!(ask(&index, 2, 11), known(2));
        index.forget_segment(2);
        assert_eq!(ask(&index, 0, 11), AtTime::Cold(vec![1], Some(Offset(4))));
        assert_eq!(ask(&index, 0, 25), AtTime::Cold(vec![2], Some(Offset(4))));
        assert_eq!(ask(&index, 0, 31), known(4));
        assert_eq!(index.bytes(log), 50);
        index.remove(log);
        assert_eq!((index.bytes(log), index.is_live(1)), (0, false));
    }

    #[test]
    fn retention_keeps_at_least_what_is_to_be_kept() {
        let mut index = Index::default();
        let log = LogId(1);
        for batch in [
            at(0, 1, 10),
            at(1, 1, 20),
            at(2, 2, 20),
            at(3, 2, 30),
            at(4, 3, 40),
        ] {
            index.push(log, batch);
        }
        let to = |index: &Index, older, bytes| {
            let to = index.beyond_retention(log, Timestamp(older), bytes);
            to.map(|to| to.0)
        };
        assert_eq!(to(&index, 0, 0), None);
        assert_eq!(to(&index, 20, 0), Some(1));
        assert_eq!(to(&index, 21, 0), Some(3));
        assert_eq!(to(&index, 99, 0), Some(5));
        assert_eq!(to(&index, 0, 50), None);
        assert_eq!(
            to(&index, 0, 49),
            None,
            "40 bytes are less than is to be kept"
        );
        assert_eq!(to(&index, 0, 40), Some(1));
        index.forget_segment(1);
        assert_eq!(
            to(&index, 20, 0),
            None,
            "by segments, of those that were given up"
        );
        assert_eq!(to(&index, 21, 0), Some(3));
        assert_eq!(to(&index, 0, 40), None);
        assert_eq!(to(&index, 0, 30), Some(2));
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
