//! Taking over what phase 1 found: its values are fetched, and proposed again in the new ballot.

use std::collections::BTreeSet;

use crate::effect::{Effect, Effects};
use crate::message::{Fetch, FetchWhat, Message};
use crate::paxos::{Paxos, Post};
use crate::serving::ReadFor;
use crate::types::{Ballot, Nanos, ReadId, ReplicaId, Slot, Value};

/// How often every other replica is asked for a value that phase 1 found, ever more patiently.
const GIVE_UP_ROUNDS: usize = 5;

/// How often holders that give nothing get longer: once more, and the leader gives up.
const PATIENCE_TIMES_MAX: usize = GIVE_UP_ROUNDS - 2;

/// What to do about holders of values that give none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silent {
    /// Phase 1 again: a majority can be asked without them.
    DoWithout,
    /// Another replica may reach a majority without them.
    LetOthers,
}

impl Paxos {
    /// Proposes again what phase 1 found, in order, then the no-op of the own ballot.
    pub(crate) fn take_over(&mut self, now: Nanos, fx: &mut Effects) {
        loop {
            self.ask_backlog(now, fx);
            let Post::Leader(leader) = &mut self.post else {
                return;
            };
            let room = leader.has_room(
                0,
                self.config.slots_in_flight_max,
                self.config.window_bytes_max,
            );
            if !room || leader.noop.is_some() {
                return;
            }
            let value = match leader.backlog.front() {
                Some(front) if front.value.is_none() => return,
                Some(front) => {
                    assert!(
                        front.slot == leader.next,
                        "the backlog is proposed in order"
                    );
                    let front = leader.backlog.pop_front().expect("seen above");
                    front.value.expect("seen above")
                }
                None => {
                    leader.noop = Some(leader.next);
                    Value::noop()
                }
            };
            self.propose_next(now, value, fx);
        }
    }

    /// Reads or asks for the values of the backlog, a few at a time; asks the next holder when one does not
    /// answer.
    fn ask_backlog(&mut self, now: Nanos, fx: &mut Effects) {
        let me = self.config.id;
        let patience = 3 * self.config.heartbeat_ns + self.peers.slack_ns();
        let Some(members) = &self.members else { return };
        let Post::Leader(leader) = &mut self.post else {
            return;
        };
        let window = self.config.slots_in_flight_max.max(4) as usize;
        for item in leader.backlog.iter_mut().take(window) {
            let (None, Some(want)) = (&item.value, item.want) else {
                continue;
            };
            let rounds = item.asked / leader.progress.len().max(1);
            let patience = patience << rounds.min(GIVE_UP_ROUNDS);
            if item
                .asked_at
                .is_some_and(|at| now.saturating_sub(at) < patience)
            {
                continue;
            }
            item.asked_at = Some(now);
            if item.asked == 0
                && let Some((ballot, value)) = self.acceptor.held(item.slot)
                && ballot == want.ballot
                && item.holders.contains(&me)
            {
                item.asked = 1;
                if value.is_some() {
                    item.value = value;
                    continue;
                }
                self.last_read = ReadId(self.last_read.0 + 1);
                self.reading.insert(
                    self.last_read,
                    ReadFor::TakeOver {
                        slot: item.slot,
                        ballot,
                    },
                );
                fx.push(Effect::ReadValue {
                    id: self.last_read,
                    slot: item.slot,
                    ballot,
                });
                continue;
            }
            // Who said that they hold it, then anybody: a promise that came late may hold it too.
            let mut from: Vec<ReplicaId> = item
                .holders
                .iter()
                .copied()
                .filter(|&id| id != me)
                .collect();
            from.extend(members.others().filter(|id| !item.holders.contains(id)));
            from.retain(|id| !item.denied.contains(id));
            if from.is_empty() {
                continue;
            }
            let to = from[item.asked % from.len()];
            item.asked += 1;
            let fetch = Message::Fetch(Fetch {
                id: item.slot.0,
                what: FetchWhat::Accepted {
                    slot: item.slot,
                    ballot: want.ballot,
                },
            });
            self.out.send(to, fetch, fx);
        }
    }

    /// Whether a value that phase 1 found can't be had: who holds it is gone, or its disk is. Other promises
    /// may do without it.
    pub(crate) fn takeover_is_hopeless(&self, now: Nanos) -> bool {
        let Post::Leader(leader) = &self.post else {
            return false;
        };
        // Chosen slots below the first are to be learned; whoever promised that it knows them may be gone.
        let prefix = self.acceptor.chosen_prefix();
        let in_office = now.saturating_sub(leader.since) > self.peers.silence_ns();
        if prefix < leader.first
            && in_office
            && !self
                .peers
                .saying(now)
                .any(|(_, says)| says.chosen_prefix > prefix)
        {
            return true;
        }
        let others = leader.progress.len();
        leader.backlog.iter().any(|item| {
            let lacks = item.value.is_none() && item.asked > 0;
            let me = self.config.id;
            let gone = !item
                .holders
                .iter()
                .any(|&id| id == me || self.peers.heard(id, now));
            let mine = item.holders.contains(&me) && !item.denied.contains(&me);
            let denied = !mine
                && leader
                    .progress
                    .keys()
                    .all(|id| item.denied.contains(id) || !self.peers.heard(*id, now));
            lacks && (gone || denied || item.asked >= others * GIVE_UP_ROUNDS)
        })
    }

    /// Whether a value that phase 1 found is held by replicas that give nothing, though their heartbeats come: of the
    /// two connections one may be stuck, or lose what is large. Their promises are left out from now on, wherever
    /// others are a majority: those may know another value, or none.
    pub(crate) fn finds_holders_silent(&mut self, now: Nanos) -> Option<Silent> {
        let (Post::Leader(leader), Some(members)) = (&self.post, &self.members) else {
            return None;
        };
        let me = self.config.id;
        let others = leader.progress.len();
        let mut silent = BTreeSet::new();
        for item in &leader.backlog {
            let mine = item.holders.contains(&me) && !item.denied.contains(&me);
            if item.value.is_some() || mine {
                continue;
            }
            // A value may also be large, and come slowly: whoever gave nothing before gets longer.
            let holders = item.holders.iter().filter(|&&id| id != me);
            silent.extend(holders.filter(|&&id| {
                let times = (self.silent.times(id) as usize).min(PATIENCE_TIMES_MAX);
                item.asked >= others * (1 + times) && !item.denied.contains(&id)
            }));
        }
        // Those that phase 1 did without already are holders only because no others were a majority.
        let left_out = self.silent.left_out(now, members.spare());
        if silent.is_subset(&left_out) {
            return None;
        }
        let lasts = 100 * self.config.heartbeat_ns + 8 * self.peers.slack_ns();
        self.silent.note(now, silent, lasts);
        let left_out = self.silent.left_out(now, members.spare());
        let rest = self.peers.saying(now).filter(|(id, says)| {
            says.voter && self.peers.both_ways(*id, now) && !left_out.contains(id)
        });
        let enough = rest.count() + 1 >= members.quorum();
        Some(match enough {
            true => Silent::DoWithout,
            false => Silent::LetOthers,
        })
    }

    /// Somebody does not hold a value of the backlog: the next is asked at once.
    pub(crate) fn backlog_denied(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        (slot, ballot): (Slot, Ballot),
        fx: &mut Effects,
    ) {
        let Post::Leader(leader) = &mut self.post else {
            return;
        };
        let item = leader.backlog.iter_mut().find(|item| item.slot == slot);
        if let Some(item) = item
            && item.want.is_some_and(|want| want.ballot == ballot)
            && item.denied.insert(from)
        {
            item.asked_at = None;
            self.ask_backlog(now, fx);
        }
    }

    /// A value of the backlog came, from the own log or from a holder.
    pub(crate) fn backlog_value(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        (slot, ballot): (Slot, Ballot),
        value: Value,
        fx: &mut Effects,
    ) {
        let Post::Leader(leader) = &mut self.post else {
            return;
        };
        let Some(item) = leader.backlog.iter_mut().find(|item| item.slot == slot) else {
            return;
        };
        match item.want {
            Some(want)
                if (want.ballot, want.len, want.checksum)
                    == (ballot, value.len(), value.checksum()) =>
            {
                item.value = Some(value);
                self.take_over(now, fx);
            }
            _ => self.backlog_denied(now, from, (slot, ballot), fx),
        }
    }

    /// Whether this leader has had its time, can't serve yet because it lacks values that were chosen before its
    /// ballot, and another one has them all: two stood at once, and the one behind won. It may be behind by an hour.
    pub(crate) fn leads_from_behind(&self, now: Nanos) -> bool {
        let patience = 8 * self.config.heartbeat_ns + 4 * self.peers.slack_ns();
        let Post::Leader(leader) = &self.post else {
            return false;
        };
        leader.handing.is_none()
            && self.acceptor.chosen_prefix() < leader.first
            && now.saturating_sub(leader.since) >= patience
            && self
                .successors(now)
                .any(|(_, says)| says.chosen_prefix >= leader.first)
    }
}
