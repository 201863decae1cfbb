//! What a leader keeps: its window, the values that followers may still need, and how far each of them is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::message::PromisedSlot;
use crate::reads::Reads;
use crate::types::{Ballot, Nanos, ReadId, ReplicaId, Slot, Value};

/// Slots under way to one follower.
pub(crate) const FEED_SLOTS_MAX: usize = 64;
/// Chosen values kept in memory for followers a little behind, besides the bound in bytes.
const CACHED_SLOTS_MAX: usize = 4096;
/// How far the own disk may be behind the majority, in windows.
const OWN_LAG_WINDOWS_MAX: u64 = 16;

/// How far one follower is, in the leader's ballot.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Below: durable there as accepted in this ballot.
    pub(crate) acked: Slot,
    /// Below: came there, as far as it said.
    pub(crate) received: Slot,
    /// The next to send. `acked <= next <= leader.next`.
    pub(crate) next: Slot,
    sent: VecDeque<(Slot, u64)>,
    sent_bytes: u64,
    /// The value of `next` is being read from the own log.
    pub(crate) reading: Option<ReadId>,
    /// It could not be read: the follower fetches it elsewhere.
    pub(crate) unreadable: Option<Slot>,
    /// It began a new life and has not said yet how far it is: if it says less than it had acknowledged,
    /// its disk lost something. (Within a life it never says less, except in messages that were overtaken.)
    pub(crate) unheard: bool,
    /// When something was sent after nothing was under way, or came back.
    pub(crate) moved_at: Nanos,
}

impl Progress {
    pub(crate) fn new(first: Slot, now: Nanos) -> Progress {
        Progress {
            acked: first,
            received: first,
            next: first,
            sent: VecDeque::new(),
            sent_bytes: 0,
            reading: None,
            unreadable: None,
            unheard: false,
            moved_at: now,
        }
    }

    /// What need not be sent again.
    pub(crate) fn base(&self) -> Slot {
        self.acked.max(self.received)
    }

    pub(crate) fn has_room(&self, bytes_max: u64) -> bool {
        self.sent.len() < FEED_SLOTS_MAX && self.sent_bytes < bytes_max
    }

    pub(crate) fn sent(&mut self, bytes: u32, now: Nanos) {
        if self.sent.is_empty() {
            self.moved_at = now;
        }
        self.sent.push_back((self.next, u64::from(bytes)));
        self.sent_bytes += u64::from(bytes);
        self.next = self.next.next();
    }

    /// The follower said how far it is: never less than before.
    pub(crate) fn advance(&mut self, acked: Slot, received: Slot, now: Nanos) {
        if acked <= self.acked && received <= self.received {
            return;
        }
        self.acked = self.acked.max(acked);
        self.received = self.received.max(received);
        self.moved_at = now;
        let base = self.base();
        self.next = self.next.max(base);
        // The window counts what is not durable there: a slow disk at the other end is its own brake.
        while let Some(&(slot, bytes)) = self.sent.front()
            && slot < self.acked
        {
            self.sent_bytes -= bytes;
            self.sent.pop_front();
        }
    }

    /// Sends again what has not come.
    pub(crate) fn rewind(&mut self, now: Nanos) {
        self.next = self.base();
        while let Some(&(slot, bytes)) = self.sent.back()
            && slot >= self.next
        {
            self.sent_bytes -= bytes;
            self.sent.pop_back();
        }
        self.reading = None;
        self.moved_at = now;
    }

    /// It does not hold what it acknowledged.
    pub(crate) fn lose(&mut self, acked: Slot, received: Slot, now: Nanos) {
        self.acked = acked;
        self.received = received;
        self.rewind(now);
    }

    /// Something was sent and has not come.
    pub(crate) fn awaits(&self) -> bool {
        self.next > self.base()
    }
}

/// One slot that phase 1 left to be proposed again.
#[derive(Debug)]
pub(crate) struct Backlog {
    pub(crate) slot: Slot,
    pub(crate) want: Option<PromisedSlot>,
    /// For a no-op, and once it has been read or fetched.
    pub(crate) value: Option<Value>,
    /// Who said that they hold it, this replica perhaps among them.
    pub(crate) holders: Vec<ReplicaId>,
    /// Who said that it does not hold it, or can't read it.
    pub(crate) denied: BTreeSet<ReplicaId>,
    pub(crate) asked: usize,
    pub(crate) asked_at: Option<Nanos>,
}

/// A hand-over under way.
#[derive(Debug)]
pub(crate) struct Handing {
    /// Until then what is under way may still be chosen.
    pub(crate) drain_until: Nanos,
    pub(crate) asked: BTreeSet<ReplicaId>,
    pub(crate) asked_at: Option<Nanos>,
}

/// One leadership.
#[derive(Debug)]
pub(crate) struct Leader {
    pub(crate) ballot: Ballot,
    pub(crate) first: Slot,
    pub(crate) free: Slot,
    /// The next slot to propose. `first <= chosen <= next`.
    pub(crate) next: Slot,
    /// The chosen index.
    pub(crate) chosen: Slot,
    values: BTreeMap<Slot, Value>,
    values_bytes: u64,
    /// What is unchosen or not durable here: (slot, bytes).
    window: VecDeque<(Slot, u64)>,
    window_bytes: u64,
    pub(crate) backlog: VecDeque<Backlog>,
    /// Slots proposed on the owner's behalf, unchosen.
    pub(crate) mine: VecDeque<Slot>,
    pub(crate) noop: Option<Slot>,
    pub(crate) ready: bool,
    pub(crate) progress: BTreeMap<ReplicaId, Progress>,
    pub(crate) reads: Reads,
    pub(crate) handing: Option<Handing>,
    /// When phase 1 ended.
    pub(crate) since: Nanos,
    /// When to tell the chosen index by a heartbeat, if no Accept carries it before.
    pub(crate) tell_at: Option<Nanos>,
    /// What all have acknowledged and received, added up: as it is, and with what is chosen as the least of each; and
    /// since when that is so.
    moved: ([u64; 2], Nanos),
}

impl Leader {
    /// Whether something has been under way for `patience` and no follower has taken any of it in; then it is
    /// given as much time again. `able` are followers that answer and have a working disk, `needed` of them are to
    /// acknowledge.
    ///
    /// Where enough of them lack nothing that is chosen, what others learn of it, perhaps not from here, is no sign
    /// that anything passes.
    pub(crate) fn is_stuck(
        &mut self,
        now: Nanos,
        patience: Nanos,
        needed: usize,
        able: impl Fn(ReplicaId) -> bool,
    ) -> bool {
        let there = |(id, p): &(&ReplicaId, &Progress)| p.acked >= self.chosen && able(**id);
        let enough = self.progress.iter().filter(there).count() >= needed;
        let taken = |floor: Slot| {
            let of_one = |p: &Progress| {
                let (acked, received) = (p.acked.max(floor), p.received.max(floor));
                acked.0.wrapping_add(received.0)
            };
            let all = self.progress.values().map(of_one);
            all.fold(0, u64::wrapping_add)
        };
        // Each held against what it was itself: whether enough are there may change with every lost heartbeat, and
        // that is no sign of anything either.
        let sums = [taken(Slot::ZERO), taken(self.chosen)];
        let at = usize::from(enough);
        if sums[at] != self.moved.0[at] || self.chosen == self.next {
            self.moved.1 = now;
        }
        self.moved.0 = sums;
        let stuck = now.saturating_sub(self.moved.1) >= patience;
        if stuck {
            self.moved.1 = now;
        }
        stuck
    }

    pub(crate) fn new(
        ballot: Ballot,
        first: Slot,
        free: Slot,
        backlog: VecDeque<Backlog>,
        others: impl Iterator<Item = ReplicaId>,
        now: Nanos,
    ) -> Leader {
        Leader {
            ballot,
            first,
            free,
            next: first,
            chosen: first,
            values: BTreeMap::new(),
            values_bytes: 0,
            window: VecDeque::new(),
            window_bytes: 0,
            backlog,
            mine: VecDeque::new(),
            noop: None,
            ready: false,
            progress: others.map(|id| (id, Progress::new(first, now))).collect(),
            reads: Reads::default(),
            handing: None,
            tell_at: None,
            moved: ([0; 2], now),
            since: now,
        }
    }

    /// Whether one more value of `bytes` may be proposed.
    pub(crate) fn has_room(&self, bytes: u64, slots_max: u64, bytes_max: u64) -> bool {
        let lag = self
            .window
            .front()
            .map_or(0, |&(slot, _)| self.next.since(slot));
        self.next.since(self.chosen) < slots_max
            && lag < slots_max * OWN_LAG_WINDOWS_MAX
            && (self.window.is_empty() || self.window_bytes + bytes <= bytes_max)
    }

    /// Enters the value of slot `next` into the window.
    pub(crate) fn enter(&mut self, value: Value) {
        let bytes = u64::from(value.len());
        self.window.push_back((self.next, bytes));
        self.window_bytes += bytes;
        self.values_bytes += bytes;
        self.values.insert(self.next, value);
        self.next = self.next.next();
    }

    pub(crate) fn value(&self, slot: Slot) -> Option<&Value> {
        self.values.get(&slot)
    }

    /// Lets go of what is chosen, durable here, and not needed by followers or beyond the bound in bytes.
    pub(crate) fn trim(&mut self, own_durable: Slot, bytes_max: u64) {
        let settled = self.chosen.min(own_durable);
        while let Some(&(slot, bytes)) = self.window.front()
            && slot < settled
        {
            self.window_bytes -= bytes;
            self.window.pop_front();
        }
        while self.mine.front().is_some_and(|&slot| slot < self.chosen) {
            self.mine.pop_front();
        }
        let needed = self
            .progress
            .values()
            .map(Progress::base)
            .min()
            .unwrap_or(Slot::MAX);
        while let Some(entry) = self.values.first_entry()
            && *entry.key() < self.chosen
        {
            let over = self.values_bytes > bytes_max;
            let slot = *entry.key();
            if slot >= needed && !over && self.next.since(slot) < CACHED_SLOTS_MAX as u64 {
                break;
            }
            self.values_bytes -= u64::from(entry.remove().len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn leader() -> Leader {
        let others = [ReplicaId(2), ReplicaId(3)];
        Leader::new(
            Ballot::new(1, ReplicaId(1)),
            Slot(0),
            Slot(0),
            VecDeque::new(),
            others.into_iter(),
            0,
        )
    }

    #[test]
    fn a_dead_follower_does_not_hold_values_in_memory() {
        let mut leader = leader();
        for n in 1..=100 {
            leader.enter(Value::from_parts(vec![Bytes::from(vec![7; 1000])]));
            leader.chosen = Slot(n);
            leader
                .progress
                .get_mut(&ReplicaId(2))
                .unwrap()
                .advance(Slot(n), Slot(n), 0);
            leader.trim(Slot(n), 10_000);
        }
        assert!(leader.values_bytes <= 10_000 && leader.window_bytes == 0);
        assert!(leader.value(Slot(99)).is_some() && leader.value(Slot(50)).is_none());
        leader
            .progress
            .get_mut(&ReplicaId(3))
            .unwrap()
            .advance(Slot(100), Slot(100), 0);
        leader.trim(Slot(100), 10_000);
        assert_eq!(leader.values_bytes, 0);
    }

    #[test]
    fn the_window_counts_what_is_unchosen_or_not_durable_here() {
        let mut leader = leader();
        for _ in 0..3 {
            assert!(leader.has_room(10, 3, 100));
            leader.enter(Value::noop());
        }
        assert!(!leader.has_room(10, 3, 100));
        leader.chosen = Slot(3);
        leader.trim(Slot(0), 100);
        assert!(leader.has_room(10, 3, 100));
        assert_eq!(leader.window.len(), 3);
        leader.trim(Slot(3), 100);
        assert!(leader.window.is_empty());
    }

    #[test]
    fn who_catches_up_elsewhere_does_not_hide_that_nothing_passes() {
        const PATIENCE: Nanos = 100;
        // One follower lacks nothing that is chosen and takes nothing in; the other one learns old values.
        let stuck_at = |able: &dyn Fn(ReplicaId) -> bool| {
            let mut leader = leader();
            for _ in 0..1_000 {
                leader.enter(Value::noop());
            }
            leader.chosen = Slot(900);
            let there = leader.progress.get_mut(&ReplicaId(2)).unwrap();
            there.advance(Slot(900), Slot(900), 0);
            (0..500).find(|&now| {
                let behind = leader.progress.get_mut(&ReplicaId(3)).unwrap();
                behind.advance(Slot(now), Slot(now), now);
                leader.is_stuck(now, PATIENCE, 1, able)
            })
        };
        assert_eq!(stuck_at(&|_| true), Some(PATIENCE));
        // Without the first the leader needs the other one, which comes nearer.
        assert_eq!(stuck_at(&|id| id != ReplicaId(2)), None);
    }

    #[test]
    fn one_value_larger_than_the_window_goes_alone() {
        let mut leader = leader();
        assert!(leader.has_room(1000, 3, 100));
        leader.enter(Value::from_parts(vec![Bytes::from(vec![7; 1000])]));
        assert!(!leader.has_room(1, 3, 100));
    }

    #[test]
    fn what_came_is_not_sent_again_and_what_was_lost_is() {
        let mut progress = Progress::new(Slot(0), 0);
        for _ in 0..5 {
            progress.sent(10, 0);
        }
        progress.advance(Slot(1), Slot(3), 1);
        progress.rewind(2);
        assert_eq!((progress.next, progress.sent_bytes), (Slot(3), 20));
        progress.sent(10, 2);
        progress.advance(Slot(4), Slot(4), 3);
        progress.lose(Slot(2), Slot(2), 4);
        assert_eq!(progress.next, Slot(2));
        assert!(!progress.awaits());
    }
}
