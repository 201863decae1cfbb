//! A position in the write-ahead log.

use std::fmt;

/// A position in one write-ahead log: the segment's sequence number in the upper half, the byte in
/// that segment in the lower one (`seq << 32 | byte`).
///
/// Later frames have greater LSNs. The numbers are not dense: frames are padded, and a new segment
/// starts a new range. A segment of `n` bytes ends at `seq << 32 | n`, which is below every LSN of
/// its successor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Below every frame of every log.
    pub const ZERO: Lsn = Lsn(0);

    /// The position of byte `offset` in segment `seq`.
    ///
    /// # Panics
    /// If either does not fit 32 bits; a log of four billion segments is none of ours.
    pub fn at(seq: u64, offset: u64) -> Lsn {
        assert!(seq <= u32::MAX as u64 && offset <= u32::MAX as u64);
        Lsn(seq << 32 | offset)
    }

    /// The segment's sequence number.
    pub fn seq(self) -> u64 {
        self.0 >> 32
    }

    /// The byte in the segment.
    pub fn offset(self) -> u64 {
        self.0 & 0xffff_ffff
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}/{:x}", self.seq(), self.offset())
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
