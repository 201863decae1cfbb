//! One frame: a 64-byte header, the payload, zeros up to the next multiple of 64.
//!
//! ```text
//!  0  hcrc     u32   CRC32C of bytes 4..64
//!  4  version  u8    1
//!  5  kind     u8    1 DATA, 2 MARK, 3 INDEX, 4 COPY (reserved), 5 RETIRE, 6 STATE
//!  6  flags    u16   STATE: bit 0 = the owner stored a state
//!  8  lsn      u64   the frame's own place
//! 16  durable  u64   a promise: all below was synced when this header was made
//! 24  tag      u64   the owner's
//! 32  group    u32   the owner's
//! 36  len      u32   bytes of payload
//! 40  pcrc     u32   CRC32C of the payload
//! 44  prev     u32   hcrc of the frame before
//! 48  aux      u64   the owner's
//! 56  wal      u32   low half word of the wal id
//! 60  zero     u32
//! ```
//!
//! Little-endian. Frames begin on multiples of 64, so a header never straddles a sector, and a
//! reader that lost its place finds the next one in steps of 64.

use crate::lsn::Lsn;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The owner's payload.
    Data = 1,
    /// Carries a durable promise, or fills a block; the owner never sees it.
    Mark = 2,
    /// The list of a sealed segment's frames.
    Index = 3,
    /// A frame copied forward (reserved).
    Copy = 4,
    /// Names segments that no longer count.
    Retire = 5,
    /// The owner's small state and the list of live segments.
    State = 6,
}

impl Kind {
    /// The kind of this number, if there is one.
    pub fn from_u8(n: u8) -> Option<Kind> {
        Some(match n {
            1 => Kind::Data,
            2 => Kind::Mark,
            3 => Kind::Index,
            4 => Kind::Copy,
            5 => Kind::Retire,
            6 => Kind::State,
            _ => return None,
        })
    }
}

/// What the owner writes beside a payload, so that a frame whose payload is ruined still says
/// whose it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameMeta {
    /// What the frame is; owners append [`Kind::Data`].
    pub kind: Kind,
    /// The owner's group.
    pub group: u32,
    /// The owner's tag, for instance a slot.
    pub tag: u64,
    /// A further number of the owner's, for instance a ballot.
    pub aux: u64,
}

impl FrameMeta {
    /// A DATA frame's.
    pub fn data(group: u32, tag: u64, aux: u64) -> FrameMeta {
        FrameMeta {
            kind: Kind::Data,
            group,
            tag,
            aux,
        }
    }
}

/// One frame as an index lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameInfo {
    /// Where it begins.
    pub lsn: Lsn,
    /// Bytes of payload.
    pub len: u32,
    /// Checksum of its header.
    pub hcrc: u32,
    /// What it is.
    pub kind: Kind,
    /// The owner's group.
    pub group: u32,
    /// The owner's tag.
    pub tag: u64,
    /// The owner's further number.
    pub aux: u64,
}

impl FrameInfo {
    /// Where the next frame may begin.
    pub fn end(&self) -> Lsn {
        Lsn(self.lsn.0 + frame_bytes(self.len as u64))
    }
}

/// Bytes of a frame header.
pub(crate) const HEADER: u64 = 64;
/// Where the frames of a segment begin.
pub(crate) const FIRST: u64 = 4096;
/// The unit that two copies must not share.
pub(crate) const BLOCK: u64 = 4096;
/// Largest payload of an owner's frame.
pub(crate) const PAYLOAD_MAX: u64 = (8 << 20) - HEADER;
/// Format version of frames.
pub(crate) const VERSION: u8 = 1;
/// STATE flag: the payload holds a state of the owner's, not only the list of segments.
pub(crate) const FLAG_OWNED: u16 = 1;

/// What a frame with `len` bytes of payload takes.
pub(crate) fn frame_bytes(len: u64) -> u64 {
    HEADER + len.next_multiple_of(64)
}

/// A header, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) hcrc: u32,
    pub(crate) kind: Kind,
    pub(crate) flags: u16,
    pub(crate) lsn: Lsn,
    pub(crate) durable: Lsn,
    pub(crate) tag: u64,
    pub(crate) group: u32,
    pub(crate) len: u32,
    pub(crate) pcrc: u32,
    pub(crate) prev: u32,
    pub(crate) aux: u64,
    pub(crate) wal: u32,
}

impl FrameHeader {
    /// The 64 bytes, with `hcrc` computed (and returned in the value).
    pub(crate) fn encode(&mut self) -> [u8; 64] {
        let mut b = [0u8; 64];
        b[4] = VERSION;
        b[5] = self.kind as u8;
        b[6..8].copy_from_slice(&self.flags.to_le_bytes());
        b[8..16].copy_from_slice(&self.lsn.0.to_le_bytes());
        b[16..24].copy_from_slice(&self.durable.0.to_le_bytes());
        b[24..32].copy_from_slice(&self.tag.to_le_bytes());
        b[32..36].copy_from_slice(&self.group.to_le_bytes());
        b[36..40].copy_from_slice(&self.len.to_le_bytes());
        b[40..44].copy_from_slice(&self.pcrc.to_le_bytes());
        b[44..48].copy_from_slice(&self.prev.to_le_bytes());
        b[48..56].copy_from_slice(&self.aux.to_le_bytes());
        b[56..60].copy_from_slice(&self.wal.to_le_bytes());
        self.hcrc = crc32c::crc32c(&b[4..]);
        b[..4].copy_from_slice(&self.hcrc.to_le_bytes());
        b
    }

    /// The header in these 64 bytes, if its checksum fits, its version and kind are known and it
    /// says that its place is `lsn` in the log `wal`. Neither the length nor the payload is
    /// checked against anything.
    pub(crate) fn decode(b: &[u8], lsn: Lsn, wal: u32) -> Option<FrameHeader> {
        // The place first: cheap, and wrong for everything that is not a header.
        if le64(b, 8) != lsn.0 || le32(b, 56) != wal {
            return None;
        }
        let hcrc = le32(b, 0);
        if crc32c::crc32c(&b[4..64]) != hcrc || b[4] != VERSION {
            return None;
        }
        Some(FrameHeader {
            hcrc,
            kind: Kind::from_u8(b[5])?,
            flags: le16(b, 6),
            lsn,
            durable: Lsn(le64(b, 16)),
            tag: le64(b, 24),
            group: le32(b, 32),
            len: le32(b, 36),
            pcrc: le32(b, 40),
            prev: le32(b, 44),
            aux: le64(b, 48),
            wal,
        })
    }

    pub(crate) fn info(&self) -> FrameInfo {
        FrameInfo {
            lsn: self.lsn,
            len: self.len,
            hcrc: self.hcrc,
            kind: self.kind,
            group: self.group,
            tag: self.tag,
            aux: self.aux,
        }
    }
}

pub(crate) fn le16(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(b[at..at + 2].try_into().expect("two bytes"))
}

pub(crate) fn le32(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(b[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn le64(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(b[at..at + 8].try_into().expect("eight bytes"))
}

pub(crate) fn le128(b: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(b[at..at + 16].try_into().expect("sixteen bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FrameHeader {
        FrameHeader {
            hcrc: 0,
            kind: Kind::Data,
            flags: 7,
            lsn: Lsn::at(3, 4096),
            durable: Lsn::at(2, 128),
            tag: 11,
            group: 12,
            len: 13,
            pcrc: 14,
            prev: 15,
            aux: 16,
            wal: 17,
        }
    }

    #[test]
    fn header_comes_back() {
        let mut h = header();
        let b = h.encode();
        assert_eq!(FrameHeader::decode(&b, h.lsn, h.wal), Some(h));
        assert_eq!(FrameHeader::decode(&b, Lsn::at(3, 4160), h.wal), None);
        assert_eq!(FrameHeader::decode(&b, h.lsn, 18), None);
    }

    #[test]
    fn any_flipped_bit_of_a_header_is_seen() {
        let mut h = header();
        let b = h.encode();
        for bit in 0..512 {
            let mut c = b;
            c[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&c, h.lsn, h.wal), None, "bit {bit}");
        }
    }
}
