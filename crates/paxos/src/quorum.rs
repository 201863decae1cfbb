//! The formed list and what a majority of it says.

use crate::types::{Incarnation, Member, ReplicaId, Slot};

/// The voters, in order of id, and which of them is this replica.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    list: Vec<Member>,
    me: ReplicaId,
}

impl Members {
    pub(crate) fn new(mut list: Vec<Member>, me: ReplicaId) -> Members {
        list.sort();
        list.dedup_by_key(|m| m.id);
        Members { list, me }
    }

    pub(crate) fn list(&self) -> &[Member] {
        &self.list
    }

    /// The smallest majority.
    pub(crate) fn quorum(&self) -> usize {
        self.list.len() / 2 + 1
    }

    /// How many a majority can do without.
    pub(crate) fn spare(&self) -> usize {
        self.list.len() - self.quorum()
    }

    /// Whether this replica is a voter under this very incarnation.
    pub(crate) fn contains(&self, id: ReplicaId, incarnation: Incarnation) -> bool {
        self.list.contains(&Member { id, incarnation })
    }

    /// Everybody but this replica.
    pub(crate) fn others(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.list.iter().map(|m| m.id).filter(|&id| id != self.me)
    }

    /// The highest bound that a majority has reached, each member counted once. `bound` is asked for
    /// every member, this replica included.
    pub(crate) fn reached(&self, bound: impl Fn(ReplicaId) -> Slot) -> Slot {
        let mut bounds: Vec<Slot> = self.list.iter().map(|m| bound(m.id)).collect();
        bounds.sort_unstable_by(|a, b| b.cmp(a));
        bounds[self.quorum() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(n: u16) -> Members {
        let list = (1..=n).map(|id| Member {
            id: ReplicaId(id),
            incarnation: Incarnation(u128::from(id)),
        });
        Members::new(list.collect(), ReplicaId(1))
    }

    #[test]
    fn a_bound_counts_when_a_majority_reached_it() {
        for (n, want) in [(1, 10), (2, 20), (3, 20), (4, 30), (5, 30)] {
            // Members 1..=n reached 10, 20, …, but from the highest: n * 10 down.
            let got = members(n).reached(|id| Slot(u64::from(n + 1 - id.0) * 10));
            let majority_from_top = u64::from(n) * 10 - (members(n).quorum() as u64 - 1) * 10;
            assert_eq!(got, Slot(majority_from_top), "{n}");
            assert!(members(n).quorum() * 2 > n as usize, "{want}");
        }
    }

    #[test]
    fn another_incarnation_is_another_replica() {
        assert!(members(3).contains(ReplicaId(2), Incarnation(2)));
        assert!(!members(3).contains(ReplicaId(2), Incarnation(3)));
    }
}
