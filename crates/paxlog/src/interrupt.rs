//! Ctrl-C and SIGTERM.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Becomes true at the first signal. A second one ends the process at once, with 130.
#[derive(Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Takes the signals over; call it within a runtime.
    pub(crate) fn watch() -> Interrupt {
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            let (Ok(mut int), Ok(mut term)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) else {
                // Without handlers the signals keep their default: they end the process.
                return;
            };
            for _ in 0..2 {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
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

    /// Whether it came.
    pub(crate) fn hit(&self) -> bool {
        *self.0.borrow()
    }
}
