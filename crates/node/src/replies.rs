//! What became of a command, in the client's words.

use paxlog_log::{Description, LastReceipt, Outcome, Receipt, Refusal, State};
use paxlog_wire::client::{
    self, CommandOutcome, Durability, LastOutcome, LogDescription, TailInfo,
};
use paxlog_wire::{Code, WireError};

/// The reply to an outcome. `state` is the state right after the command.
pub(crate) fn reply(outcome: &Outcome, state: &State) -> Result<CommandOutcome, WireError> {
    match *outcome {
        Outcome::ProducerOpened {
            producer,
            epoch,
            ref last,
            ..
        } => Ok(CommandOutcome::ProducerOpened {
            producer: producer.0,
            epoch,
            last: last.as_ref().map(last_receipt),
        }),
        Outcome::Created {
            log,
            version,
            existed,
            ..
        } => {
            let now = state.describe(log);
            Ok(CommandOutcome::LogOpened {
                log: log.0,
                version,
                existed,
                tail: now.as_ref().map_or(0, |now| now.tail.0),
                sealed: now.is_some_and(|now| now.sealed),
            })
        }
        Outcome::Appended {
            log,
            start,
            end,
            timestamp,
            tail,
            version,
            duplicate,
        } => Ok(CommandOutcome::Appended(client::Receipt {
            log: log.0,
            start: start.0,
            end: end.0,
            timestamp: timestamp.0,
            tail: tail.0,
            version,
            durability: Durability::MAJORITY,
            duplicate,
        })),
        Outcome::Trimmed {
            trim_point,
            tail,
            version,
            duplicate,
            ..
        } => Ok(CommandOutcome::Trimmed {
            trim_point: trim_point.0,
            tail: tail.0,
            version,
            duplicate,
        }),
        Outcome::Sealed {
            tail,
            version,
            duplicate,
            ..
        } => Ok(CommandOutcome::Sealed {
            tail: tail.0,
            version,
            duplicate,
        }),
        Outcome::Refused { why, version } => Err(refused(&why).with_version(version)),
    }
}

/// A refusal at apply as an error.
pub(crate) fn refused(why: &Refusal) -> WireError {
    let plain = |code| WireError::new(code, why.to_string());
    match *why {
        Refusal::Fenced { .. } => plain(Code::Fenced),
        Refusal::DedupExpired => plain(Code::DedupExpired),
        Refusal::SequenceGap { expected } => {
            let mut error = plain(Code::SequenceGap);
            error.found = Some(expected);
            error
        }
        Refusal::Sealed { tail } => plain(Code::Sealed).with_tail(tail.0),
        Refusal::NotFound => plain(Code::NotFound),
        Refusal::AlreadyExists { log } => {
            let mut error = plain(Code::AlreadyExists);
            error.log = Some(log.0);
            error
        }
        Refusal::LogDeleted => plain(Code::LogDeleted),
        Refusal::TooLarge { .. } => plain(Code::TooLarge),
        Refusal::Invalid(_) => plain(Code::Invalid),
        Refusal::TailMismatch { tail } => plain(Code::TailMismatch).with_tail(tail.0),
        Refusal::OffsetOutOfRange { tail } => plain(Code::OffsetOutOfRange).with_tail(tail.0),
    }
}

/// The newest receipt of older epochs.
fn last_receipt(last: &LastReceipt) -> client::LastReceipt {
    let what = match last.receipt {
        Receipt::Appended {
            log,
            start,
            records,
            timestamp,
            version,
        } => LastOutcome::Appended {
            log: log.0,
            start: start.0,
            end: start.0 + u64::from(records),
            timestamp: timestamp.0,
            version,
        },
        Receipt::Created {
            log,
            version,
            existed,
        } => LastOutcome::Created {
            log: log.0,
            version,
            existed,
        },
        Receipt::Trimmed {
            log,
            trim_point,
            tail,
            version,
        } => LastOutcome::Trimmed {
            log: log.0,
            trim_point: trim_point.0,
            tail: tail.0,
            version,
        },
        Receipt::Sealed { log, tail, version } => LastOutcome::Sealed {
            log: log.0,
            tail: tail.0,
            version,
        },
    };
    client::LastReceipt {
        epoch: last.epoch,
        sequence: last.sequence,
        what,
    }
}

/// A log's bounds.
pub(crate) fn tail_info(log: &Description) -> TailInfo {
    TailInfo {
        log: log.log.0,
        offset: log.tail.0,
        timestamp: log.last_timestamp.map_or(0, |timestamp| timestamp.0),
        trim_point: log.trim_point.0,
        sealed: log.sealed,
        version: log.version,
    }
}

/// A log, described.
pub(crate) fn description(log: &Description) -> LogDescription {
    LogDescription {
        name: log.name.as_str().to_owned(),
        tail: tail_info(log),
        created: log.created.0,
        bytes_appended: log.bytes_appended,
    }
}
