//! Carrying out what a replica wants done, and checking it on the way.

use paxlog_paxos::{
    Ballot, Class, DiskHealth, Effect, Envelope, Message, Persist, PersistId, ReplicaId, Role, Slot,
};

use crate::disk::{What, value_number};
use crate::plan::MS;
use crate::world::{Event, World};

impl World {
    pub(crate) fn carry_out(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Persist { id, what } => self.persist(at, id, what),
            Effect::Send { to, message } => self.send(at, usize::from(to.0) - 1, message),
            Effect::Chosen {
                slot,
                ballot,
                value,
            } => {
                let r = &mut self.replicas[at];
                assert_eq!(slot, r.next_chosen, "chosen slots come in order");
                r.next_chosen = slot.next();
                let Some(&(_, chosen)) = self.checks.chosen.get(&slot) else {
                    panic!(
                        "replica {} hands out slot {slot}, which is not chosen",
                        at + 1
                    );
                };
                let frame = r.disk.newest.get(&slot).map(|&f| &r.disk.frames[f].what);
                let Some(What::Accepted {
                    value: held,
                    ballot: held_in,
                    ..
                }) = frame
                else {
                    panic!("handed out what is not held");
                };
                assert_eq!(
                    *held_in, ballot,
                    "handed out with another ballot than it is held in"
                );
                let value = value.as_ref().unwrap_or(held);
                assert_eq!(
                    value_number(value),
                    chosen,
                    "slot {slot}: another value than the chosen one"
                );
                assert_eq!(
                    value_number(held),
                    chosen,
                    "slot {slot}: holds another value than the chosen one"
                );
                if let Some(number) = r.proposed.remove(&(slot, ballot)) {
                    assert_eq!(number, chosen, "acknowledged another value");
                    self.checks.told = self.checks.told.max(slot.next());
                    self.coverage.acknowledged += 1;
                }
                let paxos = r.paxos.as_mut().expect("running");
                paxos.note_applied(slot.next());
            }
            Effect::ReadValue { id, slot, ballot } => {
                let life = self.replicas[at].life;
                let after = self.rng.below(2 * MS);
                self.schedule(
                    after,
                    Event::Read {
                        replica: at,
                        life,
                        id,
                        slot,
                        ballot,
                    },
                );
            }
            Effect::Role(change) => {
                self.coverage.outcomes_unknown += change.unknown.len() as u64;
                if matches!(change.role, Role::Leader { .. }) && change.ballot > self.last_leader {
                    self.last_leader = change.ballot;
                    self.leader_changes += 1;
                }
                let out = self.replicas[at].promise_lost;
                assert!(
                    !out || matches!(change.role, Role::Follower { .. }),
                    "it may have lost its promise"
                );
            }
            Effect::ReadReady { token, index } => {
                let floor = self.replicas[at]
                    .reads
                    .remove(&token)
                    .expect("asked, and not answered yet");
                assert!(
                    index >= floor,
                    "a read of {index} after {floor} was told to somebody"
                );
                self.checks.told = self.checks.told.max(index);
                self.coverage.reads += 1;
            }
            Effect::ReadFailed { token } => {
                self.replicas[at]
                    .reads
                    .remove(&token)
                    .expect("asked, and not answered yet");
            }
        }
    }

    pub(crate) fn persist(&mut self, at: usize, id: PersistId, what: Persist) {
        let r = &mut self.replicas[at];
        assert_eq!(
            r.disk.base + id.0 as usize - 1,
            r.disk.frames.len(),
            "ids rise by 1"
        );
        let under = r.paxos.as_ref().expect("running").ballot();
        let prefix = match &what {
            Persist::Accepted {
                slot,
                ballot,
                value,
                chosen_prefix,
            } => {
                let number = value_number(value);
                let is_chosen = self.checks.is_chosen(*slot, number);
                if *ballot < r.promise_sent {
                    assert!(
                        is_chosen,
                        "slot {slot}: accepts {ballot}, having promised {}",
                        r.promise_sent
                    );
                }
                // A leader proposes each slot from its first on, also one that it has learned meanwhile.
                let proposes = usize::from(ballot.replica.0) == at + 1 && is_chosen;
                assert!(
                    *slot >= r.disk.checkpoint || proposes,
                    "stored below its checkpoint"
                );
                if let Some(&frame) = r.disk.newest.get(slot)
                    && let What::Accepted { ballot: before, .. } = &r.disk.frames[frame].what
                {
                    assert!(
                        before <= ballot || is_chosen,
                        "slot {slot}: {ballot} after {before}"
                    );
                }
                self.checks.propose(*slot, *ballot, number);
                if *slot < r.prefix_checked {
                    assert!(is_chosen, "slot {slot} overwritten with what is not chosen");
                }
                *chosen_prefix
            }
            Persist::State(state) => state.chosen_prefix,
        };
        if prefix > r.prefix_checked {
            self.checks.prefix(&r.disk, r.prefix_checked, prefix);
            r.prefix_checked = prefix;
        }
        r.disk.append(what, under);
        self.maybe_sync(at);
    }

    pub(crate) fn maybe_sync(&mut self, at: usize) {
        let stall = !self.healed && self.plan.stalls && self.rng.chance(3);
        let stall = if stall {
            self.rng.range(50, 500) * MS
        } else {
            0
        };
        let after = self.rng.exponential(self.plan.sync_mean) + MS / 20 + stall;
        let r = &mut self.replicas[at];
        if r.syncing || r.disk.durable == r.disk.frames.len() {
            return;
        }
        r.syncing = true;
        r.sync += 1;
        let (life, sync, upto) = (r.life, r.sync, r.disk.frames.len());
        self.schedule(
            after,
            Event::Synced {
                replica: at,
                life,
                upto,
            },
        );
        if stall > 0 {
            self.schedule(
                60 * MS,
                Event::StallSeen {
                    replica: at,
                    life,
                    sync,
                },
            );
        }
    }

    pub(crate) fn synced(&mut self, at: usize, life: u32, upto: usize) {
        if self.replicas[at].life != life || self.replicas[at].paxos.is_none() {
            return;
        }
        if self.held_disk == Some(at) {
            let replica = at;
            self.schedule(
                MS,
                Event::Synced {
                    replica,
                    life,
                    upto,
                },
            );
            return;
        }
        self.make_durable(at, upto);
        let r = &mut self.replicas[at];
        r.syncing = false;
        let id = PersistId((upto - r.disk.base) as u64);
        let was_stalled = std::mem::take(&mut r.stalled);
        self.drive(at, |paxos, now, fx| {
            paxos.handle_durable(now, id, fx);
            if was_stalled {
                paxos.handle_disk(now, DiskHealth::Well, fx);
            }
        });
        self.maybe_sync(at);
    }

    pub(crate) fn make_durable(&mut self, at: usize, upto: usize) {
        let alive: Vec<_> = self.replicas.iter().map(|r| r.incarnation).collect();
        let r = &mut self.replicas[at];
        let members = r.paxos.as_ref().map_or(&[][..], |p| p.members());
        let mut list = members.to_vec();
        while r.disk.durable < upto {
            let frame = r.disk.sync_one().clone();
            match &frame.what {
                What::State { formed } => {
                    if let Some(formed) = formed {
                        self.checks.formed(r.incarnation, formed, &alive);
                        list.clone_from(formed);
                    }
                }
                What::Accepted {
                    slot,
                    ballot,
                    value,
                } => {
                    let voter = list.iter().position(|m| m.incarnation == r.incarnation);
                    if let Some(voter) = voter.filter(|_| !r.promise_lost) {
                        let quorum = list.len() / 2 + 1;
                        self.checks
                            .vote(voter, quorum, *slot, *ballot, value_number(value));
                    }
                }
            }
        }
    }

    /// A message leaves: everything it vouches for must be durable.
    pub(crate) fn send(&mut self, at: usize, to: usize, envelope: Envelope) {
        self.check_send(at, &envelope.message);
        let class = envelope.message.class();
        if self.cut[at][to] || self.rng.chance(self.plan.loss_percent) {
            return;
        }
        let copies = 1 + u64::from(self.rng.chance(self.plan.repeat_percent));
        for _ in 0..copies {
            let mut after = MS / 20 + self.rng.exponential(self.plan.delay_mean);
            if self.plan.stragglers && self.rng.chance(5) {
                after += self.rng.below(500) * MS;
            }
            if !self.healed {
                let until = match class {
                    Class::Control => self.clog[at][to],
                    Class::Accepts | Class::CatchUp => {
                        self.clog[at][to].max(self.clog_values[at][to])
                    }
                };
                after += until.saturating_sub(self.now);
            }
            if !self.plan.loose {
                let last = self.streams.entry((at, to, class)).or_default();
                *last = (*last).max(self.now + after);
                after = *last - self.now;
            }
            let envelope = Box::new(envelope.clone());
            self.schedule(after, Event::Deliver { to, envelope });
        }
    }

    pub(crate) fn check_send(&mut self, at: usize, message: &Message) {
        let r = &mut self.replicas[at];
        let promised = r.disk.promised_durable;
        let honoured = |ballot: Ballot| {
            assert!(
                promised >= ballot,
                "replica {} sends {ballot}, but only {promised} is durable: {message:?}",
                at + 1
            );
            assert!(!r.promise_lost, "voted though it may have lost its promise");
        };
        match message {
            Message::Prepare(m) => {
                honoured(m.ballot);
                self.checks
                    .prepare(m.ballot, at as u16 + 1, r.life, m.first);
            }
            Message::Promise(m) => {
                honoured(m.ballot);
                r.promise_sent = r.promise_sent.max(m.ballot);
                self.checks.promise(ReplicaId(at as u16 + 1), m, &r.disk);
                assert!(m.chosen_below <= r.disk.checkpoint);
            }
            Message::Accept(m) => {
                honoured(m.ballot);
                self.checks
                    .propose(m.slot, m.ballot, value_number(&m.value));
                self.checks.leads(m.ballot, m.first, Some(m.free));
                for slot in m.first.max(r.prefix_checked).0..m.chosen.0 {
                    assert!(
                        self.checks.chosen.contains_key(&Slot(slot)),
                        "chosen index beyond what is chosen"
                    );
                }
            }
            Message::BelowChosen(m) if usize::from(m.ballot.replica.0) == at + 1 => {
                honoured(m.ballot);
                assert!(m.chosen_below <= r.disk.checkpoint);
                let dropped = self.checks.dropped.entry(m.ballot).or_default();
                *dropped = m.chosen_below.max(*dropped);
            }
            Message::Accepted(m) => {
                honoured(m.ballot);
                self.check_accepted(at, m.ballot, m.upto);
            }
            Message::Heartbeat(m) => {
                assert!(promised >= m.promised);
                if let Some(leading) = m.leading {
                    self.checks.leads(leading.ballot, leading.first, None);
                    for slot in leading.first.max(r.prefix_checked).0..leading.chosen.0 {
                        assert!(
                            self.checks.chosen.contains_key(&Slot(slot)),
                            "chosen index beyond what is chosen"
                        );
                    }
                }
                if let Some(accepted) = &m.accepted {
                    honoured(accepted.ballot);
                    self.check_accepted(at, accepted.ballot, accepted.upto);
                }
            }
            Message::FetchReply(m) => {
                if let paxlog_paxos::FetchAnswer::Chosen { slot, value, .. } = &m.answer {
                    assert!(
                        self.checks.is_chosen(*slot, value_number(value)),
                        "given as chosen, and is not"
                    );
                }
            }
            _ => {}
        }
    }

    pub(crate) fn check_accepted(&mut self, at: usize, ballot: Ballot, upto: Slot) {
        let r = &mut self.replicas[at];
        let first = self
            .checks
            .first
            .get(&ballot)
            .copied()
            .unwrap_or(Slot::ZERO);
        if r.acked_checked.0 != ballot {
            r.acked_checked = (ballot, first);
        }
        // What the leader has dropped counts once it is known chosen here, and durable: no need to accept it again.
        let dropped = self.checks.dropped.get(&ballot).copied();
        let skipped = dropped.filter(|below| *below <= r.prefix_checked);
        let skipped = r.disk.checkpoint.max(skipped.unwrap_or_default());
        for slot in r.acked_checked.1.min(skipped).0..upto.min(skipped).0 {
            assert!(
                Slot(slot) < r.disk.checkpoint || r.disk.newest_durable.contains_key(&Slot(slot)),
                "acknowledges slot {slot} as chosen, and does not hold it"
            );
        }
        for slot in r.acked_checked.1.max(skipped).0..upto.0 {
            let held = r.disk.newest_durable.get(&Slot(slot)).map(|&(b, _)| b);
            assert_eq!(
                held,
                Some(ballot),
                "acknowledges up to {upto} in {ballot}, but slot {slot} is not durable in it"
            );
        }
        r.acked_checked.1 = r.acked_checked.1.max(upto);
    }
}
