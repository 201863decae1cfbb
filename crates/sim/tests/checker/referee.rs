//! A general linearizability tester, which tries orders, must say of small histories what the checker says.

mod mutate;

use std::collections::BTreeMap;

use paxlog_sim::check::check;
use paxlog_sim::history::{
    CursorAt, Expected, History, Kind, Observed, Operation, Outcome, Receipt, Reply, TailReply,
};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use crate::generate::{Mix, legal};
use crate::properties::told;
use crate::rng::Rng;
use mutate::mutate;

/// A log, done one command after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Log {
    content: Vec<String>,
    trim_point: u64,
    sealed: bool,
    version: u64,
    fence: Option<String>,
    cursors: BTreeMap<String, u64>,
    /// Whether replies carry versions.
    versions: bool,
    /// Whether check-tails tell of the fence.
    tells_fence: bool,
}

/// What is read of a log when all is over.
#[derive(Clone, Debug, PartialEq)]
struct End {
    content: Vec<String>,
    trim_point: u64,
    sealed: bool,
    version: u64,
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
    Everything(End),
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

    fn mismatch(&self, name: &str) -> Outcome {
        let mut refused = self.refuse("CursorMismatch");
        if let Outcome::NotApplied {
            seen: Some(seen), ..
        } = &mut refused
        {
            seen.cursor = Some(self.cursor(name));
        }
        refused
    }

    fn cursor(&self, name: &str) -> CursorAt {
        self.cursors.get(name).copied().into()
    }

    fn changed(&mut self) -> Outcome {
        self.version += 1;
        Outcome::Ok(Reply::Changed {
            version: self.told_version(),
            duplicate: false,
        })
    }
}

fn holds<T: PartialEq>(expect: &Expected<T>, is: Option<&T>) -> bool {
    match expect {
        Expected::Any => true,
        Expected::Absent => is.is_none(),
        Expected::Is(value) => is == Some(value),
    }
}

impl SequentialSpec for Log {
    type Op = Asked;
    type Ret = Told;

    fn invoke(&mut self, op: &Asked) -> Told {
        let Asked::Op(kind) = op else {
            return Told::Everything(End {
                content: self.content.clone(),
                trim_point: self.trim_point,
                sealed: self.sealed,
                version: self.version,
            });
        };
        Told::Op(match kind {
            Kind::Append { .. } if self.sealed => self.refuse("Sealed"),
            Kind::Append { fence, .. } if *fence != self.fence => self.refuse("Fenced"),
            Kind::Append {
                if_tail: Some(tail),
                ..
            } if *tail != self.tail() => self.refuse("TailMismatch"),
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
                fence: self
                    .tells_fence
                    .then(|| self.fence.clone().unwrap_or_default()),
            })),
            Kind::Fence { expect, .. } if !holds(expect, self.fence.as_ref()) => {
                self.refuse("Fenced")
            }
            Kind::Fence { token, .. } => {
                self.fence.clone_from(token);
                self.version += 1;
                Outcome::Ok(Reply::FenceSet {
                    tail: self.tail(),
                    version: self.told_version(),
                    duplicate: false,
                })
            }
            Kind::SetCursor { name, expect, .. } if !holds(expect, self.cursors.get(name)) => {
                self.mismatch(name)
            }
            Kind::SetCursor { at, .. } if *at > self.tail() => self.refuse("OffsetOutOfRange"),
            Kind::SetCursor { name, at, .. } => {
                self.cursors.insert(name.clone(), *at);
                self.changed()
            }
            Kind::DeleteCursor { name } if !self.cursors.contains_key(name) => {
                self.refuse("NotFound")
            }
            Kind::DeleteCursor { name } => {
                self.cursors.remove(name);
                self.changed()
            }
            Kind::Cursor { name, .. } => Outcome::Ok(Reply::Cursor {
                at: self.cursor(name),
                version: self.told_version(),
            }),
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
        fence: None,
        cursors: BTreeMap::new(),
        versions,
        tells_fence: history.operations.iter().any(tells_fence),
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
    let end = End {
        content: all.map(|stored| stored.payload.to_string()).collect(),
        trim_point: settled.trim_point,
        sealed: settled.sealed.expect("it is told"),
        version: settled.version.unwrap_or_default(),
    };
    let last = history.operations.len();
    let returned = match versions {
        true => Told::Everything(end),
        // Then nobody knows the version: the content and the marks must do.
        false => {
            return [1, 2, 3, 4, 5, 6, 7, 8, 9].iter().any(|version| {
                let mut tester = tester.clone();
                let end = Told::Everything(End {
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

fn tells_fence(operation: &Operation) -> bool {
    matches!(&operation.outcome, Outcome::Ok(Reply::Tail(tail)) if tail.fence.is_some())
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

/// What the checker reports is illegal, and it finds nearly all that is: of so many illegal histories at most one is
/// missed. Where it must find all, `exact` says so.
fn nearly_agree(
    cases: u64,
    mix: impl Fn(u64) -> Mix,
    one_missed_of: u64,
    exact: impl Fn(&History) -> bool,
) {
    let (mut legal_ones, mut found, mut missed) = (0_u64, 0_u64, 0_u64);
    for seed in 0..cases {
        let mut rng = Rng::new(seed ^ 0xbad);
        let mix = mix(2 + rng.below(7));
        let mut history = plain(legal(seed, mix));
        for changes in 0..4 {
            if changes > 0 {
                mutate(&mut history, &mut rng);
            }
            if !acknowledges(&history) {
                break;
            }
            let report = check(&history);
            let legal = referee(&history, mix.versions);
            match (report.clean(), legal) {
                (true, true) => legal_ones += 1,
                (true, false) if !exact(&history) => missed += 1,
                (false, false) => found += 1,
                _ => panic!(
                    "seed {seed}, {changes} changes: the referee says {legal}, the checker:\n{}\n{}",
                    told(&report),
                    text(&history)
                ),
            }
        }
    }
    println!("{legal_ones} legal histories; of illegal ones {found} found, {missed} not");
    assert!(legal_ones > cases && found > cases / 4, "both are drawn");
    assert!(
        missed * one_missed_of < found,
        "{found} found, {missed} not"
    );
}

/// Where replies carry no versions.
#[test]
fn the_referee_agrees_with_what_is_reported_without_versions() {
    let mix = |ops| Mix {
        versions: false,
        ..mix(ops)
    };
    nearly_agree(cases(), mix, 100, |_| false);
}

/// Then fences and cursors are hardly judged at all: only what is reported counts.
#[test]
fn the_referee_agrees_with_what_is_reported_of_registers_without_versions() {
    let mix = |ops| Mix {
        registers: true,
        versions: false,
        ..mix(ops)
    };
    nearly_agree(cases(), mix, 1, |_| false);
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
        registers: false,
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

/// Fences, conditions and cursors: where all outcomes are known the checker finds all.
#[test]
fn the_referee_agrees_on_registers() {
    let mix = |ops| Mix {
        registers: true,
        unknown: 0,
        ..mix(ops)
    };
    nearly_agree(2 * cases(), mix, 100, |history| {
        !history.operations.iter().any(unknown)
    });
}

/// Where some are unknown it is weaker: see the top of `check/registers.rs`.
#[test]
fn the_referee_agrees_with_what_is_reported_of_registers_where_outcomes_are_unknown() {
    let mix = |ops| Mix {
        registers: true,
        ..mix(ops)
    };
    nearly_agree(2 * cases(), mix, 30, |history| {
        !history.operations.iter().any(unknown)
    });
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
