//! One replica of one group: the public state machine.

use thiserror::Error;

use crate::config::{Config, PeerStatus, Recovered, Standing};
use crate::effect::{Effects, Role};
use crate::message::Envelope;
use crate::types::{
    Ballot, DiskHealth, LinkEvent, Member, Nanos, PersistId, ReadId, ReadToken, ReplicaId, Slot,
    Value,
};

/// Why a value was not proposed. Nothing of it was sent or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// This replica does not lead.
    #[error("this replica is not the leader")]
    NotLeader {
        /// Who may, if known.
        leader: Option<ReplicaId>,
    },
    /// It leads, but may not serve: taking over, handing over, or without a quorum or a working disk.
    #[error("the leader is not ready to serve")]
    NotReady,
    /// As much as is allowed is unchosen: try again after the next `Effect::Chosen`.
    #[error("the window of unchosen values is full")]
    Full,
}

/// This replica does not lead, or may not serve yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this replica is not a serving leader")]
pub struct NotLeader {
    /// Who leads, if known.
    pub leader: Option<ReplicaId>,
}

/// One replica of one Paxos group.
#[derive(Debug)]
#[expect(dead_code, reason = "signatures first; the bodies follow")]
pub struct Paxos {
    config: Config,
    chosen_prefix: Slot,
    promised: Ballot,
}

#[expect(
    unused_variables,
    clippy::needless_pass_by_value,
    reason = "signatures first; the bodies follow"
)]
impl Paxos {
    /// A replica as recovery left it. Call `handle_tick` at once: it says what is due, and when it wants
    /// to be called again.
    #[must_use]
    pub fn new(config: Config, recovered: Recovered, now: Nanos) -> Paxos {
        Paxos {
            config,
            chosen_prefix: recovered.chosen_prefix,
            promised: recovered.promised,
        }
    }

    /// A message came.
    pub fn handle_message(&mut self, now: Nanos, envelope: Envelope, effects: &mut Effects) {}

    /// Time went on. May be called at any time, also early.
    pub fn handle_tick(&mut self, now: Nanos, effects: &mut Effects) {}

    /// When `handle_tick` wants to be called next.
    #[must_use]
    pub fn poll_timer(&self) -> Nanos {
        0
    }

    /// Every Persist effect with an id `<= upto` is durable.
    pub fn handle_durable(&mut self, now: Nanos, upto: PersistId, effects: &mut Effects) {}

    /// The answer to an [`Effect::ReadValue`](crate::Effect::ReadValue); `None`: it can't be read.
    pub fn handle_value(
        &mut self,
        now: Nanos,
        id: ReadId,
        value: Option<Value>,
        effects: &mut Effects,
    ) {
    }

    /// A link to a peer came or went.
    pub fn handle_link(
        &mut self,
        now: Nanos,
        peer: ReplicaId,
        event: LinkEvent,
        effects: &mut Effects,
    ) {
    }

    /// The own disk's health changed.
    pub fn handle_disk(&mut self, now: Nanos, health: DiskHealth, effects: &mut Effects) {}

    /// Proposes a value for the next slot. An `Effect::Chosen` for that slot *in the ballot led here* means
    /// that this value was chosen; if leadership is lost before, the slot is among `RoleChange::unknown`.
    ///
    /// # Errors
    /// See [`ProposeError`]; nothing was proposed.
    pub fn propose(
        &mut self,
        now: Nanos,
        value: Value,
        effects: &mut Effects,
    ) -> Result<Slot, ProposeError> {
        Err(ProposeError::NotLeader { leader: None })
    }

    /// Whether `propose` would take a small value now.
    #[must_use]
    pub fn can_propose(&self) -> bool {
        false
    }

    /// Begins a linearizable read: answered by `ReadReady` or `ReadFailed` with this token.
    ///
    /// # Errors
    /// [`NotLeader`] when this replica is no serving leader.
    pub fn read_index(
        &mut self,
        now: Nanos,
        token: ReadToken,
        effects: &mut Effects,
    ) -> Result<(), NotLeader> {
        Err(NotLeader { leader: None })
    }

    /// Planned hand-over (shutdown, drain): the leader takes no more proposals, lets what is under way be
    /// chosen, and asks the best-placed follower to take over. No effect on others.
    pub fn hand_over(&mut self, now: Nanos, effects: &mut Effects) {}

    /// Everything below is applied here.
    pub fn note_applied(&mut self, below: Slot) {}

    /// A checkpoint of everything below is durable here: values below may be dropped from now on.
    pub fn note_checkpoint(&mut self, below: Slot) {}

    /// What this replica is.
    #[must_use]
    pub fn role(&self) -> Role {
        Role::Follower { leader: None }
    }

    /// The ballot that is led or followed, and by whom.
    #[must_use]
    pub fn leader(&self) -> Option<(Ballot, ReplicaId)> {
        None
    }

    /// The highest promised ballot.
    #[must_use]
    pub fn ballot(&self) -> Ballot {
        self.promised
    }

    /// The highest chosen index this replica was told of, or reached as leader.
    #[must_use]
    pub fn chosen_index(&self) -> Slot {
        self.chosen_prefix
    }

    /// All slots below are known chosen and held here.
    #[must_use]
    pub fn chosen_prefix(&self) -> Slot {
        self.chosen_prefix
    }

    /// The voters, in order of id; empty until formed.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &[]
    }

    /// Whether this replica votes, and if not, why.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing::NotFormed
    }

    /// What is known of the other members, in order of id.
    pub fn peers(&self) -> Vec<PeerStatus> {
        Vec::new()
    }

    /// What every member has applied and would still know to be chosen after a crash: values at and above
    /// may be needed by one of them. 0 until all were heard in this life.
    #[must_use]
    pub fn min_applied_of_all_members(&self) -> Slot {
        Slot::ZERO
    }

    /// Slots proposed here and not yet chosen.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        0
    }
}
