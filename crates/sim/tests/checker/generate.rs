//! Legal histories: a log that does one thing after the other, seen by clients whose calls overlap.

mod registers;

use paxlog_sim::history::{
    Call, ClientId, Consistency, Event, History, Observed, OpId, Outcome, ReadReply, Receipt,
    Recorder, Reply, SessionId, Settled, Stored, TailReply,
};

use crate::rng::Rng;

pub(crate) const LOG: &str = "log";

/// What may happen.
#[derive(Clone, Copy)]
pub(crate) struct Mix {
    pub(crate) ops: u64,
    /// Calls begin and end up to this much around the moment at which they take effect; moments are 10 apart.
    pub(crate) spread: u64,
    /// One command in so many is of unknown outcome; 0: none.
    pub(crate) unknown: u64,
    pub(crate) readers: bool,
    pub(crate) trims: bool,
    pub(crate) seals: bool,
    /// Fences, conditions on appends, and cursors.
    pub(crate) registers: bool,
    pub(crate) versions: bool,
    pub(crate) records_max: u64,
}

/// The log after some commands.
#[derive(Clone, Copy)]
struct State {
    tail: u64,
    trim_point: u64,
    sealed: bool,
    version: u64,
    timestamp: u64,
    /// Which token appends must carry.
    fence: Option<u64>,
    /// Where cursors stand, by their numbers.
    cursors: [Option<u64>; 2],
}

/// A reader of one replica, which applies at its own pace.
#[derive(Clone, Copy, Default)]
struct Follower {
    state: usize,
    position: u64,
}

struct World {
    rng: Rng,
    mix: Mix,
    recorder: Recorder,
    states: Vec<State>,
    content: Vec<Stored>,
    followers: [Follower; 3],
    payloads: u64,
    now: u64,
}

/// A legal history, in which at least one append is acknowledged.
pub(crate) fn legal(seed: u64, mix: Mix) -> History {
    let mut world = World {
        rng: Rng::new(seed),
        mix,
        recorder: Recorder::new(),
        states: vec![State {
            tail: 0,
            trim_point: 0,
            sealed: false,
            version: 1,
            timestamp: 0,
            fence: None,
            cursors: [None; 2],
        }],
        content: Vec::new(),
        followers: Default::default(),
        payloads: 0,
        now: 1_000,
    };
    (world.mix.unknown, world.mix.readers, world.mix.registers) = (0, false, false);
    world.append();
    world.mix = mix;
    for _ in 1..mix.ops {
        world.step();
    }
    world.settle();
    let mut history = world.recorder.finish();
    // As a recorder would have it: in the order of the calls. Events of one tail keep theirs.
    history.operations.sort_by_key(|operation| operation.call);
    history
}

impl World {
    fn state(&self) -> State {
        *self.states.last().expect("there is a first")
    }

    fn step(&mut self) {
        self.now += 10;
        if self.mix.registers && self.rng.one_in(2) {
            return self.register();
        }
        match self.rng.below(12) {
            0 | 1 => self.check_tail(),
            2 if self.mix.trims => self.trim(),
            3 if self.mix.seals && self.rng.one_in(4) => self.seal(),
            4 | 5 if self.mix.readers => self.local_read(),
            6 | 7 if self.mix.readers => self.tail_event(),
            8 if self.mix.readers => self.read(),
            _ => self.append(),
        }
    }

    /// The command that was begun takes effect now, or not; and its caller learns it, or not.
    fn op(&mut self, call: Call, outcome: Option<Outcome>) -> OpId {
        let (begin, end) = self.around();
        let id = self
            .recorder
            .begin(begin, ClientId(self.rng.below(5)), call);
        match outcome {
            Some(outcome) => self.recorder.end(end, id, outcome),
            // Some are told that it is unknown, some never hear.
            None if self.rng.one_in(2) => {
                self.recorder.end(end, id, Outcome::Unknown { code: None });
            }
            None => {}
        }
        id
    }

    fn around(&mut self) -> (u64, u64) {
        let spread = self.mix.spread + 1;
        (
            self.now - self.rng.below(spread),
            self.now + self.rng.below(spread),
        )
    }

    fn unknown(&mut self) -> bool {
        self.mix.unknown > 0 && self.rng.one_in(self.mix.unknown)
    }

    fn version(&self) -> Option<u64> {
        self.mix.versions.then_some(self.state().version)
    }

    fn seen(&self) -> Observed {
        Observed {
            tail: Some(self.state().tail),
            version: self.version(),
            sealed: Some(self.state().sealed),
            cursor: None,
        }
    }

    fn refused(&self, code: &str) -> Option<Outcome> {
        Some(Outcome::NotApplied {
            code: code.into(),
            seen: Some(self.seen()),
        })
    }

    fn append(&mut self) {
        let count = 1 + self.rng.below(self.mix.records_max);
        let payloads: Vec<String> = (0..count)
            .map(|n| format!("p{}", self.payloads + n))
            .collect();
        self.payloads += count;
        let call = Call::append(LOG, payloads.clone());
        if self.unknown() && self.rng.one_in(2) {
            // It never got there.
            self.op(call, None);
            return;
        }
        let (call, refusal) = self.conditions(call);
        if let Some(code) = refusal {
            let refused = self.refused(code);
            self.op(call, refused);
            return;
        }
        if self.mix.readers && self.rng.one_in(9) {
            let outcome = Outcome::NotApplied {
                code: "Overloaded".into(),
                seen: None,
            };
            self.op(call, Some(outcome));
            return;
        }
        let mut state = self.state();
        let start = state.tail;
        state.timestamp += self.rng.below(3);
        state.tail += count;
        state.version += 1;
        self.states.push(state);
        self.content.extend(
            (start..)
                .zip(payloads)
                .map(|(offset, payload)| Stored::new(offset, payload, Some(state.timestamp))),
        );
        let receipt = Receipt {
            timestamp: Some(state.timestamp),
            version: self.version(),
            ..Receipt::at(start..state.tail)
        };
        if self.unknown() {
            self.op(call, None);
            return;
        }
        let id = self.op(call, Some(Outcome::Ok(Reply::Appended(receipt))));
        if self.rng.one_in(5) {
            let again = Receipt {
                duplicate: true,
                ..receipt
            };
            let end = self.now + 500;
            self.recorder
                .end(end, id, Outcome::Ok(Reply::Appended(again)));
        }
    }

    fn trim(&mut self) {
        let mut state = self.state();
        let to = self.rng.below(state.tail + 2);
        let call = Call::trim(LOG, to);
        let unknown = self.unknown();
        if unknown && self.rng.one_in(2) {
            self.op(call, None);
            return;
        }
        if to > state.tail {
            let refused = self.refused("OffsetOutOfRange").filter(|_| !unknown);
            self.op(call, refused);
            return;
        }
        state.trim_point = state.trim_point.max(to);
        state.version += 1;
        self.states.push(state);
        let reply = Reply::Trimmed {
            trim_point: state.trim_point,
            tail: state.tail,
            version: self.version(),
            duplicate: false,
        };
        self.op(call, (!unknown).then_some(Outcome::Ok(reply)));
    }

    fn seal(&mut self) {
        let mut state = self.state();
        let unknown = self.unknown();
        state.sealed = true;
        state.version += 1;
        self.states.push(state);
        let reply = Reply::Sealed {
            tail: state.tail,
            version: self.version(),
            duplicate: false,
        };
        self.op(Call::seal(LOG), (!unknown).then_some(Outcome::Ok(reply)));
    }

    fn tail_reply(&self, state: State) -> Outcome {
        Outcome::Ok(Reply::Tail(TailReply {
            offset: state.tail,
            timestamp: Some(state.timestamp).filter(|_| state.tail > 0),
            trim_point: state.trim_point,
            sealed: state.sealed,
            version: self.mix.versions.then_some(state.version),
            fence: self
                .mix
                .registers
                .then(|| state.fence.map(registers::token).unwrap_or_default()),
        }))
    }

    fn check_tail(&mut self) {
        let reply = self.tail_reply(self.state());
        self.op(
            Call::check_tail(LOG, Consistency::Linearizable),
            Some(reply),
        );
    }

    /// A linearizable read of everything that is kept.
    fn read(&mut self) {
        let state = self.state();
        let reply = self.piece(state.trim_point, state);
        let call = Call::read(LOG, Consistency::Linearizable, true).reading_from(state.trim_point);
        self.op(call, Some(reply));
    }

    fn piece(&self, from: u64, state: State) -> Outcome {
        let begin = from.max(state.trim_point).min(state.tail);
        let gap = (begin > from).then_some(paxlog_sim::history::Gap { from, to: begin });
        Outcome::Ok(Reply::Read(ReadReply {
            records: self.content[begin as usize..state.tail as usize].to_vec(),
            gaps: gap.into_iter().collect(),
            next: Some(state.tail),
            tail: Some(state.tail),
            error: None,
        }))
    }

    /// A follower applies some more, and is asked.
    fn local_read(&mut self) {
        let who = self.rng.below(3) as usize;
        let state = self.advance(who);
        let session = SessionId(who as u64);
        let (call, reply) = match self.rng.below(if self.mix.registers { 3 } else { 2 }) {
            0 => (
                Call::check_tail(LOG, Consistency::Local),
                self.tail_reply(state),
            ),
            2 => self.cursor_of(state, Consistency::Local),
            _ => {
                let from = self.rng.below(state.tail + 1);
                (
                    Call::read(LOG, Consistency::Local, false).reading_from(from),
                    self.piece(from, state),
                )
            }
        };
        // One after the other: what overlaps may see either state.
        let id = self
            .recorder
            .begin(self.now, ClientId(9), call.in_session(session, 0));
        self.recorder.end(self.now, id, reply);
    }

    fn advance(&mut self, who: usize) -> State {
        let behind = self.states.len() - 1 - self.followers[who].state;
        self.followers[who].state += self.rng.below(behind as u64 + 1) as usize;
        self.states[self.followers[who].state]
    }

    fn tail_event(&mut self) {
        let who = self.rng.below(3) as usize;
        let state = self.advance(who);
        let position = self.followers[who].position;
        let event = if position < state.trim_point {
            Event::Gap {
                to: state.trim_point,
            }
        } else if position < state.tail {
            Event::Records(self.content[position as usize..state.tail as usize].to_vec())
        } else if state.sealed {
            Event::Sealed { tail: state.tail }
        } else {
            Event::CaughtUp { tail: state.tail }
        };
        self.followers[who].position = state.tail.max(position);
        if let Event::Gap { to } = event {
            self.followers[who].position = to;
        }
        self.recorder.event(
            self.now,
            ClientId(9),
            LOG,
            SessionId(10 + who as u64),
            event,
        );
    }

    fn settle(&mut self) {
        let state = self.state();
        let kept = state.trim_point as usize;
        let mut settled = Settled {
            trim_point: state.trim_point,
            tail: state.tail,
            version: self.version(),
            sealed: Some(state.sealed),
            kept: self.content[..kept].to_vec(),
            ..Settled::whole(LOG, self.content[kept..].to_vec())
        };
        settled.add_replica(1, settled.records.clone());
        settled.replicas[0].records = Some(settled.records.clone());
        self.recorder.settle(settled);
    }
}
