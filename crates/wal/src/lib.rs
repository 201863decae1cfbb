//! A segmented, memory-mapped write-ahead log with group commit.
//!
//! An *owner* appends frames and gets a place ([`Lsn`]) at once; threads of the log's own write
//! them into the page cache and sync them, one sync at a time, each covering all that was written
//! before it began. `durable()` says how far that got.
//!
//! The crate knows files and nothing of what the frames mean: a frame is a payload with three
//! numbers of the owner's (`group`, `tag`, `aux`), which survive in an index when the payload does
//! not.

mod core;
mod disk;
mod error;
mod frame;
mod inspect;
mod lsn;
mod meta;
mod observe;
mod opening;
mod options;
mod recovered;
mod seal;
mod segment;
mod shared;
mod side;
pub mod sim;
mod threads;
mod wal;
mod write;

pub use disk::{DirLock, Disk, DiskFile, RealDisk};
pub use error::{AppendError, Failed, FormatError, OpenError, ReadError, RetireError, SideError};
pub use frame::{FrameInfo, FrameMeta, Kind};
pub use inspect::{
    Dump, DumpedFrame, DumpedSegment, InspectError, Verdict, VerifyReport, dump, dump_disk, verify,
};
pub use lsn::Lsn;
pub use meta::{format, identify};
pub use observe::{NoObserver, Observer, SegmentCounts, SyncReport};
pub use options::{Driver, Identity, Options};
pub use recovered::{Blemish, Damaged, Recovered, RecoveredSegment};
pub use shared::Task;
pub use wal::{Health, SegmentInfo, Wal};
