//! The attempts of a call that changes nothing: whether to make another, and where.

use std::collections::VecDeque;

use paxlog_wire::{Code, OutcomeFact, Retry, WireError};

use crate::link::{Link, Route};
use crate::{Effect, Error, Nanos};

/// What earlier attempts came to.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    last: Option<Error>,
    /// A copy that was damaged: of more weight than what those said who have none to give.
    damaged: Option<Error>,
    /// Answers that a replica which lags may give although they are not so.
    maybe_stale: usize,
}

/// What a refusal means for a call that changes nothing.
enum Class {
    /// Another replica may answer.
    Elsewhere,
    /// Later, or another replica.
    Later,
    /// True at the leader; elsewhere perhaps only not known yet.
    PerhapsStale,
    /// It ends so.
    Final,
}

/// Exhaustive, so that a new code can't forget it.
fn class(code: Code) -> Class {
    match code {
        Code::NotLeader | Code::Corrupt => Class::Elsewhere,
        Code::Electing
        | Code::Unavailable
        | Code::OutcomeUnknown
        | Code::DeadlineExceeded
        | Code::Throttled
        | Code::Overloaded
        | Code::DiskFull => Class::Later,
        Code::NotFound | Code::OffsetOutOfRange => Class::PerhapsStale,
        Code::DedupExpired
        | Code::Fenced
        | Code::TailMismatch
        | Code::SequenceGap
        | Code::Sealed
        | Code::CursorMismatch
        | Code::LogDeleted
        | Code::TooLarge
        | Code::Invalid
        | Code::AlreadyExists
        | Code::Trimmed
        | Code::DataLost
        | Code::Internal
        | Code::Unauthenticated
        | Code::Forbidden
        | Code::WrongCluster
        | Code::VersionMismatch => Class::Final,
    }
}

impl Attempts {
    /// A replica refused. None if another attempt is to be made (the stream is given up), else how
    /// the call ends.
    pub(crate) fn failed(
        &mut self,
        now: Nanos,
        link: &mut Link,
        effects: &mut VecDeque<Effect>,
        refusal: WireError,
    ) -> Option<Error> {
        let at_leader = link.at_leader();
        if let Some(hint) = &refusal.leader {
            link.tracker.note(hint);
        }
        let error = Error::from(refusal);
        let done = match class(error.code) {
            Class::Elsewhere | Class::Later => false,
            Class::PerhapsStale => {
                self.maybe_stale += 1;
                let only = matches!(link.route, Route::Only(_));
                at_leader || only || self.maybe_stale >= link.tracker.servers().len()
            }
            Class::Final => true,
        };
        if done {
            return Some(error);
        }
        let wait = match error.retry {
            Retry::After(wait) if link.route != Route::Any => {
                Some(wait.as_nanos().min(WAIT_MAX_NS.into()) as Nanos)
            }
            _ => None,
        };
        link.refused(&error);
        if let Some(server) = link.server().cloned() {
            link.tracker.forget(&server);
            if error.code == Code::Corrupt {
                link.hopeless_at(server);
                self.damaged = Some(error.clone());
            }
        }
        link.close(effects);
        link.wait(now, wait);
        self.unless_hopeless(link, error)
    }

    /// The stream broke or could not be opened.
    pub(crate) fn lost(&mut self, now: Nanos, link: &mut Link, why: Error) -> Option<Error> {
        link.lost(now, &why);
        self.unless_hopeless(link, why)
    }

    /// The replica has said nothing for too long.
    pub(crate) fn silent(
        &mut self,
        now: Nanos,
        link: &mut Link,
        effects: &mut VecDeque<Effect>,
    ) -> Option<Error> {
        let server = link.abandon(effects);
        self.lost(
            now,
            link,
            Error::new(Code::Unavailable, format!("{server} does not answer")),
        )
    }

    /// An attempt worked.
    pub(crate) fn worked(&mut self) {
        *self = Attempts::default();
    }

    /// How the call ends when its time is over.
    pub(crate) fn too_late(&mut self, link: &Link) -> Error {
        let error = match self.damaged.take().or_else(|| self.last.take()) {
            Some(error) if error.code.exit_code() == 3 || error.code == Code::Corrupt => {
                link.told(error)
            }
            Some(error) => Error::new(
                Code::DeadlineExceeded,
                format!("no answer in time ({error})"),
            ),
            None => Error::new(Code::DeadlineExceeded, "no answer in time"),
        };
        Error {
            outcome: OutcomeFact::NotAWrite,
            ..error
        }
    }

    fn unless_hopeless(&mut self, link: &Link, error: Error) -> Option<Error> {
        if link.is_hopeless() {
            return Some(link.told(error));
        }
        self.last = Some(error);
        None
    }
}

/// What is left of a deadline, as it travels.
pub(crate) fn millis(left: Nanos) -> u32 {
    (left / 1_000_000).clamp(1, u32::MAX.into()) as u32
}

/// A replica may ask for more, but a deadline should not pass over it.
const WAIT_MAX_NS: Nanos = 1_000_000_000;
