//! The longest pause that an appender sees when the leader is killed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::flow::Flow;

/// Appends in flight meanwhile.
const INFLIGHT: u64 = 16;
const PAYLOAD: usize = 1024;
/// How long a flow without a fault is watched before each kill: what the machine itself does to it.
const BEFORE: Duration = Duration::from_secs(1);
/// The flow is watched for so long after a kill, and until receipts come again.
const AFTER: Duration = Duration::from_secs(2);
/// A pause that outlasts this is a failure.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What one kill did.
#[derive(Clone, Copy, Debug)]
pub struct FailOver {
    /// The replica that led and was killed.
    pub replica: u16,
    /// The longest time between two receipts from the kill on.
    pub pause: Duration,
    /// The same in the second before it.
    pub before: Duration,
}

/// Kills the leader (SIGKILL) under a flow of appends `times` times, and brings it back each time.
///
/// # Errors
/// An append that fails, a pause of half a minute, a replica that does not come back.
pub fn measure(
    cluster: &mut Cluster,
    times: usize,
    mut each: impl FnMut(&FailOver),
) -> Result<Vec<FailOver>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let all = runtime.block_on(async {
        let client = cluster.connect().await?;
        let mut all = Vec::new();
        for _ in 0..times {
            let leader = cluster.settled(&client).await?;
            let mut flow = Flow::open(&client, "bench/failover", INFLIGHT, PAYLOAD).await?;
            // Connections and caches are warm after the first half.
            flow.run(Instant::now() + BEFORE / 2, u64::MAX).await?;
            flow.watch();
            flow.run(Instant::now() + BEFORE, u64::MAX).await?;
            let before = flow.longest;
            flow.watch();
            let victim = cluster.take(leader)?;
            let killed = Instant::now();
            // Reaping a process with large maps takes a while; the flow goes on meanwhile.
            let reaper = std::thread::spawn(move || drop(victim));
            flow.run(killed + AFTER, u64::MAX).await?;
            while flow.last_receipt < killed + AFTER / 2 {
                ensure!(
                    killed.elapsed() < PAUSE_MAX,
                    "no receipt for {} s after replica {leader} was killed",
                    PAUSE_MAX.as_secs()
                );
                cluster.alive()?;
                flow.run(Instant::now() + AFTER / 8, u64::MAX).await?;
            }
            let pause = flow.longest;
            reaper.join().expect("to drop a process does not panic");
            flow.finish().await?;
            cluster.start_replica(leader)?;
            let one = FailOver {
                replica: leader,
                pause,
                before,
            };
            each(&one);
            all.push(one);
        }
        cluster.settled(&client).await?;
        client.close().await;
        anyhow::Ok(all)
    });
    runtime.shutdown_background();
    all
}

/// The median, the longest, and each pause, in milliseconds.
pub fn summary(all: &[FailOver]) -> Value {
    let tenths = |ms: f64| (ms * 10.0).round() / 10.0;
    let ms = |duration: Duration| tenths(duration.as_secs_f64() * 1e3);
    let of = |take: fn(&FailOver) -> Duration| {
        let mut values: Vec<f64> = all.iter().map(|one| ms(take(one))).collect();
        let in_order = values.clone();
        values.sort_by(f64::total_cmp);
        (
            crate::suite::median(&values).map(tenths),
            values.last().copied(),
            in_order,
        )
    };
    let (median, max, pauses) = of(|one| one.pause);
    let (before, ..) = of(|one| one.before);
    json!({
        "kills": all.len(),
        "pause_median_ms": median,
        "pause_max_ms": max,
        "pauses_ms": pauses,
        "before_median_ms": before,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_the_median_and_the_worst() {
        let one = |ms| FailOver {
            replica: 1,
            pause: Duration::from_millis(ms),
            before: Duration::from_millis(2),
        };
        let value = summary(&[one(300), one(100), one(200)]);
        assert_eq!(value["pause_median_ms"], 200.0);
        assert_eq!(value["pause_max_ms"], 300.0);
        assert_eq!(value["pauses_ms"], json!([300.0, 100.0, 200.0]));
        assert_eq!(value["before_median_ms"], 2.0);
    }
}
