//! Links between replicas: two connections a pair, as in a server; what they carry, and how they break.

use std::collections::{BTreeMap, BTreeSet};

use paxlog_paxos::{Class, Envelope};
use paxlog_wire::replica::{decode_envelope, encode_envelope};
use paxlog_wire::{FrameDecoder, FrameLimits};

/// A connection between two replicas: their indices (the lower first), and whether it is the one for accepts.
pub(crate) type LinkId = (usize, usize, bool);

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// What it was sent over; none where messages go as they like.
    pub(crate) link: Option<(LinkId, u32)>,
    pub(crate) envelope: Envelope,
}

/// One connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    pub(crate) up: bool,
    /// Raised when it comes up or breaks: what was sent before is lost.
    pub(crate) epoch: u32,
}

/// All of them, and what hinders them.
#[derive(Debug, Default)]
pub(crate) struct Network {
    links: BTreeMap<LinkId, Link>,
    /// Directions that carry nothing, and since when.
    cut: BTreeMap<(usize, usize), u64>,
    /// Directions that hold back what they carry, and until when.
    clogged: BTreeMap<(usize, usize), u64>,
    /// When the last message of a stream arrives.
    last: BTreeMap<(usize, usize, Class), u64>,
}

impl Network {
    pub(crate) fn link(&mut self, a: usize, b: usize, accepts: bool) -> (LinkId, &mut Link) {
        let id = (a.min(b), a.max(b), accepts);
        (id, self.links.entry(id).or_default())
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains_key(&(from, to))
    }

    /// A connection needs both directions.
    pub(crate) fn is_cut_either_way(&self, a: usize, b: usize) -> bool {
        self.is_cut(a, b) || self.is_cut(b, a)
    }

    pub(crate) fn cut(&mut self, now: u64, from: usize, to: usize) {
        if from != to {
            self.cut.entry((from, to)).or_insert(now);
        }
    }

    pub(crate) fn uncut(&mut self, of: &BTreeSet<(usize, usize)>) {
        self.cut.retain(|direction, _| !of.contains(direction));
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.clogged.clear();
    }

    pub(crate) fn cuts(&self) -> BTreeSet<(usize, usize)> {
        self.cut.keys().copied().collect()
    }

    pub(crate) fn clog(&mut self, from: usize, to: usize, until: u64) {
        self.clogged.insert((from, to), until);
    }

    /// When something sent now arrives that takes `delay` and keeps the order of its stream, if it does.
    pub(crate) fn arrival(
        &mut self,
        now: u64,
        delay: u64,
        (from, to, class): (usize, usize, Class),
        in_order: bool,
    ) -> u64 {
        let clogged = self.clogged.get(&(from, to)).copied().unwrap_or(0);
        let at = now.max(clogged) + delay;
        if !in_order {
            return at;
        }
        let last = self.last.entry((from, to, class)).or_default();
        *last = at.max(*last);
        *last
    }
}

/// Whether a class goes over the connection for accepts.
pub(crate) fn over_accepts(class: Class) -> bool {
    match class {
        Class::Control => false,
        Class::Accepts | Class::CatchUp => true,
    }
}

/// The same message, as its receiver reads it from its bytes.
pub(crate) fn through_the_codec(envelope: &Envelope) -> Envelope {
    let mut decoder = FrameDecoder::new(FrameLimits::REPLICA);
    for chunk in encode_envelope(envelope).expect("a replica sends what its peers take") {
        decoder.push(chunk);
    }
    let frame = decoder.next_frame().expect("a good frame");
    decode_envelope(frame.expect("a whole frame")).expect("a good envelope")
}
