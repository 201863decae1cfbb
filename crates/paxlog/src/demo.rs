//! `paxlog demo`: the whole story in one command.
//!
//! Three replica processes, a load, a reader; the leader is killed with SIGKILL midway and brought back; at the end
//! everything is read back, and the checker of histories judges what was asked and answered. Every record has the number of its
//! append in it, so that one that is missing, out of place or there twice shows.

mod load;
mod record;
mod stage;

use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use clap::Args;
use paxlog_client::{AppenderOptions, Client, Consistency, From, TailOptions};
use paxlog_server::config::format_cluster_id;
use serde_json::{Value, json};

use load::Load;
use record::{Record, read_all};
use stage::Stage;

use crate::cli::Global;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{self, Format};
use crate::time;

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog demo
  paxlog demo --seconds 30 --output json
  paxlog demo --history demo.jsonl && paxlog sim check demo.jsonl

Formats and starts three replica processes in a temporary directory, appends and tails, kills the leader with
SIGKILL midway, brings it back, and reads everything back: exits with 5 if an acknowledged record is missing,
repeated or out of order. Cleans up at the end, also after Ctrl-C.")]
pub(crate) struct DemoArgs {
    /// How long the load runs.
    #[arg(long, default_value_t = 15, value_name = "N", value_parser = clap::value_parser!(u64).range(3..=3600))]
    seconds: u64,
    /// Appends kept in flight.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=4096))]
    inflight: u64,
    /// Bytes of each record; at least 8.
    #[arg(long, default_value_t = 256, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(8..=65_536))]
    payload: u64,
    /// Leave the temporary directory, with what the replicas logged, where it is.
    #[arg(long)]
    keep: bool,
    /// Write down everything that was asked and answered, for `paxlog sim check`: some 300 bytes a record.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

const LOG: &str = "demo";
const REPLICAS: usize = 3;
/// How long the cluster may take to come up, and a restarted replica to catch up.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn demo(global: &Global, args: DemoArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::watch();
    // Children die and files go when this is dropped, whatever happens.
    let mut stage = Stage::set(args.keep)?;
    let told = Story {
        format: global.output,
        begin: Instant::now(),
    };
    tokio::select! {
        told = tell(&told, &mut stage, &args) => told,
        () = interrupt.wait() => Err(Failure::interrupted()),
    }
}

async fn tell(story: &Story, stage: &mut Stage, args: &DemoArgs) -> Result<(), Failure> {
    for number in 0..REPLICAS {
        stage.start(number)?;
    }
    let pids: Vec<u32> = stage.children.iter().flatten().map(Child::id).collect();
    story.tell(
        "started",
        &format!(
            "three replica processes (pids {}) in {}",
            join(&pids),
            stage.dir().display()
        ),
        json!({"pids": pids, "dir": stage.dir(), "cluster": format_cluster_id(stage.cluster.id)}),
    )?;
    let client = stage.connect(stage.profile.clone()).await?;
    let leader = stage.leader(&client).await?;
    story.tell(
        "ready",
        &format!(
            "the group formed and replica {leader} leads, {} after the start",
            time::human(story.begin.elapsed())
        ),
        json!({"leader": leader}),
    )?;

    let appender = client.appender(LOG, AppenderOptions::default()).await?;
    let tail = client
        .tail(LOG, From::First, TailOptions::default())
        .await?;
    let history = Record::new();
    let reader = tokio::spawn(history.clone().follow(tail));
    let mut load = Load::new(args, history.clone());
    let seconds = Duration::from_secs(args.seconds);
    let begin = Instant::now();
    let until = |share: f64| begin + seconds.mul_f64(share);

    story.tell(
        "load",
        &format!(
            "appending records of {} bytes, {} in flight, and tailing them",
            args.payload, args.inflight
        ),
        json!({"payload": args.payload, "inflight": args.inflight}),
    )?;
    load.run(&appender, until(0.4), Some(story)).await?;

    history.check_tail(&client, None).await?;
    let victim = stage.leader(&client).await?;
    load.fill(&appender).await?;
    // On their way, not yet answered: the moment that matters.
    tokio::time::sleep(Duration::from_micros(300)).await;
    let pid = stage.kill(victim)?;
    let killed = Instant::now();
    story.tell(
        "killed",
        &format!(
            "kill -9 of the leader, replica {victim} (pid {pid}), with {} appends in flight",
            load.in_flight()
        ),
        json!({"replica": victim, "pid": pid, "inflight": load.in_flight()}),
    )?;
    load.longest = Duration::ZERO;
    load.run(
        &appender,
        killed + seconds.mul_f64(0.1).max(Duration::from_secs(1)),
        None,
    )
    .await?;
    let pause = load.longest;
    let next = stage.leader(&client).await?;
    history.check_tail(&client, None).await?;
    story.tell(
        "failed_over",
        &format!(
            "replica {next} leads; the longest pause between two receipts was {}",
            time::human(pause)
        ),
        json!({"leader": next, "pause_ms": (pause.as_secs_f64() * 1e4).round() / 10.0}),
    )?;
    load.run(&appender, until(0.65), Some(story)).await?;

    let pid = stage.start(usize::from(victim) - 1)?;
    story.tell(
        "restarted",
        &format!("replica {victim} is back (pid {pid})"),
        json!({"replica": victim, "pid": pid}),
    )?;
    load.run(
        &appender,
        until(1.0).max(Instant::now() + Duration::from_secs(1)),
        Some(story),
    )
    .await?;
    load.finish(&appender).await?;
    story.tell(
        "stopped",
        &format!(
            "the load ended: {} records acknowledged, {}/s; p50 {}, p99 {}",
            time::thousands(load.acknowledged),
            time::thousands((load.acknowledged as f64 / begin.elapsed().as_secs_f64()) as u64),
            load.quantile(0.5),
            load.quantile(0.99),
        ),
        json!({"records": load.acknowledged, "p50_us": load.all.value_at_quantile(0.5), "p99_us": load.all.value_at_quantile(0.99)}),
    )?;
    appender.close().await;
    verify(story, stage, &client, &history, reader, args).await
}

/// Everything read back and judged.
async fn verify(
    story: &Story,
    stage: &mut Stage,
    client: &Client,
    history: &Record,
    reader: tokio::task::JoinHandle<Result<(), paxlog_client::Error>>,
    args: &DemoArgs,
) -> Result<(), Failure> {
    // A seal ends the tail: what it heard is then whole.
    let mut settled = history.seal(client).await?;
    let end = settled.tail;
    settled.records = history.read(client).await?;
    tokio::time::timeout(PATIENCE, reader)
        .await
        .map_err(|_| Failure::integrity("the tail did not reach the end of the sealed log"))?
        .map_err(|error| Failure::integrity(format!("the tail broke off: {error}")))??;
    // Each replica by itself, the restarted one too.
    for config in &stage.cluster.configs.clone() {
        let replica = config.replica;
        let alone = stage.connect(stage.profile(&[config])).await?;
        let begin = Instant::now();
        loop {
            stage.alive()?;
            let local = history.check_tail(&alone, Some(replica)).await;
            match local {
                Ok(tail) if tail.offset >= end && tail.sealed => break,
                _ if begin.elapsed() > PATIENCE => {
                    return Err(Failure::integrity(format!(
                        "replica {replica} did not catch up within {} s",
                        PATIENCE.as_secs()
                    )));
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        let (records, _) = read_all(&alone, Consistency::Local).await?;
        settled.add_replica(replica.into(), records);
        alone.close().await;
    }
    let report = history.judge(settled, args.history.as_deref())?;
    let acknowledged = report.summary.records_acknowledged;
    story.tell(
        "verified",
        &format!(
            "all {} acknowledged records were read back in order, each exactly once: by the tail, from the leader, and from each of the three replicas",
            time::thousands(acknowledged)
        ),
        json!({"records": acknowledged, "tail": end}),
    )
}

/// Says what happens as it happens.
struct Story {
    format: Format,
    begin: Instant,
}

impl Story {
    fn tell(&self, event: &str, text: &str, mut facts: Value) -> Result<(), Failure> {
        let at = self.begin.elapsed().as_secs_f64();
        match self.format {
            Format::Text => output::print_line(&format!("{at:6.2} s  {text}")),
            Format::Json => {
                facts["event"] = event.into();
                facts["at"] = ((at * 1000.0).round() / 1000.0).into();
                output::print_json(&facts)
            }
        }
    }
}

fn join(numbers: &[u32]) -> String {
    numbers
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
