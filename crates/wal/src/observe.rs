//! Measurements, handed to the owner as they happen.
//!
//! A trait instead of a global facade, because several replicas may share a process and each keeps
//! its own registry.

use std::time::Duration;

/// Takes the log's measurements. Every method has an empty default; all are called on the log's
/// threads and must be short.
pub trait Observer: Send + Sync {
    /// A sync ended well.
    fn synced(&self, _: &SyncReport) {}

    /// A sync took longer than `sync_slow`.
    fn sync_slow(&self, _took: Duration) {}

    /// A write or sync has been running for longer than `sync_stalled`; told once for each.
    fn stalled(&self, _running: Duration) {}

    /// A batch of frames went into the page cache.
    fn wrote(&self, _frames: u64, _bytes: u64, _took: Duration) {}

    /// The number of segments or spares changed.
    fn segments(&self, _: &SegmentCounts) {}

    /// The log failed for good.
    fn failed(&self, _reason: &str) {}

    /// A segment or spare could not be made (tried again later).
    fn prepare_failed(&self, _reason: &str) {}

    /// A read found bytes that their checksum does not fit.
    fn corrupt(&self) {}
}

/// One sync that ended well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// From its start to its end.
    pub took: Duration,
    /// Bytes it made durable, headers and padding included.
    pub bytes: u64,
    /// Frames it made durable.
    pub frames: u64,
    /// Files it synced: more than one when a roll lies between.
    pub files: u32,
}

/// How many files there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentCounts {
    /// Segments with frames that still count, the open one included.
    pub live: u64,
    /// Empty segments: the next one and the spares.
    pub ready: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// An observer that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}
