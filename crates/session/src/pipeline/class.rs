//! What the refusal of one attempt means for the command.

use paxlog_wire::Code;

use crate::Error;

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Not here: ask who leads.
    Elsewhere,
    /// Not now. `here`: the replica itself is the right one.
    Later { here: bool },
    /// The attempt may be applied or not.
    Unknown,
    /// Something before it is missing: send everything again.
    Gap,
    /// The producer was taken over.
    Fenced,
    /// The producer was forgotten.
    Forgotten,
    /// It ends so. `settles`: no earlier attempt was or will be applied either, since the refusal
    /// was decided at apply, behind the question whether it is a duplicate.
    Final { settles: bool },
}

/// Exhaustive, so that a new code can't forget it.
pub(crate) fn class(error: &Error) -> Class {
    match error.code {
        Code::NotLeader | Code::Corrupt => Class::Elsewhere,
        Code::Electing | Code::Unavailable => Class::Later { here: false },
        Code::Throttled | Code::Overloaded | Code::DiskFull | Code::DeadlineExceeded => {
            Class::Later { here: true }
        }
        Code::OutcomeUnknown => Class::Unknown,
        Code::SequenceGap => Class::Gap,
        // Without an epoch it is the log's fence, which says nothing of the producer.
        Code::Fenced if error.found.is_some() => Class::Fenced,
        Code::Fenced => Class::Final { settles: true },
        Code::DedupExpired => Class::Forgotten,
        Code::TailMismatch
        | Code::Sealed
        | Code::CursorMismatch
        | Code::LogDeleted
        | Code::NotFound
        | Code::AlreadyExists
        | Code::OffsetOutOfRange => Class::Final { settles: true },
        // May come from admission, which says nothing of earlier attempts.
        Code::TooLarge
        | Code::Invalid
        | Code::Trimmed
        | Code::DataLost
        | Code::Internal
        | Code::Unauthenticated
        | Code::Forbidden
        | Code::WrongCluster
        | Code::VersionMismatch => Class::Final { settles: false },
    }
}
