//! Fences and cursors: registers whose changes have versions.
//!
//! What is known of one is gone through by version. A command whose outcome is unknown may have come in anywhere after it
//! was called, once: what is shown is wrong only if neither the command before nor any of those can explain it. Those that
//! must have come in, and when, are told to `slots`, which finds them a version; so is in which versions an append of
//! unknown outcome can have been applied under the fence that it carried.
//!
//! Weaker than trying all orders, by design, where outcomes are unknown: a command that nobody need have seen may take
//! any version that is left, also one in which what it expected did not hold or its effect would have shown; several that
//! set a register alike are not told apart. What is reported is true, and where all outcomes are known all is found.

mod timeline;

use std::collections::BTreeMap;

use super::chain::Chain;
use super::findings::Findings;
use super::subject::{NEVER, Subject, Who, answer, is_unknown, receipt};
use super::violation::Violation;
use super::work::Work;
use crate::history::{CursorAt, Expected, Kind, OpId, Operation, Outcome, Reply};
use timeline::{Event, Known, Perhaps, Timeline};

/// A register of the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Register {
    Fence,
    Cursor(String),
}

/// What it holds: a token, or an offset in digits; none: it is not set.
type Value = Option<String>;

/// What must have been applied in which versions, the first and the last of them, though its caller does not know of it.
#[derive(Debug, Default)]
pub(super) struct Dues {
    /// Commands that changed what a register was seen to hold.
    pub(super) commands: BTreeMap<OpId, (u64, u64)>,
    /// Appends, by the fence that they carried.
    pub(super) appends: BTreeMap<OpId, (u64, u64)>,
}

/// Holds what is told of each register against what can have been set. Without versions nothing is judged.
pub(super) fn judge(
    subject: &Subject<'_>,
    chain: &Chain,
    findings: &mut Findings<'_>,
    work: &Work,
) -> Dues {
    let mut dues = Dues::default();
    if !subject.history.complete {
        // Others may have set them, too.
        return dues;
    }
    let mut registers: BTreeMap<Register, Timeline> = BTreeMap::new();
    for (id, operation) in &subject.ops {
        work.step();
        tell(*id, operation, &mut registers);
    }
    for (register, mut timeline) in registers {
        timeline.walk(&mut dues, work, |value, one, two| {
            findings.add(violation(findings, &register, value, one, two));
        });
        if register == Register::Fence {
            carried(subject, chain, &timeline, &mut dues, findings, work);
        }
    }
    dues
}

/// Appends whose callers do not know that they happened carried a fence that stood.
fn carried(
    subject: &Subject<'_>,
    chain: &Chain,
    timeline: &Timeline,
    dues: &mut Dues,
    findings: &mut Findings<'_>,
    work: &Work,
) {
    for append in chain.appends() {
        work.step();
        let operation = subject.history.get(append.op);
        let (None, Some(Kind::Append { fence, .. })) =
            (append.version, operation.map(|operation| &operation.kind))
        else {
            continue;
        };
        match timeline.under(fence) {
            Some(Some(versions)) => {
                dues.appends.insert(append.op, versions);
            }
            Some(None) => {}
            None => {
                let who = Who::Op(append.op);
                findings.add(violation(findings, &Register::Fence, fence, who, who));
            }
        }
    }
}

fn tell(id: OpId, operation: &Operation, registers: &mut BTreeMap<Register, Timeline>) {
    let ret = answer(operation)
        .map(|(ret, _)| ret)
        .or(operation.ret)
        .unwrap_or(NEVER);
    let mut add = |register: Register, rank: u64, known: Known| {
        registers.entry(register).or_default().tell(Event {
            rank,
            ret,
            who: Who::Op(id),
            known,
        });
    };
    let (before, by, after) = (timeline::before, timeline::by, timeline::after);
    let seen = match &operation.outcome {
        Outcome::NotApplied {
            code,
            seen: Some(seen),
        } if answer(operation).is_none() => {
            seen.version.map(|version| (code.as_str(), version, seen))
        }
        _ => None,
    };
    if let Some(Change {
        register,
        value,
        expected,
        deletes,
    }) = change(&operation.kind)
    {
        let version = answer(operation).and_then(|(_, reply)| version(reply));
        match (version, seen) {
            (Some(version), _) => {
                if let Some(expected) = expected {
                    add(register.clone(), before(version), Known::Is(expected));
                }
                if deletes {
                    add(register.clone(), before(version), Known::IsNot(None));
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
                // It is compared before the tail is looked at.
                ("OffsetOutOfRange", Some(expected), _) => {
                    add(register, after(version), Known::Is(expected))
                }
                ("NotFound", _, _) if deletes => add(register, after(version), Known::Is(None)),
                _ => {}
            },
            // Also one that was done, nobody knows as which.
            (None, None) if is_unknown(operation) || answer(operation).is_some() => {
                registers.entry(register).or_default().may_be(Perhaps {
                    value,
                    expected,
                    call: operation.call,
                    op: id,
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
                // It leaves the fence as it was.
                (Some(version), _) => {
                    add(Register::Fence, before(version), Known::Is(fence.clone()));
                    add(Register::Fence, by(version), Known::Is(fence.clone()));
                }
                (None, Some(("Fenced", version, _))) => {
                    add(Register::Fence, after(version), Known::IsNot(fence.clone()))
                }
                // The fence is looked at before the tail.
                (None, Some(("TailMismatch", version, _))) => {
                    add(Register::Fence, after(version), Known::Is(fence.clone()))
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

/// A command that changes a register.
struct Change {
    register: Register,
    /// To what.
    value: Value,
    /// What it must hold before; none: anything.
    expected: Option<Value>,
    /// It must hold something before.
    deletes: bool,
}

fn change(kind: &Kind) -> Option<Change> {
    let (register, value, expected) = match kind {
        Kind::Fence { token, expect } => (
            Register::Fence,
            token.clone(),
            of_expected(expect, String::clone),
        ),
        Kind::SetCursor { name, at, expect } => (
            Register::Cursor(name.clone()),
            Some(at.to_string()),
            of_expected(expect, u64::to_string),
        ),
        Kind::DeleteCursor { name } => (Register::Cursor(name.clone()), None, None),
        _ => return None,
    };
    Some(Change {
        register,
        value,
        expected,
        deletes: matches!(kind, Kind::DeleteCursor { .. }),
    })
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
