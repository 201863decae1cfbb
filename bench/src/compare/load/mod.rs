//! The load generator: a process of its own (`bench load JOB`, hidden), so that what clients cost is not mixed with what
//! drives the comparison, and so that each measurement begins with a fresh client.
//!
//! The same loops drive every system through `Driver`; only how an append is given and how its end is heard differ.
//! Servers' CPU time and memory are taken here, at the very edges of the measured window.

mod appends;
mod readers;
mod window;

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::choice::Work;
use super::drivers::{Driver, etcd, nats, paxlog};

pub(super) use appends::Latencies;
pub(super) use window::{Start, Usage, Window};

/// Where a cluster is reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A client profile.
    Paxlog(PathBuf),
    /// The members' client addresses, `host:port`.
    Etcd(Vec<String>),
    /// The servers' names and addresses, `host:port`.
    Nats(Vec<(String, String)>),
}

/// What a load generator is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Against whom.
    pub target: Target,
    /// What.
    pub work: Work,
    /// Before it counts, in milliseconds: connections, first batches, caches.
    pub warm_ms: u64,
    /// How long it counts.
    pub secs: u64,
    /// The servers' processes, whose CPU time and memory are taken.
    pub pids: Vec<u32>,
}

/// Does a job, which is a [`Job`] as JSON, and prints what was measured as one JSON object.
///
/// # Errors
/// Whatever did not work: no figure is given for work that was not done.
pub fn run(job: &str) -> Result<()> {
    let job: Job = serde_json::from_str(job).context("the job is not one of `bench compare`")?;
    let measured = match &job.target {
        Target::Paxlog(_) => work::<paxlog::Client>(&job),
        Target::Etcd(_) => work::<etcd::Client>(&job),
        Target::Nats(_) => work::<nats::Client>(&job),
    }?;
    println!("{measured}");
    Ok(())
}

fn work<D: Driver>(job: &Job) -> Result<Value> {
    match job.work {
        Work::Appends { .. } => appends::measure::<D>(job),
        Work::Backlog { .. } => readers::backlog::<D>(job),
        Work::Live { .. } => readers::live::<D>(job),
    }
}

/// What all measurements report: `ops` records of `bytes` in total, within the window.
fn report(ops: u64, bytes: u64, latencies: &Latencies, usage: &Usage) -> Value {
    let round = |value: f64, digits: f64| (value * digits).round() / digits;
    let gb = bytes as f64 / 1e9;
    let mut value = json!({
        "ops": ops,
        "secs": round(usage.secs, 1e3),
        "ops_per_s": round(ops as f64 / usage.secs, 10.0),
        "mb_per_s": round(bytes as f64 / usage.secs / 1e6, 1e3),
        "servers_cpu_s": round(usage.servers_cpu, 1e3),
        "client_cpu_s": round(usage.client_cpu, 1e3),
        "servers_cpu_s_per_gb": (bytes > 0).then(|| round(usage.servers_cpu / gb, 1e3)),
        "client_cpu_s_per_gb": (bytes > 0).then(|| round(usage.client_cpu / gb, 1e3)),
        "peak_rss_mb": round(usage.peak_rss as f64 / 1e6, 10.0),
        "peak_anon_mb": round(usage.peak_anon as f64 / 1e6, 10.0),
    });
    latencies.write("", &mut value);
    value["cdf"] = latencies.cdf();
    value
}
