//! Query streams: one question, one answer.

use crate::codec::{Decode, Encode};
use crate::error::{LeaderHint, WireError};

use super::command::LogConfig;

/// A log, by whichever the client has.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum LogRef {
    /// By name.
    Name(String),
    /// By id.
    Id(u64),
}

/// A question with the time that is left for it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct QueryRequest {
    /// How long the client will still wait, in milliseconds, from when it sent this.
    pub deadline_ms: u32,
    /// The question.
    pub query: Query,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Query {
    /// Where a log ends.
    CheckTail {
        /// The log.
        log: LogRef,
        /// Whether to count everything acknowledged before the question (the leader answers), or what this replica knows.
        linearizable: bool,
    },
    /// Everything about a log.
    Describe {
        /// The log.
        log: LogRef,
        /// Whether the leader must answer, with everything acknowledged before the question.
        linearizable: bool,
    },
    /// Logs in the order of their names.
    List {
        /// Only names that begin so.
        prefix: String,
        /// Only names beyond this one: the last of the page before.
        after: Option<String>,
        /// At most so many; the replica's own bound holds too.
        limit: u32,
    },
    /// How this replica is.
    Status,
    /// Where a cursor stands.
    Cursor {
        /// The log.
        log: LogRef,
        /// The cursor's name.
        name: String,
        /// Whether everything acknowledged before the question must be seen.
        linearizable: bool,
    },
    /// Cursors of a log in the order of their names.
    Cursors {
        /// The log.
        log: LogRef,
        /// Only names that begin so.
        prefix: String,
        /// Only names beyond this one: the last of the page before.
        after: Option<String>,
        /// At most so many; the replica's own bound holds too.
        limit: u32,
        /// Whether everything acknowledged before the question must be seen.
        linearizable: bool,
    },
}

/// The answer to a [`QueryRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct QueryReply {
    /// The answer, or why there is none.
    pub result: Result<Answer, WireError>,
}

/// An answer; each question has one sort.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// To [`Query::CheckTail`].
    Tail(TailInfo),
    /// To [`Query::Describe`].
    Description(LogDescription),
    /// To [`Query::List`].
    Logs {
        /// In the order of their names.
        logs: Vec<LogDescription>,
        /// Whether there are more beyond the last.
        more: bool,
    },
    /// To [`Query::Status`].
    Status(Box<Status>),
    /// To [`Query::Cursor`]: where it stands, if there is one, and the log's version.
    Cursor {
        /// None: there is no cursor of that name.
        cursor: Option<Cursor>,
        /// How many commands have been applied to the log.
        version: u64,
    },
    /// To [`Query::Cursors`].
    Cursors {
        /// In the order of their names.
        cursors: Vec<Cursor>,
        /// Whether there are more beyond the last.
        more: bool,
        /// How many commands have been applied to the log.
        version: u64,
    },
}

/// A cursor: a consumer's own place in a log, kept by the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Cursor {
    /// Its name, within its log.
    pub name: String,
    /// The next offset that its consumer wants.
    pub at: u64,
    /// When it was set, in nanoseconds since 1970.
    pub set: u64,
}

/// Where a log ends.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TailInfo {
    /// The log's id.
    pub log: u64,
    /// The next offset to be assigned.
    pub offset: u64,
    /// The timestamp of the newest batch; 0 if there was none.
    pub timestamp: u64,
    /// The first offset still kept.
    pub trim_point: u64,
    /// Whether it takes no more appends.
    pub sealed: bool,
    /// How many commands have been applied to it.
    pub version: u64,
    /// What its appends must carry; none: nothing.
    pub fence: Option<String>,
    /// How old this may be, in milliseconds: the answering replica knows of everything that was acknowledged before;
    /// none: it does not know how far behind it is.
    pub stale_ms: Option<u32>,
}

/// A log, described.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LogDescription {
    /// The log's name.
    pub name: String,
    /// Its id and bounds.
    pub tail: TailInfo,
    /// When it was made, in nanoseconds since 1970.
    pub created: u64,
    /// The bytes of all batches ever appended to it.
    pub bytes_appended: u64,
    /// The bytes of the batches that the answering replica keeps of it; a batch that is trimmed in part counts whole.
    pub bytes_kept: u64,
    /// Its settings.
    pub config: LogConfig,
    /// How many cursors it has.
    pub cursors: u32,
    /// How many known producers wrote to it last.
    pub producers: u32,
}

/// How a replica is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Status {
    /// The cluster.
    pub cluster: u128,
    /// The replica's id.
    pub replica: u16,
    /// The random id of its data directory.
    pub incarnation: u128,
    /// The program's version.
    pub program: String,
    /// What it does in the group.
    pub role: RoleStatus,
    /// The leader it knows.
    pub leader: Option<LeaderHint>,
    /// The highest ballot it promised.
    pub ballot: u64,
    /// Slots below are known chosen by the leader.
    pub chosen_index: u64,
    /// Slots below are chosen and held here.
    pub chosen_prefix: u64,
    /// Slots below are applied here.
    pub applied: u64,
    /// Whether it serves.
    pub ready: bool,
    /// Why it does not serve or vote, or that all is well, in a sentence.
    pub standing: String,
    /// The state of its disk, in a sentence.
    pub disk: String,
    /// The bytes of its write-ahead log.
    pub wal_bytes: u64,
    /// How many logs there are.
    pub logs: u64,
    /// The members of the group, this one included, in the order of their ids.
    pub members: Vec<MemberStatus>,
}

/// What a replica does in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RoleStatus {
    /// It follows, or waits for a leader.
    Follower,
    /// It tries to become leader.
    Candidate,
    /// It leads; whether it serves yet is `ready`.
    Leader,
}

/// A member of the group, as the answering replica sees it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MemberStatus {
    /// The member's id.
    pub replica: u16,
    /// The addresses that clients reach it at, as far as they are known.
    pub addresses: Vec<String>,
    /// Whether there is a link to it (true for the answering replica itself).
    pub linked: bool,
    /// How many slots it is behind, if that is known.
    pub lag_slots: Option<u64>,
    /// The round trip to it in microseconds, if that is known.
    pub round_trip_us: Option<u64>,
    /// Why it is not linked or does not vote, as far as the answering replica knows, in words; none if all is well.
    pub why: Option<String>,
}
