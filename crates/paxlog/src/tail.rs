//! `paxlog tail`: the last records, and those to come; with a cursor, from where it stands.

use std::time::{Duration, Instant};

use clap::Args;
use paxlog_client::{
    Batch, Client, Code, Consistency, Expected, From, ReadOptions, TailEvent, TailOptions,
};

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
  paxlog tail notes -f --from first --output json | jq .payload
  paxlog tail notes -f --cursor billing          from where the cursor stands, and it comes along

With --cursor, what was printed and flushed is behind the cursor after --commit-interval at the latest, and when tail
ends: whoever goes on from it sees every record at least once. Two that use one cursor at a time are told apart: the one
that finds it moved ends with CursorMismatch.")]
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
    /// Begin here instead: first, tail, an offset, tail-N, @TIME (RFC 3339) or cursor:NAME.
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    from: Option<String>,
    /// Begin where this cursor stands, and take it along; a new one begins at --from, else at the first record.
    #[arg(long, value_name = "NAME", conflicts_with = "records", value_parser = crate::names::cursor_name)]
    cursor: Option<String>,
    /// How long after its printing a record is behind the cursor, at the latest.
    #[arg(long, default_value = "1s", requires = "cursor", value_name = "DURATION", value_parser = crate::time::parse_duration)]
    commit_interval: Duration,
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
    let from = match (&args.from, &args.cursor) {
        (Some(text), _) => position::parse(text)?,
        (None, Some(_)) => From::First,
        (None, None) => From::TailMinus(args.records),
    };
    let interrupt = Interrupt::watch();
    let client = connect::connect(global, args.deadline.deadline).await?;
    let mut place = match args.cursor {
        Some(name) => Some(Place::open(&client, &args.log, name, args.commit_interval).await?),
        None => None,
    };
    let from = place.as_ref().and_then(Place::from).unwrap_or(from);
    let mut printing = Printing {
        printer: Printer::new(args.form, global.output, args.nul),
        out: Stdout::new(),
        log: args.log,
    };
    let result = match args.follow {
        true => printing.follow(&client, from, &mut place, &interrupt).await,
        false => {
            printing
                .print_up_to_tail(&client, from, &mut place, &interrupt)
                .await
        }
    };
    // However it ended: what was printed is not to be printed again.
    let committed = match &mut place {
        Some(place) => place.commit(&client, &printing.log).await,
        None => Ok(()),
    };
    result.and(committed)
}

struct Printing {
    printer: Printer,
    out: Stdout,
    log: String,
}

impl Printing {
    async fn print_up_to_tail(
        &mut self,
        client: &Client,
        from: From,
        place: &mut Option<Place>,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let options = ReadOptions {
            consistency: Consistency::Local,
            ..ReadOptions::default()
        };
        let mut reader = client.read(&self.log, from, options).await?;
        loop {
            let batch = tokio::select! {
                batch = reader.next_batch() => batch,
                () = interrupt.wait() => {
                    self.out.flush()?;
                    return Err(Failure::interrupted());
                }
            };
            match batch {
                Ok(Some(batch)) => self.batch(&batch, place)?,
                Ok(None) => return self.out.flush(),
                Err(error) => {
                    // What was read is good.
                    self.out.flush()?;
                    return Err(error.into());
                }
            }
            self.commit_if_due(client, place).await?;
        }
    }

    async fn follow(
        &mut self,
        client: &Client,
        from: From,
        place: &mut Option<Place>,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let mut tail = client.tail(&self.log, from, TailOptions::default()).await?;
        loop {
            let due = place.as_ref().and_then(Place::due);
            let event = tokio::select! {
                event = tail.next() => event?,
                () = until(due) => {
                    self.commit_if_due(client, place).await?;
                    continue;
                }
                () = interrupt.wait() => {
                    return Err(Failure::interrupted().fact("next", tail.position()));
                }
            };
            match event {
                TailEvent::Records(batch) => {
                    self.batch(&batch, place)?;
                    self.out.flush()?;
                }
                TailEvent::Gap { to } => {
                    output::note(&format!("records before {to} were trimmed; going on there"))
                }
                TailEvent::CaughtUp { .. } => {}
                TailEvent::Sealed { tail } => {
                    output::note(&format!("{} is sealed; it ends at {tail}", self.log));
                    return Ok(());
                }
            }
            self.commit_if_due(client, place).await?;
        }
    }

    fn batch(&mut self, batch: &Batch, place: &mut Option<Place>) -> Result<(), Failure> {
        self.printer.batch(&mut self.out, batch)?;
        if let Some(place) = place {
            place.reached(batch.end());
        }
        Ok(())
    }

    /// What is behind the cursor must have left this process: flushed first.
    async fn commit_if_due(
        &mut self,
        client: &Client,
        place: &mut Option<Place>,
    ) -> Result<(), Failure> {
        match place {
            Some(place) if place.due().is_some_and(|at| at <= Instant::now()) => {
                self.out.flush()?;
                place.commit(client, &self.log).await
            }
            _ => Ok(()),
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// A cursor that is taken along.
struct Place {
    name: String,
    interval: Duration,
    /// Where it stands; none: there is no such cursor yet.
    committed: Option<u64>,
    /// One beyond the last record printed, and when it was printed that the cursor is not behind.
    printed: Option<(u64, Instant)>,
}

impl Place {
    async fn open(
        client: &Client,
        log: &str,
        name: String,
        interval: Duration,
    ) -> Result<Place, Failure> {
        let cursor = client.cursor(log, &name, Consistency::Linearizable).await?;
        Ok(Place {
            name,
            interval,
            committed: cursor.map(|cursor| cursor.at),
            printed: None,
        })
    }

    fn from(&self) -> Option<From> {
        self.committed.map(From::Offset)
    }

    fn reached(&mut self, end: u64) {
        let since = self.printed.map_or_else(Instant::now, |(_, since)| since);
        self.printed = Some((end, since));
    }

    fn due(&self) -> Option<Instant> {
        self.printed.map(|(_, since)| since + self.interval)
    }

    async fn commit(&mut self, client: &Client, log: &str) -> Result<(), Failure> {
        let Some((end, _)) = self.printed else {
            return Ok(());
        };
        let expect = match self.committed {
            Some(at) => Expected::Is(at),
            None => Expected::Absent,
        };
        match client.set_cursor(log, &self.name, end, expect).await {
            Ok(_) => {
                self.committed = Some(end);
                self.printed = None;
                Ok(())
            }
            Err(error) => {
                // Not again when tail ends: it would fail as now.
                self.printed = None;
                let mismatch = error.code == Code::CursorMismatch;
                let failure = Failure::from(error).fact("printed", end);
                Err(match mismatch {
                    true => {
                        failure.hint("somebody else uses this cursor: give each consumer its own")
                    }
                    false => failure,
                })
            }
        }
    }
}
