//! Reading a directory and deciding what it holds. Changes nothing but caches.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;

use crate::disk::{Disk, DiskFile};
use crate::error::OpenError;
use crate::frame::{FIRST, FLAG_OWNED, FrameHeader, FrameInfo, HEADER, Kind};
use crate::lsn::Lsn;
use crate::options::Identity;
use crate::recovered::{Blemish, Damaged};
use crate::seal::{Entry, TRAILER, Trailer, decode_ranges, read_index_frame};
use crate::segment::{HeaderFound, Name, SegmentHeader, VERSION, segment_name};

use super::scan::{Item, scan};
use super::walk::{Content, End, Kept, Segment, Walked, walk};
use crate::core::FLAG_LOST;

/// How thoroughly to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For an opening: what may not be on the disk yet is synced and read from the disk; what
    /// certainly is, is trusted to its INDEX.
    Settle,
    /// For a look from outside: nothing is touched, everything is read.
    Look,
}

/// What a directory holds.
pub(crate) struct Survey {
    /// The segments that stay, oldest first, with what is kept of each.
    pub(crate) segments: Vec<(Segment, Kept)>,
    pub(crate) headers: BTreeMap<u64, SegmentHeader>,
    pub(crate) end: End,
    pub(crate) cut: Option<Lsn>,
    pub(crate) last_hcrc: u32,
    pub(crate) durable: Lsn,
    pub(crate) damaged: Vec<Damaged>,
    pub(crate) blemishes: Vec<Blemish>,
    pub(crate) end_lost: bool,
    pub(crate) promise_may_be_lost: bool,
    /// Newest state of the owner's, and every one that is whole.
    pub(crate) state: Option<Bytes>,
    pub(crate) all_states: Vec<Bytes>,
    /// What must exist, segments that are missing included.
    pub(crate) live: BTreeSet<u64>,
    /// Segments to be removed: left over from a cut, beyond the end, or retired.
    pub(crate) left_over: Vec<(Option<Segment>, u64)>,
    pub(crate) temporaries: Vec<String>,
    /// Number and size.
    pub(crate) spares: Vec<(u64, u64)>,
    pub(crate) annotations: BTreeSet<u64>,
    pub(crate) checkpoints: BTreeSet<u64>,
    /// The greatest sequence number ever seen.
    pub(crate) seq_max: u64,
    pub(crate) bytes: BTreeMap<u64, u64>,
}

/// One segment file while it is being read.
struct File {
    seq: u64,
    size: u64,
    header: Option<SegmentHeader>,
    trailer: Option<Trailer>,
}

/// One STATE or RETIRE.
struct Control {
    lsn: Lsn,
    kind: Kind,
    flags: u16,
    payload: Bytes,
    accepted: bool,
}

/// Surveys a directory.
pub(crate) fn survey(disk: &dyn Disk, identity: Identity, mode: Mode) -> Result<Survey, OpenError> {
    let io = |what: String| move |source| OpenError::Io { what, source };
    let mut s = Survey {
        segments: Vec::new(),
        headers: BTreeMap::new(),
        end: End::Nowhere,
        cut: None,
        last_hcrc: 0,
        durable: Lsn::ZERO,
        damaged: Vec::new(),
        blemishes: Vec::new(),
        end_lost: false,
        promise_may_be_lost: false,
        state: None,
        all_states: Vec::new(),
        live: BTreeSet::new(),
        left_over: Vec::new(),
        temporaries: Vec::new(),
        spares: Vec::new(),
        annotations: BTreeSet::new(),
        checkpoints: BTreeSet::new(),
        seq_max: 0,
        bytes: BTreeMap::new(),
    };
    let wal = identity.wal_id as u32;
    let mut files = Vec::new();
    for (name, size) in disk.list().map_err(io("listing the directory".into()))? {
        match Name::parse(&name) {
            Name::Segment(seq) => {
                s.seq_max = s.seq_max.max(seq);
                s.bytes.insert(seq, size);
                if size < FIRST + TRAILER || size > u32::MAX as u64 {
                    // No segment ever had this size: a crash before its blocks were there.
                    s.left_over.push((None, seq));
                    continue;
                }
                let file = disk.open(&name).map_err(io(format!("opening {name}")))?;
                let header = read_header(&*file, seq, identity)?;
                let trailer = Trailer::read(&*file, seq);
                files.push(File {
                    seq,
                    size,
                    header,
                    trailer,
                });
            }
            Name::Annotation(seq) => drop(s.annotations.insert(seq)),
            Name::Checkpoint(number) => drop(s.checkpoints.insert(number)),
            Name::Spare(number) => s.spares.push((number, size)),
            Name::Temporary => s.temporaries.push(name),
            Name::Other => {}
        }
    }
    files.sort_by_key(|f| f.seq);
    s.spares.sort();

    // From the newest back: what is wholly below a promise needs no scan.
    let mut promised = Lsn::ZERO;
    let mut segments = Vec::new();
    for f in files.iter_mut().rev() {
        let segment = read_segment(disk, f, identity, wal, mode, promised)?;
        promised = promised.max(segment.header_durable.unwrap_or(Lsn::ZERO));
        if let Content::Scanned { items } = &segment.content {
            for item in items {
                if let Item::Frame { header, .. } = item {
                    promised = promised.max(header.durable);
                }
            }
        }
        segments.push(segment);
    }
    segments.reverse();
    for f in &files {
        s.seq_max = s.seq_max.max(f.trailer.map_or(0, |t| t.next_seq));
        if let Some(header) = f.header {
            s.headers.insert(f.seq, header);
        }
    }

    drop_left_over(&mut s, &mut segments);
    let mut walked = walk(&segments);
    let ends_before = match walked.end {
        End::Open { segment, .. } => segment + 1,
        _ => segments.len(),
    };
    controls(&mut s, disk, &segments, &walked, wal)?;
    // Nobody retires the segment that the end is in. A RETIRE that names it is not ours, checksum or not, and what it names
    // there is kept.
    if let End::Open { segment, .. } | End::Lost { segment, .. } = walked.end {
        s.live.insert(segments[segment].seq);
    }
    let beyond = segments.split_off(ends_before);
    s.left_over.extend(beyond.into_iter().map(|b| {
        let seq = b.seq;
        (Some(b), seq)
    }));
    s.durable = walked.durable;
    s.last_hcrc = walked.last_hcrc;
    s.end_lost |= matches!(walked.end, End::Lost { .. });
    if let End::Open { segment, at } = walked.end {
        debug_assert_eq!(segment + 1, segments.len());
        s.cut = walked.cut.then_some(at);
    }
    s.end = walked.end;

    // What a durable RETIRE names is gone, whatever became of its file.
    let kept = std::mem::take(&mut walked.kept);
    for (segment, kept) in segments.into_iter().zip(kept) {
        if s.live.contains(&segment.seq) {
            s.segments.push((segment, kept));
        } else {
            let seq = segment.seq;
            s.left_over.push((Some(segment), seq));
        }
    }
    s.end = match s.end {
        End::Open { at, .. } => End::Open {
            segment: s.segments.len() - 1,
            at,
        },
        End::Lost { .. } => End::Lost {
            segment: s.segments.len() - 1,
        },
        End::Nowhere => End::Nowhere,
    };
    let live = s.live.clone();
    s.damaged.extend(
        walked
            .damaged
            .into_iter()
            .filter(|d| live.contains(&d.lsn.seq())),
    );
    s.damaged.sort_by_key(|d| d.lsn);
    s.blemishes.extend(
        walked
            .blemishes
            .into_iter()
            .filter(|b| live.contains(&b.lsn.seq())),
    );
    s.promise_may_be_lost |= s.end_lost;
    Ok(s)
}

fn read_header(
    file: &dyn DiskFile,
    seq: u64,
    identity: Identity,
) -> Result<Option<SegmentHeader>, OpenError> {
    let mut b = [0u8; 128];
    if file.read_at(0, &mut b).is_err() {
        return Ok(None);
    }
    match SegmentHeader::decode(&b) {
        HeaderFound::Bad => Ok(None),
        HeaderFound::Newer(version) => Err(OpenError::Newer {
            file: segment_name(seq),
            version,
            known: VERSION,
        }),
        HeaderFound::Good(header) if header.identity != identity => Err(OpenError::ForeignFile {
            file: segment_name(seq),
        }),
        HeaderFound::Good(header) => {
            Ok((header.seq == seq && header.size == file.bytes()).then_some(header))
        }
    }
}

fn read_segment(
    disk: &dyn Disk,
    f: &mut File,
    identity: Identity,
    wal: u32,
    mode: Mode,
    promised: Lsn,
) -> Result<Segment, OpenError> {
    let mut segment = Segment {
        seq: f.seq,
        size: f.size,
        header_durable: f.header.map(|h| h.durable),
        trailer: f.trailer,
        content: Content::Scanned { items: Vec::new() },
    };
    let name = segment_name(f.seq);
    let file = disk.open(&name).map_err(|source| OpenError::Io {
        what: format!("opening {name}"),
        source,
    })?;
    let below = Lsn::at(f.seq, f.size) <= promised;
    if mode == Mode::Settle
        && below
        && f.header.is_some()
        && let Some((header, entries)) = f.trailer.and_then(|t| read_index_frame(&*file, &t, wal))
    {
        segment.content = Content::Indexed {
            last_hcrc: header.hcrc,
            entries,
        };
        return Ok(segment);
    }
    if mode == Mode::Settle && !below {
        // A crashed process leaves a cache that says more than the disk, and so does a failed sync.
        file.sync().map_err(|source| OpenError::Io {
            what: format!("syncing {name}"),
            source,
        })?;
        file.drop_cache();
        f.header = read_header(&*file, f.seq, identity)?;
        f.trailer = Trailer::read(&*file, f.seq);
        segment.header_durable = f.header.map(|h| h.durable);
        segment.trailer = f.trailer;
    }
    let bytes = read_whole(&*file);
    let end = segment.trailer.map_or(f.size - TRAILER, |t| t.end.offset());
    segment.content = Content::Scanned {
        items: scan(&bytes, f.seq, wal, end),
    };
    Ok(segment)
}

/// The whole file; blocks that cannot be read are zeros, which no checksum fits.
fn read_whole(file: &dyn DiskFile) -> Vec<u8> {
    let mut bytes = vec![0; file.bytes() as usize];
    for (i, piece) in bytes.chunks_mut(1 << 20).enumerate() {
        let at = (i as u64) << 20;
        if file.read_at(at, piece).is_err() {
            for (j, block) in piece.chunks_mut(4096).enumerate() {
                if file.read_at(at + j as u64 * 4096, block).is_err() {
                    block.fill(0);
                }
            }
        }
    }
    bytes
}

/// Takes out what a cut left behind, and a last file that was never activated.
fn drop_left_over(s: &mut Survey, segments: &mut Vec<Segment>) {
    let next: BTreeMap<u64, u64> = segments
        .iter()
        .filter_map(|g| g.trailer.map(|t| (g.seq, t.next_seq)))
        .collect();
    let mut kept = Vec::new();
    for segment in segments.drain(..) {
        let seq = segment.seq;
        let other = s
            .headers
            .get(&seq)
            .and_then(|h| next.get(&h.prev_seq))
            .is_some_and(|&named| named != seq);
        // A trailer that skips numbers was written by an opening that cut them off: also those whose
        // own predecessor is gone already.
        let other = other || next.iter().any(|(&of, &named)| of < seq && seq < named);
        if other {
            let seq = segment.seq;
            s.left_over.push((Some(segment), seq));
        } else {
            kept.push(segment);
        }
    }
    if let Some(last) = kept.last().filter(|l| l.header_durable.is_none()) {
        let frames = match &last.content {
            Content::Scanned { items } => items.iter().any(|i| matches!(i, Item::Frame { .. })),
            Content::Indexed { .. } => true,
        };
        if !frames {
            // A seal is only written after the successor's header is durable.
            let named = next.values().any(|&n| n == last.seq);
            s.end_lost |= named;
            let last = kept.pop().expect("there is a last one");
            let seq = last.seq;
            s.left_over.push((Some(last), seq));
        }
    }
    *segments = kept;
}

/// Reads STATE and RETIRE frames back to the newest good STATE, and what follows from them: the
/// owner's state, the segments that must exist, whether a promise may be lost.
fn controls(
    s: &mut Survey,
    disk: &dyn Disk,
    segments: &[Segment],
    walked: &Walked,
    wal: u32,
) -> Result<(), OpenError> {
    let mut all: Vec<Control> = Vec::new();
    for (i, segment) in segments.iter().enumerate().rev() {
        let kept = walked.kept.get(i);
        match &segment.content {
            Content::Scanned { items } => scanned_controls(items, kept, &mut all),
            Content::Indexed { entries, .. } => {
                let name = segment_name(segment.seq);
                let file = disk.open(&name).map_err(|source| OpenError::Io {
                    what: format!("opening {name}"),
                    source,
                })?;
                for entry in entries {
                    if let Entry::Frame(frame) = entry
                        && matches!(frame.kind, Kind::State | Kind::Retire)
                        && let Some((header, payload)) = read_frame(&*file, frame, wal)
                    {
                        let (kind, flags) = (header.kind, header.flags);
                        all.push(Control {
                            lsn: frame.lsn,
                            kind,
                            flags,
                            payload,
                            accepted: true,
                        });
                    }
                }
            }
        }
        let found = all.iter().any(|c| c.accepted && c.kind == Kind::State);
        if found && matches!(segment.content, Content::Indexed { .. }) {
            break;
        }
        // Scanned segments are all looked at: a promise beyond a cut counts too.
        if found && i > 0 && matches!(segments[i - 1].content, Content::Indexed { .. }) {
            break;
        }
    }
    for (segment, _) in &s.left_over {
        if let Some(Segment {
            content: Content::Scanned { items },
            ..
        }) = segment
        {
            scanned_controls(items, None, &mut all);
        }
    }
    all.sort_by_key(|c| c.lsn);

    let mut newest: Option<&Control> = None;
    let mut live: Option<BTreeSet<u64>> = None;
    for control in &all {
        let Some((ranges, rest)) = decode_ranges(&control.payload) else {
            continue;
        };
        let seqs = ranges.iter().flat_map(|&(first, last)| first..=last);
        match control.kind {
            Kind::State => {
                if control.flags & FLAG_OWNED != 0 {
                    s.all_states.push(rest.clone());
                }
                if control.accepted {
                    s.state = (control.flags & FLAG_OWNED != 0).then_some(rest);
                    live = Some(seqs.collect());
                    newest = Some(control);
                }
            }
            Kind::Retire if control.accepted => {
                if let Some(live) = &mut live {
                    for seq in seqs {
                        live.remove(&seq);
                    }
                }
            }
            _ => {}
        }
    }
    let newest_at = newest.map_or(Lsn::ZERO, |c| c.lsn);
    let present: BTreeSet<u64> = segments
        .iter()
        .take(walked.kept.len())
        .map(|g| g.seq)
        .collect();
    match live {
        None => s.live = present.clone(),
        Some(live) => {
            s.live = live;
            s.live
                .extend(present.iter().filter(|&&seq| seq > newest_at.seq()));
            for &seq in s.live.iter().filter(|seq| !present.contains(seq)) {
                let lsn = Lsn::at(seq, 0);
                s.damaged.push(Damaged {
                    lsn,
                    len: None,
                    group: None,
                    tag: None,
                    aux: None,
                });
            }
        }
    }
    s.seq_max = s.seq_max.max(s.live.last().copied().unwrap_or(0));
    let after: Vec<_> = walked
        .state_holes
        .iter()
        .filter(|(at, _)| *at > newest_at)
        .collect();
    s.promise_may_be_lost |= newest.is_some_and(|c| c.flags & FLAG_LOST != 0)
        || after.len() >= 2
        || after.iter().any(|(_, large)| *large)
        || s.live
            .iter()
            .any(|seq| *seq > newest_at.seq() && !present.contains(seq));
    Ok(())
}

fn scanned_controls(items: &[Item], kept: Option<&Kept>, all: &mut Vec<Control>) {
    for item in items {
        if let Item::Frame {
            header,
            payload: Some(payload),
            ..
        } = item
            && matches!(header.kind, Kind::State | Kind::Retire)
        {
            let accepted = kept.is_some_and(|k| {
                k.frames
                    .binary_search_by_key(&header.lsn, |f| f.lsn)
                    .is_ok()
            });
            let (lsn, kind, flags) = (header.lsn, header.kind, header.flags);
            all.push(Control {
                lsn,
                kind,
                flags,
                payload: payload.clone(),
                accepted,
            });
        }
    }
}

/// One frame by its INDEX entry, checked.
fn read_frame(file: &dyn DiskFile, frame: &FrameInfo, wal: u32) -> Option<(FrameHeader, Bytes)> {
    if frame.lsn.offset() + HEADER + frame.len as u64 > file.bytes() {
        return None;
    }
    let mut b = vec![0; (HEADER + frame.len as u64) as usize];
    file.read_at(frame.lsn.offset(), &mut b).ok()?;
    let header = FrameHeader::decode(&b, frame.lsn, wal)?;
    let payload = Bytes::from(b).slice(HEADER as usize..);
    (header.len == frame.len && crc32c::crc32c(&payload) == header.pcrc)
        .then_some((header, payload))
}

/// The frames of a segment by reading all of it, for one whose INDEX is damaged.
pub(crate) fn rescan(file: &dyn DiskFile, seq: u64, wal: u32) -> Vec<FrameInfo> {
    let end = Trailer::read(file, seq).map_or(file.bytes() - TRAILER, |t| t.end.offset());
    let items = scan(&read_whole(file), seq, wal, end);
    let frames = items.iter().filter_map(|item| match item {
        Item::Frame { header, .. } if header.kind != Kind::Index => Some(header.info()),
        _ => None,
    });
    frames.collect()
}

/// Whether an error means that there is no room, rather than that the disk is bad.
pub(crate) fn no_space(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
