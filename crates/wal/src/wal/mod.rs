//! The handle.

mod drive;
mod read;
mod side_files;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;

use crate::disk::Disk;
use crate::error::{AppendError, Failed, OpenError, RetireError};
use crate::frame::{FrameMeta, Kind};
use crate::lsn::Lsn;
use crate::opening;
use crate::options::{Driver, Identity, Options};
use crate::recovered::Recovered;
use crate::segment::{annotation_name, segment_name};
use crate::shared::{Shared, lock};
use crate::threads;

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
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    payload_bytes_max: u64,
    state_bytes_max: u64,
}

impl Wal {
    /// Opens a formatted directory: locks it, reads what a crash left, cuts a torn end, seals what
    /// was there and starts a new segment. Blocks; idempotent, also when it is cut short.
    ///
    /// # Errors
    /// [`OpenError`]; after a refusal nothing was changed.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<(Wal, Recovered), OpenError> {
        let mut opened = opening::open(&disk, &options)?;
        let recovered = opened.recovered.clone();
        opened.recovered.scanned.clear();
        let (payload_bytes_max, state_bytes_max) = (
            opened.core.payload_bytes_max(),
            opened.core.state_bytes_max(),
        );
        let driver = options.driver;
        let shared = Arc::new(Shared::new(disk, options, opened));
        let threads = match driver {
            Driver::Threads => threads::start(&shared).map_err(|source| OpenError::Io {
                what: "starting threads".into(),
                source,
            })?,
            Driver::Caller => Vec::new(),
        };
        let wal = Wal {
            shared,
            threads,
            payload_bytes_max,
            state_bytes_max,
        };
        // The STATE at the new segment's head.
        wal.flush();
        Ok((wal, recovered))
    }

    /// What the directory was formatted with.
    pub fn identity(&self) -> Identity {
        self.shared.options.identity
    }

    /// Appends one frame and wakes the log: `enqueue`, then `flush`. Returns where the frame
    /// *begins*; it is durable once `durable() > lsn`. Never blocks on the disk.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended.
    pub fn append(&self, meta: FrameMeta, parts: &[Bytes]) -> Result<Lsn, AppendError> {
        let mut inner = self.shared.inner();
        let lsn = self.push(&mut inner, meta, parts)?;
        self.shared.wake(inner);
        Ok(lsn)
    }

    /// Appends without waking the log's threads: for an owner that appends several frames in a turn
    /// and calls [`flush`](Wal::flush) once at its end.
    ///
    /// # Errors
    /// As [`append`](Wal::append).
    pub fn enqueue(&self, meta: FrameMeta, parts: &[Bytes]) -> Result<Lsn, AppendError> {
        self.push(&mut self.shared.inner(), meta, parts)
    }

    fn push(
        &self,
        inner: &mut crate::shared::Inner,
        meta: FrameMeta,
        parts: &[Bytes],
    ) -> Result<Lsn, AppendError> {
        assert_eq!(meta.kind, Kind::Data, "the other kinds are the log's own");
        let bytes: u64 = parts.iter().map(|p| p.len() as u64).sum();
        self.room(inner, bytes, self.payload_bytes_max)?;
        let lsn = inner.core.append(meta, parts);
        self.shared.appended(inner);
        Ok(lsn)
    }

    fn room(&self, inner: &crate::shared::Inner, bytes: u64, max: u64) -> Result<(), AppendError> {
        if let Some(failed) = inner.core.failed() {
            return Err(failed.clone().into());
        }
        if bytes > max {
            return Err(AppendError::TooLarge { bytes, max });
        }
        Ok(())
    }

    /// Wakes the log for what was enqueued; cheap when there is nothing.
    pub fn flush(&self) {
        self.shared.wake(self.shared.inner());
    }

    /// Stores the owner's small state: appended at once, twice, and repeated at the head of every
    /// new segment from then on. Durable once `durable()` is greater than what it returns.
    ///
    /// # Errors
    /// As [`append`](Wal::append); [`state_bytes_max`](Wal::state_bytes_max) fit.
    pub fn state(&self, state: Bytes) -> Result<Lsn, AppendError> {
        let mut inner = self.shared.inner();
        self.room(&inner, state.len() as u64, self.state_bytes_max)?;
        let lsn = inner.core.state(state);
        self.shared.appended(&mut inner);
        self.shared.wake(inner);
        Ok(lsn)
    }

    /// All below is in the page cache and can be read (`Acquire`).
    pub fn written(&self) -> Lsn {
        Lsn(self.shared.written.load(Ordering::Acquire))
    }

    /// All below is synced (`Acquire`). `durable <= written`.
    pub fn durable(&self) -> Lsn {
        Lsn(self.shared.durable.load(Ordering::Acquire))
    }

    /// Where the next frame would begin.
    pub fn tail(&self) -> Lsn {
        Lsn(self.shared.tail.load(Ordering::Acquire))
    }

    /// Bytes appended and not yet durable.
    pub fn unsynced_bytes(&self) -> u64 {
        self.shared.unsynced.load(Ordering::Relaxed)
    }

    /// `unsynced_bytes() >= unsynced_bytes_max`.
    pub fn is_full(&self) -> bool {
        self.unsynced_bytes() >= self.shared.options.unsynced_bytes_max
    }

    /// Largest payload of one frame.
    pub fn payload_bytes_max(&self) -> u64 {
        self.payload_bytes_max
    }

    /// Largest state.
    pub fn state_bytes_max(&self) -> u64 {
        self.state_bytes_max
    }

    /// Waits until `durable() > lsn`. For tools and tests; a core waits for `notify`.
    ///
    /// # Errors
    /// [`Failed`] when the log failed first.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<(), Failed> {
        let mut inner = self.shared.inner();
        loop {
            if inner.core.durable_lsn() > lsn {
                return Ok(());
            }
            if let Some(failed) = inner.core.failed() {
                return Err(failed.clone());
            }
            if self.threads.is_empty() {
                drop(inner);
                let moved = self.drive();
                inner = self.shared.inner();
                if !moved && inner.core.durable_lsn() <= lsn && inner.core.failed().is_none() {
                    return Err(Failed {
                        reason: "there is no room, and nobody else to wait for".into(),
                    });
                }
            } else {
                self.shared.wake_held(&mut inner);
                inner.waiting += 1;
                inner = self
                    .shared
                    .advanced
                    .wait(inner)
                    .expect("a thread of the log panicked");
                inner.waiting -= 1;
            }
        }
    }

    /// Retires every segment below `seq`: makes a RETIRE frame durable, then unlinks them and their
    /// annotations. Readers keep their bytes. Blocks. Returns how many went.
    ///
    /// # Errors
    /// [`RetireError`].
    pub fn retire_below(&self, seq: u64) -> Result<usize, RetireError> {
        let retired = {
            let mut inner = self.shared.inner();
            if let Some(failed) = inner.core.failed() {
                return Err(failed.clone().into());
            }
            if seq > inner.core.tail().seq() {
                return Err(RetireError::Open(seq));
            }
            let retired = inner.core.retire(seq);
            self.shared.appended(&mut inner);
            self.shared.wake(inner);
            retired
        };
        let count = retired.as_ref().map_or(0, |(_, gone)| gone.len());
        if let Some((lsn, gone)) = retired {
            lock(&self.shared.condemned).extend(gone.into_iter().map(|seq| (lsn, seq)));
        }
        // Also what an earlier call could not finish.
        let condemned = lock(&self.shared.condemned).clone();
        let Some((last, _)) = condemned.last() else {
            return Ok(0);
        };
        self.wait_durable(*last)?;
        let io = |what: String| move |source| RetireError::Io { what, source };
        for (_, seq) in condemned {
            self.shared.forget(seq);
            for name in [segment_name(seq), annotation_name(seq)] {
                match self.shared.disk.remove(&name) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        return Err(io(format!("removing {name}"))(e));
                    }
                    _ => {}
                }
            }
            lock(&self.shared.condemned).retain(|(_, s)| *s != seq);
        }
        self.shared
            .disk
            .sync_dir()
            .map_err(io("syncing the directory".into()))?;
        self.shared.count_segments();
        {
            // What was freed may be what the preparer waits for.
            let mut inner = self.shared.inner();
            inner.preparing = true;
            self.shared.prepare.notify_one();
        }
        Ok(count)
    }

    /// The segments that are there, oldest first, the open one last.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let written = self.written();
        let places = lock(&self.shared.places).clone();
        let all = places.into_iter().map(|(seq, place)| SegmentInfo {
            seq,
            sealed: place.end.is_some(),
            bytes: place.bytes,
            end: place.end.unwrap_or(written),
            hot: self.is_hot(Lsn::at(seq, 0)),
            annotated: place.annotated,
        });
        all.collect()
    }

    /// How the log is.
    pub fn health(&self) -> Health {
        if let Some(failed) = self.shared.inner().core.failed() {
            Health::Failed(failed.clone())
        } else if self.shared.stalled.load(Ordering::Acquire) {
            Health::Stalled
        } else if self.shared.full.load(Ordering::Acquire) {
            Health::DiskFull
        } else {
            Health::Well
        }
    }

    /// How long the write or sync that is running has been running.
    pub fn sync_running(&self) -> Option<Duration> {
        self.shared.running()
    }

    /// Seals the open segment, syncs, stops the threads and frees the lock. Dropping the handle
    /// instead syncs nothing and is like a crash of the process.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn close(mut self) -> Result<(), Failed> {
        let last = {
            let mut inner = self.shared.inner();
            let tail = inner.core.tail();
            // A seal waits for a successor, which a full disk may not have.
            if !(self.shared.full.load(Ordering::Acquire) && inner.core.next_activation().is_some())
            {
                inner.core.seal();
                self.shared.appended(&mut inner);
            }
            self.shared.wake_held(&mut inner);
            // The seal if there is one, else the last frame.
            if inner.core.is_closed() {
                tail
            } else {
                Lsn(tail.0 - 1)
            }
        };
        let closed = self.wait_durable(last);
        self.stop();
        closed
    }

    fn stop(&mut self) {
        threads::stop(&self.shared);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
        if let Some(guard) = lock(&self.shared.lock).take() {
            // After a failure the lock lives on in the mapped bytes: nobody may open the directory
            // and believe cached pages before they are gone.
            if self.shared.inner().core.failed().is_none() {
                guard.release();
            }
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for Wal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wal")
            .field("tail", &self.tail())
            .field("written", &self.written())
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}
