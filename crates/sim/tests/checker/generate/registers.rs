//! Fences, what appends are conditioned on, and cursors.

use paxlog_sim::history::{Call, Consistency, CursorAt, Expected, Kind, Observed, Outcome, Reply};

use super::{LOG, State, World};

/// Few, so that one is set again, and that two are mistaken for each other.
const TOKENS: u64 = 3;

/// A token by its number.
pub(super) fn token(number: u64) -> String {
    format!("t{number}")
}

fn cursor(number: usize) -> String {
    format!("c{number}")
}

fn is(at: Option<u64>) -> CursorAt {
    at.into()
}

/// Whether what was expected is what there is.
fn holds<T: PartialEq>(expect: &Expected<T>, is: Option<&T>) -> bool {
    match expect {
        Expected::Any => true,
        Expected::Absent => is.is_none(),
        Expected::Is(value) => is == Some(value),
    }
}

impl World {
    pub(super) fn register(&mut self) {
        match self.rng.below(8) {
            0..=1 => self.fence(),
            2..=4 => self.set_cursor(),
            5 => self.delete_cursor(),
            _ => {
                let (call, reply) = self.cursor_of(self.state(), Consistency::Linearizable);
                self.op(call, Some(reply));
            }
        }
    }

    /// The append on conditions, which often hold; and the code with which the log refuses it.
    pub(super) fn conditions(&mut self, call: Call) -> (Call, Option<&'static str>) {
        let state = self.state();
        let sealed = state.sealed.then_some("Sealed");
        if !self.mix.registers {
            return (call, sealed);
        }
        let carried = match self.rng.one_in(4) {
            true => self.any_token(),
            false => state.fence,
        };
        let if_tail = match self.rng.below(6) {
            0 => Some(state.tail),
            1 => Some(self.rng.below(state.tail + 2)),
            _ => None,
        };
        let fenced = (carried != state.fence).then_some("Fenced");
        let elsewhere = if_tail.filter(|tail| *tail != state.tail);
        let refusal = sealed.or(fenced).or(elsewhere.map(|_| "TailMismatch"));
        (call.on(if_tail, carried.map(token)), refusal)
    }

    fn any_token(&mut self) -> Option<u64> {
        self.rng.below(TOKENS + 1).checked_sub(1)
    }

    fn expected<T>(&mut self, is: Option<T>, other: T) -> Expected<T> {
        match (self.rng.below(5), is) {
            (0..=1, _) => Expected::Any,
            (2, _) => Expected::Is(other),
            (3, None) | (4, Some(_)) if self.rng.one_in(3) => Expected::Absent,
            (_, Some(value)) => Expected::Is(value),
            (_, None) => Expected::Absent,
        }
    }

    fn fence(&mut self) {
        let mut state = self.state();
        let (token_set, other) = (self.any_token(), self.rng.below(TOKENS));
        let is = state.fence.map(token);
        let expect = self.expected(is.clone(), token(other));
        let done = holds(&expect, is.as_ref());
        let kind = Kind::Fence {
            token: token_set.map(token),
            expect,
        };
        state.fence = token_set;
        let tail = state.tail;
        self.change(kind, state, done.then_some(()).ok_or("Fenced"), |version| {
            Reply::FenceSet {
                tail,
                version,
                duplicate: false,
            }
        });
    }

    fn set_cursor(&mut self) {
        let mut state = self.state();
        let which = self.rng.below(2) as usize;
        let is = state.cursors[which];
        let (at, other) = (
            self.rng.below(state.tail + 2),
            self.rng.below(state.tail + 1),
        );
        let expect = self.expected(is, other);
        let done = match (holds(&expect, is.as_ref()), at > state.tail) {
            (false, _) => Err("CursorMismatch"),
            (true, true) => Err("OffsetOutOfRange"),
            (true, false) => Ok(()),
        };
        let kind = Kind::SetCursor {
            name: cursor(which),
            at,
            expect,
        };
        state.cursors[which] = Some(at);
        self.change(kind, state, done, changed);
    }

    fn delete_cursor(&mut self) {
        let mut state = self.state();
        let which = self.rng.below(2) as usize;
        let done = state.cursors[which].map(|_| ()).ok_or("NotFound");
        let kind = Kind::DeleteCursor {
            name: cursor(which),
        };
        state.cursors[which] = None;
        self.change(kind, state, done, changed);
    }

    /// A command that changes a register; `after` is the state with its effect.
    fn change(
        &mut self,
        kind: Kind,
        mut after: State,
        done: Result<(), &'static str>,
        reply: impl FnOnce(Option<u64>) -> Reply,
    ) {
        let unknown = self.unknown();
        // It never got there.
        if unknown && self.rng.one_in(2) {
            self.op(Call::new(LOG, kind), None);
            return;
        }
        let outcome = match done {
            Ok(()) => {
                after.version += 1;
                self.states.push(after);
                Outcome::Ok(reply(self.version()))
            }
            Err(code) => {
                let found = match (&kind, code) {
                    (Kind::SetCursor { name, .. }, "CursorMismatch") => {
                        let which = usize::from(*name == cursor(1));
                        Some(is(self.state().cursors[which]))
                    }
                    _ => None,
                };
                Outcome::NotApplied {
                    code: code.into(),
                    seen: Some(Observed {
                        cursor: found,
                        ..self.seen()
                    }),
                }
            }
        };
        self.op(Call::new(LOG, kind), Some(outcome).filter(|_| !unknown));
    }

    /// Asks where a cursor stood in that state.
    pub(super) fn cursor_of(&mut self, state: State, consistency: Consistency) -> (Call, Outcome) {
        let which = self.rng.below(2) as usize;
        let kind = Kind::Cursor {
            name: cursor(which),
            consistency,
        };
        let reply = Reply::Cursor {
            at: is(state.cursors[which]),
            version: self.mix.versions.then_some(state.version),
        };
        (Call::new(LOG, kind), Outcome::Ok(reply))
    }
}

fn changed(version: Option<u64>) -> Reply {
    Reply::Changed {
        version,
        duplicate: false,
    }
}
