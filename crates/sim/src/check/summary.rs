//! What a history shows, and how much of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::subject::{answer, is_unknown};
use crate::history::{Consistency, History, Kind, Operation, Outcome};

/// What a history shows, and how much of it: a run too quiet to show anything shows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Operations by kind, and by how they ended.
    pub operations: BTreeMap<&'static str, Ends>,
    /// Logs.
    pub logs: u64,
    /// Records in all logs at last, trimmed ones included.
    pub records: u64,
    /// Records that appends were acknowledged for.
    pub records_acknowledged: u64,
    /// Records that readers were given.
    pub records_read: u64,
    /// Of the appends with an unknown outcome, those that are there.
    pub unknown_there: u64,
    /// Answers that repeated an earlier one.
    pub duplicates: u64,
    /// What this history cannot show, in words.
    pub vacuous: Vec<String>,
    /// How many steps judging it took: comparisons, searches, turns of loops.
    pub steps: u64,
}

/// How operations ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ends {
    /// They were answered.
    pub ok: u64,
    /// Nothing was applied, or the question was refused.
    pub not_applied: u64,
    /// Nobody knows.
    pub unknown: u64,
}

impl Summary {
    /// How operations of that kind ended: `append`, `trim`, `seal`, `create`, `fence`, `set_cursor`,
    /// `delete_cursor`, `cursor`, `cursor_local`, `alter`, `delete`, `check_tail`, `check_tail_local`, `read`, `read_local`, `tail`.
    pub fn ends(&self, kind: &str) -> Ends {
        self.operations.get(kind).copied().unwrap_or_default()
    }

    pub(super) fn of(history: &History) -> Summary {
        let mut summary = Summary {
            logs: history.settled.len() as u64,
            ..Summary::default()
        };
        for operation in &history.operations {
            summary.count(operation);
        }
        summary.records = history
            .settled
            .iter()
            .fold(0, |sum: u64, settled| sum.saturating_add(settled.tail));
        summary.vacuous = summary.missing();
        summary
    }

    fn count(&mut self, operation: &Operation) {
        let ends = self.operations.entry(name(&operation.kind)).or_default();
        match answer(operation) {
            Some(_) => ends.ok += 1,
            None if is_unknown(operation) => ends.unknown += 1,
            None => ends.not_applied += 1,
        }
        if let (Kind::Append { records, .. }, Some(_)) = (&operation.kind, answer(operation)) {
            self.records_acknowledged += records.len() as u64;
        }
        self.records_read += super::contents::given(operation).len() as u64;
        self.duplicates += operation
            .again
            .iter()
            .filter(|(_, outcome)| matches!(outcome, Outcome::Ok(_)))
            .count() as u64;
    }

    fn missing(&self) -> Vec<String> {
        let ok = |kinds: &[&str]| kinds.iter().map(|kind| self.ends(kind).ok).sum::<u64>();
        let mut missing = Vec::new();
        for (kinds, says) in [
            (
                &["check_tail", "read"][..],
                "nothing linearizable was observed: a stale answer would not show",
            ),
            (
                &["read_local", "check_tail_local", "tail"],
                "no replica was read by itself: an early or wrong read would not show",
            ),
            (&["trim"], "nothing was trimmed"),
        ] {
            if ok(kinds) == 0 {
                missing.push(says.to_owned());
            }
        }
        if self.ends("append").unknown == 0 {
            missing.push("no append was left unknown".to_owned());
        }
        missing
    }
}

/// The name under which a kind is counted.
fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Append { .. } => "append",
        Kind::Trim { .. } => "trim",
        Kind::Seal => "seal",
        Kind::Fence { .. } => "fence",
        Kind::SetCursor { .. } => "set_cursor",
        Kind::DeleteCursor { .. } => "delete_cursor",
        Kind::Cursor {
            consistency: Consistency::Linearizable,
            ..
        } => "cursor",
        Kind::Cursor { .. } => "cursor_local",
        Kind::Alter { .. } => "alter",
        Kind::Delete => "delete",
        Kind::Create { .. } => "create",
        Kind::CheckTail {
            consistency: Consistency::Linearizable,
            ..
        } => "check_tail",
        Kind::CheckTail { .. } => "check_tail_local",
        Kind::Read {
            consistency: Consistency::Linearizable,
            ..
        } => "read",
        Kind::Read { .. } => "read_local",
        Kind::Tail { .. } => "tail",
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<18} {:>10} {:>12} {:>10}",
            "operations", "ok", "not applied", "unknown"
        )?;
        for (kind, ends) in &self.operations {
            writeln!(
                f,
                "  {kind:<16} {:>10} {:>12} {:>10}",
                ends.ok, ends.not_applied, ends.unknown
            )?;
        }
        write!(
            f,
            "{} records in {} {}; {} acknowledged, {} read; {} appends of unknown outcome are there; {} answers came again",
            self.records,
            self.logs,
            if self.logs == 1 { "log" } else { "logs" },
            self.records_acknowledged,
            self.records_read,
            self.unknown_there,
            self.duplicates
        )?;
        for missing in &self.vacuous {
            write!(f, "\nnot shown: {missing}")?;
        }
        Ok(())
    }
}
