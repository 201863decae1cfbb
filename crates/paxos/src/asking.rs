//! Linearizable reads at a follower: it asks the leader how far everything acknowledged so far reaches, and waits until
//! it has applied that much itself.
//!
//! The leader begins a round of confirmation after the question came, so an answer proves as much as for a read of its
//! own. It is matched by the asker's life and token: one that was under way to an earlier life proves nothing to this.

use std::collections::{BTreeMap, VecDeque};

use crate::effect::{Effect, Effects};
use crate::message::{AskIndex, Index, Message};
use crate::paxos::{Paxos, Post};
use crate::reads::Reader;
use crate::types::{Ballot, Nanos, ReadToken, ReplicaId, Slot};

/// Chosen indexes heard of that are not applied here yet; beyond, older ones say little.
const HEARD_MAX: usize = 64;

/// Whoever asked has a deadline of its own; what nobody answered for so long is forgotten.
const ASKED_NS: Nanos = 30_000_000_000;

/// Questions to the leader that are under way.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    asked: BTreeMap<ReadToken, Asked>,
}

#[derive(Debug)]
struct Asked {
    leader: (Ballot, ReplicaId),
    since: Nanos,
    /// When it was sent last.
    at: Nanos,
}

/// How far behind the leader a follower knows itself to be.
#[derive(Debug, Default)]
pub(crate) struct Freshness {
    /// Chosen indexes that the leader had, each with a time at which or after which it said so.
    heard: VecDeque<(Nanos, Slot)>,
    /// Everything that the leader knew chosen at this time is applied here.
    as_of: Option<Nanos>,
}

impl Freshness {
    /// The leader said after `at` that everything below `chosen` is chosen.
    pub(crate) fn hear(&mut self, at: Nanos, chosen: Slot) {
        // The oldest goes: what is applied up to it, is not up to a newer one.
        if self.heard.len() >= HEARD_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back((at, chosen));
    }

    /// Everything below `applied` is applied here.
    pub(crate) fn applied(&mut self, applied: Slot) {
        while let Some(&(at, chosen)) = self.heard.front()
            && chosen <= applied
        {
            self.as_of = self.as_of.max(Some(at));
            self.heard.pop_front();
        }
    }
}

impl Paxos {
    /// How long ago it was that this replica had applied everything which the leader knew chosen then. At the leader:
    /// since a majority was heard of that hears it. None: nothing is known of that.
    ///
    /// It goes by the leader that is heard; that there is a newer one may not have come here yet.
    #[must_use]
    pub fn staleness(&self, now: Nanos) -> Option<Nanos> {
        let as_of = match (&self.post, &self.members) {
            (Post::Leader(leader), Some(members)) if leader.ready => {
                let others = members.others();
                let mut echoed: Vec<Nanos> =
                    others.filter_map(|id| self.peers.echoed_at(id)).collect();
                echoed.sort_unstable_by(|a, b| b.cmp(a));
                match members.quorum() - 1 {
                    0 => Some(now),
                    needed => echoed.get(needed - 1).copied(),
                }
            }
            _ => self.freshness.as_of,
        };
        as_of.map(|at| now.saturating_sub(at))
    }

    /// Notes what the leader says is chosen.
    pub(crate) fn hear_chosen(&mut self, from: ReplicaId, chosen: Slot) {
        if let Some(at) = self.peers.echoed_at(from) {
            self.freshness.hear(at, chosen);
            self.freshness.applied(self.applied);
        }
    }

    /// Asks the leader; whether there is one to ask.
    pub(crate) fn ask_leader(&mut self, now: Nanos, token: ReadToken, fx: &mut Effects) -> bool {
        let Some(leader) = self.leader_to_ask(now) else {
            return false;
        };
        let asked = Asked {
            leader,
            since: now,
            at: now,
        };
        self.asking.asked.insert(token, asked);
        self.send_ask(leader.1, token, fx);
        true
    }

    fn leader_to_ask(&self, now: Nanos) -> Option<(Ballot, ReplicaId)> {
        let follows = matches!(self.post, Post::Follower);
        self.leader()
            .filter(|&(_, id)| follows && id != self.config.id && self.peers.heard(id, now))
    }

    fn send_ask(&mut self, to: ReplicaId, token: ReadToken, fx: &mut Effects) {
        let ask = AskIndex {
            life: self.peers.life(),
            token: token.0,
        };
        self.out.send(to, Message::AskIndex(ask), fx);
    }

    /// Once a round of heartbeats: what was asked of somebody who leads no longer has failed, and what was not
    /// answered is asked again.
    pub(crate) fn go_on_asking(&mut self, now: Nanos, fx: &mut Effects) {
        if self.asking.asked.is_empty() {
            return;
        }
        let leader = self.leader_to_ask(now);
        let patience = 4 * self.config.heartbeat_ns + 2 * self.peers.slack_ns();
        let (mut failed, mut again) = (Vec::new(), Vec::new());
        for (&token, asked) in &mut self.asking.asked {
            if leader != Some(asked.leader) || now.saturating_sub(asked.since) >= ASKED_NS {
                failed.push(token);
            } else if now.saturating_sub(asked.at) >= patience {
                asked.at = now;
                again.push((asked.leader.1, token));
            }
        }
        for token in failed {
            self.asking.asked.remove(&token);
            fx.push(Effect::ReadFailed { token });
        }
        for (to, token) in again {
            self.send_ask(to, token, fx);
        }
    }

    /// A follower asks.
    pub(crate) fn on_ask_index(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        ask: &AskIndex,
        fx: &mut Effects,
    ) {
        let reader = Reader::Peer {
            id: from,
            life: ask.life,
            token: ask.token,
        };
        match &self.post {
            Post::Leader(leader) if leader.ready => self.begin_read(now, reader, fx),
            _ => self.end_read(reader, None, fx),
        }
    }

    /// A read at this leader is confirmed up to `index`, or will not be.
    pub(crate) fn end_read(&mut self, reader: Reader, index: Option<Slot>, fx: &mut Effects) {
        match (reader, index) {
            (Reader::Own(token), Some(index)) => fx.push(Effect::ReadReady { token, index }),
            (Reader::Own(token), None) => fx.push(Effect::ReadFailed { token }),
            (Reader::Peer { id, life, token }, index) => {
                let answer = Message::Index(Index { life, token, index });
                self.out.send(id, answer, fx);
            }
        }
    }

    /// The leader's answer.
    pub(crate) fn on_index(&mut self, from: ReplicaId, answer: &Index, fx: &mut Effects) {
        let token = ReadToken(answer.token);
        let ours = answer.life == self.peers.life()
            && self
                .asking
                .asked
                .get(&token)
                .is_some_and(|asked| asked.leader.1 == from);
        if !ours {
            return;
        }
        self.asking.asked.remove(&token);
        match answer.index {
            Some(index) => fx.push(Effect::ReadReady { token, index }),
            None => fx.push(Effect::ReadFailed { token }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_is_what_is_applied_of_what_was_heard() {
        let mut fresh = Freshness::default();
        fresh.hear(10, Slot(3));
        fresh.hear(20, Slot(7));
        fresh.applied(Slot(2));
        assert_eq!(fresh.as_of, None);
        fresh.applied(Slot(6));
        assert_eq!(fresh.as_of, Some(10));
        fresh.applied(Slot(7));
        assert_eq!(fresh.as_of, Some(20));
        fresh.hear(15, Slot(7));
        fresh.applied(Slot(9));
        assert_eq!(fresh.as_of, Some(20), "never older than it was");
    }
}
