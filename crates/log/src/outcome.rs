//! What became of a command.

use crate::ids::{LogId, Offset, ProducerId, Timestamp};
use crate::refusal::Refusal;

/// What became of a command. A duplicate gets its first answer again, marked.
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
    /// The log exists.
    Created {
        /// Its id.
        log: LogId,
        /// Its version.
        version: u64,
        /// It existed before.
        existed: bool,
        /// An answer given before.
        duplicate: bool,
    },
    /// The batch is in the log at `start..end`.
    Appended {
        /// The log.
        log: LogId,
        /// Offset of the first record.
        start: Offset,
        /// One past the last record.
        end: Offset,
        /// Of all its records.
        timestamp: Timestamp,
        /// The log's tail right after it: equal to `end`.
        tail: Offset,
        /// The log's version.
        version: u64,
        /// An answer given before.
        duplicate: bool,
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
        /// An answer given before.
        duplicate: bool,
    },
    /// The log takes no more records.
    Sealed {
        /// The log.
        log: LogId,
        /// Its last tail.
        tail: Offset,
        /// Its version.
        version: u64,
        /// An answer given before.
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
    /// See [`Outcome::Appended`].
    Appended {
        /// The log.
        log: LogId,
        /// Offset of the first record.
        start: Offset,
        /// How many records.
        records: u32,
        /// Of all its records.
        timestamp: Timestamp,
        /// The log's version.
        version: u64,
    },
    /// See [`Outcome::Created`].
    Created {
        /// The log.
        log: LogId,
        /// Its version.
        version: u64,
        /// It existed before.
        existed: bool,
    },
    /// See [`Outcome::Trimmed`].
    Trimmed {
        /// The log.
        log: LogId,
        /// The first offset kept.
        trim_point: Offset,
        /// The log's tail.
        tail: Offset,
        /// The log's version.
        version: u64,
    },
    /// See [`Outcome::Sealed`].
    Sealed {
        /// The log.
        log: LogId,
        /// Its last tail.
        tail: Offset,
        /// Its version.
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
        match self {
            Receipt::Appended {
                log,
                start,
                records,
                timestamp,
                version,
            } => {
                // Apply refused the append if this could pass u64::MAX.
                let end = Offset(start.0 + u64::from(records));
                Outcome::Appended {
                    log,
                    start,
                    end,
                    timestamp,
                    tail: end,
                    version,
                    duplicate,
                }
            }
            Receipt::Created {
                log,
                version,
                existed,
            } => Outcome::Created {
                log,
                version,
                existed,
                duplicate,
            },
            Receipt::Trimmed {
                log,
                trim_point,
                tail,
                version,
            } => Outcome::Trimmed {
                log,
                trim_point,
                tail,
                version,
                duplicate,
            },
            Receipt::Sealed { log, tail, version } => Outcome::Sealed {
                log,
                tail,
                version,
                duplicate,
            },
        }
    }

    /// The log it is about.
    pub fn log(&self) -> LogId {
        match *self {
            Receipt::Appended { log, .. }
            | Receipt::Created { log, .. }
            | Receipt::Trimmed { log, .. }
            | Receipt::Sealed { log, .. } => log,
        }
    }
}
