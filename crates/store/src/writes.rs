//! What bounds the log: `.idx` files, checkpoints, retirement. Each gives the
//! event that tells the core what came of it; a failure is a full or failed
//! disk, and the core asks again later.

use bytes::Bytes;
use paxlog_node::{Checkpoint, Event};
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

/// Encodes and writes a checkpoint; the newest two are kept. Blocks.
pub fn checkpoint(wal: &Wal, checkpoint: &Checkpoint) -> Event {
    let slot = checkpoint.slot.0;
    // Two may hold the same slot, so files are numbered by themselves.
    let written = wal.checkpoints().and_then(|numbers| {
        let number = numbers.last().map_or(0, |newest| newest + 1);
        wal.put_checkpoint(number, &[Bytes::from(checkpoint.encode())])
    });
    match written {
        Ok(()) => {
            tracing::debug!(slot, "checkpoint written");
            Event::CheckpointDone { slot }
        }
        Err(error) => {
            tracing::warn!(slot, %error, "a checkpoint can't be written, trying again later");
            Event::HousekeepingFailed
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
