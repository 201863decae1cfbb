//! The states that replies show: each must be possible, all must follow each other in one order; and by version, one
//! sequence of commands must explain them all.

use super::findings::Findings;
use super::points::Point;
use super::subject::Who;
use super::violation::Violation;
use super::work::Work;

/// What must have been done by some version, of which its caller does not know that it happened; and who saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A trim to there, at that version at the latest.
    Trim { to: u64, version: u64, by: Who },
    /// A seal, at that version at the latest.
    Seal { version: u64, by: Who },
}

/// Holds each state against itself, and those that nobody need have ordered against each other: tails, trim points and
/// seals only rise, so of two states one has none lower.
pub(super) fn chain(points: &[Point], findings: &mut Findings<'_>, work: &Work) {
    let mut contradict = |what, one: Who, two: Who| {
        findings.add(Violation::States {
            log: findings.log(),
            what,
            one: findings.witness(one),
            two: findings.witness(two),
        });
    };
    let mut maker: Option<Who> = None;
    for point in points {
        work.step();
        if let (Some(tail), Some(trim_point)) = (point.tail, point.trim_point)
            && trim_point > tail
        {
            contradict("the trim point lies beyond the tail", point.who, point.who);
        }
        if let (Some(to), Some(trim_point)) = (point.to, point.trim_point)
            && trim_point < to
        {
            contradict("a trim did not move the trim point", point.who, point.who);
        }
        if point.makes()
            && let Some(other) = maker.replace(point.who)
        {
            contradict("the log was made twice", other, point.who);
        }
    }
    let tails = points
        .iter()
        .filter_map(|point| Some((point.tail?, point.trim_point?, point.who)));
    crossing(tails.collect(), work, |one, two| {
        contradict(
            "one has the higher tail, the other the higher trim point",
            one,
            two,
        );
    });
    // Of tails and seals: a sealed log's tail is the last (`order::after_seal`).
    let seals = points
        .iter()
        .filter_map(|point| Some((point.trim_point?, point.sealed?.into(), point.who)));
    crossing(seals.collect(), work, |one, two| {
        contradict(
            "one has the higher trim point, the other is sealed",
            one,
            two,
        );
    });
}

/// Finds states of which one has the higher first number and the other the higher second.
fn crossing(mut states: Vec<(u64, u64, Who)>, work: &Work, mut found: impl FnMut(Who, Who)) {
    work.sort_by_key(&mut states, |(first, second, _)| (*first, *second));
    let mut highest: Option<(u64, Who)> = None;
    for (_, second, who) in states {
        work.step();
        match highest {
            Some((higher, by)) if higher > second => found(who, by),
            _ => highest = Some((second, who)),
        }
    }
}

/// Holds the states against each other, in the order of their versions: `points` is sorted by rank. What they show
/// that no known command did is returned, each once, by version.
pub(super) fn judge(points: &[Point], findings: &mut Findings<'_>, work: &Work) -> Vec<Due> {
    let mut due = Vec::new();
    // The newest point that says it, and what it says.
    let mut tail: Option<(u64, &Point)> = None;
    let mut reached: Option<(u64, &Point)> = None;
    let mut trimmed: Option<(u64, &Point)> = None;
    let mut sealed: Option<(bool, &Point)> = None;
    let mut command: Option<&Point> = None;
    let mut deleted: Option<&Point> = None;
    for point in points {
        work.step();
        if let Some(delete) = deleted.filter(|delete| point.rank() > delete.rank()) {
            findings.add(Violation::AfterDelete {
                log: findings.log(),
                delete: findings.witness(delete.who),
                after: findings.witness(point.who),
            });
        }
        if point.deletes {
            deleted = Some(point);
        }
        if !point.version_can_be() {
            findings.add(Violation::FirstVersion {
                log: findings.log(),
                version: point.version.unwrap_or_default(),
                by: findings.witness(point.who),
            });
        }
        let mut contradict = |what, one: Who| {
            findings.add(Violation::States {
                log: findings.log(),
                what,
                one: findings.witness(one),
                two: findings.witness(point.who),
            });
        };
        if point.command
            && let Some(other) = command
            && other.version == point.version
        {
            // Appends that were packed into one batch are one command.
            if point.start.is_some() && (point.start, point.tail) == (other.start, other.tail) {
                continue;
            }
            findings.add(Violation::VersionTwice {
                log: findings.log(),
                version: point.version.unwrap_or_default(),
                one: findings.witness(other.who),
                two: findings.witness(point.who),
            });
            return due;
        }
        // Before an append the log ended where it begins.
        if let Some(now) = point.tail {
            if let Some((before, by)) = tail {
                if before > point.start.unwrap_or(now) {
                    contradict("a higher version has a lower tail", by.who);
                } else if before != now && by.version == point.version {
                    contradict("one version has two tails", by.who);
                }
            }
            tail = Some((now, point));
            if let Some((offset, by)) = reached
                && offset >= point.start.unwrap_or(now)
            {
                contradict("a cursor was set beyond the tail", by.who);
                reached = None;
            }
        }
        if let Some(offset) = point.reached
            && reached.is_none_or(|(furthest, _)| offset > furthest)
        {
            reached = Some((offset, point));
            if let Some((now, by)) = tail
                && by.version == point.version
                && offset >= now
            {
                contradict("a cursor was set beyond the tail", by.who);
                reached = None;
            }
        }
        if let Some(now) = point.trim_point {
            let (before, by) = trimmed.map_or((0, point), |known| known);
            let own = point.to;
            if now < before {
                contradict("a higher version has a lower trim point", by.who);
            } else if now != before && trimmed.is_some() && by.version == point.version {
                contradict("one version has two trim points", by.who);
            } else if now > before.max(own.unwrap_or(0)) {
                due.push(Due::Trim {
                    to: now,
                    version: point.version.unwrap_or(u64::MAX),
                    by: point.who,
                });
            }
            trimmed = Some((now, point));
        }
        if let Some(now) = point.sealed {
            let before = sealed.is_some_and(|(before, _)| before);
            if before && !now {
                let seal = sealed.map_or(Who::Settled, |(_, by)| by.who);
                findings.add(Violation::AfterSeal {
                    log: findings.log(),
                    seal: findings.witness(seal),
                    after: findings.witness(point.who),
                });
            } else if now && !before && !point.command {
                due.push(Due::Seal {
                    version: point.version.unwrap_or(u64::MAX),
                    by: point.who,
                });
            }
            if now != before || sealed.is_none() {
                sealed = Some((now, point));
            }
        }
        if point.command {
            command = Some(point);
        }
    }
    due
}
