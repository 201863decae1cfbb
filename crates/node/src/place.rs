//! Where things lie in this replica's write-ahead log.

use paxlog_log::{Offset, Timestamp};

/// A range of bytes in a frame of the write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The frame's position: sequence number of its segment << 32 | byte in it.
    pub lsn: u64,
    /// Where in the frame's payload the range begins.
    pub at: u32,
    /// Its length in bytes.
    pub len: u32,
}

impl Place {
    /// The sequence number of the frame's segment.
    pub fn segment(&self) -> u32 {
        segment_of(self.lsn)
    }

    /// The byte of the frame in its segment.
    pub fn frame(&self) -> u32 {
        self.lsn as u32
    }
}

/// The sequence number of the segment that a position lies in.
pub fn segment_of(lsn: u64) -> u32 {
    (lsn >> 32) as u32
}

/// An applied batch: its offsets and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The offset of its first record.
    pub start: Offset,
    /// How many records it has; at least 1.
    pub records: u32,
    /// What the leader stamped it with.
    pub timestamp: Timestamp,
    /// Where it lies.
    pub place: Place,
}

impl Batch {
    /// One beyond the offset of its last record.
    pub fn end(&self) -> Offset {
        Offset(self.start.0 + u64::from(self.records))
    }
}

/// What a segment has of a log, from its first batch there to its last: there may be holes between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The offset of the first record.
    pub start: Offset,
    /// One beyond the offset of the last.
    pub end: Offset,
    /// Bytes of the batches.
    pub bytes: u64,
    /// The timestamp of the first batch.
    pub first: Timestamp,
    /// The timestamp of the last batch; never less than that of an earlier one of the log.
    pub last: Timestamp,
}

impl Extent {
    /// Of one batch.
    pub fn of(batch: &Batch) -> Extent {
        Extent {
            start: batch.start,
            end: batch.end(),
            bytes: batch.place.len.into(),
            first: batch.timestamp,
            last: batch.timestamp,
        }
    }

    /// With a batch that comes later in the log.
    pub fn add(&mut self, batch: &Batch) {
        self.end = self.end.max(batch.end());
        self.bytes += u64::from(batch.place.len);
        self.last = self.last.max(batch.timestamp);
    }
}
