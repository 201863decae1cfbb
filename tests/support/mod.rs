//! What every theme needs: clusters of processes, commands, HTTP, a load and its judge.

mod cluster;
mod command;
mod direct;
mod example;
pub(crate) mod hostile;
mod http;
pub(crate) mod load;
mod ports;
pub(crate) mod raw;
mod rng;
pub(crate) mod stub;
mod text;
pub(crate) mod trace;

use std::time::{Duration, Instant};

pub(crate) use cluster::{Cluster, Options};
pub(crate) use command::{
    Output, Paxlog, Plumbed, Running, Signal, listens, output_of, paxlog, signal,
};
pub(crate) use direct::{Stored, read_at, starts_at};
pub(crate) use example::example;
pub(crate) use http::{get, status_of};
pub(crate) use ports::Ports;
pub(crate) use rng::{Rng, seed};
pub(crate) use text::real_text;

/// Everything that must happen at last happens within this, on a machine that is busy with other things, or is
/// a failure.
pub(crate) const LIVENESS: Duration = Duration::from_secs(90);

/// For clusters whose leader is talked to by hand: on a busy machine it should not be another one without need.
pub(crate) const PATIENT: &str = "\n[timing]\nheartbeat = \"100ms\"\n";

/// How often something is looked at that tells nobody when it changes.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Says that something is not tested here, where everybody sees it: `eprintln` would be shown of failed tests only.
pub(crate) fn skipped(why: &str) {
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("SKIPPED: {why}\n"));
}

/// Waits until `look` finds something.
///
/// # Panics
/// When it does not within [`LIVENESS`].
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            begin.elapsed() < LIVENESS,
            "{what}: not within {LIVENESS:?}"
        );
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Runs async code on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}
