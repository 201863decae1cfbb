//! Phase 2 at the leader: proposing, feeding followers, and counting what they acknowledge.

use crate::acceptor::Stored;
use crate::effect::{Effect, Effects};
use crate::leader::Leader;
use crate::message::{Accept, Accepted, BelowChosen, Confirm, Confirmed, Message, Refuse};
use crate::paxos::{Paxos, Post};
use crate::reads::Reader;
use crate::serving::ReadFor;
use crate::takeover::Silent;
use crate::types::{DiskHealth, Nanos, ReadId, ReplicaId, Slot, Value};

/// Followers hear of a chosen slot by the next Accept; when none comes, by a heartbeat after this.
const TELL_CHOSEN_NS: Nanos = 2_000_000;

impl Paxos {
    /// Proposes a value for slot `next`: queues it for the own disk, and sends it to all who are that far.
    pub(crate) fn propose_next(&mut self, now: Nanos, value: Value, fx: &mut Effects) {
        let Post::Leader(leader) = &mut self.post else {
            return;
        };
        let slot = leader.next;
        assert!(
            self.acceptor.promised() == leader.ballot,
            "a leader that promised more has stepped down"
        );
        match self.acceptor.accept(slot, value.clone(), &mut self.out, fx) {
            Stored::New | Stored::Already => {}
            Stored::TooFar => {
                unreachable!("the window is far smaller than what an acceptor takes ahead")
            }
            Stored::Contradicts => {
                self.contradict(fx);
                return;
            }
        }
        leader.enter(value);
        leader.tell_at = None;
        let others: Vec<ReplicaId> = leader.progress.keys().copied().collect();
        for id in others {
            self.feed(now, id, fx);
        }
        self.apply_checkpoint();
    }

    /// What is known chosen here and what was proposed do not agree: this replica stops voting.
    pub(crate) fn contradict(&mut self, fx: &mut Effects) {
        self.contradicted = true;
        self.follow(fx);
    }

    /// Sends one follower what it lacks, as far as its window goes. What is no longer in memory is read back
    /// from the own log, one value at a time.
    pub(crate) fn feed(&mut self, now: Nanos, id: ReplicaId, fx: &mut Effects) {
        if !self.peers.heard(id, now) {
            return;
        }
        let Post::Leader(leader) = &mut self.post else {
            return;
        };
        loop {
            let Some(progress) = leader.progress.get(&id) else {
                return;
            };
            let slot = progress.next;
            let idle = slot >= leader.next
                || progress.reading.is_some()
                || progress.unreadable == Some(slot);
            if idle || !progress.has_room(self.config.window_bytes_max) {
                return;
            }
            let value = match leader.value(slot) {
                Some(value) => value.clone(),
                None => match self.acceptor.held(slot) {
                    Some((_, Some(value))) => value,
                    Some((ballot, None)) => {
                        self.last_read = ReadId(self.last_read.0 + 1);
                        let read = self.last_read;
                        self.reading.insert(read, ReadFor::Feed { peer: id, slot });
                        leader.progress.get_mut(&id).expect("seen above").reading = Some(read);
                        fx.push(Effect::ReadValue {
                            id: read,
                            slot,
                            ballot,
                        });
                        return;
                    }
                    None => {
                        // Below the own checkpoint: it has to be had from somebody else. Once it is, this tells
                        // the follower that nothing more of it comes.
                        let dropped = Message::BelowChosen(BelowChosen {
                            ballot: leader.ballot,
                            chosen_below: self.acceptor.chosen_below(),
                        });
                        leader.progress.get_mut(&id).expect("seen above").unreadable = Some(slot);
                        self.out.send(id, dropped, fx);
                        return;
                    }
                },
            };
            self.out.send(id, accept(leader, slot, value.clone()), fx);
            let progress = leader.progress.get_mut(&id).expect("seen above");
            progress.sent(value.len(), now);
        }
    }

    /// A value for a follower that is behind was read.
    pub(crate) fn feed_read(
        &mut self,
        now: Nanos,
        read: ReadId,
        (id, slot): (ReplicaId, Slot),
        value: Option<Value>,
        fx: &mut Effects,
    ) {
        let Post::Leader(leader) = &mut self.post else {
            return;
        };
        let Some(progress) = leader.progress.get_mut(&id) else {
            return;
        };
        if progress.reading != Some(read) {
            return;
        }
        progress.reading = None;
        match value {
            Some(value) if progress.next == slot => {
                self.counters.fed_from_log += 1;
                let bytes = value.len();
                progress.sent(bytes, now);
                self.out.send(id, accept(leader, slot, value), fx);
            }
            Some(_) => {}
            // It fetches the chosen value from somebody else.
            None => progress.unreadable = Some(slot),
        }
        self.feed(now, id, fx);
    }

    /// Everything that may follow from a change: slots chosen, the next ones proposed, readiness.
    pub(crate) fn lead_on(&mut self, now: Nanos, fx: &mut Effects) {
        let me = self.config.id;
        let (Post::Leader(leader), Some(members)) = (&mut self.post, &self.members) else {
            return;
        };
        let own_durable = match self.acceptor.run() {
            Some((ballot, durable, _)) if ballot == leader.ballot => durable,
            _ => leader.first,
        };
        let reached = members.reached(|id| match leader.progress.get(&id) {
            Some(progress) => progress.acked,
            None if id == me => own_durable,
            None => Slot::ZERO,
        });
        let chosen = reached.min(leader.next);
        if chosen > leader.chosen {
            leader.chosen = chosen;
            leader.tell_at = leader.tell_at.or(Some(now + TELL_CHOSEN_NS));
            self.acceptor.tell_chosen(leader.ballot, chosen);
        }
        let drained = leader.chosen == leader.next && leader.handing.is_some();
        self.acceptor.settle(self.out.durable(), fx);
        leader.trim(own_durable, self.config.window_bytes_max);
        let prefix = self.acceptor.chosen_prefix();
        if !leader.ready
            && leader
                .noop
                .is_some_and(|slot| slot < leader.chosen && slot < prefix)
        {
            leader.ready = true;
            self.announce(fx);
        }
        if drained {
            self.go_on_handing(now, fx);
        }
        self.take_over(now, fx);
    }

    pub(crate) fn on_accepted(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        accepted: &Accepted,
        fx: &mut Effects,
    ) {
        // One from an earlier life tells of a disk as it was then.
        let same_life = self
            .peers
            .get(from)
            .and_then(|p| p.says.as_ref())
            .is_none_or(|s| s.life == accepted.life);
        let Post::Leader(leader) = &mut self.post else {
            return;
        };
        if accepted.ballot != leader.ballot || !same_life || accepted.upto > leader.next {
            return;
        }
        let Some(progress) = leader.progress.get_mut(&from) else {
            return;
        };
        let received = accepted.received.min(leader.next);
        let before = progress.acked;
        if std::mem::take(&mut progress.unheard) && accepted.upto < before {
            progress.lose(accepted.upto, received, now);
            self.counters.lost_ends += 1;
            if let Some(peer) = self.peers.get_mut(from) {
                peer.lost_its_end = true;
            }
        }
        progress.advance(accepted.upto, received, now);
        if progress.acked > before {
            self.lead_on(now, fx);
        }
        self.feed(now, from, fx);
    }

    /// The members that are known to hold the chosen slot on disk; at the leader alone, and none elsewhere.
    pub fn holders(&self, slot: Slot) -> impl Iterator<Item = ReplicaId> + '_ {
        let leader = match &self.post {
            Post::Leader(leader) => Some(leader),
            _ => None,
        };
        let own = leader.and_then(|leader| match self.acceptor.run() {
            Some((ballot, durable, _)) if ballot == leader.ballot && slot < durable => {
                Some(self.config.id)
            }
            _ => None,
        });
        let others = leader.into_iter().flat_map(|leader| &leader.progress);
        let others = others.filter(move |(_, progress)| slot < progress.acked);
        own.into_iter().chain(others.map(|(&id, _)| id))
    }

    pub(crate) fn on_below_chosen(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        below: &BelowChosen,
        fx: &mut Effects,
    ) {
        if below.ballot.replica == from {
            self.on_leader_dropped(now, from, below, fx);
            return;
        }
        let Post::Leader(leader) = &mut self.post else {
            return;
        };
        if below.ballot != leader.ballot {
            return;
        }
        let Some(progress) = leader.progress.get_mut(&from) else {
            return;
        };
        // Those slots are chosen already: what was proposed here for them is the same.
        let chosen = below.chosen_below.min(leader.next);
        progress.advance(chosen, chosen, now);
        if chosen > leader.chosen {
            leader.chosen = chosen;
            self.acceptor.tell_chosen(leader.ballot, chosen);
        }
        self.lead_on(now, fx);
        self.feed(now, from, fx);
    }

    /// What the round of heartbeats brings the leader to: sending again, asking again, handing over.
    pub(crate) fn go_on_leading(&mut self, now: Nanos, fx: &mut Effects) {
        let patience = 4 * self.config.heartbeat_ns + 2 * self.peers.slack_ns();
        let Post::Leader(leader) = &mut self.post else {
            return;
        };
        let mut late = Vec::new();
        for (&id, progress) in &mut leader.progress {
            progress.unreadable = None;
            if progress.awaits() && now.saturating_sub(progress.moved_at) >= patience {
                progress.rewind(now);
                self.counters.rewound += 1;
            }
            late.push(id);
        }
        let confirm = leader
            .reads
            .overdue(now, 2 * self.config.heartbeat_ns + self.peers.slack_ns());
        if let Some(round) = confirm {
            self.ask_confirm(round, fx);
        }
        for id in late {
            self.feed(now, id, fx);
        }
        self.take_over(now, fx);
        let able = self.reaches_quorum && self.disk == DiskHealth::Well;
        let silent = able.then(|| self.finds_holders_silent(now)).flatten();
        self.counters.left_out += u64::from(silent.is_some());
        if able && (silent == Some(Silent::DoWithout) || self.takeover_is_hopeless(now)) {
            // Phase 1 again, under a new ballot: whoever lost a value says so now, or is not asked.
            self.counters.prepared_again += 1;
            self.follow(fx);
            self.stand(now, fx);
            return;
        }
        // Heartbeats pass and accepts do not (one of two connections is down, or carries nothing large): others may
        // reach a majority with both. As patient as with a disk.
        let patience = 50 * self.config.heartbeat_ns + 8 * self.peers.slack_ns();
        let needed = self.members.as_ref().map_or(0, |m| m.quorum() - 1);
        let peers = &self.peers;
        let able = |id| {
            let well = peers.get(id).and_then(|p| p.says.as_ref());
            peers.both_ways(id, now) && well.is_some_and(|says| says.disk_well)
        };
        let stuck = match &mut self.post {
            Post::Leader(leader) => leader.is_stuck(now, patience, needed, able),
            _ => false,
        };
        if stuck && self.reaches_quorum {
            self.counters.stuck += 1;
            // Whoever takes over may be no better placed, and must not hand back.
            self.unfit_until = now + 4 * patience;
        }
        let behind = !stuck && self.reaches_quorum && self.leads_from_behind(now);
        self.counters.behind += u64::from(behind);
        if !self.reaches_quorum || stuck || behind || silent == Some(Silent::LetOthers) {
            self.begin_handing(now, fx);
        }
        self.go_on_handing(now, fx);
    }

    pub(crate) fn begin_read(&mut self, now: Nanos, reader: Reader, fx: &mut Effects) {
        let (Post::Leader(leader), Some(members)) = (&mut self.post, &self.members) else {
            return;
        };
        let index = leader.chosen;
        if members.quorum() == 1 {
            self.end_read(reader, Some(index), fx);
            return;
        }
        if let Some(round) = leader.reads.begin(now, reader, index) {
            self.ask_confirm(round, fx);
        }
    }

    fn ask_confirm(&mut self, round: u64, fx: &mut Effects) {
        let (Post::Leader(leader), Some(members)) = (&self.post, &self.members) else {
            return;
        };
        for id in members.others() {
            let confirm = Message::Confirm(Confirm {
                ballot: leader.ballot,
                round,
            });
            self.out.send(id, confirm, fx);
        }
    }

    pub(crate) fn on_confirm(&mut self, from: ReplicaId, confirm: &Confirm, fx: &mut Effects) {
        let promised = self.acceptor.promised();
        let answer = if confirm.ballot >= promised {
            Message::Confirmed(Confirmed {
                ballot: confirm.ballot,
                round: confirm.round,
            })
        } else {
            Message::Refuse(Refuse {
                ballot: confirm.ballot,
                promised,
            })
        };
        self.out.send(from, answer, fx);
    }

    pub(crate) fn on_confirmed(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        confirmed: &Confirmed,
        fx: &mut Effects,
    ) {
        let (Post::Leader(leader), Some(members)) = (&mut self.post, &self.members) else {
            return;
        };
        if confirmed.ballot != leader.ballot {
            return;
        }
        let others_needed = members.quorum() - 1;
        let (ready, ask) = leader
            .reads
            .confirmed(now, from, confirmed.round, others_needed);
        for (reader, index) in ready {
            self.end_read(reader, Some(index), fx);
        }
        if let Some(round) = ask {
            self.ask_confirm(round, fx);
        }
    }
}

fn accept(leader: &Leader, slot: Slot, value: Value) -> Message {
    Message::Accept(Accept {
        ballot: leader.ballot,
        first: leader.first,
        free: leader.free,
        slot,
        chosen: leader.chosen,
        value,
    })
}
