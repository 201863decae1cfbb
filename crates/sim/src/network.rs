//! Links between replicas: two connections a pair, as in a server; what they carry, and how they break.

use std::collections::{BTreeMap, BTreeSet};

use paxlog_paxos::{Class, Envelope};
use paxlog_wal::sim::Rng;
use paxlog_wire::replica::{decode_envelope, encode_envelope};
use paxlog_wire::{FrameDecoder, FrameLimits};

use crate::plan::{MS, Over};
use crate::rng::stream;
use crate::trace::Trace;

/// What a cut holds back is sent again so often.
const RESENT: u64 = 20 * MS;

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
#[derive(Debug)]
pub(crate) struct Network {
    /// A stream of randomness a direction.
    rngs: BTreeMap<(usize, usize), Rng>,
    links: BTreeMap<LinkId, Link>,
    /// Directions that carry nothing.
    cut: BTreeSet<(usize, usize)>,
    /// When what a cut holds back is sent again, by stream.
    resent: BTreeMap<(usize, usize, Class), u64>,
    /// Directions that hold back what they carry, and until when.
    clogged: BTreeMap<(usize, usize, bool), u64>,
    /// How much longer messages of a replica take.
    slow: BTreeMap<usize, u64>,
    /// Directions that lose and repeat nothing any more.
    well: BTreeSet<(usize, usize)>,
    /// When the last message of a stream arrives.
    last: BTreeMap<(usize, usize, Class), u64>,
}

impl Network {
    pub(crate) fn new(seed: u64, replicas: usize) -> Network {
        let pairs = (0..replicas).flat_map(|a| (0..replicas).map(move |b| (a, b)));
        let rng = |(a, b)| ((a, b), stream(seed, "link", (a as u64) << 8 | b as u64));
        Network {
            rngs: pairs.map(rng).collect(),
            links: BTreeMap::new(),
            cut: BTreeSet::new(),
            resent: BTreeMap::new(),
            clogged: BTreeMap::new(),
            slow: BTreeMap::new(),
            well: BTreeSet::new(),
            last: BTreeMap::new(),
        }
    }

    pub(crate) fn rng(&mut self, from: usize, to: usize) -> &mut Rng {
        let rng = self.rngs.get_mut(&(from, to));
        rng.expect("every two replicas of the run")
    }

    pub(crate) fn is_well(&self, from: usize, to: usize) -> bool {
        self.well.contains(&(from, to))
    }

    /// These directions work from now on.
    pub(crate) fn become_well(&mut self, directions: &BTreeSet<(usize, usize)>) {
        self.uncut(directions);
        self.clogged
            .retain(|&(a, b, _), _| !directions.contains(&(a, b)));
        let senders: BTreeSet<usize> = directions.iter().map(|&(from, _)| from).collect();
        self.slow.retain(|from, _| !senders.contains(from));
        self.well.extend(directions);
    }

    pub(crate) fn link(&mut self, a: usize, b: usize, accepts: bool) -> (LinkId, &mut Link) {
        let id = (a.min(b), a.max(b), accepts);
        (id, self.links.entry(id).or_default())
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains(&(from, to))
    }

    /// A connection needs both directions.
    pub(crate) fn is_cut_either_way(&self, a: usize, b: usize) -> bool {
        self.is_cut(a, b) || self.is_cut(b, a)
    }

    /// Whether a message of an orderly stream that arrives now has to wait: the direction is cut, or what came before
    /// it on its stream waits. Then until when.
    pub(crate) fn resend(
        &mut self,
        now: u64,
        (from, to, class): (usize, usize, Class),
    ) -> Option<u64> {
        let again = self.resent.entry((from, to, class)).or_default();
        if *again <= now && self.cut.contains(&(from, to)) {
            *again = now + RESENT;
        }
        (*again > now).then_some(*again)
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        if from != to {
            self.cut.insert((from, to));
        }
    }

    pub(crate) fn uncut(&mut self, of: &BTreeSet<(usize, usize)>) {
        self.cut.retain(|direction| !of.contains(direction));
    }

    /// Connections with something on its way that takes longer than until then; it is forgotten.
    pub(crate) fn stuck(&mut self, until: u64) -> BTreeSet<LinkId> {
        let mut stuck = BTreeSet::new();
        let well = &self.well;
        self.last.retain(|&(a, b, class), &mut at| {
            let late = at > until && well.contains(&(a, b));
            if late {
                stuck.insert((a.min(b), a.max(b), over_accepts(class)));
            }
            !late
        });
        stuck
    }

    pub(crate) fn heal(&mut self) {
        let all: BTreeSet<(usize, usize)> = self.rngs.keys().copied().collect();
        self.become_well(&all);
    }

    pub(crate) fn cuts(&self) -> BTreeSet<(usize, usize)> {
        self.cut.clone()
    }

    pub(crate) fn clog(&mut self, from: usize, to: usize, over: Option<Over>, until: u64) {
        for one in [Over::Control, Over::Accepts] {
            if over.is_none_or(|over| over == one) {
                self.clogged.insert((from, to, one == Over::Accepts), until);
            }
        }
    }

    pub(crate) fn slow(&mut self, from: usize, extra: u64) {
        self.slow.insert(from, extra);
    }

    /// When something sent now arrives that takes `delay` and keeps the order of its stream, if it does.
    pub(crate) fn arrival(
        &mut self,
        now: u64,
        delay: u64,
        (from, to, class): (usize, usize, Class),
        in_order: bool,
    ) -> u64 {
        let clogged = self.clogged.get(&(from, to, over_accepts(class)));
        let slow = self.slow.get(&from).copied().unwrap_or(0);
        let at = now.max(clogged.copied().unwrap_or(0)) + delay + slow;
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
pub(crate) fn through_the_codec(envelope: &Envelope, trace: &mut Trace) -> Envelope {
    let mut decoder = FrameDecoder::new(FrameLimits::REPLICA);
    let chunks = encode_envelope(envelope).expect("a replica sends what its peers take");
    trace.mix_bytes(&chunks);
    for chunk in chunks {
        decoder.push(chunk);
    }
    let frame = decoder.next_frame().expect("a good frame");
    decode_envelope(frame.expect("a whole frame")).expect("a good envelope")
}
