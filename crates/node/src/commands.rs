//! Commands between their admission and their answer: the queue of those that
//! wait for a value, and those that are proposed and wait for their slot.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    /// The open streams that brought a command; those that were refused an
    /// append with the refusal that everything behind it gets, until the client
    /// resumes.
    streams: BTreeMap<StreamId, Option<WireError>>,
}

impl Commands {
    /// A command came on this stream. With `resume` the client goes on from
    /// here after a refusal. Gives the refusal that every append on it gets.
    pub(crate) fn came(&mut self, stream: StreamId, resume: bool) -> Option<&WireError> {
        let refusal = self.streams.entry(stream).or_default();
        if resume {
            *refusal = None;
        }
        refusal.as_ref()
    }

    /// Refuses everything on this stream from here on. Nothing is kept for a
    /// stream that was closed meanwhile.
    pub(crate) fn refuse(&mut self, stream: StreamId, error: WireError) {
        if let Some(refusal) = self.streams.get_mut(&stream) {
            refusal.get_or_insert(error);
        }
    }

    /// Nobody waits on this stream any more. What was admitted goes on: it may
    /// be applied, and its numbering makes a repetition harmless.
    pub(crate) fn close(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
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

    /// Whether the next command to go into a value has waited too long.
    pub(crate) fn next_is_late(&self, now: u64) -> bool {
        let next = self.queue.front();
        next.is_some_and(|queued| queued.waiting.deadline <= now)
    }

    /// Takes out of the queue what nobody waits for any longer, and the appends
    /// behind it on the same streams: they must not overtake it. None of it was
    /// proposed.
    pub(crate) fn take_expired_queued(&mut self, now: u64) -> Vec<Waiting> {
        if self
            .queue
            .iter()
            .all(|queued| queued.waiting.deadline > now)
        {
            return Vec::new();
        }
        let mut expired = Vec::new();
        let mut broken = BTreeSet::new();
        let mut bytes = 0;
        self.queue.retain(|queued| {
            let waiting = queued.waiting;
            let gone =
                waiting.deadline <= now || (waiting.append && broken.contains(&waiting.stream));
            if gone {
                broken.insert(waiting.stream);
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

#[cfg(test)]
mod tests {
    use paxlog_log::{Body, LogId};
    use paxlog_wire::Code;

    use super::*;

    fn append(stream: u64, request: u64, deadline: u64) -> Queued {
        Queued {
            waiting: Waiting {
                stream: StreamId(stream),
                request,
                append: true,
                since: 0,
                deadline,
            },
            command: Command {
                origin: None,
                body: Body::Append {
                    log: LogId(1),
                    records: 1,
                    bytes: 100,
                },
            },
            batch: Vec::new(),
        }
    }

    #[test]
    fn what_is_behind_an_expired_append_goes_with_it_and_other_streams_stay() {
        let mut commands = Commands::default();
        for queued in [
            append(1, 1, 50),
            append(2, 1, 90),
            append(1, 2, 90),
            append(1, 3, 90),
        ] {
            commands.push(queued);
        }
        assert!(!commands.next_is_late(49) && commands.next_is_late(50));
        let gone = commands.take_expired_queued(50);
        let gone: Vec<(u64, u64)> = gone.iter().map(|w| (w.stream.0, w.request)).collect();
        assert_eq!(gone, [(1, 1), (1, 2), (1, 3)]);
        assert_eq!((commands.queue_len(), commands.queue_bytes()), (1, 100));
    }

    #[test]
    fn nothing_is_kept_of_a_stream_that_was_closed_with_appends_under_way() {
        let mut commands = Commands::default();
        let error = || WireError::new(Code::Unavailable, "no");
        let (one, two) = (StreamId(1), StreamId(2));
        assert_eq!(commands.came(one, false), None);
        assert_eq!(commands.came(two, false), None);
        commands.refuse(two, error());
        assert_eq!(commands.came(two, false), Some(&error()));
        assert_eq!(commands.came(two, true), None, "it resumes");
        commands.close(one);
        commands.refuse(one, error());
        commands.close(two);
        assert!(commands.streams.is_empty());
    }
}
