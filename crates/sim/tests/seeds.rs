//! Seeds of the simulated cluster: clean, and the same when run again. `PAXLOG_SIM_SEEDS=A..B` runs others.
#![expect(
    clippy::disallowed_methods,
    reason = "the simulator is pure; its test reads the environment and spreads over threads"
)]

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use paxlog_sim::{Coverage, run};

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("PAXLOG_SIM_SEEDS") else {
        return 1..41;
    };
    let parse = |text: &str| text.parse().expect("PAXLOG_SIM_SEEDS is A..B");
    let (first, end) = text.split_once("..").expect("PAXLOG_SIM_SEEDS is A..B");
    parse(first)..parse(end)
}

#[test]
fn seeds_are_clean() {
    let seeds = seeds();
    if seeds.end == seeds.start + 1 {
        // One alone: told in full.
        let report = run(seeds.start, true);
        println!("{}", report.trace.join("\n"));
        assert_eq!(report.failure, None);
        return;
    }
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new((Coverage::default(), 0, 0));
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = run(seed, false);
                    let mut total = total.lock().expect("not poisoned");
                    total.0.merge(&report.coverage);
                    total.1 += report.simulated / 1_000_000_000;
                    total.2 += report.acknowledged;
                    if let Some(failure) = report.failure {
                        let text = format!("seed {seed}: {failure}");
                        failed.lock().expect("not poisoned").push(text);
                    }
                }
            });
        }
    });
    let (coverage, seconds, acknowledged) = total.into_inner().expect("not poisoned");
    println!("{seeds:?}: {seconds} s simulated, {acknowledged} records acknowledged");
    for (situation, times) in coverage.iter() {
        println!("{times:>10}  {situation}");
    }
    let failed = failed.into_inner().expect("not poisoned");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(acknowledged > 100 * (seeds.end - seeds.start), "vacuous");
}

/// Seeds that found a bug, each with what it was.
#[test]
fn seeds_that_once_failed_are_clean() {
    for seed in [
        // A disk failed, so that accepted values found no place in its log; asked for one of those slots as
        // chosen, the replica gave the value of an older ballot, and the asker stored and applied it.
        138, // A replica that is a group by itself never ended a hand-over.
        177,
    ] {
        assert_eq!(run(seed, false).failure, None, "seed {seed}");
    }
}

#[test]
fn the_same_seed_is_the_same_run_in_any_order() {
    let digests = |seeds: &[u64]| {
        let mut digests: Vec<(u64, u64)> = seeds
            .iter()
            .map(|&seed| (seed, run(seed, false).digest))
            .collect();
        digests.sort_unstable();
        digests
    };
    let forth = digests(&[3, 4, 5, 6]);
    assert_eq!(forth, digests(&[6, 5, 4, 3]));
    let mut different: Vec<u64> = forth.iter().map(|(_, digest)| *digest).collect();
    different.dedup();
    assert_eq!(different.len(), 4);
}
