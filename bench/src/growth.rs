//! What an append takes, and how much memory and how long a start, as a cluster holds more: logs, producers, bytes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use paxlog_client::{Client, CreateOptions, Record};
use serde_json::{Value, json};

use crate::cluster::{Cluster, REPLICAS};
use crate::flow::Flow;
use crate::{machine, suite};

/// How much is measured, and of what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Seconds of each measurement.
    pub secs: u64,
    /// Logs that there are, each with a record.
    pub logs: Vec<u64>,
    /// Producers at a time, each with connections and a log of its own and one append in flight.
    pub producers: Vec<u64>,
    /// Payload bytes that are stored in one log.
    pub stored: Vec<u64>,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            secs: 5,
            logs: vec![1, 100, 10_000],
            producers: vec![1, 100, 1_000],
            stored: vec![1_000_000_000, 10_000_000_000],
        }
    }
}

/// Appends in flight where a cluster is filled, and logs made at a time.
const INFLIGHT: u64 = 1024;
const MAKING: usize = 64;
const PAYLOAD: usize = 1024;
/// Into which bytes are stored; what is measured goes to logs of its own.
const STORED: &str = "growth/stored";

/// Measures all rows, each in a cluster of its own from `fresh`, whose directories are in `dir`; `told` hears what is being
/// done. What a row stored is gone before the next.
///
/// # Errors
/// Whatever did not work.
pub fn measure(
    mut fresh: impl FnMut(&str) -> Result<Cluster>,
    dir: &Path,
    plan: &Plan,
    mut told: impl FnMut(&str),
) -> Result<Value> {
    let before = machine::load();
    let mut rows = Vec::new();
    for &logs in &plan.logs {
        told(&format!("{logs} logs"));
        let cluster = fresh(&format!("logs-{logs}"))?;
        on_client(&cluster, async |client| make_logs(client, logs).await)?;
        rows.push(row(cluster, "logs", logs, plan.secs)?);
    }
    for &producers in &plan.producers {
        told(&format!("{producers} producers"));
        let cluster = fresh(&format!("producers-{producers}"))?;
        let all = producers.to_string();
        let args = ["--inflight", &all, "--clients", &all];
        let one_each = append(&cluster, &args, plan.secs)?;
        let row = json!({"what": "producers", "count": producers, "one_each": one_each});
        rows.push(end(cluster, row)?);
    }
    for &bytes in &plan.stored {
        told(&format!("{} GB stored", bytes as f64 / 1e9));
        let cluster = fresh(&format!("stored-{bytes}"))?;
        on_client(&cluster, async |client| fill(client, bytes).await)?;
        rows.push(row(cluster, "bytes stored", bytes, plan.secs)?);
    }
    Ok(json!({
        "machine": machine::describe(dir),
        "plan": {"secs": plan.secs, "payload": PAYLOAD},
        "rows": rows,
        "load": {"before": before, "after": machine::load()},
    }))
}

/// A lone append, and many in flight.
fn row(cluster: Cluster, what: &str, count: u64, secs: u64) -> Result<Value> {
    let lone = append(&cluster, &["--inflight", "1", "--clients", "1"], secs)?;
    let many = ["--inflight", "256", "--clients", "4", "--coalesce", "off"];
    let many = append(&cluster, &many, secs)?;
    let row = json!({"what": what, "count": count, "lone": lone, "many": many});
    end(cluster, row)
}

/// Adds memory, and a start after a kill; the cluster's files are checked and removed.
fn end(mut cluster: Cluster, mut row: Value) -> Result<Value> {
    row["anon_mb"] = json!(anon_mb(&cluster)?);
    row["start_ms"] = starts(&mut cluster)?;
    cluster.stop_and_verify()?;
    for replica in 1..=REPLICAS {
        std::fs::remove_dir_all(cluster.data_dir(replica))?;
    }
    Ok(row)
}

fn append(cluster: &Cluster, args: &[&str], secs: u64) -> Result<Value> {
    let profile: PathBuf = cluster.profile_path();
    cluster.program().json(
        |command| {
            command.args(["bench", "append", "--profile"]).arg(profile);
            command.args(args).args(["--payload", &PAYLOAD.to_string()]);
            command.args(["--secs", &secs.to_string()]);
        },
        Duration::from_secs(secs + 300),
    )
}

/// Of the replica that has most.
fn anon_mb(cluster: &Cluster) -> Result<f64> {
    let pids = cluster.pids();
    let all: Result<Vec<u64>> = pids
        .iter()
        .map(|&(_, pid)| machine::rss_anon(pid))
        .collect();
    let most = all?.into_iter().max().unwrap_or(0);
    Ok((most as f64 / 1e5).round() / 10.0)
}

/// Kills each replica once (SIGKILL) and starts it again: the median of the times from its start until it says that it is
/// ready, in milliseconds.
fn starts(cluster: &mut Cluster) -> Result<Value> {
    let mut all = Vec::new();
    for replica in 1..=REPLICAS {
        drop(cluster.take(replica)?);
        let begin = Instant::now();
        cluster.start_replica(replica)?;
        blocking(cluster.ready(replica))?;
        all.push(begin.elapsed().as_millis() as f64);
        on_client(cluster, async |_| Ok(()))?;
    }
    all.sort_by(f64::total_cmp);
    Ok(json!(suite::median(&all)))
}

async fn make_logs(client: &Client, logs: u64) -> Result<()> {
    stream::iter((0..logs).map(|n| async move {
        let name = format!("growth/{n:06}");
        client
            .create_log(
                &name,
                CreateOptions {
                    if_absent: true,
                    ..CreateOptions::default()
                },
            )
            .await?;
        client.append(&name, vec![Record::new("one")]).await?;
        anyhow::Ok(())
    }))
    .buffer_unordered(MAKING)
    .try_collect::<()>()
    .await
    .context("making logs")
}

async fn fill(client: &Client, bytes: u64) -> Result<()> {
    let mut flow = Flow::open(client, STORED, INFLIGHT, PAYLOAD).await?;
    let records = bytes.div_ceil(PAYLOAD as u64);
    while flow.received < records {
        flow.run(Instant::now() + Duration::from_secs(60), records)
            .await?;
    }
    flow.finish().await.context("filling")
}

/// Works with a client, and waits until all replicas have what that made.
fn on_client<T>(cluster: &Cluster, work: impl AsyncFnOnce(&Client) -> Result<T>) -> Result<T> {
    blocking(async {
        let client = cluster.connect().await?;
        let done = work(&client).await?;
        cluster.settled(&client).await?;
        client.close().await;
        Ok(done)
    })
}

fn blocking<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}
