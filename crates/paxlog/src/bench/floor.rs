//! `paxlog bench floor`: what nobody can beat on this machine.
//!
//! A durable append needs at least: the client's round trip, and a majority of syncs: the second-smallest of the
//! leader's own and, for each follower, the replicas' round trip plus its sync. All three syncs are under way at once, so they are
//! measured so.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use hdrhistogram::Histogram;
use paxlog_quic::{CertificateAuthority, Credentials, Endpoint, Expect, Plane, Tuning};
use paxlog_wire::client::{CommandBody, CommandRequest, Origin};
use paxlog_wire::{Flags, FrameLimits};
use serde_json::json;

use super::append::{filler, payload_bytes};
use super::{histogram, record};
use crate::cli::Global;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::{certs, time};

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog bench floor
  paxlog bench floor --dir /var/lib/paxlog --output json

Measures a bare write and fdatasync of --payload bytes, alone and with three writers at once; a bare round
trip of --payload bytes over QUIC on loopback, with the settings that clients and replicas use; and what an
append must take at least: client round trip + the second-smallest of own sync and, for each of two
followers, round trip + sync.")]
pub(crate) struct FloorArgs {
    /// A directory on the disk to measure; temporary files are made in it.
    #[arg(long, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Bytes of each write and message.
    #[arg(long, default_value_t = 1024, value_name = "BYTES", value_parser = payload_bytes)]
    payload: usize,
    /// How long to measure, all together.
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
    secs: u64,
}

/// As in a write-ahead log: allocated once, written from front to back, again from the front when full.
const FILE_BYTES: u64 = 16 << 20;
/// Bytes that frame and batch add to a record.
const FRAME_BYTES: usize = 192;
const WRITERS: usize = 3;
/// How often one writer and three take turns.
const TURNS: u32 = 8;

pub(crate) async fn floor(global: &Global, args: FloorArgs) -> Result<(), Failure> {
    let part = Duration::from_secs(args.secs) / 3;
    let bytes = args.payload + FRAME_BYTES;
    let dir = args.dir.clone();
    let (lone, three) = blocking(move || both(&dir, bytes, part)).await?;
    let clients = round_trips(Plane::Clients, args.payload, part / 2).await?;
    let replicas = round_trips(Plane::Replicas, args.payload, part / 2).await?;

    let alone = of(lone.iter().flatten());
    let at_once = of(three.iter().flatten());
    let least = least_append(&three, median(&clients), median(&replicas));
    if global.output == Format::Json {
        return output::print_json(&json!({
            "dir": args.dir,
            "payload": args.payload,
            "sync_p50_us": median(&alone),
            "sync_p99_us": alone.value_at_quantile(0.99),
            "sync_three_p50_us": median(&at_once),
            "sync_three_p99_us": at_once.value_at_quantile(0.99),
            "client_round_trip_p50_us": median(&clients),
            "client_round_trip_p99_us": clients.value_at_quantile(0.99),
            "replica_round_trip_p50_us": median(&replicas),
            "replica_round_trip_p99_us": replicas.value_at_quantile(0.99),
            "least_append_p50_us": median(&least),
            "least_append_p99_us": least.value_at_quantile(0.99),
            "secs": args.secs,
        }));
    }
    let row = |what: &str, histogram: &Histogram<u64>| {
        let at =
            |quantile| time::human(Duration::from_micros(histogram.value_at_quantile(quantile)));
        format!("{what:<42} p50 {:>8}   p99 {:>8}", at(0.5), at(0.99))
    };
    output::print_line(
        &[
            row("write + fdatasync, one writer", &alone),
            row("write + fdatasync, three at once", &at_once),
            row("QUIC round trip, client settings", &clients),
            row("QUIC round trip, replica settings", &replicas),
            row("least append, three replicas here", &least),
        ]
        .join("\n"),
    )
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
fn least_append(rounds: &[[Duration; WRITERS]], client_us: u64, replica_us: u64) -> Histogram<u64> {
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

type Rounds<const N: usize> = Vec<[Duration; N]>;

/// One writer and three at once, in turns, so that both see the same disk and the same neighbours.
fn both(dir: &Path, bytes: usize, part: Duration) -> Result<(Rounds<1>, Rounds<WRITERS>), Failure> {
    let alone = [Scratch::make(dir, 0)?];
    let files = [
        Scratch::make(dir, 1)?,
        Scratch::make(dir, 2)?,
        Scratch::make(dir, 3)?,
    ];
    let (mut lone, mut three) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        lone.extend(syncs(dir, &alone, bytes, part / TURNS)?);
        three.extend(syncs(dir, &files, bytes, part / TURNS)?);
    }
    Ok((lone, three))
}

/// Rounds of `N` writes and syncs that begin at once, each of a file of its own.
fn syncs<const N: usize>(
    dir: &Path,
    files: &[Scratch; N],
    bytes: usize,
    time: Duration,
) -> Result<Rounds<N>, Failure> {
    let barrier = Barrier::new(N);
    // One thread decides between two barriers, so that all end after the same round.
    let (stop, failed) = (AtomicBool::new(false), AtomicBool::new(false));
    let until = Instant::now() + time;
    let columns: Vec<io::Result<Vec<Duration>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = files
            .iter()
            .map(|scratch| {
                scope.spawn(|| {
                    let data = filler(bytes);
                    let (mut latencies, mut at, mut error) = (Vec::new(), 0, None);
                    loop {
                        if barrier.wait().is_leader() {
                            stop.store(Instant::now() >= until || failed.load(SeqCst), SeqCst);
                        }
                        barrier.wait();
                        if stop.load(SeqCst) {
                            return error.map_or(Ok(latencies), Err);
                        }
                        let begin = Instant::now();
                        if let Err(why) = scratch
                            .file
                            .write_all_at(&data, at)
                            .and_then(|()| scratch.file.sync_data())
                        {
                            error = Some(why);
                            failed.store(true, SeqCst);
                        }
                        latencies.push(begin.elapsed());
                        at = (at + bytes as u64) % (FILE_BYTES - bytes as u64);
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a writer does not panic"))
            .collect()
    });
    let columns: Vec<Vec<Duration>> = columns
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| cannot_write(dir, &error))?;
    let rounds = columns.iter().map(Vec::len).min().unwrap_or(0);
    Ok((0..rounds)
        .map(|round| std::array::from_fn(|writer| columns[writer][round]))
        .collect())
}

fn cannot_write(dir: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("cannot write in {}: {error}", dir.display()))
        .hint("name a directory with --dir")
}

/// A file whose blocks are there before they are measured; removed at the end.
struct Scratch {
    file: File,
    path: PathBuf,
}

impl Scratch {
    fn make(dir: &Path, number: usize) -> Result<Scratch, Failure> {
        let path = dir.join(format!(".paxlog-floor-{}-{number}", std::process::id()));
        let write = || {
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)?;
            let zeros = vec![0; 1 << 20];
            for at in (0..FILE_BYTES).step_by(zeros.len()) {
                file.write_all_at(&zeros, at)?;
            }
            file.sync_all()?;
            Ok(file)
        };
        match write() {
            Ok(file) => Ok(Scratch { file, path }),
            Err(error) => {
                // It may not have been made at all.
                let _ = std::fs::remove_file(&path);
                Err(cannot_write(dir, &error))
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::local_io(format!("a measurement ended: {error}")))?
}

/// An append's frame there, a small frame back, one after the other; the other end on a thread of its own, as if it were
/// another process.
async fn round_trips(
    plane: Plane,
    payload: usize,
    time: Duration,
) -> Result<Histogram<u64>, Failure> {
    let quic = |error: &dyn std::fmt::Display| {
        Failure::unavailable(format!("a QUIC round trip failed: {error}"))
    };
    let authority = CertificateAuthority::make(1).map_err(certs::failure)?;
    let credentials = |id| {
        let issued = authority.issue_replica(id).map_err(certs::failure)?;
        Credentials::of(&authority, &issued).map_err(certs::failure)
    };
    let (here, there) = (credentials(1)?, credentials(2)?);
    let (sender, bound) = tokio::sync::oneshot::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let echo = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            let (endpoint, mut acceptor) =
                Endpoint::serve(plane, address, &there, Tuning::of(plane))
                    .map_err(io::Error::other)?;
            // Nobody waits for it any more if the other side failed.
            let _ = sender.send(endpoint.local_address());
            let connection = acceptor.next().await.ok_or(io::ErrorKind::NotConnected)?;
            let (mut out, mut back) = connection
                .accept_bi(FrameLimits::FROM_CLIENT)
                .await
                .map_err(io::Error::other)?;
            let answer = paxlog_wire::client::Credit {
                bytes: payload as u64,
            };
            let answering = async {
                while let Ok(Some(_)) = back.next().await {
                    out.send(&answer).await.map_err(io::Error::other)?;
                }
                Ok::<_, io::Error>(())
            };
            tokio::select! {
                answered = answering => answered,
                _ = stopped => Ok(()),
            }
        })
    });
    let address = bound.await.map_err(|error| quic(&error))?;
    let endpoint =
        Endpoint::dial_only(plane, &here, Tuning::of(plane)).map_err(|error| quic(&error))?;
    let connection = endpoint
        .connect(address, Expect::Replica(2))
        .await
        .map_err(|error| quic(&error))?;
    let (mut out, mut back) = connection
        .open_bi(FrameLimits::TO_CLIENT)
        .await
        .map_err(|error| quic(&error))?;
    let body = [Bytes::from(filler(payload))];
    let mut request = CommandRequest {
        request: 0,
        deadline_ms: 10_000,
        command: CommandBody::Append {
            origin: Origin {
                producer: 1,
                epoch: 1,
                sequence: 0,
            },
            log: 1,
        },
    };
    let mut latencies = histogram();
    let begin = Instant::now();
    let warm = time / 10;
    while begin.elapsed() < time {
        let sent = Instant::now();
        out.send_with(&request, Flags::NONE, &body)
            .await
            .map_err(|error| quic(&error))?;
        back.next().await.map_err(|error| quic(&error))?;
        if begin.elapsed() > warm {
            record(&mut latencies, sent.elapsed());
        }
        request.request += 1;
    }
    // It may have ended by itself.
    let _ = stop.send(());
    endpoint.close(paxlog_wire::Code::Unavailable, "measured");
    match echo.join() {
        Ok(Ok(())) => Ok(latencies),
        Ok(Err(error)) => Err(quic(&error)),
        Err(_) => Err(quic(&"the other end panicked")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_append_is_the_second_smallest_vote() {
        let us = Duration::from_micros;
        // Own sync is slow: both followers' votes are the majority.
        assert_eq!(
            median(&least_append(&[[us(900), us(100), us(200)]], 50, 10)),
            50 + 210
        );
        // Own sync is fast: it and the faster follower.
        assert_eq!(
            median(&least_append(&[[us(90), us(100), us(200)]], 50, 10)),
            50 + 110
        );
    }

    #[test]
    fn rounds_are_whole_and_leave_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let (lone, three) = both(dir.path(), 1024, Duration::from_millis(50)).unwrap();
        assert!(!lone.is_empty() && !three.is_empty());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(both(Path::new("/nowhere"), 1, Duration::ZERO).is_err());
    }
}
