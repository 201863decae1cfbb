//! What the core has for one stream, until its writing task takes it.

use std::cell::RefCell;

use tokio::sync::Notify;

/// A queue with one taker on the same thread. Its bound is the taker's credit,
/// or the room reserved at admission: each item answers something admitted.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    items: RefCell<Vec<T>>,
    bell: Notify,
}

impl<T> Outbox<T> {
    pub(crate) fn new() -> Outbox<T> {
        Outbox {
            items: RefCell::new(Vec::new()),
            bell: Notify::new(),
        }
    }

    /// Adds an item; the taker runs once the core's turn is over, so that what
    /// a turn has for a stream leaves as one write.
    pub(crate) fn put(&self, item: T) {
        let mut items = self.items.borrow_mut();
        if items.is_empty() {
            self.bell.notify_one();
        }
        items.push(item);
    }

    /// Waits until there is something, and takes it all. Cancel-safe.
    pub(crate) async fn take(&self, into: &mut Vec<T>) {
        loop {
            if self.take_ready(into) {
                return;
            }
            self.bell.notified().await;
        }
    }

    /// Takes what is there; says whether there was anything.
    pub(crate) fn take_ready(&self, into: &mut Vec<T>) -> bool {
        let mut items = self.items.borrow_mut();
        into.append(&mut items);
        !into.is_empty()
    }
}
