//! When it counts, and what the processes use meanwhile.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tokio::sync::watch;

use super::Job;
use crate::machine;

/// The time that counts, `from..until`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

impl Window {
    pub(crate) fn has(&self, at: Instant) -> bool {
        (self.from..self.until).contains(&at)
    }
}

/// What a thread holds until it is ready: it says so, and waits for all others.
pub(crate) struct Start {
    ready: mpsc::Sender<Result<()>>,
    window: watch::Receiver<Option<Window>>,
}

impl Start {
    /// Everything is connected: waits until all are.
    pub(crate) async fn wait(&mut self) -> Result<Window> {
        self.ready.send(Ok(())).context("nobody waits any more")?;
        let window = self.window.wait_for(Option::is_some).await;
        window
            .context("another thread failed")?
            .context("no window")
    }
}

/// What the processes used within the window.
pub(crate) struct Usage {
    pub(crate) secs: f64,
    /// CPU seconds, user and system, summed over the servers.
    pub(crate) servers_cpu: f64,
    pub(crate) client_cpu: f64,
    /// Bytes; of the server that had most: the peak since its start (VmHWM), and of samples of RssAnon.
    pub(crate) peak_rss: u64,
    pub(crate) peak_anon: u64,
}

/// How long connections and preparations may take.
const PREPARATION: Duration = Duration::from_secs(180);
/// How often memory is looked at.
const EVERY: Duration = Duration::from_millis(100);

type Body<T> = Box<dyn FnOnce(Start) -> Result<T> + Send>;

/// Runs each body on a thread of its own, opens the window once all are ready, and watches the servers meanwhile.
///
/// # Errors
/// The first one of any body; the process is to end then, since the other threads go on.
pub(super) fn fleet<T: Send + 'static>(job: &Job, bodies: Vec<Body<T>>) -> Result<(Vec<T>, Usage)> {
    let (open, window) = watch::channel(None);
    let (ready, readies) = mpsc::channel();
    let (done, dones) = mpsc::channel();
    let count = bodies.len();
    for (place, body) in bodies.into_iter().enumerate() {
        let (ready, done) = (ready.clone(), done.clone());
        let start = Start {
            ready: ready.clone(),
            window: window.clone(),
        };
        std::thread::spawn(move || match body(start) {
            // Nobody listens once another one failed.
            Ok(value) => drop(done.send(Ok((place, value)))),
            Err(error) => {
                let _ = ready.send(Err(anyhow!("{error:#}")));
                let _ = done.send(Err(error));
            }
        });
    }
    for _ in 0..count {
        readies
            .recv_timeout(PREPARATION)
            .context("the clients were not ready in time")??;
    }
    let from = Instant::now() + Duration::from_millis(job.warm_ms);
    let until = from + Duration::from_secs(job.secs);
    open.send(Some(Window { from, until }))
        .context("every client has ended")?;
    let usage = watch_until(job, from, until)?;
    let mut values: Vec<Option<T>> = (0..count).map(|_| None).collect();
    for _ in 0..count {
        let (place, value) = dones
            .recv_timeout(PREPARATION)
            .context("the clients did not end in time")??;
        values[place] = Some(value);
    }
    Ok((values.into_iter().flatten().collect(), usage))
}

fn watch_until(job: &Job, from: Instant, until: Instant) -> Result<Usage> {
    let sleep_until = |at: Instant| {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
    };
    let cpu = || -> Result<(f64, f64)> {
        let servers: Result<f64> = job.pids.iter().map(|pid| machine::cpu_secs(*pid)).sum();
        Ok((servers?, machine::cpu_secs(std::process::id())?))
    };
    let largest = |of: fn(u32) -> Result<u64>| -> Result<u64> {
        let all: Result<Vec<u64>> = job.pids.iter().map(|pid| of(*pid)).collect();
        Ok(all?.into_iter().max().unwrap_or(0))
    };
    sleep_until(from);
    let (begin, before) = (Instant::now(), cpu()?);
    let mut peak_anon = 0;
    while Instant::now() < until {
        peak_anon = peak_anon.max(largest(machine::rss_anon)?);
        sleep_until(until.min(Instant::now() + EVERY));
    }
    let (secs, after) = (begin.elapsed().as_secs_f64(), cpu()?);
    Ok(Usage {
        secs,
        servers_cpu: after.0 - before.0,
        client_cpu: after.1 - before.1,
        peak_rss: largest(machine::rss_peak)?,
        peak_anon,
    })
}
