//! One operation: who asked what, when, and what came of it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use super::payload::Payload;

/// Nanoseconds on the recorder's one clock, which never goes back.
pub type Nanos = u64;

/// An operation's place in its history, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpId(pub u64);

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Who asks. Shown to people; nothing is concluded from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub u64);

/// Observations that belong together: those of one session never go back on the same log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u64);

/// A log's name; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogName(Arc<str>);

impl LogName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: AsRef<str>> From<T> for LogName {
    fn from(name: T) -> LogName {
        LogName(name.as_ref().into())
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for LogName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LogName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(LogName(String::deserialize(deserializer)?.into()))
    }
}

/// How up to date an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Everything acknowledged before the call is in it.
    Linearizable,
    /// What one replica knew: it may be old, never early.
    Local,
}

/// What was asked of which log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The log.
    pub log: LogName,
    /// What was asked.
    pub kind: Kind,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Append these records, as one batch.
    Append {
        /// In their order; each unlike every other record of the history of that log.
        records: Vec<Payload>,
        /// The tail at which the first must stand, if it is conditioned on one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        if_tail: Option<u64>,
        /// The fence that it carries.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fence: Option<String>,
    },
    /// Give up everything below an offset.
    Trim {
        /// The first offset to keep.
        to: u64,
    },
    /// Allow no more appends.
    Seal,
    /// Set what appends must carry.
    Fence {
        /// The token; none: nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
        /// What the fence must be for it to be done.
        #[serde(default, skip_serializing_if = "Expected::is_any")]
        expect: Expected<String>,
    },
    /// Set a cursor.
    SetCursor {
        /// Its name.
        name: String,
        /// Where it is to stand.
        at: u64,
        /// Where it must stand for it to be done.
        #[serde(default, skip_serializing_if = "Expected::is_any")]
        expect: Expected<u64>,
    },
    /// Delete a cursor.
    DeleteCursor {
        /// Its name.
        name: String,
    },
    /// Where a cursor stands.
    Cursor {
        /// Its name.
        name: String,
        /// How up to date.
        consistency: Consistency,
    },
    /// Change the log's settings.
    Alter {
        /// Whether the cluster may trim the log by itself from then on.
        retention: bool,
    },
    /// Delete the log with all that is in it. Its name may be another log's then.
    Delete,
    /// Make the log.
    Create {
        /// Whether an existing one is an answer rather than an error.
        if_absent: bool,
    },
    /// Where the log ends.
    CheckTail {
        /// How up to date.
        consistency: Consistency,
        /// The session that it belongs to, if it belongs to one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
        /// The tail that the session carries: an answer below it breaks the session's promise.
        #[serde(default, skip_serializing_if = "zero")]
        floor: u64,
    },
    /// Read records.
    Read {
        /// How up to date the tail is at which it ends.
        consistency: Consistency,
        /// Whether it must fail, rather than go on behind them, where records are gone.
        strict: bool,
        /// The offset that it began at, if the caller named one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<u64>,
        /// The session that it belongs to, if it belongs to one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
        /// The tail that the session carries.
        #[serde(default, skip_serializing_if = "zero")]
        floor: u64,
    },
    /// Hear one event of a tail. The events of one session are one tail, in the order in which they were begun.
    Tail {
        /// The tail.
        session: SessionId,
    },
}

/// What a compare-and-set compares with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected<T> {
    /// Nothing.
    #[default]
    Any,
    /// There must be none.
    Absent,
    /// There must be this.
    Is(T),
}

impl<T> Expected<T> {
    fn is_any(&self) -> bool {
        matches!(self, Expected::Any)
    }
}

fn zero(number: &u64) -> bool {
    *number == 0
}

impl Call {
    /// An append of one batch.
    pub fn append(
        log: impl Into<LogName>,
        records: impl IntoIterator<Item = impl Into<Payload>>,
    ) -> Call {
        let records = records.into_iter().map(Into::into).collect();
        Call {
            log: log.into(),
            kind: Kind::Append {
                records,
                if_tail: None,
                fence: None,
            },
        }
    }

    /// Anything else.
    pub fn new(log: impl Into<LogName>, kind: Kind) -> Call {
        Call {
            log: log.into(),
            kind,
        }
    }

    /// The same append, on conditions.
    #[must_use]
    pub fn on(mut self, tail: Option<u64>, token: Option<String>) -> Call {
        if let Kind::Append { if_tail, fence, .. } = &mut self.kind {
            (*if_tail, *fence) = (tail, token);
        }
        self
    }

    /// A trim.
    pub fn trim(log: impl Into<LogName>, to: u64) -> Call {
        Call {
            log: log.into(),
            kind: Kind::Trim { to },
        }
    }

    /// A seal.
    pub fn seal(log: impl Into<LogName>) -> Call {
        Call {
            log: log.into(),
            kind: Kind::Seal,
        }
    }

    /// The deletion of a log.
    pub fn delete(log: impl Into<LogName>) -> Call {
        Call::new(log, Kind::Delete)
    }

    /// The making of a log.
    pub fn create(log: impl Into<LogName>, if_absent: bool) -> Call {
        Call {
            log: log.into(),
            kind: Kind::Create { if_absent },
        }
    }

    /// A check-tail that belongs to no session.
    pub fn check_tail(log: impl Into<LogName>, consistency: Consistency) -> Call {
        Call {
            log: log.into(),
            kind: Kind::CheckTail {
                consistency,
                session: None,
                floor: 0,
            },
        }
    }

    /// A read that belongs to no session, from wherever the log begins.
    pub fn read(log: impl Into<LogName>, consistency: Consistency, strict: bool) -> Call {
        Call {
            log: log.into(),
            kind: Kind::Read {
                consistency,
                strict,
                from: None,
                session: None,
                floor: 0,
            },
        }
    }

    /// One event of a tail.
    pub fn tail(log: impl Into<LogName>, session: SessionId) -> Call {
        Call {
            log: log.into(),
            kind: Kind::Tail { session },
        }
    }

    /// The same, of a session that has seen the tail at `floor` (0: none yet). A tail event has its session already.
    #[must_use]
    pub fn in_session(mut self, id: SessionId, carried: u64) -> Call {
        if let Kind::CheckTail { session, floor, .. } | Kind::Read { session, floor, .. } =
            &mut self.kind
        {
            (*session, *floor) = (Some(id), carried);
        }
        self
    }

    /// The same read, from that offset.
    #[must_use]
    pub fn reading_from(mut self, offset: u64) -> Call {
        if let Kind::Read { from, .. } = &mut self.kind {
            *from = Some(offset);
        }
        self
    }
}

/// One operation: from the first call to the first answer that settles it, `call <= ret`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Who asked.
    pub client: ClientId,
    /// Of which log.
    pub log: LogName,
    /// The id of the log that it was about, as far as the recorder learned it: that to which the caller held, or which
    /// answered. Where logs are deleted and made again under their names this tells which of them it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// When it was called.
    pub call: Nanos,
    /// When it returned; none if it never did. An unknown command that returned may still be applied later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret: Option<Nanos>,
    /// What was asked.
    pub kind: Kind,
    /// The pipeline that it is in, if it is an append of one, as those are that go through one appender: they stand in
    /// the log in the order in which they were begun, although many are under way at once, and several of them may be
    /// packed into one batch, which is one command and has one version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<u64>,
    /// What came of it.
    pub outcome: Outcome,
    /// Answers that came after the one that settled it, as to a batch that was sent again, with their times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<(Nanos, Outcome)>,
}
