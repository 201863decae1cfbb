//! A segmented, memory-mapped write-ahead log with group commit.
//!
//! An *owner* appends frames and gets their places ([`Lsn`]) at once; threads of the log's own write
//! them into the page cache and sync them, one sync at a time, each covering all that was written
//! before it began. [`Wal::durable`] says how far that got, and `notify` that it moved. Copying goes
//! on while a sync runs, so that batches grow with the load and a lone append waits for nothing but
//! its own sync.
//!
//! The crate knows files and nothing of what the frames mean. A frame is a payload with three numbers
//! of the owner's (`group`, `tag`, `aux`), which survive in an index when the payload does not.
//!
//! ```no_run
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use paxlog_wal::{Disk, FrameMeta, Identity, Options, RealDisk, Wal, format};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk: Arc<dyn Disk> = Arc::new(RealDisk::new("/var/lib/example")?);
//! let identity = Identity { cluster: 1, replica: 1, wal_id: 0x5eed };
//! format(&*disk, identity)?; // once
//! let (wal, recovered) = Wal::open(disk, Options::new(identity))?;
//! assert!(recovered.damaged.is_empty());
//! let lsn = wal.append(FrameMeta::data(0, 1, 0), &[Bytes::from_static(b"a record")])?;
//! wal.wait_durable(lsn)?;
//! assert_eq!(&wal.read(lsn)?[..], b"a record");
//! wal.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! * What lies below `durable()` is there after any crash, byte for byte, or the next opening says
//!   that it is [`Damaged`]. It never says that it was not there.
//! * What an opening cut is gone for good; nothing of it comes back later.
//! * An honest crash is never called damage.
//! * The first failed write or sync is final ([`Health::Failed`]): nothing is tried again, since a
//!   second sync may report success for pages that the first one dropped.
//!
//! How it tells a torn end from damage, and what is assumed of the disk, is written down in
//! `docs/wal-format.md`, with every byte of the format.
//!
//! # Threads
//!
//! One thread appends ([`append`](Wal::append), or [`enqueue`](Wal::enqueue) and one
//! [`flush`](Wal::flush) a turn; [`state`](Wal::state)); these never touch the disk. So does
//! [`read`](Wal::read), which serves the newest two segments from the map without a copy; its bytes
//! stay good for as long as they are held, also after the segment was retired and unlinked. Everything else
//! that reads or writes blocks and belongs on another thread.
//!
//! Mapped pages count as resident memory of the process. A device that fails under a mapped page
//! ends the process with SIGBUS, which is better than invented bytes.
//!
//! # Without a disk, without threads
//!
//! The log stands on a small trait, [`Disk`]. [`sim::SimDisk`] is one in memory that loses power on
//! demand; with [`Driver::Caller`] the log has no threads and moves only when it is driven, so that
//! one seed gives one run.

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
