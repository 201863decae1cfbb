//! What this replica hears of the others, and how well.
//!
//! Heartbeats go out in numbered rounds, and each says which round of the receiver the sender heard last: so
//! a replica knows both whether it hears a peer and whether the peer hears it. How long silence may last
//! follows the measured round trips upward; it is never shorter than four intervals.

use std::collections::{BTreeMap, VecDeque};

use crate::message::{Echo, Heartbeat};
use crate::types::{Nanos, ReplicaId, Slot};

/// Rounds whose sending time is remembered: an echo of an older one tells nothing.
const ROUNDS_KEPT: usize = 1024;
/// Earlier lives of a peer whose late messages are recognized.
const LIVES_KEPT: usize = 4;
/// Whoever was not heard for so long has no say in how slow the network is.
const LATELY_NS: Nanos = 1_000_000_000;
/// However long round trips are, a leader is replaced after about this.
const SLACK_NS_MAX: Nanos = 2_000_000_000;

/// One other member.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// The newest heartbeat in this life of it.
    pub(crate) says: Option<Heartbeat>,
    heard_at: Option<Nanos>,
    /// When the newest of our rounds that it echoed was sent.
    echoed_sent_at: Option<Nanos>,
    srtt_ns: Nanos,
    rtt_var_ns: Nanos,
    earlier_lives: VecDeque<u64>,
    pub(crate) lost_its_end: bool,
}

/// How a heartbeat stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fresh {
    /// Of an earlier round, or an earlier life.
    Stale,
    /// The next of the same life.
    Newer,
    /// The first of a life.
    NewLife,
}

/// All other members.
#[derive(Debug)]
pub(crate) struct Peers {
    life: u64,
    heartbeat_ns: Nanos,
    round: u64,
    slack_ns: Nanos,
    /// (round, when sent), newest last.
    sent: VecDeque<(u64, Nanos)>,
    peers: BTreeMap<ReplicaId, Peer>,
}

impl Peers {
    pub(crate) fn new(life: u64, heartbeat_ns: Nanos) -> Peers {
        Peers {
            life,
            heartbeat_ns,
            round: 0,
            slack_ns: 0,
            sent: VecDeque::new(),
            peers: BTreeMap::new(),
        }
    }

    pub(crate) fn set(&mut self, ids: impl Iterator<Item = ReplicaId>) {
        self.peers = ids.map(|id| (id, Peer::default())).collect();
    }

    pub(crate) fn get(&self, id: ReplicaId) -> Option<&Peer> {
        self.peers.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: ReplicaId) -> Option<&mut Peer> {
        self.peers.get_mut(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ReplicaId, &Peer)> + '_ {
        self.peers.iter().map(|(&id, p)| (id, p))
    }

    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    /// Begins a round and returns its number.
    pub(crate) fn begin_round(&mut self, now: Nanos) -> u64 {
        self.round += 1;
        self.sent.push_back((self.round, now));
        if self.sent.len() > ROUNDS_KEPT {
            self.sent.pop_front();
        }
        self.round
    }

    /// What to echo to `id`.
    pub(crate) fn echo(&self, id: ReplicaId, now: Nanos) -> Option<Echo> {
        let peer = self.peers.get(&id)?;
        let says = peer.says.as_ref()?;
        Some(Echo {
            life: says.life,
            round: says.round,
            held_ns: now.saturating_sub(peer.heard_at?),
        })
    }

    /// Takes a heartbeat in.
    pub(crate) fn hear(&mut self, now: Nanos, id: ReplicaId, beat: &Heartbeat) -> Fresh {
        let silence_ns = self.silence_ns();
        let Some(peer) = self.peers.get_mut(&id) else {
            return Fresh::Stale;
        };
        let echoed = beat.echo.filter(|echo| echo.life == self.life);
        let echoed_at = echoed.and_then(|echo| {
            let at = self
                .sent
                .binary_search_by_key(&echo.round, |&(round, _)| round)
                .ok()?;
            Some(self.sent[at].1)
        });
        let mut fresh = Fresh::NewLife;
        if let Some(last) = &peer.says {
            if last.life == beat.life {
                if beat.round <= last.round {
                    return Fresh::Stale;
                }
                fresh = Fresh::Newer;
            } else {
                if let Some(at) = peer
                    .earlier_lives
                    .iter()
                    .position(|&life| life == beat.life)
                {
                    // Lives have no order of their own: a late message of an earlier life may have been
                    // taken for a new one. But one that echoes a round begun after the last message of
                    // "the newest life" was heard was sent after that message; and a life that is over
                    // falls silent.
                    let sent_after = echoed_at.is_some_and(|sent_at| peer.heard_at < Some(sent_at));
                    let silent = peer
                        .heard_at
                        .is_none_or(|at| now.saturating_sub(at) > silence_ns);
                    if !sent_after && !silent {
                        return Fresh::Stale;
                    }
                    peer.earlier_lives.remove(at);
                }
                peer.earlier_lives.push_back(last.life);
                if peer.earlier_lives.len() > LIVES_KEPT {
                    peer.earlier_lives.pop_front();
                }
            }
        }
        peer.heard_at = Some(now);
        if let (Some(echo), Some(sent_at)) = (echoed, echoed_at)
            && peer.echoed_sent_at.is_none_or(|before| before < sent_at)
        {
            peer.echoed_sent_at = Some(sent_at);
            let rtt = now
                .saturating_sub(sent_at)
                .saturating_sub(echo.held_ns)
                .max(1);
            if peer.srtt_ns == 0 {
                peer.srtt_ns = rtt;
                peer.rtt_var_ns = rtt / 2;
            } else {
                // RFC 6298.
                let off = peer.srtt_ns.abs_diff(rtt);
                peer.rtt_var_ns = peer.rtt_var_ns - peer.rtt_var_ns / 4 + off / 4;
                peer.srtt_ns = peer.srtt_ns - peer.srtt_ns / 8 + rtt / 8;
            }
        }
        peer.says = Some(beat.clone());
        let lately = |p: &&Peer| {
            p.heard_at
                .is_some_and(|at| now.saturating_sub(at) <= LATELY_NS)
        };
        let heard = self.peers.values().filter(lately);
        let slowest = heard.map(|p| p.srtt_ns + 4 * p.rtt_var_ns).max();
        self.slack_ns = slowest.unwrap_or(0).min(SLACK_NS_MAX);
        fresh
    }

    /// What round trips add to every time-out: that of the slowest peer heard lately.
    pub(crate) fn slack_ns(&self) -> Nanos {
        self.slack_ns
    }

    /// A peer not heard for so long is silent.
    pub(crate) fn silence_ns(&self) -> Nanos {
        4 * self.heartbeat_ns + self.slack_ns()
    }

    pub(crate) fn heard(&self, id: ReplicaId, now: Nanos) -> bool {
        let heard_at = self.peers.get(&id).and_then(|p| p.heard_at);
        heard_at.is_some_and(|at| now.saturating_sub(at) <= self.silence_ns())
    }

    /// When the newest of our rounds that it echoed was sent: whatever it said last, it said after that.
    pub(crate) fn echoed_at(&self, id: ReplicaId) -> Option<Nanos> {
        self.peers.get(&id)?.echoed_sent_at
    }

    /// It is heard, and said lately that it hears this replica.
    pub(crate) fn both_ways(&self, id: ReplicaId, now: Nanos) -> bool {
        let echoed = self.peers.get(&id).and_then(|p| p.echoed_sent_at);
        // The echo waits up to an interval at the peer for its next heartbeat, and was a round trip under way.
        let limit = self.silence_ns() + self.heartbeat_ns + self.slack_ns();
        self.heard(id, now) && echoed.is_some_and(|at| now.saturating_sub(at) <= limit)
    }

    /// What each peer that is heard now says.
    pub(crate) fn saying(&self, now: Nanos) -> impl Iterator<Item = (ReplicaId, &Heartbeat)> + '_ {
        self.peers
            .iter()
            .filter(move |&(&id, _)| self.heard(id, now))
            .filter_map(|(&id, p)| p.says.as_ref().map(|s| (id, s)))
    }

    /// The lowest of what all say, or 0 until all were heard.
    pub(crate) fn min_of_all(&self, what: impl Fn(&Heartbeat) -> Slot) -> Slot {
        let all = self.peers.values();
        all.map(|p| p.says.as_ref().map_or(Slot::ZERO, &what))
            .min()
            .unwrap_or(Slot::MAX)
    }
}

impl Peer {
    pub(crate) fn rtt_ns(&self) -> Nanos {
        self.srtt_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn beat(life: u64, round: u64, echo: Option<Echo>) -> Heartbeat {
        Heartbeat {
            life,
            round,
            echo,
            promised: crate::types::Ballot::NONE,
            leading: None,
            standing: None,
            voter: true,
            reaches_quorum: false,
            disk_well: true,
            follows: None,
            vouches: false,
            priority: 0,
            applied: Slot::ZERO,
            chosen_prefix: Slot::ZERO,
            durable_prefix: Slot::ZERO,
            chosen_below: Slot::ZERO,
            accepted: None,
        }
    }

    fn peers() -> Peers {
        let mut peers = Peers::new(77, 20 * MS);
        peers.set([ReplicaId(2)].into_iter());
        peers
    }

    #[test]
    fn reachability_needs_an_echo_of_this_life() {
        let mut peers = peers();
        let round = peers.begin_round(MS);
        let echo = |life| {
            Some(Echo {
                life,
                round,
                held_ns: 0,
            })
        };
        assert_eq!(
            peers.hear(2 * MS, ReplicaId(2), &beat(5, 1, echo(76))),
            Fresh::NewLife
        );
        assert!(peers.heard(ReplicaId(2), 2 * MS) && !peers.both_ways(ReplicaId(2), 2 * MS));
        assert_eq!(
            peers.hear(3 * MS, ReplicaId(2), &beat(5, 2, echo(77))),
            Fresh::Newer
        );
        assert!(peers.both_ways(ReplicaId(2), 3 * MS));
        assert_eq!(peers.get(ReplicaId(2)).unwrap().rtt_ns(), 2 * MS);
        assert!(!peers.heard(ReplicaId(2), 200 * MS));
    }

    #[test]
    fn late_heartbeats_are_stale() {
        let mut peers = peers();
        assert_eq!(
            peers.hear(1, ReplicaId(2), &beat(5, 2, None)),
            Fresh::NewLife
        );
        assert_eq!(peers.hear(2, ReplicaId(2), &beat(5, 1, None)), Fresh::Stale);
        assert_eq!(
            peers.hear(3, ReplicaId(2), &beat(6, 1, None)),
            Fresh::NewLife
        );
        assert_eq!(peers.hear(4, ReplicaId(2), &beat(5, 3, None)), Fresh::Stale);
        assert_eq!(peers.hear(5, ReplicaId(9), &beat(5, 3, None)), Fresh::Stale);
        // Life 6 was the late one: life 5 goes on, and shows that it does.
        let echo = |round| {
            Some(Echo {
                life: 77,
                round,
                held_ns: 0,
            })
        };
        let round = peers.begin_round(2);
        assert_eq!(
            peers.hear(6, ReplicaId(2), &beat(5, 4, echo(round))),
            Fresh::Stale
        );
        let round = peers.begin_round(7);
        assert_eq!(
            peers.hear(8, ReplicaId(2), &beat(5, 5, echo(round))),
            Fresh::NewLife
        );
        assert_eq!(peers.hear(9, ReplicaId(2), &beat(6, 2, None)), Fresh::Stale);
    }
}
