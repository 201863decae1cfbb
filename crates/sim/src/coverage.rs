//! Which situations were reached, and how often.

use std::collections::BTreeMap;

use paxlog_paxos::Counters;

/// Situations by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    reached: BTreeMap<String, u64>,
}

impl Coverage {
    pub(crate) fn hit(&mut self, situation: &str) {
        self.add(situation, 1);
    }

    pub(crate) fn add(&mut self, situation: &str, times: u64) {
        match self.reached.get_mut(situation) {
            Some(count) => *count += times,
            None => drop(self.reached.insert(situation.to_owned(), times)),
        }
    }

    /// What the machine of Paxos counted over a life.
    pub(crate) fn paxos(&mut self, counters: &Counters) {
        for (name, count) in [
            ("took over with a hole", counters.holes_filled),
            ("took over a value", counters.adopted),
            (
                "decided despite an unknown slot",
                counters.decided_despite_unknown,
            ),
            (
                "waited because of an unknown slot",
                counters.blocked_by_unknown,
            ),
            ("promised an unknown slot", counters.promised_unknown),
            ("fetched a value for a takeover", counters.takeover_fetched),
            ("fetched a chosen value", counters.chosen_fetched),
            ("fed a follower from the log", counters.fed_from_log),
            ("accepts out of order", counters.out_of_order),
            ("a leader stepped down", counters.stepped_down),
            ("prepared again", counters.prepared_again),
        ] {
            if count > 0 {
                self.add(name, count);
            }
        }
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: &Coverage) {
        for (name, count) in &other.reached {
            self.add(name, *count);
        }
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.reached
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
    }
}
