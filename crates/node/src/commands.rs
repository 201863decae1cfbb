//! Commands between their admission and their answer: the queue of those that
//! wait for a value, and those that are proposed and wait for their slot.
//!
//! Clients take turns in the queue, a share of bytes each, so one that sends more
//! than all others does not keep theirs waiting behind its own (deficit round
//! robin: Shreedhar and Varghese, SIGCOMM 1995). Those of one client stay in
//! their order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use paxlog_log::Command;
use paxlog_paxos::{Slot, Value};
use paxlog_wire::WireError;

use crate::event::{ClientId, StreamId};

/// Who waits for a command's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// The connection it came on.
    pub client: ClientId,
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

/// What waits of one client.
#[derive(Debug, Default)]
struct Line {
    queue: VecDeque<Queued>,
    /// Of batches.
    bytes: usize,
    /// What it may still take of this turn, in bytes.
    turn: usize,
}

/// All commands under way.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    lines: BTreeMap<ClientId, Line>,
    /// The clients with something in `lines`, each once; the first one's turn it is.
    turns: VecDeque<ClientId>,
    queue_len: usize,
    queue_bytes: usize,
    /// The leader's own, which nobody waits for.
    own: Vec<Command>,
    /// Closed, and waiting for room in Paxos' window; before all of the queue.
    held: Option<(Value, Vec<Waiting>)>,
    /// In the order of slots.
    proposed: VecDeque<Proposed>,
    /// The open streams that brought a command; those that were refused an
    /// append with the refusal that everything behind it gets, until the client
    /// resumes.
    streams: BTreeMap<StreamId, Option<WireError>>,
}

/// Bytes of batches that may wait for a value before whoever has more than its share of them is refused.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// The same of commands.
const QUEUE_COMMANDS_MAX: usize = 100_000;
/// What a client may take before it is another one's turn, in bytes; at least one command.
const TURN_BYTES: usize = 64 << 10;
/// What a command counts for besides its batch.
const COMMAND_BYTES: usize = 64;

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

    /// Whether too much waits, and this client has more than its share of it.
    pub(crate) fn is_over_its_share(&self, client: ClientId) -> bool {
        let full = self.queue_bytes > QUEUE_BYTES_MAX || self.queue_len >= QUEUE_COMMANDS_MAX;
        if !full {
            return false;
        }
        let share = self.turns.len().max(1);
        self.lines.get(&client).is_some_and(|line| {
            line.bytes > QUEUE_BYTES_MAX / share || line.queue.len() >= QUEUE_COMMANDS_MAX / share
        })
    }

    /// Puts an admitted command in the queue.
    pub(crate) fn push(&mut self, queued: Queued) {
        let (client, bytes) = (queued.waiting.client, queued.command.batch_bytes() as usize);
        let line = self.lines.entry(client).or_default();
        if line.queue.is_empty() {
            line.turn = TURN_BYTES;
            self.turns.push_back(client);
        }
        line.bytes += bytes;
        line.queue.push_back(queued);
        self.queue_bytes += bytes;
        self.queue_len += 1;
    }

    /// The next command to go into a value, if it fits `room` bytes or is the
    /// first.
    pub(crate) fn pop_fitting(&mut self, room: Option<usize>) -> Option<Queued> {
        let client = *self.turns.front()?;
        let line = self.lines.get_mut(&client)?;
        let bytes = line.queue.front()?.command.batch_bytes() as usize;
        if room.is_some_and(|room| bytes > room) {
            return None;
        }
        let queued = line.queue.pop_front();
        line.bytes -= bytes;
        line.turn = line.turn.saturating_sub(bytes + COMMAND_BYTES);
        self.queue_bytes -= bytes;
        self.queue_len -= 1;
        let (over, empty) = (line.turn == 0, line.queue.is_empty());
        if empty {
            self.lines.remove(&client);
            self.turns.pop_front();
        } else if over {
            line.turn = TURN_BYTES;
            self.turns.rotate_left(1);
        }
        queued
    }

    /// The leader's own commands for the next value, in place of those that found no way into one.
    pub(crate) fn set_own(&mut self, commands: Vec<Command>) {
        self.own = commands;
    }

    /// Whether the leader has any of its own.
    pub(crate) fn has_own(&self) -> bool {
        !self.own.is_empty()
    }

    /// Takes the leader's own.
    pub(crate) fn take_own(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.own)
    }

    /// Whether nothing waits for a value.
    pub(crate) fn queue_is_empty(&self) -> bool {
        self.queue_len == 0 && self.held.is_none()
    }

    /// Bytes of batches that wait for a value.
    pub(crate) fn queue_bytes(&self) -> usize {
        self.queue_bytes
    }

    /// How many wait for a value.
    pub(crate) fn queue_len(&self) -> usize {
        self.queue_len
    }

    /// Takes everybody who waits for a value, or for a closed one to be
    /// proposed: nothing of that was proposed.
    pub(crate) fn drain_queue(&mut self) -> Vec<Waiting> {
        (self.queue_bytes, self.queue_len) = (0, 0);
        self.turns.clear();
        self.own.clear();
        let held = self
            .held
            .take()
            .into_iter()
            .flat_map(|(_, waiting)| waiting);
        let queued = std::mem::take(&mut self.lines)
            .into_values()
            .flat_map(|line| line.queue);
        held.chain(queued.map(|queued| queued.waiting)).collect()
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
        let line = self.turns.front().and_then(|client| self.lines.get(client));
        let next = line.and_then(|line| line.queue.front());
        next.is_some_and(|queued| queued.waiting.deadline <= now)
    }

    /// Takes out of the queue what nobody waits for any longer, and the appends
    /// behind it on the same streams: they must not overtake it. None of it was
    /// proposed.
    pub(crate) fn take_expired_queued(&mut self, now: u64) -> Vec<Waiting> {
        let late = |queued: &Queued| queued.waiting.deadline <= now;
        let mut expired = Vec::new();
        for line in self.lines.values_mut() {
            if !line.queue.iter().any(late) {
                continue;
            }
            // Behind one that is gone no append of its stream goes on.
            let mut broken = BTreeSet::new();
            line.bytes = 0;
            line.queue.retain(|queued| {
                let waiting = queued.waiting;
                let behind = waiting.append && broken.contains(&waiting.stream);
                let gone = late(queued) || behind;
                if gone {
                    broken.insert(waiting.stream);
                    expired.push(waiting);
                } else {
                    line.bytes += queued.command.batch_bytes() as usize;
                }
                !gone
            });
        }
        if !expired.is_empty() {
            self.lines.retain(|_, line| !line.queue.is_empty());
            self.turns.retain(|client| self.lines.contains_key(client));
            self.queue_len = self.lines.values().map(|line| line.queue.len()).sum();
            self.queue_bytes = self.lines.values().map(|line| line.bytes).sum();
        }
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
    use paxlog_log::{Body, Conditions, LogId};
    use paxlog_wire::Code;

    use super::*;

    fn append(stream: u64, request: u64, deadline: u64) -> Queued {
        Queued {
            waiting: Waiting {
                // Streams 10 and 11 are of client 10, and so on.
                client: ClientId(stream / 2 * 2),
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
                    on: Conditions::default(),
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
    fn clients_take_turns_and_each_keeps_its_order() {
        let mut commands = Commands::default();
        // One client has a thousand waiting, on two streams, before two others come with a few.
        for request in 0..500 {
            commands.push(append(10, request, u64::MAX));
            commands.push(append(11, request, u64::MAX));
        }
        for request in 0..3 {
            commands.push(append(2, request, u64::MAX));
            commands.push(append(4, request, u64::MAX));
        }
        let order: Vec<(u64, u64)> = std::iter::from_fn(|| commands.pop_fitting(None))
            .map(|queued| (queued.waiting.stream.0, queued.waiting.request))
            .collect();
        assert_eq!(order.len(), 1_006);
        for stream in [2, 4, 10, 11] {
            let of_one = order.iter().filter(|(of, _)| *of == stream);
            assert!(of_one.is_sorted());
        }
        let last = order.iter().rposition(|(of, _)| *of < 10);
        let a_turn = TURN_BYTES / (100 + COMMAND_BYTES) + 1;
        assert!(last <= Some(a_turn + 6), "{last:?}");
        assert!(commands.queue_is_empty() && commands.turns.is_empty());
    }

    #[test]
    fn whoever_has_more_than_its_share_of_a_full_queue_is_refused_and_no_other() {
        let mut commands = Commands::default();
        let (greedy, other) = (ClientId(2), ClientId(4));
        for request in 0..QUEUE_COMMANDS_MAX as u64 {
            assert!(!commands.is_over_its_share(greedy));
            commands.push(append(greedy.0, request, u64::MAX));
        }
        assert!(commands.is_over_its_share(greedy));
        assert!(!commands.is_over_its_share(other));
        commands.push(append(other.0, 0, u64::MAX));
        assert!(!commands.is_over_its_share(other));
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
