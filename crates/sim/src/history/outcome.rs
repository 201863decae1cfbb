//! What came of an operation.

use serde::{Deserialize, Serialize};

use super::stored::{self, Stored};

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It was answered.
    Ok(Reply),
    /// It is known that nothing was applied, by any attempt; of a read, that it was refused.
    NotApplied {
        /// The error's code.
        code: String,
        /// What the refusal saw of the log, if it was decided where the log's commands are ordered
        /// (`TailMismatch`, `Sealed`, `OffsetOutOfRange` of a trim …). Leave it out where that is not sure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<Observed>,
    },
    /// Nobody knows whether it was or will be applied.
    Unknown {
        /// The error's code, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
}

/// Where a cursor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CursorAt {
    /// There is none of that name.
    Absent,
    /// At this offset.
    At(u64),
}

impl From<Option<u64>> for CursorAt {
    fn from(at: Option<u64>) -> CursorAt {
        at.map_or(CursorAt::Absent, CursorAt::At)
    }
}

/// What a refusal saw of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// The tail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u64>,
    /// How many commands had been applied to the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Whether it took no more appends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<bool>,
    /// Where the cursor stood that the command was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<CursorAt>,
}

/// What a reply said. A `version` is how many commands had been applied to the log, the answered one included; it is
/// none where the recorder does not learn it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// To an append.
    Appended(Receipt),
    /// To a trim.
    Trimmed {
        /// The first offset still kept.
        trim_point: u64,
        /// The tail right after it.
        tail: u64,
        /// See [`Reply`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// Whether this answers an earlier sending.
        #[serde(default, skip_serializing_if = "not")]
        duplicate: bool,
    },
    /// To a seal.
    Sealed {
        /// The log's end.
        tail: u64,
        /// See [`Reply`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// Whether this answers an earlier sending.
        #[serde(default, skip_serializing_if = "not")]
        duplicate: bool,
    },
    /// To the setting of a fence.
    FenceSet {
        /// The tail right after it.
        tail: u64,
        /// See [`Reply`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// Whether this answers an earlier sending.
        #[serde(default, skip_serializing_if = "not")]
        duplicate: bool,
    },
    /// To the setting or deletion of a cursor, and to a change of settings.
    Changed {
        /// See [`Reply`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// Whether this answers an earlier sending.
        #[serde(default, skip_serializing_if = "not")]
        duplicate: bool,
    },
    /// To the question where a cursor stands.
    Cursor {
        /// Where.
        at: CursorAt,
        /// See [`Reply`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
    },
    /// To a delete.
    Deleted {
        /// See [`Reply`]: the last that the log had.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// Whether this answers an earlier sending.
        #[serde(default, skip_serializing_if = "not")]
        duplicate: bool,
    },
    /// To a create.
    Created {
        /// See [`Reply`]; the making of a log is its first command.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// Whether it was there before.
        existed: bool,
    },
    /// To a check-tail.
    Tail(TailReply),
    /// To a read.
    Read(ReadReply),
    /// One event of a tail.
    Event(Event),
}

fn not(flag: &bool) -> bool {
    !*flag
}

/// What an append returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The id of the log that the records are in, if the recorder learned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<u64>,
    /// The offset of the first record.
    pub start: u64,
    /// One beyond the offset of the last record.
    pub end: u64,
    /// Of all its records, in nanoseconds since 1970.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "super::stored::nanoseconds"
    )]
    pub timestamp: Option<u64>,
    /// The log's tail when this was answered; `end <= tail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u64>,
    /// See [`Reply`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Whether this answers an earlier sending.
    #[serde(default, skip_serializing_if = "not")]
    pub duplicate: bool,
}

impl Receipt {
    /// A receipt that says where the records are and nothing else.
    pub fn at(offsets: std::ops::Range<u64>) -> Receipt {
        Receipt {
            log: None,
            start: offsets.start,
            end: offsets.end,
            timestamp: None,
            tail: None,
            version: None,
            duplicate: false,
        }
    }
}

/// What a check-tail returns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailReply {
    /// The next offset to be assigned.
    pub offset: u64,
    /// The newest batch's, in nanoseconds since 1970; 0 if there was none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "super::stored::nanoseconds"
    )]
    pub timestamp: Option<u64>,
    /// The first offset still kept.
    pub trim_point: u64,
    /// Whether the log took no more appends.
    pub sealed: bool,
    /// See [`Reply`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// What appends had to carry, empty where that was nothing; none where it was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<String>,
}

/// What a read gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadReply {
    /// The records, in the order in which they came.
    #[serde(default, with = "stored::runs")]
    pub records: Vec<Stored>,
    /// What it left out because it was trimmed, in the order of the offsets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// The offset to read on from, if it came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// The tail that it saw when it began, at which it would end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u64>,
    /// The code of the error that broke it off, if one did: what was given before stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Offsets `from..to` that were left out because they were trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The first offset left out.
    pub from: u64,
    /// The offset of the next record to come.
    pub to: u64,
}

/// One event of a tail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// Records, in the order in which they came.
    Records(#[serde(with = "stored::runs")] Vec<Stored>),
    /// Records were trimmed before they were given.
    Gap {
        /// The offset of the next record to come.
        to: u64,
    },
    /// Everything below was given.
    CaughtUp {
        /// The tail.
        tail: u64,
    },
    /// The log is sealed, and everything was given.
    Sealed {
        /// The log's end.
        tail: u64,
    },
}
