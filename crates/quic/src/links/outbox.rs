//! What waits to be written to one stream.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use paxlog_paxos::{Class, Envelope};
use paxlog_wire::FrameEncoder;
use tokio::sync::Notify;

/// Encoded frames for one stream, filled by the owner, emptied by the stream's writer.
#[derive(Debug)]
pub(super) struct Outbox {
    bytes_max: usize,
    state: Mutex<State>,
    /// Something was pushed since the last flush.
    touched: AtomicBool,
    flushed: Notify,
    overflowed: Notify,
}

#[derive(Debug, Default)]
struct State {
    encoder: FrameEncoder,
    /// A writer is there, and nothing was thrown away yet.
    open: bool,
    /// Something was thrown away since it was opened.
    overflowed: bool,
}

impl Outbox {
    pub(super) fn new(class: Class) -> Self {
        let bytes_max = match class {
            // Several Promises of full length.
            Class::Control => 4 << 20,
            // More than the core leaves unchosen (16 MiB of values).
            Class::Accepts | Class::CatchUp => 24 << 20,
        };
        Self {
            bytes_max,
            state: Mutex::default(),
            touched: AtomicBool::new(false),
            flushed: Notify::new(),
            overflowed: Notify::new(),
        }
    }

    /// Adds a message; false if it is lost.
    pub(super) fn push(&self, envelope: &Envelope) -> bool {
        let mut state = self.state();
        if !state.open {
            return false;
        }
        if state.encoder.bytes() >= self.bytes_max {
            // Dropping one message would be no better: the owner resumes either way.
            *state = State {
                overflowed: true,
                ..State::default()
            };
            self.overflowed.notify_one();
            return false;
        }
        if let Err(error) = state.encoder.push_envelope(envelope) {
            tracing::error!("a message between replicas cannot be sent: {error}");
            return false;
        }
        self.touched.store(true, Ordering::Relaxed);
        true
    }

    /// Wakes the writer, if there is something for it.
    pub(super) fn flush(&self) {
        if self.touched.load(Ordering::Relaxed) && self.touched.swap(false, Ordering::Relaxed) {
            self.flushed.notify_one();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.state().encoder.bytes()
    }

    /// Begins with nothing in it, for a new stream.
    pub(super) fn open(&self) {
        *self.state() = State {
            open: true,
            ..State::default()
        };
    }

    /// Throws away what is in it, and takes nothing more.
    pub(super) fn close(&self) {
        *self.state() = State::default();
    }

    /// Waits for a flush, and takes everything as chunks. Cancel-safe.
    pub(super) async fn take(&self, chunks: &mut Vec<Bytes>) {
        loop {
            self.state().encoder.take_into(chunks);
            if !chunks.is_empty() {
                return;
            }
            self.flushed.notified().await;
        }
    }

    /// Waits until messages had to be thrown away.
    pub(super) async fn overflow(&self) {
        while !self.state().overflowed {
            self.overflowed.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
