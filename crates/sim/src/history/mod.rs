//! A history: what clients asked of logs, when, and what they were told.
//!
//! Every operation stands between two times of the recorder's one clock. A [`Recorder`] writes it down as it happens;
//! [`History::write`] and [`History::read`] are its file, JSON Lines:
//!
//! ```text
//! {"paxlog_history":2,"complete":true}                                                        the header, first
//! {"op":{"client":1,"log":"a","call":10,"ret":25,"kind":{…},"outcome":{…}}}                    one operation each
//! {"settled":{"log":"a","trim_point":0,"tail":3,"records":[[0,"17…",["x","y"]],[2,"18…",["z"]]]}}   one a log
//! ```
//!
//! The table of all fields is in the crate's README. Operations stand in the order in which they were begun; an
//! operation's place, from 0, is its [`OpId`].
//!
//! What a history must hold, for the checker to be exact:
//!
//! - payloads are unique: no payload is appended twice over the history of a log;
//! - the retries of one producer sequence are one operation, from the first call to the first receipt;
//! - every command that could change one of its logs is in it (but see [`History::complete`]);
//! - each log is settled: read whole, when nothing is under way and nothing can land any more;
//! - where logs are deleted, every answered operation says which log of its name it was about, by its id.

mod file;
mod operation;
mod outcome;
mod payload;
mod recorder;
mod settled;
mod stored;

pub use file::{FORMAT, ReadError};
pub use operation::{
    Call, ClientId, Consistency, Expected, Kind, LogName, Nanos, OpId, Operation, SessionId,
};
pub use outcome::{CursorAt, Event, Gap, Observed, Outcome, ReadReply, Receipt, Reply, TailReply};
pub use payload::Payload;
pub use recorder::Recorder;
pub use settled::{ReplicaCopy, Settled};
pub use stored::Stored;

/// What was recorded of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Whether every command that changed one of the logs is in here. If not, others may have trimmed, sealed or
    /// otherwise changed them in between (but never appended), and versions that no operation explains are no
    /// violation.
    pub complete: bool,
    /// In the order in which they were begun; the place of an operation is its [`OpId`].
    pub operations: Vec<Operation>,
    /// What each log came to; at most one a log.
    pub settled: Vec<Settled>,
}

impl History {
    /// The operation of that id.
    pub fn get(&self, id: OpId) -> Option<&Operation> {
        self.operations.get(usize::try_from(id.0).ok()?)
    }

    /// Operations with their ids, in the order in which they were begun.
    pub fn iter(&self) -> impl Iterator<Item = (OpId, &Operation)> {
        (0..).map(OpId).zip(&self.operations)
    }
}

impl Default for History {
    /// Nothing, and complete.
    fn default() -> Self {
        History {
            complete: true,
            operations: Vec::new(),
            settled: Vec::new(),
        }
    }
}
