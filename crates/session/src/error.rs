//! How a call ends that did not succeed.

use std::fmt;

use paxlog_wire::{Code, LeaderHint, OutcomeFact, Retry, WireError};

use crate::Server;

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
    /// What stands where something else was expected: the sequence of the epoch that is due, with `SequenceGap`; the producer's
    /// epoch, with `Fenced` where it was opened again elsewhere (none: it is the log's fence that differs); where the
    /// cursor stands, with `CursorMismatch` (none: there is no such cursor). And what [`Error::skip_to`] gives.
    pub found: Option<u64>,
    /// How many commands had been applied to the log, where one was looked at.
    pub version: Option<u64>,
}

impl Error {
    /// An error that was made here, not by a replica.
    pub fn new(code: Code, message: impl Into<Box<str>>) -> Error {
        Error::from(WireError::new(code, message))
    }

    /// A replica's refusal of a command: whatever the code says in general, there was something to apply.
    pub(crate) fn of_a_write(refusal: WireError) -> Error {
        let error = Error::from(refusal);
        Error {
            outcome: error.outcome.of_a_write(),
            ..error
        }
    }

    /// The same, where an attempt's outcome was left open.
    #[must_use]
    pub fn with_unknown_outcome(mut self) -> Error {
        self.outcome = OutcomeFact::Unknown;
        self
    }

    /// Where a read or a tail came upon a batch that cannot be read as its producer wrote it (`Invalid`): one beyond the
    /// offset of its last record, from where reading can go on.
    pub fn skip_to(&self) -> Option<u64> {
        self.found.filter(|_| self.code == Code::Invalid)
    }

    /// The exit code of a program that ends with this.
    pub fn exit_code(&self) -> u8 {
        match self.outcome {
            OutcomeFact::Unknown => Code::OutcomeUnknown.exit_code(),
            OutcomeFact::NotApplied | OutcomeFact::NotAWrite => self.code.exit_code(),
        }
    }
}

/// What each server said, in one sentence, those together that said the same: `a, b: no answer; c: this replica is
/// stopping`.
pub fn account<'a>(said: impl IntoIterator<Item = (&'a Server, &'a str)>) -> String {
    let mut parts: Vec<(String, &str)> = Vec::new();
    for (server, words) in said {
        match parts.iter_mut().find(|(_, same)| *same == words) {
            Some((servers, _)) => servers.push_str(&format!(", {server}")),
            // It names the server itself.
            None if words.contains(&*server.0) => parts.push((String::new(), words)),
            None => parts.push((server.to_string(), words)),
        }
    }
    let parts = parts.iter().map(|(servers, words)| match servers.as_str() {
        "" => (*words).to_owned(),
        servers => format!("{servers}: {words}"),
    });
    parts.collect::<Vec<_>>().join("; ")
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
            found: error.found,
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
    fn what_servers_said_names_each_once() {
        let [a, b, c] = ["10.0.0.1:7400", "10.0.0.2:7400", "c:7400"].map(|n| Server(n.into()));
        let said = [
            (&a, "no answer"),
            (&b, "10.0.0.2:7400 has no address"),
            (&c, "no answer"),
        ];
        assert_eq!(
            account(said),
            "10.0.0.1:7400, c:7400: no answer; 10.0.0.2:7400 has no address"
        );
    }

    #[test]
    fn a_refused_trim_was_not_applied_though_a_read_is_refused_with_the_same_code() {
        let refusal = WireError::new(Code::OffsetOutOfRange, "beyond the tail");
        let read = Error::from(refusal.clone());
        assert_eq!(read.outcome, OutcomeFact::NotAWrite);
        assert_eq!(Error::of_a_write(refusal).outcome, OutcomeFact::NotApplied);
        let unknown = WireError::new(Code::OutcomeUnknown, "silence");
        assert_eq!(Error::of_a_write(unknown).outcome, OutcomeFact::Unknown);
    }

    #[test]
    fn an_open_outcome_decides_the_exit_code() {
        let error = Error::new(Code::DeadlineExceeded, "late");
        assert_eq!(error.exit_code(), 3);
        assert_eq!(error.with_unknown_outcome().exit_code(), 4);
    }
}
