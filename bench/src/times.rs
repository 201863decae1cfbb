//! What a read by time takes, where a log holds many small records: to find the first record of a time, beside a read from
//! an offset that is known, which has all the rest.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use paxlog_client::{AppenderOptions, Client, Consistency, From, ReadOptions, Record};
use serde_json::{Value, json};

use crate::cluster::{Cluster, REPLICAS};
use crate::machine;

/// How much is stored, and asked.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Records in the log.
    pub records: u64,
    /// Records of each batch.
    pub batch: u64,
    /// Bytes of each record.
    pub payload: usize,
    /// Times asked for.
    pub asked: u64,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            records: 10_000_000,
            batch: 1_000,
            payload: 16,
            asked: 100,
        }
    }
}

const LOG: &str = "times";
/// Batches in flight while the log is filled.
const FILLING: usize = 32;
const DEADLINE: Duration = Duration::from_secs(60);

/// Fills a log, and reads it from times and offsets in turns. `told` hears what is being done.
///
/// # Errors
/// Whatever did not work, or a read that began elsewhere.
pub fn measure(cluster: &Cluster, plan: Plan, mut told: impl FnMut(&str)) -> Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let load = machine::load();
        let client = cluster.connect().await?;
        told(&format!("appending {} records", plan.records));
        let batches = fill(&client, plan).await?;
        cluster.settled(&client).await?;
        told(&format!("asking {} times", plan.asked));
        let (mut by_time, mut by_offset) = (Vec::new(), Vec::new());
        // Spread over all batches, in no order: each next one a golden ratio of the log further.
        let ratio = 0.618_033_988_749_895;
        for number in 0..plan.asked {
            let at = (number as f64 * ratio).fract() * batches.len() as f64;
            let (offset, time) = batches[at as usize];
            let first = batches.partition_point(|&(_, stamped)| stamped < time);
            by_time.push(read(&client, From::Timestamp(time), batches[first].0).await?);
            by_offset.push(read(&client, From::Offset(offset), offset).await?);
        }
        client.close().await;
        let disk: u64 = (1..=REPLICAS)
            .map(|replica| machine::disk_bytes(&cluster.data_dir(replica)))
            .sum();
        Ok(json!({
            "plan": {"records": plan.records, "batch": plan.batch, "payload": plan.payload, "asked": plan.asked},
            "by_time": summary(by_time),
            "by_offset": summary(by_offset),
            "disk_mb": disk / 1_000_000,
            "load": {"before": load, "after": machine::load()},
        }))
    })
}

/// Gives offset and time of each batch.
async fn fill(client: &Client, plan: Plan) -> Result<Vec<(u64, u64)>> {
    ensure!(plan.batch > 0 && plan.asked > 0, "nothing is asked for");
    let options = AppenderOptions {
        // A batch is what one call gives.
        max_batch_records: plan.batch as u32,
        max_batch_bytes: 4 << 20,
        deadline: DEADLINE,
        ..AppenderOptions::default()
    };
    let appender = client.appender(LOG, options).await?;
    let records = vec![Record::new(vec![b'.'; plan.payload]); plan.batch as usize];
    let mut batches = Vec::new();
    let mut pending = std::collections::VecDeque::new();
    for _ in 0..plan.records.div_ceil(plan.batch) {
        if pending.len() == FILLING
            && let Some(oldest) = pending.pop_front()
        {
            batches.push(receipt(oldest).await?);
        }
        pending.push_back(appender.append(records.clone()).await?);
    }
    for last in pending {
        batches.push(receipt(last).await?);
    }
    Ok(batches)
}

async fn receipt(pending: paxlog_client::Pending) -> Result<(u64, u64)> {
    let receipt = pending.await.context("filling")?;
    Ok((receipt.start, receipt.timestamp))
}

/// From the question until the first record is there, in ms.
async fn read(client: &Client, from: From, expected: u64) -> Result<f64> {
    let options = ReadOptions {
        max_records: 1,
        consistency: Consistency::Local,
        ..ReadOptions::default()
    };
    let begin = Instant::now();
    let mut reader = client.read(LOG, from.clone(), options).await?;
    let batch = reader.next_batch().await?;
    let took = begin.elapsed();
    let found = batch.map(|batch| batch.start());
    ensure!(
        found == Some(expected),
        "a read from {from:?} begins at {found:?}, not at {expected}"
    );
    Ok(took.as_secs_f64() * 1e3)
}

fn summary(mut ms: Vec<f64>) -> Value {
    ms.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let place = ((ms.len() as f64 * part).ceil() as usize).clamp(1, ms.len());
        (ms[place - 1] * 1e3).round() / 1e3
    };
    json!({"p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0)})
}

/// The figures in words.
pub fn text(all: &Value) -> String {
    let row = |name: &str| {
        let row = &all[name];
        format!(
            "p50 {} ms, p99 {} ms, at most {} ms",
            row["p50_ms"], row["p99_ms"], row["max_ms"]
        )
    };
    format!(
        "{} records in batches of {}, {} MB on three disks; until the first record is at the client\n  from a time    {}\n  from an offset {}",
        all["plan"]["records"],
        all["plan"]["batch"],
        all["disk_mb"],
        row("by_time"),
        row("by_offset")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_the_99th_is_p99() {
        let all = summary((1..=100).map(f64::from).collect());
        assert_eq!(
            (&all["p50_ms"], &all["p99_ms"]),
            (&50.0.into(), &99.0.into())
        );
        assert_eq!(summary(vec![2.0])["p50_ms"], 2.0);
    }
}
