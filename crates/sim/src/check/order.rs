//! The order that offsets, trim points, seals and versions state, against the order of time.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::{Chain, Place};
use super::findings::Findings;
use super::points::Point;
use super::readers::Shown;
use super::subject::{NEVER, Subject, Who};
use super::sweep::{Ranked, sweep};
use super::violation::Violation;
use super::work::Work;
use crate::history::{Kind, OpId, Outcome, SessionId};

/// By offsets: append `i` has rank `2i + 2`, and who saw the state after `k` appends rank `2k + 1`. Of appends also those
/// whose callers do not know that they happened.
pub(super) fn by_offsets(
    chain: &Chain,
    points: &[Point],
    end: u64,
    findings: &mut Findings<'_>,
    work: &Work,
) {
    let mut items: Vec<Ranked> = (0..)
        .zip(chain.appends())
        .map(|(place, append): (u64, _)| Ranked {
            rank: 2 * place + 2,
            call: append.call,
            ret: append.ret,
            who: Who::Op(append.op),
        })
        .collect();
    for point in points {
        work.step();
        let behind = match (point.tail, point.reached) {
            // An append stands in the chain already.
            (Some(_), _) if point.start.is_some() => continue,
            (Some(tail), _) => {
                let cut = match chain.place(tail, work) {
                    Place::Within(place) => Some(Who::Op(chain.appends()[place].op)),
                    Place::Behind(_) if tail > end => None,
                    Place::Behind(count) => {
                        items.push(ranked(point, 2 * count as u64 + 1));
                        continue;
                    }
                };
                findings.add(Violation::NoBatchEnd {
                    log: findings.log(),
                    tail,
                    by: findings.witness(point.who),
                    append: cut.map(|who| findings.witness(who)),
                });
                continue;
            }
            (None, Some(offset)) if offset >= end => {
                findings.add(Violation::NoBatchEnd {
                    log: findings.log(),
                    tail: offset.saturating_add(1),
                    by: findings.witness(point.who),
                    append: None,
                });
                continue;
            }
            (None, Some(offset)) => chain.upto(offset, work),
            (None, None) => continue,
        };
        items.push(ranked(point, 2 * behind as u64 + 1));
    }
    told("their offsets", points, &mut items, findings, work);
}

/// By trim points, which never go back; and by seals, which are for good.
pub(super) fn by_marks(points: &[Point], findings: &mut Findings<'_>, work: &Work) {
    let mut trims: Vec<Ranked> = points
        .iter()
        .filter_map(|point| Some(ranked(point, point.trim_point?)))
        .collect();
    told("their trim points", points, &mut trims, findings, work);
    let mut seals: Vec<Ranked> = points
        .iter()
        .filter_map(|point| Some(ranked(point, u64::from(point.sealed?))))
        .collect();
    told("the seal", points, &mut seals, findings, work);
}

/// By the versions in replies.
pub(super) fn by_versions(points: &[Point], findings: &mut Findings<'_>, work: &Work) {
    let mut items: Vec<Ranked> = points
        .iter()
        .filter_map(|point| Some(ranked(point, point.rank()?)))
        .collect();
    told("their versions", points, &mut items, findings, work);
}

fn ranked(point: &Point, rank: u64) -> Ranked {
    Ranked {
        rank,
        call: point.call,
        ret: point.ret,
        who: point.who,
    }
}

fn told(
    by: &'static str,
    points: &[Point],
    items: &mut [Ranked],
    findings: &mut Findings<'_>,
    work: &Work,
) {
    let mut pairs = Vec::new();
    sweep(items, work, |first, second| pairs.push((first, second)));
    if pairs.is_empty() {
        return;
    }
    // Who looks at nothing but states from long ago.
    let now: BTreeSet<Who> = points
        .iter()
        .filter(|point| !point.local)
        .map(|point| point.who)
        .collect();
    let local = |who: Who| !now.contains(&who);
    for (first, second) in pairs.into_iter().take(PAIRS_MAX) {
        let (log, one, two) = (
            findings.log(),
            findings.witness(first),
            findings.witness(second),
        );
        findings.add(match first {
            Who::Op(_) if local(first) => Violation::Early {
                log,
                read: one,
                second: two,
            },
            _ => Violation::Order {
                log,
                by,
                first: one,
                second: two,
            },
        });
    }
}

/// Pairs that are looked at: far more than are told.
const PAIRS_MAX: usize = 1_000;

/// What a session was shown never goes back.
pub(super) fn of_session(id: SessionId, shown: &[Shown], findings: &mut Findings<'_>, work: &Work) {
    let ranked = |shown: &Shown, rank| Ranked {
        rank,
        call: shown.call,
        ret: shown.ret,
        who: Who::Op(shown.op),
    };
    let mut tails: Vec<Ranked> = shown.iter().map(|one| ranked(one, one.tail)).collect();
    let mut versions: Vec<Ranked> = shown
        .iter()
        .filter_map(|one| Some(ranked(one, one.version?)))
        .collect();
    for (what, items) in [("tail", &mut tails), ("version", &mut versions)] {
        let mut pairs = Vec::new();
        sweep(items, work, |first, second| pairs.push((first, second)));
        for (first, second) in pairs.into_iter().take(PAIRS_MAX) {
            findings.add(Violation::SessionBack {
                log: findings.log(),
                session: id.0,
                what,
                first: findings.witness(first),
                second: findings.witness(second),
            });
        }
    }
}

/// Appends of one pipeline stand in the order in which they were begun.
pub(super) fn of_pipelines(
    subject: &Subject<'_>,
    chain: &Chain,
    findings: &mut Findings<'_>,
    work: &Work,
) {
    let mut last: BTreeMap<u64, OpId> = BTreeMap::new();
    for append in chain.appends() {
        work.step();
        let operation = subject.history.get(append.op);
        let Some(pipeline) = operation.and_then(|operation| operation.pipeline) else {
            continue;
        };
        if let Some(before) = last.insert(pipeline, append.op)
            && before > append.op
        {
            findings.add(Violation::Pipeline {
                log: findings.log(),
                first: findings.witness(Who::Op(append.op)),
                second: findings.witness(Who::Op(before)),
            });
        }
    }
}

/// A trim point or a seal that was seen must have been asked for by then.
pub(super) fn asked_for(
    subject: &Subject<'_>,
    points: &[Point],
    findings: &mut Findings<'_>,
    work: &Work,
) {
    if !subject.history.complete {
        return;
    }
    let retained = subject.retained();
    let mut trims = Vec::new();
    let mut seal = NEVER;
    for (_, operation) in &subject.ops {
        let refused = matches!(operation.outcome, Outcome::NotApplied { .. });
        match operation.kind {
            Kind::Trim { to } if !refused => trims.push((to, operation.call)),
            Kind::Seal if !refused => seal = seal.min(operation.call),
            _ => {}
        }
    }
    work.sort_by_key(&mut trims, |trim| *trim);
    for point in points {
        work.step();
        if let Some(trim_point) = point.trim_point.filter(|point| *point > 0) {
            let first = work.partition_point(&trims, |(to, _)| *to < trim_point);
            let asked = trims
                .get(first)
                .is_some_and(|(to, call)| *to == trim_point && *call <= point.ret);
            if !asked && !retained {
                findings.add(Violation::TrimUnexplained {
                    log: findings.log(),
                    trim_point,
                    by: findings.witness(point.who),
                });
            }
        }
        if point.sealed == Some(true) && (seal > point.ret || seal == NEVER) {
            findings.add(Violation::SealUnexplained {
                log: findings.log(),
                by: findings.witness(point.who),
            });
        }
    }
}

/// What ends a log for good leaves its tail where it is.
pub(super) fn after_seal(
    subject: &Subject<'_>,
    chain: &Chain,
    points: &[Point],
    findings: &mut Findings<'_>,
    work: &Work,
) {
    for point in points {
        work.step();
        let Some(tail) = point.tail.filter(|_| point.sealed == Some(true)) else {
            continue;
        };
        if tail < subject.settled.tail {
            let after = chain.behind(tail, work);
            findings.add(Violation::AfterSeal {
                log: findings.log(),
                seal: findings.witness(point.who),
                after: findings.witness(after.map_or(Who::Settled, |append| Who::Op(append.op))),
            });
        }
    }
}
