//! Looking at a directory without changing it, for `paxlog wal verify` and `paxlog wal dump`.

use std::io;
use std::path::Path;

use thiserror::Error;

use crate::disk::{Disk, RealDisk};
use crate::error::OpenError;
use crate::frame::{FrameInfo, Kind};
use crate::lsn::Lsn;
use crate::meta::identify;
use crate::opening::scan::Item;
use crate::opening::survey::{Mode, Survey, survey};
use crate::opening::walk::{Content, End, Segment};
use crate::options::Identity;
use crate::recovered::{Blemish, Damaged};
use crate::segment::{annotation_name, checkpoint_name};
use crate::side::{self, SideFault, SideKind};

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
    let disk = RealDisk::read_only(dir).map_err(|source| InspectError::Io {
        what: format!("opening {}", dir.display()),
        source,
    })?;
    let in_use = disk.is_locked();
    dump_disk(&disk, in_use)
}

/// As [`dump`], for any disk.
///
/// # Errors
/// As [`dump`].
pub fn dump_disk(disk: &dyn Disk, in_use: bool) -> Result<Dump, InspectError> {
    let identity = identify(disk)?.ok_or(OpenError::NotFormatted)?;
    let s = survey(disk, identity, Mode::Look)?;
    let (side_files, side_files_damaged) = side_files(disk, &s, identity);

    let mut segments = Vec::new();
    let mut frames = Vec::new();
    for (segment, kept) in &s.segments {
        let keeps = |lsn| kept.frames.binary_search_by_key(&lsn, |f| f.lsn).is_ok();
        dump_segment(&s, segment, false, &keeps, &mut segments, &mut frames);
    }
    for (segment, _) in &s.left_over {
        if let Some(segment) = segment {
            dump_segment(&s, segment, true, &|_| false, &mut segments, &mut frames);
        }
    }
    segments.sort_by_key(|g| g.seq);
    frames.sort_by_key(|f| f.frame.lsn);

    let owned = || {
        frames
            .iter()
            .filter(|f| f.kept && f.frame.kind == Kind::Data)
    };
    let end = match s.end {
        End::Open { at, .. } => at,
        End::Lost { segment } => {
            let (g, _) = &s.segments[segment];
            Lsn::at(g.seq, g.size)
        }
        End::Nowhere => Lsn::ZERO,
    };
    let verdict = if !s.damaged.is_empty() || s.end_lost || s.promise_may_be_lost {
        Verdict::Damaged
    } else if !s.blemishes.is_empty() || !side_files_damaged.is_empty() {
        Verdict::Blemished
    } else {
        Verdict::Clean
    };
    let report = VerifyReport {
        identity,
        in_use,
        frames: frames.iter().filter(|f| f.kept).count() as u64,
        data_frames: owned().count() as u64,
        data_bytes: owned().map(|f| f.frame.len as u64).sum(),
        segments,
        end,
        durable: s.durable,
        cut: s.cut,
        damaged: s.damaged,
        blemishes: s.blemishes,
        end_lost: s.end_lost,
        promise_may_be_lost: s.promise_may_be_lost,
        side_files_damaged,
        side_files,
        verdict,
    };
    Ok(Dump { report, frames })
}

fn dump_segment(
    s: &Survey,
    segment: &Segment,
    left_over: bool,
    keeps: &dyn Fn(Lsn) -> bool,
    segments: &mut Vec<DumpedSegment>,
    frames: &mut Vec<DumpedFrame>,
) {
    let before = frames.len();
    if let Content::Scanned { items } = &segment.content {
        for item in items {
            if let Item::Frame {
                header,
                payload_good,
                ..
            } = item
            {
                let seal = segment.trailer.is_some_and(|t| t.index == header.lsn);
                frames.push(DumpedFrame {
                    frame: header.info(),
                    durable: header.durable,
                    pcrc: header.pcrc,
                    kept: keeps(header.lsn) || (seal && !left_over),
                    payload_good: *payload_good,
                });
            }
        }
    }
    let header = s.headers.get(&segment.seq);
    segments.push(DumpedSegment {
        seq: segment.seq,
        prev_seq: header.map(|h| h.prev_seq),
        bytes: segment.size,
        sealed: segment.trailer.is_some(),
        next_seq: segment.trailer.map(|t| t.next_seq),
        created_ns: header.map_or(0, |h| h.created_ns),
        frames: frames[before..].iter().filter(|f| f.payload_good).count() as u64,
        annotated: s.annotations.contains(&segment.seq),
        left_over,
    });
}

/// How many side files are whole, and the names of those that are not.
fn side_files(disk: &dyn Disk, s: &Survey, identity: Identity) -> (usize, Vec<String>) {
    let annotations = s
        .annotations
        .iter()
        .map(|&n| (annotation_name(n), SideKind::Annotation, n));
    let checkpoints = s
        .checkpoints
        .iter()
        .map(|&n| (checkpoint_name(n), SideKind::Checkpoint, n));
    let mut good = 0;
    let mut damaged = Vec::new();
    for (name, kind, number) in annotations.chain(checkpoints) {
        match side::read(disk, &name, kind, number) {
            Ok((wal_id, _)) if wal_id == identity.wal_id => good += 1,
            // Removed while it was looked at, by whoever has the directory open.
            Err(SideFault::Missing) => {}
            _ => damaged.push(name),
        }
    }
    (good, damaged)
}
