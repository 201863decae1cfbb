//! What other threads tell the core.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use paxlog_node::Event;
use tokio::sync::Notify;

/// Events from other threads, and the core's one bell.
///
/// Tasks on the core's own thread ring it too: it wakes the turn that drains
/// everything.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    events: Mutex<Vec<Event>>,
    /// The write-ahead log became durable further, or its health changed.
    wal: AtomicBool,
    bell: Notify,
}

impl Mailbox {
    /// Adds an event and wakes the core.
    pub(crate) fn post(&self, event: Event) {
        self.events
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(event);
        self.bell.notify_one();
    }

    /// The write-ahead log has news.
    pub(crate) fn wal_changed(&self) {
        self.wal.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    /// Wakes the core for what lies elsewhere.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Moves what came to `to`; says whether the write-ahead log has news.
    pub(crate) fn take(&self, to: &mut Vec<Event>) -> bool {
        to.append(
            &mut self
                .events
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        self.wal.swap(false, Ordering::Acquire)
    }

    /// Waits for the bell; one ring before counts.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }
}
