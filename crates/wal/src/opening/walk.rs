//! The walk through a chain of segments: what is kept, what is damaged, where the log ends.
//!
//! Pure: it sees what was read, and decides.

use crate::frame::{FIRST, FrameInfo, Kind};
use crate::lsn::Lsn;
use crate::recovered::{Blemish, Damaged};
use crate::seal::{Entry, TRAILER, Trailer, decode_index};

use super::scan::Item;
use super::verdict::{Found, Verdict, judge};

/// One segment as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) seq: u64,
    pub(crate) size: u64,
    /// The header's promise; `None` when the header is damaged.
    pub(crate) header_durable: Option<Lsn>,
    pub(crate) trailer: Option<Trailer>,
    pub(crate) content: Content,
}

/// How its frames are known.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// By its INDEX alone: everything in it was synced.
    Indexed { last_hcrc: u32, entries: Vec<Entry> },
    /// By reading all of it.
    Scanned { items: Vec<Item> },
}

/// What the walk found in one segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// What an INDEX of it would list.
    pub(crate) entries: Vec<Entry>,
    /// Where each whole frame stands among them; damaged ones are left out.
    pub(crate) frames: Vec<FrameInfo>,
}

/// How the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In this segment (an index into the walked ones) at this place, which gets a seal.
    Open { segment: usize, at: Lsn },
    /// Behind a sealed segment whose successor is gone.
    Lost { segment: usize },
    /// There is no segment.
    Nowhere,
}

/// What the walk found.
#[derive(Clone, Debug)]
pub(crate) struct Walked {
    /// One for each segment that stays; later ones are dropped.
    pub(crate) kept: Vec<Kept>,
    pub(crate) damaged: Vec<Damaged>,
    pub(crate) blemishes: Vec<Blemish>,
    pub(crate) end: End,
    /// Something stood at or behind the end that is no longer there.
    pub(crate) cut: bool,
    /// hcrc of the last frame that is kept, 0 when unknown.
    pub(crate) last_hcrc: u32,
    /// Places where a STATE may have been: begin and, for more than one, a large hole.
    pub(crate) state_holes: Vec<(Lsn, bool)>,
    /// All below was synced, as far as is left to see.
    pub(crate) durable: Lsn,
}

/// Walks `segments` in order.
pub(crate) fn walk(segments: &[Segment]) -> Walked {
    let promises = promises(segments);
    let mut w = Walked {
        kept: Vec::new(),
        damaged: Vec::new(),
        blemishes: Vec::new(),
        end: End::Nowhere,
        cut: false,
        last_hcrc: 0,
        state_holes: Vec::new(),
        durable: promises.first().map_or(Lsn::ZERO, |p| p.before),
    };
    // `None`: the chain is broken by damage and cannot be checked at the next frame.
    let mut prev: Option<u32> = None;
    for (i, segment) in segments.iter().enumerate() {
        if segment.header_durable.is_none() {
            w.blemishes.push(Blemish {
                lsn: Lsn::at(segment.seq, 0),
                what: "the segment's header is damaged",
            });
        }
        // A predecessor that is missing breaks the chain too.
        let follows = i > 0
            && segments[i - 1]
                .trailer
                .is_none_or(|t| t.next_seq == segment.seq);
        if !follows {
            prev = None;
        }
        match &segment.content {
            Content::Indexed { last_hcrc, entries } => {
                prev = Some(*last_hcrc);
                w.last_hcrc = *last_hcrc;
                indexed(&mut w, entries);
            }
            Content::Scanned { items } => {
                let ended = scanned(&mut w, &mut prev, segment, items, &promises[i]);
                if let Some((at, something)) = ended {
                    w.end = End::Open { segment: i, at };
                    let later = segments[i + 1..].iter().any(holds_something);
                    w.cut = something || later;
                    return w;
                }
            }
        }
        w.end = End::Lost { segment: i };
    }
    w
}

/// Promises made behind each place of a segment.
struct Promises {
    /// Behind the segment's header: any frame of it, any later segment.
    before: Lsn,
    /// Behind each item.
    items: Vec<Lsn>,
    /// Behind the segment.
    after: Lsn,
}

fn promises(segments: &[Segment]) -> Vec<Promises> {
    let mut best = Lsn::ZERO;
    let mut found = Vec::with_capacity(segments.len());
    for segment in segments.iter().rev() {
        let after = best;
        let mut items = Vec::new();
        if let Content::Scanned { items: all } = &segment.content {
            for item in all.iter().rev() {
                items.push(best);
                if let Item::Frame { header, .. } = item {
                    best = best.max(header.durable);
                }
            }
            items.reverse();
        }
        let before = best;
        best = best.max(segment.header_durable.unwrap_or(Lsn::ZERO));
        found.push(Promises {
            before,
            items,
            after,
        });
    }
    found.reverse();
    if let Some(first) = found.first_mut() {
        first.before = best;
    }
    found
}

fn indexed(w: &mut Walked, entries: &[Entry]) {
    let mut kept = Kept::default();
    for entry in entries {
        match entry {
            Entry::Frame(frame) => kept.frames.push(*frame),
            Entry::Lost { lsn, bytes } => lost(w, *lsn, u64::from(*bytes), false),
        }
    }
    kept.entries = entries.to_vec();
    w.kept.push(kept);
}

/// Walks one scanned segment. Returns where the log ends, if it ends in it, and whether something
/// but zeros stood there.
fn scanned(
    w: &mut Walked,
    prev: &mut Option<u32>,
    segment: &Segment,
    items: &[Item],
    promises: &Promises,
) -> Option<(Lsn, bool)> {
    let mut kept = Kept::default();
    let index = known_index(segment, items);
    let mut ended = None;
    let mut sealed_at = None;
    // hcrc of the last frame before the INDEX, should that have to be made anew.
    let mut before_index = w.last_hcrc;
    for (item, &durable) in items.iter().zip(&promises.items) {
        let found = match item {
            Item::Frame {
                header,
                payload_good: true,
                ..
            } if prev.is_none_or(|p| p == header.prev) => Found::Good,
            _ => Found::Bad,
        };
        let at = item.at();
        match (judge(found, at, durable), item) {
            (Verdict::Accept, Item::Frame { header, .. }) => {
                *prev = Some(header.hcrc);
                before_index = w.last_hcrc;
                w.last_hcrc = header.hcrc;
                if header.kind == Kind::Index {
                    sealed_at = Some(at);
                } else {
                    kept.frames.push(header.info());
                    kept.entries.push(Entry::Frame(header.info()));
                }
            }
            (Verdict::Damage, Item::Frame { header, .. }) => {
                *prev = Some(header.hcrc);
                before_index = w.last_hcrc;
                w.last_hcrc = header.hcrc;
                if header.kind == Kind::Index {
                    w.blemishes.push(Blemish {
                        lsn: at,
                        what: "the segment's INDEX is damaged",
                    });
                    sealed_at = Some(at);
                } else {
                    damaged_frame(w, &header.info());
                    kept.entries.push(Entry::Frame(header.info()));
                }
            }
            (Verdict::Damage, Item::Gap { to, single, .. }) => {
                *prev = None;
                // Only what was promised is damaged; the rest of the hole is an end.
                let until = (*to).min(durable);
                if segment.trailer.is_some_and(|t| t.index == at) {
                    w.blemishes.push(Blemish {
                        lsn: at,
                        what: "the segment's INDEX is damaged",
                    });
                    sealed_at = Some(at);
                } else {
                    damaged_gap(w, &mut kept, index.as_deref(), at, until, *single);
                    // The INDEX itself may lie in the hole.
                    if let Some(t) = segment.trailer.filter(|t| t.index > at && t.index < until) {
                        w.blemishes.push(Blemish {
                            lsn: t.index,
                            what: "the segment's INDEX is damaged",
                        });
                        sealed_at = Some(t.index);
                    }
                }
                if until < *to && sealed_at.is_none() {
                    ended = Some((until, true));
                }
            }
            (Verdict::End, _) => {
                ended = Some((
                    at,
                    !matches!(item, Item::Gap { blank: true, to, .. } if to.offset() == segment.size - TRAILER),
                ));
            }
            (Verdict::Accept, Item::Gap { .. }) => unreachable!("a gap is never good"),
        }
        if sealed_at.is_some() || ended.is_some() {
            break;
        }
    }
    let trailer_at = Lsn::at(segment.seq, segment.size - TRAILER);
    // A trailer that names another INDEX than the one that stands there is of an earlier seal, made
    // before an opening cut this segment, and says nothing.
    let trailer = segment
        .trailer
        .filter(|t| sealed_at.is_none_or(|at| t.index == at));
    if ended.is_none() && trailer.is_none() {
        match judge(Found::Bad, trailer_at, promises.after) {
            Verdict::Damage => w.blemishes.push(Blemish {
                lsn: trailer_at,
                what: "the segment's trailer is damaged",
            }),
            // The seal did not make it: it is made anew, over the INDEX that stands there.
            _ => {
                let at = sealed_at
                    .or(items.last().map(Item::end))
                    .unwrap_or(Lsn::at(segment.seq, FIRST));
                ended = Some((at, false));
                if sealed_at.is_some() {
                    w.last_hcrc = before_index;
                }
            }
        }
    }
    w.kept.push(kept);
    ended
}

/// The entries of a segment's INDEX, where it is whole, for naming what is damaged.
fn known_index(segment: &Segment, items: &[Item]) -> Option<Vec<Entry>> {
    items.iter().rev().find_map(|item| match item {
        Item::Frame {
            header,
            payload: Some(payload),
            ..
        } if header.kind == Kind::Index => decode_index(payload, segment.seq),
        _ => None,
    })
}

fn damaged_frame(w: &mut Walked, frame: &FrameInfo) {
    match frame.kind {
        Kind::Data | Kind::Copy => w.damaged.push(Damaged {
            lsn: frame.lsn,
            len: Some(frame.end().0 - frame.lsn.0),
            group: Some(frame.group),
            tag: Some(frame.tag),
            aux: Some(frame.aux),
        }),
        Kind::State => {
            w.state_holes.push((frame.lsn, false));
            w.blemishes.push(Blemish {
                lsn: frame.lsn,
                what: "a STATE is damaged",
            });
        }
        Kind::Mark => w.blemishes.push(Blemish {
            lsn: frame.lsn,
            what: "a MARK is damaged",
        }),
        Kind::Retire => w.blemishes.push(Blemish {
            lsn: frame.lsn,
            what: "a RETIRE is damaged",
        }),
        Kind::Index => w.blemishes.push(Blemish {
            lsn: frame.lsn,
            what: "an INDEX is damaged",
        }),
    }
}

fn damaged_gap(
    w: &mut Walked,
    kept: &mut Kept,
    index: Option<&[Entry]>,
    from: Lsn,
    to: Lsn,
    single: bool,
) {
    if let Some(entries) = index {
        for entry in entries {
            match entry {
                Entry::Frame(frame) if frame.lsn >= from && frame.lsn < to => {
                    damaged_frame(w, frame);
                    kept.entries.push(*entry);
                }
                // An earlier opening sealed the segment, and could name nothing there either.
                Entry::Lost { lsn, bytes } if *lsn < to && lsn.0 + u64::from(*bytes) > from.0 => {
                    lost(w, *lsn, u64::from(*bytes), single);
                    kept.entries.push(*entry);
                }
                _ => {}
            }
        }
        return;
    }
    let bytes = to.0 - from.0;
    lost(w, from, bytes, single);
    kept.entries.push(Entry::Lost {
        lsn: from,
        bytes: bytes as u32,
    });
}

/// Synced bytes that cannot be read, and nobody knows what stood there.
fn lost(w: &mut Walked, lsn: Lsn, bytes: u64, single: bool) {
    w.damaged.push(Damaged {
        lsn,
        len: Some(bytes),
        group: None,
        tag: None,
        aux: None,
    });
    w.state_holes.push((lsn, !single && bytes > 4096));
}

fn holds_something(segment: &Segment) -> bool {
    match &segment.content {
        Content::Indexed { .. } => true,
        Content::Scanned { items } => items
            .iter()
            .any(|i| !matches!(i, Item::Gap { blank: true, .. })),
    }
}
