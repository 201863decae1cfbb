//! `paxlog cursor get|set|list|delete`: consumers' own places, kept by the cluster.

use clap::{Args, Subcommand};
use paxlog_client::{Consistency, Cursor, Expected};
use serde_json::json;

use crate::change::Change;
use crate::cli::{DeadlineArg, Global};
use crate::failure::Failure;
use crate::output::{self, Format, Stdout};
use crate::{connect, time};

#[derive(Subcommand)]
pub(crate) enum CursorCommand {
    /// Where a cursor stands.
    Get(GetArgs),
    /// Set a cursor, and make it if it is new.
    Set(SetArgs),
    /// List a log's cursors in the order of their names.
    List(ListArgs),
    /// Delete a cursor.
    Delete(DeleteArgs),
}

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog cursor get orders billing
  paxlog cursor get orders billing --output json | jq .at
  paxlog read orders --from cursor:billing -n 100")]
pub(crate) struct GetArgs {
    /// The log.
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    /// The cursor.
    #[arg(value_parser = crate::names::cursor_name)]
    name: String,
    /// Take what the nearest replica knows.
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    deadline: DeadlineArg,
}

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog cursor set orders billing 1000
  paxlog cursor set orders billing 1100 --expect 1000    only if it still stands at 1000
  paxlog cursor set orders billing 0 --expect-none       only if there is none")]
pub(crate) struct SetArgs {
    /// The log.
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    /// The cursor.
    #[arg(value_parser = crate::names::cursor_name)]
    name: String,
    /// The next offset that its consumer wants; at most the tail.
    offset: u64,
    /// Do it only if it stands here.
    #[arg(long, value_name = "OFFSET", conflicts_with = "expect_none")]
    expect: Option<u64>,
    /// Do it only if there is none.
    #[arg(long)]
    expect_none: bool,
    #[command(flatten)]
    deadline: DeadlineArg,
}

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog cursor list orders
  paxlog cursor list orders --prefix team-a/ --output json")]
pub(crate) struct ListArgs {
    /// The log.
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    /// Only names that begin so.
    #[arg(long, default_value = "")]
    prefix: String,
    /// Take what the nearest replica knows.
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    deadline: DeadlineArg,
}

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog cursor delete orders billing")]
pub(crate) struct DeleteArgs {
    /// The log.
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    /// The cursor.
    #[arg(value_parser = crate::names::cursor_name)]
    name: String,
    #[command(flatten)]
    deadline: DeadlineArg,
}

/// Cursors asked for at once.
const PAGE: u32 = 500;

pub(crate) async fn cursor(global: &Global, command: CursorCommand) -> Result<(), Failure> {
    match command {
        CursorCommand::Get(args) => get(global, args).await,
        CursorCommand::Set(args) => set(global, args).await,
        CursorCommand::List(args) => list(global, args).await,
        CursorCommand::Delete(args) => delete(global, args).await,
    }
}

fn consistency(local: bool) -> Consistency {
    match local {
        true => Consistency::Local,
        false => Consistency::Linearizable,
    }
}

async fn get(global: &Global, args: GetArgs) -> Result<(), Failure> {
    let client = connect::connect(global, args.deadline.deadline).await?;
    let found = client
        .cursor(&args.log, &args.name, consistency(args.local))
        .await?;
    let Some(cursor) = found else {
        return Err(
            Failure::refused(format!("{} has no cursor {:?}", args.log, args.name))
                .code("NotFound")
                .fact("retry", "never")
                .hint("`paxlog cursor list` shows those it has"),
        );
    };
    match global.output {
        Format::Json => output::print_json(&to_json(&args.log, &cursor)),
        Format::Text => output::print_line(&to_text(&cursor)),
    }
}

async fn set(global: &Global, args: SetArgs) -> Result<(), Failure> {
    let expect = match (args.expect, args.expect_none) {
        (Some(at), _) => Expected::Is(at),
        (None, true) => Expected::Absent,
        (None, false) => Expected::Any,
    };
    let change = Change::begin(global, args.deadline.deadline).await?;
    let set = change
        .run(
            change
                .client
                .set_cursor(&args.log, &args.name, args.offset, expect),
        )
        .await?;
    match global.output {
        Format::Json => output::print_json(&json!({
            "log": args.log,
            "cursor": args.name,
            "at": args.offset,
            "version": set.version,
        })),
        Format::Text => output::print_line(&format!("{} now stands at {}", args.name, args.offset)),
    }
}

async fn list(global: &Global, args: ListArgs) -> Result<(), Failure> {
    let client = connect::connect(global, args.deadline.deadline).await?;
    let mut out = Stdout::new();
    let mut after: Option<String> = None;
    loop {
        let page = client
            .list_cursors(
                &args.log,
                &args.prefix,
                after.as_deref(),
                PAGE,
                consistency(args.local),
            )
            .await?;
        for cursor in &page.cursors {
            match global.output {
                Format::Json => out.json(&to_json(&args.log, cursor))?,
                Format::Text => out.line(&to_text(cursor))?,
            }
        }
        match page.cursors.last() {
            Some(last) if page.more => after = Some(last.name.clone()),
            _ => return out.flush(),
        }
    }
}

async fn delete(global: &Global, args: DeleteArgs) -> Result<(), Failure> {
    let change = Change::begin(global, args.deadline.deadline).await?;
    let deleted = change
        .run(change.client.delete_cursor(&args.log, &args.name))
        .await?;
    match global.output {
        Format::Json => output::print_json(&json!({
            "log": args.log,
            "cursor": args.name,
            "deleted": true,
            "version": deleted.version,
        })),
        Format::Text => output::print_line(&format!("deleted {}", args.name)),
    }
}

fn to_json(log: &str, cursor: &Cursor) -> serde_json::Value {
    json!({
        "log": log,
        "cursor": cursor.name,
        "at": cursor.at,
        "set": time::format_ns(cursor.set),
    })
}

fn to_text(cursor: &Cursor) -> String {
    format!(
        "{} at {}, set {}",
        cursor.name,
        cursor.at,
        time::format_ns(cursor.set)
    )
}
