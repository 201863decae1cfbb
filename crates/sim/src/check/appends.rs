//! Every append against what the log holds: acknowledged means there, not applied means nowhere, whole and once.

use super::chain::{Chain, Placed};
use super::contents::{Contents, Payloads};
use super::findings::Findings;
use super::subject::{NEVER, Subject, Who, answer, is_foreign, is_unknown, receipt};
use super::violation::Violation;
use super::witness;
use super::work::Work;
use crate::history::{CursorAt, Expected, Kind, Observed, Outcome, Payload, Reply};

/// Where an append was found.
#[derive(Clone, Copy)]
struct Found {
    start: u64,
    parts: u64,
}

/// Judges every append, and puts those that happened in their order.
pub(super) fn judge<'h>(
    subject: &Subject<'h>,
    contents: &Contents<'h>,
    payloads: &Payloads,
    findings: &mut Findings<'_>,
    work: &Work,
) -> Chain {
    let found = find(subject, contents, payloads, findings, work);
    let mut placed = Vec::new();
    let mut nowhere = 0;
    for ((id, operation), found) in subject.ops.iter().zip(&found) {
        work.step();
        let Kind::Append {
            records, if_tail, ..
        } = &operation.kind
        else {
            continue;
        };
        let who = Who::Op(*id);
        let receipt = receipt(operation);
        if let (Some(found), Some(tail)) = (found, if_tail)
            && found.start != *tail
        {
            findings.add(Violation::AgainstCondition {
                log: findings.log(),
                append: findings.witness(who),
                found: found.start,
            });
        }
        if let (Some(found), None) = (found, receipt)
            && matches!(operation.outcome, Outcome::NotApplied { .. })
        {
            findings.add(Violation::AppliedNotApplied {
                log: findings.log(),
                append: findings.witness(who),
                offset: found.start,
            });
        }
        if let Some((_, receipt)) = receipt {
            let holder = contents
                .get(receipt.start, work)
                .and_then(|cell| payloads.owner(cell.key, work))
                .map(|(place, _)| Who::Op(subject.ops[place].0))
                .filter(|holder| *holder != who);
            let instead = holder.map(|holder| findings.witness(holder));
            if receipt.end.checked_sub(receipt.start) != Some(records.len() as u64) {
                findings.add(Violation::WrongReceipt {
                    log: findings.log(),
                    append: findings.witness(who),
                    why: format!("the append has {} records", records.len()),
                });
            } else if is_foreign(operation) {
                findings.add(Violation::WrongReceipt {
                    log: findings.log(),
                    append: findings.witness(who),
                    why: "it is another log's, which has the name now".into(),
                });
            } else if receipt.tail.is_some_and(|tail| tail < receipt.end) {
                findings.add(Violation::WrongReceipt {
                    log: findings.log(),
                    append: findings.witness(who),
                    why: "its tail is below its end".into(),
                });
            } else if found.is_none() {
                findings.add(Violation::Lost {
                    log: findings.log(),
                    append: findings.witness(who),
                    instead,
                    by: findings.witness(Who::Settled),
                });
            } else if let Some(found) = found
                && found.start != receipt.start
            {
                findings.add(Violation::Misplaced {
                    log: findings.log(),
                    append: findings.witness(who),
                    found: found.start,
                    instead,
                });
            }
        }
        match found {
            Some(found) => placed.push(Placed {
                op: *id,
                start: found.start,
                end: found.start.saturating_add(records.len() as u64),
                batch: (
                    found.start,
                    found.start.saturating_add(records.len() as u64),
                ),
                pipeline: operation.pipeline,
                call: operation.call,
                ret: receipt.map_or(NEVER, |(ret, _)| ret),
                version: receipt.and_then(|(_, receipt)| receipt.version),
            }),
            None if is_unknown(operation) => nowhere += records.len() as u64,
            None => {}
        }
    }
    let chain = Chain::new(placed, work);
    holes(subject, &chain, nowhere, findings);
    chain
}

/// Where each append stands, by its place among the operations.
fn find(
    subject: &Subject<'_>,
    contents: &Contents<'_>,
    payloads: &Payloads,
    findings: &mut Findings<'_>,
    work: &Work,
) -> Vec<Option<Found>> {
    let mut found: Vec<Option<Found>> = vec![None; subject.ops.len()];
    let key_at = |offset| contents.get(offset, work).map(|cell| cell.key);
    for cell in contents.cells() {
        work.step();
        let Some((place, part)) = payloads.owner(cell.key, work) else {
            findings.add(Violation::NeverAppended {
                log: findings.log(),
                offset: cell.offset,
                payload: cell.payload.to_string(),
                by: findings.witness(cell.by),
            });
            continue;
        };
        let append = Who::Op(subject.ops[place].0);
        match (&mut found[place], cell.offset.checked_sub(part)) {
            (slot @ None, Some(start)) => *slot = Some(Found { start, parts: 1 }),
            (Some(known), Some(start)) if known.start == start => known.parts += 1,
            (Some(known), _)
                if key_at(known.start.saturating_add(part)) == Some(cell.key)
                    && known.start.saturating_add(part) != cell.offset =>
            {
                findings.add(Violation::Twice {
                    log: findings.log(),
                    append: findings.witness(append),
                    first: known.start.saturating_add(part),
                    second: cell.offset,
                    by: findings.witness(cell.by),
                });
            }
            _ => findings.add(Violation::Torn {
                log: findings.log(),
                append: findings.witness(append),
                part,
                offset: cell.offset,
            }),
        }
    }
    for ((id, operation), found) in subject.ops.iter().zip(&found) {
        let (Some(found), Kind::Append { records, .. }) = (found, &operation.kind) else {
            continue;
        };
        if found.parts == records.len() as u64 {
            continue;
        }
        // What nobody knows of the trimmed part may well have been there; the rest of a batch comes with it.
        let missing = (0..)
            .zip(records)
            .find(|(part, payload): &(u64, &Payload)| {
                let offset = found.start.saturating_add(*part);
                work.step();
                match key_at(offset) {
                    Some(key) => key != payload.key(),
                    None => offset >= subject.settled.trim_point,
                }
            });
        if let Some((part, _)) = missing {
            findings.add(Violation::Torn {
                log: findings.log(),
                append: findings.witness(Who::Op(*id)),
                part,
                offset: found.start.saturating_add(part),
            });
        }
    }
    found
}

/// What was trimmed and nobody read must fit what nobody knows the outcome of.
fn holes(subject: &Subject<'_>, chain: &Chain, unknown: u64, findings: &mut Findings<'_>) {
    let mut left = unknown;
    let mut expected = 0;
    let ends = chain
        .appends()
        .iter()
        .map(|append| (append.start, append.end));
    for (start, end) in ends.chain([(subject.settled.tail, subject.settled.tail)]) {
        if start > expected {
            match left.checked_sub(start - expected) {
                Some(rest) if expected < subject.settled.trim_point => left = rest,
                _ => {
                    findings.add(Violation::NotDense {
                        log: findings.log(),
                        expected,
                        found: start,
                        by: findings.witness(Who::Settled),
                    });
                    return;
                }
            }
        }
        expected = expected.max(end);
    }
}

/// Several answers to one command say the same, and answer what was asked.
pub(super) fn answers(subject: &Subject<'_>, findings: &mut Findings<'_>, work: &Work) {
    for (id, operation) in &subject.ops {
        work.step();
        let Some((_, first)) = answer(operation) else {
            continue;
        };
        if !answers_kind(&operation.kind, first) {
            findings.add(Violation::WrongReceipt {
                log: findings.log(),
                append: findings.witness(Who::Op(*id)),
                why: "it answers another question".into(),
            });
        }
        if operation.again.is_empty() {
            continue;
        }
        let later = operation.again.iter().map(|(_, outcome)| outcome);
        for outcome in std::iter::once(&operation.outcome).chain(later) {
            work.step();
            let agrees = match outcome {
                Outcome::Ok(reply) => agree(first, reply),
                Outcome::NotApplied { code, .. } => !for_good(&operation.kind, code),
                Outcome::Unknown { .. } => true,
            };
            if !agrees {
                findings.add(Violation::AnswersDiffer {
                    log: findings.log(),
                    command: findings.witness(Who::Op(*id)),
                    one: witness::reply(first),
                    two: witness::outcome(outcome),
                });
            }
        }
    }
}

/// Whether that refusal was the log's own, which is kept as a receipt is: what got it is not applied by any other
/// attempt. Other refusals are of one attempt, or of whoever got it.
fn for_good(kind: &Kind, code: &str) -> bool {
    matches!(
        (kind, code),
        (Kind::Append { .. }, "Sealed" | "TailMismatch")
            | (Kind::SetCursor { .. }, "CursorMismatch")
            | (Kind::Trim { .. }, "OffsetOutOfRange")
            | (Kind::Create { .. }, "AlreadyExists")
    )
}

fn answers_kind(kind: &Kind, reply: &Reply) -> bool {
    matches!(
        (kind, reply),
        (Kind::Append { .. }, Reply::Appended(_))
            | (Kind::Trim { .. }, Reply::Trimmed { .. })
            | (Kind::Seal, Reply::Sealed { .. })
            | (Kind::Delete, Reply::Deleted { .. })
            | (Kind::Create { .. }, Reply::Created { .. })
            | (Kind::Fence { .. }, Reply::FenceSet { .. })
            | (
                Kind::SetCursor { .. } | Kind::DeleteCursor { .. } | Kind::Alter { .. },
                Reply::Changed { .. }
            )
            | (Kind::Cursor { .. }, Reply::Cursor { .. })
            | (Kind::CheckTail { .. }, Reply::Tail(_))
            | (Kind::Read { .. }, Reply::Read(_))
            | (Kind::Tail { .. }, Reply::Event(_))
    )
}

/// A refusal that saw the log saw a reason.
pub(super) fn refusals(subject: &Subject<'_>, findings: &mut Findings<'_>, work: &Work) {
    for (id, operation) in &subject.ops {
        work.step();
        let Outcome::NotApplied {
            code,
            seen: Some(seen),
        } = &operation.outcome
        else {
            continue;
        };
        let Some(why) = wrong(code, &operation.kind, seen) else {
            continue;
        };
        findings.add(Violation::WrongRefusal {
            log: findings.log(),
            command: findings.witness(Who::Op(*id)),
            why,
        });
    }
}

/// Why the log cannot have refused that with this code, if it cannot.
fn wrong(code: &str, kind: &Kind, seen: &Observed) -> Option<&'static str> {
    Some(match (code, kind) {
        ("Sealed", _) if seen.sealed == Some(false) => "the log was not sealed",
        ("Fenced" | "TailMismatch", Kind::Append { .. }) if seen.sealed == Some(true) => {
            "the log was sealed"
        }
        ("OffsetOutOfRange", Kind::Trim { to } | Kind::SetCursor { at: to, .. })
            if seen.tail.is_some_and(|tail| *to <= tail) =>
        {
            "the log reached so far"
        }
        ("TailMismatch", Kind::Append { if_tail: None, .. }) => "it was not conditioned on a tail",
        ("TailMismatch", Kind::Append { if_tail, .. }) if *if_tail == seen.tail => {
            "the tail was the one that it wanted"
        }
        ("Fenced", Kind::Fence { expect, .. }) if *expect == Expected::Any => "it expected nothing",
        ("CursorMismatch", Kind::SetCursor { expect, .. }) => match (expect, seen.cursor) {
            (Expected::Any, _) => "it expected nothing",
            (Expected::Absent, Some(CursorAt::Absent)) => "the cursor was where it was expected",
            (Expected::Is(at), Some(CursorAt::At(is))) if *at == is => {
                "the cursor was where it was expected"
            }
            _ => return None,
        },
        _ => return None,
    })
}

/// The tail of a receipt is the log's when it was given: it alone may differ.
fn agree(one: &Reply, two: &Reply) -> bool {
    let same = |one: Option<u64>, two: Option<u64>| one.is_none() || two.is_none() || one == two;
    match (one, two) {
        (Reply::Appended(one), Reply::Appended(two)) => {
            (one.start, one.end) == (two.start, two.end)
                && same(one.timestamp, two.timestamp)
                && same(one.version, two.version)
        }
        (
            Reply::Trimmed {
                trim_point,
                tail,
                version,
                ..
            },
            Reply::Trimmed {
                trim_point: point,
                tail: end,
                version: other,
                ..
            },
        ) => (trim_point, tail) == (point, end) && same(*version, *other),
        (
            Reply::Sealed { tail, version, .. },
            Reply::Sealed {
                tail: end,
                version: other,
                ..
            },
        ) => tail == end && same(*version, *other),
        (
            Reply::FenceSet { tail, version, .. },
            Reply::FenceSet {
                tail: end,
                version: other,
                ..
            },
        ) => tail == end && same(*version, *other),
        (Reply::Changed { version, .. }, Reply::Changed { version: other, .. })
        | (Reply::Deleted { version, .. }, Reply::Deleted { version: other, .. }) => {
            same(*version, *other)
        }
        (
            Reply::Created { version, existed },
            Reply::Created {
                version: other,
                existed: before,
            },
        ) => existed == before && same(*version, *other),
        _ => std::mem::discriminant(one) == std::mem::discriminant(two),
    }
}
