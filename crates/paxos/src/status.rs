//! What can be asked of the machine at any time.

use crate::config::{PeerStatus, Standing};
use crate::counters::Counters;
use crate::effect::Role;
use crate::forming::Forming;
use crate::message::UnknownSlots;
use crate::paxos::{Paxos, Post};
use crate::quorum::Members;
use crate::types::{Ballot, Member, ReplicaId, Slot};

impl Paxos {
    /// What this replica is.
    #[must_use]
    pub fn role(&self) -> Role {
        match &self.post {
            Post::Follower => Role::Follower {
                leader: self.leader().map(|(_, id)| id),
            },
            Post::Candidate(_) => Role::Candidate,
            Post::Leader(leader) => Role::Leader {
                ready: leader.ready,
            },
        }
    }

    /// Whether this replica lacks chosen slots that all whom it hears have dropped, for a checkpoint that has them in
    /// it. It can happen only to one that lost what it had said to be durable: others keep what it lacks otherwise.
    #[must_use]
    pub fn is_stranded(&self) -> bool {
        matches!(self.post, Post::Follower) && self.learner.stranded
    }

    /// Whether voters that are reached both ways, this replica included, are a majority. A leader that
    /// reaches none proposes nothing.
    #[must_use]
    pub fn quorum_is_reached(&self) -> bool {
        self.reaches_quorum
    }

    /// The ballot that is led or followed, and by whom.
    #[must_use]
    pub fn leader(&self) -> Option<(Ballot, ReplicaId)> {
        let ballot = match &self.post {
            Post::Leader(leader) => Some(leader.ballot),
            Post::Candidate(_) => None,
            Post::Follower => self.known.map(|k| k.ballot),
        };
        ballot.map(|b| (b, b.replica))
    }

    /// The highest promised ballot.
    #[must_use]
    pub fn ballot(&self) -> Ballot {
        self.acceptor.promised()
    }

    /// The highest chosen index this replica was told of, or reached as leader.
    #[must_use]
    pub fn chosen_index(&self) -> Slot {
        let own = match &self.post {
            Post::Leader(leader) => leader.chosen,
            _ => Slot::ZERO,
        };
        own.max(self.told_index).max(self.acceptor.chosen_prefix())
    }

    /// All slots below are known chosen and held here. At opening: from where on
    /// [`Effect::Chosen`](crate::Effect::Chosen) comes.
    #[must_use]
    pub fn chosen_prefix(&self) -> Slot {
        self.acceptor.chosen_prefix()
    }

    /// All slots below are chosen, and their values may be in the owner's checkpoint only: at opening, what it does not
    /// hold one by one.
    #[must_use]
    pub fn chosen_below(&self) -> Slot {
        self.acceptor.chosen_below()
    }

    /// The voters, in order of id; empty until formed.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        self.members.as_ref().map_or(&[], Members::list)
    }

    /// Whether this replica votes, and if not, why.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.contradicted {
            return Standing::Contradicted;
        }
        match &self.forming {
            Forming::LeftOut => Standing::NotMember,
            _ if self.promise_may_be_lost => Standing::PromiseMayBeLost,
            Forming::Blank { .. } | Forming::Unformed | Forming::Adopting { .. } => {
                Standing::NotFormed
            }
            Forming::Formed => Standing::Voter,
        }
    }

    /// Slots that this replica could not vouch for if it were asked now: damage took what it had accepted.
    #[must_use]
    pub fn unknown_slots(&self) -> &[UnknownSlots] {
        self.acceptor.unknown_slots()
    }

    pub(crate) fn votes(&self) -> bool {
        self.standing() == Standing::Voter
    }

    /// What is known of the other members, in order of id, as of the last event.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        let now = self.clock;
        let index = self.chosen_index();
        let status = |(id, peer): (ReplicaId, &crate::peers::Peer)| {
            let says = peer.says.as_ref();
            let durable = match &self.post {
                Post::Leader(leader) => leader.progress.get(&id).map(|p| p.acked),
                _ => says.map(|s| s.durable_prefix),
            };
            let durable = durable.unwrap_or(Slot::ZERO);
            let listed = self.members().iter().find(|m| m.id == id);
            PeerStatus {
                id,
                incarnation: listed.map(|m| m.incarnation),
                voter: says.is_none_or(|s| s.voter),
                heard: self.peers.heard(id, now),
                both_ways: self.peers.both_ways(id, now),
                rtt_ns: peer.rtt_ns(),
                disk_well: says.is_some_and(|s| s.disk_well),
                durable,
                lag_slots: index.since(durable),
                applied: says.map_or(Slot::ZERO, |s| s.applied),
                chosen_prefix: says.map_or(Slot::ZERO, |s| s.chosen_prefix),
                lost_its_end: peer.lost_its_end,
            }
        };
        self.peers.iter().map(status).collect()
    }

    /// What every member has applied and would still know to be chosen after a crash: values at and above
    /// may be needed by one of them. 0 until all were heard in this life.
    #[must_use]
    pub fn min_applied_of_all_members(&self) -> Slot {
        let own = self.applied.min(self.acceptor.durable_prefix());
        own.min(self.peers.min_of_all(|s| s.applied.min(s.durable_prefix)))
    }

    /// How often what happened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Slots proposed here and not yet chosen.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        match &self.post {
            Post::Leader(leader) => leader.next.since(leader.chosen),
            _ => 0,
        }
    }
}
