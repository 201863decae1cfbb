//! Giving values to others: chosen ones to whoever is behind, accepted ones to whoever takes over.
//!
//! One request of each kind a peer, and one value of it read at a time: what a slow peer costs is bounded.

use std::ops::Range;

use crate::config::intersect;
use crate::effect::{Effect, Effects};
use crate::message::{Fetch, FetchAnswer, FetchReply, FetchWhat, Message};
use crate::paxos::Paxos;
use crate::types::{Ballot, Nanos, ReadId, ReplicaId, Slot, Value};

/// Slots of one request that are served, whatever was asked for.
const SERVED_SLOTS_MAX: u64 = 256;
/// Takeover reads under way for all peers together.
const TAKEOVER_READS_MAX: usize = 64;

/// A range being served to one peer.
#[derive(Debug)]
pub(crate) struct Serving {
    id: u64,
    slots: Range<Slot>,
    bytes_left: u64,
    reading: bool,
}

/// What a value is being read for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReadFor {
    /// The next Accept to a follower that is behind.
    Feed { peer: ReplicaId, slot: Slot },
    /// The own backlog after phase 1.
    TakeOver { slot: Slot, ballot: Ballot },
    /// A chosen value for a peer.
    Chosen {
        peer: ReplicaId,
        id: u64,
        slot: Slot,
        ballot: Ballot,
    },
    /// An accepted value for a peer's takeover.
    Accepted {
        peer: ReplicaId,
        id: u64,
        slot: Slot,
        ballot: Ballot,
    },
}

impl ReadFor {
    /// Whether it is for a peer, whoever leads.
    pub(crate) fn is_serving(&self) -> bool {
        matches!(self, ReadFor::Chosen { .. } | ReadFor::Accepted { .. })
    }
}

impl Paxos {
    pub(crate) fn on_fetch(&mut self, from: ReplicaId, fetch: Fetch, fx: &mut Effects) {
        match fetch.what {
            FetchWhat::Chosen { slots, bytes_max } => {
                let end = Slot(slots.start.0.saturating_add(SERVED_SLOTS_MAX));
                let slots = intersect(&slots, slots.start, end);
                self.serving.insert(
                    from,
                    Serving {
                        id: fetch.id,
                        slots,
                        bytes_left: u64::from(bytes_max),
                        reading: false,
                    },
                );
                self.serve(from, fx);
            }
            FetchWhat::Accepted { slot, ballot } => match self.acceptor.held(slot) {
                Some((held, Some(value))) if held == ballot => {
                    let answer = FetchAnswer::Accepted {
                        slot,
                        ballot: held,
                        value,
                    };
                    self.reply(from, fetch.id, answer, fx);
                }
                Some((held, None)) if held == ballot => {
                    let under_way = self
                        .reading
                        .values()
                        .filter(|r| matches!(r, ReadFor::Accepted { .. }));
                    if under_way.count() < TAKEOVER_READS_MAX {
                        let purpose = ReadFor::Accepted {
                            peer: from,
                            id: fetch.id,
                            slot,
                            ballot: held,
                        };
                        self.read(slot, held, purpose, fx);
                    }
                }
                _ => {
                    let answer = FetchAnswer::Absent { slot, ballot };
                    self.reply(from, fetch.id, answer, fx);
                }
            },
        }
    }

    fn read(&mut self, slot: Slot, ballot: Ballot, purpose: ReadFor, fx: &mut Effects) {
        self.last_read = ReadId(self.last_read.0 + 1);
        self.reading.insert(self.last_read, purpose);
        fx.push(Effect::ReadValue {
            id: self.last_read,
            slot,
            ballot,
        });
    }

    fn reply(&mut self, to: ReplicaId, id: u64, answer: FetchAnswer, fx: &mut Effects) {
        self.out
            .send(to, Message::FetchReply(FetchReply { id, answer }), fx);
    }

    /// Goes on with the range asked for by `peer`: up to what this replica itself knows chosen and holds.
    fn serve(&mut self, peer: ReplicaId, fx: &mut Effects) {
        let Some(serving) = self.serving.get(&peer) else {
            return;
        };
        if serving.reading {
            return;
        }
        let (id, slot) = (serving.id, serving.slots.start);
        let end = serving.slots.end.min(self.acceptor.chosen_prefix());
        let held = self.acceptor.held(slot);
        match held {
            Some((ballot, _))
                if slot < end && slot >= self.acceptor.chosen_below() && serving.bytes_left > 0 =>
            {
                if let Some(serving) = self.serving.get_mut(&peer) {
                    serving.reading = true;
                }
                let purpose = ReadFor::Chosen {
                    peer,
                    id,
                    slot,
                    ballot,
                };
                self.read(slot, ballot, purpose, fx);
            }
            _ => self.end_serving(peer, fx),
        }
    }

    fn end_serving(&mut self, peer: ReplicaId, fx: &mut Effects) {
        if let Some(serving) = self.serving.remove(&peer) {
            let answer = FetchAnswer::End {
                next: serving.slots.start,
                chosen_below: self.acceptor.chosen_below(),
            };
            self.reply(peer, serving.id, answer, fx);
        }
    }

    /// A value was read, or could not be.
    pub(crate) fn on_value(
        &mut self,
        now: Nanos,
        read: ReadId,
        purpose: ReadFor,
        value: Option<Value>,
        fx: &mut Effects,
    ) {
        match purpose {
            ReadFor::Feed { peer, slot } => self.feed_read(now, read, (peer, slot), value, fx),
            ReadFor::TakeOver { slot, ballot } => {
                let me = self.config.id;
                match value {
                    Some(value) => self.backlog_value(now, me, (slot, ballot), value, fx),
                    None => {
                        self.acceptor.lose_value(slot, ballot);
                        self.backlog_denied(now, me, (slot, ballot), fx);
                    }
                }
            }
            ReadFor::Accepted {
                peer,
                id,
                slot,
                ballot,
            } => {
                let answer = match value {
                    Some(value) => FetchAnswer::Accepted {
                        slot,
                        ballot,
                        value,
                    },
                    None => {
                        self.acceptor.lose_value(slot, ballot);
                        FetchAnswer::Absent { slot, ballot }
                    }
                };
                self.reply(peer, id, answer, fx);
            }
            ReadFor::Chosen {
                peer,
                id,
                slot,
                ballot,
            } => {
                let Some(serving) = self.serving.get_mut(&peer).filter(|s| s.id == id) else {
                    return;
                };
                serving.reading = false;
                match value {
                    Some(value) => {
                        self.counters.chosen_served += 1;
                        serving.slots.start = slot.next();
                        serving.bytes_left =
                            serving.bytes_left.saturating_sub(u64::from(value.len()));
                        self.reply(
                            peer,
                            id,
                            FetchAnswer::Chosen {
                                slot,
                                ballot,
                                value,
                            },
                            fx,
                        );
                        self.serve(peer, fx);
                    }
                    None => self.end_serving(peer, fx),
                }
            }
        }
    }
}
