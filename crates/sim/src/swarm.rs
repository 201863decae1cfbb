//! Many seeds over several threads. Each run stays in one of them, so nothing here reaches into a run.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::coverage::Coverage;
use crate::run::{Failure, Report};

/// What came of many runs.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Runs that came to their end.
    pub runs: u64,
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
    /// Seeds that failed, in order.
    pub failures: Vec<(u64, Failure)>,
}

impl Summary {
    /// Adds a run.
    pub fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.simulated += report.simulated;
        self.events += report.events;
        self.acknowledged += report.acknowledged;
        self.chosen += report.chosen;
        self.coverage.merge(&report.coverage);
        if let Some(failure) = &report.failure {
            let at = self
                .failures
                .partition_point(|(seed, _)| *seed < report.seed);
            self.failures.insert(at, (report.seed, failure.clone()));
        }
    }
}

/// Runs seeds over `jobs` threads. What else a run gives than its report is up to the caller. `each` is told of every
/// run, in the order in which they end, with what came of all so far, and says whether to go on.
pub fn swarm<T>(
    seeds: Range<u64>,
    jobs: usize,
    run: impl Fn(u64) -> (Report, T) + Sync,
    each: impl FnMut(&Report, T, &Summary) -> bool + Send,
) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let over = AtomicBool::new(false);
    let all = Mutex::new((Summary::default(), each));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let (report, more) = run(seed);
                    let mut all = all
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    let (summary, each) = &mut *all;
                    summary.add(&report);
                    if !each(&report, more, summary) {
                        over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (summary, _) = all
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    summary
}
