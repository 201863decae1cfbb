//! Appends, as many in flight all the time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::{Job, Window, report, window};
use crate::compare::choice::Work;
use crate::compare::drivers::{Appends, Driver, Packing};

/// The one log that all clients append to. A stream each was not clearly faster for NATS, in few runs, and took more memory.
const LOG: &str = "bench-appends";
/// Threads that the clients share, each with a single-threaded runtime: the clients of a measurement then cost as little as
/// they can, whoever they belong to.
const THREADS: usize = 1;

/// Latencies from 1 µs to 100 s with three digits.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Latencies {
        Latencies(Histogram::new_with_bounds(1, 100_000_000, 3).expect("constant bounds in order"))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0
            .saturating_record((latency.as_micros() as u64).max(1));
    }

    pub(crate) fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// Percentiles under the keys that `paxlog bench` has, with `prefix` before them; nothing if there are none.
    pub(crate) fn write(&self, prefix: &str, into: &mut Value) {
        if self.0.is_empty() {
            return;
        }
        for (key, quantile) in [("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999)] {
            into[format!("{prefix}{key}")] = json!(self.0.value_at_quantile(quantile));
        }
        into[format!("{prefix}max_us")] = json!(self.0.max());
    }

    /// Latencies at fixed fractions, `[[fraction, us], …]`, so that rounds can be taken together point by point.
    pub(crate) fn cdf(&self) -> Value {
        if self.0.is_empty() {
            return Value::Null;
        }
        let hundredths = (1..100).map(|n| f64::from(n) / 100.0);
        let points = hundredths.chain([0.995, 0.999, 0.9995, 0.9999]);
        points
            .map(|fraction| json!([fraction, self.0.value_at_quantile(fraction)]))
            .collect()
    }
}

struct Part {
    ops: u64,
    latencies: Latencies,
}

pub(super) fn measure<D: Driver>(job: &Job) -> Result<Value> {
    let Work::Appends {
        clients,
        inflight,
        payload,
        records,
        coalesce,
    } = job.work
    else {
        unreachable!("called for appends only")
    };
    let clients = clients.min(inflight);
    let threads = THREADS.min(clients);
    let bodies = (0..threads)
        .map(|thread| {
            let target = job.target.clone();
            let body = move |mut start: super::Start| {
                runtime()?.block_on(async {
                    let mut ready = Vec::new();
                    for client in (thread..clients).step_by(threads) {
                        // The first ones take what does not divide.
                        let flight = inflight / clients + usize::from(client < inflight % clients);
                        let packing = Packing {
                            records,
                            coalesce,
                            flight,
                            payload,
                            client,
                        };
                        let driver = D::connect(&target).await.context("connecting")?;
                        let appends = driver.appends(LOG, packing).await.context("opening")?;
                        ready.push((driver, appends, flight));
                    }
                    let window = start.wait().await?;
                    let mut tasks = tokio::task::JoinSet::new();
                    for (driver, appends, flight) in ready {
                        let payload = filler(payload);
                        tasks.spawn(async move {
                            let part = keep(appends, flight, records, &payload, window).await;
                            drop(driver);
                            part
                        });
                    }
                    let mut all = Part {
                        ops: 0,
                        latencies: Latencies::new(),
                    };
                    while let Some(part) = tasks.join_next().await {
                        let part = part.context("a client panicked")??;
                        all.ops += part.ops;
                        all.latencies.add(&part.latencies);
                    }
                    anyhow::Ok(all)
                })
            };
            Box::new(body) as Box<dyn FnOnce(super::Start) -> Result<Part> + Send>
        })
        .collect();
    let (parts, usage) = window::fleet(job, bodies)?;
    let (mut ops, mut latencies) = (0, Latencies::new());
    for part in &parts {
        ops += part.ops;
        latencies.add(&part.latencies);
    }
    Ok(report(ops, ops * payload as u64, &latencies, &usage))
}

/// Keeps `flight` appends in flight until the window ends, and then waits for the rest.
async fn keep<A: Appends>(
    mut appends: A,
    flight: usize,
    records: usize,
    payload: &Bytes,
    window: Window,
) -> Result<Part> {
    let mut part = Part {
        ops: 0,
        latencies: Latencies::new(),
    };
    // A tag is a place in here; ends may come in any order.
    let mut given = vec![window.from; flight];
    let mut free: Vec<usize> = (0..flight).rev().collect();
    let mut ends = Vec::new();
    loop {
        let now = Instant::now();
        if now < window.until {
            while let Some(place) = free.pop() {
                given[place] = now;
                appends.give(place as u64, payload).await?;
            }
        }
        if free.len() == flight {
            return Ok(part);
        }
        appends.ended(&mut ends).await?;
        let now = Instant::now();
        for tag in ends.drain(..) {
            let place = tag as usize;
            free.push(place);
            if window.has(now) {
                part.ops += records as u64;
                part.latencies.record(now - given[place]);
            }
        }
    }
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")
}

/// Bytes that no disk or link can squeeze away, the same in every run.
pub(super) fn filler(bytes: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let byte = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_curve_come_from_the_same_latencies() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.cdf(), Value::Null);
        for us in 1..=1000 {
            latencies.record(Duration::from_micros(us));
        }
        let mut value = json!({});
        latencies.write("append_", &mut value);
        assert_eq!(value["append_p50_us"], 500);
        assert_eq!(value["append_max_us"], 1000);
        let cdf = latencies.cdf();
        assert_eq!(cdf[49], json!([0.5, 500]));
        assert_eq!(cdf.as_array().unwrap().len(), 103);
    }

    #[test]
    fn fillers_do_not_repeat_within_a_page() {
        let bytes = filler(4096);
        assert_ne!(bytes[..1024], bytes[1024..2048]);
    }
}
