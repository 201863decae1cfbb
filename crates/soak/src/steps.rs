//! The steps, in the order in which they are run: what is cheap and deep first.

use std::time::Duration;

use anyhow::{Result, ensure};
use bench::{Cluster, failover, memory, process, table};
use serde_json::Value;

use crate::blob;
use crate::log::{Log, end_of};
use crate::step::{Context, Step};
use crate::tests::Tests;

/// All of them.
pub(crate) const ALL: &[Step] = &[
    Step {
        name: "schedules",
        what: "random schedules against the Paxos machine, agreement checked at every step",
        run: schedules,
    },
    Step {
        name: "wal",
        what: "random histories, crashes and flipped bits against the write-ahead log",
        run: wal,
    },
    Step {
        name: "simulator",
        what: "whole clusters from seeds, under faults of all kinds; every situation that counts must be reached",
        run: simulator,
    },
    Step {
        name: "twice",
        what: "seeds run twice, in two orders: the same, bit for bit",
        run: twice,
    },
    Step {
        name: "graphs",
        what: "partial partitions: every graph of five replicas, leader and who is ahead, one-way cuts, stalled disks",
        run: graphs,
    },
    Step {
        name: "planted",
        what: "bugs planted into the code, each caught by the simulator on three seeds",
        run: planted,
    },
    Step {
        name: "session",
        what: "the client's state machines against a simulated cluster, more seeds",
        run: session,
    },
    Step {
        name: "hostile",
        what: "kept inputs of the fuzz targets, changed at random, into every decoder",
        run: hostile,
    },
    Step {
        name: "kills",
        what: "kill -9 of replicas under load, every acknowledged record looked for afterwards",
        run: kills,
    },
    Step {
        name: "once",
        what: "one log transformed into another by a program that is killed again and again, the leader in between: exactly once",
        run: once,
    },
    Step {
        name: "races",
        what: "two at a time who race for a log, by fences and by expected tails, while leaders are killed",
        run: races,
    },
    Step {
        name: "failovers",
        what: "the longest pause that an appender sees when the leader is killed; the median is to be under 500 ms",
        run: failovers,
    },
    Step {
        name: "blob",
        what: "a binary file in records of many sizes, there and back, byte for byte",
        run: blob::there_and_back,
    },
    Step {
        name: "memory",
        what: "the replicas' anonymous memory while gigabytes pass through with trims",
        run: memory,
    },
];

const HOUR: Duration = Duration::from_secs(3600);

fn schedules(context: &Context) -> Result<String> {
    let (count, first) = (context.pick(200_000, 5_000), first_seed(context));
    let said = Tests {
        package: "paxlog-paxos",
        test: "schedules",
        only: &["random"],
        variables: &[
            ("PAXLOG_SCHEDULES", count.to_string()),
            ("PAXLOG_FIRST_SEED", first.to_string()),
        ],
        patience: 2 * HOUR,
    }
    .run(context)?;
    let rate = said
        .stdout
        .lines()
        .find_map(|line| line.split_once(" schedules a second"))
        .map_or(String::new(), |(rate, _)| {
            let rate = rate.rsplit(' ').next().unwrap_or(rate);
            format!(", {rate} a second")
        });
    Ok(format!(
        "{count} schedules, seeds {first}..{}{rate}",
        first + count
    ))
}

fn wal(context: &Context) -> Result<String> {
    let (cases, seed) = (context.pick(50_000, 2_000), context.seed);
    let said = Tests {
        package: "paxlog-wal",
        test: "crash",
        only: &[],
        variables: &[
            ("PAXLOG_WAL_CASES", cases.to_string()),
            ("PROPTEST_RNG_SEED", seed.to_string()),
        ],
        patience: 2 * HOUR,
    }
    .run(context)?;
    Ok(format!(
        "{} tests, {cases} cases of each property, seed {seed}",
        said.passed
    ))
}

fn simulator(context: &Context) -> Result<String> {
    let (count, first) = (context.pick(10_000, 400), first_seed(context));
    let seeds = format!("{first}..{}", first + count);
    let mut command = context.program.command();
    command.args(["sim", "--seeds", &seeds, "--output", "json"]);
    if !context.quick {
        command.arg("--covered");
    }
    let log = Log::create(context)?;
    eprintln!("   what it says: {}", log.path().display());
    let ended = process::run_with(&mut command, 2 * HOUR, |line| log.say(line))?;
    // Also where seeds failed or a situation was never reached: what was run is told.
    let summary: Value = serde_json::from_slice(&ended.stdout).unwrap_or_default();
    eprintln!("{}", serde_json::to_string_pretty(&summary)?);
    ensure!(
        ended.status.success(),
        "paxlog sim --seeds {seeds} ended with {}, see {}\n{}",
        ended.status,
        log.path().display(),
        end_of("", &ended.stderr)
    );
    let coverage = summary["coverage"].as_object();
    let faults: u64 = coverage
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.starts_with("fault: "))
        .filter_map(|(_, times)| times.as_u64())
        .sum();
    let simulated = summary["simulated_s"].as_f64().unwrap_or(0.0);
    let took = summary["took_s"].as_f64().unwrap_or(f64::NAN);
    Ok(format!(
        "{count} seeds, {seeds}: {simulated:.0} s simulated, {:.0} times as fast as real time, {} events, {faults} \
         faults, {} slots chosen, {} records acknowledged",
        simulated / took,
        summary["events"],
        summary["chosen"],
        summary["acknowledged"]
    ))
}

fn twice(context: &Context) -> Result<String> {
    let count = context.pick(200, 20);
    let said = Tests {
        package: "paxlog-sim",
        test: "seeds",
        only: &["any_order"],
        variables: &[("PAXLOG_SIM_TWICE", count.to_string())],
        patience: HOUR,
    }
    .run(context)?;
    Ok(format!("{count} seeds, {} test", said.passed))
}

fn graphs(context: &Context) -> Result<String> {
    let every = context.pick(1, 101);
    let said = Tests {
        package: "paxlog-sim",
        test: "partitions",
        only: &[],
        variables: &[("PAXLOG_GRAPHS", every.to_string())],
        patience: 2 * HOUR,
    }
    .run(context)?;
    let line = said.stdout.lines().find(|line| line.contains(" cases, "));
    Ok(format!(
        "{} tests, {}",
        said.passed,
        line.unwrap_or_default()
    ))
}

fn planted(context: &Context) -> Result<String> {
    let said = Tests {
        package: "paxlog-sim",
        test: "planted",
        only: &[],
        variables: &[("PAXLOG_PLANTED", context.pick("all", "first").to_owned())],
        patience: 2 * HOUR,
    }
    .run(context)?;
    let line = said
        .stdout
        .lines()
        .rev()
        .find(|line| line.contains("caught"));
    Ok(line.unwrap_or("each caught").trim().to_owned())
}

fn session(context: &Context) -> Result<String> {
    let (count, first) = (context.pick(2_000, 100), first_seed(context));
    let said = Tests {
        package: "paxlog-session",
        test: "sim",
        only: &[],
        variables: &[("SEEDS", format!("{first}..{}", first + count))],
        patience: HOUR,
    }
    .run(context)?;
    Ok(format!(
        "{} tests, seeds {first}..{}",
        said.passed,
        first + count
    ))
}

fn hostile(context: &Context) -> Result<String> {
    let (count, seed) = (context.pick(2_000_000, 20_000), context.seed);
    let said = Tests {
        package: "paxlog-fuzz",
        test: "replay",
        only: &[],
        variables: &[
            ("PAXLOG_FUZZ_INPUTS", count.to_string()),
            ("PAXLOG_FUZZ_SEED", seed.to_string()),
        ],
        patience: 2 * HOUR,
    }
    .run(context)?;
    Ok(format!(
        "{} tests, {count} inputs a target, seed {seed}",
        said.passed
    ))
}

/// Each soak has seeds that no other had, none of them among those of the test command.
fn first_seed(context: &Context) -> u64 {
    (context.seed + 1) * 1_000_000
}

fn kills(context: &Context) -> Result<String> {
    let rounds = context.pick(30, 3);
    let said = Tests {
        package: "paxlog",
        test: "main",
        only: &["kills"],
        variables: &[
            ("PAXLOG_KILL_ROUNDS", rounds.to_string()),
            ("PAXLOG_SEED", context.seed.to_string()),
        ],
        patience: HOUR,
    }
    .run(context)?;
    // Each test tells what its load got.
    let acknowledged: u64 = said
        .stdout
        .lines()
        .filter_map(|line| {
            line.split_once(" appends acknowledged")?
                .0
                .parse::<u64>()
                .ok()
        })
        .sum();
    ensure!(
        acknowledged > 0,
        "no append was acknowledged: nothing was shown"
    );
    Ok(format!(
        "{} tests, {rounds} rounds, {acknowledged} appends acknowledged, seed {}",
        said.passed, context.seed
    ))
}

fn once(context: &Context) -> Result<String> {
    let kills = context.pick(50, 3);
    let said = Tests {
        package: "paxlog",
        test: "main",
        only: &["exactly_once::"],
        variables: &[
            ("PAXLOG_SOAK_KILLS", kills.to_string()),
            ("PAXLOG_SEED", context.seed.to_string()),
        ],
        patience: HOUR,
    }
    .run(context)?;
    let line = said.stdout.lines().find(|line| line.contains(" kills"));
    Ok(format!(
        "{}, seed {}",
        line.unwrap_or_default().trim(),
        context.seed
    ))
}

fn races(context: &Context) -> Result<String> {
    let appends = context.pick(10_000, 500);
    let said = Tests {
        package: "paxlog",
        test: "main",
        only: &["races::"],
        variables: &[
            ("PAXLOG_RACE_APPENDS", appends.to_string()),
            ("PAXLOG_SEED", context.seed.to_string()),
        ],
        patience: HOUR,
    }
    .run(context)?;
    let lines: Vec<&str> = said
        .stdout
        .lines()
        .filter(|line| line.contains(" acknowledged, "))
        .map(str::trim)
        .collect();
    ensure!(!lines.is_empty(), "the races told nothing");
    Ok(format!("{}; seed {}", lines.join("; "), context.seed))
}

fn failovers(context: &Context) -> Result<String> {
    let times = context.pick(10, 2);
    let mut cluster = Cluster::start(context.program, &context.dir)?;
    let all = failover::measure(&mut cluster, times, |one| {
        eprintln!(
            "   replica {} killed: a pause of {} ms ({} ms in the second before)",
            one.replica,
            one.pause.as_millis(),
            one.before.as_millis()
        );
    })?;
    cluster.stop_and_verify()?;
    let summary = failover::summary(&all);
    let median = summary["pause_median_ms"].as_f64().unwrap_or(f64::NAN);
    Ok(format!(
        "median {median} ms, worst {} ms of {times} kills{}",
        summary["pause_max_ms"],
        // A figure in milliseconds is told, not asserted.
        if median < 500.0 {
            ""
        } else {
            ": NOT UNDER 500 ms"
        }
    ))
}

fn memory(context: &Context) -> Result<String> {
    let plan = memory::Plan {
        bytes: context.pick(5_000_000_000, 300_000_000),
        ..memory::Plan::default()
    };
    let mut cluster = Cluster::start(context.program, &context.dir)?;
    let mut next = 0;
    let memory = memory::measure(&cluster, plan, |done, memory| {
        if done >= next {
            next += plan.bytes / 10;
            let rss: Vec<u64> = memory
                .curves
                .values()
                .map(|curve| curve.end() / 1_000_000)
                .collect();
            eprintln!("   {:.2} GB, RssAnon {rss:?} MB", done as f64 / 1e9);
        }
    })?;
    cluster.stop_and_verify()?;
    let summary = memory.summary();
    eprintln!("{}", table::memory(&summary));
    ensure!(
        memory.holds(),
        "the replicas' anonymous memory is not flat and at or under {} MB: {summary}",
        summary["bound_mb"]
    );
    ensure!(
        memory.disk_holds(),
        "the replicas' files grow although the log is trimmed: {summary}"
    );
    let peak = memory.curves.values().map(|curve| curve.peak()).max();
    Ok(format!(
        "{:.2} GB at {} MB/s, {} trims; RssAnon flat, at most {:.1} MB",
        memory.bytes as f64 / 1e9,
        summary["mb_per_s"],
        memory.trims,
        peak.unwrap_or(0) as f64 / 1e6
    ))
}
