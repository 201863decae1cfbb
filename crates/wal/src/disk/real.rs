//! A directory of the operating system.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use bytes::Bytes;
use rustix::fs::{
    Advice, FallocateFlags, FlockOperation, Mode, OFlags, fadvise, fallocate, fdatasync, flock,
    fsync, openat, renameat, unlinkat,
};

use super::{DirLock, Disk, DiskFile, map};

/// A directory of the operating system.
pub struct RealDisk {
    path: PathBuf,
    dir: File,
    read_only: bool,
    /// The lock while it is held, so that files opened meanwhile keep it alive (see [`DirLock`]).
    lock: Mutex<Weak<File>>,
}

impl RealDisk {
    /// The directory at `path`, which must exist.
    ///
    /// # Errors
    /// When it does not, or is no directory.
    pub fn new(path: impl AsRef<Path>) -> io::Result<RealDisk> {
        RealDisk::with(path.as_ref(), false)
    }

    /// As [`new`](RealDisk::new); every call that would change something fails.
    ///
    /// # Errors
    /// As `new`.
    pub fn read_only(path: impl AsRef<Path>) -> io::Result<RealDisk> {
        RealDisk::with(path.as_ref(), true)
    }

    fn with(path: &Path, read_only: bool) -> io::Result<RealDisk> {
        let dir = File::open(path)?;
        if !dir.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        Ok(RealDisk {
            path: path.to_owned(),
            dir,
            read_only,
            lock: Mutex::new(Weak::new()),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether another handle holds the lock. Changes nothing, not even the lock file.
    pub fn is_locked(&self) -> bool {
        let Ok(fd) = openat(
            &self.dir,
            "LOCK",
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        ) else {
            return false;
        };
        match flock(&fd, FlockOperation::NonBlockingLockShared) {
            Ok(()) => false,
            Err(e) => e == rustix::io::Errno::WOULDBLOCK,
        }
    }

    fn writable(&self) -> io::Result<()> {
        if self.read_only {
            Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
        } else {
            Ok(())
        }
    }

    fn file(&self, file: File) -> io::Result<Arc<dyn DiskFile>> {
        let bytes = file.metadata()?.len();
        let keep = self
            .lock
            .lock()
            .expect("nothing panics under this lock")
            .upgrade();
        Ok(Arc::new(RealFile {
            file: Arc::new(file),
            bytes,
            map: OnceLock::new(),
            keep,
        }))
    }
}

impl std::fmt::Debug for RealDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RealDisk").field(&self.path).finish()
    }
}

impl Disk for RealDisk {
    fn lock(&self) -> io::Result<Box<dyn DirLock>> {
        self.writable()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let file = File::from(openat(
            &self.dir,
            "LOCK",
            flags,
            Mode::from_raw_mode(0o600),
        )?);
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let file = Arc::new(file);
        *self.lock.lock().expect("nothing panics under this lock") = Arc::downgrade(&file);
        Ok(Box::new(RealLock(file)))
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            // Names that are no UTF-8 are none of ours.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            match entry.metadata() {
                Ok(meta) if meta.is_file() => found.push((name, meta.len())),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.writable()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = File::from(openat(&self.dir, name, flags, Mode::from_raw_mode(0o600))?);
        let made = match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => self.file(file),
            // A file system without fallocate: zeros are blocks too.
            Err(rustix::io::Errno::OPNOTSUPP) => {
                write_zeros(&file, bytes).and_then(|()| self.file(file))
            }
            Err(e) => Err(e.into()),
        };
        if made.is_err() {
            let _ = self.remove(name);
        }
        made
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let access = if self.read_only {
            OFlags::RDONLY
        } else {
            OFlags::RDWR
        };
        self.file(File::from(openat(
            &self.dir,
            name,
            access | OFlags::CLOEXEC,
            Mode::empty(),
        )?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.writable()?;
        Ok(renameat(&self.dir, from, &self.dir, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.writable()?;
        let name = CString::new(name).map_err(io::Error::other)?;
        Ok(unlinkat(&self.dir, name, rustix::fs::AtFlags::empty())?)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.writable()?;
        Ok(fsync(&self.dir)?)
    }
}

fn write_zeros(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        let n = (bytes - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..n as usize], at)?;
        at += n;
    }
    Ok(())
}

struct RealLock(Arc<File>);

impl DirLock for RealLock {
    fn release(self: Box<Self>) {
        let _ = flock(&*self.0, FlockOperation::Unlock);
    }
}

struct RealFile {
    file: Arc<File>,
    bytes: u64,
    map: OnceLock<Bytes>,
    keep: Option<Arc<File>>,
}

impl DiskFile for RealFile {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn write_at(&self, mut offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        // Linux takes 1,024 parts a call.
        for parts in parts.chunks(1024) {
            let bytes: usize = parts.iter().map(|p| p.len()).sum();
            let mut done = retry(|| rustix::io::pwritev(&self.file, parts, offset))?;
            // A short write: the rest part by part.
            while done < bytes {
                let mut skip = done;
                let rest = parts
                    .iter()
                    .find_map(|p| {
                        if skip < p.len() {
                            return Some(&p[skip..]);
                        }
                        skip -= p.len();
                        None
                    })
                    .expect("done < bytes");
                let n = retry(|| rustix::io::pwrite(&self.file, rest, offset + done as u64))?;
                if n == 0 {
                    return Err(io::Error::from(io::ErrorKind::WriteZero));
                }
                done += n;
            }
            offset += bytes as u64;
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(fdatasync(&self.file)?)
    }

    fn drop_cache(&self) {
        let _ = fadvise(&self.file, 0, None, Advice::DontNeed);
    }

    fn map(&self) -> io::Result<()> {
        if self.map.get().is_none() {
            let map = map::map(
                &self.file,
                self.bytes,
                (self.file.clone(), self.keep.clone()),
            )?;
            let _ = self.map.set(map);
        }
        Ok(())
    }

    fn view(&self, start: u64, end: u64) -> Option<Bytes> {
        let map = self.map.get()?;
        if start > end || end > self.bytes {
            return None;
        }
        Some(map.slice(start as usize..end as usize))
    }
}

fn retry(mut call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
            Ok(n) => return Ok(n),
        }
    }
}
