//! Why a command was not applied.

use crate::ids::{LogId, Offset};

/// Why a command changed nothing. Decided at apply, so the same on every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The producer was opened again since; this epoch is closed.
    #[error("this producer was opened elsewhere, its epoch is now {epoch}")]
    Fenced {
        /// The producer's epoch now.
        epoch: u32,
    },
    /// The receipt, or the producer with all its receipts, was forgotten, so
    /// nobody can tell any more whether the command was applied.
    #[error("the receipt is no longer kept: read the log to see whether the records are there")]
    DedupExpired,
    /// An earlier sequence of this epoch has not been applied.
    #[error("sequence {expected} of this producer must come first")]
    SequenceGap {
        /// The sequence that the producer's epoch goes on with.
        expected: u64,
    },
    /// The log takes no more records.
    #[error("the log is sealed at {tail}")]
    Sealed {
        /// Its last tail.
        tail: Offset,
    },
    /// No such log.
    #[error("there is no such log")]
    NotFound,
    /// A log of that name exists.
    #[error("a log of that name exists")]
    AlreadyExists {
        /// The log that bears the name.
        log: LogId,
    },
    /// The log existed and was deleted.
    #[error("the log was deleted")]
    LogDeleted,
    /// The batch, or the number of logs, is over its limit.
    #[error("over the limit: at most {limit}")]
    TooLarge {
        /// The limit that was passed.
        limit: u64,
    },
    /// The command makes no sense.
    #[error("invalid: {0}")]
    Invalid(Invalidity),
    /// The log's tail is another than the command was conditioned on.
    #[error("the tail is {tail}")]
    TailMismatch {
        /// The real tail.
        tail: Offset,
    },
    /// The log's fence is another than the append carries, or than a new fence was conditioned on.
    #[error("the log has another fence than this")]
    OtherFence,
    /// There is no cursor of that name.
    #[error("the log has no such cursor")]
    NoCursor,
    /// The cursor stands elsewhere than the command was conditioned on.
    #[error("the cursor {}", match at { Some(at) => format!("stands at {at}"), None => "does not exist".to_owned() })]
    CursorMismatch {
        /// Where it stands; none if there is none.
        at: Option<Offset>,
    },
    /// The offset lies beyond the tail.
    #[error("the offset lies beyond the tail, which is {tail}")]
    OffsetOutOfRange {
        /// The real tail.
        tail: Offset,
    },
}

/// In which way a command makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalidity {
    /// A batch holds at least one record.
    #[error("the batch has no records")]
    EmptyBatch,
    /// Every command but the opening of a producer is numbered.
    #[error("the command is not numbered")]
    NotNumbered,
    /// An opening is not numbered; its nonce is what makes it known again.
    #[error("the opening of a producer is not numbered")]
    Numbered,
    /// No producer of that id was ever granted.
    #[error("there is no such producer")]
    UnknownProducer,
    /// The producer was never opened that often.
    #[error("the producer's epoch is older than that")]
    EpochAhead,
    /// The sequence was used before for a command of another kind or log.
    #[error("the sequence was used for another command")]
    SequenceReused,
    /// The producer was opened 2^32 - 1 times.
    #[error("the producer can't be opened again, use another name")]
    EpochsSpent,
}
