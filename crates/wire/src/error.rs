//! The error catalogue: stable codes, and what each means for whoever gets it.
//!
//! Numbers never change and are never used again. The matches below are exhaustive, without a wildcard: a code that is added
//! cannot forget what it means.

use std::fmt;
use std::time::Duration;

use crate::codec::{Decode, Encode};

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal,)*) => {
        /// A stable error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Code { $($(#[doc = $doc])* $name = $number,)* }

        impl Code {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The code with this number, if this build knows it.
            pub fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Code::$name),)* _ => None }
            }

            /// The code's name, as users see it.
            pub fn name(self) -> &'static str {
                match self { $(Code::$name => stringify!($name),)* }
            }

            /// What it says in general: its documentation, which is also that of the protocol.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => concat!($($doc),*).trim_ascii(),)* }
            }
        }
    };
}

codes! {
    /// This replica does not lead; the leader's address is carried if it is known.
    NotLeader = 1,
    /// A leader is being elected.
    Electing = 2,
    /// No quorum, or shutting down.
    Unavailable = 3,
    /// Leadership was lost, the deadline passed or storage failed after acceptance: it may be applied or not.
    OutcomeUnknown = 4,
    /// The deadline passed before anything was proposed.
    DeadlineExceeded = 5,
    /// The producer, or the receipt of this sequence, is forgotten.
    DedupExpired = 6,
    /// Over a rate limit.
    Throttled = 7,
    /// Too much is in flight here.
    Overloaded = 8,
    /// No room on the disk; reads and trims still work.
    DiskFull = 9,
    /// A newer epoch or fence shuts this writer out.
    Fenced = 10,
    /// The tail is not where the append expects it; the real one is carried.
    TailMismatch = 11,
    /// The sequence is not the next one of its epoch; the one that is due is carried: go on from that one, in order.
    SequenceGap = 12,
    /// The log takes no more appends.
    Sealed = 13,
    /// The cursor does not stand where the update expects it.
    CursorMismatch = 14,
    /// The log was deleted.
    LogDeleted = 15,
    /// A record, batch or header section is over its limit.
    TooLarge = 16,
    /// The request makes no sense as it is.
    Invalid = 17,
    /// There is no such log, or the log has no such cursor.
    NotFound = 18,
    /// There is a log of this name.
    AlreadyExists = 19,
    /// The records are below the trim point (strict reads).
    Trimmed = 20,
    /// The offset lies beyond the tail: a read may wait for it; a trim or cursor was refused, and not applied.
    OffsetOutOfRange = 21,
    /// This replica's copy is damaged.
    Corrupt = 22,
    /// No replica has it.
    DataLost = 23,
    /// A bug: report it.
    Internal = 24,
    /// No acceptable certificate.
    Unauthenticated = 25,
    /// The certificate does not allow this.
    Forbidden = 26,
    /// The other side belongs to another cluster.
    WrongCluster = 27,
    /// No version of the protocol that both sides speak.
    VersionMismatch = 28,
}

/// Whether, when and where to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// At once; a write under the same sequence.
    Now,
    /// Not before this time has passed.
    After(Duration),
    /// At another replica: the leader, if it is named.
    Elsewhere,
    /// Not as it is.
    Never,
}

/// What is known of the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeFact {
    /// It did not and will not happen.
    NotApplied,
    /// It may have happened, or may still happen.
    Unknown,
    /// There was nothing to apply; or, of a command that a replica answers so, nothing was: see [`OutcomeFact::of_a_write`].
    NotAWrite,
}

impl OutcomeFact {
    /// The same, where it is known that it was a write which was refused: some codes are given to reads and writes alike.
    #[must_use]
    pub fn of_a_write(self) -> Self {
        match self {
            OutcomeFact::NotAWrite => OutcomeFact::NotApplied,
            other => other,
        }
    }
}

/// How long to wait where the other side named no time.
const AFTER_DEFAULT: Duration = Duration::from_millis(50);

impl Code {
    /// The code's number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Whether, when and where to try again, in general.
    pub fn retry(self) -> Retry {
        match self {
            Code::NotLeader | Code::Corrupt => Retry::Elsewhere,
            Code::Electing
            | Code::Unavailable
            | Code::Throttled
            | Code::Overloaded
            | Code::DiskFull
            | Code::OffsetOutOfRange => Retry::After(AFTER_DEFAULT),
            Code::OutcomeUnknown | Code::DeadlineExceeded => Retry::Now,
            Code::DedupExpired
            | Code::Fenced
            | Code::TailMismatch
            | Code::SequenceGap
            | Code::Sealed
            | Code::CursorMismatch
            | Code::LogDeleted
            | Code::TooLarge
            | Code::Invalid
            | Code::NotFound
            | Code::AlreadyExists
            | Code::Trimmed
            | Code::DataLost
            | Code::Internal
            | Code::Unauthenticated
            | Code::Forbidden
            | Code::WrongCluster
            | Code::VersionMismatch => Retry::Never,
        }
    }

    /// What is known of the effect.
    pub fn outcome(self) -> OutcomeFact {
        match self {
            Code::OutcomeUnknown | Code::DedupExpired | Code::Internal => OutcomeFact::Unknown,
            Code::Trimmed | Code::OffsetOutOfRange | Code::Corrupt | Code::DataLost => {
                OutcomeFact::NotAWrite
            }
            Code::NotLeader
            | Code::Electing
            | Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Throttled
            | Code::Overloaded
            | Code::DiskFull
            | Code::Fenced
            | Code::TailMismatch
            | Code::SequenceGap
            | Code::Sealed
            | Code::CursorMismatch
            | Code::LogDeleted
            | Code::TooLarge
            | Code::Invalid
            | Code::NotFound
            | Code::AlreadyExists
            | Code::Unauthenticated
            | Code::Forbidden
            | Code::WrongCluster
            | Code::VersionMismatch => OutcomeFact::NotApplied,
        }
    }

    /// The program's exit code when it ends with this.
    pub fn exit_code(self) -> u8 {
        match self {
            Code::Fenced
            | Code::TailMismatch
            | Code::SequenceGap
            | Code::Sealed
            | Code::CursorMismatch
            | Code::LogDeleted
            | Code::TooLarge
            | Code::Invalid
            | Code::NotFound
            | Code::AlreadyExists
            | Code::Trimmed
            | Code::OffsetOutOfRange
            | Code::Unauthenticated
            | Code::Forbidden
            | Code::WrongCluster
            | Code::VersionMismatch => 1,
            Code::NotLeader
            | Code::Electing
            | Code::Unavailable
            | Code::Throttled
            | Code::Overloaded
            | Code::DiskFull
            | Code::DeadlineExceeded => 3,
            Code::OutcomeUnknown | Code::DedupExpired | Code::Internal => 4,
            Code::Corrupt | Code::DataLost => 5,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who leads, and where clients reach it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LeaderHint {
    /// The ballot it leads under; a hint with a lower one is older.
    pub ballot: u64,
    /// The leader's id.
    pub replica: u16,
    /// The addresses for clients, best first; empty if they are not known.
    pub addresses: Vec<String>,
}

/// An error as it travels: a code, a sentence that says what to do, and facts to act on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WireError {
    /// The stable code.
    pub code: Code,
    /// A sentence for people. Nothing may be read out of it by a program.
    pub message: Box<str>,
    /// When to try again, where the code's retry is *after*, in milliseconds.
    pub retry_after_ms: Option<u32>,
    /// The leader, with `NotLeader`.
    pub leader: Option<Box<LeaderHint>>,
    /// The log's tail, with `TailMismatch`, `Sealed` and `OffsetOutOfRange`.
    pub tail: Option<u64>,
    /// The first offset still kept, with `Trimmed`.
    pub trim_point: Option<u64>,
    /// What stands where something else was expected: the sequence of the epoch that is due, with `SequenceGap` (whoever
    /// has commands in flight sends again from that one on; the refused one by itself is never right); the producer's
    /// epoch, with `Fenced` where it was opened again elsewhere (none: it is the log's fence that differs); where the
    /// cursor stands, with `CursorMismatch` (none: there is no such cursor).
    pub found: Option<u64>,
    /// The id of the log that has the name already, with `AlreadyExists`.
    pub log: Option<u64>,
    /// How many commands had been applied to the log, where one was looked at.
    pub version: Option<u64>,
}

impl WireError {
    /// An error with nothing but its code and sentence.
    pub fn new(code: Code, message: impl Into<Box<str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after_ms: None,
            leader: None,
            tail: None,
            trim_point: None,
            found: None,
            log: None,
            version: None,
        }
    }

    /// The same, with the leader.
    #[must_use]
    pub fn with_leader(mut self, leader: Option<LeaderHint>) -> Self {
        self.leader = leader.map(Box::new);
        self
    }

    /// The same, with a time to try again after.
    #[must_use]
    pub fn with_retry_after_ms(mut self, retry_after_ms: u32) -> Self {
        self.retry_after_ms = Some(retry_after_ms);
        self
    }

    /// The same, with the log's tail.
    #[must_use]
    pub fn with_tail(mut self, tail: u64) -> Self {
        self.tail = Some(tail);
        self
    }

    /// The same, with the log's version.
    #[must_use]
    pub fn with_version(mut self, version: Option<u64>) -> Self {
        self.version = version;
        self
    }

    /// Whether, when and where to try again.
    pub fn retry(&self) -> Retry {
        match (self.code.retry(), self.retry_after_ms) {
            (Retry::After(_), Some(ms)) => Retry::After(Duration::from_millis(u64::from(ms))),
            (retry, _) => retry,
        }
    }

    /// What is known of the effect.
    pub fn outcome(&self) -> OutcomeFact {
        self.code.outcome()
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            return f.write_str(self.code.name());
        }
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for WireError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_unique() {
        for (i, &code) in Code::ALL.iter().enumerate() {
            assert_eq!(usize::from(code.number()), i + 1, "{code}");
            assert_eq!(Code::from_number(code.number()), Some(code));
        }
        assert_eq!(Code::from_number(0), None);
        assert_eq!(Code::from_number(Code::ALL.len() as u16 + 1), None);
    }

    #[test]
    fn exit_code_tells_unknown_outcomes_from_refusals() {
        for &code in Code::ALL {
            let unknown = code.outcome() == OutcomeFact::Unknown;
            assert_eq!(code.exit_code() == 4, unknown, "{code}");
            assert!(matches!(code.exit_code(), 1 | 3 | 4 | 5), "{code}");
            if code.exit_code() == 3 {
                assert_ne!(
                    code.retry(),
                    Retry::Never,
                    "{code}: unavailable means try again"
                );
            }
        }
    }

    #[test]
    fn a_write_that_is_refused_was_not_applied_whatever_else_the_code_is_for() {
        for &code in Code::ALL {
            let of_a_write = code.outcome().of_a_write();
            assert_ne!(of_a_write, OutcomeFact::NotAWrite, "{code}");
            let unknown = code.outcome() == OutcomeFact::Unknown;
            assert_eq!(of_a_write == OutcomeFact::Unknown, unknown, "{code}");
        }
    }

    #[test]
    fn results_of_it_stay_cheap() {
        // From 128 bytes on clippy objects to every `Result<_, WireError>`.
        assert!(size_of::<WireError>() < 128);
    }

    #[test]
    fn named_time_overrides_the_default_only_where_waiting_is_the_answer() {
        let throttled = WireError::new(Code::Throttled, "").with_retry_after_ms(7);
        assert_eq!(throttled.retry(), Retry::After(Duration::from_millis(7)));
        let fenced = WireError::new(Code::Fenced, "").with_retry_after_ms(7);
        assert_eq!(fenced.retry(), Retry::Never);
    }
}
