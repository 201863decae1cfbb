//! Where the newest accepted frame of each slot lies, for the segments whose
//! `.idx` file is not durable yet; older slots are found by those files.

use std::collections::BTreeMap;

use paxlog_paxos::{Ballot, Slot};

use crate::place::segment_of;

/// A slot's newest accepted frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The ballot it was accepted under.
    pub ballot: Ballot,
    /// The frame's position.
    pub lsn: u64,
    /// Length of its value in bytes.
    pub len: u32,
    /// CRC32C of its value.
    pub checksum: u32,
}

/// Slot → newest accepted frame.
#[derive(Debug, Default)]
pub(crate) struct SlotMap {
    entries: BTreeMap<Slot, Entry>,
}

impl SlotMap {
    /// Notes an accepted frame; one that was written later replaces one of an
    /// earlier ballot.
    pub(crate) fn insert(&mut self, slot: Slot, entry: Entry) {
        self.entries.insert(slot, entry);
    }

    /// The slot's newest frame.
    pub(crate) fn get(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(&slot)
    }

    /// The slots from `from` on, in order.
    pub(crate) fn from(&self, from: Slot) -> impl Iterator<Item = (Slot, &Entry)> {
        self.entries
            .range(from..)
            .map(|(slot, entry)| (*slot, entry))
    }

    /// The slots in `[start, end)` whose newest frame lies in a segment.
    pub(crate) fn in_segment(
        &self,
        segment: u32,
        start: Slot,
        end: Slot,
    ) -> impl Iterator<Item = (Slot, &Entry)> {
        self.entries
            .range(start..end)
            .filter(move |(_, entry)| segment_of(entry.lsn) == segment)
            .map(|(slot, entry)| (*slot, entry))
    }

    /// Forgets the slots in `[start, end)` whose newest frame lies in a
    /// segment: its `.idx` file has them now.
    pub(crate) fn forget_segment(&mut self, segment: u32, start: Slot, end: Slot) {
        let gone: Vec<Slot> = self
            .in_segment(segment, start, end)
            .map(|(slot, _)| slot)
            .collect();
        for slot in gone {
            self.entries.remove(&slot);
        }
    }
}
