//! The checker: whether a history can be of a log that kept its promises. n log n, and exact where replies carry
//! versions.
//!
//! General checkers search for an order; a log's replies state it. So:
//!
//! 1. *Settle.* What a log came to says which unknown appends happened. An unknown one that is there ends at the end of
//!    time; one that is not there did not happen.
//! 2. *Contents.* What was acknowledged is at its offsets, whole, once; what every attempt called not applied is
//!    nowhere; nothing is there that nobody appended; offsets are dense; every reader and every replica was given the
//!    same bytes.
//! 3. *Rank.* Offsets rank appends and tails; versions in replies rank trims, seals and everything else. Commands that
//!    happened without their callers' knowledge get what is left (`slots`).
//! 4. *Sweep* by rank, keeping the latest call so far: what returned before that was ordered after something that began
//!    when it was over. If there is no such pair, the ranks are an order that explains everything (`sweep`).
//! 5. *Registers.* Fences and cursors change by commands that have versions: what is seen of one was set before, what is
//!    appended under a fence is appended while it stands, and a compare-and-set that was done saw what it compares with.
//! 6. *Readers.* Local reads may be stale, never early; a session never goes back; a gap only for what was trimmed.
//!
//! 7. *Deletion*. Logs that had one name, one after the other, are told apart by their ids, and each is judged by itself;
//!    what was deleted is over (`lives`).
//!
//! A rule that is broken is a [`Violation`], with the operations that contradict each other. Where a log's contents are
//! wrong its order is not judged any more: that would only repeat it.
//!
//! Weaker than a tester that tries all orders, by design, is this; what is reported is true all the same:
//!
//! - Without versions in replies, trims and seals are ranked by what they say of tails, trim points and seals: a
//!   contradiction between commands that changed none of these could be missed, and fences and cursors are not judged.
//! - What was trimmed and nobody read, and the versions of unknown appends of a pipeline, which may share batches.
//! - Fences and cursors where the outcomes of several commands are unknown: see `registers`. Finding out whether some
//!   order of those explains what was seen is what takes general testers their time.

mod appends;
mod chain;
mod contents;
mod findings;
mod lives;
mod order;
mod points;
mod readers;
mod registers;
mod slots;
mod states;
mod subject;
mod summary;
mod sweep;
mod told;
mod violation;
mod witness;
mod work;

use std::collections::BTreeMap;

pub use summary::{Ends, Summary};
pub use violation::Violation;
pub use witness::Witness;

use crate::history::{History, Kind, LogName, OpId, Operation, Settled};
use contents::{Contents, Payloads};
use findings::Findings;
use points::Point;
use subject::{Subject, is_unknown};
use work::Work;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the history shows, and how much of it.
    pub summary: Summary,
    /// What is wrong, log by log; none if every promise was kept. At most a few of each rule and log.
    pub violations: Vec<Violation>,
    /// How many more there are of the same rules.
    pub more: u64,
}

impl Report {
    /// Whether every promise was kept, and there was something to keep.
    pub fn clean(&self) -> bool {
        self.violations.is_empty()
    }

    fn add(&mut self, findings: Findings<'_>) {
        let (told, more) = findings.end();
        self.violations.extend(told);
        self.more += more;
    }
}

/// Judges a history.
pub fn check(history: &History) -> Report {
    let mut report = Report {
        summary: Summary::of(history),
        violations: Vec::new(),
        more: 0,
    };
    if report.summary.ends("append").ok == 0 {
        report.violations.push(Violation::Vacuous {
            why: "no append was acknowledged".into(),
        });
    }
    let work = Work::default();
    let mut logs: BTreeMap<&LogName, OfLog<'_>> = BTreeMap::new();
    for settled in &history.settled {
        logs.entry(&settled.log).or_default().settled = Some(settled);
    }
    for (id, operation) in history.iter() {
        let of_log = logs.entry(&operation.log).or_default();
        of_log.ops.push((id, operation));
    }
    for (log, OfLog { settled, ops }) in logs {
        let Some(settled) = settled else {
            // Nothing was written, so there is nothing to read.
            if ops.iter().any(|(_, operation)| changes(operation)) {
                report.violations.push(Violation::NotSettled {
                    log: log.to_string(),
                });
            }
            continue;
        };
        let lives = lives::of(&ops, settled, &work);
        let several = lives.len() > 1;
        for life in &lives {
            let subject = Subject {
                history,
                log,
                id: life.id.filter(|_| several),
                ops: life.ops.clone(),
                settled: &life.settled,
                gone: life.gone,
            };
            let mut findings = Findings::new(&subject);
            report.summary.unknown_there += judge(&subject, &mut findings, &work);
            report.add(findings);
        }
        let subject = Subject {
            history,
            log,
            id: None,
            ops,
            settled,
            gone: false,
        };
        let mut findings = Findings::new(&subject);
        lives::judge(&subject, &lives, &mut findings, &work);
        report.add(findings);
    }
    report.summary.steps = work.steps();
    report
}

/// What a history says of one log.
#[derive(Default)]
struct OfLog<'h> {
    settled: Option<&'h Settled>,
    ops: Vec<(OpId, &'h Operation)>,
}

fn changes(operation: &Operation) -> bool {
    !matches!(
        operation.kind,
        Kind::CheckTail { .. } | Kind::Read { .. } | Kind::Tail { .. } | Kind::Cursor { .. }
    ) && !matches!(
        operation.outcome,
        crate::history::Outcome::NotApplied { .. }
    )
}

/// Judges one log; returns how many appends of unknown outcome are there.
fn judge(subject: &Subject<'_>, findings: &mut Findings<'_>, work: &Work) -> u64 {
    let payloads = Payloads::of(subject, findings, work);
    let contents = Contents::gather(subject, findings, work);
    let chain = appends::judge(subject, &contents, &payloads, findings, work);
    appends::answers(subject, findings, work);
    appends::refusals(subject, findings, work);
    readers::contents(subject, &contents, &payloads, findings, work);
    readers::replicas(subject, &contents, findings, work);
    readers::timestamps(subject, &contents, &payloads, findings, work);
    readers::steps(subject, findings, work);
    let shown = readers::sessions(subject, findings, work);
    for (id, shown) in &shown {
        order::of_session(*id, shown, findings, work);
    }
    let there = chain
        .appends()
        .iter()
        .filter(|append| subject.history.get(append.op).is_some_and(is_unknown))
        .count() as u64;
    if !findings.none() {
        return there;
    }
    let points = points::points(subject, &chain);
    order::by_offsets(&chain, &points, subject.settled.tail, findings, work);
    order::of_pipelines(subject, &chain, findings, work);
    order::by_marks(&points, findings, work);
    order::asked_for(subject, &points, findings, work);
    states::chain(&points, findings, work);
    order::after_seal(subject, &chain, &points, findings, work);
    if !findings.none() {
        return there;
    }
    let mut ranked: Vec<Point> = points
        .iter()
        .filter(|point| point.version.is_some())
        .copied()
        .collect();
    work.sort_by_key(&mut ranked, |point| point.rank());
    order::by_versions(&ranked, findings, work);
    let due = states::judge(&ranked, findings, work);
    let registers = registers::judge(subject, &chain, findings, work);
    let all_ranked = points
        .iter()
        .all(|point| point.version.is_some() || !point.command);
    if findings.none() && all_ranked && !ranked.is_empty() {
        slots::fit(subject, &chain, &ranked, (&due, &registers), findings, work);
    }
    there
}
