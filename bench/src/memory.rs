//! The memory of the replicas while many gigabytes pass through with trims.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::flow::Flow;
use crate::machine;

/// What passes through, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Payload bytes in total.
    pub bytes: u64,
    /// Bytes of each record.
    pub payload: usize,
    /// Appends kept in flight.
    pub inflight: u64,
    /// The log is trimmed whenever so many bytes came, to keep as many.
    pub trim_bytes: u64,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            bytes: 5_000_000_000,
            payload: 1024,
            inflight: 1024,
            trim_bytes: 100_000_000,
        }
    }
}

/// The bound that is promised, in bytes of anonymous resident memory.
pub const BYTES_MAX: u64 = 200_000_000;
/// How often it is measured.
const EVERY: Duration = Duration::from_millis(250);

/// What was measured of one replica, in bytes.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Samples of RssAnon, in order.
    pub samples: Vec<u64>,
    /// What its files took on disk, at the same times.
    pub disk: Vec<u64>,
}

impl Curve {
    /// The first sample, before the first append.
    pub fn start(&self) -> u64 {
        self.samples.first().copied().unwrap_or(0)
    }

    /// The largest.
    pub fn peak(&self) -> u64 {
        self.samples.iter().copied().max().unwrap_or(0)
    }

    /// The last.
    pub fn end(&self) -> u64 {
        self.samples.last().copied().unwrap_or(0)
    }

    /// Whether it did not grow, but for a tenth and 8 MB.
    pub fn flat(&self) -> bool {
        flat(&self.samples, 8_000_000)
    }

    /// Whether its files did not grow, but for a tenth and four segments: what is trimmed must go as fast as it comes.
    pub fn disk_flat(&self) -> bool {
        flat(&self.disk, 4 * (64 << 20))
    }

    /// Whether it stayed within the bound.
    pub fn bounded(&self) -> bool {
        self.peak() <= BYTES_MAX
    }
}

/// Whether the last quarter stayed where the second was, within a tenth and `slack`. The first quarter is caches and
/// pools filling.
fn flat(samples: &[u64], slack: u64) -> bool {
    let quarter = samples.len() / 4;
    let median = |part: &[u64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part.get(part.len() / 2).copied().unwrap_or(0)
    };
    let second = median(&samples[quarter..2 * quarter]);
    let last = median(&samples[samples.len() - quarter..]);
    last <= second + second / 10 + slack
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Payload bytes that passed through.
    pub bytes: u64,
    /// How long that took.
    pub elapsed: Duration,
    /// How many trims there were.
    pub trims: u64,
    /// By replica.
    pub curves: BTreeMap<u16, Curve>,
}

impl Memory {
    /// Whether every replica stayed within the bound, and flat.
    pub fn holds(&self) -> bool {
        self.curves
            .values()
            .all(|curve| curve.bounded() && curve.flat())
    }

    /// Whether no replica's files grew although the log was trimmed.
    pub fn disk_holds(&self) -> bool {
        self.curves.values().all(Curve::disk_flat)
    }

    /// Start, peak and end of each replica, in megabytes, and the verdict.
    pub fn summary(&self) -> Value {
        let mb = |bytes: u64| (bytes as f64 / 1e5).round() / 10.0;
        let replicas: Vec<Value> = self
            .curves
            .iter()
            .map(|(replica, curve)| {
                json!({
                    "replica": replica,
                    "start_mb": mb(curve.start()),
                    "peak_mb": mb(curve.peak()),
                    "end_mb": mb(curve.end()),
                    "flat": curve.flat(),
                    "disk_peak_mb": mb(curve.disk.iter().copied().max().unwrap_or(0)),
                    "disk_end_mb": mb(curve.disk.last().copied().unwrap_or(0)),
                    "disk_flat": curve.disk_flat(),
                    "samples": curve.samples.len(),
                })
            })
            .collect();
        json!({
            "bytes": self.bytes,
            "secs": (self.elapsed.as_secs_f64() * 10.0).round() / 10.0,
            "mb_per_s": mb((self.bytes as f64 / self.elapsed.as_secs_f64()) as u64),
            "trims": self.trims,
            "bound_mb": mb(BYTES_MAX),
            "holds": self.holds(),
            "replicas": replicas,
        })
    }
}

/// Pushes the bytes through and watches; `each` is told how many there were so far.
///
/// # Errors
/// An append or a trim that fails, or a replica that ends.
pub fn measure(
    cluster: &Cluster,
    plan: Plan,
    mut each: impl FnMut(u64, &Memory),
) -> Result<Memory> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut memory = Memory {
        bytes: 0,
        elapsed: Duration::ZERO,
        trims: 0,
        curves: BTreeMap::new(),
    };
    const LOG: &str = "bench/memory";
    let done = runtime.block_on(async {
        let client = cluster.connect().await?;
        cluster.settled(&client).await?;
        sample(cluster, &mut memory)?;
        let mut flow = Flow::open(&client, LOG, plan.inflight, plan.payload).await?;
        let payload = plan.payload.max(1) as u64;
        let (total, trim_every) = (
            plan.bytes.div_ceil(payload),
            (plan.trim_bytes / payload).max(1),
        );
        let begin = Instant::now();
        let mut trims: Option<tokio::task::JoinHandle<Result<_, paxlog_client::Error>>> = None;
        while flow.received < total {
            let next = (memory.trims + 1) * trim_every;
            flow.run(
                Instant::now() + EVERY,
                total.min(next.max(flow.received + 1)),
            )
            .await?;
            if flow.received >= next {
                // One at a time, beside the appends.
                if let Some(before) = trims.take() {
                    before.await??;
                }
                let (client, to) = (client.clone(), flow.end.saturating_sub(trim_every));
                trims = Some(tokio::spawn(async move { client.trim(LOG, to).await }));
                memory.trims += 1;
            }
            memory.bytes = flow.received * payload;
            let due = begin
                + EVERY
                    * memory
                        .curves
                        .values()
                        .map(|c| c.samples.len())
                        .max()
                        .unwrap_or(0) as u32;
            if Instant::now() >= due {
                cluster.alive()?;
                sample(cluster, &mut memory)?;
                memory.elapsed = begin.elapsed();
                each(memory.bytes, &memory);
            }
        }
        flow.finish().await?;
        memory.elapsed = begin.elapsed();
        if let Some(last) = trims {
            last.await??;
        }
        cluster.settled(&client).await?;
        sample(cluster, &mut memory)?;
        client.close().await;
        anyhow::Ok(())
    });
    runtime.shutdown_background();
    done?;
    Ok(memory)
}

fn sample(cluster: &Cluster, memory: &mut Memory) -> Result<()> {
    for (replica, pid) in cluster.pids() {
        let disk = machine::disk_bytes(&cluster.data_dir(replica));
        let curve = memory.curves.entry(replica).or_insert_with(|| Curve {
            samples: Vec::new(),
            disk: Vec::new(),
        });
        curve.samples.push(machine::rss_anon(pid)?);
        curve.disk.push(disk);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(samples: impl IntoIterator<Item = u64>) -> Curve {
        Curve {
            samples: samples.into_iter().collect(),
            disk: Vec::new(),
        }
    }

    #[test]
    fn what_grows_is_not_flat() {
        let mb = 1_000_000;
        assert!(curve((0..100).map(|n| 50 * mb + n % 3 * mb)).flat());
        // A rise at the start is warming up.
        assert!(curve((0..100).map(|n| if n < 20 { n * mb } else { 60 * mb })).flat());
        assert!(!curve((0..100).map(|n| 50 * mb + n * mb / 2)).flat());
        assert!(curve([1, 2]).flat());
    }

    #[test]
    fn files_that_grow_with_what_passes_are_seen() {
        let mut replica = curve([]);
        replica.disk = (0..80).map(|n| n * 25_000_000).collect();
        assert!(!replica.disk_flat());
        replica.disk = (0..80).map(|n| 400_000_000 + n % 5 * (64 << 20)).collect();
        assert!(replica.disk_flat());
    }

    #[test]
    fn the_bound_counts_the_peak() {
        assert!(curve([1, BYTES_MAX, 3]).bounded());
        assert!(!curve([1, BYTES_MAX + 1, 3]).bounded());
    }
}
