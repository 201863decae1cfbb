//! Messages between replicas, and the connections that carry them.

use paxlog_paxos::{LinkEvent, ReplicaId};

use super::*;
use crate::network::{over_accepts, through_the_codec};

/// A connection that carries nothing for so long is lost.
const IDLE: u64 = 2 * SECOND;
/// Of a hundred messages of connections that broke: they come, late.
const LATE_PERCENT: u64 = 50;
/// By how much later, on average.
const LATE: u64 = 50 * MS;

impl World {
    pub(crate) fn send(&mut self, from: usize, to: ReplicaId, envelope: &paxlog_paxos::Envelope) {
        let to = usize::from(to.0) - 1;
        let class = envelope.message.class();
        if let paxlog_paxos::Message::Accept(accept) = &envelope.message {
            let value = (accept.value.len(), accept.value.checksum());
            let checked = self.invariants.proposed(accept.slot, accept.ballot, value);
            self.check(checked);
        }
        let accepts = over_accepts(class);
        let (id, link) = self.network.link(from, to, accepts);
        let (up, epoch) = (link.up, link.epoch);
        if !up {
            return;
        }
        let (loose, cut) = (self.plan.loose, self.network.is_cut(from, to));
        let mut copies = 1;
        let well = self.network.is_well(from, to);
        let rng = self.network.rng(from, to);
        if loose && !well {
            if cut || rng.chance(self.plan.loss_percent) {
                return;
            }
            copies += u64::from(rng.chance(self.plan.repeat_percent));
        }
        let envelope = through_the_codec(envelope, &mut self.trace);
        for _ in 0..copies {
            let rng = self.network.rng(from, to);
            let delay = self.plan.delay_min + rng.exponential(self.plan.delay_mean);
            let in_order = !loose;
            let at = self
                .network
                .arrival(self.now, delay, (from, to, class), in_order);
            let flight = Flight {
                from,
                to,
                link: Some((id, epoch)),
                envelope: envelope.clone(),
            };
            self.queue.push(at, Happening::Deliver(Box::new(flight)));
        }
    }

    pub(crate) fn deliver(&mut self, flight: Box<Flight>) {
        let (from, to) = (flight.from, flight.to);
        if let Some(((a, b, accepts), epoch)) = flight.link {
            let (_, link) = self.network.link(a, b, accepts);
            if link.epoch != epoch {
                // What a connection that broke had carried over already may still be read, after what came over the
                // next one.
                let (loose, well) = (self.plan.loose, self.network.is_well(from, to));
                let rng = self.network.rng(from, to);
                if loose && !well && rng.chance(LATE_PERCENT) {
                    let at = self.now + rng.exponential(LATE);
                    let link = None;
                    let flight = Box::new(Flight { link, ..*flight });
                    self.queue.push(at, Happening::Deliver(flight));
                    self.coverage
                        .hit("a message came after its connection broke");
                }
                return;
            }
        }
        if !self.plan.loose {
            // Sent again until it arrives, or the connection is lost.
            let stream = (from, to, flight.envelope.message.class());
            if let Some(again) = self.network.resend(self.now, stream) {
                self.queue.push(again, Happening::Deliver(flight));
                return;
            }
        } else if self.network.is_cut(from, to) {
            return;
        }
        let paused = self.replicas[to].paused_until;
        if paused > self.now {
            self.queue.push(paused, Happening::Deliver(flight));
            return;
        }
        self.trace
            .message(self.now, &format!("r{}>r{}", from + 1, to + 1), || {
                format!("{:?}", flight.envelope.message)
            });
        self.input(to, Event::Peer(flight.envelope));
    }

    /// Tries to connect, soon.
    pub(crate) fn reconnect(&mut self, a: usize, b: usize, accepts: bool) {
        let (link, state) = self.network.link(a, b, accepts);
        if !state.up {
            let epoch = state.epoch;
            let after = 2 * MS + self.network.rng(a, b).below(20 * MS);
            self.queue
                .push(self.now + after, Happening::Connect { link, epoch });
        }
    }

    pub(crate) fn reconnect_all(&mut self) {
        for a in 0..self.replicas.len() {
            for b in a + 1..self.replicas.len() {
                self.reconnect(a, b, false);
                self.reconnect(a, b, true);
            }
        }
    }

    pub(crate) fn connect(&mut self, link: LinkId, epoch: u32) {
        let (a, b, accepts) = link;
        let both = [a, b].iter().all(|&at| self.replicas[at].running.is_some());
        let cut = self.network.is_cut_either_way(a, b);
        let (_, state) = self.network.link(a, b, accepts);
        if state.up || state.epoch != epoch || !both {
            return;
        }
        if cut {
            self.reconnect(a, b, accepts);
            return;
        }
        state.up = true;
        state.epoch += 1;
        let event = if accepts {
            LinkEvent::AcceptsUp
        } else {
            LinkEvent::ControlUp
        };
        for (at, peer) in [(a, b), (b, a)] {
            self.post(at, US, Event::Link(ReplicaId(peer as u16 + 1), event));
            let address = vec![crate::replica::address(peer)];
            self.post(
                at,
                US,
                Event::Addresses(ReplicaId(peer as u16 + 1), address),
            );
        }
    }

    /// A connection breaks: what it carried is lost.
    pub(crate) fn break_link(&mut self, a: usize, b: usize, accepts: bool) {
        let (_, state) = self.network.link(a, b, accepts);
        if !state.up {
            return;
        }
        state.up = false;
        state.epoch += 1;
        let (_, other) = self.network.link(a, b, !accepts);
        let gone = !other.up;
        if gone {
            for (at, peer) in [(a, b), (b, a)] {
                if self.replicas[at].running.is_some() {
                    self.post(
                        at,
                        US,
                        Event::Link(ReplicaId(peer as u16 + 1), LinkEvent::Down),
                    );
                }
            }
        }
        self.reconnect(a, b, accepts);
    }

    /// Directions are cut: connections over them will be lost, unless that ends soon.
    pub(crate) fn cut(&mut self, directions: &BTreeSet<(usize, usize)>) {
        for &(from, to) in directions {
            self.network.cut(from, to);
            for accepts in [false, true] {
                let (link, state) = self.network.link(from, to, accepts);
                let epoch = state.epoch;
                self.queue
                    .push(self.now + IDLE, Happening::Silent { link, epoch });
            }
        }
    }
}
