//! The words of the protocol as types: who, which place, which right to propose, and what.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Monotonic nanoseconds of one replica, handed in by the owner. Never compared between replicas.
pub type Nanos = u64;

/// A replica's number, `1..=65535`; it stays the same when the disk is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ReplicaId(pub u16);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The random id of one replica's directory, drawn when it was formatted. Votes belong to it, not to
/// the replica's number: whoever lost the disk lost the promises that were on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(pub u128);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The cluster a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClusterId(pub u128);

/// The Paxos group a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GroupId(pub u32);

/// The number of the membership under which a message was sent. Membership commands raise it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ConfigNumber(pub u64);

/// A place in the group's sequence; the first is 0. As a bound it is exclusive: "chosen below".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Slot(pub u64);

impl Slot {
    /// The first slot.
    pub const ZERO: Slot = Slot(0);
    /// No slot: only as the open end of a range.
    pub const MAX: Slot = Slot(u64::MAX);

    /// The slot after this one; `MAX` stays.
    #[must_use]
    pub fn next(self) -> Slot {
        Slot(self.0.saturating_add(1))
    }

    /// `self - earlier`, or 0 when `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Slot) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The right to propose: ordered by round, then by replica, so that no two replicas share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ballot {
    /// Below 2^48, so that a ballot fits 64 bits.
    pub round: u64,
    /// Whose ballot it is.
    pub replica: ReplicaId,
}

impl Ballot {
    /// Below every ballot that is ever proposed.
    pub const NONE: Ballot = Ballot {
        round: 0,
        replica: ReplicaId(0),
    };
    /// The highest round that fits.
    pub const ROUND_MAX: u64 = (1 << 48) - 1;

    /// A ballot of `round` and `replica`.
    #[must_use]
    pub fn new(round: u64, replica: ReplicaId) -> Ballot {
        Ballot { round, replica }
    }

    /// `round << 16 | replica`: keeps the order.
    #[must_use]
    pub fn to_u64(self) -> u64 {
        (self.round << 16) | u64::from(self.replica.0)
    }

    /// The inverse of [`Ballot::to_u64`].
    #[must_use]
    pub fn from_u64(bits: u64) -> Ballot {
        Ballot {
            round: bits >> 16,
            replica: ReplicaId((bits & 0xffff) as u16),
        }
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.round, self.replica)
    }
}

/// One voter: a replica under one incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Its number.
    pub id: ReplicaId,
    /// The directory whose promises count.
    pub incarnation: Incarnation,
}

/// What a slot holds: opaque bytes in parts that are never joined or copied. Cloning is cheap.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    parts: Arc<[Bytes]>,
    len: u32,
    checksum: u32,
}

impl Value {
    /// The empty value: it fills a slot that nobody can have used, and marks a leader's beginning.
    #[must_use]
    pub fn noop() -> Value {
        Value {
            parts: Arc::from([]),
            len: 0,
            checksum: 0,
        }
    }

    /// A value of these parts, in order. Reads them all once for the CRC32C.
    ///
    /// # Panics
    /// When the parts are longer than `u32::MAX` bytes together.
    #[must_use]
    pub fn from_parts(parts: Vec<Bytes>) -> Value {
        let mut len = 0usize;
        let mut checksum = 0;
        for part in &parts {
            len += part.len();
            checksum = crc32c::crc32c_append(checksum, part);
        }
        Value {
            parts: parts.into(),
            len: u32::try_from(len).expect("a value fits one frame of the write-ahead log"),
            checksum,
        }
    }

    /// The parts, in order; how the bytes are cut into parts means nothing.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// Bytes of all parts.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "an empty value is a no-op: see is_noop"
    )]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// CRC32C over all parts, joined.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Whether it is the empty value.
    #[must_use]
    pub fn is_noop(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} B, {:08x})", self.len, self.checksum)
    }
}

/// What is at the other end of a link, and whether it just came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The control connection to the peer is there (again).
    ControlUp,
    /// The connection for accepts and catch-up is there (again); what was under way on the old one is lost.
    AcceptsUp,
    /// No connection to the peer.
    Down,
}

/// What the owner knows of this replica's own disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskHealth {
    /// Syncs return.
    Well,
    /// A sync has not returned for the stall limit; it may still.
    Stalled,
    /// A write or sync failed: nothing becomes durable any more in this life.
    Failed,
}

/// The owner's handle of one linearizable read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadToken(pub u64);

/// The number of one Persist effect: they rise by 1, and durability is reported cumulatively.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PersistId(pub u64);

/// The number of one `ReadValue` effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ReadId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ballots_bits_keep_its_order() {
        let mut ballots = vec![
            Ballot::new(2, ReplicaId(1)),
            Ballot::new(1, ReplicaId(65_535)),
            Ballot::new(Ballot::ROUND_MAX, ReplicaId(3)),
            Ballot::NONE,
        ];
        ballots.sort();
        let bits: Vec<u64> = ballots.iter().map(|b| b.to_u64()).collect();
        assert!(bits.is_sorted());
        assert!(
            bits.iter()
                .zip(&ballots)
                .all(|(&x, &b)| Ballot::from_u64(x) == b)
        );
    }

    #[test]
    fn how_a_value_is_cut_does_not_change_its_checksum() {
        let whole = Value::from_parts(vec![Bytes::from_static(b"one append")]);
        let cut = Value::from_parts(vec![
            Bytes::from_static(b"one "),
            Bytes::from_static(b"append"),
        ]);
        assert_eq!((whole.len(), whole.checksum()), (cut.len(), cut.checksum()));
        assert!(Value::noop().is_noop() && !whole.is_noop());
        assert_eq!(Value::from_parts(vec![]), Value::noop());
    }
}
