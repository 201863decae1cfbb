//! `paxlog seal`: no more appends, for good.

use clap::Args;
use serde_json::json;

use crate::change::Change;
use crate::cli::{DeadlineArg, Global};
use crate::failure::Failure;
use crate::output::{self, Format};

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog seal notes                    reads and tails still work; `tail -f` ends")]
pub(crate) struct SealArgs {
    /// The log.
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    #[command(flatten)]
    deadline: DeadlineArg,
}

pub(crate) async fn seal(global: &Global, args: SealArgs) -> Result<(), Failure> {
    let change = Change::begin(global, args.deadline.deadline).await?;
    let sealed = change.run(change.client.seal(&args.log)).await?;
    match global.output {
        Format::Json => output::print_json(&json!({
            "log": args.log,
            "tail": sealed.tail,
            "sealed": true,
            "version": sealed.version,
        })),
        Format::Text => output::print_line(&format!(
            "{} is sealed; it ends at {}",
            args.log, sealed.tail
        )),
    }
}
