//! One run, from its seed to its verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::check::check;
use crate::coverage::Coverage;
use crate::history::{History, Settled, Stored};
use crate::invariants::Broken;
use crate::plan::{MS, Plan, SECOND};
use crate::trace::Trace;
use crate::world::World;

/// After everything is well again an append is acknowledged within this.
const PROGRESS: u64 = 5 * SECOND;
/// Every call has ended by then: they have deadlines.
const SETTLED: u64 = 15 * SECOND;

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The same for the same seed, commit by commit.
    pub digest: u64,
    /// Simulated nanoseconds.
    pub simulated: u64,
    /// Events.
    pub events: u64,
    /// Records acknowledged.
    pub acknowledged: u64,
    /// Slots chosen.
    pub chosen: u64,
    /// What was reached.
    pub coverage: Coverage,
    /// What clients asked and were told, if the run came to its end.
    pub history: Option<History>,
    /// A line an event, if they were asked for.
    pub trace: Vec<String>,
    /// What went wrong.
    pub failure: Option<Failure>,
}

/// Why a run failed: the first thing that was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which invariant or rule was broken; two failures of one rule are taken to have one cause.
    pub rule: String,
    /// What was seen.
    pub what: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Failure {
        Failure {
            rule: broken.rule.to_owned(),
            what: broken.what,
        }
    }
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, trace: bool) -> Report {
    run_plan(seed, Plan::draw(seed), trace)
}

/// Runs a plan with a seed.
#[must_use]
pub fn run_plan(seed: u64, plan: Plan, trace: bool) -> Report {
    let mut world = World::new(seed, plan, Trace::new(trace));
    let verdict = catch_unwind(AssertUnwindSafe(|| play(&mut world)));
    let (failure, history) = match verdict {
        Ok(Ok(history)) => (judge(&history), Some(history)),
        Ok(Err(broken)) => (Some(broken.into()), None),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            let failure = Failure {
                rule: "panic".into(),
                what: text.unwrap_or_default(),
            };
            (Some(failure), None)
        }
    };
    world.collect();
    Report {
        seed,
        digest: world.trace.digest() ^ world.events,
        simulated: world.now,
        events: world.events,
        acknowledged: world.clients.acknowledged,
        chosen: world.invariants.chosen(),
        coverage: std::mem::take(&mut world.coverage),
        history,
        trace: world.trace.lines().to_vec(),
        failure,
    }
}

/// What the checker finds in a history, if anything.
fn judge(history: &History) -> Option<Failure> {
    let report = check(history);
    let first = report.violations.first()?;
    let more = report.violations.len() as u64 - 1 + report.more;
    let more = match more {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(Failure {
        rule: format!("history: {}", first.rule()),
        what: format!("{first}{more}"),
    })
}

fn play(world: &mut World) -> Result<History, Broken> {
    let fails = |rule, what| Err(Broken { rule, what });
    let until = world.plan.faults_until;
    world.run_until(until)?;
    if world.plan.last_majority {
        the_last_majority(world)?;
    }
    world.heal();
    // A group that could not be formed, because a disk was lost before, asks for nothing.
    let lost = world.replicas.iter().filter(|replica| replica.out).count();
    if lost * 2 >= world.replicas.len() && world.replicas.len() > 1 {
        return fails("the atlas", format!("{lost} replicas are out"));
    }
    // A client that comes now is served: older ones may still wait for replicas that are gone.
    let healed = world.now;
    let probe = world.add_client();
    loop {
        if world.clients.acknowledged_of(probe) > 0 {
            break;
        }
        if world.now > healed + PROGRESS {
            return fails(
                "progress",
                format!(
                    "nothing is acknowledged {} ms after all is well{}",
                    PROGRESS / MS,
                    world.describe()
                ),
            );
        }
        let next = world.now + 50 * MS;
        world.run_until(next)?;
    }
    // Every call ends.
    world.clients.quiet = true;
    let quiet = world.now;
    while world.clients.under_way() > 0 {
        if world.now > quiet + SETTLED {
            return fails(
                "every call ends",
                format!("{} have not", world.clients.under_way()),
            );
        }
        let next = world.now + 50 * MS;
        world.run_until(next)?;
    }
    // Whoever takes part holds everything.
    let until = world.now + SETTLED;
    loop {
        let applied = world.applied();
        let equal = applied
            .values()
            .collect::<std::collections::BTreeSet<_>>()
            .len()
            == 1;
        let all = world
            .replicas
            .iter()
            .filter(|replica| replica.in_group())
            .count();
        if equal && applied.len() == all {
            break;
        }
        if world.now > until {
            return fails("all hold everything", world.describe());
        }
        let next = world.now + 50 * MS;
        world.run_until(next)?;
    }
    world.seal_all();
    wait_quiet(world)?;
    let next = world.now + SECOND;
    world.run_until(next)?;
    world.read_all();
    wait_quiet(world)?;
    world.close_tails();
    Ok(settle(world))
}

fn wait_quiet(world: &mut World) -> Result<(), Broken> {
    let until = world.now + SETTLED;
    while world.clients.under_way() > 0 {
        if world.now > until {
            return Err(Broken {
                rule: "every call ends",
                what: format!("{} have not{}", world.clients.under_way(), world.describe()),
            });
        }
        let next = world.now + 50 * MS;
        world.run_until(next)?;
    }
    Ok(())
}

/// The power goes everywhere, and only a majority comes back: it holds everything that was acknowledged.
fn the_last_majority(world: &mut World) -> Result<(), Broken> {
    let n = world.replicas.len();
    let out = world.replicas.iter().filter(|replica| replica.out).count();
    let away = (n - 1) / 2;
    if away <= out {
        return Ok(());
    }
    for at in 0..n {
        world.crash(at, true);
    }
    world.coverage.hit("only a majority came back");
    let first = world.fault_rng.below(n as u64) as usize;
    let mut left = away - out;
    for at in (0..n).map(|at| (first + at) % n) {
        if left > 0 && !world.replicas[at].out {
            left -= 1;
            continue;
        }
        world
            .queue
            .push(world.now + MS, crate::world::Happening::Start { at });
    }
    world.network.heal();
    let next = world.now + 2 * SECOND;
    world.run_until(next)
}

/// The history, with what each log came to.
fn settle(world: &mut World) -> History {
    let clients = &mut world.clients;
    for (log, name) in clients.logs.clone().into_iter().enumerate() {
        let copies: Vec<(usize, &(Vec<Stored>, u64))> = clients
            .settled
            .iter()
            .filter(|((of, _), _)| *of == log)
            .map(|((_, replica), copy)| (*replica, copy))
            .collect();
        let Some((_, (records, tail))) = copies.first() else {
            continue;
        };
        let mut settled = Settled::whole(name.as_str(), records.clone());
        settled.trim_point = records.first().map_or(*tail, |first| first.offset);
        settled.tail = *tail;
        settled.sealed = Some(true);
        for (replica, (records, _)) in &copies {
            settled.add_replica(*replica as u64 + 1, records.clone());
        }
        clients.recorder.settle(settled);
    }
    std::mem::take(&mut clients.recorder).finish()
}
