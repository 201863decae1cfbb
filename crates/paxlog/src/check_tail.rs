//! `paxlog check-tail`: where a log ends.

use clap::Args;
use paxlog_client::Consistency;
use serde_json::json;

use crate::cli::{DeadlineArg, Global};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::{connect, time};

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog check-tail notes              everything acknowledged before is counted
  paxlog check-tail notes --local      what one replica knows, without asking the leader
  paxlog check-tail notes --output json | jq .offset")]
pub(crate) struct CheckTailArgs {
    /// The log.
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    /// Take what the nearest replica knows.
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    deadline: DeadlineArg,
}

pub(crate) async fn check_tail(global: &Global, args: CheckTailArgs) -> Result<(), Failure> {
    let client = connect::connect(global, args.deadline.deadline).await?;
    let consistency = match args.local {
        true => Consistency::Local,
        false => Consistency::Linearizable,
    };
    let tail = client.check_tail(&args.log, consistency).await?;
    // Before the first append there is none.
    let timestamp = (tail.timestamp > 0).then(|| time::format_ns(tail.timestamp));
    match global.output {
        Format::Json => output::print_json(&json!({
            "log": args.log,
            "offset": tail.offset,
            "timestamp": timestamp,
            "trim_point": tail.trim_point,
            "sealed": tail.sealed,
            "version": tail.version,
            "fence": tail.fence,
            "stale_ms": tail.stale_ms,
        })),
        Format::Text => {
            let mut text = format!("{} ends at {}", args.log, tail.offset);
            if tail.trim_point > 0 {
                text.push_str(&format!(", begins at {}", tail.trim_point));
            }
            if let Some(timestamp) = timestamp {
                text.push_str(&format!(", last record at {timestamp}"));
            }
            if tail.sealed {
                text.push_str(", sealed");
            }
            if let Some(fence) = &tail.fence {
                text.push_str(&format!(", fenced by {fence:?}"));
            }
            match (args.local, tail.stale_ms) {
                (true, Some(ms)) => text.push_str(&format!(", as of {ms} ms ago")),
                (true, None) => text.push_str(", as of an unknown time"),
                (false, _) => {}
            }
            output::print_line(&text)
        }
    }
}
