//! Handing leadership over: planned, or because this leader can't lead any more.

use std::collections::BTreeSet;

use crate::effect::Effects;
use crate::leader::Handing;
use crate::message::{HandOver, Heartbeat, Message};
use crate::paxos::{Paxos, Post};
use crate::types::{Ballot, DiskHealth, Nanos, ReplicaId};

impl Paxos {
    /// The leader takes no more proposals and looks for a successor.
    pub(crate) fn begin_handing(&mut self, now: Nanos, fx: &mut Effects) {
        let drain_ns = if self.reaches_quorum {
            2 * self.config.heartbeat_ns + self.peers.slack_ns()
        } else {
            0
        };
        if let Post::Leader(leader) = &mut self.post
            && leader.handing.is_none()
        {
            leader.handing = Some(Handing {
                drain_until: now + drain_ns,
                asked: BTreeSet::new(),
                asked_at: None,
            });
            self.go_on_handing(now, fx);
        }
    }

    /// Those who could lead, as far as they say, and what they said last.
    pub(crate) fn successors(&self, now: Nanos) -> impl Iterator<Item = (ReplicaId, &Heartbeat)> {
        self.peers.saying(now).filter(move |&(id, says)| {
            let fit = says.voter && says.disk_well && says.reaches_quorum;
            fit && self.peers.both_ways(id, now)
        })
    }

    /// Asks the best-placed follower that was not asked yet, once what is under way is chosen.
    pub(crate) fn go_on_handing(&mut self, now: Nanos, fx: &mut Effects) {
        let patience = 4 * self.config.heartbeat_ns + 2 * self.peers.slack_ns();
        let well = self.disk == DiskHealth::Well && self.reaches_quorum;
        let Post::Leader(leader) = &self.post else {
            return;
        };
        let Some(handing) = &leader.handing else {
            return;
        };
        if leader.chosen < leader.next && now < handing.drain_until {
            return;
        }
        if handing
            .asked_at
            .is_some_and(|at| now.saturating_sub(at) < patience)
        {
            return;
        }
        let best: Option<ReplicaId> = self
            .successors(now)
            .filter(|(id, _)| !handing.asked.contains(id))
            .max_by_key(|&(id, says)| {
                let acked = leader.progress.get(&id).map(|p| p.acked);
                // What was acknowledged need not be known to be chosen, nor what came before be there.
                let could_serve = says.chosen_prefix >= leader.first;
                let gives = !self.silent.contains(id, now);
                (gives, acked, could_serve, says.priority, id)
            })
            .map(|(id, _)| id);
        let Post::Leader(leader) = &mut self.post else {
            return;
        };
        let Some(handing) = &mut leader.handing else {
            return;
        };
        match best {
            Some(id) => {
                self.counters.handed_over += 1;
                handing.asked.insert(id);
                handing.asked_at = Some(now);
                let message = Message::HandOver(HandOver {
                    ballot: leader.ballot,
                    chosen: leader.chosen,
                });
                self.out.send(id, message, fx);
            }
            // Nobody took it. Whoever can still lead goes on; whoever can't asks all again.
            None if well => leader.handing = None,
            None => {
                handing.asked.clear();
                handing.asked_at = Some(now);
            }
        }
    }

    pub(crate) fn on_hand_over(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        hand_over: &HandOver,
        fx: &mut Effects,
    ) {
        let ballot = hand_over.ballot;
        if ballot.replica != from
            || ballot.round > Ballot::ROUND_MAX
            || ballot < self.acceptor.promised()
        {
            return;
        }
        self.acceptor.tell_chosen(ballot, hand_over.chosen);
        self.acceptor.settle(self.out.durable(), fx);
        let fit = self.disk == DiskHealth::Well && now >= self.unfit_until;
        if matches!(self.post, Post::Follower) && fit {
            self.counters.took_over += 1;
            self.round_seen = self.round_seen.max(ballot.round);
            self.stand(now, fx);
        }
    }
}
