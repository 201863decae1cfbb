//! Read and tail streams: batches as their producers built them, with offsets and a timestamp beside them.

use bytes::Bytes;

use crate::codec::{Decode, DecodeError, Encode};
use crate::error::WireError;
use crate::parts;

use super::query::LogRef;

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ReadFrom {
    /// At an offset.
    Offset(u64),
    /// At the first offset still kept.
    First,
    /// At the tail: only what comes.
    Tail,
    /// So many records before the tail, or at the first kept.
    TailMinus(u64),
    /// At the first record whose timestamp is not less.
    Timestamp(u64),
    /// Where the cursor of that name stands; refused with `NotFound` if the log has none.
    Cursor(String),
}

/// Opens a read stream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReadRequest {
    /// How long the client will still wait, in milliseconds, from when it sent this.
    pub deadline_ms: u32,
    /// The log.
    pub log: LogRef,
    /// Where to begin.
    pub from: ReadFrom,
    /// End after so many records; 0 for no bound.
    pub records_max: u64,
    /// End once so many bytes of batches went out; 0 for no bound. At least one batch goes out.
    pub bytes_max: u64,
    /// End where the tail was when the read began. Without it a read ends at the tail only after `wait_ms` passed.
    pub until_tail: bool,
    /// End before the first record with this timestamp or a later one; 0 for no bound.
    pub until_timestamp: u64,
    /// How long to wait at the tail for more, in milliseconds.
    pub wait_ms: u32,
    /// Whether to refuse with `Trimmed` where records are gone, instead of going on at the trim point.
    pub strict: bool,
    /// Whether everything acknowledged before the request must be seen: the replica asks the leader first how far that is.
    pub linearizable: bool,
}

/// Opens a tail stream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TailRequest {
    /// The log.
    pub log: LogRef,
    /// Where to begin.
    pub from: ReadFrom,
    /// The bytes of `Records` bodies that may be sent before a [`Credit`] comes. A batch larger than what is left is sent once
    /// all earlier ones were credited back.
    pub credit_bytes: u64,
}

/// More credit on a tail stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Credit {
    /// The bytes of `Records` bodies that may be sent on top.
    pub bytes: u64,
}

/// What a stream of records begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Started {
    /// The log's id.
    pub log: u64,
    /// The offset that `from` turned out to be. The first batch may begin before it: skip those records.
    pub from: u64,
    /// The tail when the stream began.
    pub tail: u64,
    /// The first offset still kept.
    pub trim_point: u64,
    /// How many commands had been applied to the log.
    pub version: u64,
    /// How old this may be, in milliseconds: the answering replica knows of everything that was acknowledged before;
    /// none: it does not know how far behind it is.
    pub stale_ms: Option<u32>,
}

/// One batch in the body of a `Records` frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BatchMeta {
    /// The offset of the batch's first record. The first batch of a stream may begin before the offset that was asked for.
    pub start: u64,
    /// How many records the batch has.
    pub records: u32,
    /// The length of the batch in the body.
    pub bytes: u32,
    /// The batch's timestamp.
    pub timestamp: u64,
}

impl BatchMeta {
    /// One beyond the offset of the last record.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(u64::from(self.records))
    }
}

/// What a replica sends on a read stream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ReadEvent {
    /// The first frame of an accepted read.
    Started(Started),
    /// Batches, in the order of their offsets; the body is the batches one behind the other ([`split_batches`]).
    Records(Vec<BatchMeta>),
    /// Records up to here were trimmed (not in strict reads).
    Gap {
        /// The offset of the next record to come.
        to: u64,
    },
    /// The read is over.
    End {
        /// The offset to read on from.
        next: u64,
        /// The tail.
        tail: u64,
        /// Why it is over.
        reason: EndReason,
    },
    /// The read is refused or broken off; nothing follows.
    Refused(WireError),
}

/// Why a read is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum EndReason {
    /// The tail was reached, and nothing came in time.
    Tail,
    /// The bound on records or bytes was reached.
    Limit,
    /// The bound on time was reached.
    Until,
    /// The end of a sealed log was reached.
    Sealed,
}

/// What a replica sends on a tail stream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum TailEvent {
    /// The first frame of an accepted tail.
    Started(Started),
    /// Batches, in the order of their offsets; the body is the batches one behind the other ([`split_batches`]).
    Records(Vec<BatchMeta>),
    /// Records up to here were trimmed before they were sent.
    Gap {
        /// The offset of the next record to come.
        to: u64,
    },
    /// Everything up to here was sent; said each time that the tail is reached.
    CaughtUp {
        /// The tail.
        tail: u64,
    },
    /// The log is sealed and everything was sent; nothing follows.
    Sealed {
        /// The log's end.
        tail: u64,
    },
    /// Nothing new, but the replica is there.
    Heartbeat {
        /// The tail, as far as this replica knows.
        tail: u64,
    },
    /// The tail is refused or broken off; nothing follows.
    Refused(WireError),
}

/// Cuts the body of a `Records` frame into its batches, without copying.
///
/// # Errors
/// When the lengths in `batches` do not add up to the body's.
pub fn split_batches(
    batches: &[BatchMeta],
    body: &[Bytes],
) -> Result<Vec<Vec<Bytes>>, DecodeError> {
    let mut cursor = parts::Cursor::new(body);
    let cut = batches
        .iter()
        .map(|batch| cursor.take(batch.bytes as usize))
        .collect::<Option<Vec<_>>>();
    match cut {
        Some(cut) if cursor.remaining() == 0 => Ok(cut),
        _ => Err(DecodeError::BodyLength),
    }
}
