//! Catching up with what is chosen: values below the leader's first slot never come as Accepts, so whoever
//! lacks them asks for them, as chosen values and from anybody who holds them.
//!
//! Only a value its sender *knows chosen* is stored. One range is under way at a time; it is asked for again,
//! elsewhere, when nothing comes of it.

use std::collections::BTreeMap;

use crate::acceptor::Stored;
use crate::effect::Effects;
use crate::message::{Fetch, FetchAnswer, FetchReply, FetchWhat, Heartbeat, Message};
use crate::paxos::{Paxos, Post};
use crate::types::{Ballot, Nanos, ReplicaId, Slot};

/// Slots asked for at once.
const RANGE_SLOTS_MAX: u64 = 64;
/// Bytes asked for at once; the value that reaches it is the last.
const RANGE_BYTES_MAX: u32 = 4 << 20;

/// One range asked for.
#[derive(Debug)]
struct Asked {
    id: u64,
    peer: ReplicaId,
    end: Slot,
    moved_at: Nanos,
    got: bool,
}

/// What is being fetched.
#[derive(Debug, Default)]
pub(crate) struct Learner {
    asked: Option<Asked>,
    last_id: u64,
    /// Who gave nothing lately, and until when each is not asked: so that everybody's turn comes.
    shunned: BTreeMap<ReplicaId, Nanos>,
    /// The chosen prefix when it last moved, and when.
    prefix: Slot,
    moved_at: Nanos,
    /// Others know more to be chosen, and whoever is heard holds it only in a checkpoint.
    pub(crate) stranded: bool,
}

impl Learner {
    pub(crate) fn link_broke(&mut self, peer: ReplicaId) {
        if self.asked.as_ref().is_some_and(|a| a.peer == peer) {
            self.asked = None;
        }
    }
}

impl Paxos {
    /// Asks for chosen values if some are lacking that will not come by themselves.
    pub(crate) fn learn(&mut self, now: Nanos, fx: &mut Effects) {
        let prefix = self.acceptor.chosen_prefix();
        let interval = self.config.heartbeat_ns;
        let patience = 6 * interval + 2 * self.peers.slack_ns();
        if prefix != self.learner.prefix {
            self.learner.prefix = prefix;
            self.learner.moved_at = now;
        }
        if let Some(asked) = &self.learner.asked {
            let over = prefix >= asked.end;
            let late = now.saturating_sub(asked.moved_at) >= patience;
            if !over && !late {
                return;
            }
            if late && !over {
                let peer = asked.peer;
                self.shun(now, peer, patience);
            }
            self.learner.asked = None;
        }
        // What an Accept of the current leader will bring is not asked for, unless it does not come.
        let stuck = now.saturating_sub(self.learner.moved_at) >= 2 * patience;
        let limit = match &self.post {
            Post::Leader(leader) => leader.first,
            _ if stuck || !self.votes() => Slot::MAX,
            _ if self.known.is_some_and(|k| k.direct) => match self.acceptor.run_first() {
                Some(first) => first,
                None => return,
            },
            _ => Slot::MAX,
        };
        self.learner.stranded = false;
        if prefix >= limit {
            return;
        }
        let leader = self.known.map(|k| k.ballot.replica);
        self.learner.shunned.retain(|_, until| now < *until);
        let shunned = &self.learner.shunned;
        let source = self
            .peers
            .saying(now)
            .filter(|&(id, says)| {
                says.chosen_prefix > prefix
                    && says.chosen_below <= prefix
                    && !shunned.contains_key(&id)
            })
            .max_by_key(|&(id, says)| (Some(id) == leader, says.chosen_prefix, id));
        let Some((peer, says)) = source else {
            let knowing = |says: &&Heartbeat| says.chosen_prefix > prefix;
            let said = || self.peers.saying(now).map(|(_, says)| says).filter(knowing);
            self.learner.stranded =
                said().next().is_some() && said().all(|says| says.chosen_below > prefix);
            return;
        };
        let mut end = says
            .chosen_prefix
            .min(limit)
            .min(Slot(prefix.0 + RANGE_SLOTS_MAX));
        // Up to the first that is here already.
        let mut slot = prefix;
        while slot < end && !self.acceptor.holds_chosen(slot) {
            slot = slot.next();
        }
        end = slot;
        if end <= prefix {
            return;
        }
        self.learner.last_id += 1;
        let id = self.learner.last_id;
        self.learner.asked = Some(Asked {
            id,
            peer,
            end,
            moved_at: now,
            got: false,
        });
        let fetch = Message::Fetch(Fetch {
            id,
            what: FetchWhat::Chosen {
                slots: prefix..end,
                bytes_max: RANGE_BYTES_MAX,
            },
        });
        self.out.send(peer, fetch, fx);
    }

    /// One that gave nothing is not asked again before each of the others could have had its turn.
    fn shun(&mut self, now: Nanos, peer: ReplicaId, turn: Nanos) {
        let others = self.members.iter().flat_map(|m| m.others()).count() as u64;
        self.learner.shunned.insert(peer, now + turn * others);
    }

    pub(crate) fn on_fetch_reply(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        reply: FetchReply,
        fx: &mut Effects,
    ) {
        match reply.answer {
            FetchAnswer::Chosen { ballot, .. } if ballot.round > Ballot::ROUND_MAX => {}
            FetchAnswer::Chosen {
                slot,
                ballot,
                value,
            } => {
                if let Some(asked) = &mut self.learner.asked
                    && asked.id == reply.id
                    && asked.peer == from
                {
                    asked.moved_at = now;
                    asked.got = true;
                }
                let promised = self.acceptor.promised();
                match self
                    .acceptor
                    .store_chosen(slot, ballot, value, &mut self.out, fx)
                {
                    Stored::New => self.counters.chosen_fetched += 1,
                    Stored::Already | Stored::TooFar => {}
                    Stored::Contradicts => self.contradict(fx),
                }
                if self.acceptor.promised() > promised {
                    self.follow(fx);
                }
                self.acceptor.settle(self.out.durable(), fx);
                if matches!(self.post, Post::Leader(_)) {
                    self.lead_on(now, fx);
                }
                self.learn(now, fx);
            }
            FetchAnswer::Accepted {
                slot,
                ballot,
                value,
            } => {
                self.silent.forget(from);
                self.counters.takeover_fetched += 1;
                self.backlog_value(now, from, (slot, ballot), value, fx)
            }
            FetchAnswer::Absent { slot, ballot } => {
                self.backlog_denied(now, from, (slot, ballot), fx)
            }
            FetchAnswer::End { .. } => {
                let Some(asked) = &self.learner.asked else {
                    return;
                };
                if asked.id == reply.id && asked.peer == from {
                    if !asked.got {
                        self.shun(now, from, 6 * self.config.heartbeat_ns);
                    }
                    self.learner.asked = None;
                    self.learn(now, fx);
                }
            }
        }
    }
}
