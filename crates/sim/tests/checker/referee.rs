//! A general linearizability tester, which tries orders, must say of small histories what the checker says.

use paxlog_sim::check::check;
use paxlog_sim::history::{History, Kind, Observed, Operation, Outcome, Receipt, Reply, TailReply};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use crate::generate::{Mix, legal};
use crate::properties::told;
use crate::rng::Rng;

/// A log, done one command after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Log {
    content: Vec<String>,
    trim_point: u64,
    sealed: bool,
    version: u64,
    /// Whether replies carry versions.
    versions: bool,
}

/// What was asked: of an operation, or everything when all is over.
#[derive(Clone, Debug)]
enum Asked {
    Op(Kind),
    Everything,
}

#[derive(Clone, Debug, PartialEq)]
enum Told {
    Op(Outcome),
    Everything(Log),
}

impl Log {
    fn tail(&self) -> u64 {
        self.content.len() as u64
    }

    fn told_version(&self) -> Option<u64> {
        self.versions.then_some(self.version)
    }

    fn refuse(&self, code: &str) -> Outcome {
        Outcome::NotApplied {
            code: code.into(),
            seen: Some(Observed {
                tail: Some(self.tail()),
                version: self.told_version(),
                sealed: Some(self.sealed),
                cursor: None,
            }),
        }
    }
}

impl SequentialSpec for Log {
    type Op = Asked;
    type Ret = Told;

    fn invoke(&mut self, op: &Asked) -> Told {
        let Asked::Op(kind) = op else {
            return Told::Everything(self.clone());
        };
        Told::Op(match kind {
            Kind::Append { .. } if self.sealed => self.refuse("Sealed"),
            Kind::Append { records, .. } => {
                let start = self.tail();
                self.content
                    .extend(records.iter().map(|payload| payload.to_string()));
                self.version += 1;
                Outcome::Ok(Reply::Appended(Receipt {
                    version: self.told_version(),
                    ..Receipt::at(start..self.tail())
                }))
            }
            Kind::Trim { to } if *to > self.tail() => self.refuse("OffsetOutOfRange"),
            Kind::Trim { to } => {
                self.trim_point = self.trim_point.max(*to);
                self.version += 1;
                Outcome::Ok(Reply::Trimmed {
                    trim_point: self.trim_point,
                    tail: self.tail(),
                    version: self.told_version(),
                    duplicate: false,
                })
            }
            Kind::Seal => {
                self.sealed = true;
                self.version += 1;
                Outcome::Ok(Reply::Sealed {
                    tail: self.tail(),
                    version: self.told_version(),
                    duplicate: false,
                })
            }
            Kind::CheckTail { .. } => Outcome::Ok(Reply::Tail(TailReply {
                offset: self.tail(),
                timestamp: None,
                trim_point: self.trim_point,
                sealed: self.sealed,
                version: self.told_version(),
                fence: None,
            })),
            other => unreachable!("{other:?} is not drawn"),
        })
    }
}

/// Whether some order explains the history.
fn referee(history: &History, versions: bool) -> bool {
    let empty = Log {
        content: Vec::new(),
        trim_point: 0,
        sealed: false,
        version: 1,
        versions,
    };
    let mut tester = LinearizabilityTester::new(empty);
    // Each operation is a thread of its own. At one time, calls come before returns: they overlap.
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (at, operation) in history.operations.iter().enumerate() {
        if matches!(operation.outcome, Outcome::NotApplied { seen: None, .. }) {
            continue;
        }
        events.push((operation.call, false, at));
        if let (Some(ret), false) = (operation.ret, unknown(operation)) {
            events.push((ret, true, at));
        }
    }
    events.sort_unstable();
    for (_, returns, at) in events {
        let operation = &history.operations[at];
        match returns {
            false => tester.on_invoke(at, Asked::Op(operation.kind.clone())),
            true => tester.on_return(at, Told::Op(operation.outcome.clone())),
        }
        .expect("a thread calls, then returns");
    }
    let settled = &history.settled[0];
    let all = settled.kept.iter().chain(&settled.records);
    let end = Log {
        content: all.map(|stored| stored.payload.to_string()).collect(),
        trim_point: settled.trim_point,
        sealed: settled.sealed.expect("it is told"),
        version: settled.version.unwrap_or_default(),
        versions,
    };
    let last = history.operations.len();
    let returned = match versions {
        true => Told::Everything(end),
        // Then nobody knows the version: the content and the marks must do.
        false => {
            return [1, 2, 3, 4, 5, 6, 7, 8, 9].iter().any(|version| {
                let mut tester = tester.clone();
                let end = Told::Everything(Log {
                    version: *version,
                    ..end.clone()
                });
                tester.on_invoke(last, Asked::Everything).expect("a thread");
                tester.on_return(last, end).expect("it called");
                tester.is_consistent()
            });
        }
    };
    tester.on_invoke(last, Asked::Everything).expect("a thread");
    tester.on_return(last, returned).expect("it called");
    tester.is_consistent()
}

fn unknown(operation: &Operation) -> bool {
    matches!(operation.outcome, Outcome::Unknown { .. })
}

/// What both can say: no timestamps, no second answers.
fn plain(mut history: History) -> History {
    for operation in &mut history.operations {
        operation.again.clear();
        match &mut operation.outcome {
            Outcome::Ok(Reply::Appended(receipt)) => receipt.timestamp = None,
            Outcome::Ok(Reply::Tail(tail)) => tail.timestamp = None,
            _ => {}
        }
    }
    let settled = &mut history.settled[0];
    settled.replicas.clear();
    for stored in settled.records.iter_mut().chain(&mut settled.kept) {
        stored.timestamp = None;
    }
    history
}

/// Changes something that was said, or when.
fn mutate(history: &mut History, rng: &mut Rng) {
    let at = rng.below(history.operations.len() as u64) as usize;
    let up = rng.one_in(2);
    let shift = |number: &mut u64| {
        *number = match up {
            true => *number + 1,
            false => number.saturating_sub(1),
        }
    };
    let operation = &mut history.operations[at];
    match rng.below(6) {
        0 => {
            let by = rng.below(100);
            operation.call += by;
            operation.ret = operation.ret.map(|ret| ret + by);
        }
        1 => {
            operation.call = operation.call.saturating_sub(rng.below(100));
            operation.ret = Some(operation.call + rng.below(5));
        }
        2 => match &mut operation.outcome {
            Outcome::Ok(Reply::Appended(Receipt { version, .. }))
            | Outcome::Ok(Reply::Trimmed { version, .. })
            | Outcome::Ok(Reply::Sealed { version, .. })
            | Outcome::Ok(Reply::Tail(TailReply { version, .. })) => {
                version.iter_mut().for_each(shift);
            }
            Outcome::NotApplied {
                seen: Some(seen), ..
            } => {
                seen.version.iter_mut().for_each(shift);
            }
            _ => {}
        },
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
            Outcome::Ok(Reply::Sealed { tail, .. }) => shift(tail),
            Outcome::Ok(Reply::Tail(tail)) => match rng.below(3) {
                0 => shift(&mut tail.offset),
                1 => shift(&mut tail.trim_point),
                _ => tail.sealed = !tail.sealed,
            },
            _ => {}
        },
        4 => operation.outcome = Outcome::Unknown { code: None },
        _ => {
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
    }
    // What was answered has returned.
    for operation in &mut history.operations {
        if !unknown(operation) {
            operation.ret.get_or_insert(operation.call + 20);
        }
    }
}

/// Histories to draw; `PAXLOG_REFEREE_CASES` asks for more.
#[expect(clippy::disallowed_methods, reason = "a test, told how long to go on")]
fn cases() -> u64 {
    std::env::var("PAXLOG_REFEREE_CASES").map_or(1_000, |text| {
        text.parse().expect("PAXLOG_REFEREE_CASES is a number")
    })
}

fn agree(cases: u64, mix: impl Fn(u64) -> Mix, versions: bool) {
    let (mut legal_ones, mut illegal) = (0_u64, 0_u64);
    for seed in 0..cases {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let mut history = plain(legal(seed, mix(2 + rng.below(7))));
        for changes in 0..4 {
            if changes > 0 {
                mutate(&mut history, &mut rng);
            }
            if !acknowledges(&history) {
                break;
            }
            let (report, expected) = (check(&history), referee(&history, versions));
            assert_eq!(
                report.clean(),
                expected,
                "seed {seed}, {changes} changes: the referee says {expected}, the checker:\n{}\n{}",
                told(&report),
                text(&history)
            );
            assert!(
                changes > 0 || expected,
                "seed {seed} is legal as it was made"
            );
            match expected {
                true => legal_ones += 1,
                false => illegal += 1,
            }
        }
    }
    println!("{legal_ones} legal and {illegal} illegal histories");
    assert!(legal_ones > cases && illegal > cases / 4, "both are drawn");
}

/// Where replies carry no versions, what the checker reports is illegal; and it must find nearly all that is.
#[test]
fn the_referee_agrees_with_what_is_reported_without_versions() {
    let mix = |ops| Mix {
        versions: false,
        ..mix(ops)
    };
    let (mut legal_ones, mut found, mut missed) = (0_u64, 0_u64, 0_u64);
    for seed in 0..cases() {
        let mut rng = Rng::new(seed ^ 0xbad);
        let mut history = plain(legal(seed, mix(2 + rng.below(7))));
        for changes in 0..4 {
            if changes > 0 {
                mutate(&mut history, &mut rng);
            }
            if !acknowledges(&history) {
                break;
            }
            let report = check(&history);
            match (report.clean(), referee(&history, false)) {
                (true, true) => legal_ones += 1,
                (true, false) => missed += 1,
                (false, false) => found += 1,
                (false, true) => panic!(
                    "seed {seed}, {changes} changes: legal, but:\n{}\n{}",
                    told(&report),
                    text(&history)
                ),
            }
        }
    }
    println!("{legal_ones} legal histories; of illegal ones {found} found, {missed} not");
    assert!(
        legal_ones > cases() && found > cases() / 4,
        "both are drawn"
    );
    assert!(missed * 100 < found, "{found} found, {missed} not");
}

/// Else it is vacuous, whatever else it is.
fn acknowledges(history: &History) -> bool {
    history
        .operations
        .iter()
        .any(|operation| matches!(operation.outcome, Outcome::Ok(Reply::Appended(_))))
}

fn text(history: &History) -> String {
    let mut out = Vec::new();
    history.write(&mut out).expect("written");
    String::from_utf8(out).expect("JSON is text")
}

fn mix(ops: u64) -> Mix {
    Mix {
        ops,
        spread: 40,
        unknown: 3,
        readers: false,
        trims: true,
        seals: true,
        versions: true,
        records_max: 1,
    }
}

#[test]
fn the_referee_agrees_on_appends_tails_trims_and_seals() {
    agree(cases(), mix, true);
}

#[test]
fn the_referee_agrees_where_most_outcomes_are_unknown() {
    let mix = |ops| Mix {
        unknown: 2,
        spread: 25,
        ..mix(ops)
    };
    agree(4 * cases(), mix, true);
}

#[test]
fn the_referee_agrees_on_appends_and_tails_without_versions() {
    let mix = |ops| Mix {
        trims: false,
        seals: false,
        versions: false,
        ..mix(ops)
    };
    agree(cases(), mix, false);
}
