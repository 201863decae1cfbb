//! What the write-ahead log holds for an accepted slot: a fixed header, then the
//! value's parts as they came.
//!
//! ```text
//!  0  u8   version, 1
//!  1  u8   zero
//!  2  u16  the ballot's replica
//!  4  u32  length of the value in bytes
//!  8  u64  the ballot's round
//! 16  u64  slot
//! 24  u64  chosen prefix of this replica when it wrote the entry
//! 32  u64  configuration number
//! 40  u32  checksum of the value (CRC32C)
//! 44  u32  zero
//! 48       the value
//! ```
//!
//! Little-endian. The frame around it carries its own CRC over all of this, and
//! repeats slot and ballot (as tag and aux), so that a frame whose payload is
//! ruined still says whose it was.

use paxlog_paxos::{Ballot, ConfigNumber, ReplicaId, Slot};

/// Length of the header in bytes.
pub const ENTRY_HEADER_BYTES: usize = 48;

/// The header of an accepted slot's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHeader {
    /// The slot.
    pub slot: Slot,
    /// The ballot under which it was accepted.
    pub ballot: Ballot,
    /// Length of the value in bytes; 0 is a no-op.
    pub len: u32,
    /// CRC32C of the value.
    pub checksum: u32,
    /// All slots below were chosen and held here when this was written.
    pub chosen_prefix: Slot,
    /// The configuration under which it was accepted.
    pub config: ConfigNumber,
}

impl EntryHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; ENTRY_HEADER_BYTES] {
        let mut to = [0u8; ENTRY_HEADER_BYTES];
        to[0] = VERSION;
        to[2..4].copy_from_slice(&self.ballot.replica.0.to_le_bytes());
        to[4..8].copy_from_slice(&self.len.to_le_bytes());
        to[8..16].copy_from_slice(&self.ballot.round.to_le_bytes());
        to[16..24].copy_from_slice(&self.slot.0.to_le_bytes());
        to[24..32].copy_from_slice(&self.chosen_prefix.0.to_le_bytes());
        to[32..40].copy_from_slice(&self.config.0.to_le_bytes());
        to[40..44].copy_from_slice(&self.checksum.to_le_bytes());
        to
    }

    /// Reads the header that `payload` begins with; none if it is no entry of
    /// this version (its frame's CRC having been checked, that is a newer
    /// version's or a bug, never damage).
    pub fn decode(payload: &[u8]) -> Option<EntryHeader> {
        let head = payload.first_chunk::<ENTRY_HEADER_BYTES>()?;
        if head[0] != VERSION {
            return None;
        }
        let u32_at =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        Some(EntryHeader {
            slot: Slot(u64_at(16)),
            ballot: Ballot {
                round: u64_at(8),
                replica: ReplicaId(u16::from_le_bytes([head[2], head[3]])),
            },
            len: u32_at(4),
            checksum: u32_at(40),
            chosen_prefix: Slot(u64_at(24)),
            config: ConfigNumber(u64_at(32)),
        })
    }
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_a_cut_or_newer_one_does_not() {
        let header = EntryHeader {
            slot: Slot(1 << 40 | 7),
            ballot: Ballot {
                round: 9,
                replica: ReplicaId(3),
            },
            len: 11,
            checksum: 0xdead_beef,
            chosen_prefix: Slot(6),
            config: ConfigNumber(1),
        };
        let mut bytes = header.encode();
        assert_eq!(EntryHeader::decode(&bytes), Some(header));
        assert_eq!(EntryHeader::decode(&bytes[..ENTRY_HEADER_BYTES - 1]), None);
        bytes[0] = VERSION + 1;
        assert_eq!(EntryHeader::decode(&bytes), None);
    }
}
