//! The measurements in turns, several rounds of each, and their medians: so a machine that was busy for a while does not
//! fall on one of them alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use paxlog_client::Client;
use serde_json::{Map, Value, json};

use crate::cluster::Cluster;
use crate::{failover, machine};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Seconds of each measurement in each round.
    pub secs: u64,
    /// How often each.
    pub rounds: usize,
    /// How many kills of the leader at the end.
    pub kills: usize,
}

/// A measurement: its name, and the arguments of `paxlog bench`.
const MEASURED: [(&str, &[&str]); 5] = [
    ("floor", &["floor"]),
    (
        "append_lone",
        &["append", "--inflight", "1", "--clients", "1"],
    ),
    (
        "append_256_coalesce_off",
        &[
            "append",
            "--inflight",
            "256",
            "--clients",
            "4",
            "--coalesce",
            "off",
        ],
    ),
    (
        "append_256_coalesce_on",
        &[
            "append",
            "--inflight",
            "256",
            "--clients",
            "4",
            "--coalesce",
            "on",
        ],
    ),
    ("tail", &["tail", "--inflight", "1", "--clients", "1"]),
];

/// Payloads are of so many bytes.
const PAYLOAD: &str = "1024";

/// Measures all; `told` hears what is being done.
///
/// # Errors
/// Whatever did not work.
pub fn measure(
    cluster: &mut Cluster,
    dir: &Path,
    plan: Plan,
    mut told: impl FnMut(&str),
) -> Result<Value> {
    let before = machine::load();
    let mut rounds: Vec<Vec<Value>> = vec![Vec::new(); MEASURED.len()];
    settle(cluster, false)?;
    for round in 1..=plan.rounds {
        for ((name, args), results) in MEASURED.iter().zip(&mut rounds) {
            told(&format!("round {round} of {}: {name}", plan.rounds));
            let load = machine::load();
            let mut result =
                run(cluster, args, dir, plan.secs).with_context(|| (*name).to_owned())?;
            result["load"] = json!(load);
            results.push(result);
            // What one measurement wrote must not be another's burden.
            settle(cluster, true)?;
        }
    }
    let mut out = Map::new();
    out.insert("machine".into(), machine::describe(dir));
    out.insert(
        "plan".into(),
        json!({"secs": plan.secs, "rounds": plan.rounds, "kills": plan.kills, "payload": 1024}),
    );
    for ((name, _), results) in MEASURED.iter().zip(&rounds) {
        out.insert((*name).into(), medians(results));
    }
    let ratios = ratios(&rounds[1], &rounds[0]);
    out["append_lone"]["times_floor"] = json!(median(&ratios));
    out["append_lone"]["times_floor_rounds"] = json!(ratios);
    if plan.kills > 0 {
        let mut number = 0;
        told(&format!("{} kills of the leader", plan.kills));
        let all = failover::measure(cluster, plan.kills, |one| {
            number += 1;
            told(&format!(
                "kill {number}, replica {}: a pause of {} ms",
                one.replica,
                one.pause.as_millis()
            ));
        })?;
        out.insert("failover".into(), failover::summary(&all));
    }
    out.insert(
        "load".into(),
        json!({"before": before, "after": machine::load()}),
    );
    Ok(out.into())
}

fn run(cluster: &Cluster, args: &[&str], dir: &Path, secs: u64) -> Result<Value> {
    let profile: PathBuf = cluster.profile_path();
    cluster.program().json(
        |command| {
            command.arg("bench").args(args);
            match args[0] {
                "floor" => command.arg("--dir").arg(dir),
                _ => command.arg("--profile").arg(profile),
            };
            command.args(["--payload", PAYLOAD, "--secs", &secs.to_string()]);
        },
        Duration::from_secs(secs + 120),
    )
}

/// Waits until all three are up to date; trims all logs first if that is wanted.
fn settle(cluster: &Cluster, trim: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        let client = cluster.connect().await?;
        if trim {
            trim_all(&client).await?;
        }
        cluster.settled(&client).await?;
        client.close().await;
        anyhow::Ok(())
    });
    runtime.shutdown_background();
    done
}

async fn trim_all(client: &Client) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = client.list_logs("", after.as_deref(), 1000).await?;
        for log in &page.logs {
            client.trim(&log.name, log.tail.offset).await?;
        }
        match page.logs.last() {
            Some(last) if page.more => after = Some(last.name.clone()),
            _ => return Ok(()),
        }
    }
}

/// Of each number its median over the rounds, other values as in the first; and all rounds.
fn medians(rounds: &[Value]) -> Value {
    let mut out = Map::new();
    for (key, first) in rounds
        .first()
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let mut numbers: Vec<f64> = rounds
            .iter()
            .filter_map(|round| round[key].as_f64())
            .collect();
        numbers.sort_by(f64::total_cmp);
        let value = match first.is_number() {
            true => json!(median(&numbers)),
            false => first.clone(),
        };
        out.insert(key.clone(), value);
    }
    out.insert("rounds".into(), json!(rounds));
    out.into()
}

/// The p50 of a lone append over the least possible one of the same round.
fn ratios(lone: &[Value], floor: &[Value]) -> Vec<f64> {
    let mut ratios: Vec<f64> = lone
        .iter()
        .zip(floor)
        .filter_map(|(lone, floor)| {
            let ratio = lone["p50_us"].as_f64()? / floor["least_append_p50_us"].as_f64()?;
            Some((ratio * 100.0).round() / 100.0)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

/// The middle one of values in order; between two, their mean.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[half]),
        _ => Some((sorted[half - 1] + sorted[half]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_taken_key_by_key() {
        let rounds = [
            json!({"p50_us": 3, "coalesce": "on"}),
            json!({"p50_us": 9, "coalesce": "on"}),
            json!({"p50_us": 1, "coalesce": "on"}),
        ];
        let value = medians(&rounds);
        assert_eq!(value["p50_us"], 3.0);
        assert_eq!(value["coalesce"], "on");
        assert_eq!(value["rounds"][1]["p50_us"], 9);
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_ratio_is_of_one_round() {
        let lone = [json!({"p50_us": 300}), json!({"p50_us": 100})];
        let floor = [
            json!({"least_append_p50_us": 100}),
            json!({"least_append_p50_us": 80}),
        ];
        assert_eq!(ratios(&lone, &floor), [1.25, 3.0]);
    }
}
