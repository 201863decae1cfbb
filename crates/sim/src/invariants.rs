//! What must hold inside the cluster at every step, whatever fails.
//!
//! Votes are counted from what is *durable*: a frame of a slot, on the disk of a voter. So "chosen" is
//! computed here by itself, and compared with what the replicas make of it.

use std::collections::BTreeMap;

use paxlog_paxos::{Ballot, Incarnation, Member, Message, Slot};

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
#[derive(Debug, Default)]
pub(crate) struct Invariants {
    /// The first formed list that became durable.
    members: Option<Vec<Member>>,
    proposed: BTreeMap<(Slot, Ballot), ValueId>,
    votes: BTreeMap<(Slot, Ballot), Vec<Incarnation>>,
    /// By slot: the ballot in which it was first chosen, and the value.
    chosen: BTreeMap<Slot, (Ballot, ValueId)>,
    /// By the number of applied slots: the state's digest, and who had it.
    states: BTreeMap<Slot, (u64, u16)>,
}

impl Invariants {
    /// A list became durable.
    pub(crate) fn formed(&mut self, list: &[Member]) -> Result<(), Broken> {
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
                Ok(())
            }
        }
    }

    /// A replica says that every slot below is chosen.
    pub(crate) fn prefix(&self, who: u16, below: Slot) -> Result<(), Broken> {
        let held = self.chosen.range(..below).count() as u64;
        if held < below.0 {
            return broken(
                "nothing chosen too early",
                format!(
                    "replica {who} says that {below} slots are chosen; {held} are, by durable votes"
                ),
            );
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

    /// A message leaves a replica whose promise of `promised` is durable.
    pub(crate) fn sent(
        &self,
        from: u16,
        message: &Message,
        promised: Ballot,
    ) -> Result<(), Broken> {
        let ballot = match message {
            Message::Prepare(m) => m.ballot,
            Message::Promise(m) => m.ballot,
            Message::Accept(m) => m.ballot,
            Message::Accepted(m) => m.ballot,
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

    /// Slots chosen so far.
    pub(crate) fn chosen(&self) -> u64 {
        self.chosen.len() as u64
    }
}
