//! What is judged: the part of a history that is about one log.

use crate::history::{
    History, Kind, LogName, Nanos, OpId, Operation, Outcome, Receipt, Reply, Settled,
};

/// The end of time: what may still happen has not returned.
pub(super) const NEVER: Nanos = Nanos::MAX;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// An operation.
    Op(OpId),
    /// Whoever read the log when everything was over.
    Settled,
}

/// The operations on one log, and what it came to.
pub(super) struct Subject<'h> {
    pub(super) history: &'h History,
    pub(super) log: &'h LogName,
    /// Its id, where others had the same name.
    pub(super) id: Option<u64>,
    /// In the order in which they were begun.
    pub(super) ops: Vec<(OpId, &'h Operation)>,
    pub(super) settled: &'h Settled,
    /// Whether it was deleted: then what it came to is only what is known of it.
    pub(super) gone: bool,
}

impl Subject<'_> {
    /// Beyond this nothing was, for sure.
    pub(super) fn end(&self) -> u64 {
        match self.gone {
            true => u64::MAX,
            false => self.settled.tail,
        }
    }

    /// Whether the cluster may have trimmed the log by itself, so that trims and versions need not be anybody's.
    pub(super) fn retained(&self) -> bool {
        self.ops.iter().any(|(_, operation)| {
            matches!(operation.kind, Kind::Alter { retention: true })
                && !matches!(operation.outcome, Outcome::NotApplied { .. })
        })
    }
}

/// The answer that settled an operation, and when it came: the first that was `Ok`.
pub(super) fn answer(operation: &Operation) -> Option<(Nanos, &Reply)> {
    if let Outcome::Ok(reply) = &operation.outcome {
        return Some((operation.ret.unwrap_or(NEVER), reply));
    }
    operation
        .again
        .iter()
        .find_map(|(at, outcome)| match outcome {
            Outcome::Ok(reply) => Some((*at, reply)),
            Outcome::NotApplied { .. } | Outcome::Unknown { .. } => None,
        })
}

/// The receipt of an append, and when it came.
pub(super) fn receipt(operation: &Operation) -> Option<(Nanos, &Receipt)> {
    match answer(operation)? {
        (at, Reply::Appended(receipt)) => Some((at, receipt)),
        _ => None,
    }
}

/// Whether its receipt is of another log than it was meant for.
pub(super) fn is_foreign(operation: &Operation) -> bool {
    let log = receipt(operation).and_then(|(_, receipt)| receipt.log);
    log.is_some() && operation.id.is_some() && log != operation.id
}

/// Whether nobody knows if it was applied.
pub(super) fn is_unknown(operation: &Operation) -> bool {
    matches!(operation.outcome, Outcome::Unknown { .. }) && answer(operation).is_none()
}
