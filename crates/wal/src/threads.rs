//! The log's own threads.
//!
//! * `log-a`, `log-b`: one loop, two threads. Whoever finds something written and not synced takes
//!   the sync; else whoever finds something queued takes the write. So a lone append is written and
//!   synced by one thread without a hand-off, and under load one thread copies while the other
//!   syncs.
//! * `prep`: keeps the next segment activated and the spares allocated.
//! * `watch`: covers the last frames with a MARK when the log is idle, and notices a disk that hangs.
//! * `canary` (optional): writes and syncs a small file while the log is idle.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::lsn::Lsn;
use crate::shared::{Shared, failed};

/// How often a failed allocation is tried again.
const PREPARE_AGAIN: Duration = Duration::from_millis(100);

/// Starts them.
pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    let mut spawn = |name: &str, run: fn(&Shared)| {
        let shared = shared.clone();
        let name = format!("{}{name}", shared.options.name);
        let thread = Builder::new().name(name).spawn(move || run(&shared))?;
        threads.push(thread);
        io::Result::Ok(())
    };
    let all = spawn("log-a", log)
        .and_then(|()| spawn("log-b", log))
        .and_then(|()| spawn("prep", prep))
        .and_then(|()| spawn("watch", watch))
        .and_then(|()| {
            if shared.options.canary_every.is_some() {
                spawn("canary", canary)
            } else {
                Ok(())
            }
        });
    if let Err(e) = all {
        stop(shared);
        for thread in threads {
            let _ = thread.join();
        }
        return Err(e);
    }
    Ok(threads)
}

/// Asks all of them to end.
pub(crate) fn stop(shared: &Shared) {
    shared.inner().stop = true;
    shared.work.notify_all();
    shared.prepare.notify_all();
    shared.stopping.notify_all();
}

fn log(shared: &Shared) {
    let mut inner = shared.inner();
    while !inner.stop {
        if let Some(op) = inner.core.next_sync() {
            // Somebody else goes on copying meanwhile.
            shared.wake(inner);
            shared.run_sync(op);
            inner = shared.inner();
        } else if let Some(op) = inner.core.next_write() {
            drop(inner);
            shared.run_write(op);
            inner = shared.inner();
        } else {
            inner.idle += 1;
            inner = shared
                .work
                .wait(inner)
                .expect("a thread of the log panicked");
            inner.idle -= 1;
            inner.waking = false;
        }
    }
}

fn prep(shared: &Shared) {
    loop {
        let again = match shared.prepare_step() {
            Ok(true) => continue,
            Ok(false) => None,
            Err(_) => Some(PREPARE_AGAIN),
        };
        let inner = shared.inner();
        if inner.stop {
            return;
        }
        if again.is_none() && inner.core.next_activation().is_some() {
            continue;
        }
        let wait = again.unwrap_or(Duration::from_secs(3600));
        let (inner, _) = shared
            .prepare
            .wait_timeout(inner, wait)
            .expect("a thread of the log panicked");
        if inner.stop {
            return;
        }
    }
}

fn watch(shared: &Shared) {
    let options = &shared.options;
    let tick = (options.mark_after / 2)
        .min(options.sync_stalled / 4)
        .clamp(Duration::from_millis(1), Duration::from_millis(250));
    let mut seen = (Lsn::ZERO, Instant::now());
    let mut inner = shared.inner();
    while !inner.stop {
        inner = shared
            .stopping
            .wait_timeout(inner, tick)
            .expect("a thread of the log panicked")
            .0;
        let tail = inner.core.tail();
        if tail != seen.0 {
            seen = (tail, Instant::now());
        } else if inner.core.is_idle()
            && seen.1.elapsed() >= options.mark_after
            && inner.core.mark()
        {
            shared.appended(&mut inner);
            shared.wake_held(&mut inner);
        }
        let running = shared.running();
        drop(inner);
        stalls(shared, running);
        inner = shared.inner();
    }
}

fn stalls(shared: &Shared, running: Option<Duration>) {
    let options = &shared.options;
    let stalled = running.is_some_and(|r| r >= options.sync_stalled);
    if shared.stalled.swap(stalled, Ordering::AcqRel) != stalled {
        if let Some(running) = running.filter(|_| stalled) {
            tracing::warn!(ms = running.as_millis() as u64, "the disk has not answered");
            options.observer.stalled(running);
        }
        (options.notify)();
    }
    if let (Some(running), Some(limit)) = (running, options.sync_abort)
        && running >= limit
    {
        tracing::error!(
            ms = running.as_millis() as u64,
            "the disk does not answer; aborting"
        );
        eprintln!("paxlog-wal: a write or sync has been running for {running:?}; aborting");
        std::process::abort();
    }
}

fn canary(shared: &Shared) {
    let every = shared
        .options
        .canary_every
        .expect("the thread runs only then");
    let mut seen = Lsn::ZERO;
    let mut file = None;
    loop {
        {
            let inner = shared.inner();
            let (inner, _) = shared
                .stopping
                .wait_timeout(inner, every)
                .expect("a thread of the log panicked");
            if inner.stop || inner.core.failed().is_some() {
                return;
            }
            // Only when nothing else asked the disk since the last time.
            let tail = inner.core.tail();
            if tail != seen || !inner.core.is_idle() {
                seen = tail;
                continue;
            }
        }
        let sung = shared.sing(&mut file);
        if let Err(e) = sung {
            let failure = failed("the canary", &e);
            shared.inner().core.fail(failure.clone());
            shared.has_failed(&failure);
            return;
        }
    }
}

impl Shared {
    fn sing(&self, file: &mut Option<Arc<dyn crate::disk::DiskFile>>) -> io::Result<()> {
        let file = match file {
            Some(file) => file,
            None => file.insert(self.disk.create("canary", 4096)?),
        };
        self.watched(|| {
            file.write_at(0, &[IoSlice::new(&self.disk.wall_ns().to_le_bytes())])?;
            file.sync()
        })
    }
}
