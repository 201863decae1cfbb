//! What replies say of a log's state.

use super::chain::Chain;
use super::contents::given;
use super::subject::{NEVER, Subject, Who, answer};
use crate::history::{Consistency, Event, Kind, Nanos, Operation, Outcome, Reply};

/// What one reply says of the log's state: right after a command, or at some moment while it was observed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) who: Who,
    /// Whether it may show a state from long ago: then `call` is 0.
    pub(super) local: bool,
    pub(super) call: Nanos,
    pub(super) ret: Nanos,
    /// The state after this many commands.
    pub(super) version: Option<u64>,
    /// The state right after the command itself, which has that version.
    pub(super) command: bool,
    /// Of an acknowledged append: where its batch begins.
    pub(super) start: Option<u64>,
    /// It is the deletion of the log.
    pub(super) deletes: bool,
    /// Of a trim: what it asked for.
    pub(super) to: Option<u64>,
    pub(super) tail: Option<u64>,
    /// At least so far; for who was given records but no tail.
    pub(super) reached: Option<u64>,
    pub(super) trim_point: Option<u64>,
    pub(super) sealed: Option<bool>,
}

impl Point {
    /// The state from long ago, or any since, until `ret`.
    fn local(who: Who, ret: Nanos) -> Point {
        Point {
            local: true,
            ..Point::new(who, 0, ret)
        }
    }

    fn new(who: Who, call: Nanos, ret: Nanos) -> Point {
        Point {
            who,
            local: false,
            call,
            ret,
            version: None,
            command: false,
            start: None,
            deletes: false,
            to: None,
            tail: None,
            reached: None,
            trim_point: None,
            sealed: None,
        }
    }

    /// The rank among versions: commands at even places, what observed between them at odd ones.
    pub(super) fn rank(&self) -> Option<u64> {
        let twice = self.version?.saturating_mul(2);
        Some(match self.command {
            true => twice,
            false => twice.saturating_add(1),
        })
    }

    /// Whether it is the making of the log.
    pub(super) fn makes(&self) -> bool {
        self.command && self.tail == Some(0) && self.sealed == Some(false)
    }

    /// Whether its version can be: the making of the log has 1, and nothing else has it.
    pub(super) fn version_can_be(&self) -> bool {
        match self.version {
            Some(version) if self.makes() => version == 1,
            Some(version) if self.command => version > 1,
            version => version != Some(0),
        }
    }
}

/// Everything that says something of the state; acknowledged appends are in it.
pub(super) fn points(subject: &Subject<'_>, chain: &Chain) -> Vec<Point> {
    let settled = subject.settled;
    let mut points = vec![Point {
        version: settled.version,
        tail: Some(settled.tail),
        // That nothing is left of it is no trim.
        trim_point: Some(settled.trim_point).filter(|_| !subject.gone),
        sealed: settled.sealed,
        ..Point::new(Who::Settled, NEVER, NEVER)
    }];
    for append in chain.appends().iter().filter(|append| append.ret < NEVER) {
        points.push(Point {
            version: append.version,
            command: true,
            start: Some(append.batch.0),
            tail: Some(append.batch.1),
            sealed: Some(false),
            ..Point::new(Who::Op(append.op), append.call, append.ret)
        });
    }
    for (id, operation) in &subject.ops {
        observed(Who::Op(*id), operation, &mut points);
    }
    points
}

fn observed(who: Who, operation: &Operation, points: &mut Vec<Point>) {
    let Some((ret, reply)) = answer(operation) else {
        if let Outcome::NotApplied { code, seen } = &operation.outcome {
            let ret = operation.ret.unwrap_or(NEVER);
            // A seal is for good, so one that an appender heard of earlier holds still.
            let append = matches!(operation.kind, Kind::Append { .. });
            let sealed = append && code == "Sealed";
            match seen {
                Some(seen) => points.push(Point {
                    version: seen.version,
                    tail: seen.tail,
                    // Whether it is sealed is looked at before what it is conditioned on.
                    sealed: seen.sealed.or(match code.as_str() {
                        "Sealed" if append => Some(true),
                        "Fenced" | "TailMismatch" if append => Some(false),
                        _ => None,
                    }),
                    ..Point::new(who, operation.call, ret)
                }),
                None if sealed => points.push(Point {
                    sealed: Some(true),
                    ..Point::new(who, operation.call, ret)
                }),
                None => {}
            }
        }
        return;
    };
    let local = Point::local(who, ret);
    let asked = Point::new(who, operation.call, ret);
    let begin = |consistency: &Consistency| match consistency {
        Consistency::Linearizable => asked,
        Consistency::Local => local,
    };
    match (&operation.kind, reply) {
        (Kind::Append { .. }, Reply::Appended(receipt)) => {
            // The append itself stands in the chain; its tail was read when it was answered.
            if let Some(tail) = receipt.tail {
                points.push(Point {
                    tail: Some(tail),
                    ..local
                });
            }
        }
        (
            Kind::Trim { to },
            Reply::Trimmed {
                trim_point,
                tail,
                version,
                ..
            },
        ) => {
            points.push(Point {
                version: *version,
                command: true,
                to: Some(*to),
                tail: Some(*tail),
                trim_point: Some(*trim_point),
                ..asked
            });
        }
        (Kind::Seal, Reply::Sealed { tail, version, .. }) => points.push(Point {
            version: *version,
            command: true,
            tail: Some(*tail),
            sealed: Some(true),
            ..asked
        }),
        (Kind::Fence { .. }, Reply::FenceSet { tail, version, .. }) => points.push(Point {
            version: *version,
            command: true,
            tail: Some(*tail),
            ..asked
        }),
        (
            kind @ (Kind::SetCursor { .. } | Kind::DeleteCursor { .. } | Kind::Alter { .. }),
            Reply::Changed { version, .. },
        ) => {
            // A cursor stands at most at the tail: it may be much further.
            let reached = match kind {
                Kind::SetCursor { at, .. } => at.checked_sub(1),
                _ => None,
            };
            points.push(Point {
                version: *version,
                command: true,
                ..asked
            });
            points.extend(reached.map(|reached| Point {
                version: *version,
                reached: Some(reached),
                ..local
            }));
        }
        (Kind::Delete, Reply::Deleted { version, .. }) => points.push(Point {
            version: *version,
            command: true,
            deletes: true,
            ..asked
        }),
        (Kind::Cursor { consistency, .. }, Reply::Cursor { version, .. }) => points.push(Point {
            version: *version,
            ..begin(consistency)
        }),
        (Kind::Create { .. }, Reply::Created { version, existed }) => points.push(Point {
            version: *version,
            command: !existed,
            tail: (!existed).then_some(0),
            trim_point: (!existed).then_some(0),
            sealed: (!existed).then_some(false),
            ..asked
        }),
        (Kind::CheckTail { consistency, .. }, Reply::Tail(tail)) => points.push(Point {
            version: tail.version,
            tail: Some(tail.offset),
            trim_point: Some(tail.trim_point),
            sealed: Some(tail.sealed),
            ..begin(consistency)
        }),
        (Kind::Read { consistency, .. }, Reply::Read(read)) => {
            if read.tail.is_some() {
                points.push(Point {
                    tail: read.tail,
                    ..begin(consistency)
                });
            }
            points.extend(reached(operation, local));
        }
        (Kind::Tail { .. }, Reply::Event(event)) => match event {
            Event::Records(_) => points.extend(reached(operation, local)),
            Event::Gap { .. } => {}
            Event::CaughtUp { tail } => points.push(Point {
                tail: Some(*tail),
                ..local
            }),
            Event::Sealed { tail } => points.push(Point {
                tail: Some(*tail),
                sealed: Some(true),
                ..local
            }),
        },
        // An answer to another question: nothing is known from it.
        _ => {}
    }
}

/// Who was given a record saw its append.
fn reached(operation: &Operation, local: Point) -> Option<Point> {
    let last = given(operation).last()?;
    Some(Point {
        reached: Some(last.offset),
        ..local
    })
}
