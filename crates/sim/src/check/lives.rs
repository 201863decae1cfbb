//! Logs that had one name, one after the other: each is told apart by its id, is judged by itself, and is over once it was
//! deleted.
//!
//! Ids rise, so a log of a higher id was made when the lower one was gone. That is an order that can be held against
//! time, as offsets are: whoever was answered by log 7 comes before its deletion, and that before whoever was answered by
//! log 9. What is answered locally may be old, never early.
//!
//! A deleted log cannot be read any more. What was acknowledged there is known from receipts and readers, and need not
//! be anywhere at last.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::findings::Findings;
use super::subject::{NEVER, Subject, Who, answer, is_unknown};
use super::sweep::{Ranked, sweep};
use super::violation::Violation;
use super::work::Work;
use crate::history::{
    Consistency, Event, Kind, LogName, Nanos, OpId, Operation, Outcome, Reply, Settled,
};

/// One of the logs that had a name.
pub(super) struct Life<'h> {
    /// Its id, if anybody learned it.
    pub(super) id: Option<u64>,
    /// The operations on it, and those of which nobody knows whether they were.
    pub(super) ops: Vec<(OpId, &'h Operation)>,
    /// What it came to; of a deleted one, that nothing is left of it.
    pub(super) settled: Cow<'h, Settled>,
    /// Whether it is not there any more.
    pub(super) gone: bool,
}

/// The log that an operation was about, as far as it is known.
fn id(operation: &Operation) -> Option<u64> {
    operation.id.or_else(|| match answer(operation) {
        Some((_, Reply::Appended(receipt))) => receipt.log,
        _ => None,
    })
}

/// The logs of one name, in the order in which they were made.
pub(super) fn of<'h>(
    ops: &[(OpId, &'h Operation)],
    settled: &'h Settled,
    work: &Work,
) -> Vec<Life<'h>> {
    let named = ops.iter().filter_map(|(_, operation)| id(operation));
    let ids: BTreeSet<u64> = named.chain(settled.id).collect();
    // Whoever read it whole may not have learned its id. Where there is nothing and no id, nobody has the name.
    let newest = ids.last().copied().filter(|_| settled.tail > 0);
    let at_last = settled.id.or(newest);
    if ids.is_empty() || (ids.len() == 1 && at_last.is_some()) {
        return vec![Life {
            id: at_last,
            ops: ops.to_vec(),
            settled: Cow::Borrowed(settled),
            gone: false,
        }];
    }
    let mut parts: BTreeMap<u64, Vec<(OpId, &Operation)>> = BTreeMap::new();
    let mut anywhere = Vec::new();
    for &(op, operation) in ops {
        work.step();
        match id(operation) {
            Some(id) => parts.entry(id).or_default().push((op, operation)),
            None if is_unknown(operation) => anywhere.push((op, operation)),
            // It was refused, by no log that is known.
            None => {}
        }
    }
    let live = |id| {
        let mut ops = parts.get(&id).cloned().unwrap_or_default();
        ops.extend(&anywhere);
        work.sort_by_key(&mut ops, |(op, _)| *op);
        let gone = at_last != Some(id);
        let settled = match gone {
            false => Cow::Borrowed(settled),
            true => Cow::Owned(nothing_left(&settled.log, id, &ops)),
        };
        Life {
            id: Some(id),
            ops,
            settled,
            gone,
        }
    };
    ids.iter().map(|id| live(*id)).collect()
}

/// All of it is trimmed, as far as anybody knew it to reach.
fn nothing_left(log: &LogName, id: u64, ops: &[(OpId, &Operation)]) -> Settled {
    let reached = ops.iter().map(|(_, operation)| reached(operation)).max();
    let end = reached.unwrap_or(0);
    Settled {
        id: Some(id),
        trim_point: end,
        tail: end,
        ..Settled::whole(log.as_str(), Vec::new())
    }
}

/// How far the log reached, as an operation tells.
fn reached(operation: &Operation) -> u64 {
    let given = super::contents::given(operation)
        .last()
        .map_or(0, |last| last.offset.saturating_add(1));
    let told = match (answer(operation), &operation.kind) {
        (Some((_, Reply::Changed { .. })), Kind::SetCursor { at, .. }) => *at,
        (Some((_, reply)), _) => match reply {
            Reply::Appended(receipt) => receipt.end.max(receipt.tail.unwrap_or(0)),
            Reply::Trimmed { tail, .. }
            | Reply::Sealed { tail, .. }
            | Reply::FenceSet { tail, .. } => *tail,
            Reply::Tail(tail) => tail.offset,
            Reply::Read(read) => read.tail.unwrap_or(0).max(read.next.unwrap_or(0)),
            Reply::Event(Event::CaughtUp { tail } | Event::Sealed { tail }) => *tail,
            _ => 0,
        },
        (None, _) => match &operation.outcome {
            Outcome::NotApplied {
                seen: Some(seen), ..
            } => seen.tail.unwrap_or(0),
            _ => 0,
        },
    };
    told.max(given)
}

/// What an operation shows of which log, and of the time.
struct Sight {
    /// Twice the id; one more where the log is over.
    rank: u64,
    call: Nanos,
    ret: Nanos,
}

fn sight(operation: &Operation) -> Option<Sight> {
    let id = id(operation)?;
    let of = |over: bool, call, ret| {
        Some(Sight {
            rank: id.saturating_mul(2).saturating_add(over.into()),
            call,
            ret,
        })
    };
    let Some((ret, reply)) = answer(operation) else {
        return match &operation.outcome {
            // Whoever was in a pipeline that was refused is told so, too, though it looked at nothing itself.
            Outcome::NotApplied { code, .. } if code == "LogDeleted" => {
                of(true, 0, operation.ret.unwrap_or(NEVER))
            }
            _ => None,
        };
    };
    let old = match &operation.kind {
        Kind::CheckTail { consistency, .. }
        | Kind::Read { consistency, .. }
        | Kind::Cursor { consistency, .. } => *consistency == Consistency::Local,
        Kind::Tail { .. } => true,
        _ => false,
    };
    let over = matches!(reply, Reply::Deleted { .. });
    of(over, if old { 0 } else { operation.call }, ret)
}

/// Holds the logs of one name against each other: each is over when it was deleted, and was deleted because somebody
/// had asked for that.
pub(super) fn judge(
    subject: &Subject<'_>,
    lives: &[Life<'_>],
    findings: &mut Findings<'_>,
    work: &Work,
) {
    let mut items = Vec::new();
    // When it was seen first that a log was over, and who saw it: by rank.
    let mut seen: BTreeMap<u64, (Nanos, Who)> = BTreeMap::new();
    // When somebody asked for it first; of whom it is not known which log they meant, for each.
    let mut asked: BTreeMap<u64, Nanos> = BTreeMap::new();
    let mut asked_any = NEVER;
    for &(op, operation) in &subject.ops {
        work.step();
        let who = Who::Op(op);
        if let Some(Sight { rank, call, ret }) = sight(operation) {
            items.push(Ranked {
                rank,
                call,
                ret,
                who,
            });
            let first = seen.entry(rank).or_insert((ret, who));
            *first = (*first).min((ret, who));
        }
        let refused = matches!(operation.outcome, Outcome::NotApplied { .. });
        if matches!(operation.kind, Kind::Delete) && !(refused && answer(operation).is_none()) {
            let first = match id(operation) {
                Some(id) => asked.entry(id).or_insert(NEVER),
                None => &mut asked_any,
            };
            *first = operation.call.min(*first);
        }
    }
    if let Some(id) = subject.settled.id {
        items.push(Ranked {
            rank: id.saturating_mul(2),
            call: NEVER,
            ret: NEVER,
            who: Who::Settled,
        });
    }
    let mut pairs = Vec::new();
    sweep(&mut items, work, |first, second| {
        pairs.push((first, second))
    });
    for (first, second) in pairs {
        findings.add(Violation::AfterDelete {
            log: findings.log(),
            delete: findings.witness(first),
            after: findings.witness(second),
        });
    }
    if !subject.history.complete {
        return;
    }
    // A successor, too, shows that a log is over; so does that nothing is left of it.
    let mut later: Option<(Nanos, Who)> = None;
    let mut ranks = seen.into_iter().rev().peekable();
    for life in lives.iter().rev() {
        let Some(id) = life.id else { continue };
        let over = id.saturating_mul(2).saturating_add(1);
        while let Some((_, first)) = ranks.next_if(|(rank, _)| *rank >= over) {
            later = Some(later.map_or(first, |known| known.min(first)));
        }
        let at_last = life.gone.then_some((NEVER, Who::Settled));
        let Some((ret, who)) = later.into_iter().chain(at_last).min() else {
            continue;
        };
        let call = asked.get(&id).copied().unwrap_or(NEVER).min(asked_any);
        if call > ret || call == NEVER {
            findings.add(Violation::DeleteUnexplained {
                log: findings.log(),
                id,
                by: findings.witness(who),
            });
        }
    }
}
