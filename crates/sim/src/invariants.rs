//! What must hold inside the cluster at every step, whatever fails.
//!
//! Votes are counted from what is *durable*: a frame of a slot, on the disk of a voter. So "chosen" is
//! computed here by itself, and compared with what the replicas make of it.

use std::collections::{BTreeMap, BTreeSet};

use paxlog_paxos::{Ballot, FetchAnswer, FetchReply, Incarnation, Member, Message, Slot};
use paxlog_wal::sim::Rng;

use crate::rng::stream;

/// What makes two values the same: their length and checksum. Payloads are unique, so it is enough.
pub(crate) type ValueId = (u32, u32);

/// A broken invariant, told as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which invariant, by its name.
    pub rule: &'static str,
    /// What was seen.
    pub what: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

fn broken<T>(rule: &'static str, what: String) -> Result<T, Broken> {
    Err(Broken { rule, what })
}

/// What was seen so far.
#[derive(Debug)]
pub(crate) struct Invariants {
    /// When, and at what, to look.
    pub(crate) rng: Rng,
    /// The first formed list that became durable.
    members: Option<Vec<Member>>,
    /// On whose disks it is.
    holders: BTreeSet<u16>,
    proposed: BTreeMap<(Slot, Ballot), ValueId>,
    /// The slot from which a ballot's leader proposes.
    firsts: BTreeMap<Ballot, Slot>,
    votes: BTreeMap<(Slot, Ballot), Vec<Incarnation>>,
    /// By slot: the ballot in which it was first chosen, and the value.
    chosen: BTreeMap<Slot, (Ballot, ValueId)>,
    /// Every slot below is in `chosen`.
    chosen_to: Slot,
    /// By the number of applied slots: the state's digest, and who had it.
    states: BTreeMap<Slot, (u64, u16)>,
}

impl Invariants {
    pub(crate) fn new(seed: u64) -> Invariants {
        Invariants {
            rng: stream(seed, "invariants", 0),
            members: None,
            holders: BTreeSet::new(),
            proposed: BTreeMap::new(),
            firsts: BTreeMap::new(),
            votes: BTreeMap::new(),
            chosen: BTreeMap::new(),
            chosen_to: Slot::ZERO,
            states: BTreeMap::new(),
        }
    }

    /// Those with whom the group was formed; none before.
    pub(crate) fn members(&self) -> &[Member] {
        self.members.as_deref().unwrap_or_default()
    }

    /// The slot from which a ballot's leader proposes, if it was seen to propose anything.
    pub(crate) fn first_of(&self, ballot: Ballot) -> Option<Slot> {
        self.firsts.get(&ballot).copied()
    }

    /// Behind the last slot in which something is chosen.
    pub(crate) fn chosen_end(&self) -> Slot {
        let last = self.chosen.last_key_value();
        last.map_or(Slot::ZERO, |(slot, _)| slot.next())
    }

    /// What is chosen in a slot.
    pub(crate) fn chosen_in(&self, slot: Slot) -> Option<ValueId> {
        self.chosen.get(&slot).map(|(_, value)| *value)
    }

    /// A disk is lost. With the only one that had the list, the list is: nobody was told that there is a group.
    pub(crate) fn lost_disk(&mut self, who: u16) {
        if self.holders.remove(&who) && self.holders.is_empty() && self.chosen.is_empty() {
            self.members = None;
        }
    }

    /// A list became durable.
    pub(crate) fn formed(&mut self, who: u16, list: &[Member]) -> Result<(), Broken> {
        self.holders.insert(who);
        match &self.members {
            Some(known) if known != list => broken(
                "one group",
                format!("a group was formed as {known:?}, and as {list:?}"),
            ),
            Some(_) => Ok(()),
            None => {
                self.members = Some(list.to_vec());
                Ok(())
            }
        }
    }

    /// A value was proposed, or stored, in a slot and ballot.
    pub(crate) fn proposed(
        &mut self,
        slot: Slot,
        ballot: Ballot,
        value: ValueId,
    ) -> Result<(), Broken> {
        let first = *self.proposed.entry((slot, ballot)).or_insert(value);
        if first != value {
            return broken(
                "one value a ballot",
                format!("slot {slot} in {ballot}: {first:?} and {value:?}"),
            );
        }
        match self.chosen.get(&slot) {
            Some(&(in_ballot, chosen)) if ballot > in_ballot && value != chosen => broken(
                "agreement",
                format!(
                    "slot {slot}: {chosen:?} was chosen in {in_ballot}, and {ballot} carries {value:?}"
                ),
            ),
            _ => Ok(()),
        }
    }

    /// A frame became durable at a replica that votes.
    pub(crate) fn vote(
        &mut self,
        who: Incarnation,
        slot: Slot,
        ballot: Ballot,
        value: ValueId,
    ) -> Result<(), Broken> {
        let Some(members) = &self.members else {
            return broken(
                "one group",
                format!("a vote for slot {slot} before any list"),
            );
        };
        if !members.iter().any(|member| member.incarnation == who) {
            return Ok(());
        }
        let votes = self.votes.entry((slot, ballot)).or_default();
        if votes.contains(&who) {
            return Ok(());
        }
        votes.push(who);
        if votes.len() != members.len() / 2 + 1 {
            return Ok(());
        }
        match self.chosen.get(&slot) {
            Some(&(_, chosen)) if chosen != value => broken(
                "agreement",
                format!("slot {slot}: {chosen:?} was chosen, and now {value:?} in {ballot}"),
            ),
            Some(_) => Ok(()),
            None => {
                self.chosen.insert(slot, (ballot, value));
                // A higher ballot may have been there first: it must have known.
                let higher = self.proposed.range((slot, ballot)..);
                let mut of_slot = higher.take_while(|((of, _), _)| *of == slot);
                if let Some(((_, other), carried)) = of_slot.find(|(_, carried)| **carried != value)
                {
                    return broken(
                        "agreement",
                        format!(
                            "slot {slot}: {value:?} is chosen in {ballot}, and {other} carried {carried:?} already"
                        ),
                    );
                }
                while self.chosen.contains_key(&self.chosen_to) {
                    self.chosen_to = self.chosen_to.next();
                }
                Ok(())
            }
        }
    }

    /// A replica says that every slot below is chosen.
    pub(crate) fn prefix(&self, who: u16, below: Slot) -> Result<(), Broken> {
        if self.chosen_to < below {
            return broken(
                "nothing chosen too early",
                format!(
                    "replica {who} says that {below} slots are chosen; slot {} is not, by durable votes",
                    self.chosen_to
                ),
            );
        }
        Ok(())
    }

    /// A frame says that every slot below is chosen and held where it is written: then the value held in each slot
    /// from `from` on, queued before it or found at the start, is the chosen one.
    pub(crate) fn vouches(
        &self,
        who: u16,
        from: Slot,
        below: Slot,
        held: &BTreeMap<Slot, ValueId>,
    ) -> Result<(), Broken> {
        for slot in (from.0..below.0).map(Slot) {
            let (held, chosen) = (held.get(&slot).copied(), self.chosen_in(slot));
            if held.is_none() || held != chosen {
                return broken(
                    "a prefix is held",
                    format!(
                        "replica {who} writes that {below} slots are chosen and held: in slot {slot} it holds {held:?}, \
                         and {chosen:?} is chosen"
                    ),
                );
            }
        }
        Ok(())
    }

    /// A replica has applied every slot below.
    pub(crate) fn applied(&mut self, who: u16, below: Slot, digest: u64) -> Result<(), Broken> {
        let (first, by) = *self.states.entry(below).or_insert((digest, who));
        if first != digest {
            return broken(
                "equal states",
                format!("after {below} slots replicas {by} and {who} differ"),
            );
        }
        Ok(())
    }

    /// A message leaves a replica whose promise of `promised` is durable, and which knows every slot below `knows` to be
    /// chosen.
    pub(crate) fn sent(
        &mut self,
        from: u16,
        message: &Message,
        promised: Ballot,
        knows: Slot,
    ) -> Result<(), Broken> {
        let ballot = match message {
            Message::Prepare(m) => m.ballot,
            Message::Promise(m) => m.ballot,
            Message::Accept(m) => {
                let first = self.firsts.entry(m.ballot).or_insert(m.first);
                *first = m.first.min(*first);
                m.ballot
            }
            Message::Accepted(m) => m.ballot,
            Message::FetchReply(FetchReply {
                answer: FetchAnswer::Chosen { slot, value, .. },
                ..
            }) => {
                let value = (value.len(), value.checksum());
                return match self.chosen_in(*slot) {
                    _ if *slot >= knows => broken(
                        "agreement",
                        format!(
                            "replica {from} gives {value:?} as chosen in slot {slot}, and knows only {knows} slots to be \
                             chosen"
                        ),
                    ),
                    Some(chosen) if chosen == value => Ok(()),
                    other => broken(
                        "agreement",
                        format!(
                            "replica {from} gives {value:?} as chosen in slot {slot}; by durable votes {other:?} is"
                        ),
                    ),
                };
            }
            _ => return Ok(()),
        };
        if ballot > promised {
            return broken(
                "durable votes",
                format!(
                    "replica {from} sends {ballot}, and has only {promised} durably: {message:?}"
                ),
            );
        }
        Ok(())
    }

    /// A replica acknowledges a slot in a ballot, and `told` is what it was told of it. What is known to be
    /// chosen may be there from another ballot, where the leader has dropped it. What is chosen and `excused_below` need
    /// not be held at all: it is in the checkpoint of a damaged replica, and where a frame is ruined an older one of
    /// another value may be left.
    pub(crate) fn acknowledges(
        &self,
        who: u16,
        (slot, excused_below): (Slot, Slot),
        ballot: Ballot,
        told: Option<(Ballot, ValueId)>,
    ) -> Result<(), Broken> {
        // The ballot is counted from its first slot on.
        if self.firsts.get(&ballot).is_none_or(|&first| slot < first) {
            return Ok(());
        }
        let chosen = self.chosen_in(slot);
        match told {
            Some((same, _)) if same == ballot => Ok(()),
            Some((_, value)) if chosen == Some(value) => Ok(()),
            // Too long ago to be remembered.
            None if chosen.is_some() => Ok(()),
            Some(_) if chosen.is_some() && slot < excused_below => Ok(()),
            _ => broken(
                "durable votes",
                format!(
                    "replica {who} acknowledges slot {slot} in {ballot}, and what is durable there is {told:?}"
                ),
            ),
        }
    }

    /// Slots chosen so far.
    pub(crate) fn chosen(&self) -> u64 {
        self.chosen.len() as u64
    }
}
