//! `paxlog bench append`.

use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use paxlog_client::{AppenderOptions, Client, Completion, Record};
use serde_json::json;

use super::{Figures, histogram, log_name, record};
use crate::cli::Global;
use crate::connect;
use crate::failure::Failure;
use crate::interrupt::Interrupt;

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog bench append
  paxlog bench append --inflight 1 --clients 1         the latency of a lone append
  paxlog bench append --inflight 4096 --coalesce on --output json

--inflight is the total over all clients. With --coalesce off every record has its own frame and
sequence; with on, an appender packs what waits into batches.")]
pub(crate) struct AppendArgs {
    /// Bytes of each record.
    #[arg(long, default_value_t = 1024, value_name = "BYTES", value_parser = payload_bytes)]
    pub(crate) payload: usize,
    /// Appends in flight, in total.
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = count)]
    pub(crate) inflight: usize,
    /// Clients, each with its own connections and log.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = count)]
    pub(crate) clients: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) secs: u64,
    /// Whether records share batches.
    #[arg(long, value_enum, default_value = "on")]
    pub(crate) coalesce: Switch,
    /// Trim what was appended, as it goes, so that disks do not fill up.
    #[arg(long)]
    pub(crate) trim: bool,
    /// Append to this log instead of new ones.
    #[arg(long, value_name = "LOG")]
    pub(crate) log: Option<String>,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

pub(crate) fn payload_bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes) if bytes <= paxlog_client::limits::RECORD_BYTES_MAX => Ok(bytes),
        _ => Err(format!(
            "must be from 0 to {}",
            paxlog_client::limits::RECORD_BYTES_MAX
        )),
    }
}

pub(crate) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=1_000_000).contains(&n) => Ok(n),
        _ => Err("must be from 1 to 1000000".into()),
    }
}

/// Before it counts: connections, the first batches, caches.
const WARM_UP: Duration = Duration::from_millis(500);

pub(crate) async fn append(global: &Global, args: AppendArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::watch();
    let clients = args.clients.min(args.inflight);
    let name = log_name("append");
    let mut tasks = Vec::new();
    let start = Instant::now();
    for number in 0..clients {
        // The first ones take what does not divide.
        let window = args.inflight / clients + usize::from(number < args.inflight % clients);
        let client = connect::connect(global, Duration::from_secs(10)).await?;
        let plan = Plan {
            log: args
                .log
                .clone()
                .unwrap_or_else(|| format!("{name}-{number}")),
            payload: args.payload,
            window,
            coalesce: args.coalesce,
            trim: args.trim,
            warm_up: WARM_UP,
            measured: Duration::from_secs(args.secs),
        };
        let interrupt = interrupt.clone();
        tasks.push(tokio::spawn(
            async move { load(client, plan, interrupt).await },
        ));
    }
    tracing::debug!(elapsed = ?start.elapsed(), "clients connected");
    let mut latencies = histogram();
    let (mut ops, mut longest) = (0, Duration::ZERO);
    for task in tasks {
        let part = task
            .await
            .map_err(|error| Failure::unavailable(format!("a client ended: {error}")))??;
        ops += part.ops;
        longest = longest.max(part.elapsed);
        latencies
            .add(&part.latencies)
            .expect("both have the same bounds");
    }
    let figures = Figures {
        ops,
        bytes: ops * args.payload as u64,
        elapsed: longest,
        latencies,
        payload: args.payload,
        inflight: args.inflight,
        clients,
    };
    let coalesce = match args.coalesce {
        Switch::On => "on",
        Switch::Off => "off",
    };
    figures.print(global, json!({ "coalesce": coalesce }))?;
    if interrupt.hit() {
        Err(Failure::interrupted())
    } else {
        Ok(())
    }
}

/// What one client does.
struct Plan {
    log: String,
    payload: usize,
    window: usize,
    coalesce: Switch,
    trim: bool,
    warm_up: Duration,
    measured: Duration,
}

struct Part {
    ops: u64,
    elapsed: Duration,
    latencies: Histogram<u64>,
}

/// Keeps `window` appends of one record in flight.
async fn load(client: Client, plan: Plan, interrupt: Interrupt) -> Result<Part, Failure> {
    let options = AppenderOptions {
        max_batch_records: match plan.coalesce {
            Switch::On => u32::MAX,
            Switch::Off => 1,
        },
        window_bytes: (plan.window * (plan.payload + 256)).max(16 << 20),
        ..AppenderOptions::default()
    };
    let appender = client.appender(&plan.log, options).await?;
    let record_of = Record::new(filler(plan.payload));
    // When each append under way was given, by its tag modulo the window.
    let mut given = vec![Instant::now(); plan.window];
    let (mut tag, mut ended) = (0_u64, 0_u64);
    let mut ends: Vec<Completion> = Vec::new();
    let mut part = Part {
        ops: 0,
        elapsed: Duration::ZERO,
        latencies: histogram(),
    };
    let begin = Instant::now();
    let (from, until) = (begin + plan.warm_up, begin + plan.warm_up + plan.measured);
    let mut trimmed = 0;
    loop {
        let now = Instant::now();
        while now < until && !interrupt.hit() && tag - ended < plan.window as u64 {
            given[(tag % plan.window as u64) as usize] = now;
            appender.append_tagged(vec![record_of.clone()], tag).await?;
            tag += 1;
        }
        if ended == tag {
            break;
        }
        appender.completions(&mut ends).await;
        let now = Instant::now();
        for end in ends.drain(..) {
            let receipt = end.result?;
            ended += 1;
            if (from..until).contains(&now) {
                part.ops += 1;
                record(
                    &mut part.latencies,
                    now - given[(end.tag % plan.window as u64) as usize],
                );
            }
            if plan.trim && receipt.end >= trimmed + TRIM_EVERY {
                trimmed = receipt.end;
                let (client, log) = (client.clone(), plan.log.clone());
                // Beside the load: it must not wait for it.
                tokio::spawn(async move {
                    if let Err(error) = client.trim(&log, trimmed).await {
                        tracing::warn!(%error, "trim");
                    }
                });
            }
        }
    }
    part.elapsed = Instant::now()
        .min(until)
        .saturating_duration_since(from)
        .max(Duration::from_millis(1));
    Ok(part)
}

/// Records between two trims.
const TRIM_EVERY: u64 = 50_000;

/// Bytes that no disk or link can squeeze away, the same in every run.
pub(crate) fn filler(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}
