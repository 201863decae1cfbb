//! A directory on a device that can be made to hang, fail, or be full.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use paxlog_wal::{DirLock, Disk, DiskFile, RealDisk};

#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Syncs do not return.
    pub(crate) hang: bool,
    /// Syncs return an error.
    pub(crate) fail: bool,
    /// There is no room for new files.
    pub(crate) full: bool,
}

#[derive(Clone)]
pub(crate) struct Faulty {
    disk: Arc<RealDisk>,
    faults: Arc<(Mutex<Faults>, Condvar)>,
}

impl Faulty {
    pub(crate) fn new(dir: &Path) -> Faulty {
        Faulty {
            disk: Arc::new(RealDisk::new(dir).expect("a directory")),
            faults: Arc::default(),
        }
    }

    pub(crate) fn set(&self, faults: Faults) {
        *self.faults.0.lock().expect("not poisoned") = faults;
        self.faults.1.notify_all();
    }

    fn sync(&self) -> io::Result<()> {
        let mut faults = self.faults.0.lock().expect("not poisoned");
        while faults.hang {
            faults = self.faults.1.wait(faults).expect("not poisoned");
        }
        if faults.fail {
            return Err(io::Error::other("the device is gone"));
        }
        Ok(())
    }

    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile {
            file,
            disk: self.clone(),
        })
    }
}

impl Disk for Faulty {
    fn lock(&self) -> io::Result<Box<dyn DirLock>> {
        self.disk.lock()
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.disk.list()
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        if self.faults.0.lock().expect("not poisoned").full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.disk.create(name, bytes).map(|file| self.wrap(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name).map(|file| self.wrap(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.sync()?;
        self.disk.sync_dir()
    }
}

struct FaultyFile {
    file: Arc<dyn DiskFile>,
    disk: Faulty,
}

impl DiskFile for FaultyFile {
    fn bytes(&self) -> u64 {
        self.file.bytes()
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.file.write_at(offset, parts)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, buffer)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync()?;
        self.file.sync()
    }

    fn drop_cache(&self) {
        self.file.drop_cache();
    }

    fn map(&self) -> io::Result<()> {
        self.file.map()
    }

    fn view(&self, start: u64, end: u64) -> Option<Bytes> {
        self.file.view(start, end)
    }
}
