//! What will happen: events by time, those of one time in the order in which they were scheduled.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The one queue of a run.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    /// By (time, number): where the event is.
    order: BinaryHeap<Reverse<(u64, u64, usize)>>,
    /// Events stay where they are while their keys are sorted: they are large.
    events: Vec<Option<E>>,
    free: Vec<usize>,
    number: u64,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Queue<E> {
        Queue {
            order: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            number: 0,
        }
    }

    pub(crate) fn push(&mut self, at: u64, event: E) {
        self.number += 1;
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place] = Some(event);
                place
            }
            None => {
                self.events.push(Some(event));
                self.events.len() - 1
            }
        };
        self.order.push(Reverse((at, self.number, place)));
    }

    /// The next one, and when it is.
    pub(crate) fn pop(&mut self) -> Option<(u64, E)> {
        let Reverse((at, _, place)) = self.order.pop()?;
        self.free.push(place);
        let event = self.events[place].take();
        Some((at, event.expect("each place is taken once")))
    }

    pub(crate) fn next_at(&self) -> Option<u64> {
        self.order.peek().map(|Reverse((at, ..))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_time_then_as_they_were_pushed() {
        let mut queue = Queue::new();
        for (at, event) in [(5, "e"), (3, "a"), (3, "b"), (9, "f"), (3, "c")] {
            queue.push(at, event);
        }
        assert_eq!(queue.pop(), Some((3, "a")));
        queue.push(3, "d");
        let rest: Vec<&str> = std::iter::from_fn(|| queue.pop()).map(|(_, e)| e).collect();
        assert_eq!(rest, ["b", "c", "d", "e", "f"]);
        assert_eq!(queue.next_at(), None);
    }
}
