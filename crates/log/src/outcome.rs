//! What became of a command.

use crate::ids::{LogId, Offset, ProducerId, Timestamp};
use crate::refusal::Refusal;

/// What became of a command.
///
/// `version` counts the commands applied to the log, its creation being the
/// first; refused and duplicate ones do not count. It is the log's version
/// right after the command (or as the refusal saw it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A producer was opened.
    ProducerOpened {
        /// Its id.
        producer: ProducerId,
        /// The epoch to number under; sequences start at 0.
        epoch: u32,
        /// The last receipt of any older epoch: a sequence of that epoch at or
        /// below it was applied, one above it never will be.
        last: Option<LastReceipt>,
        /// The same opening (name, nonce) was answered before.
        duplicate: bool,
    },
    /// It was done.
    Applied {
        /// What it did.
        receipt: Receipt,
        /// This is the answer to an earlier sending of the same command.
        duplicate: bool,
    },
    /// Nothing was changed.
    Refused {
        /// Why.
        why: Refusal,
        /// The log's version as the refusal saw it; none where no log was
        /// looked at, as for a sequence behind the one that ended its epoch.
        version: Option<u64>,
    },
}

/// The kept answer to one applied command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The batch is in the log at `start .. start + records`; its end is the tail right after it.
    Appended {
        /// The log.
        log: LogId,
        /// Offset of the first record.
        start: Offset,
        /// How many records; `start + records` is no overflow.
        records: u32,
        /// Of all its records.
        timestamp: Timestamp,
        /// The log's version.
        version: u64,
    },
    /// The log exists.
    Created {
        /// Its id.
        log: LogId,
        /// Its version.
        version: u64,
        /// It existed before.
        existed: bool,
    },
    /// Offsets below the trim point are gone.
    Trimmed {
        /// The log.
        log: LogId,
        /// The first offset kept; never lower than it was.
        trim_point: Offset,
        /// The log's tail.
        tail: Offset,
        /// The log's version.
        version: u64,
    },
    /// The log takes no more records.
    Sealed {
        /// The log.
        log: LogId,
        /// Its last tail.
        tail: Offset,
        /// Its version.
        version: u64,
    },
    /// The log's settings were changed.
    Altered {
        /// The log.
        log: LogId,
        /// Its version.
        version: u64,
    },
    /// The log is gone; its name is free.
    Deleted {
        /// The log.
        log: LogId,
        /// Its last version.
        version: u64,
    },
    /// Appends must carry another token from here on, or none again.
    FenceSet {
        /// The log.
        log: LogId,
        /// Its tail: nothing under the former fence comes behind it.
        tail: Offset,
        /// Its version.
        version: u64,
    },
    /// The cursor stands there.
    CursorSet {
        /// The log.
        log: LogId,
        /// Where it stands.
        at: Offset,
        /// The log's version.
        version: u64,
    },
    /// The cursor is gone.
    CursorDeleted {
        /// The log.
        log: LogId,
        /// The log's version.
        version: u64,
    },
}

/// The last receipt of a producer's closed epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastReceipt {
    /// The epoch it was numbered under.
    pub epoch: u32,
    /// Its sequence.
    pub sequence: u64,
    /// The answer.
    pub receipt: Receipt,
}

impl Receipt {
    /// The answer as an outcome.
    pub fn outcome(self, duplicate: bool) -> Outcome {
        Outcome::Applied {
            receipt: self,
            duplicate,
        }
    }

    /// The log it is about.
    pub fn log(&self) -> LogId {
        match *self {
            Receipt::Appended { log, .. }
            | Receipt::Created { log, .. }
            | Receipt::Trimmed { log, .. }
            | Receipt::Sealed { log, .. }
            | Receipt::Altered { log, .. }
            | Receipt::Deleted { log, .. }
            | Receipt::FenceSet { log, .. }
            | Receipt::CursorSet { log, .. }
            | Receipt::CursorDeleted { log, .. } => log,
        }
    }
}
