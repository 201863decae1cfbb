//! Readers: one over a backlog, and many at the live end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::appends::{filler, runtime};
use super::{Job, Latencies, Start, Target, Window, report, window};
use crate::compare::choice::Work;
use crate::compare::drivers::{Appends, Driver, Packing, Reach, Reads};

/// The log that is read.
const LOG: &str = "bench-read";
/// Records of an append, and appends in flight, while a backlog is filled.
const FILL: Packing = Packing {
    records: 1000,
    coalesce: false,
    flight: 4,
    payload: 0,
    client: 0,
};
/// Threads that the readers at the live end share.
const READER_THREADS: usize = 2;
/// Appends that may wait for their receipt at the live end, before the producer waits itself.
const LIVE_FLIGHT: usize = 2048;
/// How often a producer that keeps a rate looks at the clock.
const TICK: Duration = Duration::from_millis(1);
/// How long readers may take for the rest, once appends have ended.
const GRACE: Duration = Duration::from_secs(20);

type Body<T> = Box<dyn FnOnce(Start) -> Result<T> + Send>;

pub(super) fn backlog<D: Driver>(job: &Job) -> Result<Value> {
    let Work::Backlog {
        payload,
        bytes,
        fill_secs,
    } = job.work
    else {
        unreachable!("called for a backlog only")
    };
    let target = job.target.clone();
    let body = move |mut start: Start| {
        runtime()?.block_on(async {
            let driver = D::connect(&target).await?;
            let until = Instant::now() + Duration::from_secs(fill_secs);
            let packing = Packing { payload, ..FILL };
            let appends = driver.appends(LOG, packing).await?;
            let most = bytes.div_ceil(payload as u64);
            let filled = fill(appends, &filler(payload), most, until)
                .await
                .context("filling the log")?;
            let window = start.wait().await?;
            let read = read_again(&driver, filled, payload, window).await?;
            anyhow::Ok((filled, read))
        })
    };
    let (mut parts, usage) = window::fleet(job, vec![Box::new(body) as Body<(u64, u64)>])?;
    let (filled, read) = parts.remove(0);
    let mut value = report(read, read * payload as u64, &Latencies::new(), &usage);
    value["backlog_mb"] = json!(filled * payload as u64 / 1_000_000);
    Ok(value)
}

/// Appends until there are `most` records or it is time; gives how many there are.
async fn fill<A: Appends>(
    mut appends: A,
    payload: &Bytes,
    most: u64,
    until: Instant,
) -> Result<u64> {
    let (mut records, mut out, mut ends) = (0, 0, Vec::new());
    loop {
        while out < FILL.flight && records < most && Instant::now() < until {
            appends.give(0, payload).await?;
            records += FILL.records as u64;
            out += 1;
        }
        if out == 0 {
            return Ok(records);
        }
        appends.ended(&mut ends).await?;
        out -= ends.drain(..).count();
    }
}

/// Reads the log from its start to its end, again and again; gives how many records came within the window.
async fn read_again<D: Driver>(
    driver: &D,
    filled: u64,
    payload: usize,
    window: Window,
) -> Result<u64> {
    let (mut counted, mut batch) = (0, Vec::new());
    loop {
        let mut reads = driver.reads(LOG, Reach::End, 0).await?;
        let mut seen = 0;
        while seen < filled {
            reads.next(&mut batch).await?;
            let now = Instant::now();
            ensure!(
                !batch.is_empty(),
                "the log ended after {seen} of {filled} records"
            );
            for record in batch.drain(..) {
                ensure!(
                    record.len() == payload,
                    "a record of {} bytes came back, not {payload}",
                    record.len()
                );
                seen += 1;
                counted += u64::from(window.has(now));
            }
            if now >= window.until {
                return Ok(counted);
            }
        }
    }
}

/// What one thread of the live end did.
struct Live {
    /// Records that readers heard within the window, and how long after they were given.
    heard: u64,
    to_ear: Latencies,
    /// Records that never came.
    missed: u64,
    /// Receipts within the window, and how long they took.
    appended: u64,
    receipts: Latencies,
}

impl Live {
    fn new() -> Live {
        Live {
            heard: 0,
            to_ear: Latencies::new(),
            missed: 0,
            appended: 0,
            receipts: Latencies::new(),
        }
    }
}

pub(super) fn live<D: Driver>(job: &Job) -> Result<Value> {
    let Work::Live {
        readers,
        rate,
        payload,
        stuck,
    } = job.work
    else {
        unreachable!("called for the live end only")
    };
    // Records carry when they were given, in nanoseconds since this.
    let epoch = Instant::now();
    // How many there are, once it is known; readers open the log that the producer has made.
    let (made, log_made) = watch::channel(false);
    let (end, total) = watch::channel(None);
    let target = job.target.clone();
    let mut bodies: Vec<Body<Live>> = vec![Box::new(move |start| {
        runtime()?.block_on(produce::<D>(
            &target, rate, payload, epoch, start, &made, &end,
        ))
    })];
    for thread in 0..READER_THREADS {
        let (target, total, made) = (job.target.clone(), total.clone(), log_made.clone());
        bodies.push(Box::new(move |start| {
            let numbers = (thread..readers).step_by(READER_THREADS);
            runtime()?.block_on(listen::<D>(&target, numbers, epoch, start, made, &total))
        }));
    }
    if stuck {
        let target = job.target.clone();
        bodies.push(Box::new(move |start| {
            stand_still::<D>(&target, start, log_made)
        }));
    }
    let (parts, usage) = window::fleet(job, bodies)?;
    let mut all = Live::new();
    for part in &parts {
        all.heard += part.heard;
        all.missed += part.missed;
        all.appended += part.appended;
        all.to_ear.add(&part.to_ear);
        all.receipts.add(&part.receipts);
    }
    let mut value = report(all.heard, all.heard * payload as u64, &all.to_ear, &usage);
    all.receipts.write("append_", &mut value);
    value["appended_per_s"] = json!((all.appended as f64 / usage.secs * 10.0).round() / 10.0);
    value["missed"] = json!(all.missed);
    Ok(value)
}

/// Appends at a rate until the window ends, and says how many there were.
async fn produce<D: Driver>(
    target: &Target,
    rate: u64,
    payload: usize,
    epoch: Instant,
    mut start: Start,
    made: &watch::Sender<bool>,
    end: &watch::Sender<Option<u64>>,
) -> Result<Live> {
    let packing = Packing {
        records: 1,
        coalesce: true,
        flight: LIVE_FLIGHT,
        payload,
        client: 0,
    };
    let driver = D::connect(target).await.context("connecting")?;
    let mut appends = driver.appends(LOG, packing).await.context("opening")?;
    made.send_replace(true);
    let window = start.wait().await?;
    let mut all = Live::new();
    let rest = filler(payload.max(8)).slice(8..);
    let begin = Instant::now();
    let mut given = vec![begin; LIVE_FLIGHT];
    let mut free: Vec<usize> = (0..LIVE_FLIGHT).rev().collect();
    let (mut count, mut ends) = (0, Vec::new());
    loop {
        let now = Instant::now();
        let due = ((now - begin).as_secs_f64() * rate as f64) as u64;
        while now < window.until && count < due {
            let Some(place) = free.pop() else { break };
            given[place] = Instant::now();
            let mut record = BytesMut::with_capacity(payload);
            record.put_u64_le((given[place] - epoch).as_nanos() as u64);
            record.put_slice(&rest);
            appends.give(place as u64, &record.freeze()).await?;
            count += 1;
        }
        if now >= window.until && free.len() == LIVE_FLIGHT {
            break;
        }
        tokio::select! {
            ended = appends.ended(&mut ends) => ended?,
            () = tokio::time::sleep(TICK) => {}
        }
        let now = Instant::now();
        for tag in ends.drain(..) {
            let place = tag as usize;
            free.push(place);
            if window.has(now) {
                all.appended += 1;
                all.receipts.record(now - given[place]);
            }
        }
    }
    end.send_replace(Some(count));
    Ok(all)
}

/// Readers, each with a connection of its own, until each has heard everything.
async fn listen<D: Driver>(
    target: &Target,
    numbers: impl Iterator<Item = usize>,
    epoch: Instant,
    mut start: Start,
    mut made: watch::Receiver<bool>,
    total: &watch::Receiver<Option<u64>>,
) -> Result<Live> {
    made.wait_for(|made| *made)
        .await
        .context("the producer failed")?;
    let mut ready = Vec::new();
    for number in numbers {
        let driver = D::connect(target).await.context("connecting a reader")?;
        let reads = driver.reads(LOG, Reach::Live, number).await?;
        ready.push((driver, reads));
    }
    let window = start.wait().await?;
    let mut tasks = tokio::task::JoinSet::new();
    for (driver, reads) in ready {
        let total = total.clone();
        tasks.spawn(async move {
            let live = hear(reads, epoch, window, &total).await;
            drop(driver);
            live
        });
    }
    let mut all = Live::new();
    while let Some(one) = tasks.join_next().await {
        let one = one.context("a reader panicked")??;
        all.heard += one.heard;
        all.missed += one.missed;
        all.to_ear.add(&one.to_ear);
    }
    Ok(all)
}

async fn hear<R: Reads>(
    mut reads: R,
    epoch: Instant,
    window: Window,
    total: &watch::Receiver<Option<u64>>,
) -> Result<Live> {
    let (mut live, mut seen, mut batch) = (Live::new(), 0, Vec::new());
    loop {
        if let Some(total) = *total.borrow() {
            ensure!(
                seen <= total,
                "a reader heard {seen} records of {total} that there are"
            );
            if seen == total || Instant::now() > window.until + GRACE {
                live.missed = total - seen;
                return Ok(live);
            }
        }
        // Woken now and then to see that there is no more to come.
        if let Ok(read) =
            tokio::time::timeout(Duration::from_millis(100), reads.next(&mut batch)).await
        {
            read?;
        }
        let now = Instant::now();
        for record in batch.drain(..) {
            let stamp = record.first_chunk().context("a record without a stamp")?;
            let given = epoch + Duration::from_nanos(u64::from_le_bytes(*stamp));
            seen += 1;
            if window.has(now) {
                live.heard += 1;
                live.to_ear.record(now.saturating_duration_since(given));
            }
        }
    }
}

/// A reader that subscribes and is then never run again, as a process that was stopped: nothing is read from its socket any more.
fn stand_still<D: Driver>(
    target: &Target,
    mut start: Start,
    mut made: watch::Receiver<bool>,
) -> Result<Live> {
    let runtime = runtime()?;
    let (driver, reads, window) = runtime.block_on(async {
        made.wait_for(|made| *made)
            .await
            .context("the producer failed")?;
        let driver = D::connect(target).await.context("connecting a reader")?;
        let mut reads = driver.reads(LOG, Reach::Live, 0).await?;
        // Some clients subscribe only when they are asked for a record; there is none yet.
        let mut none = Vec::new();
        let asked = reads.next(&mut none);
        let _ = tokio::time::timeout(Duration::from_millis(500), asked).await;
        anyhow::Ok((driver, reads, start.wait().await?))
    })?;
    std::thread::sleep(window.until.saturating_duration_since(Instant::now()));
    drop((reads, driver));
    Ok(Live::new())
}
