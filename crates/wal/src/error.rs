//! What can go wrong, one enum an operation.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::{Identity, Lsn};

/// The log failed for good: a write or a sync returned an error. What was durable stays readable;
/// nothing more is acknowledged until the directory is opened anew.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the write-ahead log failed and takes nothing more until it is opened anew: {reason}")]
pub struct Failed {
    /// What the disk said.
    pub reason: Arc<str>,
}

/// Why a frame was not taken.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AppendError {
    /// The log failed; frames appended before and not durable are of unknown outcome.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The payload can never fit. Nothing was appended.
    #[error("a frame of {bytes} bytes is larger than the largest allowed, {max}")]
    TooLarge {
        /// What was offered.
        bytes: u64,
        /// What is allowed.
        max: u64,
    },
}

/// Why a log did not open. Nothing on disk was changed by a refusal.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process (or another handle in this one) has the directory open, or readers of a
    /// failed log in this process still hold its mapped bytes.
    #[error(
        "the directory is in use by another process, or by readers of a log that failed in this one"
    )]
    InUse,
    /// The directory was never formatted.
    #[error("the directory is not formatted (it has no wal.meta)")]
    NotFormatted,
    /// `wal.meta` is damaged.
    #[error("wal.meta is damaged: {0}")]
    MetaDamaged(&'static str),
    /// The directory belongs to another cluster, replica or incarnation.
    #[error("the directory belongs to {found:?}, not to {expected:?}")]
    Foreign {
        /// What was expected.
        expected: Identity,
        /// What `wal.meta` says.
        found: Identity,
    },
    /// A file of another log lies in the directory.
    #[error("{file} belongs to another log")]
    ForeignFile {
        /// The file.
        file: String,
    },
    /// A file was written by a newer version of this crate.
    #[error("{file} has format version {version}, newer than this program reads ({known})")]
    Newer {
        /// The file.
        file: String,
        /// Its version.
        version: u16,
        /// The newest that is known.
        known: u16,
    },
    /// The options make no sense.
    #[error("bad option: {0}")]
    BadOption(&'static str),
    /// The disk returned an error.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the disk said.
        source: io::Error,
    },
}

/// Why a directory was not formatted.
#[derive(Debug, Error)]
pub enum FormatError {
    /// There is a `wal.meta`, or a segment, already.
    #[error("the directory is formatted already")]
    AlreadyFormatted,
    /// Another process has it open.
    #[error("the directory is in use by another process")]
    InUse,
    /// The disk returned an error.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the disk said.
        source: io::Error,
    },
}

/// Why a frame or file could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// There is no frame at this place (never written, cut, or not the start of a frame).
    #[error("no frame begins at {0}")]
    NotFound(Lsn),
    /// The segment was retired, or never was.
    #[error("segment {0:x} is not here")]
    NoSegment(u64),
    /// The segment is not mapped: use the cold reads, on a thread that may block.
    #[error("segment {0:x} is not in the hot window")]
    NotHot(u64),
    /// The bytes do not fit their checksum.
    #[error("the bytes at {0} are damaged")]
    Corrupt(Lsn),
    /// A side file (annotation, checkpoint) is damaged.
    #[error("{0} is damaged")]
    CorruptFile(String),
    /// The disk returned an error.
    #[error("{what}: {source}")]
    Io {
        /// What was being read.
        what: String,
        /// What the disk said.
        source: io::Error,
    },
}

/// Why segments were not retired.
#[derive(Debug, Error)]
pub enum RetireError {
    /// The log failed.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The open segment, or one beyond it, cannot be retired.
    #[error("segment {0:x} is still being written")]
    Open(u64),
    /// The disk returned an error while unlinking; the next opening does it again.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the disk said.
        source: io::Error,
    },
}

/// Why a side file (annotation, checkpoint) was not written or removed. The older ones are as they
/// were.
#[derive(Debug, Error)]
pub enum SideError {
    /// Annotations belong to sealed segments.
    #[error("segment {0:x} is not sealed")]
    NotSealed(u64),
    /// The disk returned an error.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the disk said.
        source: io::Error,
    },
}
