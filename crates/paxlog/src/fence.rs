//! `paxlog fence`: shuts out writers that do not carry the token.

use clap::Args;
use paxlog_client::Expected;
use serde_json::json;

use crate::change::Change;
use crate::cli::{DeadlineArg, Global};
use crate::failure::Failure;
use crate::output::{self, Format};

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog fence notes writer-2                      from here on, appends need --fence writer-2
  paxlog fence notes writer-2 --expect writer-1    only if writer-1 has it now
  paxlog fence notes writer-1 --expect-none        only if nobody has it
  paxlog fence notes --clear                       appends need no fence again
  paxlog append notes -m hello --fence writer-2

The tail that is printed is where the former fence's time ends: nothing appended under it comes behind that, whatever was
still under way. While a log has a fence, appends without one are refused, too. `paxlog check-tail` shows it.")]
pub(crate) struct FenceArgs {
    /// The log.
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    /// What appends must carry from here on.
    #[arg(required_unless_present = "clear", conflicts_with = "clear", value_parser = crate::names::fence)]
    token: Option<String>,
    /// Appends need carry nothing from here on.
    #[arg(long)]
    clear: bool,
    /// Do it only if this is the fence.
    #[arg(long, value_name = "TOKEN", conflicts_with = "expect_none", value_parser = crate::names::fence)]
    expect: Option<String>,
    /// Do it only if the log has no fence.
    #[arg(long)]
    expect_none: bool,
    #[command(flatten)]
    deadline: DeadlineArg,
}

pub(crate) async fn fence(global: &Global, args: FenceArgs) -> Result<(), Failure> {
    let expect = match (args.expect, args.expect_none) {
        (Some(token), _) => Expected::Is(token),
        (None, true) => Expected::Absent,
        (None, false) => Expected::Any,
    };
    let change = Change::begin(global, args.deadline.deadline).await?;
    let token = args.token.as_deref();
    let fenced = change
        .run(change.client.fence(&args.log, token, expect))
        .await?;
    match (global.output, token) {
        (Format::Json, _) => output::print_json(&json!({
            "log": args.log,
            "fence": token,
            "tail": fenced.tail,
            "version": fenced.version,
        })),
        (Format::Text, Some(token)) => output::print_line(&format!(
            "{} takes appends under {token:?} alone from {} on",
            args.log, fenced.tail
        )),
        (Format::Text, None) => output::print_line(&format!(
            "{} has no fence from {} on",
            args.log, fenced.tail
        )),
    }
}
