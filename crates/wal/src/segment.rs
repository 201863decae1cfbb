//! A segment's header and the names of files.
//!
//! ```text
//!   0  magic       8     "PAXLOGSG"
//!   8  version     u16   1
//!  10  min_reader  u16   the oldest version that can read it
//!  12  flags       u32   COLD = 1 (reserved)
//!  16  cluster     u128
//!  32  wal id      u128
//!  48  replica     u64
//!  56  seq         u64
//!  64  prev_seq    u64   0 = none
//!  72  size        u64   bytes of the file
//!  80  durable     u64   a promise, as in a frame
//!  88  created_ns  u64   wall clock, for people
//!  96  zero
//! 124  crc         u32   CRC32C of bytes 0..124
//! 128  zero up to 4096
//! ```

use crate::frame::{FIRST, le16, le32, le64, le128};
use crate::lsn::Lsn;
use crate::options::Identity;

/// Format version of segments, `wal.meta` and side files.
pub(crate) const VERSION: u16 = 1;
const MAGIC: &[u8; 8] = b"PAXLOGSG";

/// A header, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) identity: Identity,
    pub(crate) flags: u32,
    pub(crate) seq: u64,
    pub(crate) prev_seq: u64,
    pub(crate) size: u64,
    pub(crate) durable: Lsn,
    pub(crate) created_ns: u64,
}

/// What the first bytes of a segment file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFound {
    Good(SegmentHeader),
    Newer(u16),
    Bad,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut b = vec![0u8; FIRST as usize];
        b[..8].copy_from_slice(MAGIC);
        b[8..10].copy_from_slice(&VERSION.to_le_bytes());
        b[10..12].copy_from_slice(&VERSION.to_le_bytes());
        b[12..16].copy_from_slice(&self.flags.to_le_bytes());
        b[16..32].copy_from_slice(&self.identity.cluster.to_le_bytes());
        b[32..48].copy_from_slice(&self.identity.wal_id.to_le_bytes());
        b[48..56].copy_from_slice(&self.identity.replica.to_le_bytes());
        b[56..64].copy_from_slice(&self.seq.to_le_bytes());
        b[64..72].copy_from_slice(&self.prev_seq.to_le_bytes());
        b[72..80].copy_from_slice(&self.size.to_le_bytes());
        b[80..88].copy_from_slice(&self.durable.0.to_le_bytes());
        b[88..96].copy_from_slice(&self.created_ns.to_le_bytes());
        let crc = crc32c::crc32c(&b[..124]);
        b[124..128].copy_from_slice(&crc.to_le_bytes());
        b
    }

    pub(crate) fn decode(b: &[u8]) -> HeaderFound {
        if b.len() < 128 || &b[..8] != MAGIC || crc32c::crc32c(&b[..124]) != le32(b, 124) {
            return HeaderFound::Bad;
        }
        let min_reader = le16(b, 10);
        if min_reader > VERSION {
            return HeaderFound::Newer(le16(b, 8));
        }
        HeaderFound::Good(SegmentHeader {
            identity: Identity {
                cluster: le128(b, 16),
                wal_id: le128(b, 32),
                replica: le64(b, 48),
            },
            flags: le32(b, 12),
            seq: le64(b, 56),
            prev_seq: le64(b, 64),
            size: le64(b, 72),
            durable: Lsn(le64(b, 80)),
            created_ns: le64(b, 88),
        })
    }
}

/// The file of segment `seq`.
pub(crate) fn segment_name(seq: u64) -> String {
    format!("{seq:016x}.seg")
}

/// The owner's annotation of segment `seq`.
pub(crate) fn annotation_name(seq: u64) -> String {
    format!("{seq:016x}.idx")
}

/// The owner's checkpoint `number`.
pub(crate) fn checkpoint_name(number: u64) -> String {
    format!("ckpt-{number:016x}")
}

/// A spare segment.
pub(crate) fn spare_name(number: u64) -> String {
    format!("spare-{number:016x}")
}

/// What a name in the directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Segment(u64),
    Annotation(u64),
    Checkpoint(u64),
    Spare(u64),
    Temporary,
    Other,
}

impl Name {
    pub(crate) fn parse(name: &str) -> Name {
        let number = |hex: &str| {
            if hex.len() == 16 {
                u64::from_str_radix(hex, 16).ok()
            } else {
                None
            }
        };
        let ours = |stem: &str| {
            stem == "wal.meta"
                || stem.starts_with("ckpt-")
                || stem.starts_with("spare-")
                || stem.ends_with(".idx")
                || stem.ends_with(".seg")
        };
        if let Some(stem) = name.strip_suffix(".tmp") {
            return if ours(stem) {
                Name::Temporary
            } else {
                Name::Other
            };
        }
        let found = if let Some(hex) = name.strip_suffix(".seg") {
            number(hex)
                .filter(|&n| n <= u32::MAX as u64)
                .map(Name::Segment)
        } else if let Some(hex) = name.strip_suffix(".idx") {
            number(hex).map(Name::Annotation)
        } else if let Some(hex) = name.strip_prefix("ckpt-") {
            number(hex).map(Name::Checkpoint)
        } else if let Some(hex) = name.strip_prefix("spare-") {
            number(hex).map(Name::Spare)
        } else {
            None
        };
        found.unwrap_or(Name::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        assert_eq!(Name::parse(&segment_name(0xabc)), Name::Segment(0xabc));
        assert_eq!(Name::parse(&annotation_name(1)), Name::Annotation(1));
        assert_eq!(
            Name::parse(&checkpoint_name(u64::MAX)),
            Name::Checkpoint(u64::MAX)
        );
        assert_eq!(Name::parse(&spare_name(7)), Name::Spare(7));
        assert_eq!(Name::parse("0000000000000001.idx.tmp"), Name::Temporary);
        for other in [
            "LOCK",
            "wal.meta",
            "x.tmp",
            "1.seg",
            "canary",
            "ffffffffffffffff.seg",
        ] {
            assert_eq!(Name::parse(other), Name::Other, "{other}");
        }
    }

    #[test]
    fn any_flipped_bit_of_a_header_is_seen() {
        let header = SegmentHeader {
            identity: Identity {
                cluster: 1,
                replica: 2,
                wal_id: 3,
            },
            flags: 0,
            seq: 4,
            prev_seq: 5,
            size: 6,
            durable: Lsn(7),
            created_ns: 8,
        };
        let b = header.encode();
        assert_eq!(SegmentHeader::decode(&b), HeaderFound::Good(header));
        for bit in 0..128 * 8 {
            let mut c = b.clone();
            c[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&c), HeaderFound::Bad, "bit {bit}");
        }
    }
}
