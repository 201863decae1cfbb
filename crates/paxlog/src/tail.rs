//! `paxlog tail`: the last records, and those to come.

use clap::Args;
use paxlog_client::{Consistency, From, ReadOptions, TailEvent, TailOptions};

use crate::cli::{DeadlineArg, Global};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{self, Stdout};
use crate::print::{As, Printer};
use crate::{connect, position};

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog tail notes                    the last ten records
  paxlog tail notes -f                 and each to come, as soon as it is committed
  paxlog tail notes -f -n 0            only those to come
  paxlog tail notes -f --from first --output json | jq .payload")]
pub(crate) struct TailArgs {
    /// The log.
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    /// Go on: print each record as soon as it is committed.
    #[arg(short, long)]
    follow: bool,
    /// Begin so many records before the tail.
    #[arg(
        short = 'n',
        long = "records",
        default_value_t = 10,
        value_name = "N",
        conflicts_with = "from"
    )]
    records: u64,
    /// Begin here instead: first, tail, an offset or tail-N (later releases: @TIME, cursor:NAME).
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    from: Option<String>,
    /// How records are printed [default: lines, or json with --output json].
    #[arg(long = "as", value_enum, value_name = "FORM")]
    form: Option<As>,
    /// Print NUL after each record instead of a line feed.
    #[arg(short = '0', long = "null")]
    nul: bool,
    #[command(flatten)]
    deadline: DeadlineArg,
}

pub(crate) async fn tail(global: &Global, args: TailArgs) -> Result<(), Failure> {
    let from = match &args.from {
        Some(text) => position::parse(text)?,
        None => From::TailMinus(args.records),
    };
    let interrupt = Interrupt::watch();
    let deadline = args.deadline.deadline;
    let client = interrupt.or(connect::connect(global, deadline)).await??;
    let printer = Printer::new(args.form, global.output, args.nul);
    let mut out = Stdout::new();
    if !args.follow {
        let options = ReadOptions {
            consistency: Consistency::Local,
            ..ReadOptions::default()
        };
        let mut reader = interrupt
            .or(client.read(&args.log, from, options))
            .await??;
        loop {
            tokio::select! {
                batch = reader.next_batch() => match batch {
                    Ok(Some(batch)) => printer.batch(&mut out, &batch)?,
                    Ok(None) => return out.flush(),
                    Err(error) => {
                        out.flush()?;
                        return Err(error.into());
                    }
                },
                () = interrupt.wait() => {
                    out.flush()?;
                    return Err(Failure::interrupted());
                }
            }
        }
    }
    let mut tail = interrupt
        .or(client.tail(&args.log, from, TailOptions::default()))
        .await??;
    let unread = output::unread();
    tokio::pin!(unread);
    loop {
        let event = tokio::select! {
            event = tail.next() => event?,
            () = interrupt.wait() => return Err(Failure::interrupted().fact("next", tail.position())),
            () = &mut unread => return Err(Failure::unread()),
        };
        match event {
            TailEvent::Records(batch) => {
                printer.batch(&mut out, &batch)?;
                out.flush()?;
            }
            TailEvent::Gap { to } => output::note(
                global.output,
                &format!("records before {to} were trimmed; going on there"),
            ),
            TailEvent::CaughtUp { .. } => {}
            TailEvent::Sealed { tail } => {
                output::note(
                    global.output,
                    &format!("{} is sealed; it ends at {tail}", args.log),
                );
                return Ok(());
            }
        }
    }
}
