//! What bounds the log: `.idx` files, checkpoints, retirement. Each gives the
//! event that tells the core what came of it; a failure is a full or failed
//! disk, and the core asks again later.

use bytes::Bytes;
use paxlog_node::{Checkpoint, Event};
use paxlog_paxos::Slot;
use paxlog_wal::Wal;

/// Writes the `.idx` file of a segment. Blocks.
pub fn annotate(wal: &Wal, segment: u32, bytes: &[u8]) -> Event {
    match wal.annotate(u64::from(segment), bytes) {
        Ok(()) => Event::Annotated(segment),
        Err(error) => {
            tracing::warn!(segment, %error, "an .idx file can't be written, trying again later");
            Event::HousekeepingFailed
        }
    }
}

/// Encodes and writes a checkpoint, and removes those before it but the newest
/// that can be read: so there are always two to start from. Blocks.
pub fn checkpoint(wal: &Wal, checkpoint: &Checkpoint) -> Event {
    let slot = checkpoint.slot.0;
    let written = wal.checkpoints().and_then(|numbers| {
        // Two may hold the same slot, so files are numbered by themselves.
        let number = numbers.last().map_or(0, |newest| newest + 1);
        wal.put_checkpoint(number, &[Bytes::from(checkpoint.encode())])?;
        let older = numbers.iter().rev().find_map(|&older| {
            let slot = read_slot(wal, older)?;
            Some((older, slot))
        });
        for &other in &numbers {
            if older.is_none_or(|(kept, _)| kept != other) {
                wal.remove_checkpoint(other)?;
            }
        }
        Ok(older.map_or(0, |(_, slot)| slot.0))
    });
    match written {
        Ok(older) => {
            tracing::debug!(slot, older, "checkpoint written");
            Event::CheckpointDone { slot, older }
        }
        Err(error) => {
            tracing::warn!(slot, %error, "a checkpoint can't be written, trying again later");
            Event::HousekeepingFailed
        }
    }
}

fn read_slot(wal: &Wal, number: u64) -> Option<Slot> {
    match wal.read_checkpoint(number) {
        Ok(bytes) => Checkpoint::slot_of(&bytes?),
        Err(error) => {
            tracing::error!(number, %error, "a checkpoint can't be read: it is not counted as one");
            None
        }
    }
}

/// Retires every segment below `below`. Blocks.
pub fn retire(wal: &Wal, below: u32) -> Event {
    match wal.retire_below(u64::from(below)) {
        Ok(count) => {
            tracing::debug!(below, count, "segments retired");
            Event::Retired(below)
        }
        Err(error) => {
            tracing::warn!(below, %error, "segments can't be retired, trying again later");
            Event::HousekeepingFailed
        }
    }
}
