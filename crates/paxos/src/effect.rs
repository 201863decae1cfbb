//! What the state machine wants done. The owner carries effects out in the order given.

use std::collections::VecDeque;

use crate::message::Envelope;
use crate::types::{Ballot, Member, PersistId, ReadId, ReadToken, ReplicaId, Slot, Value};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Append to the write-ahead log, in order of `id`; tell when it is durable
    /// ([`Paxos::handle_durable`](crate::Paxos::handle_durable)).
    Persist {
        /// Rises by 1.
        id: PersistId,
        /// What.
        what: Persist,
    },
    /// Send now: whatever had to be durable before is.
    Send {
        /// The receiver.
        to: ReplicaId,
        /// The message.
        message: Envelope,
    },
    /// The slot is chosen. Strictly in slot order, each once in a life, from
    /// [`Paxos::chosen_prefix`](crate::Paxos::chosen_prefix) at opening on: what lies between the owner's
    /// checkpoint and that prefix the owner replays from its own log before anything else.
    Chosen {
        /// The slot.
        slot: Slot,
        /// The ballot in which it is held here.
        ballot: Ballot,
        /// The value; `None`: the owner reads it from its write-ahead log.
        value: Option<Value>,
    },
    /// Read a value back from the write-ahead log and answer with
    /// [`Paxos::handle_value`](crate::Paxos::handle_value).
    ReadValue {
        /// For the answer.
        id: ReadId,
        /// The slot.
        slot: Slot,
        /// The ballot of the frame that is wanted: the newest of this slot.
        ballot: Ballot,
    },
    /// The role changed.
    Role(RoleChange),
    /// A linearizable read may be answered once everything below `index` is applied.
    ReadReady {
        /// From `read_index`.
        token: ReadToken,
        /// Exclusive.
        index: Slot,
    },
    /// The read can't be answered here: leadership was lost.
    ReadFailed {
        /// From `read_index`.
        token: ReadToken,
    },
}

/// What goes into the write-ahead log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Persist {
    /// An accepted value; it supersedes what the slot held.
    Accepted {
        /// The slot.
        slot: Slot,
        /// The ballot; it is also a promise of that ballot.
        ballot: Ballot,
        /// The value.
        value: Value,
        /// What this replica can vouch for, see [`DurableState::chosen_prefix`].
        chosen_prefix: Slot,
    },
    /// A STATE frame.
    State(DurableState),
}

/// What a STATE frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurableState {
    /// The promised ballot.
    pub promised: Ballot,
    /// The members under which this replica votes.
    pub formed: Option<Vec<Member>>,
    /// All slots below are chosen, and held here as the chosen value by frames before this one.
    pub chosen_prefix: Slot,
}

/// What this replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It follows `leader`, if it knows one.
    Follower {
        /// Whom.
        leader: Option<ReplicaId>,
    },
    /// It is in phase 1.
    Candidate,
    /// It has a promising quorum.
    Leader {
        /// A no-op of its own ballot is chosen and everything up to it is held: it may serve.
        ready: bool,
    },
}

/// The new role, and what became of proposals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleChange {
    /// The new role.
    pub role: Role,
    /// The ballot that is led or followed, [`Ballot::NONE`] if none is known.
    pub ballot: Ballot,
    /// Slots that were proposed here with `propose` and not yet chosen when leadership was lost:
    /// their outcome is unknown here. In order. Empty unless a leader stepped down.
    pub unknown: Vec<Slot>,
}

/// A reusable queue of effects.
#[derive(Debug, Default)]
pub struct Effects {
    queue: VecDeque<Effect>,
}

impl Effects {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Effects {
        Effects::default()
    }

    /// Adds one at the end.
    pub fn push(&mut self, effect: Effect) {
        self.queue.push_back(effect);
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<Effect> {
        self.queue.pop_front()
    }

    /// Takes all, in order; the queue keeps its room.
    pub fn drain(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.queue.drain(..)
    }

    /// In order, without taking them.
    pub fn iter(&self) -> impl Iterator<Item = &Effect> + '_ {
        self.queue.iter()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
