//! `paxlog bench append|tail|floor`: what a cluster does, and what nobody can beat on this machine.

mod append;
mod floor;
mod tail;

use std::time::Duration;

use clap::Subcommand;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::time;

#[derive(Subcommand)]
pub(crate) enum BenchCommand {
    /// Appends: rate and latency from call to receipt.
    Append(append::AppendArgs),
    /// Appends and tails at once: latency from append to ear.
    Tail(tail::TailArgs),
    /// What nobody can beat here: bare syncs and QUIC, the least append time, the most bytes a second.
    Floor(floor::FloorArgs),
}

pub(crate) async fn bench(global: &Global, command: BenchCommand) -> Result<(), Failure> {
    match command {
        BenchCommand::Append(args) => append::append(global, args).await,
        BenchCommand::Tail(args) => tail::tail(global, args).await,
        BenchCommand::Floor(args) => floor::floor(global, args).await,
    }
}

/// Latencies from 1 µs to 100 s with three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 100_000_000, 3).expect("constant bounds in order")
}

fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record((latency.as_micros() as u64).max(1));
}

/// What was measured, in the words that `bench … --output json` promises.
struct Figures {
    ops: u64,
    bytes: u64,
    elapsed: Duration,
    latencies: Histogram<u64>,
    payload: usize,
    inflight: usize,
    clients: usize,
}

impl Figures {
    fn to_json(&self) -> Value {
        let secs = self.elapsed.as_secs_f64();
        json!({
            "ops_per_s": (self.ops as f64 / secs * 10.0).round() / 10.0,
            "mb_per_s": (self.bytes as f64 / secs / 1e6 * 1000.0).round() / 1000.0,
            "p50_us": self.latencies.value_at_quantile(0.5),
            "p99_us": self.latencies.value_at_quantile(0.99),
            "p999_us": self.latencies.value_at_quantile(0.999),
            "max_us": self.latencies.max(),
            "payload": self.payload,
            "inflight": self.inflight,
            "clients": self.clients,
            "secs": (secs * 1000.0).round() / 1000.0,
        })
    }

    fn to_text(&self) -> String {
        let secs = self.elapsed.as_secs_f64();
        let at = |quantile| {
            time::human(Duration::from_micros(
                self.latencies.value_at_quantile(quantile),
            ))
        };
        format!(
            "{} records/s, {:.1} MB/s  ({} in {secs:.1} s: {} clients, {} in flight, {} bytes each)\n\
             p50 {}   p99 {}   p999 {}   max {}",
            time::thousands((self.ops as f64 / secs) as u64),
            self.bytes as f64 / secs / 1e6,
            time::thousands(self.ops),
            self.clients,
            self.inflight,
            self.payload,
            at(0.5),
            at(0.99),
            at(0.999),
            time::human(Duration::from_micros(self.latencies.max())),
        )
    }

    fn print(&self, global: &Global, more: Value) -> Result<(), Failure> {
        match global.output {
            Format::Json => {
                let mut value = self.to_json();
                if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
                    value.extend(more);
                }
                output::print_json(&value)
            }
            Format::Text => output::print_line(&self.to_text()),
        }
    }
}

/// A name that no other run has.
fn log_name(what: &str) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    format!("bench/{what}-{}-{}", now.as_millis(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_the_keys_promised() {
        let mut latencies = histogram();
        for us in 1..=1000 {
            record(&mut latencies, Duration::from_micros(us));
        }
        let figures = Figures {
            ops: 1000,
            bytes: 1_024_000,
            elapsed: Duration::from_secs(2),
            latencies,
            payload: 1024,
            inflight: 256,
            clients: 4,
        };
        let value = figures.to_json();
        for key in [
            "ops_per_s",
            "mb_per_s",
            "p50_us",
            "p99_us",
            "p999_us",
            "max_us",
            "payload",
            "inflight",
            "clients",
            "secs",
        ] {
            assert!(value[key].is_number(), "{key}");
        }
        assert_eq!(
            (&value["ops_per_s"], &value["mb_per_s"], &value["p50_us"]),
            (&500.0.into(), &0.512.into(), &500.into())
        );
    }
}
