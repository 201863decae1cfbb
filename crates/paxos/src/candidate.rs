//! Phase 1: standing, promising, and taking over from what a quorum promised.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::effect::Effects;
use crate::leader::{Backlog, Leader};
use crate::merge::{Decision, Plan, Report, Verdict, merge};
use crate::message::{Message, Prepare, Promise, Refuse};
use crate::paxos::{Paxos, Post, SLOT_SANE_MAX};
use crate::types::{Ballot, DiskHealth, Nanos, PersistId, ReplicaId, Slot, Value};

/// How often others are asked before the promises of those who gave no values are taken as well.
const ROUNDS_WITHOUT: u32 = 4;
/// The longest a rival is given, in time-outs.
const RIVALS_MAX: u64 = 4;

/// One attempt to lead.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) ballot: Ballot,
    /// The own promise: nothing of the ballot leaves before.
    persist: PersistId,
    first: Slot,
    promises: BTreeMap<ReplicaId, Promise>,
    asked_at: Nanos,
    /// How often promises were asked for. Those of replicas that gave no values count only when others were asked
    /// this often and are no majority: a promise may wait for a sync.
    rounds: u32,
    /// The promises at hand can't decide this slot.
    pub(crate) blocked: Option<Slot>,
}

impl Paxos {
    /// Whether this replica may stand: it can work, reaches a quorum, and nobody it hears vouches for a
    /// well, quorum-connected leader.
    pub(crate) fn may_stand(&self, now: Nanos) -> bool {
        let fit =
            self.votes() && self.disk == DiskHealth::Well && matches!(self.post, Post::Follower);
        let promised = self.acceptor.promised();
        fit && now >= self.defer_until
            && !self.defers_to_rival(now)
            && self.reaches_quorum(now)
            && !self.peers.saying(now).any(|(_, says)| {
                let leads = says.leading.is_some_and(|l| l.ballot >= promised);
                (leads && says.reaches_quorum && says.disk_well) || says.vouches
            })
    }

    /// Somebody else was promised, and still has time to lead. As long as round trips measure now, not then.
    fn defers_to_rival(&self, now: Nanos) -> bool {
        let patience = 6 * self.config.heartbeat_ns + 2 * self.peers.slack_ns();
        self.rival_at
            .is_some_and(|at| now < at + patience * self.rivals)
    }

    fn meet_rival(&mut self, now: Nanos) {
        self.rivals = (self.rivals + 1).min(RIVALS_MAX);
        self.rival_at = Some(now);
        self.stand_at = None;
    }

    /// Decides when to stand, if at all: the best placed at once, others later.
    pub(crate) fn consider_standing(&mut self, now: Nanos) {
        if !self.may_stand(now) {
            self.stand_at = None;
            return;
        }
        if self.stand_at.is_some() {
            return;
        }
        let mine = (
            self.config.priority,
            self.acceptor.chosen_prefix(),
            self.config.id,
        );
        let better = self.peers.saying(now).filter(|&(id, says)| {
            says.voter
                && says.disk_well
                && says.reaches_quorum
                && self.peers.both_ways(id, now)
                && (says.priority, says.chosen_prefix, id) > mine
        });
        let mut rank = better.count();
        if now < self.unfit_until {
            rank = self.peers.saying(now).count();
        }
        let rank = rank as u64;
        let step = 2 * self.config.heartbeat_ns + self.peers.slack_ns();
        let jitter = self.rng.below(self.config.heartbeat_ns / 4);
        self.stand_at = Some(now + rank * step + jitter);
    }

    /// Begins phase 1 under a ballot higher than any seen.
    pub(crate) fn stand(&mut self, now: Nanos, fx: &mut Effects) {
        let round = self.round_seen.max(self.acceptor.promised().round) + 1;
        if round > Ballot::ROUND_MAX {
            return;
        }
        self.counters.stood += 1;
        let ballot = Ballot::new(round, self.config.id);
        self.round_seen = round;
        self.acceptor.promise(ballot, &mut self.out, fx);
        self.stand_at = None;
        self.post = Post::Candidate(Candidate {
            ballot,
            persist: self.acceptor.promise_persist(),
            first: self.acceptor.chosen_prefix(),
            promises: BTreeMap::new(),
            asked_at: now,
            rounds: 0,
            blocked: None,
        });
        self.ask_promises(now, fx);
    }

    /// Asks whoever has not promised yet.
    pub(crate) fn ask_promises(&mut self, now: Nanos, fx: &mut Effects) {
        let (Post::Candidate(candidate), Some(members)) = (&mut self.post, &self.members) else {
            return;
        };
        candidate.asked_at = now;
        candidate.rounds += 1;
        for id in members.others() {
            if !candidate.promises.contains_key(&id) {
                let prepare = Message::Prepare(Prepare {
                    ballot: candidate.ballot,
                    first: candidate.first,
                });
                self.out.send_after(candidate.persist, id, prepare, fx);
            }
        }
    }

    /// A candidate's round: it asks again, or gives up if it could not lead.
    pub(crate) fn go_on_standing(&mut self, now: Nanos, fx: &mut Effects) {
        let Post::Candidate(candidate) = &self.post else {
            return;
        };
        if !self.reaches_quorum || self.disk != DiskHealth::Well {
            self.follow(fx);
            return;
        }
        let again = 2 * self.config.heartbeat_ns + self.peers.slack_ns();
        if now.saturating_sub(candidate.asked_at) >= again {
            self.ask_promises(now, fx);
            self.try_to_lead(now, fx);
        }
    }

    pub(crate) fn on_prepare(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        prepare: &Prepare,
        fx: &mut Effects,
    ) {
        let ballot = prepare.ballot;
        if ballot.replica != from || ballot.round > Ballot::ROUND_MAX {
            return;
        }
        self.round_seen = self.round_seen.max(ballot.round);
        let promised = self.acceptor.promised();
        if ballot < promised {
            let refuse = Message::Refuse(Refuse { ballot, promised });
            self.out.send(from, refuse, fx);
            return;
        }
        if ballot > promised {
            self.acceptor.promise(ballot, &mut self.out, fx);
            self.follow(fx);
            self.meet_rival(now);
        }
        let report = self.acceptor.report(prepare.first);
        self.counters.promised_unknown += u64::from(!report.unknown.is_empty());
        let promise = Message::Promise(report);
        // What it reports is older than the promise, and the disk keeps their order. A promise of an earlier
        // life or an earlier answer is durable already; what was accepted since then need not be.
        let after = self.out.last();
        self.out.send_after(after, from, promise, fx);
    }

    /// The own promise, once it is durable.
    pub(crate) fn promise_oneself(&mut self, now: Nanos, fx: &mut Effects) {
        let me = self.config.id;
        let Post::Candidate(candidate) = &mut self.post else {
            return;
        };
        if candidate.persist <= self.out.durable() && !candidate.promises.contains_key(&me) {
            let report = self.acceptor.report(candidate.first);
            candidate.promises.insert(me, report);
            self.try_to_lead(now, fx);
        }
    }

    pub(crate) fn on_promise(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        promise: Promise,
        fx: &mut Effects,
    ) {
        let Post::Candidate(candidate) = &mut self.post else {
            return;
        };
        let in_order = promise.slots.is_sorted_by(|a, b| a.slot < b.slot);
        let last = promise.slots.last().map_or(Slot::ZERO, |s| s.slot);
        let sane = promise.chosen_prefix.max(promise.chosen_below).max(last) <= SLOT_SANE_MAX;
        if promise.ballot != candidate.ballot || !in_order || !sane {
            return;
        }
        candidate.promises.insert(from, promise);
        self.try_to_lead(now, fx);
    }

    /// Takes over as soon as the promises at hand decide every slot.
    fn try_to_lead(&mut self, now: Nanos, fx: &mut Effects) {
        let me = self.config.id;
        let (Post::Candidate(candidate), Some(members)) = (&mut self.post, &self.members) else {
            return;
        };
        if !candidate.promises.contains_key(&me) {
            return;
        }
        let left_out = match candidate.rounds > ROUNDS_WITHOUT {
            true => BTreeSet::new(),
            false => self.silent.left_out(now, members.spare()),
        };
        let reports: Vec<Report<'_>> = candidate
            .promises
            .iter()
            .filter(|(id, _)| !left_out.contains(id))
            .map(|(_, p)| Report {
                chosen_prefix: p.chosen_prefix.max(p.chosen_below),
                slots: &p.slots,
                unknown: &p.unknown,
            })
            .collect();
        // What was learned since the Prepare needs no proposing.
        let first = candidate.first.max(self.acceptor.chosen_prefix());
        match merge(members.quorum(), first, &reports) {
            Verdict::Ready(plan) => self.lead(now, plan, fx),
            Verdict::Wait(slot) => {
                candidate.blocked = (reports.len() >= members.quorum()).then_some(slot);
                self.counters.blocked_by_unknown += u64::from(candidate.blocked.is_some());
            }
        }
    }

    fn lead(&mut self, now: Nanos, plan: Plan, fx: &mut Effects) {
        let (Post::Candidate(candidate), Some(members)) = (
            std::mem::replace(&mut self.post, Post::Follower),
            &self.members,
        ) else {
            return;
        };
        let mut backlog = VecDeque::with_capacity(plan.decisions.len());
        for (n, decision) in plan.decisions.iter().enumerate() {
            let slot = Slot(plan.first.0 + n as u64);
            let (want, value) = match decision {
                Decision::Noop => (None, Some(Value::noop())),
                Decision::Adopt(held) if held.len == 0 => (None, Some(Value::noop())),
                Decision::Adopt(held) => (Some(*held), None),
            };
            self.counters.adopted += u64::from(want.is_some());
            self.counters.holes_filled += u64::from(*decision == Decision::Noop);
            let holds = |p: &Promise| {
                let at = p.slots.binary_search_by_key(&slot, |s| s.slot);
                want.is_some_and(|w| at.is_ok_and(|at| p.slots[at].ballot == w.ballot))
            };
            let holders = candidate.promises.iter().filter(|(_, p)| holds(p));
            backlog.push_back(Backlog {
                slot,
                want,
                value,
                holders: holders.map(|(&id, _)| id).collect(),
                denied: BTreeSet::new(),
                asked: 0,
                asked_at: None,
            });
        }
        self.acceptor.begin_run(plan.first);
        self.acceptor.forget_unknown(plan.free);
        let ballot = candidate.ballot;
        self.acceptor.tell_chosen(ballot, plan.first);
        let leader = Leader::new(
            ballot,
            plan.first,
            plan.free,
            backlog,
            members.others(),
            now,
        );
        self.post = Post::Leader(Box::new(leader));
        self.rivals = 0;
        self.stand_at = None;
        self.counters.led += 1;
        self.counters.decided_despite_unknown += plan.despite_unknown;
        self.announce(fx);
        self.tell_all(now, fx);
        self.take_over(now, fx);
    }

    pub(crate) fn on_refuse(&mut self, now: Nanos, refuse: &Refuse, fx: &mut Effects) {
        if refuse.promised.round > Ballot::ROUND_MAX {
            return;
        }
        self.round_seen = self.round_seen.max(refuse.promised.round);
        let mine = match &self.post {
            Post::Candidate(candidate) => candidate.ballot,
            Post::Leader(leader) => leader.ballot,
            Post::Follower => return,
        };
        if refuse.ballot == mine && refuse.promised > mine {
            self.follow(fx);
            // Whoever was promised may not be heard here, and is vouched for only a round later.
            self.meet_rival(now);
            self.consider_standing(now);
        }
    }

    /// Gives up whatever this replica was. What a leader took and had not chosen ends as *unknown*.
    pub(crate) fn follow(&mut self, fx: &mut Effects) {
        match std::mem::replace(&mut self.post, Post::Follower) {
            Post::Follower => {}
            Post::Candidate(_) => {
                self.out.withdraw_prepares();
                self.announce(fx);
            }
            Post::Leader(leader) => {
                self.counters.stepped_down += 1;
                let Leader {
                    mine,
                    reads,
                    chosen,
                    ..
                } = *leader;
                self.told_index = self.told_index.max(chosen);
                for reader in reads.fail() {
                    self.end_read(reader, None, fx);
                }
                self.reading.retain(|_, purpose| purpose.is_serving());
                self.apply_checkpoint();
                self.known = None;
                self.announce_with(mine.into_iter().collect(), fx);
            }
        }
    }
}
