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
        /// Whether an existing log of that name is an answer rather than an error.
        if_absent: bool,
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
    /// The log's tail when this was answered; at least `end`.
    pub tail: u64,
    /// How many commands had been applied to the log.
    pub version: u64,
    /// Where the records are safe.
    pub durability: Durability,
    /// Whether this is the receipt of an earlier sending of the same batch.
    pub duplicate: bool,
}

/// Where acknowledged records are safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Durability {
    /// Synced to disk on a majority of the replicas.
    Majority,
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
}
