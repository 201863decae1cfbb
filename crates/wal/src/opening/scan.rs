//! What the bytes of one segment say, without judging it.

use bytes::Bytes;

use crate::frame::{FIRST, FrameHeader, HEADER, Kind, frame_bytes, le32};
use crate::lsn::Lsn;

/// One stretch of a segment.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A frame whose header is whole.
    Frame {
        header: FrameHeader,
        payload_good: bool,
        /// The payload of a good STATE, RETIRE or INDEX.
        payload: Option<Bytes>,
    },
    /// No header begins in `from..to`.
    Gap {
        from: Lsn,
        to: Lsn,
        /// Only zeros.
        blank: bool,
        /// What the gap holds is one frame with a ruined header, by what is left of it.
        single: bool,
    },
}

impl Item {
    /// Where it begins.
    pub(crate) fn at(&self) -> Lsn {
        match self {
            Item::Frame { header, .. } => header.lsn,
            Item::Gap { from, .. } => *from,
        }
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> Lsn {
        match self {
            Item::Frame { header, .. } => header.info().end(),
            Item::Gap { to, .. } => *to,
        }
    }
}

/// Walks the frames of segment `seq` in `bytes` (the file from byte 0), up to `end`.
///
/// A header is followed by its length even when the payload is ruined. Where no header is, the next
/// one is looked for in steps of 64 bytes.
pub(crate) fn scan(bytes: &[u8], seq: u64, wal: u32, end: u64) -> Vec<Item> {
    let mut items = Vec::new();
    let mut at = FIRST;
    let mut gap: Option<u64> = None;
    while at + HEADER <= end {
        let here = &bytes[at as usize..];
        let header = FrameHeader::decode(&here[..HEADER as usize], Lsn::at(seq, at), wal)
            .filter(|h| at + frame_bytes(h.len as u64) <= end);
        let Some(header) = header else {
            gap.get_or_insert(at);
            at += HEADER;
            continue;
        };
        if let Some(from) = gap.take() {
            items.push(gap_item(bytes, seq, from, at, Some(&header)));
        }
        let payload = &here[HEADER as usize..][..header.len as usize];
        let payload_good = crc32c::crc32c(payload) == header.pcrc;
        let kept = payload_good && matches!(header.kind, Kind::State | Kind::Retire | Kind::Index);
        let payload = kept.then(|| Bytes::copy_from_slice(payload));
        items.push(Item::Frame {
            header,
            payload_good,
            payload,
        });
        at += frame_bytes(header.len as u64);
    }
    if let Some(from) = gap.or((at < end).then_some(at)) {
        items.push(gap_item(bytes, seq, from, end, None));
    }
    items
}

fn gap_item(bytes: &[u8], seq: u64, from: u64, to: u64, next: Option<&FrameHeader>) -> Item {
    let inside = &bytes[from as usize..to as usize];
    // In pieces without an early exit inside, so that it runs at the speed of memory.
    let blank = inside
        .chunks(4096)
        .all(|piece| piece.iter().fold(0, |sum, b| sum | b) == 0);
    // Of a ruined header either the stored checksum (which the next frame repeats) or the length is
    // likely to be left; both agree by chance once in four billion times.
    let single = next.is_some_and(|next| {
        le32(inside, 0) == next.prev || frame_bytes(le32(inside, 36) as u64) == to - from
    }) || to - from == HEADER;
    Item::Gap {
        from: Lsn::at(seq, from),
        to: Lsn::at(seq, to),
        blank,
        single,
    }
}
