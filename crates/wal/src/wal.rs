//! The handle.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;

use crate::disk::{Disk, DiskFile};
use crate::error::{AppendError, Failed, OpenError, ReadError, RetireError, SideError};
use crate::frame::{FrameHeader, FrameInfo, FrameMeta, HEADER, Kind, frame_bytes};
use crate::lsn::Lsn;
use crate::opening;
use crate::options::{Driver, Identity, Options};
use crate::recovered::Recovered;
use crate::seal;
use crate::segment::{Name, annotation_name, checkpoint_name, segment_name};
use crate::shared::{Shared, Task, lock};
use crate::side::{self, SideFault, SideKind};
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
        self.shared.wake(&mut inner);
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
        self.shared.wake(&mut self.shared.inner());
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
        self.shared.wake(&mut inner);
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
                self.shared.wake(&mut inner);
                inner = self
                    .shared
                    .advanced
                    .wait(inner)
                    .expect("a thread of the log panicked");
            }
        }
    }

    /// The payload of the frame at `lsn`, from the map and without a copy; its bytes stay good as
    /// long as they are held. Its checksum is not computed again. Never blocks on the disk.
    ///
    /// # Errors
    /// [`ReadError::NotHot`] outside the newest two segments, [`ReadError::NotFound`] when no
    /// frame below `written()` begins there.
    pub fn read(&self, lsn: Lsn) -> Result<Bytes, ReadError> {
        if lsn >= self.written() {
            return Err(ReadError::NotFound(lsn));
        }
        let file = self.hot(lsn).ok_or(ReadError::NotHot(lsn.seq()))?;
        let at = lsn.offset();
        let none = || ReadError::NotFound(lsn);
        let header = file.view(at, at + HEADER).ok_or_else(none)?;
        let header = FrameHeader::decode(&header, lsn, self.shared.wal).ok_or_else(none)?;
        file.view(at + HEADER, at + HEADER + header.len as u64)
            .ok_or_else(none)
    }

    fn hot(&self, lsn: Lsn) -> Option<Arc<dyn DiskFile>> {
        let seq = lsn.seq();
        let newest = self.written().seq();
        if seq > newest || seq + 1 < newest {
            return None;
        }
        lock(&self.shared.files).get(&seq).cloned()
    }

    /// Whether [`read`](Wal::read) serves this place.
    pub fn is_hot(&self, lsn: Lsn) -> bool {
        self.hot(lsn).is_some()
    }

    /// The frame at `lsn`, by `pread`, its checksums computed. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_cold(&self, lsn: Lsn) -> Result<(FrameMeta, Bytes), ReadError> {
        let (file, header) = self.cold_header(lsn)?;
        let mut payload = vec![0; header.len as usize];
        self.pread(&*file, lsn.seq(), lsn.offset() + HEADER, &mut payload)?;
        if crc32c::crc32c(&payload) != header.pcrc {
            self.shared.options.observer.corrupt();
            return Err(ReadError::Corrupt(lsn));
        }
        Ok((meta(&header), Bytes::from(payload)))
    }

    fn cold_header(&self, lsn: Lsn) -> Result<(Arc<dyn DiskFile>, FrameHeader), ReadError> {
        let mut b = [0; HEADER as usize];
        let file = self.cold_place(lsn)?;
        self.pread(&*file, lsn.seq(), lsn.offset(), &mut b)?;
        let header = self.cold_decode(&b, lsn, file.bytes())?;
        Ok((file, header))
    }

    /// The file, if a frame may begin at `lsn`.
    fn cold_place(&self, lsn: Lsn) -> Result<Arc<dyn DiskFile>, ReadError> {
        let file = self.shared.cold_file(lsn.seq())?;
        let end = lock(&self.shared.places)
            .get(&lsn.seq())
            .and_then(|p| p.end);
        let beyond = lsn >= self.written() || end.is_some_and(|end| lsn >= end);
        if beyond || lsn.offset() + HEADER > file.bytes() {
            return Err(ReadError::NotFound(lsn));
        }
        Ok(file)
    }

    fn cold_decode(&self, b: &[u8], lsn: Lsn, bytes: u64) -> Result<FrameHeader, ReadError> {
        FrameHeader::decode(b, lsn, self.shared.wal)
            .filter(|h| lsn.offset() + frame_bytes(h.len as u64) <= bytes)
            .ok_or_else(|| {
                self.shared.options.observer.corrupt();
                ReadError::Corrupt(lsn)
            })
    }

    fn pread(
        &self,
        file: &dyn DiskFile,
        seq: u64,
        at: u64,
        to: &mut [u8],
    ) -> Result<(), ReadError> {
        file.read_at(at, to).map_err(|source| ReadError::Io {
            what: format!("reading {}", segment_name(seq)),
            source,
        })
    }

    /// The first `bytes` (or fewer) of the payload at `lsn`, by `pread`; the payload's checksum
    /// cannot be computed from them and is not. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_head(&self, lsn: Lsn, bytes: usize) -> Result<(FrameMeta, Bytes), ReadError> {
        let file = self.cold_place(lsn)?;
        let room = (file.bytes() - lsn.offset()) as usize;
        let mut b = vec![0; (HEADER as usize + bytes).min(room)];
        self.pread(&*file, lsn.seq(), lsn.offset(), &mut b)?;
        let header = self.cold_decode(&b, lsn, file.bytes())?;
        let end = b.len().min(HEADER as usize + header.len as usize);
        Ok((meta(&header), Bytes::from(b).slice(HEADER as usize..end)))
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
        let (file, header) = self.cold_header(lsn)?;
        let end = lock(&self.shared.places)
            .get(&lsn.seq())
            .and_then(|p| p.end);
        let written = self.written();
        let end = end.unwrap_or(if written.seq() == lsn.seq() {
            written
        } else {
            Lsn::at(lsn.seq(), file.bytes())
        });
        let first = frame_bytes(header.len as u64);
        let room = end.0 - lsn.0;
        let mut b = vec![0; (bytes_max as u64).max(first).min(room) as usize];
        self.pread(&*file, lsn.seq(), lsn.offset(), &mut b)?;
        let b = Bytes::from(b);
        let mut frames = Vec::new();
        let mut at = 0;
        while at + HEADER as usize <= b.len() {
            let place = Lsn(lsn.0 + at as u64);
            let Some(header) =
                FrameHeader::decode(&b[at..at + HEADER as usize], place, self.shared.wal)
            else {
                break;
            };
            let start = at + HEADER as usize;
            let end = start + header.len as usize;
            if end > b.len() || crc32c::crc32c(&b[start..end]) != header.pcrc {
                break;
            }
            frames.push((header.info(), b.slice(start..end)));
            at += frame_bytes(header.len as u64) as usize;
        }
        if frames.is_empty() {
            self.shared.options.observer.corrupt();
            return Err(ReadError::Corrupt(lsn));
        }
        Ok(frames)
    }

    /// The frames of a sealed segment, from its INDEX. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn index(&self, seq: u64) -> Result<Vec<FrameInfo>, ReadError> {
        let end = lock(&self.shared.places)
            .get(&seq)
            .copied()
            .ok_or(ReadError::NoSegment(seq))?
            .end;
        if end.is_none() {
            return Err(ReadError::NotFound(Lsn::at(seq, 0)));
        }
        match seal::read_index(&*self.shared.disk, seq, self.shared.wal) {
            // The frames themselves say the same, slowly.
            Err(ReadError::Corrupt(_)) => {
                self.shared.options.observer.corrupt();
                let file = self.shared.cold_file(seq)?;
                Ok(opening::survey::rescan(&*file, seq, self.shared.wal))
            }
            found => found,
        }
    }

    /// Stores the owner's index of a sealed segment beside it, durably. Replaces an older one. Blocks.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn annotate(&self, seq: u64, bytes: &[u8]) -> Result<(), SideError> {
        let place = lock(&self.shared.places).get(&seq).copied();
        if !place.is_some_and(|p| p.end.is_some() && Lsn::at(seq, p.bytes) <= self.durable()) {
            return Err(SideError::NotSealed(seq));
        }
        self.write_side(&annotation_name(seq), SideKind::Annotation, seq, &[bytes])?;
        if let Some(place) = lock(&self.shared.places).get_mut(&seq) {
            place.annotated = true;
        }
        Ok(())
    }

    fn write_side(
        &self,
        name: &str,
        kind: SideKind,
        number: u64,
        parts: &[&[u8]],
    ) -> Result<(), SideError> {
        let wal_id = self.identity().wal_id;
        side::write(&*self.shared.disk, name, kind, wal_id, number, parts).map_err(|source| {
            // What is left of it would take up room until the next opening.
            let _ = self.shared.disk.remove(&format!("{name}.tmp"));
            SideError::Io {
                what: format!("writing {name}"),
                source,
            }
        })
    }

    fn read_side(
        &self,
        name: &str,
        kind: SideKind,
        number: u64,
    ) -> Result<Option<Bytes>, ReadError> {
        match side::read(&*self.shared.disk, name, kind, number) {
            Ok((wal_id, bytes)) if wal_id == self.identity().wal_id => Ok(Some(bytes)),
            Err(SideFault::Missing) => Ok(None),
            Err(SideFault::Io(source)) => Err(ReadError::Io {
                what: format!("reading {name}"),
                source,
            }),
            Ok(_) | Err(SideFault::Damaged | SideFault::Newer(_)) => {
                self.shared.options.observer.corrupt();
                Err(ReadError::CorruptFile(name.to_owned()))
            }
        }
    }

    /// The owner's index of a segment, checksum computed; `None` when there is none. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn annotation(&self, seq: u64) -> Result<Option<Bytes>, ReadError> {
        if !lock(&self.shared.places).contains_key(&seq) {
            return Err(ReadError::NoSegment(seq));
        }
        self.read_side(&annotation_name(seq), SideKind::Annotation, seq)
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
            self.shared.wake(&mut inner);
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

    /// Stores a checkpoint under a number (greater means newer) durably, then removes all but the
    /// newest two. Blocks.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn put_checkpoint(&self, number: u64, parts: &[Bytes]) -> Result<(), SideError> {
        let parts: Vec<&[u8]> = parts.iter().map(|p| &p[..]).collect();
        self.write_side(
            &checkpoint_name(number),
            SideKind::Checkpoint,
            number,
            &parts,
        )?;
        let mut all = self.checkpoints()?;
        all.truncate(all.len().saturating_sub(2));
        for old in all {
            self.remove_checkpoint(old)?;
        }
        Ok(())
    }

    /// The numbers of the checkpoints that are there, oldest first (whole or not). Blocks.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn checkpoints(&self) -> Result<Vec<u64>, SideError> {
        let names = self.shared.disk.list().map_err(|source| SideError::Io {
            what: "listing the directory".into(),
            source,
        })?;
        let mut numbers: Vec<u64> = names
            .iter()
            .filter_map(|(name, _)| match Name::parse(name) {
                Name::Checkpoint(number) => Some(number),
                _ => None,
            })
            .collect();
        numbers.sort();
        Ok(numbers)
    }

    /// A checkpoint, checksum computed; `None` when there is none of that number. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_checkpoint(&self, number: u64) -> Result<Option<Bytes>, ReadError> {
        self.read_side(&checkpoint_name(number), SideKind::Checkpoint, number)
    }

    /// Removes a checkpoint, if it is there. Blocks.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn remove_checkpoint(&self, number: u64) -> Result<(), SideError> {
        let name = checkpoint_name(number);
        match self.shared.disk.remove(&name) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            done => done
                .and_then(|()| self.shared.disk.sync_dir())
                .map_err(|source| SideError::Io {
                    what: format!("removing {name}"),
                    source,
                }),
        }
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
            self.shared.wake(&mut inner);
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

    /// Does all there is to do: prepares, writes and syncs until nothing is left. Whether anything was
    /// done. For logs with [`Driver::Caller`], as the methods below.
    pub fn drive(&self) -> bool {
        let mut moved = false;
        while self.drive_prepare() | self.drive_write() | self.drive_sync() {
            moved = true;
        }
        moved
    }

    /// Activates the next segment or makes a spare, if one is missing. Whether it did.
    pub fn drive_prepare(&self) -> bool {
        self.shared.prepare_step().unwrap_or(false)
    }

    /// One write, if there is one to do. Whether there was.
    pub fn drive_write(&self) -> bool {
        self.begin_write().map(Task::run).is_some()
    }

    /// One sync, if there is one to do. Whether there was.
    pub fn drive_sync(&self) -> bool {
        self.begin_sync().map(Task::run).is_some()
    }

    /// Begins the next write. `None` when one is out already, nothing waits, or the segment it goes
    /// to is not there yet.
    pub fn begin_write(&self) -> Option<Task> {
        Task::write(&self.shared)
    }

    /// Begins the next sync. `None` when one is out already or nothing waits.
    pub fn begin_sync(&self) -> Option<Task> {
        Task::sync(&self.shared)
    }

    /// Appends the MARK of an idle log (all is durable), if its last frames are not covered by one.
    /// Whether it did.
    pub fn mark(&self) -> bool {
        let mut inner = self.shared.inner();
        let marked = inner.core.mark();
        if marked {
            self.shared.appended(&mut inner);
            self.shared.wake(&mut inner);
        }
        marked
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

fn meta(header: &FrameHeader) -> FrameMeta {
    FrameMeta {
        kind: header.kind,
        group: header.group,
        tag: header.tag,
        aux: header.aux,
    }
}
