//! A disk in memory, with the manners of a real one in a power cut.
//!
//! What it assumes of disks, and so what the log is proved against:
//!
//! * A write goes to a cache and is seen at once by reads. A sync makes the file's content durable.
//! * In a power cut each unsynced 512-byte sector holds *any* version from its last sync on,
//!   independently of the others; some are torn between two versions at a byte. A torn write changes
//!   no byte that was not being changed.
//! * Directory entries (create, rename, remove) become durable in order, some prefix of them without
//!   a directory sync, all of them with one. A file that was never synced may come back empty.
//! * A failed sync leaves the cache clean and some sectors never written: reads show the new bytes
//!   until the cache is dropped, the next power cut shows the old ones, and another sync says ok.
//!
//! Deterministic: the same calls on a disk of the same seed give the same bytes.

mod rng;
mod sectors;

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};

use bytes::Bytes;

use crate::disk::{DirLock, Disk, DiskFile};

pub use rng::Rng;
use sectors::Sectors;

/// A disk in memory. Clones are handles on the same disk.
#[derive(Clone)]
pub struct SimDisk {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    /// Syncs wait here while they are held.
    gate: Condvar,
}

struct State {
    rng: Rng,
    files: BTreeMap<u64, Sectors>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Directory changes since the last directory sync.
    journal: Vec<Change>,
    capacity: Option<u64>,
    read_only: bool,
    /// Changing calls until the power goes.
    dies_in: Option<u64>,
    /// Syncs until one fails.
    sync_fails_in: Option<u64>,
    bad_reads: Vec<(String, Range<u64>)>,
    hold_syncs: bool,
    lock: Weak<()>,
    clock: u64,
    calls: u64,
    syncs: u64,
}

#[derive(Clone)]
enum Change {
    Put(String, u64),
    Remove(String),
}

impl SimDisk {
    /// An empty disk. The seed decides what survives power cuts and failed syncs.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::from_state(State {
            rng: Rng::new(seed),
            files: BTreeMap::new(),
            next_file: 1,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            journal: Vec::new(),
            capacity: None,
            read_only: false,
            dies_in: None,
            sync_fails_in: None,
            bad_reads: Vec::new(),
            hold_syncs: false,
            lock: Weak::new(),
            clock: 1_000_000_000,
            calls: 0,
            syncs: 0,
        })
    }

    fn from_state(state: State) -> SimDisk {
        SimDisk {
            inner: Arc::new(Inner {
                state: Mutex::new(state),
                gate: Condvar::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .expect("nothing panics under this lock")
    }

    /// What a power cut at this moment leaves: another disk, its faults off, everything on it
    /// durable. This one goes on as it was. Which of the possible outcomes it is, `seed` decides.
    pub fn power_cut(&self, seed: u64) -> SimDisk {
        let state = self.state();
        let mut rng = Rng::new(seed);
        let mut names = state.durable_names.clone();
        let survive = rng.below(state.journal.len() as u64 + 1) as usize;
        for change in &state.journal[..survive] {
            apply(&mut names, change);
        }
        let files = names
            .values()
            .map(|id| (*id, state.files[id].power_cut(Some(&mut rng))))
            .collect();
        SimDisk::from_state(state.settled(rng, names, files))
    }

    /// The worst that a power cut at this moment can leave: nothing that was not synced.
    pub fn worst_power_cut(&self) -> SimDisk {
        let state = self.state();
        let names = state.durable_names.clone();
        let files = names
            .values()
            .map(|id| (*id, state.files[id].power_cut(None)))
            .collect();
        SimDisk::from_state(state.settled(Rng::new(0), names, files))
    }

    /// What a crash of the process alone leaves: all that was written, since the cache survives.
    pub fn process_crash(&self, seed: u64) -> SimDisk {
        let state = self.state();
        let mut after = state.settled(Rng::new(seed), state.names.clone(), state.files.clone());
        after.durable_names = state.durable_names.clone();
        after.journal = state.journal.clone();
        SimDisk::from_state(after)
    }

    /// Syncs and changes fail with `NotConnected`, as if the power went, after `calls` more of
    /// them; the call that dies may have been done in part. `None` takes that back.
    pub fn die_in(&self, calls: Option<u64>) {
        self.state().dies_in = calls;
    }

    /// Whether it died, as asked for by [`die_in`](SimDisk::die_in).
    pub fn is_dead(&self) -> bool {
        self.state().dies_in == Some(0)
    }

    /// The `nth` sync from now on (0 is the next) fails, once.
    pub fn fail_sync(&self, nth: u64) {
        self.state().sync_fails_in = Some(nth);
    }

    /// No sync fails that has not yet.
    pub fn spare_syncs(&self) {
        self.state().sync_fails_in = None;
    }

    /// Reads that touch these bytes of a file fail with an IO error.
    pub fn fail_reads(&self, name: &str, range: Range<u64>) {
        self.state().bad_reads.push((name.to_owned(), range));
    }

    /// Room for this many bytes of files; creating more fails with `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// See [`SimDisk::set_capacity`].
    #[must_use]
    pub fn capacity(&self) -> Option<u64> {
        self.state().capacity
    }

    /// Every change fails with `ReadOnlyFilesystem`.
    pub fn set_read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }

    /// Syncs that begin from now on do not return until they are released.
    pub fn hold_syncs(&self, hold: bool) {
        self.state().hold_syncs = hold;
        self.inner.gate.notify_all();
    }

    /// Flips the bits of `mask` in one byte, in the cache and on the disk. Whether there is such a byte.
    pub fn flip(&self, name: &str, at: u64, mask: u8) -> bool {
        self.at_rest(name, |file| {
            file.change(at, &mut |_, byte| *byte ^= mask, 1)
        })
    }

    /// Puts other bytes in place of those at rest, in the cache and on the disk: what a misdirected or a lost
    /// write leaves. Whether there are such bytes.
    pub fn replace(&self, name: &str, at: u64, bytes: &[u8]) -> bool {
        let mut put = |to: u64, byte: &mut u8| *byte = bytes[(to - at) as usize];
        self.at_rest(name, |file| file.change(at, &mut put, bytes.len() as u64))
    }

    /// The sector that holds a byte can't be read any more, also after a power cut, until it is written.
    /// Whether there is such a file.
    pub fn ruin(&self, name: &str, at: u64) -> bool {
        self.at_rest(name, |file| {
            file.ruin(at);
            true
        })
    }

    fn at_rest(&self, name: &str, change: impl FnOnce(&mut Sectors) -> bool) -> bool {
        let mut state = self.state();
        let Some(id) = state.names.get(name).copied() else {
            return false;
        };
        change(state.files.get_mut(&id).expect("a name has its file"))
    }

    /// A file's content as reads show it.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state
            .names
            .get(name)
            .map(|id| state.files[id].now().to_vec())
    }

    /// Puts a file there, durably.
    pub fn put(&self, name: &str, content: &[u8]) {
        let mut state = self.state();
        let id = state.next_file;
        state.next_file += 1;
        state.files.insert(id, Sectors::durable(content.to_vec()));
        state.names.insert(name.to_owned(), id);
        state.durable_names.insert(name.to_owned(), id);
    }

    /// Names of all files, in order.
    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Changing calls so far, for choosing when to die.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Syncs of files so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }
}

impl State {
    /// A disk without faults holding these files.
    fn settled(
        &self,
        rng: Rng,
        names: BTreeMap<String, u64>,
        files: BTreeMap<u64, Sectors>,
    ) -> State {
        State {
            rng,
            files,
            next_file: self.next_file,
            durable_names: names.clone(),
            names,
            journal: Vec::new(),
            capacity: None,
            read_only: false,
            dies_in: None,
            sync_fails_in: None,
            bad_reads: Vec::new(),
            hold_syncs: false,
            lock: Weak::new(),
            clock: self.clock,
            calls: 0,
            syncs: 0,
        }
    }

    /// Every changing call begins with this; `Err(true)` means that this one is the last and may be
    /// done in part.
    fn change(&mut self) -> Result<(), Fault> {
        if self.read_only {
            return Err(Fault::ReadOnly);
        }
        self.calls += 1;
        match &mut self.dies_in {
            Some(0) => Err(Fault::Dead),
            Some(n) => {
                *n -= 1;
                if *n == 0 { Err(Fault::Dying) } else { Ok(()) }
            }
            None => Ok(()),
        }
    }

    /// As `change`, for calls that are done whole or not at all.
    fn change_whole(&mut self) -> io::Result<()> {
        self.change().map_err(Fault::error)
    }

    fn used(&self) -> u64 {
        let bytes = |id: &u64| self.files[id].now().len() as u64;
        self.names.values().map(bytes).sum()
    }

    fn record(&mut self, change: Change) {
        apply(&mut self.names, &change);
        self.journal.push(change);
    }
}

enum Fault {
    ReadOnly,
    Dying,
    Dead,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Fault::ReadOnly => io::Error::from(io::ErrorKind::ReadOnlyFilesystem),
            Fault::Dying | Fault::Dead => {
                io::Error::new(io::ErrorKind::NotConnected, "the power is off")
            }
        }
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: &Change) {
    match change {
        Change::Put(name, id) => {
            names.retain(|_, other| other != id);
            names.insert(name.clone(), *id);
        }
        Change::Remove(name) => {
            names.remove(name);
        }
    }
}

impl Disk for SimDisk {
    fn lock(&self) -> io::Result<Box<dyn DirLock>> {
        let mut state = self.state();
        if state.lock.strong_count() > 0 {
            return Err(io::Error::from(io::ErrorKind::WouldBlock));
        }
        let guard = Arc::new(());
        state.lock = Arc::downgrade(&guard);
        Ok(Box::new(SimLock { _guard: guard }))
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let state = self.state();
        Ok(state
            .names
            .iter()
            .map(|(name, id)| (name.clone(), state.files[id].now().len() as u64))
            .collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.change_whole()?;
        if state
            .capacity
            .is_some_and(|capacity| state.used() + bytes > capacity)
        {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let id = state.next_file;
        state.next_file += 1;
        state.files.insert(id, Sectors::fresh(bytes));
        state.record(Change::Put(name.to_owned(), id));
        drop(state);
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state();
        let id = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let bytes = state.files[&id].now().len() as u64;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            id,
            bytes,
            name: name.to_owned(),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change_whole()?;
        let id = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.record(Change::Put(to.to_owned(), id));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change_whole()?;
        if !state.names.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        state.record(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.change_whole()?;
        state.durable_names = state.names.clone();
        state.journal.clear();
        Ok(())
    }

    fn wall_ns(&self) -> u64 {
        let mut state = self.state();
        state.clock += 1_000;
        state.clock
    }
}

struct SimLock {
    _guard: Arc<()>,
}

impl DirLock for SimLock {
    fn release(self: Box<Self>) {}
}

struct SimFile {
    disk: SimDisk,
    id: u64,
    bytes: u64,
    name: String,
}

impl DiskFile for SimFile {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut state = self.disk.state();
        let mut parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
        let fault = state.change().err();
        match &fault {
            None => {}
            Some(Fault::Dying) => {
                let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
                let mut left = state.rng.below(bytes + 1) as usize;
                for part in &mut parts {
                    *part = &part[..left.min(part.len())];
                    left -= part.len();
                }
            }
            Some(_) => parts.clear(),
        }
        let file = state
            .files
            .get_mut(&self.id)
            .expect("an open file is there");
        let wrote = file.write(offset, &parts);
        match fault {
            None => wrote,
            Some(fault) => Err(fault.error()),
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let state = self.disk.state();
        let end = offset + buffer.len() as u64;
        // By the name it was opened under, or has now.
        let bad = |name: &str| name == self.name || state.names.get(name) == Some(&self.id);
        if state
            .bad_reads
            .iter()
            .any(|(name, r)| bad(name) && r.start < end && offset < r.end)
        {
            return Err(io::Error::other("a bad block"));
        }
        let file = &state.files[&self.id];
        if !file.readable(offset, end) {
            return Err(io::Error::other("a bad sector"));
        }
        let found = file
            .now()
            .get(offset as usize..end as usize)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        while state.hold_syncs {
            state = self
                .disk
                .inner
                .gate
                .wait(state)
                .expect("nothing panics under this lock");
        }
        state.change_whole()?;
        state.syncs += 1;
        let fails = match &mut state.sync_fails_in {
            Some(0) => true,
            Some(n) => {
                *n -= 1;
                false
            }
            None => false,
        };
        let State {
            files,
            rng,
            sync_fails_in,
            ..
        } = &mut *state;
        let file = files.get_mut(&self.id).expect("an open file is there");
        if fails {
            *sync_fails_in = None;
            file.sync_failed(rng);
            return Err(io::Error::other("the device did not answer"));
        }
        file.sync();
        Ok(())
    }

    fn drop_cache(&self) {
        self.disk
            .state()
            .files
            .get_mut(&self.id)
            .expect("an open file is there")
            .drop_cache();
    }

    fn map(&self) -> io::Result<()> {
        Ok(())
    }

    fn view(&self, start: u64, end: u64) -> Option<Bytes> {
        let state = self.disk.state();
        let file = &state.files[&self.id];
        // A real page would end the process: here the reader is sent to the disk, and gets an error.
        if !file.readable(start, end) {
            return None;
        }
        let bytes = file.now().get(start as usize..end as usize);
        bytes.map(Bytes::copy_from_slice)
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimDisk")
            .field("names", &self.names())
            .finish_non_exhaustive()
    }
}
