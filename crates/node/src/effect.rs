//! What the core wants done.

use bytes::Bytes;
use paxlog_log::{LogId, Offset, Timestamp};
use paxlog_paxos::{Envelope, PersistId, ReplicaId, Slot};
use paxlog_wire::client::{CommandReply, EndReason, QueryReply, Started};
use paxlog_wire::{LeaderHint, WireError};

use crate::checkpoint::Checkpoint;
use crate::event::{EntryToken, QueryId, ReaderId, StreamId};
use crate::place::Batch;

/// The effects of a turn, in order; the owner drains and reuses it.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be carried out in this order.
    pub list: Vec<Effect>,
}

impl Effects {
    pub(crate) fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }
}

/// An effect.
///
/// Every effect may be carried out at once. What must be durable first is not
/// handed out before it is: a message that depends on a sync comes as an effect
/// of [`Event::Durable`](crate::Event::Durable).
#[derive(Debug)]
pub enum Effect {
    /// Append a frame to the write-ahead log and tell its position by
    /// [`Node::placed`](crate::Node::placed) before the next event.
    Append {
        /// Names the frame in `placed`.
        persist: PersistId,
        /// The frame's group.
        group: u32,
        /// The frame's tag: the slot.
        tag: u64,
        /// The frame's aux: the ballot.
        aux: u64,
        /// The payload.
        parts: Vec<Bytes>,
    },
    /// Append a STATE to the write-ahead log and tell its position as above.
    State {
        /// Names the frame in `placed`.
        persist: PersistId,
        /// The state.
        bytes: Bytes,
    },
    /// Send a message to another replica.
    Send(ReplicaId, Envelope),
    /// Answer a command.
    Reply(StreamId, CommandReply),
    /// Answer a question.
    Answer(QueryId, QueryReply),
    /// Something for a reader.
    Reader(ReaderId, ReaderEffect),
    /// Read a slot's frame; answered by [`Event::Entry`](crate::Event::Entry).
    ReadEntry(EntryToken, EntryPlace),
    /// Write the `.idx` file of a segment; answered by
    /// [`Event::Annotated`](crate::Event::Annotated).
    Annotate {
        /// The segment.
        segment: u32,
        /// The file's contents.
        bytes: Vec<u8>,
    },
    /// Encode and write a checkpoint, and keep it and the newest before it that
    /// can be read; answered by
    /// [`Event::CheckpointDone`](crate::Event::CheckpointDone).
    Checkpoint(Box<Checkpoint>),
    /// Retire every segment below this one; answered by
    /// [`Event::Retired`](crate::Event::Retired).
    Retire(u32),
    /// The leader changed: tell the clients.
    Leader(Option<LeaderHint>),
    /// Leadership was handed over, or there was none: the replica may stop.
    HandedOver,
    /// The replica must stop: going on would make it differ from the others.
    Stop(String),
}

/// Where a slot's frame is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryPlace {
    /// At this position.
    At(u64),
    /// By the `.idx` files of these segments, most likely first.
    InSegments(Vec<u32>, Slot),
}

/// The first record of a log, at or beyond an offset, whose timestamp is not less than another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeSearch {
    /// The log.
    pub log: LogId,
    /// From this offset on.
    pub from: Offset,
    /// The time.
    pub timestamp: Timestamp,
    /// All of these segments may have it; the lowest offset counts.
    pub segments: Vec<u32>,
}

/// Something for a reader, to be sent in this order.
#[derive(Debug)]
pub enum ReaderEffect {
    /// The stream is accepted.
    Started(Started),
    /// These batches follow.
    Batches(Vec<Batch>),
    /// Look for the offset in the `.idx` files of these segments, in this
    /// order, send what is found there and report it by
    /// [`Event::ColdRead`](crate::Event::ColdRead).
    Cold {
        /// The log.
        log: LogId,
        /// From the batch that holds this offset.
        from: Offset,
        /// Not beyond this offset.
        until: Offset,
        /// Only batches with timestamps below this, if it is not 0.
        until_timestamp: u64,
        /// At most so many bytes, but at least one batch.
        bytes_max: u64,
        /// Where to look, most likely first.
        segments: Vec<u32>,
    },
    /// Look for a time in `.idx` files, and report by [`Event::TimeFound`](crate::Event::TimeFound) what is found.
    FindTime(TimeSearch),
    /// Records up to here are trimmed.
    Gap(Offset),
    /// The tail is reached (tail streams).
    CaughtUp(Offset),
    /// The log is sealed and everything was sent (tail streams); the last.
    Sealed(Offset),
    /// The read is over; the last.
    End {
        /// Where to read on from.
        next: Offset,
        /// The tail.
        tail: Offset,
        /// Why.
        reason: EndReason,
    },
    /// Refused or broken off; the last.
    Refused(WireError),
}
