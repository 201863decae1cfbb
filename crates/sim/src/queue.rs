//! What will happen: events by time, those of one time in the order in which they were scheduled.

use std::collections::BTreeMap;

/// The one queue of a run.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    events: BTreeMap<(u64, u64), E>,
    number: u64,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Queue<E> {
        Queue {
            events: BTreeMap::new(),
            number: 0,
        }
    }

    pub(crate) fn push(&mut self, at: u64, event: E) {
        self.number += 1;
        self.events.insert((at, self.number), event);
    }

    /// The next one, and when it is.
    pub(crate) fn pop(&mut self) -> Option<(u64, E)> {
        let ((at, _), event) = self.events.pop_first()?;
        Some((at, event))
    }

    pub(crate) fn next_at(&self) -> Option<u64> {
        self.events.first_key_value().map(|(&(at, _), _)| at)
    }
}
