//! Linearizable reads at the leader: rounds of "has anybody promised more?", begun after the request.

use std::collections::{BTreeMap, VecDeque};

use crate::types::{Nanos, ReadToken, ReplicaId, Slot};

/// Whose read it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The owner's.
    Own(ReadToken),
    /// A follower's, by the life and number that it asked under.
    Peer {
        id: ReplicaId,
        life: u64,
        token: u64,
    },
}

/// Rounds under way at once; requests beyond wait and share the next.
const ROUNDS_MAX: u64 = 2;

/// The reads of one leadership.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// The newest round asked.
    round: u64,
    /// Rounds up to here are confirmed by a quorum.
    confirmed: u64,
    answers: BTreeMap<ReplicaId, u64>,
    asked_at: Nanos,
    /// In order of round: (round that confirms it, whose it is, chosen index when it came).
    waiting: VecDeque<(u64, Reader, Slot)>,
}

impl Reads {
    /// A read came; `Some(round)`: ask everybody now.
    pub(crate) fn begin(&mut self, now: Nanos, reader: Reader, index: Slot) -> Option<u64> {
        // Only a round that begins after the request proves anything to it.
        self.waiting.push_back((self.round + 1, reader, index));
        (self.round - self.confirmed < ROUNDS_MAX).then(|| self.ask(now))
    }

    fn ask(&mut self, now: Nanos) -> u64 {
        self.round += 1;
        self.asked_at = now;
        self.round
    }

    /// Somebody confirmed `round`, and so every earlier one. `others_needed` is how many besides the leader
    /// make a quorum. Returns the reads that are confirmed, and a round to ask if some still wait unasked.
    pub(crate) fn confirmed(
        &mut self,
        now: Nanos,
        from: ReplicaId,
        round: u64,
        others_needed: usize,
    ) -> (Vec<(Reader, Slot)>, Option<u64>) {
        if round > self.round {
            return (Vec::new(), None);
        }
        let answer = self.answers.entry(from).or_default();
        *answer = round.max(*answer);
        let mut answers: Vec<u64> = self.answers.values().copied().collect();
        answers.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(&reached) = answers.get(others_needed.saturating_sub(1)) {
            self.confirmed = self.confirmed.max(reached);
        }
        let mut ready = Vec::new();
        while let Some(&(round, reader, index)) = self.waiting.front()
            && round <= self.confirmed
        {
            ready.push((reader, index));
            self.waiting.pop_front();
        }
        let unasked = self
            .waiting
            .back()
            .is_some_and(|&(round, ..)| round > self.round);
        let ask = unasked && self.round - self.confirmed < ROUNDS_MAX;
        (ready, ask.then(|| self.ask(now)))
    }

    /// Whether to ask again because answers do not come.
    pub(crate) fn overdue(&mut self, now: Nanos, after_ns: Nanos) -> Option<u64> {
        let overdue = !self.waiting.is_empty() && now.saturating_sub(self.asked_at) >= after_ns;
        overdue.then(|| self.ask(now))
    }

    /// Leadership is lost.
    pub(crate) fn fail(self) -> impl Iterator<Item = Reader> {
        self.waiting.into_iter().map(|(_, reader, _)| reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(token: u64) -> Reader {
        Reader::Own(ReadToken(token))
    }

    #[test]
    fn a_round_under_way_proves_nothing_to_a_later_request() {
        let mut reads = Reads::default();
        assert_eq!(reads.begin(0, own(1), Slot(5)), Some(1));
        assert_eq!(reads.begin(0, own(2), Slot(6)), Some(2));
        // Two rounds are under way: these two share the third.
        assert_eq!(reads.begin(0, own(3), Slot(7)), None);
        assert_eq!(reads.begin(0, own(4), Slot(8)), None);
        let (ready, ask) = reads.confirmed(1, ReplicaId(2), 1, 1);
        assert_eq!(ready, [(own(1), Slot(5))]);
        assert_eq!(ask, Some(3));
        let (ready, ask) = reads.confirmed(1, ReplicaId(2), 3, 1);
        assert_eq!(ready.len(), 3);
        assert_eq!(ask, None);
    }

    #[test]
    fn one_replica_answering_twice_is_one_answer() {
        let mut reads = Reads::default();
        reads.begin(0, own(1), Slot(5));
        assert!(reads.confirmed(0, ReplicaId(2), 1, 2).0.is_empty());
        assert!(reads.confirmed(0, ReplicaId(2), 1, 2).0.is_empty());
        assert_eq!(reads.confirmed(0, ReplicaId(3), 1, 2).0.len(), 1);
    }
}
