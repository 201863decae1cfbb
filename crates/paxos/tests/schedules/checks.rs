//! What must hold at every step, computed from what is durable at the acceptors and not from what anybody
//! believes.

use std::collections::BTreeMap;

use paxlog_paxos::{Ballot, Incarnation, Member, Promise, ReplicaId, Slot};

use crate::disk::{Disk, What, value_number};

/// The oracle of one schedule.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// (slot, ballot) → the one value proposed.
    proposed: BTreeMap<(Slot, Ballot), u64>,
    /// (slot, ballot) → voters by index in the list, each durable at some time.
    votes: BTreeMap<(Slot, Ballot), u32>,
    /// slot → (lowest ballot that a quorum accepted, value).
    pub(crate) chosen: BTreeMap<Slot, (Ballot, u64)>,
    /// Ballot → in whose life it was prepared.
    prepared: BTreeMap<Ballot, (u16, u32)>,
    /// Ballot → first slot of a Prepare; of the ballot; and where nothing older is left.
    pub(crate) prepare_first: BTreeMap<Ballot, Slot>,
    pub(crate) first: BTreeMap<Ballot, Slot>,
    free: BTreeMap<Ballot, Slot>,
    /// Lists ever made durable, and who did.
    lists: Vec<(Vec<Member>, Vec<Incarnation>)>,
    /// What the leader of a ballot said that it has dropped.
    pub(crate) dropped: BTreeMap<Ballot, Slot>,
    /// More disks may be lost than any group survives.
    pub(crate) majority_lost: bool,
    /// The highest index that any client has been told: acknowledged or read.
    pub(crate) told: Slot,
}

impl Checks {
    /// A replica made a list its own.
    pub(crate) fn formed(
        &mut self,
        incarnation: Incarnation,
        list: &[Member],
        alive: &[Incarnation],
    ) {
        assert!(
            list.iter().any(|m| m.incarnation == incarnation),
            "adopted a list that does not name it"
        );
        match self.lists.iter_mut().find(|(l, _)| l == list) {
            Some((_, who)) => {
                if !who.contains(&incarnation) {
                    who.push(incarnation);
                }
            }
            None => self.lists.push((list.to_vec(), vec![incarnation])),
        }
        let elected = self
            .lists
            .iter()
            .filter(|(list, who)| who.len() > list.len() / 2);
        assert!(
            elected.count() <= 1 || self.majority_lost,
            "a group was formed twice"
        );
        let held = self
            .lists
            .iter()
            .filter(|(_, who)| who.iter().any(|w| alive.contains(w)));
        assert!(
            held.count() <= 1,
            "two lists are held at the same time: {:?} of {alive:?}",
            self.lists
        );
        for (at, (_, who)) in self.lists.iter().enumerate() {
            for (_, others) in &self.lists[at + 1..] {
                assert!(
                    !who.iter().any(|w| others.contains(w)),
                    "a replica adopted two lists"
                );
            }
        }
    }

    /// Whether a Prepare ever left.
    pub(crate) fn somebody_stood(&self) -> bool {
        !self.prepared.is_empty()
    }

    /// A ballot's Prepare leaves.
    pub(crate) fn prepare(&mut self, ballot: Ballot, replica: u16, life: u32, first: Slot) {
        assert_eq!(ballot.replica.0, replica, "prepared another's ballot");
        let owner = *self.prepared.entry(ballot).or_insert((replica, life));
        assert_eq!(
            owner,
            (replica, life),
            "ballot {ballot} was used again after a crash"
        );
        self.prepare_first.insert(ballot, first);
    }

    /// An Accept leaves, or a leader persists its own.
    pub(crate) fn propose(&mut self, slot: Slot, ballot: Ballot, value: u64) {
        let before = *self.proposed.entry((slot, ballot)).or_insert(value);
        assert_eq!(
            before, value,
            "two values for slot {slot} in ballot {ballot}"
        );
        if let Some(&(chosen_in, chosen)) = self.chosen.get(&slot)
            && ballot > chosen_in
        {
            assert_eq!(
                chosen, value,
                "slot {slot}: {ballot} proposes another value than {chosen_in} chose"
            );
        }
    }

    pub(crate) fn leads(&mut self, ballot: Ballot, first: Slot, free: Option<Slot>) {
        let before = *self.first.entry(ballot).or_insert(first);
        assert_eq!(before, first, "the first slot of ballot {ballot} changed");
        if let Some(free) = free {
            self.free.insert(ballot, free);
        }
    }

    /// An accepted frame is durable at the voter with this index.
    pub(crate) fn vote(
        &mut self,
        voter: usize,
        quorum: usize,
        slot: Slot,
        ballot: Ballot,
        value: u64,
    ) {
        let votes = self.votes.entry((slot, ballot)).or_default();
        *votes |= 1 << voter;
        if votes.count_ones() as usize >= quorum {
            match self.chosen.get_mut(&slot) {
                None => {
                    self.chosen.insert(slot, (ballot, value));
                }
                Some((chosen_in, chosen)) => {
                    assert_eq!(
                        *chosen, value,
                        "slot {slot}: chosen {chosen} in {chosen_in} and {value} in {ballot}"
                    );
                    *chosen_in = ballot.min(*chosen_in);
                }
            }
        }
    }

    pub(crate) fn is_chosen(&self, slot: Slot, value: u64) -> bool {
        self.chosen.get(&slot).is_some_and(|&(_, v)| v == value)
    }

    /// A Promise tells all that was durably accepted, damaged or not.
    pub(crate) fn promise(&self, replica: ReplicaId, promise: &Promise, disk: &Disk) {
        let first = self
            .prepare_first
            .get(&promise.ballot)
            .copied()
            .unwrap_or(Slot::ZERO);
        let from = first.max(promise.chosen_prefix);
        for (&slot, &(ballot, under)) in disk.newest_durable.range(from..) {
            // What came after the promise: accepted in its very ballot, whose leader needs no more promises;
            // or learned as chosen, by the votes of others that were cast before.
            if under >= promise.ballot {
                continue;
            }
            let told = promise
                .slots
                .iter()
                .any(|s| s.slot == slot && s.ballot >= ballot);
            let unknown = promise
                .unknown
                .iter()
                .any(|u| u.slots.contains(&slot) && u.ballot.is_some_and(|b| b >= ballot));
            // A later leader found nothing of an older ballot there, and made sure of it.
            let settled = || {
                let mut free = self.free.range(ballot..=promise.ballot);
                // Where it was this replica, only the first slot is seen from outside until it proposes.
                let mut first = self.first.range(ballot..=promise.ballot);
                free.any(|(&b, &free)| b > ballot && slot >= free)
                    || first.any(|(&b, &first)| b > ballot && b.replica == replica && slot >= first)
            };
            assert!(
                told || unknown || settled(),
                "a promise hides slot {slot}, accepted in {ballot}; first {first}, checkpoint {}: {promise:?}",
                disk.checkpoint
            );
        }
    }

    /// A frame says that everything below `prefix` is chosen and held. `from`: below was checked before.
    pub(crate) fn prefix(&self, disk: &Disk, from: Slot, prefix: Slot) {
        for slot in from.max(disk.checkpoint).0..prefix.0 {
            let slot = Slot(slot);
            let Some(&(_, chosen)) = self.chosen.get(&slot) else {
                panic!("a chosen prefix of {prefix} though slot {slot} is not chosen");
            };
            let held = disk
                .newest
                .get(&slot)
                .map(|&at| match &disk.frames[at].what {
                    What::Accepted { value, .. } => value_number(value),
                    What::State { .. } => unreachable!(),
                });
            assert_eq!(
                held,
                Some(chosen),
                "a chosen prefix of {prefix}, but slot {slot} is not held as chosen"
            );
        }
    }
}
