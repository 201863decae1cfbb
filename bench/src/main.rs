//! `cargo run --release -p bench`: what a cluster of three processes does on this machine, beside the floor.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use bench::compare::{self, CompareArgs};
use bench::{
    Cluster, Program, Stage, failover, growth, machine, memory, process, suite, table, times,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};

/// What a cluster of three processes does on this machine, beside what nobody can beat here.
#[derive(Parser)]
#[command(after_help = "Examples:
  cargo run --release -p bench                               everything but memory, about four minutes
  cargo run --release -p bench -- --rounds 5 --output json
  cargo run --release -p bench -- memory --bytes 1000000000
  cargo run --release -p bench -- failover --kills 10
  cargo run --release -p bench -- growth                     many logs, many producers, much stored: about five minutes
  cargo run --release -p bench -- times                      reads by time, of ten million records: about a minute
  cargo run --release -p bench -- compare                    beside etcd and NATS JetStream, about half an hour

Starts three `paxlog serve` processes with default settings in a temporary directory, which is removed at the end.
Figures are worth little on a machine that does something else: the load average stands beside them.")]
struct Cli {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    plan: PlanArgs,
    /// Make the temporary directory here [else in the target directory]; a disk, not memory.
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Use this paxlog binary [else cargo builds it].
    #[arg(long, global = true, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Leave the temporary directory, with what the replicas logged, where it is.
    #[arg(long, global = true)]
    keep: bool,
    /// How results are printed; JSON is one object.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        value_name = "FORMAT"
    )]
    output: Format,
}

#[derive(Args)]
struct PlanArgs {
    /// Seconds of each measurement in each round.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
    secs: u64,
    /// How often each is measured, in turns; medians are reported.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// How often the leader is killed at the end.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=1000))]
    kills: u64,
}

#[derive(Subcommand)]
enum What {
    /// The replicas' anonymous memory while gigabytes pass through with trims; exits with 1 if it grows.
    Memory {
        /// Payload bytes that pass through.
        #[arg(long, default_value_t = memory::Plan::default().bytes, value_name = "N")]
        bytes: u64,
        /// Bytes of each record.
        #[arg(long, default_value_t = memory::Plan::default().payload, value_name = "N", value_parser = payload)]
        payload: usize,
        /// Appends in flight.
        #[arg(long, default_value_t = memory::Plan::default().inflight, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
        inflight: u64,
        /// Trim whenever so many bytes came, to keep as many.
        #[arg(long, default_value_t = memory::Plan::default().trim_bytes, value_name = "N")]
        trim_bytes: u64,
    },
    /// Only the kills of the leader.
    Failover {
        /// How often.
        #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
        kills: u64,
    },
    /// Latency, memory and the time of a start as there are more logs, more producers, more bytes stored.
    Growth {
        /// Seconds of each measurement.
        #[arg(long, default_value_t = growth::Plan::default().secs, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
        secs: u64,
        /// So many logs, each with a record.
        #[arg(long, default_values_t = growth::Plan::default().logs, value_delimiter = ',', value_name = "LIST", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        logs: Vec<u64>,
        /// So many producers at once, each with connections and a log of its own.
        #[arg(long, default_values_t = growth::Plan::default().producers, value_delimiter = ',', value_name = "LIST", value_parser = clap::value_parser!(u64).range(1..=100_000))]
        producers: Vec<u64>,
        /// So many payload bytes in one log; each replica keeps them.
        #[arg(long, default_values_t = growth::Plan::default().stored, value_delimiter = ',', value_name = "LIST", value_parser = clap::value_parser!(u64).range(1_000_000..=1_000_000_000_000))]
        stored: Vec<u64>,
    },
    /// Reads by time of a log of many small records, beside reads from known offsets.
    Times {
        /// Records in the log, in batches of 1,000.
        #[arg(long, default_value_t = times::Plan::default().records, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
        records: u64,
        /// Times asked for.
        #[arg(long, default_value_t = times::Plan::default().asked, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        asked: u64,
    },
    /// The same work against Paxlog, etcd and NATS JetStream, in turns, beside the floor.
    Compare(CompareArgs),
    /// One load generator of `compare`.
    #[command(hide = true)]
    Load {
        /// What to do, as JSON.
        job: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn payload(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes) if (1..=1 << 20).contains(&bytes) => Ok(bytes),
        _ => Err("must be from 1 to 1048576".into()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = run(&cli);
    process::hold_if_ending();
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether what was measured is as promised, where something is.
fn run(cli: &Cli) -> Result<bool> {
    if let Some(What::Load { job }) = &cli.what {
        compare::load::run(job)?;
        return Ok(true);
    }
    process::end_on_signals()?;
    let stage = Stage::make(cli.dir.as_deref(), cli.keep)?;
    if let Some(What::Compare(args)) = &cli.what {
        let value = compare::run(args, cli.program.as_deref(), &stage, note)?;
        cli.print(&value, &compare::table(&value));
        return Ok(true);
    }
    let program = Program::find(cli.program.as_deref())?;
    if let Some(What::Growth {
        secs,
        logs,
        producers,
        stored,
    }) = &cli.what
    {
        let plan = growth::Plan {
            secs: *secs,
            logs: logs.clone(),
            producers: producers.clone(),
            stored: stored.clone(),
        };
        let fresh = |name: &str| Cluster::start(&program, &stage.sub(name)?);
        let value = growth::measure(fresh, stage.path(), &plan, note)?;
        let text = format!("{}\n{}", table::growth(&value), load_line(&value));
        cli.print(&value, &text);
        return Ok(true);
    }
    let mut cluster = Cluster::start(&program, &stage.sub("cluster")?)?;
    let (value, text, good) = match &cli.what {
        None => {
            let plan = suite::Plan {
                secs: cli.plan.secs,
                rounds: cli.plan.rounds as usize,
                kills: cli.plan.kills as usize,
            };
            let value = suite::measure(&mut cluster, stage.path(), plan, note)?;
            let text = table::suite(&value);
            (value, text, true)
        }
        Some(What::Memory {
            bytes,
            payload,
            inflight,
            trim_bytes,
        }) => {
            let (&bytes, &payload) = (bytes, payload);
            let plan = memory::Plan {
                bytes,
                payload,
                inflight: *inflight,
                trim_bytes: *trim_bytes,
            };
            let load = machine::load();
            let mut progress = Progress::new();
            let memory = memory::measure(&cluster, plan, |done, memory| {
                progress.show(done, bytes, memory);
            })?;
            drop(progress);
            let mut value = memory.summary();
            value["load"] = json!({"before": load, "after": machine::load()});
            let text = format!("{}\n{}", table::memory(&value), load_line(&value));
            (value, text, memory.holds())
        }
        Some(What::Failover { kills }) => {
            let load = machine::load();
            let all = failover::measure(&mut cluster, *kills as usize, |one| {
                note(&format!(
                    "replica {} killed: a pause of {} ms ({} ms in the second before)",
                    one.replica,
                    one.pause.as_millis(),
                    one.before.as_millis()
                ));
            })?;
            let mut value = failover::summary(&all);
            value["load"] = json!({"before": load, "after": machine::load()});
            let text = format!(
                "the longest pause that an appender sees: {} ms in the median of {} kills, {} ms at worst\n{}",
                value["pause_median_ms"],
                value["kills"],
                value["pause_max_ms"],
                load_line(&value)
            );
            (value, text, true)
        }
        Some(What::Times { records, asked }) => {
            let plan = times::Plan {
                records: *records,
                asked: *asked,
                ..times::Plan::default()
            };
            let value = times::measure(&cluster, plan, note)?;
            let text = format!("{}\n{}", times::text(&value), load_line(&value));
            (value, text, true)
        }
        Some(What::Compare(_) | What::Growth { .. } | What::Load { .. }) => {
            unreachable!("done above")
        }
    };
    cluster.stop_and_verify()?;
    cli.print(&value, &text);
    Ok(good)
}

impl Cli {
    fn print(&self, value: &Value, text: &str) {
        match self.output {
            Format::Text => println!("{text}"),
            Format::Json => println!("{value}"),
        }
    }
}

fn load_line(value: &Value) -> String {
    format!(
        "load average {} before, {} after (this run included)",
        value["load"]["before"], value["load"]["after"]
    )
}

fn note(text: &str) {
    eprintln!("{text}");
}

/// A line that is written over, on a terminal.
struct Progress(bool);

impl Progress {
    fn new() -> Progress {
        Progress(std::io::stderr().is_terminal())
    }

    fn show(&mut self, done: u64, of: u64, memory: &memory::Memory) {
        if self.0 {
            let rss: Vec<String> = memory
                .curves
                .values()
                .map(|curve| format!("{}", curve.end() / 1_000_000))
                .collect();
            eprint!(
                "\r{:.2} of {:.2} GB, RssAnon {} MB  ",
                done as f64 / 1e9,
                of as f64 / 1e9,
                rss.join(", ")
            );
            // Progress that cannot be shown is no failure.
            let _ = std::io::stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.0 {
            eprintln!();
        }
    }
}
