//! What was asked on the current stream.

use std::collections::VecDeque;

/// A question, and what its answer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Producer {
        nonce: u128,
    },
    Lookup {
        name: String,
    },
    Create {
        name: String,
    },
    /// Anything that changes nothing, of somebody who may not lead.
    Leads,
    Item {
        serial: u64,
    },
}

/// Questions without an answer, by the numbers of their requests: these rise by one, and are mostly answered in order,
/// so a ring does.
#[derive(Debug, Default)]
pub(super) struct Questions {
    ring: VecDeque<Option<Asked>>,
    /// The request at the front of the ring, which is never an empty place.
    first: u64,
}

impl Questions {
    /// Adds a question.
    ///
    /// # Panics
    /// If it is not the request after the last, while any is unanswered.
    pub(super) fn insert(&mut self, request: u64, asked: Asked) {
        if self.ring.is_empty() {
            self.first = request;
        }
        assert_eq!(
            request,
            self.first + self.ring.len() as u64,
            "requests are numbered without a gap"
        );
        self.ring.push_back(Some(asked));
    }

    /// Takes a question out; none if the request was not asked here, or was answered before.
    pub(super) fn remove(&mut self, request: u64) -> Option<Asked> {
        let at = request.checked_sub(self.first)?;
        let asked = self.ring.get_mut(usize::try_from(at).ok()?)?.take();
        self.trim();
        asked
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    pub(super) fn contains(&self, what: &Asked) -> bool {
        self.ring.iter().flatten().any(|asked| asked == what)
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Asked) -> bool) {
        for asked in &mut self.ring {
            asked.take_if(|asked| !keep(asked));
        }
        self.trim();
    }

    pub(super) fn clear(&mut self) {
        self.ring.clear();
    }

    fn trim(&mut self) {
        while self.ring.front().is_some_and(Option::is_none) {
            self.ring.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_answered_once_in_any_order() {
        let mut questions = Questions::default();
        for (request, serial) in [(7, 0), (8, 1), (9, 2), (10, 3)] {
            questions.insert(request, Asked::Item { serial });
        }
        assert_eq!(questions.remove(6), None);
        assert_eq!(questions.remove(11), None);
        assert_eq!(questions.remove(9), Some(Asked::Item { serial: 2 }));
        assert_eq!(questions.remove(9), None);
        assert_eq!(questions.remove(7), Some(Asked::Item { serial: 0 }));
        assert!(questions.contains(&Asked::Item { serial: 1 }));
        questions.retain(|asked| *asked != Asked::Item { serial: 3 });
        assert_eq!(questions.remove(10), None);
        questions.insert(11, Asked::Leads);
        assert_eq!(questions.remove(8), Some(Asked::Item { serial: 1 }));
        assert_eq!(questions.remove(11), Some(Asked::Leads));
        assert!(questions.is_empty());
        questions.insert(30, Asked::Leads);
        questions.clear();
        questions.insert(31, Asked::Leads);
        assert_eq!(questions.remove(30), None);
        assert!(!questions.is_empty());
    }
}
