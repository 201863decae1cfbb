//! Whatever readers were given, against the log: the same bytes for everyone, in order, and gaps only where trimmed.

use std::collections::BTreeMap;

use super::contents::{Contents, Payloads, given};
use super::findings::Findings;
use super::subject::{NEVER, Subject, Who, answer};
use super::violation::Violation;
use super::work::Work;
use crate::history::{Event, Kind, Nanos, OpId, Outcome, Payload, Reply, SessionId, Stored};

/// What was given, record by record.
pub(super) fn contents(
    subject: &Subject<'_>,
    contents: &Contents<'_>,
    payloads: &Payloads,
    findings: &mut Findings<'_>,
    work: &Work,
) {
    for (id, operation) in &subject.ops {
        work.step();
        for stored in given(operation) {
            work.step();
            let (key, cell) = (stored.payload.key(), contents.get(stored.offset, work));
            if let Some(cell) = cell
                && cell.key == key
            {
                if let (Some(one), Some(two)) = (cell.timestamp, stored.timestamp)
                    && one != two
                {
                    findings.add(Violation::TimestampsDiffer {
                        log: findings.log(),
                        offset: stored.offset,
                        one,
                        by: findings.witness(cell.by),
                        two,
                        and: findings.witness(Who::Op(*id)),
                    });
                }
                continue;
            }
            let log = findings.log();
            let read = findings.witness(Who::Op(*id));
            let holds = cell.map_or("nothing".into(), |cell| cell.payload.to_string());
            let owner = payloads.owner(key, work);
            let append = owner.map(|(place, _)| findings.witness(Who::Op(subject.ops[place].0)));
            findings.add(match append {
                None => Violation::NeverAppended {
                    log,
                    offset: stored.offset,
                    payload: stored.payload.to_string(),
                    by: read,
                },
                Some(append) if !contents.holds(key, work) => Violation::Unseen {
                    log,
                    offset: stored.offset,
                    read,
                    append,
                },
                append => Violation::ReadDiffers {
                    log,
                    offset: stored.offset,
                    given: stored.payload.to_string(),
                    holds,
                    read,
                    append,
                },
            });
        }
    }
}

/// What single replicas have.
pub(super) fn replicas(
    subject: &Subject<'_>,
    contents: &Contents<'_>,
    findings: &mut Findings<'_>,
    work: &Work,
) {
    let settled = subject.settled;
    for copy in &settled.replicas {
        let Some(records) = &copy.records else {
            continue;
        };
        let mut differs = |offset, given: Option<&Payload>, holds: Option<&Payload>| {
            let text =
                |payload: Option<&Payload>| payload.map_or("nothing".into(), Payload::to_string);
            findings.add(Violation::ReplicaDiffers {
                log: findings.log(),
                replica: copy.replica,
                offset,
                given: text(given),
                holds: text(holds),
            });
        };
        let mut expected = records.first().map_or(settled.trim_point, |first| {
            first.offset.min(settled.trim_point)
        });
        for stored in records {
            work.step();
            let cell = contents.get(stored.offset, work);
            if stored.offset != expected {
                let holds = contents.get(expected, work).map(|cell| cell.payload);
                differs(expected, None, holds);
            }
            let same = |cell: &&super::contents::Cell<'_>| {
                cell.key == stored.payload.key()
                    && (cell.timestamp == stored.timestamp
                        || cell.timestamp.is_none()
                        || stored.timestamp.is_none())
            };
            // Below the trim point a replica may still have what nobody else knows of.
            let unknown = cell.is_none() && stored.offset < settled.trim_point;
            if !unknown && cell.filter(same).is_none() {
                differs(
                    stored.offset,
                    Some(&stored.payload),
                    cell.map(|cell| cell.payload),
                );
            }
            expected = stored.offset.saturating_add(1);
        }
        if expected < settled.tail {
            let holds = contents.get(expected, work).map(|cell| cell.payload);
            differs(expected, None, holds);
        }
    }
}

/// Readers go from record to record, and leave out only what was trimmed.
pub(super) fn steps(subject: &Subject<'_>, findings: &mut Findings<'_>, work: &Work) {
    let trims = Trims::of(subject, work);
    let mut tails: BTreeMap<SessionId, u64> = BTreeMap::new();
    for (id, operation) in &subject.ops {
        work.step();
        let who = Who::Op(*id);
        match (&operation.kind, answer(operation)) {
            (Kind::Read { strict, from, .. }, Some((ret, Reply::Read(read)))) => {
                let mut steps = Steps {
                    next: *from,
                    who,
                    ret,
                    trims: &trims,
                    work,
                    findings,
                };
                let mut gaps = read.gaps.iter().peekable();
                for stored in &read.records {
                    work.step();
                    while let Some(gap) = gaps.next_if(|gap| gap.to <= stored.offset) {
                        steps.gap(gap.from, gap.to, *strict);
                    }
                    steps.record(stored);
                }
                for gap in gaps {
                    steps.gap(gap.from, gap.to, *strict);
                }
                if let Some(next) = read.next {
                    steps.at(next);
                }
            }
            (
                Kind::Read {
                    strict: true,
                    from: Some(from),
                    ..
                },
                None,
            ) => {
                if let Outcome::NotApplied { code, .. } = &operation.outcome
                    && code == "Trimmed"
                    && !trims.allow(from.saturating_add(1), operation.ret.unwrap_or(NEVER), work)
                {
                    findings.add(Violation::WrongRefusal {
                        log: findings.log(),
                        command: findings.witness(who),
                        why: "nothing was trimmed where it began",
                    });
                }
            }
            (Kind::Tail { session }, Some((ret, Reply::Event(event)))) => {
                let mut steps = Steps {
                    next: tails.get(session).copied(),
                    who,
                    ret,
                    trims: &trims,
                    work,
                    findings,
                };
                match event {
                    Event::Records(records) => records.iter().for_each(|stored| {
                        work.step();
                        steps.record(stored);
                    }),
                    Event::Gap { to } => {
                        let from = steps.next.unwrap_or(to.saturating_sub(1));
                        steps.gap(from, *to, false);
                    }
                    Event::CaughtUp { tail } | Event::Sealed { tail } => steps.at(*tail),
                }
                if let Some(next) = steps.next {
                    tails.insert(*session, next);
                }
            }
            _ => {}
        }
    }
}

/// One reader on its way.
struct Steps<'a, 'h> {
    /// The offset to come; none where the reader did not say where it began.
    next: Option<u64>,
    who: Who,
    ret: Nanos,
    trims: &'a Trims,
    work: &'a Work,
    findings: &'a mut Findings<'h>,
}

impl Steps<'_, '_> {
    fn record(&mut self, stored: &Stored) {
        self.at(stored.offset);
        self.next = Some(stored.offset.saturating_add(1));
    }

    /// Everything up to here was given.
    fn at(&mut self, offset: u64) {
        let expected = self.next.replace(offset).unwrap_or(offset);
        if expected != offset {
            self.findings.add(Violation::Jump {
                log: self.findings.log(),
                expected,
                found: offset,
                read: self.findings.witness(self.who),
            });
        }
    }

    fn gap(&mut self, from: u64, to: u64, strict: bool) {
        self.at(from);
        self.next = Some(to);
        let log = self.findings.log();
        let read = self.findings.witness(self.who);
        if to <= from {
            self.findings.add(Violation::Jump {
                log,
                expected: from,
                found: to,
                read,
            });
        } else if strict {
            self.findings.add(Violation::StrictGap {
                log,
                from,
                to,
                read,
            });
        } else if !self.trims.allow(to, self.ret, self.work) {
            self.findings.add(Violation::GapNotTrimmed {
                log,
                from,
                to,
                read,
            });
        }
    }
}

/// What may have been trimmed when.
pub(super) struct Trims {
    /// By target: the earliest call of a trim to there or beyond, whatever came of it.
    earliest: Vec<(u64, Nanos)>,
    trim_point: u64,
    complete: bool,
}

impl Trims {
    pub(super) fn of(subject: &Subject<'_>, work: &Work) -> Trims {
        let mut earliest: Vec<(u64, Nanos)> = subject
            .ops
            .iter()
            .filter_map(|(_, operation)| match operation.kind {
                _ if refused(&operation.outcome) => None,
                Kind::Trim { to } => Some((to, operation.call)),
                // From then on anything may go.
                Kind::Alter { retention: true } => Some((u64::MAX, operation.call)),
                _ => None,
            })
            .collect();
        work.sort_by_key(&mut earliest, |trim| *trim);
        let mut least = NEVER;
        for (_, call) in earliest.iter_mut().rev() {
            least = least.min(*call);
            *call = least;
        }
        Trims {
            earliest,
            trim_point: subject.settled.trim_point,
            complete: subject.history.complete,
        }
    }

    /// Whether everything below `to` may have been trimmed by then.
    fn allow(&self, to: u64, by: Nanos, work: &Work) -> bool {
        let at = work.partition_point(&self.earliest, |(target, _)| *target < to);
        let called = self.earliest.get(at).is_some_and(|(_, call)| *call <= by);
        // A trim point does not go back: at last it is there still.
        to <= self.trim_point && (called || !self.complete)
    }
}

fn refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotApplied { .. })
}

/// A timestamp of a record, and who told it.
#[derive(Clone, Copy)]
struct Stamp {
    offset: u64,
    timestamp: u64,
    by: Who,
}

/// Timestamps of records rise with their offsets, and are the same for everyone.
pub(super) fn timestamps(
    subject: &Subject<'_>,
    contents: &Contents<'_>,
    payloads: &Payloads,
    findings: &mut Findings<'_>,
    work: &Work,
) {
    // The log's own come first: the sort keeps them in front of what others say of the same offset.
    let mut stamps: Vec<Stamp> = contents
        .cells()
        .iter()
        .filter_map(|cell| {
            Some(Stamp {
                offset: cell.offset,
                timestamp: cell.timestamp?,
                by: cell.by,
            })
        })
        .collect();
    for (id, operation) in &subject.ops {
        work.step();
        let mut told = |offset, timestamp: Option<u64>| {
            stamps.extend(timestamp.map(|timestamp| Stamp {
                offset,
                timestamp,
                by: Who::Op(*id),
            }));
        };
        match answer(operation) {
            // Its first and its last record: those between have their order.
            Some((_, Reply::Appended(receipt))) => {
                told(receipt.start, receipt.timestamp);
                told(receipt.end.saturating_sub(1), receipt.timestamp);
            }
            Some((_, Reply::Tail(tail))) if tail.offset > 0 => {
                told(tail.offset - 1, tail.timestamp);
            }
            // What a reader was given is held against the log's own above; the rest is here.
            _ => {
                for stored in given(operation) {
                    let known = contents.get(stored.offset, work);
                    if known.is_none_or(|cell| cell.timestamp.is_none()) {
                        told(stored.offset, stored.timestamp);
                    }
                }
            }
        }
    }
    work.sort_by_key(&mut stamps, |stamp| stamp.offset);
    // Whose record it is, or else who told of it.
    let append = |stamp: Stamp, findings: &Findings<'_>| {
        let cell = contents.get(stamp.offset, work);
        let owner = cell.and_then(|cell| payloads.owner(cell.key, work));
        findings.witness(owner.map_or(stamp.by, |(place, _)| Who::Op(subject.ops[place].0)))
    };
    let mut last: Option<Stamp> = None;
    for stamp in stamps {
        work.step();
        match last {
            Some(before) if before.offset == stamp.offset => {
                if before.timestamp != stamp.timestamp {
                    findings.add(Violation::TimestampsDiffer {
                        log: findings.log(),
                        offset: stamp.offset,
                        one: before.timestamp,
                        by: findings.witness(before.by),
                        two: stamp.timestamp,
                        and: findings.witness(stamp.by),
                    });
                }
                continue;
            }
            Some(before) if before.timestamp > stamp.timestamp => {
                findings.add(Violation::TimestampBack {
                    log: findings.log(),
                    before: append(before, findings),
                    timestamp: before.timestamp,
                    after: append(stamp, findings),
                    lower: stamp.timestamp,
                });
            }
            _ => {}
        }
        last = Some(stamp);
    }
}

/// What one session was shown of one log.
pub(super) struct Shown {
    pub(super) op: OpId,
    /// 0 where it may have seen more.
    pub(super) call: Nanos,
    pub(super) ret: Nanos,
    pub(super) tail: u64,
    pub(super) version: Option<u64>,
}

/// What sessions were shown, by session; and whether that was less than they carried.
pub(super) fn sessions(
    subject: &Subject<'_>,
    findings: &mut Findings<'_>,
    work: &Work,
) -> BTreeMap<SessionId, Vec<Shown>> {
    let mut shown: BTreeMap<SessionId, Vec<Shown>> = BTreeMap::new();
    for (id, operation) in &subject.ops {
        work.step();
        let (session, floor) = match operation.kind {
            Kind::CheckTail { session, floor, .. } | Kind::Read { session, floor, .. } => {
                (session, floor)
            }
            Kind::Tail { session } => (Some(session), 0),
            _ => continue,
        };
        let Some((ret, reply)) = answer(operation) else {
            continue;
        };
        // Who was given a record saw at least its append; and may have seen more.
        if let (Some(last), Some(session)) = (given(operation).last(), session) {
            shown.entry(session).or_default().push(Shown {
                op: *id,
                call: 0,
                ret,
                tail: last.offset.saturating_add(1),
                version: None,
            });
        }
        let (tail, version) = match reply {
            Reply::Tail(tail) => (Some(tail.offset), tail.version),
            Reply::Read(read) => (read.tail, None),
            Reply::Event(Event::CaughtUp { tail } | Event::Sealed { tail }) => (Some(*tail), None),
            _ => (None, None),
        };
        let Some(tail) = tail else { continue };
        if tail < floor {
            findings.add(Violation::BelowFloor {
                log: findings.log(),
                read: findings.witness(Who::Op(*id)),
                floor,
                tail,
            });
        }
        if let Some(session) = session {
            shown.entry(session).or_default().push(Shown {
                op: *id,
                call: operation.call,
                ret,
                tail,
                version,
            });
        }
    }
    shown
}
