//! Commands between their admission and their answer: the queue of those that
//! wait for a value, and those that are proposed and wait for their slot.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use paxlog_log::Command;
use paxlog_paxos::{Slot, Value};
use paxlog_wire::WireError;

use crate::event::StreamId;

/// Who waits for a command's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// The stream it came on.
    pub stream: StreamId,
    /// Its number on that stream.
    pub request: u64,
    /// Whether it is an append: a refused one refuses those behind it.
    pub append: bool,
    /// When it came, monotonic ns.
    pub since: u64,
    /// When its client stops waiting, monotonic ns.
    pub deadline: u64,
}

/// An admitted command.
#[derive(Debug)]
pub(crate) struct Queued {
    /// Who waits for it.
    pub waiting: Waiting,
    /// The command.
    pub command: Command,
    /// The batch of an append.
    pub batch: Vec<Bytes>,
}

#[derive(Debug)]
struct Proposed {
    slot: Slot,
    /// By the command's index in the value; none once it was answered early.
    waiting: Vec<Option<Waiting>>,
}

/// All commands under way.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    /// Closed, and waiting for room in Paxos' window; before all of the queue.
    held: Option<(Value, Vec<Waiting>)>,
    /// In the order of slots.
    proposed: VecDeque<Proposed>,
    /// Streams that were refused an append, with the refusal that everything
    /// behind it gets, until the client resumes.
    refusing: BTreeMap<StreamId, WireError>,
}

impl Commands {
    /// The refusal that everything on this stream gets.
    pub(crate) fn refusal(&self, stream: StreamId) -> Option<&WireError> {
        self.refusing.get(&stream)
    }

    /// Refuses everything on this stream from here on.
    pub(crate) fn refuse(&mut self, stream: StreamId, error: WireError) {
        self.refusing.entry(stream).or_insert(error);
    }

    /// The client goes on from what it sends now.
    pub(crate) fn resume(&mut self, stream: StreamId) {
        self.refusing.remove(&stream);
    }

    /// Nobody waits on this stream any more. What was admitted goes on: it may
    /// be applied, and its numbering makes a repetition harmless.
    pub(crate) fn close(&mut self, stream: StreamId) {
        self.refusing.remove(&stream);
    }

    /// Puts an admitted command in the queue.
    pub(crate) fn push(&mut self, queued: Queued) {
        self.queue_bytes += queued.command.batch_bytes() as usize;
        self.queue.push_back(queued);
    }

    /// The next command to go into a value, if it fits `room` bytes or is the
    /// first.
    pub(crate) fn pop_fitting(&mut self, room: Option<usize>) -> Option<Queued> {
        let bytes = self.queue.front()?.command.batch_bytes() as usize;
        if room.is_some_and(|room| bytes > room) {
            return None;
        }
        self.queue_bytes -= bytes;
        self.queue.pop_front()
    }

    /// Whether nothing waits for a value.
    pub(crate) fn queue_is_empty(&self) -> bool {
        self.queue.is_empty() && self.held.is_none()
    }

    /// Bytes of batches that wait for a value.
    pub(crate) fn queue_bytes(&self) -> usize {
        self.queue_bytes
    }

    /// How many wait for a value.
    pub(crate) fn queue_len(&self) -> usize {
        self.queue.len()
    }

    /// Takes everybody who waits for a value, or for a closed one to be
    /// proposed: nothing of that was proposed.
    pub(crate) fn drain_queue(&mut self) -> Vec<Waiting> {
        self.queue_bytes = 0;
        let held = self
            .held
            .take()
            .into_iter()
            .flat_map(|(_, waiting)| waiting);
        held.chain(self.queue.drain(..).map(|queued| queued.waiting))
            .collect()
    }

    /// Keeps a closed value for which there was no room yet.
    pub(crate) fn hold(&mut self, value: Value, waiting: Vec<Waiting>) {
        self.held = Some((value, waiting));
    }

    /// Whether a closed value waits for room.
    pub(crate) fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// The closed value that waits for room.
    pub(crate) fn take_held(&mut self) -> Option<(Value, Vec<Waiting>)> {
        self.held.take()
    }

    /// Notes who waits for a proposed slot.
    pub(crate) fn proposed(&mut self, slot: Slot, waiting: Vec<Waiting>) {
        debug_assert!(self.proposed.back().is_none_or(|last| last.slot < slot));
        self.proposed.push_back(Proposed {
            slot,
            waiting: waiting.into_iter().map(Some).collect(),
        });
    }

    /// Who waits for a slot that was chosen, by the command's index; empty if it
    /// was not proposed here.
    pub(crate) fn take_chosen(&mut self, slot: Slot) -> Vec<Option<Waiting>> {
        match self.proposed.front() {
            Some(first) if first.slot == slot => self
                .proposed
                .pop_front()
                .map(|first| first.waiting)
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Everybody who waits for a proposed slot at or beyond `from`: what became
    /// of it is not known here.
    pub(crate) fn take_unknown(&mut self, from: Slot) -> Vec<Waiting> {
        let keep = self
            .proposed
            .partition_point(|proposed| proposed.slot < from);
        self.proposed
            .drain(keep..)
            .flat_map(|proposed| proposed.waiting.into_iter().flatten())
            .collect()
    }

    /// Takes out of the queue what nobody waits for any longer; it was not
    /// proposed.
    pub(crate) fn take_expired_queued(&mut self, now: u64) -> Vec<Waiting> {
        if self
            .queue
            .iter()
            .all(|queued| queued.waiting.deadline > now)
        {
            return Vec::new();
        }
        // Behind an expired append on a stream nothing of that stream may stay: order would break.
        let mut expired = Vec::new();
        let mut broken = BTreeMap::new();
        let mut bytes = 0;
        self.queue.retain(|queued| {
            let waiting = queued.waiting;
            let gone =
                waiting.deadline <= now || (waiting.append && broken.contains_key(&waiting.stream));
            if gone {
                broken.insert(waiting.stream, ());
                expired.push(waiting);
            } else {
                bytes += queued.command.batch_bytes() as usize;
            }
            !gone
        });
        self.queue_bytes = bytes;
        expired
    }

    /// Takes those whose client stopped waiting for a proposed slot; the slot
    /// goes on without them.
    pub(crate) fn take_expired_proposed(&mut self, now: u64) -> Vec<Waiting> {
        let waiting = self
            .proposed
            .iter_mut()
            .flat_map(|proposed| proposed.waiting.iter_mut());
        waiting
            .filter_map(|waiting| waiting.take_if(|waiting| waiting.deadline <= now))
            .collect()
    }

    /// Whether anything is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue_is_empty() && self.proposed.is_empty()
    }
}
