//! `paxlog log create|list|describe|alter|delete`.

use clap::{Args, Subcommand};
use paxlog_client::{Consistency, CreateOptions, LogDescription};
use serde_json::json;

use crate::change::Change;
use crate::cli::{DeadlineArg, Global};
use crate::failure::Failure;
use crate::output::{self, Format, Stdout};
use crate::settings::{self, SettingArgs};
use crate::{connect, time};

#[derive(Subcommand)]
pub(crate) enum LogCommand {
    /// Make a log.
    Create(CreateArgs),
    /// List logs in the order of their names.
    List(ListArgs),
    /// Everything about a log.
    Describe(DescribeArgs),
    /// Change a log's settings.
    Alter(AlterArgs),
    /// Delete a log with all its records and cursors.
    Delete(DeleteArgs),
}

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog log create notes
  paxlog log create orders/eu --if-absent
  paxlog log create events --retention-age 7d --retention-bytes 100GiB
  paxlog log create metrics --append-rate 20MB --max-batch 256KiB

Retention gives up whole batches of the newest two segments, and whole segments of older ones: so a log keeps what it is
to keep, and at times somewhat more. With --if-absent an existing log keeps the settings that it has.")]
pub(crate) struct CreateArgs {
    /// Its name: 1 to 255 of A-Z a-z 0-9 . _ / -
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    /// Take an existing log for an answer.
    #[arg(long)]
    if_absent: bool,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    deadline: DeadlineArg,
}

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog log alter events --retention-age 30d
  paxlog log alter events --retention-age none --append-rate 50MB

What is not named stays as it is.")]
pub(crate) struct AlterArgs {
    /// The log.
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    deadline: DeadlineArg,
}

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog log delete notes

There is no way back. A log made again under the name starts afresh at offset 0; whoever still appends to the old one is
refused with LogDeleted.")]
pub(crate) struct DeleteArgs {
    /// The log.
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    #[command(flatten)]
    deadline: DeadlineArg,
}

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog log list
  paxlog log list --prefix orders/ --output json")]
pub(crate) struct ListArgs {
    /// Only names that begin so.
    #[arg(long, default_value = "")]
    prefix: String,
    #[command(flatten)]
    deadline: DeadlineArg,
}

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog log describe notes
  paxlog log describe notes --output json | jq .tail")]
pub(crate) struct DescribeArgs {
    /// The log.
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    /// Take what the nearest replica knows.
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    deadline: DeadlineArg,
}

/// Logs asked for at once.
const PAGE: u32 = 500;

pub(crate) async fn log(global: &Global, command: LogCommand) -> Result<(), Failure> {
    match command {
        LogCommand::Create(args) => create(global, args).await,
        LogCommand::List(args) => list(global, args).await,
        LogCommand::Describe(args) => describe(global, args).await,
        LogCommand::Alter(args) => alter(global, args).await,
        LogCommand::Delete(args) => delete(global, args).await,
    }
}

async fn create(global: &Global, args: CreateArgs) -> Result<(), Failure> {
    let change = Change::begin(global, args.deadline.deadline).await?;
    let options = CreateOptions {
        if_absent: args.if_absent,
        config: args.settings.config(),
    };
    let created = change
        .run(change.client.create_log(&args.log, options))
        .await?;
    match global.output {
        Format::Json => output::print_json(&json!({
            "log": args.log,
            "id": created.log.to_string(),
            "existed": created.existed,
            "version": created.version,
        })),
        Format::Text if created.existed => output::print_line(&format!("{} exists", args.log)),
        Format::Text => output::print_line(&format!("created {}", args.log)),
    }
}

async fn alter(global: &Global, args: AlterArgs) -> Result<(), Failure> {
    if args.settings.is_empty() {
        return Err(Failure::usage("nothing to change was named")
            .hint("see `paxlog log alter --help` for what can be set"));
    }
    let change = Change::begin(global, args.deadline.deadline).await?;
    let altered = change
        .run(change.client.alter_log(&args.log, args.settings.change()))
        .await?;
    let question = change
        .client
        .describe_log(&args.log, Consistency::Linearizable);
    let config = match change.ask(question).await {
        Ok(log) => Some(log.config),
        // What was asked for is done: to say anything else would have it done again.
        Err(why) => {
            let note =
                format!("the settings were changed; what they all are now is not known: {why}");
            output::note(global.output, &note);
            None
        }
    };
    match global.output {
        Format::Json => output::print_json(&json!({
            "log": args.log,
            "config": config.as_ref().map(settings::to_json),
            "version": altered.version,
        })),
        Format::Text => {
            let said = config.as_ref().map(settings::to_text);
            output::print_line(&format!(
                "{} {}",
                args.log,
                said.unwrap_or("changed".into())
            ))
        }
    }
}

async fn delete(global: &Global, args: DeleteArgs) -> Result<(), Failure> {
    let change = Change::begin(global, args.deadline.deadline).await?;
    let deleted = change.run(change.client.delete_log(&args.log)).await?;
    match global.output {
        Format::Json => output::print_json(&json!({
            "log": args.log,
            "deleted": true,
            "version": deleted.version,
        })),
        Format::Text => output::print_line(&format!("deleted {}", args.log)),
    }
}

async fn list(global: &Global, args: ListArgs) -> Result<(), Failure> {
    let client = connect::connect(global, args.deadline.deadline).await?;
    let mut out = Stdout::new();
    let mut after: Option<String> = None;
    loop {
        let page = client
            .list_logs(&args.prefix, after.as_deref(), PAGE)
            .await?;
        for log in &page.logs {
            match global.output {
                Format::Json => out.json(&to_json(log))?,
                Format::Text => out.line(&log.name)?,
            }
        }
        match page.logs.last() {
            Some(last) if page.more => after = Some(last.name.clone()),
            _ => return out.flush(),
        }
    }
}

async fn describe(global: &Global, args: DescribeArgs) -> Result<(), Failure> {
    let client = connect::connect(global, args.deadline.deadline).await?;
    let consistency = match args.local {
        true => Consistency::Local,
        false => Consistency::Linearizable,
    };
    let log = client.describe_log(&args.log, consistency).await?;
    match global.output {
        Format::Json => output::print_json(&to_json(&log)),
        Format::Text => output::print_line(&to_text(&log)),
    }
}

fn to_json(log: &LogDescription) -> serde_json::Value {
    json!({
        "log": log.name,
        "id": log.tail.log.to_string(),
        "trim_point": log.tail.trim_point,
        "tail": log.tail.offset,
        "records": log.tail.offset - log.tail.trim_point,
        "created": time::format_ns(log.created),
        "bytes_appended": log.bytes_appended,
        "bytes_kept": log.bytes_kept,
        "fence": log.tail.fence,
        "config": settings::to_json(&log.config),
        "cursors": log.cursors,
        "producers": log.producers,
        "timestamp": (log.tail.timestamp > 0).then(|| time::format_ns(log.tail.timestamp)),
        "sealed": log.tail.sealed,
        "version": log.tail.version,
        "limits": {
            "record_bytes_max": paxlog_client::limits::RECORD_BYTES_MAX,
            "batch_bytes_max": paxlog_client::limits::BATCH_BYTES_MAX,
            "headers_bytes_max": paxlog_client::limits::HEADERS_BYTES_MAX,
        },
    })
}

fn to_text(log: &LogDescription) -> String {
    let tail = &log.tail;
    let mut rows = vec![
        ("log", log.name.clone()),
        (
            "records",
            format!(
                "{} ({}..{})",
                time::thousands(tail.offset - tail.trim_point),
                tail.trim_point,
                tail.offset
            ),
        ),
        (
            "appended",
            format!(
                "{} in all, {} kept",
                time::human_bytes(log.bytes_appended),
                time::human_bytes(log.bytes_kept)
            ),
        ),
        ("settings", settings::to_text(&log.config)),
        ("created", time::format_ns(log.created)),
    ];
    if tail.timestamp > 0 {
        rows.push(("last", time::format_ns(tail.timestamp)));
    }
    if let Some(fence) = &tail.fence {
        rows.push(("fence", fence.clone()));
    }
    rows.push((
        "used by",
        format!("{} producers, {} cursors", log.producers, log.cursors),
    ));
    rows.push(("sealed", if tail.sealed { "yes" } else { "no" }.to_owned()));
    rows.push(("version", tail.version.to_string()));
    rows.push((
        "limits",
        "record 1 MiB, batch 4 MiB, headers 32 KiB".to_owned(),
    ));
    rows.iter()
        .map(|(key, value)| format!("{key:<8} {value}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use paxlog_client::TailInfo;

    use super::*;

    #[test]
    fn a_log_in_both_forms() {
        let log = LogDescription {
            name: "notes".into(),
            tail: TailInfo {
                log: 7,
                offset: 12,
                timestamp: 1,
                trim_point: 2,
                sealed: true,
                version: 9,
                fence: Some("w1".into()),
                stale_ms: None,
            },
            created: 1,
            bytes_appended: 1234,
            bytes_kept: 100,
            config: paxlog_client::LogConfig::default(),
            cursors: 2,
            producers: 3,
        };
        let value = to_json(&log);
        assert_eq!((&value["records"], &value["id"]), (&10.into(), &"7".into()));
        assert!(to_text(&log).contains("records  10 (2..12)"));
    }
}
