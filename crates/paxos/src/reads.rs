//! Linearizable reads at the leader: rounds of "has anybody promised more?", begun after the request.

use std::collections::{BTreeMap, VecDeque};

use crate::types::{Nanos, ReadToken, ReplicaId, Slot};

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
    /// In order of round: (round that confirms it, token, chosen index when it came).
    waiting: VecDeque<(u64, ReadToken, Slot)>,
}

impl Reads {
    /// A read came; `Some(round)`: ask everybody now.
    pub(crate) fn begin(&mut self, now: Nanos, token: ReadToken, index: Slot) -> Option<u64> {
        // Only a round that begins after the request proves anything to it.
        self.waiting.push_back((self.round + 1, token, index));
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
    ) -> (Vec<(ReadToken, Slot)>, Option<u64>) {
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
        while let Some(&(round, token, index)) = self.waiting.front()
            && round <= self.confirmed
        {
            ready.push((token, index));
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
    pub(crate) fn fail(self) -> impl Iterator<Item = ReadToken> {
        self.waiting.into_iter().map(|(_, token, _)| token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_under_way_proves_nothing_to_a_later_request() {
        let mut reads = Reads::default();
        assert_eq!(reads.begin(0, ReadToken(1), Slot(5)), Some(1));
        assert_eq!(reads.begin(0, ReadToken(2), Slot(6)), Some(2));
        // Two rounds are under way: these two share the third.
        assert_eq!(reads.begin(0, ReadToken(3), Slot(7)), None);
        assert_eq!(reads.begin(0, ReadToken(4), Slot(8)), None);
        let (ready, ask) = reads.confirmed(1, ReplicaId(2), 1, 1);
        assert_eq!(ready, [(ReadToken(1), Slot(5))]);
        assert_eq!(ask, Some(3));
        let (ready, ask) = reads.confirmed(1, ReplicaId(2), 3, 1);
        assert_eq!(ready.len(), 3);
        assert_eq!(ask, None);
    }

    #[test]
    fn one_replica_answering_twice_is_one_answer() {
        let mut reads = Reads::default();
        reads.begin(0, ReadToken(1), Slot(5));
        assert!(reads.confirmed(0, ReplicaId(2), 1, 2).0.is_empty());
        assert!(reads.confirmed(0, ReplicaId(2), 1, 2).0.is_empty());
        assert_eq!(reads.confirmed(0, ReplicaId(3), 1, 2).0.len(), 1);
    }
}
