//! The few things that the log asks of a disk.
//!
//! One directory, flat; files are created at their full size and never change it. [`RealDisk`]
//! stands on a directory of the operating system, [`SimDisk`](crate::sim::SimDisk) on memory with
//! the semantics of a power cut. All calls may block; the log makes them only on threads that may.

mod map;
mod real;

use std::any::Any;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;

pub use real::RealDisk;

/// One directory.
pub trait Disk: Send + Sync + 'static {
    /// Locks the directory against other processes and other handles in this one, until the guard
    /// is released or dropped.
    ///
    /// # Errors
    /// `WouldBlock` when somebody else holds it.
    fn lock(&self) -> io::Result<Box<dyn DirLock>>;

    /// The names and sizes of all files, in no order.
    ///
    /// # Errors
    /// What the disk says.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    /// Makes a file of `bytes` zero bytes with all its blocks allocated; one of this name is
    /// replaced.
    ///
    /// # Errors
    /// `StorageFull` when there is no room; then the file is not there.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that is there, for reading and writing.
    ///
    /// # Errors
    /// `NotFound`, or what the disk says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file, replacing another.
    ///
    /// # Errors
    /// What the disk says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; open handles and mapped bytes stay good.
    ///
    /// # Errors
    /// What the disk says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the directory's entries durable.
    ///
    /// # Errors
    /// What the disk says.
    fn sync_dir(&self) -> io::Result<()>;

    /// The wall clock, in nanoseconds since 1970; only written into headers for people to read.
    fn wall_ns(&self) -> u64 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos() as u64)
    }
}

/// One file of fixed size.
pub trait DiskFile: Send + Sync {
    /// Its size.
    fn bytes(&self) -> u64;

    /// Writes all parts, one behind the other, from `offset` on.
    ///
    /// # Errors
    /// What the disk says; then any part of it may have been written.
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` beyond the end, or what the disk says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// What the disk says. Nothing may be concluded from a later success.
    fn sync(&self) -> io::Result<()>;

    /// Asks that the next reads come from the device.
    fn drop_cache(&self);

    /// Prepares [`view`](DiskFile::view). Called once, before anything is written through this
    /// handle.
    ///
    /// # Errors
    /// What the disk says.
    fn map(&self) -> io::Result<()>;

    /// `start..end` of a mapped file, without a copy where possible. Only for bytes that were
    /// written and will never be written again.
    ///
    /// `None` when the file is not mapped or the range lies outside.
    fn view(&self, start: u64, end: u64) -> Option<Bytes>;
}

/// The lock on a directory. Dropped, it is freed when the last mapped byte of the directory is;
/// released, at once.
pub trait DirLock: Any + Send + Sync {
    /// Frees the lock at once.
    fn release(self: Box<Self>);
}
