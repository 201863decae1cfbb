//! Opening a directory: survey it, make a new segment, seal what was there, remove what is left over.
//!
//! The order matters, because an opening may be cut short at any step and is then done again:
//!
//! 1. the new successor is activated (its header says that all below the end was synced: it was,
//!    by the survey);
//! 2. the segment with the end gets its INDEX and a trailer that names the new successor, headers of
//!    dropped frames behind it are wiped, and it is synced;
//! 3. what another trailer would have named, what lies beyond the end and what was retired is
//!    removed.
//!
//! Nothing is ever appended to a segment that was opened.

pub(crate) mod scan;
pub(crate) mod survey;
pub(crate) mod verdict;
pub(crate) mod walk;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::core::{Core, Start};
use crate::disk::{DirLock, Disk, DiskFile};
use crate::error::OpenError;
use crate::frame::{FrameHeader, HEADER, Kind, frame_bytes};
use crate::lsn::Lsn;
use crate::meta::identify;
use crate::options::Options;
use crate::recovered::{Recovered, RecoveredSegment};
use crate::seal::{Entry, TRAILER};
use crate::segment::{SegmentHeader, annotation_name, segment_name, spare_name};
use crate::write::write_seal;

use scan::Item;
use survey::{Mode, Survey, survey};
use walk::{Content, End};

/// What an opening leaves.
pub(crate) struct Opened {
    pub(crate) lock: Box<dyn DirLock>,
    pub(crate) core: Core,
    /// The new segment.
    pub(crate) seq: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Older live segments: size, end of frames.
    pub(crate) sealed: BTreeMap<u64, (u64, Lsn)>,
    pub(crate) annotated: Vec<u64>,
    pub(crate) spares: VecDeque<(u64, Arc<dyn DiskFile>)>,
    pub(crate) spare_number: u64,
    pub(crate) recovered: Recovered,
}

/// Opens a directory.
pub(crate) fn open(disk: &Arc<dyn Disk>, options: &Options) -> Result<Opened, OpenError> {
    let size = options.segment_bytes;
    if !(16 << 10..=1 << 30).contains(&size) || !size.is_multiple_of(4096) {
        return Err(OpenError::BadOption(
            "segment_bytes must be a multiple of 4 KiB from 16 KiB to 1 GiB",
        ));
    }
    let found = identify(&**disk)?.ok_or(OpenError::NotFormatted)?;
    if found != options.identity {
        return Err(OpenError::Foreign {
            expected: options.identity,
            found,
        });
    }
    let lock = disk.lock().map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse,
        _ => OpenError::Io {
            what: "locking the directory".into(),
            source,
        },
    })?;
    match open_locked(disk, options) {
        Ok(opened) => Ok(opened(lock)),
        Err(e) => {
            lock.release();
            Err(e)
        }
    }
}

type Finish = Box<dyn FnOnce(Box<dyn DirLock>) -> Opened>;

fn open_locked(disk: &Arc<dyn Disk>, options: &Options) -> Result<Finish, OpenError> {
    let identity = options.identity;
    let io = |what: String| move |source| OpenError::Io { what, source };
    let sync_dir = || disk.sync_dir().map_err(io("syncing the directory".into()));
    sync_dir()?;
    let mut s = survey(&**disk, identity, Mode::Settle)?;
    let seq = s.seq_max + 1;
    if seq >= u32::MAX as u64 {
        return Err(OpenError::Io {
            what: "starting a segment".into(),
            source: io::Error::other("all sequence numbers are used up"),
        });
    }
    let wal = identity.wal_id as u32;

    // Whatever was being written aside; first, since its names and its room are needed.
    for name in &s.temporaries {
        disk.remove(name).map_err(io(format!("removing {name}")))?;
    }

    // 1. The new successor.
    let mut spare_number = s.spares.last().map_or(0, |&(n, _)| n) + 1;
    let mut spares = VecDeque::new();
    for &(number, bytes) in &s.spares {
        let name = spare_name(number);
        if bytes == options.segment_bytes {
            spares.push_back((
                number,
                disk.open(&name).map_err(io(format!("opening {name}")))?,
            ));
        } else {
            disk.remove(&name).map_err(io(format!("removing {name}")))?;
        }
    }
    let (number, file) = match spares.pop_front() {
        Some(spare) => spare,
        None => {
            let file = make_spare(&**disk, spare_number, options.segment_bytes)
                .map_err(io("allocating a segment".into()))?;
            spare_number += 1;
            (spare_number - 1, file)
        }
    };
    let prev_seq = s.segments.last().map_or(0, |(g, _)| g.seq);
    let end = match s.end {
        End::Open { at, .. } => at,
        End::Lost { .. } | End::Nowhere => s.durable,
    };
    let header = SegmentHeader {
        identity,
        flags: 0,
        seq,
        prev_seq,
        size: options.segment_bytes,
        durable: end,
        created_ns: disk.wall_ns(),
    };
    activate(&**disk, number, &*file, &header)
        .map_err(io(format!("activating {}", segment_name(seq))))?;

    // 2. The seal.
    let prev = seal(&**disk, &s, wal, seq)?;

    // 3. What is left over, newest first and one after the other: a segment must not outlive the
    // predecessor whose trailer would tell that it was cut off.
    let mut gone: Vec<u64> = s.left_over.iter().map(|(_, seq)| *seq).collect();
    gone.sort();
    for seq in gone.iter().rev() {
        let name = segment_name(*seq);
        disk.remove(&name).map_err(io(format!("removing {name}")))?;
        sync_dir()?;
    }
    for &of in s.annotations.iter().filter(|of| !s.live.contains(of)) {
        let name = annotation_name(of);
        disk.remove(&name).map_err(io(format!("removing {name}")))?;
    }
    sync_dir()?;

    let lost = s.promise_may_be_lost || s.end_lost;
    let core = Core::new(Start {
        wal,
        segment_bytes: options.segment_bytes,
        seq,
        prev,
        state: s.state.clone(),
        lost,
        live: std::mem::take(&mut s.live),
    });
    file.map()
        .map_err(io(format!("mapping {}", segment_name(seq))))?;
    let sealed = sealed_ends(&s);
    let annotated: Vec<u64> = s
        .annotations
        .iter()
        .copied()
        .filter(|of| sealed.contains_key(of))
        .collect();
    let recovered = recovered(s, disk.clone(), wal);
    Ok(Box::new(move |lock| Opened {
        lock,
        core,
        seq,
        file,
        sealed,
        annotated,
        spares,
        spare_number,
        recovered,
    }))
}

/// Makes a spare: allocated, synced, renamed, directory synced.
pub(crate) fn make_spare(
    disk: &dyn Disk,
    number: u64,
    bytes: u64,
) -> io::Result<Arc<dyn DiskFile>> {
    let name = spare_name(number);
    let aside = format!("{name}.tmp");
    let file = disk.create(&aside, bytes)?;
    file.sync()?;
    disk.rename(&aside, &name)?;
    disk.sync_dir()?;
    Ok(file)
}

/// Makes a spare the segment that `header` says, durably.
pub(crate) fn activate(
    disk: &dyn Disk,
    spare: u64,
    file: &dyn DiskFile,
    header: &SegmentHeader,
) -> io::Result<()> {
    file.write_at(0, &[IoSlice::new(&header.encode())])?;
    file.sync()?;
    disk.rename(&spare_name(spare), &segment_name(header.seq))?;
    disk.sync_dir()
}

/// Seals the segment in which the log ends. Returns hcrc of its INDEX, which the next frame chains to.
fn seal(disk: &dyn Disk, s: &Survey, wal: u32, next_seq: u64) -> Result<u32, OpenError> {
    let (segment, at) = match s.end {
        End::Nowhere => return Ok(0),
        End::Open { segment, at } => (segment, at),
        // Sealed already, by a trailer whose successor is gone: it must name the new one, or the
        // next opening would take the new one for a left-over.
        End::Lost { segment } => {
            let (g, _) = &s.segments[segment];
            let at = g
                .trailer
                .map_or_else(|| Lsn::at(g.seq, g.size - TRAILER), |t| t.index);
            if let Some(mut trailer) = g.trailer {
                trailer.next_seq = next_seq;
                let name = segment_name(g.seq);
                let io = |what: &str| {
                    let what = format!("{what} {name}");
                    move |source| OpenError::Io { what, source }
                };
                let file = disk.open(&name).map_err(io("opening"))?;
                file.write_at(g.size - TRAILER, &[IoSlice::new(&trailer.encode())])
                    .map_err(io("sealing"))?;
                file.sync().map_err(io("syncing"))?;
                return Ok(s.last_hcrc);
            }
            (segment, at)
        }
    };
    let (g, kept) = &s.segments[segment];
    let name = segment_name(g.seq);
    let io = |what: &str| {
        let what = format!("{what} {name}");
        move |source| OpenError::Io { what, source }
    };
    let mut index = Vec::new();
    kept.entries.iter().for_each(|e| e.encode(&mut index));
    let end = at.offset() + frame_bytes(index.len() as u64);
    if end > g.size - TRAILER {
        // Every append leaves room for this, so the file is not as it was made. It stays unsealed:
        // the promises of its successor make every later opening call what is missing damage.
        tracing::warn!(file = name, "no room for an INDEX: the file was cut short");
        return Ok(s.last_hcrc);
    }
    let mut header = FrameHeader {
        hcrc: 0,
        kind: Kind::Index,
        flags: 0,
        lsn: at,
        durable: at,
        tag: 0,
        group: 0,
        len: index.len() as u32,
        pcrc: crc32c::crc32c(&index),
        prev: s.last_hcrc,
        aux: 0,
        wal,
    };
    let bytes = header.encode();
    let file = disk.open(&name).map_err(io("opening"))?;
    // Dropped frames must not be found again, should this INDEX ever be damaged.
    if let Content::Scanned { items } = &g.content {
        for item in items.iter().filter(|i| matches!(i, Item::Frame { .. })) {
            let offset = item.at().offset();
            if offset >= end && offset + HEADER <= g.size - TRAILER {
                file.write_at(offset, &[IoSlice::new(&[0; HEADER as usize])])
                    .map_err(io("wiping"))?;
            }
        }
    }
    write_seal(&*file, at, &bytes, &index, g.size, next_seq, 1).map_err(io("sealing"))?;
    file.sync().map_err(io("syncing"))?;
    Ok(header.hcrc)
}

/// Size and end of frames of each segment that stays.
fn sealed_ends(s: &Survey) -> BTreeMap<u64, (u64, Lsn)> {
    let ends = s.segments.iter().enumerate().map(|(i, (g, _))| {
        let end = match s.end {
            End::Open { segment, at } if segment == i => at,
            _ => g.trailer.map_or(Lsn::at(g.seq, g.size), |t| t.index),
        };
        (g.seq, (g.size, end))
    });
    ends.collect()
}

fn recovered(s: Survey, disk: Arc<dyn Disk>, wal: u32) -> Recovered {
    let mut scanned = BTreeMap::new();
    let mut segments = Vec::new();
    let mut owned = !s.all_states.is_empty();
    for (g, kept) in s.segments {
        let by_scan = matches!(g.content, Content::Scanned { .. });
        owned |= kept
            .entries
            .iter()
            .any(|e| !matches!(e, Entry::Frame(f) if f.kind != Kind::Data));
        segments.push(RecoveredSegment {
            seq: g.seq,
            bytes: g.size,
            annotated: s.annotations.contains(&g.seq),
            scanned: by_scan,
        });
        if by_scan {
            scanned.insert(g.seq, Arc::new(kept.frames));
        }
    }
    let blank = !owned && s.damaged.is_empty() && !s.end_lost && !s.promise_may_be_lost;
    Recovered {
        blank,
        state: s.state,
        all_states: s.all_states,
        segments,
        damaged: s.damaged,
        blemishes: s.blemishes,
        end_lost: s.end_lost,
        promise_may_be_lost: s.promise_may_be_lost,
        cut: s.cut,
        scanned,
        disk,
        wal,
    }
}
