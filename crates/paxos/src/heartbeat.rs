//! Rounds of heartbeats: saying how this replica is, and drawing conclusions from how the others are.

use crate::effect::Effects;
use crate::message::{Accepted, Heartbeat, Leading, Message};
use crate::paxos::{Known, Paxos, Post, SLOT_SANE_MAX};
use crate::peers::Fresh;
use crate::types::{Ballot, DiskHealth, Nanos, ReplicaId};

impl Paxos {
    /// Once an interval.
    pub(crate) fn begin_round(&mut self, now: Nanos, fx: &mut Effects) {
        self.look_around(now);
        self.tell_all(now, fx);
        match &self.post {
            Post::Follower => self.consider_standing(now),
            Post::Candidate(_) => self.go_on_standing(now, fx),
            Post::Leader(_) => self.go_on_leading(now, fx),
        }
        self.learn(now, fx);
        self.go_on_asking(now, fx);
    }

    /// Who is reached, and who leads, as far as is heard now.
    pub(crate) fn look_around(&mut self, now: Nanos) {
        self.reaches_quorum = self.reaches_quorum(now);
        let promised = self.acceptor.promised();
        let mut known: Option<Known> = None;
        for (_, says) in self.peers.saying(now) {
            let direct = says.leading.map(|l| Known {
                ballot: l.ballot,
                direct: true,
                well: says.reaches_quorum && says.disk_well,
            });
            let hearsay = says.follows.map(|ballot| Known {
                ballot,
                direct: false,
                well: says.vouches,
            });
            for k in [direct, hearsay].into_iter().flatten() {
                let better = known
                    .is_none_or(|b| (k.ballot, k.direct, k.well) > (b.ballot, b.direct, b.well));
                if k.ballot >= promised && k.ballot.replica != self.config.id && better {
                    known = Some(k);
                }
            }
        }
        // An Accept may tell of a leader before its heartbeat does.
        if let Some((ballot, until)) = self.accept_seen
            && ballot >= promised
            && now < until
            && known.is_none_or(|k| k.ballot < ballot)
        {
            known = Some(Known {
                ballot,
                direct: true,
                well: true,
            });
        }
        if known.is_some_and(|k| k.well) {
            self.rivals = 0;
        }
        self.known = known;
    }

    /// Voters that are reached both ways and whose disks are well, this one included, are a majority. Whoever
    /// can't make anything durable does not help to choose: a leader that counts on it would stand in the way of
    /// one that reaches others.
    pub(crate) fn reaches_quorum(&self, now: Nanos) -> bool {
        let Some(members) = &self.members else {
            return false;
        };
        let reached = self
            .peers
            .saying(now)
            .filter(|&(id, says)| says.voter && says.disk_well && self.peers.both_ways(id, now));
        usize::from(self.votes()) + reached.count() >= members.quorum()
    }

    /// A heartbeat to every other member, now.
    pub(crate) fn tell_all(&mut self, now: Nanos, fx: &mut Effects) {
        if let Post::Leader(leader) = &mut self.post {
            leader.tell_at = None;
        }
        let Some(members) = &self.members else { return };
        let others: Vec<ReplicaId> = members.others().collect();
        for id in others {
            self.send_heartbeat(now, id, fx);
        }
    }

    pub(crate) fn send_heartbeat(&mut self, now: Nanos, to: ReplicaId, fx: &mut Effects) {
        let leading = match &self.post {
            Post::Leader(leader) => Some(Leading {
                ballot: leader.ballot,
                first: leader.first,
                chosen: leader.chosen,
            }),
            _ => None,
        };
        let standing = match &self.post {
            Post::Candidate(c) => Some(c.ballot).filter(|&b| b <= self.acceptor.promised_durable()),
            _ => None,
        };
        let follows = self.known.filter(|_| leading.is_none());
        // A round may be told of more than once; the newest word counts, so each has its own number.
        let round = self.peers.begin_round(now);
        let beat = Heartbeat {
            life: self.peers.life(),
            round,
            echo: self.peers.echo(to, now),
            promised: self.acceptor.promised_durable(),
            leading,
            standing,
            voter: self.votes(),
            reaches_quorum: self.reaches_quorum,
            disk_well: self.disk == DiskHealth::Well,
            follows: follows.map(|k| k.ballot),
            vouches: follows.is_some_and(|k| k.direct && k.well),
            priority: self.config.priority,
            applied: self.applied,
            chosen_prefix: self.acceptor.chosen_prefix(),
            durable_prefix: self.acceptor.durable_prefix(),
            chosen_below: self.acceptor.chosen_below(),
            accepted: self.acknowledgement(),
        };
        self.out.send(to, Message::Heartbeat(Box::new(beat)), fx);
    }

    /// Whether this leader reaches a majority, and of those it reaches no majority may accept anything of its
    /// ballot any more: they have promised a higher one, for good. One such promise alone is no reason: a
    /// majority may still follow. An Accept sent now would be refused; but if all that was to be sent has come
    /// there before the promise, nothing is sent, and nobody would ever refuse anything.
    fn is_outpromised(&self, now: Nanos) -> bool {
        let (Post::Leader(leader), Some(members)) = (&self.post, &self.members) else {
            return false;
        };
        let reached = || {
            let others = members.others();
            others.filter(|&id| self.peers.both_ways(id, now))
        };
        let says = |id| self.peers.get(id).and_then(|peer| peer.says.as_ref());
        let follow = reached().filter(|&id| says(id).is_some_and(|s| s.promised <= leader.ballot));
        let quorum = members.quorum();
        1 + reached().count() >= quorum && 1 + follow.count() < quorum
    }

    pub(crate) fn on_heartbeat(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        beat: &Heartbeat,
        fx: &mut Effects,
    ) {
        let fresh = self.peers.hear(now, from, beat);
        if fresh == Fresh::Stale {
            return;
        }
        self.round_seen = self
            .round_seen
            .max(beat.promised.round.min(Ballot::ROUND_MAX));
        if let Some(leading) = beat.leading
            && leading.ballot.replica == from
            && leading.first.max(leading.chosen) <= SLOT_SANE_MAX
        {
            self.told_index = self.told_index.max(leading.chosen);
            if leading.ballot >= self.acceptor.promised() {
                self.hear_chosen(from, leading.chosen);
            }
            if leading.ballot == self.acceptor.promised() && matches!(self.post, Post::Follower) {
                let before = self.acceptor.run();
                self.acceptor.begin_run(leading.first);
                self.acceptor.tell_chosen(leading.ballot, leading.chosen);
                self.acceptor.settle(self.out.durable(), fx);
                if before.is_none() {
                    self.acknowledge(leading.ballot, fx);
                }
            }
        }
        self.look_around(now);
        if matches!(self.post, Post::Leader(_)) {
            self.hear_progress(now, from, fresh, beat.accepted.as_ref(), fx);
            if self.is_outpromised(now) {
                self.follow(fx);
                self.consider_standing(now);
            }
        }
        if beat.chosen_prefix > self.acceptor.chosen_prefix() {
            self.learn(now, fx);
        }
    }

    /// The leader hears how far a follower is.
    fn hear_progress(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        fresh: Fresh,
        accepted: Option<&Accepted>,
        fx: &mut Effects,
    ) {
        let Post::Leader(leader) = &mut self.post else {
            return;
        };
        let Some(progress) = leader.progress.get_mut(&from) else {
            return;
        };
        if fresh == Fresh::NewLife {
            // What had come and was not durable is gone.
            let acked = progress.acked;
            progress.lose(acked, acked, now);
            progress.unheard = true;
        }
        match accepted {
            Some(accepted) => self.on_accepted(now, from, accepted, fx),
            None => self.feed(now, from, fx),
        }
    }
}
