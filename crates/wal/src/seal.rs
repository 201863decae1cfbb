//! The end of a sealed segment: an INDEX frame and a trailer.
//!
//! An INDEX frame's payload is 40 bytes per frame, in order:
//!
//! ```text
//!  0  offset  u32   where the frame begins
//!  4  len     u32   bytes of its payload; of a LOST entry, bytes of the segment
//!  8  hcrc    u32   checksum of its header
//! 12  group   u32
//! 16  tag     u64
//! 24  aux     u64
//! 32  kind    u8    as in the frame; 0xff LOST: something was here that could not be read when an
//!                   opening sealed the segment
//! 33  zero
//! ```
//!
//! The trailer is the last 64 bytes of the file:
//!
//! ```text
//!  0  magic      8    "PAXLOGTR"
//!  8  seq        u64
//! 16  index lsn  u64   where the INDEX frame begins
//! 24  index len  u32   bytes of its payload
//! 28  sealed_by  u32   0 a roll or close, 1 an opening
//! 32  end        u64   LSN where frames end
//! 40  frames     u64   entries of the INDEX
//! 48  next_seq   u64   the successor, durable before this was written
//! 56  zero       u32
//! 60  crc        u32   CRC32C of bytes 0..60
//! ```

use bytes::Bytes;

use crate::disk::{Disk, DiskFile};
use crate::error::ReadError;
use crate::frame::{FIRST, FrameHeader, FrameInfo, HEADER, Kind, frame_bytes, le32, le64};
use crate::lsn::Lsn;
use crate::segment::segment_name;

/// Bytes of one INDEX entry.
pub(crate) const ENTRY: u64 = 40;
/// Bytes of a trailer.
pub(crate) const TRAILER: u64 = 64;
const MAGIC: &[u8; 8] = b"PAXLOGTR";
const LOST: u8 = 0xff;
/// More segments than one directory can hold.
const SEGMENTS_MAX: u64 = 1 << 20;

/// One INDEX entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A frame.
    Frame(FrameInfo),
    /// `lsn..lsn + bytes` could not be read when the segment was sealed.
    Lost { lsn: Lsn, bytes: u32 },
}

impl Entry {
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        let mut b = [0u8; ENTRY as usize];
        match self {
            Entry::Frame(f) => {
                b[..4].copy_from_slice(&(f.lsn.offset() as u32).to_le_bytes());
                b[4..8].copy_from_slice(&f.len.to_le_bytes());
                b[8..12].copy_from_slice(&f.hcrc.to_le_bytes());
                b[12..16].copy_from_slice(&f.group.to_le_bytes());
                b[16..24].copy_from_slice(&f.tag.to_le_bytes());
                b[24..32].copy_from_slice(&f.aux.to_le_bytes());
                b[32] = f.kind as u8;
            }
            Entry::Lost { lsn, bytes } => {
                b[..4].copy_from_slice(&(lsn.offset() as u32).to_le_bytes());
                b[4..8].copy_from_slice(&bytes.to_le_bytes());
                b[32] = LOST;
            }
        }
        to.extend_from_slice(&b);
    }

    fn decode(b: &[u8], seq: u64) -> Option<Entry> {
        let lsn = Lsn::at(seq, le32(b, 0) as u64);
        if b[32] == LOST {
            return Some(Entry::Lost {
                lsn,
                bytes: le32(b, 4),
            });
        }
        Some(Entry::Frame(FrameInfo {
            lsn,
            len: le32(b, 4),
            hcrc: le32(b, 8),
            kind: Kind::from_u8(b[32])?,
            group: le32(b, 12),
            tag: le64(b, 16),
            aux: le64(b, 24),
        }))
    }
}

/// All entries of an INDEX payload, or `None` when it is none.
pub(crate) fn decode_index(payload: &[u8], seq: u64) -> Option<Vec<Entry>> {
    if !payload.len().is_multiple_of(ENTRY as usize) {
        return None;
    }
    payload
        .chunks_exact(ENTRY as usize)
        .map(|b| Entry::decode(b, seq))
        .collect()
}

/// A trailer, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) seq: u64,
    pub(crate) index: Lsn,
    pub(crate) index_len: u32,
    pub(crate) sealed_by: u32,
    pub(crate) end: Lsn,
    pub(crate) frames: u64,
    pub(crate) next_seq: u64,
}

impl Trailer {
    pub(crate) fn encode(&self) -> [u8; TRAILER as usize] {
        let mut b = [0u8; TRAILER as usize];
        b[..8].copy_from_slice(MAGIC);
        b[8..16].copy_from_slice(&self.seq.to_le_bytes());
        b[16..24].copy_from_slice(&self.index.0.to_le_bytes());
        b[24..28].copy_from_slice(&self.index_len.to_le_bytes());
        b[28..32].copy_from_slice(&self.sealed_by.to_le_bytes());
        b[32..40].copy_from_slice(&self.end.0.to_le_bytes());
        b[40..48].copy_from_slice(&self.frames.to_le_bytes());
        b[48..56].copy_from_slice(&self.next_seq.to_le_bytes());
        let crc = crc32c::crc32c(&b[..60]);
        b[60..64].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// The trailer in these bytes of segment `seq` with `size` bytes, if it is whole and possible.
    pub(crate) fn decode(b: &[u8], seq: u64, size: u64) -> Option<Trailer> {
        if b.len() != TRAILER as usize
            || &b[..8] != MAGIC
            || crc32c::crc32c(&b[..60]) != le32(b, 60)
        {
            return None;
        }
        let trailer = Trailer {
            seq: le64(b, 8),
            index: Lsn(le64(b, 16)),
            index_len: le32(b, 24),
            sealed_by: le32(b, 28),
            end: Lsn(le64(b, 32)),
            frames: le64(b, 40),
            next_seq: le64(b, 48),
        };
        let possible = trailer.seq == seq
            && trailer.index.seq() == seq
            && trailer.index.offset() >= FIRST
            && trailer.end.0 == trailer.index.0 + frame_bytes(trailer.index_len as u64)
            && trailer.next_seq > seq
            && trailer.next_seq <= u32::MAX as u64
            && trailer.end.offset() <= size - TRAILER
            && trailer.frames.checked_mul(ENTRY) == Some(trailer.index_len as u64);
        possible.then_some(trailer)
    }

    /// Reads the trailer of an open file; `None` when it is not whole.
    pub(crate) fn read(file: &dyn DiskFile, seq: u64) -> Option<Trailer> {
        let size = file.bytes();
        if size < FIRST + TRAILER {
            return None;
        }
        let mut b = [0u8; TRAILER as usize];
        file.read_at(size - TRAILER, &mut b).ok()?;
        Trailer::decode(&b, seq, size)
    }
}

/// The INDEX frame that a trailer names: its header and entries, if it is whole.
pub(crate) fn read_index_frame(
    file: &dyn DiskFile,
    trailer: &Trailer,
    wal: u32,
) -> Option<(FrameHeader, Vec<Entry>)> {
    let mut b = vec![0u8; (HEADER + trailer.index_len as u64) as usize];
    file.read_at(trailer.index.offset(), &mut b).ok()?;
    let header = FrameHeader::decode(&b, trailer.index, wal)?;
    let payload = &b[HEADER as usize..];
    if header.kind != Kind::Index
        || header.len != trailer.index_len
        || crc32c::crc32c(payload) != header.pcrc
    {
        return None;
    }
    Some((header, decode_index(payload, trailer.seq)?))
}

/// The frames of a sealed segment, from its INDEX.
pub(crate) fn read_index(disk: &dyn Disk, seq: u64, wal: u32) -> Result<Vec<FrameInfo>, ReadError> {
    let name = segment_name(seq);
    let file = disk.open(&name).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => ReadError::NoSegment(seq),
        _ => ReadError::Io {
            what: format!("opening {name}"),
            source,
        },
    })?;
    let end = Lsn::at(seq, file.bytes());
    let trailer = Trailer::read(&*file, seq).ok_or(ReadError::Corrupt(end))?;
    let (_, entries) =
        read_index_frame(&*file, &trailer, wal).ok_or(ReadError::Corrupt(trailer.index))?;
    Ok(entries
        .into_iter()
        .filter_map(|e| match e {
            Entry::Frame(f) => Some(f),
            Entry::Lost { .. } => None,
        })
        .collect())
}

/// The list of live or retired segments at the head of STATE and RETIRE payloads: `count u32,
/// zero u32`, then `count` ranges `first u64, last u64` (both included).
pub(crate) fn encode_ranges(seqs: impl Iterator<Item = u64>) -> Bytes {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for seq in seqs {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == seq => *last = seq,
            _ => ranges.push((seq, seq)),
        }
    }
    let mut b = Vec::with_capacity(8 + ranges.len() * 16);
    b.extend_from_slice(&(ranges.len() as u32).to_le_bytes());
    b.extend_from_slice(&[0; 4]);
    for (first, last) in ranges {
        b.extend_from_slice(&first.to_le_bytes());
        b.extend_from_slice(&last.to_le_bytes());
    }
    Bytes::from(b)
}

/// The ranges, and what follows them; `None` when they are no such list.
pub(crate) fn decode_ranges(payload: &Bytes) -> Option<(Vec<(u64, u64)>, Bytes)> {
    if payload.len() < 8 {
        return None;
    }
    let count = le32(payload, 0) as usize;
    let end = 8usize.checked_add(count.checked_mul(16)?)?;
    if payload.len() < end {
        return None;
    }
    let ranges: Vec<_> = (0..count)
        .map(|i| (le64(payload, 8 + i * 16), le64(payload, 16 + i * 16)))
        .collect();
    // Nothing from a disk makes a loop without end.
    let mut total = 0;
    for &(first, last) in &ranges {
        if first > last || last > u32::MAX as u64 {
            return None;
        }
        total += last - first + 1;
    }
    if total > SEGMENTS_MAX {
        return None;
    }
    Some((ranges, payload.slice(end..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailer_comes_back_and_flips_are_seen() {
        let trailer = Trailer {
            seq: 9,
            index: Lsn::at(9, 8192),
            index_len: 80,
            sealed_by: 1,
            end: Lsn::at(9, 8192 + 64 + 128),
            frames: 2,
            next_seq: 12,
        };
        let b = trailer.encode();
        assert_eq!(Trailer::decode(&b, 9, 16384), Some(trailer));
        // 40 times that is a multiple of 2^64.
        let wraps = Trailer {
            index_len: 0,
            end: Lsn::at(9, 8192 + 64),
            frames: 1 << 61,
            ..trailer
        };
        assert_eq!(Trailer::decode(&wraps.encode(), 9, 16384), None);
        for bit in 0..512 {
            let mut c = b;
            c[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Trailer::decode(&c, 9, 16384), None, "bit {bit}");
        }
    }

    #[test]
    fn ranges_come_back() {
        let b = encode_ranges([1, 2, 3, 7, 9, 10].into_iter());
        let mut with_rest = b.to_vec();
        with_rest.extend_from_slice(b"rest");
        let (ranges, rest) = decode_ranges(&Bytes::from(with_rest)).unwrap();
        assert_eq!(ranges, [(1, 3), (7, 7), (9, 10)]);
        assert_eq!(&rest[..], b"rest");
        assert!(decode_ranges(&b.slice(..b.len() - 1)).is_none());
    }
}
