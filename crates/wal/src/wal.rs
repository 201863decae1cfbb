//! The handle.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::*;

/// How the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Well,
    /// Fewer than two empty segments are ready and no more could be allocated: the owner should
    /// admit nothing that grows the log. Heals by itself.
    DiskFull,
    /// A write or sync has been running for longer than `sync_stalled`. Heals when it ends.
    Stalled,
    /// A write or sync failed; final.
    Failed(Failed),
}

/// One segment that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub seq: u64,
    /// Whether it is sealed (in the cache; durable once `durable()` is past it).
    pub sealed: bool,
    /// Size of its file.
    pub bytes: u64,
    /// Where the next frame would begin, or where frames end.
    pub end: Lsn,
    /// Whether it is in the hot window.
    pub hot: bool,
    /// Whether the owner annotated it.
    pub annotated: bool,
}

/// An open write-ahead log.
///
/// Appends come from one thread; everything else from any.
pub struct Wal {
    identity: Identity,
}

impl Wal {
    /// Opens a formatted directory: locks it, reads what a crash left, cuts a torn end, seals what
    /// was there and starts a new segment. Blocks; idempotent, also when it is cut short.
    ///
    /// # Errors
    /// [`OpenError`]; after a refusal nothing was changed.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<(Wal, Recovered), OpenError> {
        let _ = (disk, options);
        Err(OpenError::NotFormatted)
    }

    /// What the directory was formatted with.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Appends one frame and wakes the log: `enqueue`, then `flush`. Returns where the frame
    /// *begins*; it is durable once `durable() > lsn`. Never blocks on the disk.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended.
    pub fn append(&self, meta: FrameMeta, parts: &[Bytes]) -> Result<Lsn, AppendError> {
        let _ = (meta, parts);
        Ok(Lsn::ZERO)
    }

    /// Appends without waking the log's threads: for an owner that appends several frames in a turn
    /// and calls [`flush`](Wal::flush) once at its end.
    ///
    /// # Errors
    /// As [`append`](Wal::append).
    pub fn enqueue(&self, meta: FrameMeta, parts: &[Bytes]) -> Result<Lsn, AppendError> {
        let _ = (meta, parts);
        Ok(Lsn::ZERO)
    }

    /// Wakes the log for what was enqueued; cheap when there is nothing.
    pub fn flush(&self) {}

    /// Stores the owner's small state: appended at once, twice, and repeated at the head of every
    /// new segment from then on. Durable once `durable()` is greater than what it returns.
    ///
    /// # Errors
    /// As [`append`](Wal::append); at most an eighth of a segment fits.
    pub fn state(&self, state: Bytes) -> Result<Lsn, AppendError> {
        let _ = state;
        Ok(Lsn::ZERO)
    }

    /// All below is in the page cache and can be read (`Acquire`).
    pub fn written(&self) -> Lsn {
        Lsn::ZERO
    }

    /// All below is synced (`Acquire`). `durable <= written`.
    pub fn durable(&self) -> Lsn {
        Lsn::ZERO
    }

    /// Where the next frame would begin.
    pub fn tail(&self) -> Lsn {
        Lsn::ZERO
    }

    /// Bytes appended and not yet durable.
    pub fn unsynced_bytes(&self) -> u64 {
        0
    }

    /// `unsynced_bytes() >= unsynced_bytes_max`.
    pub fn is_full(&self) -> bool {
        false
    }

    /// Largest payload of one frame.
    pub fn payload_bytes_max(&self) -> u64 {
        0
    }

    /// Waits until `durable() > lsn`. For tools and tests; a core waits for `notify`.
    ///
    /// # Errors
    /// [`Failed`] when the log failed first.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<(), Failed> {
        let _ = lsn;
        Ok(())
    }

    /// The payload of the frame at `lsn`, from the map and without a copy; its bytes stay good as
    /// long as they are held. Its checksum is not computed again. Never blocks on the disk.
    ///
    /// # Errors
    /// [`ReadError::NotHot`] outside the newest two segments, [`ReadError::NotFound`] when no
    /// frame below `written()` begins there.
    pub fn read(&self, lsn: Lsn) -> Result<Bytes, ReadError> {
        Err(ReadError::NotFound(lsn))
    }

    /// Whether [`read`](Wal::read) serves this place.
    pub fn is_hot(&self, lsn: Lsn) -> bool {
        let _ = lsn;
        false
    }

    /// The frame at `lsn`, by `pread`, its checksums computed. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_cold(&self, lsn: Lsn) -> Result<(FrameMeta, Bytes), ReadError> {
        Err(ReadError::NotFound(lsn))
    }

    /// The first `bytes` (or fewer) of the payload at `lsn`, by `pread`; the payload's checksum
    /// cannot be computed from them and is not. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_head(&self, lsn: Lsn, bytes: usize) -> Result<(FrameMeta, Bytes), ReadError> {
        let _ = bytes;
        Err(ReadError::NotFound(lsn))
    }

    /// The frames that begin at `lsn` and after it in the same segment, as many as one read of
    /// `bytes_max` holds (at least the first); checksums computed. Blocks.
    ///
    /// # Errors
    /// [`ReadError`] for the first frame; the list ends before a later one that is damaged.
    pub fn read_range_cold(
        &self,
        lsn: Lsn,
        bytes_max: usize,
    ) -> Result<Vec<(FrameInfo, Bytes)>, ReadError> {
        let _ = bytes_max;
        Err(ReadError::NotFound(lsn))
    }

    /// The frames of a sealed segment, from its INDEX. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn index(&self, seq: u64) -> Result<Vec<FrameInfo>, ReadError> {
        Err(ReadError::NoSegment(seq))
    }

    /// Stores the owner's index of a sealed segment beside it, durably. Replaces an older one. Blocks.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn annotate(&self, seq: u64, bytes: &[u8]) -> Result<(), SideError> {
        let _ = bytes;
        Err(SideError::NotSealed(seq))
    }

    /// The owner's index of a segment, checksum computed; `None` when there is none. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn annotation(&self, seq: u64) -> Result<Option<Bytes>, ReadError> {
        Err(ReadError::NoSegment(seq))
    }

    /// Retires every segment below `seq`: makes a RETIRE frame durable, then unlinks them and their
    /// annotations. Readers keep their bytes. Blocks. Returns how many went.
    ///
    /// # Errors
    /// [`RetireError`].
    pub fn retire_below(&self, seq: u64) -> Result<usize, RetireError> {
        Err(RetireError::Open(seq))
    }

    /// The segments that are there, oldest first, the open one last.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        Vec::new()
    }

    /// How the log is.
    pub fn health(&self) -> Health {
        Health::Well
    }

    /// How long the write or sync that is running has been running.
    pub fn sync_running(&self) -> Option<Duration> {
        None
    }

    /// Stores a checkpoint under a number (greater means newer) durably, then removes all but the
    /// newest two. Blocks.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn put_checkpoint(&self, number: u64, parts: &[Bytes]) -> Result<(), SideError> {
        let _ = (number, parts);
        Ok(())
    }

    /// The numbers of the checkpoints that are there, oldest first (whole or not). Blocks.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn checkpoints(&self) -> Result<Vec<u64>, SideError> {
        Ok(Vec::new())
    }

    /// A checkpoint, checksum computed; `None` when there is none of that number. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_checkpoint(&self, number: u64) -> Result<Option<Bytes>, ReadError> {
        let _ = number;
        Ok(None)
    }

    /// Removes a checkpoint, if it is there. Blocks.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn remove_checkpoint(&self, number: u64) -> Result<(), SideError> {
        let _ = number;
        Ok(())
    }

    /// Seals the open segment, syncs, stops the threads and frees the lock. Dropping the handle
    /// instead syncs nothing and is like a crash of the process.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn close(self) -> Result<(), Failed> {
        Ok(())
    }
}
