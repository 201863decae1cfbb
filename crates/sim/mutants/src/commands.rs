//! What is done with the bugs, in the copy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::args::{self, Args, Command};
use crate::bug::{self, Bug, SEEDS};
use crate::hunt::{Hunted, Play, hunt, play_all};

/// The longest stretch of what a run saw that is printed in a line.
const WHAT_CHARS_MAX: usize = 160;

/// The copy's main function.
pub fn main(play: Play) -> ExitCode {
    match args::parse(std::env::args().skip(1)).and_then(|args| act(play, &args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}

/// Whether all is well.
fn act(play: Play, args: &Args) -> Result<bool, String> {
    let mut bugs = bug::read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("bugs"))?;
    if let Some(only) = &args.bugs {
        let known: BTreeSet<u32> = bugs.iter().map(|bug| bug.number).collect();
        if let Some(unknown) = only.difference(&known).next() {
            return Err(format!("there is no bug {unknown}"));
        }
        bugs.retain(|bug| only.contains(&bug.number));
    }
    if !matches!(args.command, Command::Trace { .. }) {
        // A panic is caught, and counts; its backtrace would drown what is said here.
        std::panic::set_hook(Box::new(|_| {}));
    }
    match args.command {
        Command::Check { all_seeds } => Ok(check(play, args, &bugs, all_seeds)),
        Command::Table { record } => table(play, args, &bugs, record),
        Command::Trace { bug, seed } => {
            let played = play(bug, seed, true);
            println!("{}", played.trace.join("\n"));
            match played.failure {
                Some((rule, what)) => println!("\nseed {seed} caught bug {bug}: {rule}: {what}"),
                None => println!("\nseed {seed} is clean with bug {bug}"),
            }
            Ok(true)
        }
        Command::Plant => Ok(true),
    }
}

fn check(play: Play, args: &Args, bugs: &[Bug], all_seeds: bool) -> bool {
    let begun = Instant::now();
    let wanted = if all_seeds { SEEDS } else { 1 };
    let mut well = true;
    let mut runs = Vec::new();
    for bug in bugs {
        if let Some(why) = &bug.not_yet {
            println!("bug {:>2} not caught yet  {}: {why}", bug.number, bug.name);
            continue;
        }
        if bug.seeds.len() < wanted {
            println!(
                "bug {} ({}) has {} recorded seeds: run `record`, or say in its file why it is not caught",
                bug.number,
                bug.name,
                bug.seeds.len()
            );
            well = false;
        }
        runs.extend(
            bug.seeds
                .iter()
                .take(wanted)
                .map(|&seed| (bug.number, seed)),
        );
    }
    let seeds: BTreeSet<u64> = runs.iter().map(|&(_, seed)| seed).collect();
    runs.extend(seeds.iter().map(|&seed| (0, seed)));
    let failures = play_all(play, &runs, args.jobs);
    let failed: BTreeMap<(u32, u64), _> = runs.iter().copied().zip(failures).collect();
    for (&(number, seed), failure) in &failed {
        let bug = bugs.iter().find(|bug| bug.number == number);
        match (bug, failure) {
            (None, None) => {}
            (None, Some((rule, what))) => {
                well = false;
                println!("seed {seed} fails without any bug: {rule}: {what}");
            }
            (Some(bug), None) => {
                well = false;
                println!(
                    "bug {number} ({}) is not caught by seed {seed} any more: if the simulator changed, run `record`",
                    bug.name
                );
            }
            (Some(bug), Some((rule, what))) => {
                let line = what.lines().next().unwrap_or_default();
                let other = match bug.caught_by.contains(rule) {
                    true => "",
                    false => " (another rule than was recorded)",
                };
                println!(
                    "bug {number:>2} seed {seed:>4}  {}: {rule}{other}: {}",
                    bug.name,
                    cut(line)
                );
            }
        }
    }
    println!(
        "{} bugs, {} of them not caught yet; {} runs, {:.1} s: {}",
        bugs.len(),
        bugs.iter().filter(|bug| bug.not_yet.is_some()).count(),
        runs.len(),
        begun.elapsed().as_secs_f64(),
        if well {
            "the others are caught"
        } else {
            "NOT WELL"
        }
    );
    well
}

fn table(play: Play, args: &Args, bugs: &[Bug], record: bool) -> Result<bool, String> {
    let begun = Instant::now();
    let numbers: Vec<u32> = bugs.iter().map(|bug| bug.number).collect();
    let tell = |number: u32, caught: &crate::hunt::Catch| {
        let line = caught.what.lines().next().unwrap_or_default();
        eprintln!(
            "bug {number:>2} seed {:>4}  {}: {}",
            caught.seed,
            caught.rule,
            cut(line)
        );
    };
    let hunted = hunt(play, &numbers, args.seeds_max, args.jobs, tell);
    println!("| bug | | seeds | tried until first, second, third | rules |");
    println!("|---|---|---|---|---|");
    let mut firsts = Vec::new();
    let mut well = true;
    let mut fail_anyway = BTreeSet::new();
    for (bug, hunted) in bugs.iter().zip(&hunted) {
        println!("{}", row(bug, hunted));
        well &= hunted.caught.len() == SEEDS || bug.not_yet.is_some();
        firsts.push(hunted.tried(0));
        fail_anyway.extend(hunted.fail_anyway.iter().copied());
        if record {
            let seeds: Vec<u64> = hunted.caught.iter().map(|caught| caught.seed).collect();
            bug::record(bug, &seeds, &hunted.rules())
                .map_err(|e| format!("{}: {e}", bug.file.display()))?;
        }
    }
    firsts.sort_by_key(|first| first.unwrap_or(u64::MAX));
    let middle = firsts.get(firsts.len() / 2).copied().flatten();
    let middle = middle.map_or("more than were tried".into(), |median| median.to_string());
    println!(
        "\n{} bugs, {:.0} s; median of seeds until the first caught: {middle}",
        bugs.len(),
        begun.elapsed().as_secs_f64()
    );
    if !fail_anyway.is_empty() {
        println!("left out, since they fail without any bug: {fail_anyway:?}");
    }
    for (bug, hunted) in bugs.iter().zip(&hunted) {
        let caught = hunted.caught.len();
        if caught < SEEDS {
            let known = match &bug.not_yet {
                Some(why) => format!(", as is known: {why}"),
                None => String::new(),
            };
            println!(
                "bug {} ({}) was caught by {caught} of {} seeds{known}",
                bug.number, bug.name, args.seeds_max
            );
        } else if bug.not_yet.is_some() && !record {
            println!(
                "bug {} ({}) is said not to be caught, and is: run `record`",
                bug.number, bug.name
            );
        }
    }
    Ok(well)
}

fn row(bug: &Bug, hunted: &Hunted) -> String {
    let seeds: Vec<String> = hunted.caught.iter().map(|c| c.seed.to_string()).collect();
    let tried: Vec<String> = (0..SEEDS)
        .map(|n| {
            hunted
                .tried(n)
                .map_or("–".into(), |tried| tried.to_string())
        })
        .collect();
    format!(
        "| {} | {} | {} | {} | {} |",
        bug.number,
        bug.name,
        seeds.join(", "),
        tried.join(", "),
        hunted.rules().join(", ")
    )
}

impl Hunted {
    /// The rules by which it was caught, each once.
    fn rules(&self) -> Vec<&str> {
        let mut rules: Vec<&str> = Vec::new();
        for caught in &self.caught {
            if !rules.contains(&&*caught.rule) {
                rules.push(&caught.rule);
            }
        }
        rules
    }

    /// How many seeds were tried until the n-th caught it, counted from 0.
    fn tried(&self, n: usize) -> Option<u64> {
        let seed = self.caught.get(n)?.seed;
        let left_out = self.fail_anyway.iter().filter(|&&out| out < seed);
        Some(seed - left_out.count() as u64)
    }
}

fn cut(line: &str) -> String {
    if line.chars().count() <= WHAT_CHARS_MAX {
        return line.to_owned();
    }
    let cut: String = line.chars().take(WHAT_CHARS_MAX).collect();
    cut + " …"
}
