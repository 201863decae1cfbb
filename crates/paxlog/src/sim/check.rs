//! `paxlog sim check`: histories, and whether they kept their promises.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use paxlog_sim::check::{Report, check};
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
and with 2 if the file is no history. The format is in crates/sim/README.md.")]
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
    match report.violations.len() as u64 + report.more {
        0 => Ok(()),
        1 => Err(Failure::integrity(format!("{name}: a promise was broken"))),
        count => Err(Failure::integrity(format!(
            "{name}: promises were broken, {count} times"
        ))),
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
