//! Phase 2 at a follower: taking a value in, and acknowledging it once it is durable.

use crate::acceptor::Stored;
use crate::effect::Effects;
use crate::message::{Accept, Accepted, BelowChosen, Message, Refuse};
use crate::paxos::{Known, Paxos, SLOT_SANE_MAX};
use crate::types::{Ballot, Nanos, ReplicaId};

impl Paxos {
    pub(crate) fn on_accept(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        accept: Accept,
        fx: &mut Effects,
    ) {
        let Accept {
            ballot,
            first,
            free,
            slot,
            chosen,
            value,
        } = accept;
        let sane = slot.max(chosen).max(free) <= SLOT_SANE_MAX && ballot.round <= Ballot::ROUND_MAX;
        if ballot.replica != from || !sane || slot < first {
            return;
        }
        if !self.obey(now, ballot, fx) {
            return;
        }
        if slot < self.acceptor.chosen_below() {
            let below = Message::BelowChosen(BelowChosen {
                ballot,
                chosen_below: self.acceptor.chosen_below(),
            });
            self.counters.below_chosen += 1;
            let after = self.acceptor.promise_persist();
            self.out.send_after(after, from, below, fx);
            return;
        }
        self.acceptor.begin_run(first);
        self.acceptor.forget_unknown(free);
        self.told_index = self.told_index.max(chosen);
        self.acceptor.tell_chosen(ballot, chosen);
        let ahead = self.acceptor.run().is_some_and(|(_, _, end)| slot > end);
        self.counters.out_of_order += u64::from(ahead);
        let stored = self.acceptor.accept(slot, value, &mut self.out, fx);
        self.acceptor.settle(self.out.durable(), fx);
        match stored {
            Stored::New | Stored::TooFar => {}
            // It came again: perhaps the acknowledgement was lost.
            Stored::Already => self.acknowledge(ballot, fx),
            Stored::Contradicts => self.contradict(fx),
        }
    }

    /// A leader speaks in its ballot: it is promised, or refused for a higher one.
    fn obey(&mut self, now: Nanos, ballot: Ballot, fx: &mut Effects) -> bool {
        self.round_seen = self.round_seen.max(ballot.round);
        let promised = self.acceptor.promised();
        if ballot < promised {
            let refuse = Message::Refuse(Refuse { ballot, promised });
            self.out.send(ballot.replica, refuse, fx);
            return false;
        }
        if ballot > promised {
            self.acceptor.promise(ballot, &mut self.out, fx);
            self.follow(fx);
        }
        if self.known.is_none_or(|k| k.ballot < ballot) {
            self.accept_seen = Some((ballot, now + self.peers.silence_ns()));
            self.known = Some(Known {
                ballot,
                direct: true,
                well: true,
            });
        }
        true
    }

    /// The leader has dropped the values below its checkpoint, so it can't send them in its ballot. They are
    /// chosen; once they are durable here, whichever ballot they came in, the ballot is counted from there.
    pub(crate) fn on_leader_dropped(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        dropped: &BelowChosen,
        fx: &mut Effects,
    ) {
        let BelowChosen {
            ballot,
            chosen_below,
        } = *dropped;
        let sane = chosen_below <= SLOT_SANE_MAX && ballot.round <= Ballot::ROUND_MAX;
        if ballot.replica != from || !sane || !self.obey(now, ballot, fx) {
            return;
        }
        if chosen_below <= self.acceptor.durable_prefix() {
            self.acceptor.begin_run(chosen_below);
            self.acceptor.skip_run(chosen_below);
            self.acceptor.settle(self.out.durable(), fx);
            self.acknowledge(ballot, fx);
        }
    }

    /// What this replica acknowledges: nothing of a ballot that it no longer promises.
    pub(crate) fn acknowledgement(&self) -> Option<Accepted> {
        let (ballot, durable, end) = self.acceptor.run()?;
        if ballot != self.acceptor.promised_durable() || !self.votes() {
            return None;
        }
        Some(Accepted {
            ballot,
            life: self.peers.life(),
            upto: durable,
            received: end,
        })
    }

    pub(crate) fn acknowledge(&mut self, ballot: Ballot, fx: &mut Effects) {
        if let Some(accepted) = self.acknowledgement()
            && accepted.ballot == ballot
            && ballot.replica != self.config.id
        {
            self.out
                .send(ballot.replica, Message::Accepted(accepted), fx);
        }
    }
}
