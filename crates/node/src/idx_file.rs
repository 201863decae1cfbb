//! The `.idx` file of a sealed segment: which batches and slots lie where in it.
//!
//! Written once every slot of the segment is applied, read for cold ranges and
//! for old slots, so that memory does not grow with the number of records.
//!
//! What was trimmed by then is not in it. The trim itself may lie in a later
//! segment, so the file says how far was applied: until a restarted replica has
//! come there again, it must not take what is missing here for lost.
//!
//! ```text
//!  0  8 bytes  "PAXIDX1\0"
//!  8  u64      sequence number of the segment
//! 16  u32      batches
//! 20  u32      slots
//! 24  u64      every slot below was applied
//! 32           batches, 40 bytes each, ordered by (log, start):
//!              u64 log | u64 start | u64 timestamp | u32 frame | u32 at | u32 len | u32 records
//!              slots, 24 bytes each, ordered by slot, the newest accepted one only:
//!              u64 slot | u64 ballot (round << 16 | replica) | u32 frame | u32 value length
//! ```
//!
//! Little-endian. `frame` is the byte of the frame in the segment, `at` the
//! byte of the batch in the frame's payload. The file's checksum is the
//! write-ahead log's business.

use bytes::{BufMut, BytesMut};
use paxlog_log::{LogId, Offset, Timestamp};
use paxlog_paxos::{Ballot, Slot};

use crate::place::{Batch, Extent, Place};

const MAGIC: &[u8; 8] = b"PAXIDX1\0";
const HEADER_BYTES: usize = 32;
const BATCH_BYTES: usize = 40;
const SLOT_BYTES: usize = 24;

/// A slot's newest accepted frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRow {
    /// The slot.
    pub slot: Slot,
    /// The ballot it was accepted under.
    pub ballot: Ballot,
    /// The byte of its frame in the segment.
    pub frame: u32,
    /// Length of its value in bytes.
    pub len: u32,
}

/// Builds the file. `batches` ordered by (log, start), `slots` by slot; every slot below `applied` is applied.
pub(crate) fn encode(
    segment: u32,
    applied: Slot,
    batches: &[(LogId, Batch)],
    slots: &[SlotRow],
) -> Vec<u8> {
    debug_assert!(batches.is_sorted_by_key(|(log, batch)| (*log, batch.start)));
    debug_assert!(slots.is_sorted_by_key(|row| row.slot));
    let mut to = BytesMut::with_capacity(
        HEADER_BYTES + batches.len() * BATCH_BYTES + slots.len() * SLOT_BYTES,
    );
    to.put_slice(MAGIC);
    to.put_u64_le(u64::from(segment));
    to.put_u32_le(batches.len() as u32);
    to.put_u32_le(slots.len() as u32);
    to.put_u64_le(applied.0);
    for (log, batch) in batches {
        to.put_u64_le(log.0);
        to.put_u64_le(batch.start.0);
        to.put_u64_le(batch.timestamp.0);
        to.put_u32_le(batch.place.frame());
        to.put_u32_le(batch.place.at);
        to.put_u32_le(batch.place.len);
        to.put_u32_le(batch.records);
    }
    for row in slots {
        to.put_u64_le(row.slot.0);
        to.put_u64_le(row.ballot.to_u64());
        to.put_u32_le(row.frame);
        to.put_u32_le(row.len);
    }
    to.into()
}

/// A read `.idx` file.
#[derive(Clone, Copy, Debug)]
pub struct IdxFile<'a> {
    segment: u32,
    applied: Slot,
    batches: &'a [[u8; BATCH_BYTES]],
    slots: &'a [[u8; SLOT_BYTES]],
}

impl<'a> IdxFile<'a> {
    /// Checks the header and the lengths. None if it is no `.idx` file of this
    /// version, or another segment's.
    pub fn open(segment: u32, bytes: &'a [u8]) -> Option<IdxFile<'a>> {
        let (head, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        if &head[..8] != MAGIC || u64_at(head, 8) != u64::from(segment) {
            return None;
        }
        let batches = u32_at(head, 16) as usize;
        let slots = u32_at(head, 20) as usize;
        let (batches_part, slots_part) =
            rest.split_at_checked(batches.checked_mul(BATCH_BYTES)?)?;
        let (batches, []) = batches_part.as_chunks::<BATCH_BYTES>() else {
            return None;
        };
        let (rows, []) = slots_part.as_chunks::<SLOT_BYTES>() else {
            return None;
        };
        (rows.len() == slots).then_some(IdxFile {
            segment,
            applied: Slot(u64_at(head, 24)),
            batches,
            slots: rows,
        })
    }

    /// The same, for a file that was not looked at before: every row is held against what such a file can hold, in time
    /// with their number. None also where rows are out of order, overlap, or reach beyond any offset or slot.
    pub fn check(segment: u32, bytes: &'a [u8]) -> Option<IdxFile<'a>> {
        let idx = IdxFile::open(segment, bytes)?;
        let mut before: Option<(u64, Batch)> = None;
        for row in idx.batches {
            let (log, batch) = (u64_at(row, 0), idx.batch(row));
            batch.start.0.checked_add(u64::from(batch.records))?;
            let follows = before.is_none_or(|(last, before)| {
                last < log
                    || (last == log
                        && before.end() <= batch.start
                        && before.timestamp <= batch.timestamp)
            });
            if batch.records == 0 || !follows {
                return None;
            }
            before = Some((log, batch));
        }
        let slots = || idx.slots.iter().map(|row| u64_at(row, 0));
        let rise = slots().zip(slots().skip(1)).all(|(one, next)| one < next);
        (rise && slots().next_back() != Some(u64::MAX)).then_some(idx)
    }

    /// Every slot below was applied when the file was made, so each is chosen.
    pub fn applied(&self) -> Slot {
        self.applied
    }

    /// The batch that holds `offset` of `log`, and those behind it that follow
    /// each other without a hole, in order. Empty if it is not in this segment.
    pub fn batches_from(self, log: LogId, offset: Offset) -> impl Iterator<Item = Batch> + 'a {
        let key = |row: &[u8; BATCH_BYTES]| (u64_at(row, 0), u64_at(row, 8));
        let beyond = self
            .batches
            .partition_point(|row| key(row) <= (log.0, offset.0));
        let first = beyond.checked_sub(1).filter(|&i| {
            let row = &self.batches[i];
            u64_at(row, 0) == log.0 && offset < self.batch(row).end()
        });
        let rows = first.map_or(&self.batches[..0], |first| &self.batches[first..]);
        let mut next: Option<Offset> = None;
        rows.iter().map_while(move |row| {
            let batch = self.batch(row);
            let follows = u64_at(row, 0) == log.0 && next.is_none_or(|next| next == batch.start);
            next = Some(batch.end());
            follows.then_some(batch)
        })
    }

    /// Every log in the segment with what the segment has of it, in the order of ids.
    pub fn extents(&self) -> Vec<(LogId, Extent)> {
        let mut extents: Vec<(LogId, Extent)> = Vec::new();
        for row in self.batches {
            let log = LogId(u64_at(row, 0));
            let batch = self.batch(row);
            match extents.last_mut() {
                Some((last, extent)) if *last == log => extent.add(&batch),
                _ => extents.push((log, Extent::of(&batch))),
            }
        }
        extents
    }

    /// The first batch of a log that ends beyond `from` and whose timestamp is not less than `timestamp`, if one is in
    /// this segment.
    pub fn batch_at_time(&self, log: LogId, from: Offset, timestamp: Timestamp) -> Option<Batch> {
        let before = |row: &[u8; BATCH_BYTES]| {
            let batch = self.batch(row);
            let of_log = u64_at(row, 0).cmp(&log.0);
            of_log.is_lt()
                || (of_log.is_eq() && (batch.end() <= from || batch.timestamp < timestamp))
        };
        let row = self.batches.get(self.batches.partition_point(before))?;
        (u64_at(row, 0) == log.0).then(|| self.batch(row))
    }

    /// A slot's newest accepted frame in this segment, if it has one.
    pub fn slot(&self, slot: Slot) -> Option<SlotRow> {
        let i = self
            .slots
            .binary_search_by_key(&slot.0, |row| u64_at(row, 0))
            .ok()?;
        Some(self.row(&self.slots[i]))
    }

    /// The lowest slot and one beyond the highest; none if there is no slot.
    pub fn slot_range(&self) -> Option<(Slot, Slot)> {
        let first = self.slots.first()?;
        let last = self.slots.last()?;
        Some((Slot(u64_at(first, 0)), Slot(u64_at(last, 0) + 1)))
    }

    /// All slots, in order.
    pub fn slots(&self) -> impl Iterator<Item = SlotRow> + '_ {
        self.slots.iter().map(|row| self.row(row))
    }

    fn row(&self, row: &[u8; SLOT_BYTES]) -> SlotRow {
        SlotRow {
            slot: Slot(u64_at(row, 0)),
            ballot: Ballot::from_u64(u64_at(row, 8)),
            frame: u32_at(row, 16),
            len: u32_at(row, 20),
        }
    }

    fn batch(&self, row: &[u8; BATCH_BYTES]) -> Batch {
        Batch {
            start: Offset(u64_at(row, 8)),
            records: u32_at(row, 36),
            timestamp: Timestamp(u64_at(row, 16)),
            place: Place {
                lsn: u64::from(self.segment) << 32 | u64::from(u32_at(row, 24)),
                at: u32_at(row, 28),
                len: u32_at(row, 32),
            },
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use paxlog_paxos::ReplicaId;
    use proptest::prelude::*;

    use super::*;

    fn batch(start: u64, records: u32) -> Batch {
        Batch {
            start: Offset(start),
            records,
            timestamp: Timestamp(start * 10),
            place: Place {
                lsn: 7 << 32 | (4096 + start),
                at: 72,
                len: 100,
            },
        }
    }

    #[test]
    fn a_range_is_served_up_to_its_first_hole() {
        let batches = [
            (LogId(1), batch(0, 5)),
            (LogId(2), batch(3, 2)),
            (LogId(2), batch(5, 1)),
            (LogId(2), batch(9, 1)),
            (LogId(3), batch(0, 1)),
        ];
        let row = SlotRow {
            slot: Slot(4),
            ballot: Ballot {
                round: 2,
                replica: ReplicaId(1),
            },
            frame: 4096,
            len: 9,
        };
        let bytes = encode(7, Slot(6), &batches, &[row]);
        let idx = IdxFile::open(7, &bytes).expect("well formed");
        let starts = |log, offset| {
            idx.batches_from(LogId(log), Offset(offset))
                .map(|b| b.start.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(starts(2, 4), [3, 5]);
        assert_eq!(starts(2, 6), []);
        assert_eq!(starts(2, 9), [9]);
        assert_eq!(starts(2, 2), []);
        assert_eq!(starts(1, 4), [0]);
        assert_eq!(starts(4, 0), []);
        assert_eq!(
            idx.batches_from(LogId(2), Offset(3)).next(),
            Some(batch(3, 2))
        );
        assert_eq!(idx.slot(Slot(4)), Some(row));
        assert_eq!(idx.slot(Slot(5)), None);
        assert_eq!(idx.slot_range(), Some((Slot(4), Slot(5))));
        assert_eq!(idx.applied(), Slot(6));
        let extent = |start, end, bytes, first, last| Extent {
            start: Offset(start),
            end: Offset(end),
            bytes,
            first: Timestamp(first),
            last: Timestamp(last),
        };
        assert_eq!(
            idx.extents(),
            [
                (LogId(1), extent(0, 5, 100, 0, 0)),
                (LogId(2), extent(3, 10, 300, 30, 90)),
                (LogId(3), extent(0, 1, 100, 0, 0))
            ]
        );
        let at_time = |log, from, time| {
            idx.batch_at_time(LogId(log), Offset(from), Timestamp(time))
                .map(|batch| batch.start.0)
        };
        assert_eq!(at_time(2, 0, 0), Some(3));
        assert_eq!(at_time(2, 0, 30), Some(3));
        assert_eq!(at_time(2, 0, 31), Some(5));
        assert_eq!(at_time(2, 5, 0), Some(5), "what is below is trimmed");
        assert_eq!(at_time(2, 0, 91), None, "the next row is another log's");
        assert_eq!(at_time(4, 0, 0), None);
        assert!(IdxFile::open(8, &bytes).is_none(), "another segment's");
        for end in 0..bytes.len() {
            assert!(IdxFile::open(7, &bytes[..end]).is_none());
        }
    }

    #[test]
    fn rows_that_nobody_wrote_so_are_refused() {
        let file = |batches: [(u64, u64, u32); 2], slots: [u64; 2]| {
            let (mut rows, mut bytes) = (BytesMut::new(), MAGIC.to_vec());
            for (log, start, records) in batches {
                rows.put_u64_le(log);
                rows.put_u64_le(start);
                rows.put_u64_le(start);
                rows.put_slice(&[1; 12]);
                rows.put_u32_le(records);
            }
            for slot in slots {
                rows.put_u64_le(slot);
                rows.put_slice(&[1; 16]);
            }
            for number in [7u64, 2 << 32 | 2, 9] {
                bytes.put_u64_le(number);
            }
            bytes.put_slice(&rows);
            bytes
        };
        let is_good = |batches, slots| IdxFile::check(7, &file(batches, slots)).is_some();
        let (batches, slots) = ([(1, 0, 3), (1, 3, 3)], [4, 6]);
        assert!(is_good(batches, slots));
        assert!(is_good([(1, 5, 3), (2, 0, 3)], slots), "another log");
        assert!(!is_good([(1, 3, 3), (1, 0, 3)], slots), "out of order");
        assert!(!is_good([(1, 0, 3), (1, 2, 3)], slots), "an overlap");
        assert!(!is_good([(1, 0, 0), (1, 3, 3)], slots), "an empty batch");
        assert!(!is_good([(1, 0, 3), (1, u64::MAX, 3)], slots), "no offset");
        assert!(!is_good(batches, [6, 6]), "a slot twice");
        assert!(!is_good(batches, [6, u64::MAX]), "no slot");
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_reason_to_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for (to, from) in bytes.iter_mut().zip(MAGIC) {
                *to = *from;
            }
            if let Some(idx) = IdxFile::open(0, &bytes) {
                let _ = idx.extents();
            }
        }
    }
}
