//! What was found, within bounds.

use std::collections::BTreeMap;

use super::subject::{Subject, Who};
use super::violation::Violation;
use super::witness::Witness;

/// Violations of one rule on one log that are told; the rest are counted.
const TOLD_MAX: u64 = 10;

/// Collects violations of one log.
pub(super) struct Findings<'h> {
    subject: &'h Subject<'h>,
    told: Vec<Violation>,
    by_rule: BTreeMap<&'static str, u64>,
    more: u64,
}

impl<'h> Findings<'h> {
    pub(super) fn new(subject: &'h Subject<'h>) -> Findings<'h> {
        Findings {
            subject,
            told: Vec::new(),
            by_rule: BTreeMap::new(),
            more: 0,
        }
    }

    pub(super) fn log(&self) -> String {
        match self.subject.id {
            Some(id) => format!("{} (id {id})", self.subject.log),
            None => self.subject.log.to_string(),
        }
    }

    pub(super) fn witness(&self, who: Who) -> Box<Witness> {
        Box::new(Witness::new(self.subject, who))
    }

    pub(super) fn add(&mut self, violation: Violation) {
        let count = self.by_rule.entry(violation.rule()).or_default();
        *count += 1;
        match *count <= TOLD_MAX {
            true => self.told.push(violation),
            false => self.more += 1,
        }
    }

    pub(super) fn none(&self) -> bool {
        self.told.is_empty()
    }

    /// What is told, and how many more there are.
    pub(super) fn end(self) -> (Vec<Violation>, u64) {
        (self.told, self.more)
    }
}
