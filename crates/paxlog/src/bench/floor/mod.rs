//! `paxlog bench floor`: what nobody can beat on this machine.
//!
//! A durable append needs at least: the client's round trip, and a majority of syncs: the second-smallest of the
//! leader's own and, for each follower, the replicas' round trip plus its sync. All three syncs are under way at once, so they are
//! measured so.
//!
//! Bytes cost CPU before they fill a loopback or a disk: each passes three hops (client to leader, leader to two followers), and
//! is written and synced three times. What the cores can pay for is the most that goes through.

mod cost;
mod disk;
mod hop;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;
use paxlog_quic::Plane;
use serde_json::json;

use self::cost::{Cost, most_mb_per_s, three_hops};
use self::disk::{Rounds, WRITERS};
use super::append::payload_bytes;
use super::{histogram, record};
use crate::cli::Global;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::time;

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog bench floor
  paxlog bench floor --dir /var/lib/paxlog --output json

Measures a bare write and fdatasync of --payload bytes, alone and with three writers at once; a bare round
trip of --payload bytes over QUIC on loopback, with the settings that clients and replicas use; and what an
append must take at least: client round trip + the second-smallest of own sync and, for each of two
followers, round trip + sync.

Then bytes a second, and the CPU time of this process for each: large writes, each synced; QUIC over loopback,
both ends; and the most that these cores can take in: cores / (3 x CPU of a hop + 3 x CPU of write and sync),
since every byte goes from the client to the leader and on to two followers, and is stored three times.")]
pub(crate) struct FloorArgs {
    /// A directory on the disk to measure; temporary files are made in it.
    #[arg(long, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Bytes of each write and message, where time is measured.
    #[arg(long, default_value_t = 1024, value_name = "BYTES", value_parser = payload_bytes)]
    payload: usize,
    /// How long to measure, all together.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
    secs: u64,
}

/// Bytes that frame and batch add to a record.
const FRAME_BYTES: usize = 192;
/// Small writes alone, by three, large writes, round trips, bulk.
const PARTS: u32 = 5;

pub(crate) async fn floor(global: &Global, args: FloorArgs) -> Result<(), Failure> {
    // Each blocks, and has its own threads and runtimes.
    let measured = tokio::task::spawn_blocking(move || Floor::measure(args))
        .await
        .map_err(|error| Failure::local_io(format!("a measurement ended: {error}")))??;
    match global.output {
        Format::Json => output::print_json(&measured.to_json()),
        Format::Text => output::print_line(&measured.to_text()),
    }
}

/// What was measured, and what follows from it.
struct Floor {
    args: FloorArgs,
    alone: Histogram<u64>,
    at_once: Histogram<u64>,
    clients: Histogram<u64>,
    replicas: Histogram<u64>,
    least: Histogram<u64>,
    write: Cost,
    client_hop: Cost,
    replica_hop: Cost,
    /// The smaller of both planes'.
    mtu: u16,
    cores: usize,
}

impl Floor {
    fn measure(args: FloorArgs) -> Result<Floor, Failure> {
        let part = Duration::from_secs(args.secs) / PARTS;
        let syncs = disk::measure(&args.dir, args.payload + FRAME_BYTES, part)?;
        let clients = hop::round_trips(Plane::Clients, args.payload, part / 2)?;
        let replicas = hop::round_trips(Plane::Replicas, args.payload, part / 2)?;
        let (client_hop, client_mtu) = hop::bulk(Plane::Clients, part / 2)?;
        let (replica_hop, replica_mtu) = hop::bulk(Plane::Replicas, part / 2)?;
        Ok(Floor {
            args,
            alone: of(syncs.lone.iter().flatten()),
            at_once: of(syncs.three.iter().flatten()),
            least: least_append(&syncs.three, median(&clients), median(&replicas)),
            clients,
            replicas,
            write: syncs.bulk,
            client_hop,
            replica_hop,
            mtu: client_mtu.min(replica_mtu),
            // As many as this process may use, not as many as there are.
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        })
    }

    fn hop(&self) -> Cost {
        three_hops(&self.client_hop, &self.replica_hop)
    }

    fn most_mb_per_s(&self) -> f64 {
        most_mb_per_s(self.cores, &self.hop(), &self.write)
    }

    fn to_json(&self) -> serde_json::Value {
        let hop = self.hop();
        let thousandths = |value: f64| (value * 1e3).round() / 1e3;
        json!({
            "dir": self.args.dir,
            "payload": self.args.payload,
            "sync_p50_us": median(&self.alone),
            "sync_p99_us": self.alone.value_at_quantile(0.99),
            "sync_three_p50_us": median(&self.at_once),
            "sync_three_p99_us": self.at_once.value_at_quantile(0.99),
            "client_round_trip_p50_us": median(&self.clients),
            "client_round_trip_p99_us": self.clients.value_at_quantile(0.99),
            "replica_round_trip_p50_us": median(&self.replicas),
            "replica_round_trip_p99_us": self.replicas.value_at_quantile(0.99),
            "least_append_p50_us": median(&self.least),
            "least_append_p99_us": self.least.value_at_quantile(0.99),
            "bulk_mb_per_s": thousandths(hop.mb_per_s()),
            "bulk_cpu_s_per_gb": thousandths(hop.cpu_s_per_gb()),
            "write_mb_per_s": thousandths(self.write.mb_per_s()),
            "write_cpu_s_per_gb": thousandths(self.write.cpu_s_per_gb()),
            "most_mb_per_s": thousandths(self.most_mb_per_s()),
            "mtu": self.mtu,
            "cores": self.cores,
            "secs": self.args.secs,
        })
    }

    fn to_text(&self) -> String {
        let time = |what: &str, histogram: &Histogram<u64>| {
            let at = |quantile| {
                time::human(Duration::from_micros(histogram.value_at_quantile(quantile)))
            };
            format!("{what:<42} p50 {:>8}   p99 {:>8}", at(0.5), at(0.99))
        };
        let bytes = |what: &str, cost: &Cost| {
            format!(
                "{what:<42} {:>7.0} MB/s   {:.2} CPU s per GB",
                cost.mb_per_s(),
                cost.cpu_s_per_gb()
            )
        };
        [
            time("write + fdatasync, one writer", &self.alone),
            time("write + fdatasync, three at once", &self.at_once),
            time("QUIC round trip, client settings", &self.clients),
            time("QUIC round trip, replica settings", &self.replicas),
            time("least append, three replicas here", &self.least),
            bytes("write + fdatasync, 1 MiB each", &self.write),
            bytes("QUIC bulk, client settings", &self.client_hop),
            bytes("QUIC bulk, replica settings", &self.replica_hop),
            format!(
                "{:<42} {:>7.0} MB/s   {} cores, datagrams of {} bytes",
                "most appended, three replicas here",
                self.most_mb_per_s(),
                self.cores,
                self.mtu
            ),
        ]
        .join("\n")
    }
}

fn median(histogram: &Histogram<u64>) -> u64 {
    histogram.value_at_quantile(0.5)
}

fn of<'a>(latencies: impl Iterator<Item = &'a Duration>) -> Histogram<u64> {
    let mut histogram = histogram();
    latencies.for_each(|latency| record(&mut histogram, *latency));
    histogram
}

/// For each round of three syncs at once, the least that an append could have taken.
fn least_append(rounds: &Rounds<WRITERS>, client_us: u64, replica_us: u64) -> Histogram<u64> {
    let (client, replica) = (
        Duration::from_micros(client_us),
        Duration::from_micros(replica_us),
    );
    let mut least = histogram();
    for [own, followers @ ..] in rounds {
        let mut votes = vec![*own];
        votes.extend(followers.iter().map(|sync| replica + *sync));
        votes.sort();
        record(&mut least, client + votes[votes.len() / 2]);
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_append_is_the_second_smallest_vote() {
        let us = Duration::from_micros;
        // Own sync is slow: both followers' votes are the majority.
        assert_eq!(
            median(&least_append(&vec![[us(900), us(100), us(200)]], 50, 10)),
            50 + 210
        );
        // Own sync is fast: it and the faster follower.
        assert_eq!(
            median(&least_append(&vec![[us(90), us(100), us(200)]], 50, 10)),
            50 + 110
        );
    }

    #[test]
    fn the_object_has_the_keys_promised() {
        let cost = |cpu_ms| Cost {
            bytes: 1_000_000_000,
            took: Duration::from_secs(2),
            cpu: Duration::from_millis(cpu_ms),
        };
        let one = || of([Duration::from_micros(100)].iter());
        let floor = Floor {
            args: FloorArgs {
                dir: ".".into(),
                payload: 1024,
                secs: 1,
            },
            alone: one(),
            at_once: one(),
            clients: one(),
            replicas: one(),
            least: one(),
            write: cost(500),
            client_hop: cost(1_500),
            replica_hop: cost(1_500),
            mtu: 6_500,
            cores: 2,
        };
        let value = floor.to_json();
        for (key, expected) in [
            ("bulk_mb_per_s", 500.0),
            ("bulk_cpu_s_per_gb", 1.5),
            ("write_mb_per_s", 500.0),
            ("write_cpu_s_per_gb", 0.5),
            ("most_mb_per_s", 333.333),
            ("mtu", 6_500.0),
            ("cores", 2.0),
            ("least_append_p50_us", 100.0),
        ] {
            assert_eq!(value[key].as_f64(), Some(expected), "{key}");
        }
        assert!(floor.to_text().contains("333 MB/s"));
    }
}
