//! A version for every command that happened without its caller's knowledge.
//!
//! Known commands have their versions. The others must fit between: each one of them takes one free version, not
//! before it could (what returned before it was called has lower versions) and not after it must (somebody saw it).
//! That is a schedule of jobs of one length with release times, deadlines and an order among some of them, for which
//! taking the job with the nearest deadline first is best (Lawler 1973; W. A. Horn, 1974). And every version was
//! somebody's, so none may be left over.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::chain::Chain;
use super::findings::Findings;
use super::points::Point;
use super::registers::Dues;
use super::states::Due;
use super::subject::{NEVER, Subject, Who, is_unknown};
use super::violation::Violation;
use super::work::Work;
use crate::history::{Kind, Nanos, OpId};

/// A command that needs a version, or may take one.
#[derive(Clone, Copy, Debug)]
struct Job {
    op: OpId,
    release: u64,
    deadline: u64,
    /// It happened for sure.
    must: bool,
    /// It comes after this append, by its place in the chain.
    after: Option<usize>,
    /// It is this append.
    append: Option<usize>,
}

/// Gives each a version, or tells why there is none. `points` is sorted by rank and free of contradictions.
pub(super) fn fit(
    subject: &Subject<'_>,
    chain: &Chain,
    points: &[Point],
    due: (&[Due], &Dues),
    findings: &mut Findings<'_>,
    work: &Work,
) {
    let jobs = jobs(subject, chain, points, due, findings, work);
    let taken: Vec<u64> = points
        .iter()
        .filter(|point| point.command)
        .filter_map(|point| point.version)
        .collect();
    let last = points.last().and_then(|point| point.version).unwrap_or(0);
    // What was trimmed unread hides appends; what others did is not known: then versions may be left over.
    let whole = chain
        .appends()
        .iter()
        .try_fold(0, |end, append| (append.start == end).then_some(append.end))
        == Some(subject.settled.tail);
    let all_known = subject.history.complete && whole && !subject.retained();
    schedule(&jobs, &taken, last, all_known, points, findings, work);
}

fn jobs(
    subject: &Subject<'_>,
    chain: &Chain,
    points: &[Point],
    (due, registers): (&[Due], &Dues),
    findings: &mut Findings<'_>,
    work: &Work,
) -> Vec<Job> {
    let appends = chain.appends();
    // The lowest return among what has this rank or a higher one.
    let mut least = NEVER;
    let mut returns: Vec<(u64, Nanos)> = points
        .iter()
        .rev()
        .map(|point| {
            least = least.min(point.ret);
            (point.rank().unwrap_or(0), least)
        })
        .collect();
    returns.reverse();
    // Everything that was over when it was called has a lower rank.
    let not_before = |call: Nanos| {
        let over = work.partition_point(&returns, |(_, ret)| *ret < call);
        over.checked_sub(1)
            .map_or(1, |last| returns[last].0.div_ceil(2))
    };
    let tails: Vec<(u64, u64)> = points
        .iter()
        .filter_map(|point| Some((point.tail?, point.version?)))
        .collect();
    // Where cursors were set the log reached by then.
    let mut furthest = 0;
    let mut reaches: Vec<(u64, u64)> = Vec::new();
    for (reached, version) in points
        .iter()
        .filter_map(|point| Some((point.reached?.saturating_add(1), point.version?)))
    {
        if reached > furthest {
            furthest = reached;
            reaches.push((reached, version));
        }
    }
    let marks: Vec<(u64, u64)> = points
        .iter()
        .filter_map(|point| Some((point.trim_point?, point.version?)))
        .collect();
    let seal_due = due.iter().find_map(|due| match due {
        Due::Seal { version, by } => Some((*version, *by)),
        Due::Trim { .. } => None,
    });
    let sealed = points
        .iter()
        .find(|point| point.sealed == Some(true))
        .and_then(|point| point.version);
    let unsealed = points
        .iter()
        .rev()
        .find(|point| point.sealed == Some(false))
        .and_then(|point| point.version);
    // Behind the known appends there is nothing to wait for but their versions. One of a pipeline may have been packed
    // into one batch with its neighbours: then it may take a version, and need not.
    let packed = |place: usize| appends[place].pipeline.is_some();
    let unknown = |place: usize| appends[place].version.is_none() && !packed(place);
    let mut jobs: Vec<Job> = Vec::new();
    let mut job_of: Vec<Option<usize>> = vec![None; appends.len()];
    for (place, append) in appends
        .iter()
        .enumerate()
        .filter(|(_, append)| append.version.is_none())
    {
        let seen = work.partition_point(&tails, |(tail, _)| *tail < append.end);
        let before = seen.checked_sub(1).map_or(0, |last| tails[last].1);
        let deadline = tails.get(seen).map_or(u64::MAX, |(_, version)| *version);
        let deadline = match (seal_due, sealed) {
            (Some((due, _)), _) => deadline.min(due.saturating_sub(1)),
            (None, Some(sealed)) => deadline.min(sealed),
            (None, None) => deadline,
        };
        let far = work.partition_point(&reaches, |(reached, _)| *reached <= append.start);
        let deadline = reaches
            .get(far)
            .map_or(deadline, |(_, version)| deadline.min(*version));
        let (from, to) = registers
            .appends
            .get(&append.op)
            .copied()
            .unwrap_or((0, u64::MAX));
        let deadline = deadline.min(to);
        if packed(place) {
            jobs.push(Job {
                op: append.op,
                release: before.saturating_add(1),
                deadline: u64::MAX,
                must: false,
                after: None,
                append: None,
            });
            continue;
        }
        job_of[place] = Some(jobs.len());
        jobs.push(Job {
            op: append.op,
            release: not_before(append.call)
                .max(before.saturating_add(1))
                .max(from),
            deadline,
            must: true,
            after: place.checked_sub(1).filter(|before| unknown(*before)),
            append: Some(place),
        });
    }
    let mut due_trims: Vec<(u64, u64, Who)> = due
        .iter()
        .filter_map(|due| match due {
            Due::Trim { to, version, by } => Some((*to, *version, *by)),
            Due::Seal { .. } => None,
        })
        .collect();
    let mut due_seal = seal_due;
    let mut others: Vec<(OpId, Nanos, &Kind)> = subject
        .ops
        .iter()
        .filter(|(_, operation)| is_unknown(operation))
        .map(|(id, operation)| (*id, operation.call, &operation.kind))
        .collect();
    // The one that was called first serves best where one of several must have been.
    work.sort_by_key(&mut others, |(_, call, _)| *call);
    work.sort_by_key(&mut due_trims, |due| *due);
    let mut served = vec![false; due_trims.len()];
    for (op, call, kind) in others {
        match *kind {
            Kind::Trim { to } => {
                let reached = work.partition_point(appends, |append| append.end < to);
                if to > subject.end() {
                    // Beyond the end of the log: it was refused.
                    continue;
                }
                let at = work.partition_point(&due_trims, |(target, ..)| *target < to);
                let serves =
                    due_trims.get(at).is_some_and(|(target, ..)| *target == to) && !served[at];
                let lower = work.partition_point(&marks, |(mark, _)| *mark < to);
                let mut release = not_before(call);
                if let Some(below) = lower.checked_sub(1) {
                    release = release.max(marks[below].1.saturating_add(1));
                }
                // Where what was trimmed is not known it may be another that reached so far.
                let needs = Some(reached)
                    .filter(|place| appends.get(*place).is_some_and(|append| append.start < to));
                if let Some(version) = needs.and_then(|place| appends[place].version) {
                    release = release.max(version.saturating_add(1));
                }
                if serves {
                    served[at] = true;
                }
                jobs.push(Job {
                    op,
                    release,
                    deadline: if serves { due_trims[at].1 } else { u64::MAX },
                    must: serves,
                    after: needs.filter(|place| unknown(*place)),
                    append: None,
                });
            }
            Kind::Seal => {
                let after = unsealed.map_or(1, |version| version.saturating_add(1));
                let deadline = due_seal.take().map(|(version, _)| version);
                jobs.push(Job {
                    op,
                    release: not_before(call).max(after),
                    deadline: deadline.unwrap_or(u64::MAX),
                    must: deadline.is_some(),
                    after: (0..appends.len())
                        .next_back()
                        .filter(|place| unknown(*place)),
                    append: None,
                });
            }
            // Nobody read it before it was deleted: perhaps it was there.
            Kind::Append { .. } if subject.gone && !chain.has(op, work) => jobs.push(Job {
                op,
                release: not_before(call),
                deadline: u64::MAX,
                must: false,
                after: None,
                append: None,
            }),
            // Beyond the end of the log: it was refused.
            Kind::SetCursor { at, .. } if at > subject.end() => {}
            // Of these nobody need have seen anything: then they may have a version.
            Kind::Fence { .. }
            | Kind::SetCursor { .. }
            | Kind::DeleteCursor { .. }
            | Kind::Alter { .. } => {
                let seen = registers.commands.get(&op);
                let mut release = not_before(call);
                let mut needs = None;
                if let Some((from, _)) = seen {
                    release = release.max(*from);
                }
                if let Kind::SetCursor { at, .. } = *kind {
                    let place = work.partition_point(appends, |append| append.end < at);
                    needs = Some(place)
                        .filter(|place| appends.get(*place).is_some_and(|one| one.start < at));
                    if let Some(version) = needs.and_then(|place| appends[place].version) {
                        release = release.max(version.saturating_add(1));
                    }
                }
                jobs.push(Job {
                    op,
                    release,
                    deadline: seen.map_or(u64::MAX, |(_, to)| *to),
                    must: seen.is_some(),
                    after: needs.filter(|place| unknown(*place)),
                    append: None,
                });
            }
            _ => {}
        }
    }
    let unserved = due_trims
        .iter()
        .zip(&served)
        .filter(|(_, served)| !**served)
        .map(|((to, _, by), _)| (Some(*to), *by));
    for (to, by) in unserved.chain(due_seal.map(|(_, by)| (None, by))) {
        if subject.history.complete && !(to.is_some() && subject.retained()) {
            findings.add(match to {
                Some(trim_point) => Violation::TrimUnexplained {
                    log: findings.log(),
                    trim_point,
                    by: findings.witness(by),
                },
                None => Violation::SealUnexplained {
                    log: findings.log(),
                    by: findings.witness(by),
                },
            });
        }
    }
    // What comes after an append is due after it: so the append is due earlier still.
    for at in 0..jobs.len() {
        if jobs[at].append.is_none()
            && let Some(before) = jobs[at].after.and_then(|place| job_of[place])
        {
            jobs[before].deadline = jobs[before].deadline.min(
                jobs[at]
                    .deadline
                    .saturating_sub(u64::from(jobs[at].deadline < u64::MAX)),
            );
        }
    }
    for at in (0..appends.len()).rev() {
        if let Some(job) = job_of[at]
            && let Some(before) = jobs[job].after.and_then(|place| job_of[place])
        {
            let deadline = jobs[job].deadline;
            jobs[before].deadline = jobs[before]
                .deadline
                .min(deadline.saturating_sub(u64::from(deadline < u64::MAX)));
        }
    }
    jobs
}

fn schedule(
    jobs: &[Job],
    taken: &[u64],
    last: u64,
    all_known: bool,
    points: &[Point],
    findings: &mut Findings<'_>,
    work: &Work,
) {
    // By release; those that wait for an append are let in when it is placed.
    let mut waiting: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut ready: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut behind: Vec<(usize, usize)> = Vec::new();
    for (at, job) in jobs.iter().enumerate() {
        match job.after {
            Some(place) => behind.push((place, at)),
            None => waiting.push(Reverse((job.release, at))),
        }
    }
    work.sort_by_key(&mut behind, |pair| *pair);
    let mut placed = vec![false; jobs.len()];
    let mut taken = taken.iter().copied().peekable();
    // The first version is the making of the log, whoever did it.
    let mut version = 1;
    while version < last {
        version += 1;
        while taken.next_if(|taken| *taken < version).is_some() {}
        if taken.next_if_eq(&version).is_some() {
            continue;
        }
        work.step();
        while let Some(Reverse((release, at))) = waiting.peek().copied()
            && release <= version
        {
            waiting.pop();
            ready.push(Reverse((jobs[at].deadline, at)));
        }
        let Some(Reverse((deadline, at))) = ready.pop() else {
            if all_known {
                let by = points
                    .iter()
                    .find(|point| point.version >= Some(version))
                    .map_or(Who::Settled, |point| point.who);
                findings.add(Violation::VersionUnexplained {
                    log: findings.log(),
                    version,
                    by: findings.witness(by),
                });
                return;
            }
            // Somebody else's, as far as is known.
            match waiting.peek() {
                Some(Reverse((release, _))) => version = (*release - 1).max(version),
                None => break,
            }
            continue;
        };
        placed[at] = true;
        if deadline < version {
            return no_version(&jobs[at], findings);
        }
        if let Some(place) = jobs[at].append {
            let first = work.partition_point(&behind, |(before, _)| *before < place);
            for (_, next) in behind[first..]
                .iter()
                .take_while(|(before, _)| *before == place)
            {
                let release = jobs[*next].release.max(version.saturating_add(1));
                waiting.push(Reverse((release, *next)));
            }
        }
    }
    let left = jobs
        .iter()
        .zip(&placed)
        .find(|(job, placed)| !**placed && job.must && job.deadline <= last);
    if let Some((job, _)) = left {
        no_version(job, findings);
    }
}

fn no_version(job: &Job, findings: &mut Findings<'_>) {
    findings.add(Violation::NoVersionLeft {
        log: findings.log(),
        command: findings.witness(Who::Op(job.op)),
        from: job.release,
        to: job.deadline,
    });
}
