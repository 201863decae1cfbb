//! `paxlog read`: a log, or a part of it, up to the tail seen at the start.

use clap::Args;
use paxlog_client::{Consistency, ReadOptions, Reader};
use serde_json::json;

use crate::cli::{DeadlineArg, Global};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{Format, Stdout};
use crate::print::{As, Printer};
use crate::{connect, output, position, time};

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog read notes                              all of it, a line a record
  paxlog read notes --from 1000 -n 10            ten records from offset 1000
  paxlog read notes --from tail-5 --output json  the last five, with offset, time, key and headers
  paxlog read blobs --from 7 -n 1 --as raw > photo.jpg
  paxlog read notes --from @2026-11-24T10:00:00Z --until 2026-11-24T11:00:00Z
  paxlog read notes --from cursor:billing -n 100  from where the cursor stands; it stays there

`read` ends at the tail it sees when it starts; `paxlog tail -f` goes on.")]
pub(crate) struct ReadArgs {
    /// The log.
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    /// Where to begin: first, tail, an offset, tail-N, @TIME (RFC 3339) or cursor:NAME.
    #[arg(
        long,
        default_value = "first",
        value_name = "PLACE",
        allow_hyphen_values = true
    )]
    from: String,
    /// At most so many records.
    #[arg(short = 'n', long = "records", value_name = "N")]
    records: Option<u64>,
    /// End before the first record of this time or later (RFC 3339).
    #[arg(long, value_parser = time::parse_ns, value_name = "TIME")]
    until: Option<u64>,
    /// How records are printed [default: lines, or json with --output json].
    #[arg(long = "as", value_enum, value_name = "FORM")]
    form: Option<As>,
    /// Print NUL after each record instead of a line feed.
    #[arg(short = '0', long = "null")]
    nul: bool,
    /// See everything that was acknowledged before: the replica asks the leader how far that is.
    #[arg(long)]
    linearizable: bool,
    /// Say on stderr how far it read, and how old that may be.
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    deadline: DeadlineArg,
}

pub(crate) async fn read(global: &Global, args: ReadArgs) -> Result<(), Failure> {
    let from = position::parse(&args.from)?;
    if args.records == Some(0) {
        return Ok(());
    }
    let options = ReadOptions {
        max_records: args.records.unwrap_or(0),
        until: args.until.unwrap_or(0),
        consistency: match args.linearizable {
            true => Consistency::Linearizable,
            false => Consistency::Local,
        },
        ..ReadOptions::default()
    };
    let interrupt = Interrupt::watch();
    let deadline = args.deadline.deadline;
    let client = interrupt.or(connect::connect(global, deadline)).await??;
    let mut reader = interrupt
        .or(client.read(&args.log, from, options))
        .await??;
    let printer = Printer::new(args.form, global.output, args.nul);
    let mut out = Stdout::new();
    loop {
        let batch = tokio::select! {
            batch = reader.next_batch() => batch,
            () = interrupt.wait() => {
                out.flush()?;
                return Err(Failure::interrupted());
            }
        };
        match batch {
            Ok(Some(batch)) => printer.batch(&mut out, &batch)?,
            Ok(None) => {
                out.flush()?;
                if args.verbose {
                    tell(global.output, &args, &reader);
                }
                return Ok(());
            }
            Err(error) => {
                // What was read is good.
                out.flush()?;
                return Err(error.into());
            }
        }
    }
}

/// How far it read, and of what.
fn tell(format: Format, args: &ReadArgs, reader: &Reader) {
    let Some(started) = reader.started() else {
        return;
    };
    let (next, tail) = (reader.next(), reader.tail());
    let log = &args.log;
    let age = match started.stale_ms {
        _ if args.linearizable => "with everything acknowledged before".into(),
        Some(ms) => format!("as of {ms} ms before the read began"),
        None => "as of an unknown time".into(),
    };
    let text = format!("read {log} up to {next} of {tail}, {age}");
    output::aside(format, &text, || {
        json!({
            "log": log, "next": next, "tail": tail, "trim_point": started.trim_point,
            "version": started.version, "stale_ms": started.stale_ms,
        })
    });
}
