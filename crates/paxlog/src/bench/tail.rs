//! `paxlog bench tail`: from append to ear.

use std::time::{Duration, Instant};

use clap::Args;
use paxlog_client::{AppenderOptions, Completion, From, Record, TailEvent, TailOptions};
use serde_json::json;

use super::append::{count, filler, payload_bytes};
use super::{Figures, histogram, log_name, record};
use crate::cli::Global;
use crate::connect;
use crate::failure::Failure;
use crate::interrupt::Interrupt;

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog bench tail                                   one append at a time, one reader
  paxlog bench tail --inflight 256 --clients 4        a load, four readers

Each of --clients tails the same log; a latency is from the call of the append to the reader's having the
record. --inflight appends are kept under way.")]
pub(crate) struct TailArgs {
    /// Bytes of each record; at least 8.
    #[arg(long, default_value_t = 1024, value_name = "BYTES", value_parser = payload_bytes)]
    payload: usize,
    /// Appends in flight.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = count)]
    inflight: usize,
    /// Readers.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = count)]
    clients: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    secs: u64,
}

pub(crate) async fn tail(global: &Global, args: TailArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::watch();
    let payload = args.payload.max(8);
    let log = log_name("tail");
    let client = connect::connect(global, Duration::from_secs(10)).await?;
    let appender = client.appender(&log, AppenderOptions::default()).await?;
    // Records carry when they were given, as nanoseconds since this.
    let epoch = Instant::now();
    let mut readers = Vec::new();
    for _ in 0..args.clients {
        let client = connect::connect(global, Duration::from_secs(10)).await?;
        let mut tail = client
            .tail(&log, From::First, TailOptions::default())
            .await?;
        readers.push(tokio::spawn(async move {
            let (mut latencies, mut records) = (histogram(), 0_u64);
            loop {
                match tail.next().await? {
                    TailEvent::Records(batch) => {
                        let now = epoch.elapsed();
                        for stored in batch.records() {
                            let Some(stamp) = stored.record.payload.first_chunk::<8>() else {
                                continue;
                            };
                            let given = Duration::from_nanos(u64::from_le_bytes(*stamp));
                            if u64::from_le_bytes(*stamp) == u64::MAX {
                                return Ok::<_, paxlog_client::Error>((latencies, records));
                            }
                            records += 1;
                            record(&mut latencies, now.saturating_sub(given));
                        }
                    }
                    TailEvent::Sealed { .. } => return Ok((latencies, records)),
                    TailEvent::Gap { .. } | TailEvent::CaughtUp { .. } => {}
                }
            }
        }));
    }
    let until = Instant::now() + Duration::from_secs(args.secs);
    let begin = Instant::now();
    let mut bytes = filler(payload);
    let (mut tag, mut ended) = (0_u64, 0_u64);
    let mut ends: Vec<Completion> = Vec::new();
    loop {
        let now = Instant::now();
        while now < until && !interrupt.hit() && tag - ended < args.inflight as u64 {
            bytes[..8].copy_from_slice(&(epoch.elapsed().as_nanos() as u64).to_le_bytes());
            appender
                .append_tagged(vec![Record::new(bytes.clone())], tag)
                .await?;
            tag += 1;
        }
        if ended == tag {
            break;
        }
        appender.completions(&mut ends).await;
        for end in ends.drain(..) {
            end.result?;
            ended += 1;
        }
    }
    let elapsed = begin.elapsed();
    // The end, as the readers see it.
    appender
        .append(vec![Record::new(u64::MAX.to_le_bytes().to_vec())])
        .await?
        .await?;
    let mut latencies = histogram();
    let mut heard = 0;
    for reader in readers {
        let (part, records) = reader
            .await
            .map_err(|error| Failure::unavailable(format!("a reader ended: {error}")))??;
        latencies.add(&part).expect("both have the same bounds");
        heard += records;
    }
    let figures = Figures {
        ops: heard,
        bytes: heard * payload as u64,
        elapsed,
        latencies,
        payload,
        inflight: args.inflight,
        clients: args.clients,
    };
    figures.print(global, json!({ "appended": tag }))?;
    if interrupt.hit() {
        Err(Failure::interrupted())
    } else {
        Ok(())
    }
}
