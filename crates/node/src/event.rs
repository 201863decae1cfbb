//! What the world tells the core.

use bytes::Bytes;
use paxlog_log::Offset;
use paxlog_paxos::{DiskHealth, Envelope, LinkEvent, ReplicaId, Value};
use paxlog_wire::client::{CommandRequest, Query, ReadRequest, TailRequest};

use crate::entry::EntryHeader;

/// A command stream of a client, named by the owner; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A client's connection, named by the owner; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// A read or tail stream of a client, named by the owner; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReaderId(pub u64);

/// A question of a client, named by the owner; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueryId(pub u64);

/// A frame that the core asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryToken(pub u64);

/// The two clocks, as the owner reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic nanoseconds from any origin: for timers and deadlines.
    pub mono: u64,
    /// Nanoseconds since 1970: only ever written into values.
    pub wall: u64,
}

/// This replica's copy of something can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// An event. Each is handled at once by [`Node::step`](crate::Node::step).
#[derive(Debug)]
pub enum Event {
    /// Time passed; due when [`Node::poll_timer`](crate::Node::poll_timer) says.
    Tick,
    /// A message of another replica, its sender checked by the link.
    Peer(Envelope),
    /// A link came up or broke.
    Link(ReplicaId, LinkEvent),
    /// Another replica said where clients reach it.
    Addresses(ReplicaId, Vec<String>),
    /// The write-ahead log is durable below this position.
    Durable(u64),
    /// The disk is well, stalled or failed.
    Disk(DiskHealth),
    /// The disk has no room for new segments, or has again.
    DiskFull(bool),

    /// A command. `resume` is the frame's flag: the stream was refused, and
    /// starts again from here.
    Command {
        /// The connection it came on: what fairness and rates go by.
        client: ClientId,
        /// The stream it came on.
        stream: StreamId,
        /// Whether to lift the stream's refusal.
        resume: bool,
        /// The command.
        request: CommandRequest,
        /// The batch of an append, as parts.
        batch: Vec<Bytes>,
    },
    /// A command stream ended; nobody waits for its replies.
    StreamClosed(StreamId),

    /// A question (other than for the replica's status, which the owner
    /// answers from [`Node::status`](crate::Node::status)).
    Query {
        /// Names the answer.
        query: QueryId,
        /// How long the client waits, in milliseconds.
        deadline_ms: u32,
        /// The question.
        ask: Query,
    },

    /// A read stream was opened.
    Read(ReaderId, ReadRequest),
    /// A tail stream was opened.
    Tail(ReaderId, TailRequest),
    /// A reader may be sent so many bytes more.
    Credit(ReaderId, u64),
    /// A read or tail stream ended.
    ReaderClosed(ReaderId),
    /// Batches of a cold range went to the reader: up to `next`, so many bytes.
    ColdRead {
        /// The reader.
        reader: ReaderId,
        /// One beyond the last offset sent.
        next: Offset,
        /// Bytes of batches sent.
        bytes: u64,
    },
    /// The cold range could not be read: this replica's copy is damaged.
    ColdFailed(ReaderId),
    /// What came of a [`TimeSearch`](crate::TimeSearch): the lowest offset, or none if the segments have no such
    /// record; an error if one of their `.idx` files can't be read.
    TimeFound(ReaderId, Result<Option<Offset>, Unreadable>),

    /// The frame asked for by [`Effect::ReadEntry`](crate::Effect::ReadEntry);
    /// none if it can't be read.
    Entry(EntryToken, Option<(EntryHeader, Value)>),
    /// The `.idx` file of a segment is durable.
    Annotated(u32),
    /// A checkpoint is durable and named. It is kept, and so is the newest of
    /// those before it that can be read.
    CheckpointDone {
        /// It holds everything below this slot.
        slot: u64,
        /// The older one holds everything below this slot; 0 if there is none.
        older: u64,
    },
    /// The checkpoint or `.idx` file could not be written now (a full disk);
    /// the core tries again later.
    HousekeepingFailed,
    /// The segments below this one are retired.
    Retired(u32),

    /// Hand leadership over and admit nothing more: the replica is stopping.
    HandOver,
}
