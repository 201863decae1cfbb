//! What an opening found.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::Disk;
use crate::error::ReadError;
use crate::frame::FrameInfo;
use crate::lsn::Lsn;

/// What [`Wal::open`](crate::Wal::open) found in the directory.
#[derive(Clone)]
pub struct Recovered {
    /// Nothing of the owner was ever stored here: no state, no frame, and no damage that could
    /// hide one.
    pub blank: bool,
    /// The owner's newest small state, or `None` when it never stored one (or all copies are
    /// damaged).
    pub state: Option<Bytes>,
    /// Every valid STATE payload that was read, oldest first, also from beyond a cut. Where a
    /// state only ever grows (a promised ballot), the highest of all counts.
    pub all_states: Vec<Bytes>,
    /// The segments that hold frames, oldest first.
    pub segments: Vec<RecoveredSegment>,
    /// Synced frames that cannot be read any more, in order. Never empty space, never a torn end:
    /// something was here and was acknowledged.
    pub damaged: Vec<Damaged>,
    /// Damage that cost no frame (a header, an index, a trailer), in words.
    pub blemishes: Vec<Blemish>,
    /// The successor of the last sealed segment is gone, and acknowledged frames may be with it.
    pub end_lost: bool,
    /// Both copies of a STATE newer than `state` may be lost.
    pub promise_may_be_lost: bool,
    /// Where a torn end was cut, if anything was: frames from here on were never reported durable
    /// and are gone for good.
    pub cut: Option<Lsn>,
    pub(crate) scanned: BTreeMap<u64, Arc<Vec<FrameInfo>>>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) wal: u32,
}

impl Recovered {
    /// The frames of one recovered segment, in order, without those that are damaged. Reads the
    /// segment's INDEX when the opening did not scan it; blocks.
    ///
    /// Owners look for [`Kind::Data`](crate::Kind::Data) and read payloads with
    /// [`Wal::read_cold`](crate::Wal::read_cold), or their first bytes with
    /// [`Wal::read_head`](crate::Wal::read_head).
    ///
    /// # Errors
    /// [`ReadError`] when there is no such segment or its INDEX cannot be read.
    pub fn frames(&self, seq: u64) -> Result<Arc<Vec<FrameInfo>>, ReadError> {
        if let Some(frames) = self.scanned.get(&seq) {
            return Ok(frames.clone());
        }
        if !self.segments.iter().any(|s| s.seq == seq) {
            return Err(ReadError::NoSegment(seq));
        }
        crate::seal::read_index(&*self.disk, seq, self.wal).map(Arc::new)
    }
}

impl std::fmt::Debug for Recovered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recovered")
            .field("blank", &self.blank)
            .field("state", &self.state.as_ref().map(Bytes::len))
            .field("segments", &self.segments)
            .field("damaged", &self.damaged)
            .field("blemishes", &self.blemishes)
            .field("end_lost", &self.end_lost)
            .field("promise_may_be_lost", &self.promise_may_be_lost)
            .field("cut", &self.cut)
            .finish_non_exhaustive()
    }
}

/// A segment that holds frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredSegment {
    /// Its number.
    pub seq: u64,
    /// Its file's size.
    pub bytes: u64,
    /// Whether the owner's annotation is there (not whether it is whole).
    pub annotated: bool,
    /// Whether its frames were read and checked, rather than trusted to its INDEX.
    pub scanned: bool,
}

/// A place whose synced bytes cannot be read any more. A known `group`, `tag` and `aux` come from
/// the frame's own header, else from the segment's INDEX; unknown ones mean that any frame of any
/// group may have been here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Where it begins.
    pub lsn: Lsn,
    /// How many bytes of the segment it covers, padding and headers included.
    pub len: Option<u64>,
    /// The owner's group.
    pub group: Option<u32>,
    /// The owner's tag.
    pub tag: Option<u64>,
    /// The owner's further number.
    pub aux: Option<u64>,
}

/// Damage that cost no frame: the log repaired it, or does without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blemish {
    /// Where.
    pub lsn: Lsn,
    /// What, in words.
    pub what: &'static str,
}
