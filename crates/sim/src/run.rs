//! One run, from its seed to its verdict.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use paxlog_paxos::Slot;

use crate::check::{Violation, check};
use crate::clients::{Clients, Whole};
use crate::coverage::Coverage;
use crate::history::{History, Settled};
use crate::invariants::Broken;
use crate::plan::{Ending, MS, Plan, SECOND};
use crate::replica::Replica;
use crate::trace::{Detail, Trace};
use crate::world::World;

/// After everything is well again an append is acknowledged within this.
const PROGRESS: u64 = 5 * SECOND;
/// And one of a new client, which comes behind all that wait, within this.
const SERVED: u64 = 10 * SECOND;
/// Rules that say that something must happen, and nothing of what may not.
const LIVENESS: [&str; 2] = ["progress", "a new client is served"];
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
pub fn run(seed: u64, detail: Detail) -> Report {
    run_plan(Plan::draw(seed), detail)
}

/// Runs a plan.
#[must_use]
pub fn run_plan(plan: Plan, detail: Detail) -> Report {
    play_out(plan, detail, play)
}

/// Runs a plan by a course of its own, to its verdict.
pub(crate) fn play_out(
    plan: Plan,
    detail: Detail,
    course: impl FnOnce(&mut World) -> Result<Option<History>, Broken>,
) -> Report {
    judge_by(plan, detail, course, judge)
}

/// Runs and judges. A panic is a finding like any other, wherever it comes from: in the run, before it, or in the
/// checker.
fn judge_by(
    plan: Plan,
    detail: Detail,
    course: impl FnOnce(&mut World) -> Result<Option<History>, Broken>,
    judge: impl FnOnce(&History, bool) -> Option<Failure>,
) -> Report {
    let (seed, atlas) = (plan.seed, plan.atlas);
    let (mut made, mut history) = (None, None);
    let verdict = catch_unwind(AssertUnwindSafe(|| {
        let world = made.insert(World::new(plan, Trace::new(detail)));
        history = course(world)?;
        Ok::<_, Broken>(history.as_ref().and_then(|history| judge(history, atlas)))
    }));
    let failure = match verdict {
        Ok(Ok(failure)) => failure,
        Ok(Err(broken)) => Some(Failure::from(broken)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Some(Failure {
                rule: "panic".into(),
                what: text.unwrap_or_default(),
            })
        }
    };
    let Some(mut world) = made else {
        return Report {
            seed,
            digest: 0,
            simulated: 0,
            events: 0,
            acknowledged: 0,
            chosen: 0,
            coverage: Coverage::default(),
            history,
            trace: Vec::new(),
            failure,
        };
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
        trace: world.trace.take_lines(),
        failure,
    }
}

/// What the checker finds in a history, if anything. Where more was ruined than can be survived it need not
/// have been possible to read everything at the end.
fn judge(history: &History, atlas: bool) -> Option<Failure> {
    let report = check(history);
    let counts = |violation: &&Violation| {
        atlas
            || !matches!(
                violation,
                Violation::Vacuous { .. } | Violation::NotSettled { .. }
            )
    };
    let mut wrong = report.violations.iter().filter(counts);
    let first = wrong.next()?;
    let more = match wrong.count() as u64 + report.more {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(Failure {
        rule: format!("history: {}", first.rule()),
        what: format!("{first}{more}"),
    })
}

fn play(world: &mut World) -> Result<Option<History>, Broken> {
    let until = world.plan.faults_until;
    world.run_until(until)?;
    match world.plan.ending.clone() {
        Ending::Heal => {}
        Ending::LastMajority { away } => the_last_majority(world, &away)?,
        Ending::Core { .. } if world.plan.atlas => {
            world.heal_core();
            if world.healed {
                serves(world, "while only a core is well")?;
            }
        }
        Ending::Core { .. } => {}
    }
    world.heal();
    finish(world)
}

/// All is well: everybody is served, and holds the same in the end.
pub(crate) fn finish(world: &mut World) -> Result<Option<History>, Broken> {
    // Whoever was down has tried to start.
    world.run_until(world.now + 10 * MS)?;
    let listed = |replica: &Replica| replica.formed && !replica.out;
    let lost = world.replicas.iter().any(|replica| replica.out);
    if lost && !world.replicas.iter().any(listed) {
        // Who was lost before others had the list is waited for: two groups could be formed else.
        world.coverage.hit("a group could not be formed");
        return Ok(None);
    }
    if world.plan.atlas {
        // Otherwise nothing can be asked of the rest.
        let lost = world.replicas.iter().filter(|replica| replica.out).count();
        if lost * 2 >= world.replicas.len() && world.replicas.len() > 1 {
            return fails("the atlas", format!("{lost} replicas are out"));
        }
    }
    // Without the atlas it may stop, for good.
    match serves(world, "after all is well") {
        Err(broken) if LIVENESS.contains(&broken.rule) && !world.plan.atlas => {
            world.clients.quiet = true;
            let until = world.now + SETTLED;
            world.run_while(until, |world| world.clients.under_way() > 0)?;
            world.coverage.hit("stopped, and showed nothing wrong");
            return Ok(Some(settle(world)));
        }
        other => other?,
    }
    world.clients.quiet = true;
    calls_end(world)?;
    // Whoever takes part holds everything.
    let until = world.now + SETTLED;
    let equal = world.run_while(until, |world| {
        let applied = world.applied();
        let all = world.replicas.iter().filter(|replica| replica.in_group());
        let slots: BTreeSet<Slot> = applied.values().copied().collect();
        slots.len() > 1 || applied.len() != all.count()
    })?;
    if !equal && world.plan.atlas {
        return fails("all hold everything", world.describe());
    }
    for at in 0..world.replicas.len() {
        if world.replicas[at].in_group() {
            world.compare_state(at);
        }
    }
    let led = world.leaders.len();
    world.seal_all();
    calls_end(world)?;
    if world.plan.deletes {
        // Whoever knew the log before by its id was told that it is deleted, and looks for its name now.
        world.seal_all();
        calls_end(world)?;
    }
    world.run_until(world.now + SECOND)?;
    world.read_all();
    calls_end(world)?;
    if world.plan.atlas {
        every_copy_is_there(world)?;
    }
    // One may still have been on its way out.
    if world.leaders.len() > led + 1 && world.plan.atlas {
        return fails(
            "leaders stay",
            format!("{} changes while all was well", world.leaders.len() - led),
        );
    }
    world.close_tails();
    Ok(Some(settle(world)))
}

fn fails<T>(rule: &'static str, what: String) -> Result<T, Broken> {
    Err(Broken { rule, what })
}

/// Something is acknowledged soon, and a client that comes now is served: older ones may still wait for replicas that
/// are gone.
fn serves(world: &mut World, when: &str) -> Result<(), Broken> {
    let probe = world.add_probe();
    let (began, before) = (world.now, world.clients.acknowledged);
    let nothing = |world: &mut World| world.clients.acknowledged == before;
    if !world.run_while(began + PROGRESS, nothing)? {
        return fails(
            "progress",
            format!(
                "nothing is acknowledged for {} ms {when}{}",
                PROGRESS / MS,
                world.describe()
            ),
        );
    }
    let unserved = |world: &mut World| world.clients.acknowledged_of(probe) == 0;
    if !world.run_while(began + SERVED, unserved)? {
        return fails(
            "a new client is served",
            format!("not for {} ms {when}{}", SERVED / MS, world.describe()),
        );
    }
    Ok(())
}

/// Whoever was not damaged shows each log whole, and whoever tails a log came to its end.
fn every_copy_is_there(world: &mut World) -> Result<(), Broken> {
    let Clients { asked, settled, .. } = &world.clients;
    if let Some((log, at)) = asked.iter().find(|key| !settled.contains_key(key)) {
        let (log, id) = (&world.clients.logs[*log], at + 1);
        return fails(
            "a sound replica shows what it has",
            format!("{log} could not be read at replica {id}"),
        );
    }
    let until = world.now + SETTLED;
    if world.run_while(until, |world| world.clients.open_tails() > 0)? {
        return Ok(());
    }
    let open = world.clients.open_tails();
    fails(
        "a tail comes to the end of a sealed log",
        format!("{open} have not{}", world.describe()),
    )
}

/// Every call ends: they have deadlines.
fn calls_end(world: &mut World) -> Result<(), Broken> {
    let until = world.now + SETTLED;
    if world.run_while(until, |world| world.clients.under_way() > 0)? {
        return Ok(());
    }
    let open = world.clients.under_way();
    fails(
        "every call ends",
        format!("{open} have not{}", world.describe()),
    )
}

/// The power goes everywhere, and only a majority comes back: it holds everything that was acknowledged.
fn the_last_majority(world: &mut World, away: &[u16]) -> Result<(), Broken> {
    let n = world.replicas.len();
    let out = world.replicas.iter().filter(|replica| replica.out).count();
    let mut left = ((n - 1) / 2).saturating_sub(out);
    if left == 0 {
        return Ok(());
    }
    world.healed = true;
    for at in 0..n {
        world.crash(at, true);
    }
    world.coverage.hit("only a majority came back");
    for at in 0..n {
        let stays_away = away.contains(&(at as u16 + 1)) && !world.replicas[at].out;
        if stays_away && left > 0 {
            left -= 1;
            world.replicas[at].kept_down = true;
        } else {
            world.start_after(at, MS);
        }
    }
    world.network.heal();
    world.run_until(world.now + 2 * SECOND)?;
    for replica in &mut world.replicas {
        replica.kept_down = false;
    }
    Ok(())
}

/// The history, with what each log came to.
fn settle(world: &mut World) -> History {
    let clients = &mut world.clients;
    for (log, name) in clients.logs.clone().into_iter().enumerate() {
        let copies: Vec<(usize, &Whole)> = clients
            .settled
            .iter()
            .filter(|((of, _), _)| *of == log)
            .map(|((_, replica), copy)| (*replica, copy))
            .collect();
        let Some((_, first)) = copies.first() else {
            continue;
        };
        let held = |copy: &Whole| match copy {
            Whole::Absent => (Vec::new(), 0, None),
            Whole::Read(records, tail, id) => (records.clone(), *tail, *id),
        };
        let (records, tail, id) = held(first);
        let mut settled = Settled::whole(name.as_str(), records.clone());
        settled.id = id;
        settled.trim_point = records.first().map_or(tail, |first| first.offset);
        settled.tail = tail;
        // An empty one may have been made after it was to be sealed, by what a dead client had sent.
        // Nor need the one be sealed that came after the one that was.
        settled.sealed = (tail > 0 && !world.plan.deletes).then_some(true);
        for (replica, copy) in &copies {
            settled.add_replica(*replica as u64 + 1, held(copy).0);
        }
        clients.recorder.settle(settled);
    }
    std::mem::take(&mut clients.recorder).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_before_the_run_is_a_failure_of_its_seed() {
        // More logs than can have names. A file that says so would have been refused.
        let plan = Plan {
            logs: 1 << 62,
            ..Plan::quiet(7, 3)
        };
        let report = run_plan(plan, Detail::Nothing);
        let failure = report.failure.expect("it cannot begin");
        assert_eq!((report.seed, &*failure.rule), (7, "panic"));
        assert!(!failure.what.is_empty());
    }

    #[test]
    fn a_panic_of_the_checker_is_a_failure_of_its_seed() {
        let plan = Plan {
            faults_until: SECOND,
            ..Plan::quiet(7, 1)
        };
        let report = judge_by(plan, Detail::Nothing, play, |_, _| panic!("out of order"));
        let failure = report.failure.expect("the checker broke");
        assert_eq!((report.seed, &*failure.rule), (7, "panic"));
        assert_eq!(failure.what, "out of order");
        // What it could not judge is there to look at.
        assert!(report.history.is_some() && report.events > 0);
    }
}
