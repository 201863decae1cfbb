//! `paxlog trim`: gives up what is old.

use clap::Args;
use serde_json::json;

use crate::change::Change;
use crate::cli::{DeadlineArg, Global};
use crate::failure::Failure;
use crate::output::{self, Format};

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog trim notes 1000               records 0..1000 are given up; 1000 is kept")]
pub(crate) struct TrimArgs {
    /// The log.
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    /// The first offset to keep.
    to: u64,
    #[command(flatten)]
    deadline: DeadlineArg,
}

pub(crate) async fn trim(global: &Global, args: TrimArgs) -> Result<(), Failure> {
    let change = Change::begin(global, args.deadline.deadline).await?;
    let trimmed = change.run(change.client.trim(&args.log, args.to)).await?;
    match global.output {
        Format::Json => output::print_json(&json!({
            "log": args.log,
            "trim_point": trimmed.trim_point,
            "tail": trimmed.tail,
            "version": trimmed.version,
        })),
        Format::Text => output::print_line(&format!(
            "{} now begins at {} and ends at {}",
            args.log, trimmed.trim_point, trimmed.tail
        )),
    }
}
