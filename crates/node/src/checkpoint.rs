//! A checkpoint: the replicated state after a slot, and where the batches lie
//! that no `.idx` file has yet.
//!
//! ```text
//!  0  8 bytes  "PAXCKPT1"
//!  8  u64      slot: everything below is applied
//! 16  u32      group
//! 20  u32      batches
//! 24  u64      length of the state in bytes
//! 32           batches, 48 bytes each:
//!              u64 log | u64 start | u64 timestamp | u64 lsn
//!              | u32 at | u32 len | u32 records | u32 zero
//!              the state (`paxlog_log::State::encode`)
//! ```
//!
//! Little-endian. The file's checksum and its atomic replacement are the
//! write-ahead log's business.

use bytes::{BufMut, BytesMut};
use paxlog_log::{CheckpointError, LogId, Offset, State, Timestamp};
use paxlog_paxos::{GroupId, Slot};

use crate::place::{Batch, Place};

const MAGIC: &[u8; 8] = b"PAXCKPT1";
const HEADER_BYTES: usize = 32;
const BATCH_BYTES: usize = 48;

/// What a checkpoint holds.
#[derive(Debug)]
pub struct Checkpoint {
    /// The group.
    pub group: GroupId,
    /// Everything below is applied.
    pub slot: Slot,
    /// The replicated state.
    pub state: State,
    /// The batches that were still held one by one, by (log, start): replay
    /// begins at `slot` and would not find them again.
    pub recent: Vec<(LogId, Batch)>,
}

/// Why bytes are no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not the header of this version, or lengths that do not add up.
    #[error("not a checkpoint of this version, or cut short")]
    Format,
    /// The replicated state in it.
    #[error("the replicated state in the checkpoint can't be read: {0}")]
    State(#[from] CheckpointError),
}

impl Checkpoint {
    /// The file's bytes. Takes time with the size of the state: not for the
    /// core's thread.
    pub fn encode(&self) -> Vec<u8> {
        let state = self.state.encode();
        let mut to =
            BytesMut::with_capacity(HEADER_BYTES + self.recent.len() * BATCH_BYTES + state.len());
        to.put_slice(MAGIC);
        to.put_u64_le(self.slot.0);
        to.put_u32_le(self.group.0);
        to.put_u32_le(self.recent.len() as u32);
        to.put_u64_le(state.len() as u64);
        for (log, batch) in &self.recent {
            to.put_u64_le(log.0);
            to.put_u64_le(batch.start.0);
            to.put_u64_le(batch.timestamp.0);
            to.put_u64_le(batch.place.lsn);
            to.put_u32_le(batch.place.at);
            to.put_u32_le(batch.place.len);
            to.put_u32_le(batch.records);
            to.put_u32_le(0);
        }
        to.put_slice(&state);
        to.into()
    }

    /// The slot of a file, from its header alone; none if it is no checkpoint.
    pub fn slot_of(bytes: &[u8]) -> Option<Slot> {
        let head = bytes.first_chunk::<HEADER_BYTES>()?;
        (&head[..8] == MAGIC).then(|| Slot(u64_at(head, 8)))
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`ReadError`]; the older checkpoint may still be good.
    pub fn decode(bytes: &[u8]) -> Result<Checkpoint, ReadError> {
        let (head, rest) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(ReadError::Format)?;
        if &head[..8] != MAGIC {
            return Err(ReadError::Format);
        }
        let batches = u32_at(head, 20) as usize;
        let state_bytes = usize::try_from(u64_at(head, 24)).map_err(|_| ReadError::Format)?;
        let batches_bytes = batches.checked_mul(BATCH_BYTES).ok_or(ReadError::Format)?;
        let (rows, state) = rest
            .split_at_checked(batches_bytes)
            .ok_or(ReadError::Format)?;
        if state.len() != state_bytes {
            return Err(ReadError::Format);
        }
        let (rows, _) = rows.as_chunks::<BATCH_BYTES>();
        if rows.iter().any(|row| u32_at(row, 44) != 0) {
            return Err(ReadError::Format);
        }
        let recent = rows
            .iter()
            .map(|row| {
                let batch = Batch {
                    start: Offset(u64_at(row, 8)),
                    records: u32_at(row, 40),
                    timestamp: Timestamp(u64_at(row, 16)),
                    place: Place {
                        lsn: u64_at(row, 24),
                        at: u32_at(row, 32),
                        len: u32_at(row, 36),
                    },
                };
                (LogId(u64_at(row, 0)), batch)
            })
            .collect();
        Ok(Checkpoint {
            group: GroupId(u32_at(head, 16)),
            slot: Slot(u64_at(head, 8)),
            state: State::decode(state)?,
            recent,
        })
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
    use super::*;

    #[test]
    fn a_checkpoint_reads_back_and_a_cut_one_does_not() {
        let batch = Batch {
            start: Offset(5),
            records: 2,
            timestamp: Timestamp(9),
            place: Place {
                lsn: 3 << 32 | 4096,
                at: 72,
                len: 99,
            },
        };
        let checkpoint = Checkpoint {
            group: GroupId(1),
            slot: Slot(12),
            state: State::new(),
            recent: vec![(LogId(4), batch)],
        };
        let bytes = checkpoint.encode();
        assert_eq!(Checkpoint::slot_of(&bytes), Some(Slot(12)));
        let read = Checkpoint::decode(&bytes).expect("it was written");
        assert_eq!(
            (read.group, read.slot, read.recent),
            (GroupId(1), Slot(12), vec![(LogId(4), batch)])
        );
        assert_eq!(read.state.digest(), State::new().digest());
        for end in 0..bytes.len() {
            assert!(Checkpoint::decode(&bytes[..end]).is_err());
        }
    }
}
