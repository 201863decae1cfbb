//! What readers are given: stored batches, cut to the offsets that are due.

use bytes::Bytes;
use paxlog_wire::batch::{BatchView, RecordView};

/// Records of one stored batch, those with offsets `start..end`. Checked: its checksum holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The offset of the first record that is due.
    pub start: u64,
    /// One beyond the offset of the last record that is due; above `start`.
    pub end: u64,
    /// The timestamp of all of them.
    pub timestamp: u64,
    /// The offset of the stored batch's first record; `first <= start`.
    pub first: u64,
    /// The stored batch as it came, whole.
    pub parts: Vec<Bytes>,
}

impl Piece {
    /// The records with their offsets, `start..end`.
    pub fn records(&self) -> impl Iterator<Item = (u64, RecordView)> + '_ {
        let view = BatchView::parse_parts(&self.parts).expect("checked when the piece was made");
        let due = self.start..self.end;
        (self.first..)
            .zip(view.records())
            .filter(move |(offset, _)| due.contains(offset))
    }

    /// The bytes of the stored batch.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }
}
