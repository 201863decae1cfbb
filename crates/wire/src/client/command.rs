//! Command streams: whatever changes state.
//!
//! Requests are numbered by the client, per stream, and answered in the order in which they complete. An append that is
//! refused at admission (size, format, window, disk space, deadline, leadership) refuses every append behind it on that stream
//! with the same code, until a request comes whose frame carries [`Flags::RESUME`](crate::Flags::RESUME).

use crate::codec::{Decode, Encode};
use crate::error::WireError;

/// One command with its number on the stream. Frame body: the batch, for an append; otherwise none.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CommandRequest {
    /// The number by which the reply is matched; rises on a stream.
    pub request: u64,
    /// How long the client will still wait, in milliseconds, from when it sent this.
    pub deadline_ms: u32,
    /// What to do.
    pub command: CommandBody,
}

/// Where a command stands in its producer's order, by which a repeated one is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Origin {
    /// The producer's id, granted by the cluster.
    pub producer: u64,
    /// The producer's epoch; an older one is fenced off.
    pub epoch: u32,
    /// The command's number within the epoch, from 0 without gaps.
    pub sequence: u64,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CommandBody {
    /// Get a producer id, or the next epoch of a named one. Sent again with the same nonce it is the same request.
    OpenProducer {
        /// Drawn at random for each opening, kept for its retries.
        nonce: u128,
        /// The name under which the producer is found again; none for an anonymous one.
        name: Option<String>,
    },
    /// Make a log.
    CreateLog {
        /// Where the command stands in its producer's order, if it has one.
        origin: Option<Origin>,
        /// The log's name.
        name: String,
        /// Whether an existing log of that name is an answer rather than an error; its settings stay as they are.
        if_absent: bool,
        /// Its settings.
        config: LogConfig,
    },
    /// Find a log's id by its name, and make the log if asked to and allowed.
    OpenLog {
        /// Where the command stands in its producer's order, if it has one.
        origin: Option<Origin>,
        /// The log's name.
        name: String,
        /// Whether to make it if it does not exist. Refused where the cluster's configuration forbids it.
        create: bool,
    },
    /// Append the batch in the frame's body.
    Append {
        /// Where the append stands in its producer's order.
        origin: Origin,
        /// The log's id.
        log: u64,
        /// The tail at which the first record must come to stand, if that matters.
        if_tail: Option<u64>,
        /// The log's fence, if it has one; none otherwise.
        fence: Option<String>,
    },
    /// Give up everything below an offset.
    Trim {
        /// Where the command stands in its producer's order, if it has one.
        origin: Option<Origin>,
        /// The log's id.
        log: u64,
        /// The first offset to keep.
        to: u64,
    },
    /// Allow no more appends, for good.
    Seal {
        /// Where the command stands in its producer's order, if it has one.
        origin: Option<Origin>,
        /// The log's id.
        log: u64,
    },
    /// Change a log's settings.
    AlterLog {
        /// Where the command stands in its producer's order, if it has one.
        origin: Option<Origin>,
        /// The log's id.
        log: u64,
        /// What to change.
        change: ConfigChange,
    },
    /// Delete a log with all its records and cursors. Its name is free afterwards, its id is not used again.
    DeleteLog {
        /// Where the command stands in its producer's order, if it has one.
        origin: Option<Origin>,
        /// The log's id.
        log: u64,
    },
    /// Set what appends to a log must carry.
    Fence {
        /// Where the command stands in its producer's order, if it has one.
        origin: Option<Origin>,
        /// The log's id.
        log: u64,
        /// The token; none: appends must carry none.
        token: Option<String>,
        /// What the fence must be for this to be done.
        expect: Expected<String>,
    },
    /// Set a cursor of a log, and make it if it is new.
    SetCursor {
        /// Where the command stands in its producer's order, if it has one.
        origin: Option<Origin>,
        /// The log's id.
        log: u64,
        /// The cursor's name.
        name: String,
        /// Where it is to stand; at most the tail.
        at: u64,
        /// Where it must stand for this to be done.
        expect: Expected<u64>,
    },
    /// Delete a cursor.
    DeleteCursor {
        /// Where the command stands in its producer's order, if it has one.
        origin: Option<Origin>,
        /// The log's id.
        log: u64,
        /// The cursor's name.
        name: String,
    },
}

/// A log's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct LogConfig {
    /// Records older than so many nanoseconds are trimmed; 0: never for their age.
    pub retention_age_ns: u64,
    /// The oldest records are trimmed while more than so many bytes of batches are kept; 0: never for their bytes.
    pub retention_bytes: u64,
    /// The largest batch that the log takes, in bytes as framed; 0: the limit of every log.
    pub batch_bytes_max: u32,
    /// Bytes of batches a second that the log takes, over all producers; 0: no bound.
    pub append_bytes_per_s: u64,
}

/// Settings to change; what is none stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ConfigChange {
    /// See [`LogConfig::retention_age_ns`].
    pub retention_age_ns: Option<u64>,
    /// See [`LogConfig::retention_bytes`].
    pub retention_bytes: Option<u64>,
    /// See [`LogConfig::batch_bytes_max`].
    pub batch_bytes_max: Option<u32>,
    /// See [`LogConfig::append_bytes_per_s`].
    pub append_bytes_per_s: Option<u64>,
}

/// What a compare-and-set compares with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum Expected<T> {
    /// Nothing: it is set whatever was there.
    #[default]
    Any,
    /// There must be none.
    Absent,
    /// There must be this.
    Is(T),
}

/// The answer to one [`CommandRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CommandReply {
    /// The request's number on this stream.
    pub request: u64,
    /// What came of it.
    pub result: Result<CommandOutcome, WireError>,
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CommandOutcome {
    /// The producer is open under this epoch; every older one is closed.
    ProducerOpened {
        /// The producer's id.
        producer: u64,
        /// The epoch to number commands under, from sequence 0.
        epoch: u32,
        /// The newest receipt of the older epochs, which settles what was unknown.
        last: Option<LastReceipt>,
    },
    /// The log exists.
    LogOpened {
        /// The log's id.
        log: u64,
        /// How many commands have been applied to it.
        version: u64,
        /// Whether it was there before.
        existed: bool,
        /// The next offset to be assigned.
        tail: u64,
        /// Whether it takes no more appends.
        sealed: bool,
    },
    /// The records are durable on a majority.
    Appended(Receipt),
    /// Everything below the trim point is given up.
    Trimmed {
        /// The first offset still kept.
        trim_point: u64,
        /// The next offset to be assigned.
        tail: u64,
        /// How many commands have been applied to the log.
        version: u64,
        /// Whether this is the answer to an earlier sending of the same command.
        duplicate: bool,
    },
    /// The log takes no more appends.
    Sealed {
        /// The log's end, from now on for good.
        tail: u64,
        /// How many commands have been applied to the log.
        version: u64,
        /// Whether this is the answer to an earlier sending of the same command.
        duplicate: bool,
    },
    /// The log's settings were changed.
    LogAltered {
        /// How many commands have been applied to the log.
        version: u64,
        /// Whether this is the answer to an earlier sending of the same command.
        duplicate: bool,
    },
    /// The log is gone.
    LogDeleted {
        /// How many commands had been applied to the log, this one included.
        version: u64,
        /// Whether this is the answer to an earlier sending of the same command.
        duplicate: bool,
    },
    /// The fence is set.
    FenceSet {
        /// The log's tail: nothing under the former fence comes behind it.
        tail: u64,
        /// How many commands have been applied to the log.
        version: u64,
        /// Whether this is the answer to an earlier sending of the same command.
        duplicate: bool,
    },
    /// The cursor is set.
    CursorSet {
        /// Where it stands.
        at: u64,
        /// How many commands have been applied to the log.
        version: u64,
        /// Whether this is the answer to an earlier sending of the same command.
        duplicate: bool,
    },
    /// The cursor is gone.
    CursorDeleted {
        /// How many commands have been applied to the log.
        version: u64,
        /// Whether this is the answer to an earlier sending of the same command.
        duplicate: bool,
    },
}

/// What an append returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Receipt {
    /// The log's id.
    pub log: u64,
    /// The offset of the batch's first record.
    pub start: u64,
    /// One beyond the offset of its last record.
    pub end: u64,
    /// When the leader stamped it, in nanoseconds since 1970; never less than an earlier record's.
    pub timestamp: u64,
    /// The log's tail right after the batch: equals `end`.
    pub tail: u64,
    /// How many commands had been applied to the log.
    pub version: u64,
    /// Where the records are safe.
    pub durability: Durability,
    /// Whether this is the receipt of an earlier sending of the same batch.
    pub duplicate: bool,
}

/// Where acknowledged records were known to be synced to disk when the receipt was made: a majority at least. Others
/// follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Durability {
    /// Bit n, from the lowest, stands for replica n + 1; 0: it is not known any more which replicas they were.
    bits: u64,
}

impl Durability {
    /// On a majority; which replicas that were is not known any more, as for an append that was sent again after its
    /// first receipt was made.
    pub const MAJORITY: Durability = Durability { bits: 0 };

    /// On these replicas; ids are 1 to 64, others can't be told.
    pub fn on(replicas: impl IntoIterator<Item = u16>) -> Durability {
        let told = replicas.into_iter().filter(|id| (1..=64).contains(id));
        Durability {
            bits: told.fold(0, |bits, id| bits | 1 << (id - 1)),
        }
    }

    /// The ids, rising; none if they are not known any more.
    pub fn replicas(self) -> impl Iterator<Item = u16> {
        (1..=64u16).filter(move |id| self.bits & 1 << (id - 1) != 0)
    }
}

/// The newest receipt of a producer's earlier epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LastReceipt {
    /// The epoch it was given under.
    pub epoch: u32,
    /// The sequence it answers; nothing beyond it was applied in that epoch.
    pub sequence: u64,
    /// What was done.
    pub what: LastOutcome,
}

/// What the command did that a [`LastReceipt`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum LastOutcome {
    /// A log was made, or found.
    Created {
        /// The log's id.
        log: u64,
        /// The log's version then.
        version: u64,
        /// Whether it was there before.
        existed: bool,
    },
    /// Records were appended.
    Appended {
        /// The log's id.
        log: u64,
        /// The offset of the first record.
        start: u64,
        /// One beyond the offset of the last record.
        end: u64,
        /// The batch's timestamp.
        timestamp: u64,
        /// The log's version then.
        version: u64,
    },
    /// A log was trimmed.
    Trimmed {
        /// The log's id.
        log: u64,
        /// The first offset kept.
        trim_point: u64,
        /// The log's tail then.
        tail: u64,
        /// The log's version then.
        version: u64,
    },
    /// A log was sealed.
    Sealed {
        /// The log's id.
        log: u64,
        /// The log's end.
        tail: u64,
        /// The log's version then.
        version: u64,
    },
    /// A log's settings were changed.
    Altered {
        /// The log's id.
        log: u64,
        /// The log's version then.
        version: u64,
    },
    /// A log was deleted.
    Deleted {
        /// The log's id.
        log: u64,
        /// The log's last version.
        version: u64,
    },
    /// A log's fence was set.
    FenceSet {
        /// The log's id.
        log: u64,
        /// The log's tail then.
        tail: u64,
        /// The log's version then.
        version: u64,
    },
    /// A cursor was set.
    CursorSet {
        /// The log's id.
        log: u64,
        /// Where.
        at: u64,
        /// The log's version then.
        version: u64,
    },
    /// A cursor was deleted.
    CursorDeleted {
        /// The log's id.
        log: u64,
        /// The log's version then.
        version: u64,
    },
}
