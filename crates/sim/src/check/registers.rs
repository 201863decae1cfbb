//! Fences and cursors: registers whose changes have versions.
//!
//! What is known of one is gone through by version. A command whose outcome is unknown may have come in anywhere after it
//! was called, once: what is shown is wrong only if neither the command before nor any of those can explain it.

use std::collections::BTreeMap;

use super::findings::Findings;
use super::subject::{NEVER, Subject, Who, answer, is_unknown, receipt};
use super::violation::Violation;
use super::work::Work;
use crate::history::{CursorAt, Expected, Kind, Nanos, Operation, Outcome, Reply};

/// A register of the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Register {
    Fence,
    Cursor(String),
}

/// What it holds: a token, or an offset in digits; none: it is not set.
type Value = Option<String>;

/// What is known at some rank.
#[derive(Clone, Debug)]
enum Known {
    /// It held this.
    Is(Value),
    /// It held something else.
    IsNot(Value),
    /// It was set to this.
    Set(Value),
}

struct Event {
    rank: u64,
    ret: Nanos,
    who: Who,
    known: Known,
}

/// A command that may have been applied.
struct Perhaps {
    value: Value,
    call: Nanos,
    who: Who,
    used: bool,
}

#[derive(Default)]
struct Told {
    events: Vec<Event>,
    perhaps: Vec<Perhaps>,
}

/// Holds what is told of each register against what can have been set. Without versions nothing is judged.
pub(super) fn judge(subject: &Subject<'_>, findings: &mut Findings<'_>, work: &Work) {
    if !subject.history.complete {
        // Others may have set them, too.
        return;
    }
    let mut registers: BTreeMap<Register, Told> = BTreeMap::new();
    for (id, operation) in &subject.ops {
        work.step();
        tell(Who::Op(*id), operation, &mut registers);
    }
    for (register, mut told) in registers {
        work.sort_by_key(&mut told.events, |event| event.rank);
        walk(&register, told, findings, work);
    }
}

fn tell(who: Who, operation: &Operation, registers: &mut BTreeMap<Register, Told>) {
    let ret = answer(operation)
        .map(|(ret, _)| ret)
        .or(operation.ret)
        .unwrap_or(NEVER);
    let mut add = |register: Register, rank: u64, known: Known| {
        let told = registers.entry(register).or_default();
        told.events.push(Event {
            rank,
            ret,
            who,
            known,
        });
    };
    // Right before the command of that version, by it, and right after it.
    let before = |version: u64| version.saturating_mul(3).saturating_sub(1);
    let by = |version: u64| version.saturating_mul(3);
    let after = |version: u64| version.saturating_mul(3).saturating_add(1);
    let seen = match &operation.outcome {
        Outcome::NotApplied {
            code,
            seen: Some(seen),
        } => seen.version.map(|version| (code.as_str(), version, seen)),
        _ => None,
    };
    let change = change(&operation.kind);
    if let Some((register, value, expected)) = change {
        let version = answer(operation).and_then(|(_, reply)| version(reply));
        match (version, seen) {
            (Some(version), _) => {
                if let Some(expected) = expected {
                    add(register.clone(), before(version), Known::Is(expected));
                }
                add(register, by(version), Known::Set(value));
            }
            (None, Some((code, version, seen))) => match (code, expected, seen.cursor) {
                ("CursorMismatch", _, Some(at)) => {
                    add(register, after(version), Known::Is(of_cursor(at)))
                }
                ("Fenced" | "CursorMismatch", Some(expected), _) => {
                    add(register, after(version), Known::IsNot(expected))
                }
                _ => {}
            },
            (None, None) if is_unknown(operation) => {
                let told = registers.entry(register).or_default();
                told.perhaps.push(Perhaps {
                    value,
                    call: operation.call,
                    who,
                    used: false,
                });
            }
            (None, None) => {}
        }
        return;
    }
    match &operation.kind {
        Kind::Append { fence, .. } => {
            let applied = receipt(operation).and_then(|(_, receipt)| receipt.version);
            match (applied, seen) {
                (Some(version), _) => {
                    add(Register::Fence, before(version), Known::Is(fence.clone()))
                }
                (None, Some(("Fenced", version, _))) => {
                    add(Register::Fence, after(version), Known::IsNot(fence.clone()))
                }
                _ => {}
            }
        }
        Kind::CheckTail { .. } => {
            if let Some((_, Reply::Tail(tail))) = answer(operation)
                && let (Some(version), Some(fence)) = (tail.version, &tail.fence)
            {
                let fence = Some(fence.clone()).filter(|fence| !fence.is_empty());
                add(Register::Fence, after(version), Known::Is(fence));
            }
        }
        Kind::Cursor { name, .. } => {
            if let Some((_, Reply::Cursor { at, version })) = answer(operation)
                && let Some(version) = version
            {
                let register = Register::Cursor(name.clone());
                add(register, after(*version), Known::Is(of_cursor(*at)));
            }
        }
        _ => {}
    }
}

/// The register that a command changes, to what, and what it must hold before.
fn change(kind: &Kind) -> Option<(Register, Value, Option<Value>)> {
    match kind {
        Kind::Fence { token, expect } => Some((
            Register::Fence,
            token.clone(),
            of_expected(expect, String::clone),
        )),
        Kind::SetCursor { name, at, expect } => Some((
            Register::Cursor(name.clone()),
            Some(at.to_string()),
            of_expected(expect, u64::to_string),
        )),
        Kind::DeleteCursor { name } => Some((Register::Cursor(name.clone()), None, None)),
        _ => None,
    }
}

fn of_expected<T>(expect: &Expected<T>, text: impl FnOnce(&T) -> String) -> Option<Value> {
    match expect {
        Expected::Any => None,
        Expected::Absent => Some(None),
        Expected::Is(value) => Some(Some(text(value))),
    }
}

fn of_cursor(at: CursorAt) -> Value {
    match at {
        CursorAt::Absent => None,
        CursorAt::At(at) => Some(at.to_string()),
    }
}

fn version(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::FenceSet { version, .. } | Reply::Changed { version, .. } => *version,
        _ => None,
    }
}

fn walk(register: &Register, mut told: Told, findings: &mut Findings<'_>, work: &Work) {
    told.perhaps.sort_by_key(|perhaps| perhaps.call);
    // What it holds for sure, and who says so. At first nothing is set.
    let mut holds: Option<(Value, Who)> = Some((None, Who::Settled));
    for event in told.events {
        work.step();
        let Some((value, by)) = &holds else {
            // Somebody may have changed it meanwhile: it is known again when it is shown or set.
            if let Known::Is(value) | Known::Set(value) = event.known {
                holds = Some((value, event.who));
            }
            continue;
        };
        match event.known {
            Known::Set(value) => holds = Some((value, event.who)),
            Known::Is(shown) if shown == *value => {}
            Known::Is(shown) => {
                let explains = told.perhaps.iter_mut().find(|perhaps| {
                    !perhaps.used && perhaps.value == shown && perhaps.call <= event.ret
                });
                match explains {
                    Some(perhaps) => {
                        perhaps.used = true;
                        holds = Some((shown, perhaps.who));
                    }
                    None => {
                        findings.add(violation(findings, register, &shown, *by, event.who));
                        holds = Some((shown, event.who));
                    }
                }
            }
            Known::IsNot(other) if other != *value => {}
            Known::IsNot(other) => {
                let changed = told.perhaps.iter().any(|perhaps| {
                    !perhaps.used && perhaps.value != other && perhaps.call <= event.ret
                });
                if !changed {
                    findings.add(violation(findings, register, &other, *by, event.who));
                }
                holds = None;
            }
        }
    }
}

fn violation(
    findings: &Findings<'_>,
    register: &Register,
    value: &Value,
    one: Who,
    two: Who,
) -> Violation {
    let name = match register {
        Register::Fence => "the fence".to_owned(),
        Register::Cursor(name) => format!("the cursor {name}"),
    };
    let value = value.as_deref().unwrap_or("none");
    Violation::Register {
        log: findings.log(),
        what: format!("{name} as {value}"),
        one: findings.witness(one),
        two: findings.witness(two),
    }
}
