//! Runs of the simulator, spread over threads: one run belongs to one thread.

use std::collections::BTreeMap;
use std::process::exit;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::bug::SEEDS;
use crate::course::Course;

/// A run takes a second or so; one that takes this long does not end.
const RUN_MAX: Duration = Duration::from_secs(300);

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Played {
    /// The rule that was broken, and what was seen.
    pub failure: Option<(String, String)>,
    /// A line an event, if they were asked for.
    pub trace: Vec<String>,
}

/// Plays one run: the bug that is awake (0: none), what is run, whether to keep a trace.
pub type Play = fn(u32, &Course, bool) -> Played;

/// A seed that caught a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catch {
    /// The seed.
    pub seed: u64,
    /// The rule that was broken.
    pub rule: String,
    /// What was seen.
    pub what: String,
}

/// What came of the hunt for one bug.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hunted {
    /// The first seeds that caught it, in order.
    pub caught: Vec<Catch>,
    /// Seeds left out, since they fail without it.
    pub fail_anyway: Vec<u64>,
}

/// The answers of one bug's runs.
#[derive(Debug, Default)]
struct Bug {
    number: u32,
    /// The next to be tried.
    next: u64,
    /// What each seed came to: none while it runs, `Some(None)` where nothing was caught.
    tried: BTreeMap<u64, Option<Option<Catch>>>,
    fail_anyway: Vec<u64>,
}

impl Bug {
    /// What was caught by seeds below all that still run.
    fn caught(&self) -> Vec<Catch> {
        let known = self.tried.values().map_while(Option::as_ref);
        known.flatten().take(SEEDS).cloned().collect()
    }

    fn done(&self, seeds_max: u64) -> bool {
        self.caught().len() == SEEDS || self.next > seeds_max
    }
}

/// The threads, with what they run.
struct Shared {
    bugs: Vec<Bug>,
    /// Without a bug: whether the seed is clean.
    clean: BTreeMap<u64, bool>,
}

/// Tries seeds 1, 2, 3 … on each bug until enough caught it. `tell` is told of each catch, in any order.
pub fn hunt(
    play: Play,
    numbers: &[u32],
    seeds_max: u64,
    jobs: usize,
    tell: impl Fn(u32, &Catch) + Sync,
) -> Vec<Hunted> {
    let bugs = numbers.iter().map(|&number| Bug {
        number,
        next: 1,
        ..Bug::default()
    });
    let shared = Mutex::new(Shared {
        bugs: bugs.collect(),
        clean: BTreeMap::new(),
    });
    let watch = Watch::new();
    watch.over(jobs, || {
        loop {
            let (at, number, seed) = {
                let mut shared = lock(&shared);
                // The one that has had the fewest runs: so nothing is left over for one thread at the end.
                let open = shared.bugs.iter_mut().enumerate();
                let open = open.filter(|(_, bug)| !bug.done(seeds_max));
                let Some((at, bug)) = open.min_by_key(|(_, bug)| bug.next) else {
                    return;
                };
                let seed = bug.next;
                bug.next += 1;
                bug.tried.insert(seed, None);
                (at, bug.number, seed)
            };
            let course = Course::Seed(seed);
            let mut caught =
                watch
                    .play(play, number, &course)
                    .map(|(rule, what)| Catch { seed, rule, what });
            let mut fails_anyway = false;
            if caught.is_some() {
                let known = lock(&shared).clean.get(&seed).copied();
                let clean = known.unwrap_or_else(|| watch.play(play, 0, &course).is_none());
                lock(&shared).clean.insert(seed, clean);
                if !clean {
                    caught = None;
                    fails_anyway = true;
                }
            }
            if let Some(caught) = &caught {
                tell(number, caught);
            }
            let bug = &mut lock(&shared).bugs[at];
            if fails_anyway {
                bug.fail_anyway.push(seed);
            }
            bug.tried.insert(seed, Some(caught));
        }
    });
    let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    let hunted = shared.bugs.into_iter().map(|bug| Hunted {
        caught: bug.caught(),
        fail_anyway: bug.fail_anyway,
    });
    hunted.collect()
}

/// Plays each of these; the failures in the same order.
pub fn play_all(play: Play, runs: &[(u32, Course)], jobs: usize) -> Vec<Option<(String, String)>> {
    let next = Mutex::new(0);
    let results = Mutex::new(vec![None; runs.len()]);
    let watch = Watch::new();
    watch.over(jobs, || {
        loop {
            let at = {
                let mut next = lock(&next);
                *next += 1;
                *next - 1
            };
            let Some((bug, course)) = runs.get(at) else {
                return;
            };
            let failure = watch.play(play, *bug, course);
            lock(&results)[at] = failure;
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Sees to it that runs end: a thread can't be stopped, so one that hangs ends the process.
struct Watch {
    running: Mutex<BTreeMap<(u32, Course), Instant>>,
    over: Mutex<bool>,
    ended: Condvar,
}

impl Watch {
    fn new() -> Watch {
        Watch {
            running: Mutex::new(BTreeMap::new()),
            over: Mutex::new(false),
            ended: Condvar::new(),
        }
    }

    /// Runs `work` in so many threads, and watches.
    fn over(&self, jobs: usize, work: impl Fn() + Sync) {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut over = lock(&self.over);
                while !*over {
                    let waited = self.ended.wait_timeout(over, Duration::from_secs(1));
                    over = waited.unwrap_or_else(PoisonError::into_inner).0;
                    self.look();
                }
            });
            thread::scope(|scope| {
                for _ in 0..jobs {
                    scope.spawn(&work);
                }
            });
            *lock(&self.over) = true;
            self.ended.notify_all();
        });
    }

    fn look(&self) {
        for ((bug, course), since) in &*lock(&self.running) {
            if since.elapsed() > RUN_MAX {
                eprintln!("bug {bug}, {course}: the run has not ended after {RUN_MAX:?}");
                exit(1);
            }
        }
    }

    fn play(&self, play: Play, bug: u32, course: &Course) -> Option<(String, String)> {
        lock(&self.running).insert((bug, course.clone()), Instant::now());
        let played = play(bug, course, false);
        lock(&self.running).remove(&(bug, course.clone()));
        played.failure
    }
}

/// Nothing that is done under a lock leaves it half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bug `n` is caught by every n-th seed; seed 4 fails anyway.
    fn play(bug: u32, course: &Course, _: bool) -> Played {
        let &Course::Seed(seed) = course else {
            panic!("only seeds are hunted");
        };
        let caught = seed == 4 || (bug > 0 && seed.is_multiple_of(u64::from(bug)));
        Played {
            failure: caught.then(|| ("rule".into(), format!("{bug} {seed}"))),
            trace: Vec::new(),
        }
    }

    #[test]
    fn the_first_seeds_that_catch_a_bug_are_found_however_many_threads_look() {
        for jobs in [1, 3] {
            let hunted = hunt(play, &[2, 9], 20, jobs, |_, _| {});
            let seeds = |at: usize| -> Vec<u64> {
                let caught = hunted[at].caught.iter();
                caught.map(|caught| caught.seed).collect()
            };
            assert_eq!(seeds(0), [2, 6, 8]);
            assert_eq!(seeds(1), [9, 18], "twice within twenty seeds");
            assert_eq!(hunted[1].fail_anyway, [4]);
        }
    }

    #[test]
    fn failures_come_in_the_order_of_their_runs() {
        let runs = [(3, 1), (3, 3), (0, 2), (2, 2)].map(|(bug, seed)| (bug, Course::Seed(seed)));
        let failures = play_all(play, &runs, 2);
        let failed: Vec<bool> = failures.iter().map(Option::is_some).collect();
        assert_eq!(failed, [false, true, false, true]);
    }
}
