//! Changes of histories, legal or not: the referee says which.

use paxlog_sim::history::{
    CursorAt, Expected, History, Kind, Observed, Operation, Outcome, Receipt, Reply, TailReply,
};

use super::unknown;
use crate::rng::Rng;

/// Changes something that was said, or when.
pub(super) fn mutate(history: &mut History, rng: &mut Rng) {
    let at = rng.below(history.operations.len() as u64) as usize;
    let up = rng.one_in(2);
    let shift = |number: &mut u64| {
        *number = match up {
            true => *number + 1,
            false => number.saturating_sub(1),
        }
    };
    let registers = history.operations.iter().any(of_register);
    let operation = &mut history.operations[at];
    match rng.below(if registers { 10 } else { 6 }) {
        0 => {
            let by = rng.below(100);
            operation.call += by;
            operation.ret = operation.ret.map(|ret| ret + by);
        }
        1 => {
            operation.call = operation.call.saturating_sub(rng.below(100));
            operation.ret = Some(operation.call + rng.below(5));
        }
        2 => {
            if let Some(version) = version(&mut operation.outcome) {
                shift(version);
            }
        }
        3 => match &mut operation.outcome {
            Outcome::Ok(Reply::Appended(receipt)) => {
                shift(&mut receipt.start);
                receipt.end = receipt.start + 1;
            }
            Outcome::Ok(Reply::Trimmed {
                trim_point, tail, ..
            }) => match rng.below(2) {
                0 => shift(trim_point),
                _ => shift(tail),
            },
            Outcome::Ok(Reply::Sealed { tail, .. } | Reply::FenceSet { tail, .. }) => shift(tail),
            Outcome::Ok(Reply::Tail(tail)) => match rng.below(3) {
                0 => shift(&mut tail.offset),
                1 => shift(&mut tail.trim_point),
                _ => tail.sealed = !tail.sealed,
            },
            Outcome::NotApplied {
                seen: Some(Observed { tail, .. }),
                ..
            } => tail.iter_mut().for_each(shift),
            _ => {}
        },
        4 => operation.outcome = Outcome::Unknown { code: None },
        5 => {
            let other = rng.below(history.operations.len() as u64) as usize;
            let same =
                |one: &Kind, two: &Kind| std::mem::discriminant(one) == std::mem::discriminant(two);
            if same(
                &history.operations[at].kind,
                &history.operations[other].kind,
            ) {
                let outcome = history.operations[at].outcome.clone();
                history.operations[at].outcome =
                    std::mem::replace(&mut history.operations[other].outcome, outcome);
            }
        }
        6 => shown(operation, rng),
        7 => asked(operation, rng),
        _ => turned(operation, rng),
    }
    // What was answered has returned.
    for operation in &mut history.operations {
        if !unknown(operation) {
            operation.ret.get_or_insert(operation.call + 20);
        }
    }
}

/// Whether fences and cursors are in the history.
fn of_register(operation: &Operation) -> bool {
    matches!(
        operation.kind,
        Kind::Fence { .. }
            | Kind::SetCursor { .. }
            | Kind::DeleteCursor { .. }
            | Kind::Cursor { .. }
    )
}

fn version(outcome: &mut Outcome) -> Option<&mut u64> {
    match outcome {
        Outcome::Ok(
            Reply::Appended(Receipt { version, .. })
            | Reply::Trimmed { version, .. }
            | Reply::Sealed { version, .. }
            | Reply::FenceSet { version, .. }
            | Reply::Changed { version, .. }
            | Reply::Cursor { version, .. }
            | Reply::Tail(TailReply { version, .. }),
        ) => version.as_mut(),
        Outcome::NotApplied {
            seen: Some(seen), ..
        } => seen.version.as_mut(),
        _ => None,
    }
}

fn token(rng: &mut Rng) -> Option<String> {
    rng.below(4)
        .checked_sub(1)
        .map(|number| format!("t{number}"))
}

fn cursor(rng: &mut Rng) -> CursorAt {
    rng.below(4).checked_sub(1).into()
}

/// A stale answer, or one from nowhere, of a fence or a cursor.
fn shown(operation: &mut Operation, rng: &mut Rng) {
    match &mut operation.outcome {
        Outcome::Ok(Reply::Cursor { at, .. }) => *at = cursor(rng),
        Outcome::Ok(Reply::Tail(tail)) => tail.fence = Some(token(rng).unwrap_or_default()),
        Outcome::NotApplied {
            seen: Some(seen), ..
        } if seen.cursor.is_some() => seen.cursor = Some(cursor(rng)),
        _ => {}
    }
}

/// Something else was asked, and answered alike: an append under a superseded token, a compare-and-set that should have
/// failed, a cursor beyond the end.
fn asked(operation: &mut Operation, rng: &mut Rng) {
    let expected = |rng: &mut Rng| match cursor(rng) {
        _ if rng.one_in(4) => Expected::Any,
        CursorAt::Absent => Expected::Absent,
        CursorAt::At(at) => Expected::Is(at),
    };
    match &mut operation.kind {
        Kind::Append { if_tail, fence, .. } => match rng.below(2) {
            0 => *fence = token(rng),
            _ => *if_tail = rng.below(5).checked_sub(1),
        },
        Kind::Fence { token: set, expect } => match rng.below(2) {
            0 => *set = token(rng),
            _ => {
                *expect = match token(rng) {
                    _ if rng.one_in(4) => Expected::Any,
                    None => Expected::Absent,
                    Some(token) => Expected::Is(token),
                }
            }
        },
        Kind::SetCursor { at, expect, .. } => match rng.below(2) {
            0 => *at = rng.below(5),
            _ => *expect = expected(rng),
        },
        _ => {}
    }
}

/// What was done is said to have been refused, or what was refused to have been done: a fence's refusal without a fence,
/// an append of which the log holds nothing.
fn turned(operation: &mut Operation, rng: &mut Rng) {
    let versioned = version(&mut operation.outcome).copied();
    let code = match &operation.kind {
        Kind::Append { .. } => *pick(rng, &["Fenced", "TailMismatch", "Sealed"]),
        Kind::Fence { .. } => "Fenced",
        Kind::SetCursor { .. } => *pick(rng, &["CursorMismatch", "OffsetOutOfRange"]),
        Kind::DeleteCursor { .. } => "NotFound",
        _ => return,
    };
    let next = versioned.map(|version| version + 1);
    operation.outcome = match (&operation.outcome, &operation.kind) {
        (Outcome::NotApplied { seen: Some(_), .. }, Kind::Fence { .. }) => {
            Outcome::Ok(Reply::FenceSet {
                tail: seen_tail(operation),
                version: next,
                duplicate: false,
            })
        }
        (
            Outcome::NotApplied { seen: Some(_), .. },
            Kind::SetCursor { .. } | Kind::DeleteCursor { .. },
        ) => Outcome::Ok(Reply::Changed {
            version: next,
            duplicate: false,
        }),
        (
            Outcome::NotApplied {
                seen: Some(seen), ..
            },
            Kind::Append { .. },
        ) => {
            let seen = Some(*seen);
            Outcome::NotApplied {
                code: code.into(),
                seen,
            }
        }
        (Outcome::Ok(_), _) => Outcome::NotApplied {
            code: code.into(),
            seen: Some(Observed {
                tail: Some(rng.below(4)),
                version: versioned.map(|version| version - rng.below(2).min(version)),
                sealed: Some(code == "Sealed"),
                cursor: (code == "CursorMismatch").then(|| cursor(rng)),
            }),
        },
        _ => return,
    };
}

fn seen_tail(operation: &Operation) -> u64 {
    match operation.outcome {
        Outcome::NotApplied {
            seen: Some(Observed {
                tail: Some(tail), ..
            }),
            ..
        } => tail,
        _ => 0,
    }
}

fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.below(of.len() as u64) as usize]
}
