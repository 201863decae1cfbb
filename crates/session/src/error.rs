//! How a call ends that did not succeed.

use std::fmt;

use paxlog_wire::{Code, LeaderHint, OutcomeFact, Retry, WireError};

/// A stable code, a sentence, and the two facts to act on, over all attempts of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The stable code.
    pub code: Code,
    /// A sentence that says what to do; for people.
    pub message: String,
    /// Whether, when and where to try again.
    pub retry: Retry,
    /// What is known of the effect: [`OutcomeFact::Unknown`] if any attempt's was and no later
    /// reply settled it.
    pub outcome: OutcomeFact,
    /// The leader, if the answer named it.
    pub leader: Option<Box<LeaderHint>>,
    /// The log's tail, with `TailMismatch`, `Sealed` and `OffsetOutOfRange`.
    pub tail: Option<u64>,
    /// The first offset still kept, with `Trimmed`.
    pub trim_point: Option<u64>,
    /// How many commands had been applied to the log, where the error is about one.
    pub version: Option<u64>,
}

impl Error {
    /// An error that was made here, not by a replica.
    pub fn new(code: Code, message: impl Into<Box<str>>) -> Error {
        Error::from(WireError::new(code, message))
    }

    /// The same, where an attempt's outcome was left open.
    #[must_use]
    pub fn with_unknown_outcome(mut self) -> Error {
        self.outcome = OutcomeFact::Unknown;
        self
    }

    /// The exit code of a program that ends with this.
    pub fn exit_code(&self) -> u8 {
        match self.outcome {
            OutcomeFact::Unknown => Code::OutcomeUnknown.exit_code(),
            OutcomeFact::NotApplied | OutcomeFact::NotAWrite => self.code.exit_code(),
        }
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Error {
        Error {
            code: error.code,
            retry: error.retry(),
            outcome: error.outcome(),
            message: error.message.into(),
            leader: error.leader,
            tail: error.tail,
            trim_point: error.trim_point,
            version: error.version,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            return f.write_str(self.code.name());
        }
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_outcome_decides_the_exit_code() {
        let error = Error::new(Code::DeadlineExceeded, "late");
        assert_eq!(error.exit_code(), 3);
        assert_eq!(error.with_unknown_outcome().exit_code(), 4);
    }
}
