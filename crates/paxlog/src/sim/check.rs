//! `paxlog sim check`: histories, and whether they kept their promises.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use paxlog_sim::check::{Report, Violation, check};
use paxlog_sim::history::History;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::failure::Failure;
use crate::output::{Format, Stdout};

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog demo --history demo.jsonl && paxlog sim check demo.jsonl
  paxlog sim check demo.jsonl --output json | jq .rule
  zcat demo.jsonl.gz | paxlog sim check -

Every acknowledged append must be in its log, once and at its place; nothing else may be; and one order, in which
nothing that was over comes after what had not begun, must explain every answer. Exits with 0 if so, with 5 if not,
and with 2 if the file is no history, or one that can show neither. The format is in crates/sim/README.md.")]
pub(crate) struct CheckArgs {
    /// The history, JSON Lines; - for standard input.
    file: PathBuf,
}

pub(crate) fn judge(global: &Global, args: &CheckArgs) -> Result<(), Failure> {
    let file = args.file.as_path();
    let name = file.display();
    let input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(file)
            .map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")))?;
        Box::new(BufReader::with_capacity(1 << 20, opened))
    };
    let history = History::read(input).map_err(|error| {
        Failure::usage(format!("{name} is no whole history: {error}"))
            .hint("`paxlog demo --history FILE` writes one")
    })?;
    let report = check(&history);
    print(global.output, &report)?;
    verdict(&name.to_string(), &report)
}

/// How it exits: a promise was broken, or the history cannot show whether one was, which is another matter.
fn verdict(name: &str, report: &Report) -> Result<(), Failure> {
    let of_log = |violation: &Violation| {
        let value = serde_json::to_value(violation)
            .expect("our own types have text keys and always serialize");
        value["log"].as_str().map(str::to_owned)
    };
    // Where payloads repeat, a record is taken for another one: what else is said of such a log follows from that.
    let mixed_up: BTreeSet<Option<String>> = report
        .violations
        .iter()
        .filter(|violation| matches!(violation, Violation::PayloadRepeated { .. }))
        .map(of_log)
        .collect();
    let broken = report.violations.iter().filter(|&violation| {
        why_nothing(violation).is_none() && !mixed_up.contains(&of_log(violation))
    });
    match (broken.count(), report.more) {
        (0, _) => match report.violations.iter().find_map(why_nothing) {
            None => Ok(()),
            Some((why, hint)) => Err(Failure::usage(format!("{name} {why}")).hint(hint)),
        },
        (1, 0) => Err(Failure::integrity(format!("{name}: a promise was broken"))),
        (count, 0) => Err(Failure::integrity(format!(
            "{name}: promises were broken, {count} times"
        ))),
        // Of which rules the rest is was only counted.
        (count, _) => Err(Failure::integrity(format!(
            "{name}: promises were broken, {count} times and more"
        ))),
    }
}

/// What a history cannot show, and what to do about it, if that is what is wrong.
fn why_nothing(violation: &Violation) -> Option<(String, &'static str)> {
    match violation {
        Violation::Vacuous { why } => Some((
            format!("shows nothing: {why}"),
            "nothing was promised: record until an append is acknowledged",
        )),
        Violation::NotSettled { log } => Some((
            format!("shows nothing of log {log}: what it came to is not in it"),
            "when all is over, read the log whole, and write that as its line `settled`",
        )),
        Violation::PayloadRepeated { log, payload, .. } => Some((
            format!("shows nothing of log {log}: payload {payload} was appended more than once"),
            "give every record of a log a payload of its own: by it a record is known again",
        )),
        _ => None,
    }
}

/// What it shows if all is well, else each violation.
fn print(format: Format, report: &Report) -> Result<(), Failure> {
    let mut out = Stdout::new();
    match format {
        Format::Text if report.clean() => {
            out.line(&format!("{}\nevery promise was kept", report.summary))?
        }
        Format::Json if report.clean() => out.json(&json!({"summary": report.summary}))?,
        Format::Text => {
            for violation in &report.violations {
                out.line(&violation.to_string())?;
            }
            if report.more > 0 {
                out.line(&format!("and {} more of the same rules", report.more))?;
            }
        }
        Format::Json => {
            for violation in &report.violations {
                let mut value = serde_json::to_value(violation)
                    .expect("our own types have text keys and always serialize");
                value["message"] = Value::from(violation.to_string());
                out.json(&value)?;
            }
        }
    }
    out.flush()
}
