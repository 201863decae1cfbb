//! What the handle and the threads share, and the steps that move the log forward.
//!
//! A step takes an operation from the core under the lock, does it without the lock, and brings its
//! result back. The threads call nothing but these steps, and so can a simulator.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::core::{Core, SyncOp};
use crate::disk::{DirLock, Disk, DiskFile};
use crate::error::{Failed, ReadError};
use crate::lsn::Lsn;
use crate::observe::{SegmentCounts, SyncReport};
use crate::opening::survey::no_space;
use crate::opening::{activate, make_spare};
use crate::options::Options;
use crate::segment::{SegmentHeader, segment_name};
use crate::write::WriteOp;

/// Cold files kept open.
const COLD_FILES: usize = 16;

/// The core, and who waits.
pub(crate) struct Inner {
    pub(crate) core: Core,
    pub(crate) stop: bool,
    /// Log threads that wait for work.
    pub(crate) idle: u32,
    /// One of them was woken and has not come yet.
    pub(crate) waking: bool,
    /// The preparer was woken and has not come yet.
    pub(crate) preparing: bool,
    /// How many wait for durability.
    pub(crate) waiting: u32,
}

impl Inner {
    /// Whether a log thread is to be woken now; it is taken for woken then.
    fn wakes(&mut self) -> bool {
        let wakes = self.idle > 0 && !self.waking && self.core.can_write();
        self.waking |= wakes;
        wakes
    }
}

/// A segment that is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) bytes: u64,
    /// Where frames end, once it is sealed.
    pub(crate) end: Option<Lsn>,
    pub(crate) annotated: bool,
}

/// Empty segments in reserve.
pub(crate) struct Spares {
    pub(crate) ready: VecDeque<(u64, Arc<dyn DiskFile>)>,
    pub(crate) number: u64,
}

/// See the module.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) inner: Mutex<Inner>,
    /// Log threads wait here, with `inner`.
    pub(crate) work: Condvar,
    /// The preparer waits here, with `inner`.
    pub(crate) prepare: Condvar,
    /// The watch and the canary wait here, with `inner`, for the end.
    pub(crate) stopping: Condvar,
    /// Whoever waits for durability, with `inner`.
    pub(crate) advanced: Condvar,
    /// Copies of what the core says, to be read without its lock.
    pub(crate) written: AtomicU64,
    pub(crate) durable: AtomicU64,
    pub(crate) tail: AtomicU64,
    pub(crate) unsynced: AtomicU64,
    pub(crate) full: AtomicBool,
    pub(crate) stalled: AtomicBool,
    /// Files of the hot window and of activated segments.
    pub(crate) files: Mutex<BTreeMap<u64, Arc<dyn DiskFile>>>,
    pub(crate) places: Mutex<BTreeMap<u64, Place>>,
    pub(crate) spares: Mutex<Spares>,
    cold: Mutex<VecDeque<(u64, Arc<dyn DiskFile>)>>,
    /// Segments named by a RETIRE, with its place, that are not unlinked yet.
    pub(crate) condemned: Mutex<Vec<(Lsn, u64)>>,
    /// When the running write and sync began, in ns since `birth`; 0 for none.
    pub(crate) birth: Instant,
    write_started: AtomicU64,
    sync_started: AtomicU64,
    canary_started: AtomicU64,
    pub(crate) lock: Mutex<Option<Box<dyn DirLock>>>,
    pub(crate) segment_bytes: u64,
    pub(crate) wal: u32,
}

/// A write or sync that was begun; [`run`](Task::run) does it and brings the result back.
///
/// For simulators: what it covers is fixed when it begins, the disk sees it when it runs. A task that
/// is dropped never ends, as if the disk hung.
pub struct Task {
    shared: Arc<Shared>,
    op: Op,
}

enum Op {
    Write(WriteOp),
    Sync(SyncOp),
}

impl Task {
    pub(crate) fn write(shared: &Arc<Shared>) -> Option<Task> {
        let op = shared.inner().core.next_write()?;
        Some(Task {
            shared: shared.clone(),
            op: Op::Write(op),
        })
    }

    pub(crate) fn sync(shared: &Arc<Shared>) -> Option<Task> {
        let op = shared.inner().core.next_sync()?;
        Some(Task {
            shared: shared.clone(),
            op: Op::Sync(op),
        })
    }

    /// Does it.
    pub fn run(self) {
        match self.op {
            Op::Write(op) => self.shared.run_write(op),
            Op::Sync(op) => self.shared.run_sync(op),
        }
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.op {
            Op::Write(op) => write!(f, "Task(write to {})", op.end),
            Op::Sync(op) => write!(f, "Task(sync to {})", op.target),
        }
    }
}

impl Shared {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        options: Options,
        opened: crate::opening::Opened,
    ) -> Shared {
        let crate::opening::Opened {
            lock,
            core,
            seq,
            file,
            sealed,
            annotated,
            spares,
            spare_number,
            ..
        } = opened;
        let mut places: BTreeMap<u64, Place> = sealed
            .into_iter()
            .map(|(seq, (bytes, end))| {
                (
                    seq,
                    Place {
                        bytes,
                        end: Some(end),
                        annotated: annotated.contains(&seq),
                    },
                )
            })
            .collect();
        places.insert(
            seq,
            Place {
                bytes: options.segment_bytes,
                end: None,
                annotated: false,
            },
        );
        let shared = Shared {
            disk,
            written: AtomicU64::new(core.written_lsn().0),
            durable: AtomicU64::new(core.durable_lsn().0),
            tail: AtomicU64::new(core.tail().0),
            unsynced: AtomicU64::new(core.unsynced_bytes()),
            inner: Mutex::new(Inner {
                core,
                stop: false,
                idle: 0,
                waking: false,
                preparing: false,
                waiting: 0,
            }),
            work: Condvar::new(),
            prepare: Condvar::new(),
            stopping: Condvar::new(),
            advanced: Condvar::new(),
            full: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            files: Mutex::new(BTreeMap::from([(seq, file)])),
            places: Mutex::new(places),
            spares: Mutex::new(Spares {
                ready: spares,
                number: spare_number,
            }),
            cold: Mutex::new(VecDeque::new()),
            condemned: Mutex::new(Vec::new()),
            birth: Instant::now(),
            write_started: AtomicU64::new(0),
            sync_started: AtomicU64::new(0),
            canary_started: AtomicU64::new(0),
            lock: Mutex::new(Some(lock)),
            segment_bytes: options.segment_bytes,
            wal: options.identity.wal_id as u32,
            options,
        };
        shared.count_segments();
        shared
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Publishes what appends changed and wakes who must act on it.
    pub(crate) fn appended(&self, inner: &mut Inner) {
        self.tail.store(inner.core.tail().0, Ordering::Release);
        self.unsynced
            .store(inner.core.unsynced_bytes(), Ordering::Relaxed);
        if !inner.preparing && inner.core.next_activation().is_some() {
            inner.preparing = true;
            self.prepare.notify_one();
        }
    }

    /// Wakes a log thread, if one sleeps and there is something to write; without the lock, which it would only run into.
    pub(crate) fn wake(&self, mut inner: MutexGuard<'_, Inner>) {
        let wakes = inner.wakes();
        drop(inner);
        if wakes {
            self.work.notify_one();
        }
    }

    /// As [`Shared::wake`], where the lock is still needed.
    pub(crate) fn wake_held(&self, inner: &mut Inner) {
        if inner.wakes() {
            self.work.notify_one();
        }
    }

    pub(crate) fn run_write(&self, mut op: WriteOp) {
        let started = Instant::now();
        self.write_started
            .store(self.stamp(started), Ordering::Relaxed);
        let (frames, bytes, seq, end) = (op.frames.len() as u64, op.bytes, op.seq, op.end);
        let sealed = op.frames.last().filter(|q| q.is_seal()).map(|q| q.lsn());
        let file = lock(&self.files)
            .get(&seq)
            .cloned()
            .expect("an activated segment's file is open");
        let result = op
            .run(&*file)
            .map_err(|e| failed(&format!("writing {}", segment_name(seq)), &e));
        self.write_started.store(0, Ordering::Relaxed);
        let failure = result.as_ref().err().cloned();
        if failure.is_none() {
            let mut places = lock(&self.places);
            let place = Place {
                bytes: self.segment_bytes,
                end: None,
                annotated: false,
            };
            places.entry(seq).or_insert(place).end = sealed;
        }
        let parts = {
            let mut inner = self.inner();
            let parts = inner.core.written(op, result);
            if failure.is_none() {
                self.written.store(end.0, Ordering::Release);
            }
            parts
        };
        drop(parts);
        match failure {
            Some(failure) => self.has_failed(&failure),
            None => self
                .options
                .observer
                .wrote(frames, bytes, started.elapsed()),
        }
        if sealed.is_some() {
            self.count_segments();
        }
    }

    pub(crate) fn run_sync(&self, op: SyncOp) {
        let started = Instant::now();
        self.sync_started
            .store(self.stamp(started), Ordering::Relaxed);
        let files: Vec<_> = {
            let open = lock(&self.files);
            op.seqs
                .clone()
                .map(|seq| {
                    (
                        seq,
                        open.get(&seq)
                            .cloned()
                            .expect("an unsynced segment's file is open"),
                    )
                })
                .collect()
        };
        // The older file first: `durable` passes into a segment only behind a synced predecessor.
        let mut result = Ok(());
        for (seq, file) in &files {
            if let Err(e) = file.sync() {
                result = Err(failed(&format!("syncing {}", segment_name(*seq)), &e));
                break;
            }
        }
        self.sync_started.store(0, Ordering::Relaxed);
        let took = started.elapsed();
        let failure = result.as_ref().err().cloned();
        let report = SyncReport {
            took,
            bytes: op.covers.bytes,
            frames: op.covers.frames,
            files: files.len() as u32,
        };
        let awaited = {
            let mut inner = self.inner();
            inner.core.synced(op, result);
            self.durable
                .store(inner.core.durable_lsn().0, Ordering::Release);
            self.unsynced
                .store(inner.core.unsynced_bytes(), Ordering::Relaxed);
            inner.waiting > 0
        };
        if awaited {
            self.advanced.notify_all();
        }
        if let Some(failure) = failure {
            self.has_failed(&failure);
            return;
        }
        self.close_cooled();
        (self.options.notify)();
        self.options.observer.synced(&report);
        if took > self.options.sync_slow {
            self.options.observer.sync_slow(took);
        }
    }

    /// One step of preparing: activates the next segment, or makes a spare. `Ok(false)` when there
    /// is nothing to do.
    pub(crate) fn prepare_step(&self) -> io::Result<bool> {
        let next = {
            let mut inner = self.inner();
            inner.preparing = false;
            if inner.core.failed().is_some() {
                return Ok(false);
            }
            inner.core.next_activation()
        };
        let done = match next {
            Some(seq) => self.activate(seq).map(|()| true),
            None => self.refill(),
        };
        match done {
            Ok(did) => {
                if did {
                    self.count_segments();
                }
                self.set_full(false);
                Ok(did)
            }
            Err(e) => {
                self.options.observer.prepare_failed(&e.to_string());
                if no_space(&e) {
                    self.set_full(true);
                } else {
                    let failure = failed("preparing a segment", &e);
                    self.inner().core.fail(failure.clone());
                    self.has_failed(&failure);
                }
                Err(e)
            }
        }
    }

    fn activate(&self, seq: u64) -> io::Result<()> {
        let spare = lock(&self.spares).ready.pop_front();
        let (number, file) = match spare {
            Some(spare) => spare,
            None => self.make_spare()?,
        };
        let header = SegmentHeader {
            identity: self.options.identity,
            flags: 0,
            seq,
            prev_seq: seq - 1,
            size: self.segment_bytes,
            durable: Lsn(self.durable.load(Ordering::Acquire)),
            created_ns: self.disk.wall_ns(),
        };
        activate(&*self.disk, number, &*file, &header)?;
        // Mapped before its first frame: see the mapping module.
        file.map()?;
        lock(&self.files).insert(seq, file);
        let mut inner = self.inner();
        inner.core.activated(seq);
        self.wake(inner);
        Ok(())
    }

    fn refill(&self) -> io::Result<bool> {
        if lock(&self.spares).ready.len() >= self.options.spares {
            return Ok(false);
        }
        let spare = self.make_spare()?;
        lock(&self.spares).ready.push_back(spare);
        Ok(true)
    }

    fn make_spare(&self) -> io::Result<(u64, Arc<dyn DiskFile>)> {
        let number = {
            let mut spares = lock(&self.spares);
            spares.number += 1;
            spares.number - 1
        };
        make_spare(&*self.disk, number, self.segment_bytes).map(|file| (number, file))
    }

    fn set_full(&self, no_space: bool) {
        let ready = self.ready();
        let full = no_space && ready < (1 + self.options.spares as u64).min(2);
        if self.full.swap(full, Ordering::AcqRel) != full {
            (self.options.notify)();
        }
    }

    /// Empty segments: activated ones beyond the tail's, and spares.
    fn ready(&self) -> u64 {
        let spares = lock(&self.spares).ready.len() as u64;
        let activated = lock(&self.files)
            .last_key_value()
            .map_or(0, |(seq, _)| *seq);
        let tail = Lsn(self.tail.load(Ordering::Acquire)).seq();
        spares + activated.saturating_sub(tail)
    }

    pub(crate) fn count_segments(&self) {
        let (live, bytes) = {
            let places = lock(&self.places);
            (
                places.len() as u64,
                places.values().map(|p| p.bytes).sum::<u64>(),
            )
        };
        let ready = self.ready();
        let bytes = bytes + ready * self.segment_bytes;
        self.options
            .observer
            .segments(&SegmentCounts { live, ready, bytes });
    }

    /// Tells everybody that the log failed.
    pub(crate) fn has_failed(&self, failure: &Failed) {
        self.options.observer.failed(&failure.reason);
        tracing::error!(reason = %failure.reason, "the write-ahead log failed");
        {
            let _inner = self.inner();
            self.advanced.notify_all();
        }
        (self.options.notify)();
    }

    /// Closes files that left the hot window and need no sync.
    fn close_cooled(&self) {
        let hot = Lsn(self.written.load(Ordering::Acquire))
            .seq()
            .saturating_sub(1);
        let durable = Lsn(self.durable.load(Ordering::Acquire));
        let mut files = lock(&self.files);
        let done = |seq: u64| seq < hot && Lsn::at(seq, self.segment_bytes) <= durable;
        let mut closed = Vec::new();
        while let Some(entry) = files.first_entry() {
            if !done(*entry.key()) {
                break;
            }
            closed.push(entry.remove());
        }
        drop(files);
        // Unmapping may take a while; not under the lock.
        drop(closed);
    }

    /// A file for cold reads.
    pub(crate) fn cold_file(&self, seq: u64) -> Result<Arc<dyn DiskFile>, ReadError> {
        if !lock(&self.places).contains_key(&seq) {
            return Err(ReadError::NoSegment(seq));
        }
        if let Some(file) = lock(&self.files).get(&seq) {
            return Ok(file.clone());
        }
        if let Some((_, file)) = lock(&self.cold).iter().find(|(s, _)| *s == seq) {
            return Ok(file.clone());
        }
        let name = segment_name(seq);
        let file = self
            .disk
            .open(&name)
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => ReadError::NoSegment(seq),
                _ => ReadError::Io {
                    what: format!("opening {name}"),
                    source,
                },
            })?;
        let mut cold = lock(&self.cold);
        if cold.len() >= COLD_FILES {
            cold.pop_front();
        }
        cold.push_back((seq, file.clone()));
        Ok(file)
    }

    /// Forgets a segment that is being unlinked.
    pub(crate) fn forget(&self, seq: u64) {
        lock(&self.places).remove(&seq);
        let file = lock(&self.files).remove(&seq);
        lock(&self.cold).retain(|(s, _)| *s != seq);
        drop(file);
    }

    fn stamp(&self, at: Instant) -> u64 {
        (at.duration_since(self.birth).as_nanos() as u64).max(1)
    }

    /// Runs something else that the disk may hang in, under the eyes of the watch.
    pub(crate) fn watched<T>(&self, run: impl FnOnce() -> T) -> T {
        self.canary_started
            .store(self.stamp(Instant::now()), Ordering::Relaxed);
        let result = run();
        self.canary_started.store(0, Ordering::Relaxed);
        result
    }

    /// For how long the oldest running write or sync has been running.
    pub(crate) fn running(&self) -> Option<Duration> {
        let now = self.stamp(Instant::now());
        let since = |started: &AtomicU64| match started.load(Ordering::Relaxed) {
            0 => None,
            at => Some(Duration::from_nanos(now.saturating_sub(at))),
        };
        since(&self.write_started)
            .max(since(&self.sync_started))
            .max(since(&self.canary_started))
    }
}

/// Takes a lock; nothing panics while holding one but on a broken invariant, and then going on would
/// be wrong.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a thread of the log panicked")
}

pub(crate) fn failed(what: &str, e: &io::Error) -> Failed {
    Failed {
        reason: format!("{what}: {e}").into(),
    }
}
