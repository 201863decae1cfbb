//! Seeds of the simulated cluster: clean, and the same when run again.
//!
//! | variable | is |
//! |---|---|
//! | `PAXLOG_SIM_SEEDS` | `A..B`: other seeds than the test command's |
//! | `PAXLOG_SIM_TWICE` | how many seeds are run twice |
#![expect(
    clippy::disallowed_methods,
    reason = "the simulator is pure; its test reads the environment"
)]

use std::ops::Range;

use paxlog_sim::{Detail, run, swarm};

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("PAXLOG_SIM_SEEDS") else {
        return 1..1201;
    };
    let parse = |text: &str| text.parse().expect("PAXLOG_SIM_SEEDS is A..B");
    let (first, end) = text.split_once("..").expect("PAXLOG_SIM_SEEDS is A..B");
    parse(first)..parse(end)
}

fn jobs() -> usize {
    std::thread::available_parallelism().map_or(2, |n| n.get())
}

#[test]
fn seeds_are_clean() {
    let seeds = seeds();
    let total = swarm(
        seeds.clone(),
        jobs(),
        |seed| (run(seed, Detail::Nothing), ()),
        |report, (), _| {
            if let Some(failure) = &report.failure {
                println!("seed {}: {failure}", report.seed);
            }
            true
        },
    );
    println!(
        "{seeds:?}: {} s simulated, {} records acknowledged",
        total.simulated / 1_000_000_000,
        total.acknowledged
    );
    for (situation, times) in total.coverage.iter() {
        println!("{times:>10}  {situation}");
    }
    for missing in total.coverage.missing() {
        println!("     never  {missing}");
    }
    let failed: Vec<String> = total
        .failures
        .iter()
        .map(|(seed, failure)| format!("seed {seed}: {failure}"))
        .collect();
    assert!(
        failed.is_empty(),
        "{}\nfrom the seed to its trace: cargo run --release -- sim --seed SEED",
        failed.join("\n")
    );
    assert!(
        total.acknowledged > 100 * (seeds.end - seeds.start),
        "vacuous"
    );
}

#[test]
fn the_same_seed_is_the_same_run_in_any_order() {
    let count = std::env::var("PAXLOG_SIM_TWICE").map_or(20, |n| n.parse().expect("a number"));
    let digests = |seeds: &[u64]| {
        let mut digests: Vec<(u64, u64)> = Vec::new();
        let all = seeds.len() as u64;
        swarm(
            0..all,
            jobs(),
            |i| (run(seeds[i as usize], Detail::Nothing), ()),
            |report, (), _| {
                digests.push((report.seed, report.digest));
                true
            },
        );
        digests.sort_unstable();
        digests
    };
    let seeds: Vec<u64> = (1_001..1_001 + count).collect();
    let forth = digests(&seeds);
    let back: Vec<u64> = seeds.iter().rev().copied().collect();
    assert_eq!(forth, digests(&back));
    let mut different: Vec<u64> = forth.iter().map(|(_, digest)| *digest).collect();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len() as u64, count);
    println!("{count} seeds twice, in two orders: the same digests");
}
