//! What is done with the bugs, in the copy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::args::{self, Args, Command, Run};
use crate::bug::{self, Bug, SEEDS};
use crate::course::Course;
use crate::hunt::{Hunted, Play, hunt, play_all};
use crate::readme::{self, Caught};

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
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut bugs = bug::read_all(&home.join("bugs"))?;
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
    match &args.command {
        Command::Check { all_seeds } => check(play, args, &bugs, *all_seeds),
        Command::Table { record } => {
            let well = table(play, args, &bugs, *record)?;
            if *record {
                let all = bug::read_all(&home.join("bugs"))?;
                readme::write(&home.join("README.md"), &all)?;
            }
            Ok(well)
        }
        Command::Trace { bug, run } => {
            let course = match run {
                Run::Seed(seed) => Course::Seed(*seed),
                Run::Plan(name) => Course::of_file(name)?,
            };
            let played = play(*bug, &course, true);
            println!("{}", played.trace.join("\n"));
            match played.failure {
                Some((rule, what)) => println!("\n{course} fails with bug {bug}: {rule}: {what}"),
                None => println!("\n{course} is clean with bug {bug}"),
            }
            Ok(true)
        }
        // Done before the copy was built.
        Command::Readme | Command::Plant => Ok(true),
    }
}

fn check(play: Play, args: &Args, bugs: &[Bug], all_seeds: bool) -> Result<bool, String> {
    let begun = Instant::now();
    let wanted = if all_seeds { SEEDS } else { 1 };
    let mut well = true;
    let mut runs = Vec::new();
    for bug in bugs {
        if let Some(plan) = &bug.plan {
            runs.push((bug.number, Course::kept(plan)?));
        }
        if let Some(why) = &bug.not_yet {
            let known = match &bug.plan {
                Some(plan) => format!("by plan {plan} alone"),
                None => "not caught yet".to_owned(),
            };
            println!("bug {:>2} {known}  {}: {why}", bug.number, bug.name);
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
        let seeds = bug.seeds.iter().take(wanted);
        runs.extend(seeds.map(|&seed| (bug.number, Course::Seed(seed))));
    }
    let courses: BTreeSet<Course> = runs.iter().map(|(_, course)| course.clone()).collect();
    runs.extend(courses.into_iter().map(|course| (0, course)));
    let failures = play_all(play, &runs, args.jobs);
    let failed: BTreeMap<&(u32, Course), _> = runs.iter().zip(failures).collect();
    for ((number, course), failure) in &failed {
        let bug = bugs.iter().find(|bug| bug.number == *number);
        match (bug, failure) {
            (None, None) => {}
            (None, Some((rule, what))) => {
                well = false;
                println!("{course} fails without any bug: {rule}: {what}");
            }
            (Some(bug), None) => {
                well = false;
                let then = match course {
                    Course::Seed(_) => "if the simulator changed, run `record`",
                    Course::Plan { .. } => "find out what it no longer reaches",
                };
                println!(
                    "bug {number} ({}) is not caught by {course} any more: {then}",
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
                    "bug {number:>2} {course}  {}: {rule}{other}: {}",
                    bug.name,
                    cut(line)
                );
            }
        }
    }
    let count = |wanted: Caught| bugs.iter().filter(|bug| Caught::of(bug) == wanted).count();
    println!(
        "{} bugs: {} with seeds, {} with a plan alone, {} not caught yet; {} runs, {:.1} s: {}",
        bugs.len(),
        count(Caught::BySeeds),
        count(Caught::ByPlan),
        count(Caught::Never),
        runs.len(),
        begun.elapsed().as_secs_f64(),
        if well {
            "what is to be caught is caught"
        } else {
            "NOT WELL"
        }
    );
    Ok(well)
}

/// What the plans of bugs came to, by the bugs' numbers: the rule by which it was caught, or why it was not.
type ByPlan = BTreeMap<u32, Result<String, String>>;

fn by_plan(play: Play, args: &Args, bugs: &[Bug]) -> Result<ByPlan, String> {
    let (mut awake, mut asleep) = (Vec::new(), Vec::new());
    for bug in bugs {
        if let Some(plan) = &bug.plan {
            let course = Course::kept(plan)?;
            awake.push((bug.number, course.clone()));
            asleep.push((0, course));
        }
    }
    let caught = play_all(play, &awake, args.jobs);
    let clean = play_all(play, &asleep, args.jobs);
    let of = |caught: Option<(String, String)>, clean| match (caught, clean) {
        (_, Some((rule, _))) => Err(format!("fails without any bug: {rule}")),
        (None, None) => Err("does not catch it".to_owned()),
        (Some((rule, _)), None) => Ok(rule),
    };
    let numbers = awake.into_iter().map(|(number, _)| number);
    let outcomes = caught.into_iter().zip(clean);
    Ok(numbers
        .zip(outcomes.map(|(caught, clean)| of(caught, clean)))
        .collect())
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
    let plans = by_plan(play, args, bugs)?;
    println!("| bug | | seeds | tried until first, second, third | plan | rules |");
    println!("|---|---|---|---|---|---|");
    let mut firsts = Vec::new();
    let mut well = true;
    let mut fail_anyway = BTreeSet::new();
    for (bug, hunted) in bugs.iter().zip(&hunted) {
        let by_plan = plans.get(&bug.number);
        let mut rules = hunted.rules();
        if let Some(Ok(rule)) = by_plan
            && !rules.contains(&&**rule)
        {
            rules.push(rule);
        }
        println!("{}", row(bug, hunted, &rules));
        well &= hunted.caught.len() == SEEDS || bug.not_yet.is_some();
        if let Some(Err(why)) = by_plan {
            well = false;
            eprintln!("bug {} ({}): its plan {why}", bug.number, bug.name);
        }
        firsts.push(hunted.tried(0));
        fail_anyway.extend(hunted.fail_anyway.iter().copied());
        if record {
            let seeds: Vec<u64> = hunted.caught.iter().map(|caught| caught.seed).collect();
            bug::record(bug, &seeds, &rules).map_err(|e| format!("{}: {e}", bug.file.display()))?;
        }
    }
    firsts.sort_by_key(|first| first.unwrap_or(u64::MAX));
    let middle = firsts.get(firsts.len().saturating_sub(1) / 2);
    let middle = middle.copied().flatten();
    let middle = middle.map_or("more than were tried".into(), |median| median.to_string());
    println!(
        "\n{} bugs, {:.0} s; seeds until half of them were caught once: {middle}",
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

fn row(bug: &Bug, hunted: &Hunted, rules: &[&str]) -> String {
    let seeds: Vec<String> = hunted.caught.iter().map(|c| c.seed.to_string()).collect();
    let tried: Vec<String> = (0..SEEDS)
        .map(|n| {
            hunted
                .tried(n)
                .map_or("–".into(), |tried| tried.to_string())
        })
        .collect();
    format!(
        "| {} | {} | {} | {} | {} | {} |",
        bug.number,
        bug.name,
        seeds.join(", "),
        tried.join(", "),
        bug.plan.as_deref().unwrap_or("–"),
        rules.join(", ")
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
