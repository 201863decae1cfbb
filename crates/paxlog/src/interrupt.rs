//! Ctrl-C, SIGTERM, and a terminal that is gone.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::failure::Failure;

/// Becomes true at the first signal. A second one ends the process at once, with 130.
#[derive(Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Takes the signals over; call it within a runtime.
    pub(crate) fn watch() -> Interrupt {
        let (sender, receiver) = watch::channel(false);
        // Here and not in the task, which may not run before what is to be removed has been made.
        let (Ok(mut int), Ok(mut term)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            // Without handlers the signals keep their default: they end the process.
            return Interrupt(receiver);
        };
        let mut hangup = hangup();
        tokio::spawn(async move {
            for _ in 0..2 {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                    () = hung_up(&mut hangup) => {}
                }
                if *sender.borrow() {
                    std::process::exit(130);
                }
                sender.send_replace(true);
            }
        });
        Interrupt(receiver)
    }

    /// Waits for the signal.
    pub(crate) async fn wait(&self) {
        let mut receiver = self.0.clone();
        // Without a sender no signal was taken over, so none will come this way.
        if receiver.wait_for(|hit| *hit).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What `work` gives, unless the signal comes first.
    ///
    /// # Errors
    /// It came: the work was dropped.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            done = work => Ok(done),
            () = self.wait() => Err(Failure::interrupted()),
        }
    }

    /// Whether it came.
    pub(crate) fn hit(&self) -> bool {
        *self.0.borrow()
    }
}

/// The signal of a terminal that was closed; without it what was made for a while would be left behind. None where it is
/// ignored, as under `nohup`, or where that cannot be told.
fn hangup() -> Option<Signal> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    match ignores_hangup(&status) {
        Some(false) => signal(SignalKind::hangup()).ok(),
        _ => None,
    }
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether a process whose `/proc/PID/status` this is ignores SIGHUP, signal 1: the lowest bit of a mask in hex.
fn ignores_hangup(status: &str) -> Option<bool> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn under_nohup_a_hangup_is_ignored() {
        let status = |mask: &str| format!("SigBlk:\t0000000000000000\nSigIgn:\t{mask}\n");
        assert_eq!(ignores_hangup(&status("0000000000000001")), Some(true));
        assert_eq!(ignores_hangup(&status("0000000000001000")), Some(false));
        assert_eq!(ignores_hangup("State:\tR\n"), None);
    }
}
