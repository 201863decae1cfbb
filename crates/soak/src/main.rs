//! `cargo run --release -p soak`: what the test command shows, in larger numbers, and what only numbers show.
//!
//! Each step runs whatever the steps before it did; the end is a table of all of them, and exit code 1 if any failed.

mod blob;
mod log;
mod rng;
mod step;
mod steps;
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use bench::{Program, Stage, machine, process};
use clap::Parser;
use serde_json::{Value, json};

use step::{Context, Step};

/// Tests, seeds and kills in larger numbers than the test command's.
#[derive(Parser)]
#[command(after_help = "Examples:
  cargo run --release -p soak                              all steps, about an hour
  cargo run --release -p soak -- --quick                   all steps, small numbers
  cargo run --release -p soak -- --only kills,memory
  cargo run --release -p soak -- --only kills --seed 42    the same draws again

What each test said is in target/soak/STEP.log.")]
struct Cli {
    /// Only these steps, in this order.
    #[arg(long, value_delimiter = ',', value_name = "STEP,…", value_parser = known)]
    only: Vec<&'static Step>,
    /// All but these steps.
    #[arg(long, value_delimiter = ',', value_name = "STEP,…", value_parser = known, conflicts_with = "only")]
    skip: Vec<&'static Step>,
    /// Small numbers, to see that everything works.
    #[arg(long)]
    quick: bool,
    /// What is drawn is drawn from this [else from the time; it is printed].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// List the steps and end.
    #[arg(long)]
    list: bool,
    /// Make temporary directories here [else in the target directory]; a disk, not memory.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Leave the temporary directories where they are.
    #[arg(long)]
    keep: bool,
    /// One JSON object at the end instead of a table.
    #[arg(long, value_parser = ["text", "json"], default_value = "text", value_name = "FORMAT")]
    output: String,
}

fn known(name: &str) -> Result<&'static Step, String> {
    steps::ALL
        .iter()
        .find(|step| step.name == name)
        .ok_or_else(|| {
            let names: Vec<&str> = steps::ALL.iter().map(|step| step.name).collect();
            format!("there is no such step; there are {}", names.join(", "))
        })
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        for step in steps::ALL {
            println!("{:<10} {}", step.name, step.what);
        }
        return ExitCode::SUCCESS;
    }
    let result = run(&cli);
    process::hold_if_ending();
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<bool> {
    process::end_on_signals()?;
    let chosen: Vec<&Step> = match cli.only.is_empty() {
        false => cli.only.clone(),
        true => steps::ALL
            .iter()
            .filter(|step| !cli.skip.iter().any(|skipped| skipped.name == step.name))
            .collect(),
    };
    ensure!(
        !chosen.is_empty(),
        "every step is skipped: `--list` shows them"
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    // Short enough to type, and with room above it for 64-bit draws.
    let seed = cli.seed.unwrap_or(now.as_nanos() as u64 % 1_000_000_000);
    eprintln!("seed {seed}; load average {}", machine::load());
    // Made first: a directory that cannot be used should not be found out after half an hour.
    let stage = Stage::make(cli.dir.as_deref(), cli.keep)?;
    let program = Program::find(None)?;
    let begin = Instant::now();
    let mut results = Vec::new();
    for step in chosen {
        eprintln!("\n== {}: {}", step.name, step.what);
        let (began, load) = (Instant::now(), machine::load());
        let context = Context {
            step: step.name,
            program: &program,
            dir: stage.sub(step.name)?,
            seed,
            quick: cli.quick,
        };
        let result = (step.run)(&context);
        process::hold_if_ending();
        if !cli.keep
            && let Err(error) = std::fs::remove_dir_all(&context.dir)
        {
            // Only space is lost; all of it goes at the end.
            eprintln!("   {} is not removed: {error}", context.dir.display());
        }
        let secs = began.elapsed().as_secs();
        match &result {
            Ok(facts) => eprintln!("-- {} passed after {secs} s: {facts}", step.name),
            Err(error) => eprintln!("-- {} FAILED after {secs} s: {error:#}", step.name),
        }
        results.push(Done {
            name: step.name,
            secs,
            load,
            result,
        });
    }
    let passed = results.iter().all(|done| done.result.is_ok());
    match cli.output.as_str() {
        "json" => println!("{}", to_json(seed, &results)),
        _ => println!(
            "\nseed {seed}, {} s{}\n{}",
            begin.elapsed().as_secs(),
            if cli.quick { ", small numbers" } else { "" },
            to_text(&results)
        ),
    }
    Ok(passed)
}

/// A step that was run.
struct Done {
    name: &'static str,
    secs: u64,
    /// When it began.
    load: f64,
    result: Result<String>,
}

fn to_text(results: &[Done]) -> String {
    let mut lines = vec![format!("{:<10} {:<7} {:>6} {:>6}", "step", "", "s", "load")];
    for done in results {
        let (verdict, facts) = match &done.result {
            Ok(facts) => ("passed", facts.clone()),
            // The log has the rest.
            Err(error) => (
                "FAILED",
                format!("{error:#}")
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            ),
        };
        lines.push(format!(
            "{:<10} {verdict:<7} {:>6} {:>6.1}  {facts}",
            done.name, done.secs, done.load
        ));
    }
    lines.join("\n")
}

fn to_json(seed: u64, results: &[Done]) -> Value {
    let steps: Vec<Value> = results
        .iter()
        .map(|done| {
            let (facts, error) = match &done.result {
                Ok(facts) => (Some(facts), None),
                Err(error) => (None, Some(format!("{error:#}"))),
            };
            json!({
                "step": done.name,
                "passed": error.is_none(),
                "secs": done.secs,
                "load": done.load,
                "facts": facts,
                "error": error,
            })
        })
        .collect();
    json!({"seed": seed, "passed": results.iter().all(|done| done.result.is_ok()), "steps": steps})
}

#[cfg(test)]
mod checks {
    use super::*;

    #[test]
    fn steps_have_names_of_their_own_and_are_found() {
        for step in steps::ALL {
            assert_eq!(known(step.name).unwrap().name, step.name);
            let same = steps::ALL.iter().filter(|other| other.name == step.name);
            assert_eq!(same.count(), 1, "{}", step.name);
            assert!(step.name.len() <= 10);
        }
        assert!(known("nothing").unwrap_err().contains("kills"));
    }

    #[test]
    fn one_failure_is_seen() {
        let done = |result| Done {
            name: "a",
            secs: 1,
            load: 0.5,
            result,
        };
        let all = [
            done(Ok("fine".into())),
            done(Err(anyhow::anyhow!("lost\nrecord"))),
        ];
        assert_eq!(to_json(1, &all)["passed"], false);
        assert_eq!(to_json(1, &all[..1])["passed"], true);
        let text = to_text(&all);
        assert!(text.contains("FAILED") && text.contains("lost") && !text.contains("record"));
    }
}
