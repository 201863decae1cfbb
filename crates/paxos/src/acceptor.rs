//! What this replica has promised, accepted, and knows to be chosen.
//!
//! The acceptor decides nothing about who leads; it keeps the invariants:
//!
//! - a ballot accepted here is at most `promised`, and is durable no earlier than a promise of it;
//! - `chosen_below <= chosen_prefix`; every slot below the prefix is chosen, and its frame in the
//!   write-ahead log, or one queued before anything that says so, holds the chosen value;
//! - `run.first <= run.durable <= run.end`: the slots up to `end` are held *as accepted in `run.ballot`*,
//!   those up to `durable` durably so.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use crate::config::{AcceptedEntry, Recovered, intersect};
use crate::effect::{DurableState, Effect, Effects, Persist};
use crate::message::{Promise, PromisedSlot, UnknownSlots};
use crate::outbox::Outbox;
use crate::runs::Runs;
use crate::types::{Ballot, Member, PersistId, Slot, Value};

/// Slots may come out of order by this much; what is further ahead is dropped, to come again.
const AHEAD_SLOTS_MAX: u64 = 128;
/// Chosen values may come further ahead than accepts: they are asked for in ranges.
const CHOSEN_AHEAD_SLOTS_MAX: u64 = 1024;

/// One slot that is not yet chosen, or not yet durable.
#[derive(Clone, Debug)]
struct Held {
    ballot: Ballot,
    len: u32,
    checksum: u32,
    /// Kept until it is handed out as chosen, within a bound of bytes; else the owner's log has it.
    value: Option<Value>,
    persist: PersistId,
    /// Known chosen, and this is the chosen value.
    chosen: bool,
}

/// The slots accepted in the newest ballot, counted from its first.
#[derive(Clone, Debug)]
struct Run {
    ballot: Ballot,
    first: Slot,
    end: Slot,
    durable: Slot,
    /// The highest chosen index that a message of this ballot has told.
    told: Slot,
    /// Below: marked chosen.
    marked: Slot,
}

/// What became of a value to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It is queued for the disk.
    New,
    /// It is held already, in this ballot.
    Already,
    /// Too far ahead of what is held: not stored.
    TooFar,
    /// It contradicts a value known chosen here. Nothing was stored.
    Contradicts,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Acceptor {
    promised: Ballot,
    promise_persist: PersistId,
    promised_durable: Ballot,
    /// What recovery found is more than its log is sure to keep: see [`Recovered::lasting`].
    state_is_behind: bool,
    formed: Option<Vec<Member>>,
    chosen_prefix: Slot,
    chosen_below: Slot,
    slots: BTreeMap<Slot, Held>,
    runs: Runs,
    unknown: Vec<UnknownSlots>,
    run: Option<Run>,
    cached_bytes: u64,
    cached_bytes_max: u64,
    /// Which chosen prefix rides in which frame.
    riding: VecDeque<(PersistId, Slot)>,
    durable_prefix: Slot,
}

impl Acceptor {
    pub(crate) fn new(recovered: Recovered, cached_bytes_max: u64) -> Acceptor {
        let below = recovered.chosen_below;
        let (lasting, listed) = recovered.lasting;
        let mut newest: BTreeMap<Slot, AcceptedEntry> = BTreeMap::new();
        let mut promised = recovered.promised;
        for entry in recovered.accepted {
            promised = promised.max(entry.ballot);
            if entry.slot >= below
                && newest
                    .get(&entry.slot)
                    .is_none_or(|e| e.ballot <= entry.ballot)
            {
                newest.insert(entry.slot, entry);
            }
        }
        let mut unknown: Vec<UnknownSlots> = Vec::new();
        for lost in recovered.unknown {
            let slots = intersect(&lost.slots, below, Slot::MAX);
            if slots.is_empty() {
                continue;
            }
            // Every accept came after a durable promise of its ballot, so what is lost is at most `promised`.
            let ballot = lost.ballot.unwrap_or(promised);
            promised = promised.max(ballot);
            unknown.push(UnknownSlots {
                slots,
                ballot: Some(ballot),
            });
        }
        let mut acceptor = Acceptor {
            promised,
            promise_persist: PersistId(0),
            promised_durable: lasting.min(promised),
            state_is_behind: lasting < promised || listed != recovered.formed.is_some(),
            formed: recovered.formed,
            chosen_prefix: below,
            chosen_below: below,
            slots: BTreeMap::new(),
            runs: Runs::new(below),
            unknown: disjoint(unknown),
            run: None,
            cached_bytes: 0,
            cached_bytes_max,
            riding: VecDeque::new(),
            durable_prefix: below,
        };
        // A surviving frame counts unless what was lost can be of a higher ballot.
        newest.retain(|&slot, entry| {
            let lost = acceptor.unknown_at(slot);
            let survives = lost.is_none_or(|bound| bound <= entry.ballot);
            if survives && lost.is_some() {
                acceptor.know(slot);
            }
            survives
        });
        while acceptor.chosen_prefix < recovered.chosen_prefix
            && let Some(entry) = newest.get(&acceptor.chosen_prefix)
        {
            acceptor.runs.set(entry.slot, entry.ballot);
            acceptor.chosen_prefix = acceptor.chosen_prefix.next();
        }
        acceptor.durable_prefix = acceptor.chosen_prefix;
        for (slot, entry) in newest.split_off(&acceptor.chosen_prefix) {
            acceptor.slots.insert(
                slot,
                Held {
                    ballot: entry.ballot,
                    len: entry.len,
                    checksum: entry.checksum,
                    value: None,
                    persist: PersistId(0),
                    chosen: slot < recovered.chosen_prefix,
                },
            );
        }
        acceptor
    }

    pub(crate) fn promised(&self) -> Ballot {
        self.promised
    }

    pub(crate) fn promised_durable(&self) -> Ballot {
        self.promised_durable
    }

    /// What must be durable before anything of the promised ballot leaves.
    pub(crate) fn promise_persist(&self) -> PersistId {
        self.promise_persist
    }

    pub(crate) fn chosen_prefix(&self) -> Slot {
        self.chosen_prefix
    }

    pub(crate) fn chosen_below(&self) -> Slot {
        self.chosen_below
    }

    /// The chosen prefix that a recovery now would find.
    pub(crate) fn durable_prefix(&self) -> Slot {
        self.durable_prefix
    }

    pub(crate) fn unknown_slots(&self) -> &[UnknownSlots] {
        &self.unknown
    }

    /// The ballot whose acknowledgements are counted here, and what they say: (durable, received).
    pub(crate) fn run(&self) -> Option<(Ballot, Slot, Slot)> {
        self.run.as_ref().map(|r| (r.ballot, r.durable, r.end))
    }

    /// The first slot of the current ballot, if its leader has told it.
    pub(crate) fn run_first(&self) -> Option<Slot> {
        self.run.as_ref().map(|r| r.first)
    }

    /// Writes the list, and what else is in STATE.
    pub(crate) fn set_formed(
        &mut self,
        members: Vec<Member>,
        out: &mut Outbox,
        fx: &mut Effects,
    ) -> PersistId {
        self.formed = Some(members);
        self.persist_state(out, fx)
    }

    fn persist_state(&mut self, out: &mut Outbox, fx: &mut Effects) -> PersistId {
        self.state_is_behind = false;
        let id = out.persist(
            Persist::State(DurableState {
                promised: self.promised,
                formed: self.formed.clone(),
                chosen_prefix: self.chosen_prefix,
            }),
            fx,
        );
        self.riding.push_back((id, self.chosen_prefix));
        id
    }

    /// Before the first event: what is believed after a recovery is made to last.
    pub(crate) fn restate(&mut self, out: &mut Outbox, fx: &mut Effects) {
        if self.state_is_behind {
            self.promise_persist = self.persist_state(out, fx);
        }
    }

    /// Raises the promise.
    ///
    /// # Panics
    /// When `ballot` is not higher: a promise never goes back.
    pub(crate) fn promise(&mut self, ballot: Ballot, out: &mut Outbox, fx: &mut Effects) {
        assert!(ballot > self.promised, "a promise never goes back");
        self.promised = ballot;
        self.run = None;
        self.promise_persist = self.persist_state(out, fx);
    }

    /// The answer to a Prepare of the promised ballot.
    pub(crate) fn report(&self, first: Slot) -> Promise {
        let from = first.max(self.chosen_prefix);
        Promise {
            ballot: self.promised,
            chosen_below: self.chosen_below,
            chosen_prefix: self.chosen_prefix,
            slots: self
                .slots
                .range(from..)
                .map(|(&slot, held)| PromisedSlot {
                    slot,
                    ballot: held.ballot,
                    len: held.len,
                    checksum: held.checksum,
                })
                .collect(),
            unknown: self
                .unknown
                .iter()
                .map(|u| UnknownSlots {
                    slots: intersect(&u.slots, from, Slot::MAX),
                    ballot: u.ballot,
                })
                .filter(|u| !u.slots.is_empty())
                .collect(),
        }
    }

    /// Begins to count what is accepted in the promised ballot, of which `first` is the first slot.
    pub(crate) fn begin_run(&mut self, first: Slot) {
        if self.run.as_ref().is_some_and(|r| r.ballot == self.promised) {
            return;
        }
        let first = first.max(self.chosen_below);
        self.run = Some(Run {
            ballot: self.promised,
            first,
            end: first,
            durable: first,
            told: Slot::ZERO,
            marked: first,
        });
    }

    /// From `free` on phase 1 of the promised ballot found nothing, and a promising quorum sees to it that
    /// nothing of a lower ballot will be chosen there: what damage took there does not matter any more.
    pub(crate) fn forget_unknown(&mut self, free: Slot) {
        let promised = self.promised;
        for u in &mut self.unknown {
            if u.ballot.is_some_and(|b| b < promised) && u.slots.end > free {
                u.slots.end = free.max(u.slots.start);
            }
        }
        self.unknown.retain(|u| !u.slots.is_empty());
    }

    /// A message of `ballot` says that its leader knows every slot below `chosen` as chosen.
    pub(crate) fn tell_chosen(&mut self, ballot: Ballot, chosen: Slot) {
        if let Some(run) = &mut self.run
            && run.ballot == ballot
        {
            run.told = run.told.max(chosen);
        }
    }

    /// Accepts a value in the promised ballot, whose run has begun. The caller has seen to it that
    /// `slot >= chosen_below`.
    pub(crate) fn accept(
        &mut self,
        slot: Slot,
        value: Value,
        out: &mut Outbox,
        fx: &mut Effects,
    ) -> Stored {
        let ballot = self.promised;
        let run = self
            .run
            .as_ref()
            .expect("the run of the promised ballot has begun");
        assert!(run.ballot == ballot && slot >= self.chosen_below);
        if slot.since(run.end) > AHEAD_SLOTS_MAX || slot < run.first {
            return Stored::TooFar;
        }
        let stored = self.store(slot, ballot, value, false, out, fx);
        self.extend_run();
        stored
    }

    /// Stores a value that is known chosen, in the ballot in which its sender held it. Never lowers the
    /// ballot that is held: what was accepted here in a higher one is the same value.
    pub(crate) fn store_chosen(
        &mut self,
        slot: Slot,
        ballot: Ballot,
        value: Value,
        out: &mut Outbox,
        fx: &mut Effects,
    ) -> Stored {
        if slot < self.chosen_prefix {
            return Stored::Already;
        }
        if slot.since(self.chosen_prefix) > CHOSEN_AHEAD_SLOTS_MAX {
            return Stored::TooFar;
        }
        if ballot > self.promised {
            self.promise(ballot, out, fx);
        }
        let ballot = self
            .slots
            .get(&slot)
            .map_or(ballot, |held| held.ballot.max(ballot));
        self.store(slot, ballot, value, true, out, fx)
    }

    fn store(
        &mut self,
        slot: Slot,
        ballot: Ballot,
        value: Value,
        chosen: bool,
        out: &mut Outbox,
        fx: &mut Effects,
    ) -> Stored {
        if let Some(held) = self.slots.get_mut(&slot) {
            let same = held.len == value.len() && held.checksum == value.checksum();
            // One ballot proposes one value in a slot, and what is chosen stays.
            if !same && (held.chosen || held.ballot == ballot) {
                return Stored::Contradicts;
            }
            if held.ballot == ballot {
                held.chosen |= chosen;
                return Stored::Already;
            }
        } else if self.runs.get(slot) == Some(ballot) {
            return Stored::Already;
        }
        let known = self.slots.get(&slot).is_some_and(|held| held.chosen);
        let chosen = chosen || known || slot < self.chosen_prefix;
        self.drop_cached(slot);
        let persist = out.persist(
            Persist::Accepted {
                slot,
                ballot,
                value: value.clone(),
                chosen_prefix: self.chosen_prefix,
            },
            fx,
        );
        self.riding.push_back((persist, self.chosen_prefix));
        let bytes = u64::from(value.len());
        let keep = slot >= self.chosen_prefix && self.cached_bytes + bytes <= self.cached_bytes_max;
        if keep {
            self.cached_bytes += bytes;
        }
        self.slots.insert(
            slot,
            Held {
                ballot,
                len: value.len(),
                checksum: value.checksum(),
                value: keep.then_some(value),
                persist,
                chosen,
            },
        );
        self.know(slot);
        Stored::New
    }

    fn drop_cached(&mut self, slot: Slot) {
        if let Some(held) = self.slots.get_mut(&slot)
            && let Some(value) = held.value.take()
        {
            self.cached_bytes -= u64::from(value.len());
        }
    }

    /// Draws the conclusions of whatever was stored, told or made durable: what is chosen is handed out in
    /// order, acknowledgements move on, and what is settled moves out of memory.
    pub(crate) fn settle(&mut self, durable: PersistId, fx: &mut Effects) {
        self.extend_run();
        if let Some(run) = &mut self.run {
            // Only what was accepted in this very ballot is known chosen by its leader's index.
            while run.marked < run.end.min(run.told) {
                if let Some(held) = self.slots.get_mut(&run.marked) {
                    assert!(held.ballot == run.ballot, "a run holds one ballot");
                    held.chosen = true;
                }
                run.marked = run.marked.next();
            }
        }
        while let Some(held) = self.slots.get_mut(&self.chosen_prefix)
            && held.chosen
        {
            let value = held.value.take();
            if let Some(value) = &value {
                self.cached_bytes -= u64::from(value.len());
            }
            fx.push(Effect::Chosen {
                slot: self.chosen_prefix,
                ballot: held.ballot,
                value,
            });
            self.chosen_prefix = self.chosen_prefix.next();
        }
        if let Some(run) = &mut self.run {
            while run.durable < run.end {
                if self
                    .slots
                    .get(&run.durable)
                    .is_some_and(|held| held.persist > durable)
                {
                    break;
                }
                run.durable = run.durable.next();
            }
        }
        while let Some(entry) = self.slots.first_entry()
            && *entry.key() < self.chosen_prefix
            && entry.get().persist <= durable
        {
            let (slot, held) = entry.remove_entry();
            self.runs.set(slot, held.ballot);
        }
    }

    fn extend_run(&mut self) {
        let Some(run) = &mut self.run else { return };
        loop {
            if let Some(held) = self.slots.get(&run.end) {
                if held.ballot != run.ballot {
                    break;
                }
                run.end = run.end.next();
            } else {
                let end = self.runs.run_end(run.end, run.ballot);
                if end == run.end {
                    break;
                }
                run.end = end;
            }
        }
    }

    pub(crate) fn set_durable(&mut self, durable: PersistId) {
        if self.promise_persist <= durable {
            self.promised_durable = self.promised;
        }
        while let Some(&(id, prefix)) = self.riding.front()
            && id <= durable
        {
            self.durable_prefix = self.durable_prefix.max(prefix);
            self.riding.pop_front();
        }
    }

    /// The ballot in which a slot is held, and the value if it is in memory.
    pub(crate) fn held(&self, slot: Slot) -> Option<(Ballot, Option<Value>)> {
        match self.slots.get(&slot) {
            Some(held) => Some((held.ballot, held.value.clone())),
            None => self.runs.get(slot).map(|ballot| (ballot, None)),
        }
    }

    /// Whether this slot needs no fetching: it is chosen and held, or below the prefix.
    pub(crate) fn holds_chosen(&self, slot: Slot) -> bool {
        slot < self.chosen_prefix || self.slots.get(&slot).is_some_and(|held| held.chosen)
    }

    /// A checkpoint of everything below is durable here.
    pub(crate) fn set_chosen_below(&mut self, below: Slot) {
        let below = below.min(self.chosen_prefix);
        if below <= self.chosen_below {
            return;
        }
        self.chosen_below = below;
        self.runs.cut(below);
        self.slots = self.slots.split_off(&below);
        for u in &mut self.unknown {
            u.slots = intersect(&u.slots, below, Slot::MAX);
        }
        self.unknown.retain(|u| !u.slots.is_empty());
        self.skip_run(below);
    }

    /// What is below needs no acknowledgement in the current ballot: it is known chosen, and durable here.
    pub(crate) fn skip_run(&mut self, below: Slot) {
        assert!(below <= self.durable_prefix.max(self.chosen_below));
        if let Some(run) = &mut self.run {
            run.first = run.first.max(below);
            run.end = run.end.max(below);
            run.durable = run.durable.max(below);
            run.marked = run.marked.max(below);
        }
    }

    /// A value that is not known chosen turned out unreadable: the slot is unknown from now on.
    pub(crate) fn lose_value(&mut self, slot: Slot, ballot: Ballot) {
        let older = self.run.as_ref().is_none_or(|run| run.ballot > ballot);
        let lost = self.slots.get(&slot);
        if older
            && lost
                .is_some_and(|held| held.ballot == ballot && !held.chosen && held.value.is_none())
        {
            self.slots.remove(&slot);
            let mut unknown = std::mem::take(&mut self.unknown);
            unknown.push(UnknownSlots {
                slots: slot..slot.next(),
                ballot: Some(ballot),
            });
            self.unknown = disjoint(unknown);
        }
    }

    fn unknown_at(&self, slot: Slot) -> Option<Ballot> {
        let at = self.unknown.iter().find(|u| u.slots.contains(&slot))?;
        at.ballot
    }

    /// Something is known of `slot` again.
    fn know(&mut self, slot: Slot) {
        if let Some(at) = self.unknown.iter().position(|u| u.slots.contains(&slot)) {
            let UnknownSlots { slots, ballot } = self.unknown.remove(at);
            let part = |slots: Range<Slot>| UnknownSlots { slots, ballot };
            let parts = [part(slots.start..slot), part(slot.next()..slots.end)];
            let parts = parts.into_iter().filter(|u| !u.slots.is_empty());
            self.unknown.splice(at..at, parts);
        }
    }
}

/// In order and disjoint; where ranges overlap, the highest ballot counts.
fn disjoint(unknown: Vec<UnknownSlots>) -> Vec<UnknownSlots> {
    let mut bounds: Vec<Slot> = unknown
        .iter()
        .flat_map(|u| [u.slots.start, u.slots.end])
        .collect();
    bounds.sort_unstable();
    bounds.dedup();
    let mut parts: Vec<UnknownSlots> = Vec::new();
    for pair in bounds.windows(2) {
        let covering = unknown.iter().filter(|u| u.slots.contains(&pair[0]));
        let Some(ballot) = covering.map(|u| u.ballot).max() else {
            continue;
        };
        match parts.last_mut() {
            Some(last) if last.slots.end == pair[0] && last.ballot == ballot => {
                last.slots.end = pair[1]
            }
            _ => parts.push(UnknownSlots {
                slots: pair[0]..pair[1],
                ballot,
            }),
        }
    }
    parts
}

#[cfg(test)]
mod tests;
