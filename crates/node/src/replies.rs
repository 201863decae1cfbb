//! What became of a command, in the client's words.

use paxlog_log::{Cursor, Description, LastReceipt, Outcome, Receipt, Refusal, State};
use paxlog_wire::client::{
    self, CommandOutcome, Durability, LastOutcome, LogConfig, LogDescription, TailInfo,
};
use paxlog_wire::{Code, WireError};

/// The reply to an outcome. `state` is the state right after the command, `durability` where the replicas are known
/// to have it synced.
///
/// # Errors
/// The refusal, as clients get it.
pub fn reply(
    outcome: &Outcome,
    durability: Durability,
    state: &State,
) -> Result<CommandOutcome, WireError> {
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
        Outcome::Applied { receipt, duplicate } => {
            Ok(applied(receipt, duplicate, durability, state))
        }
        Outcome::Refused { why, version } => Err(refused(&why).with_version(version)),
    }
}

fn applied(
    receipt: Receipt,
    duplicate: bool,
    durability: Durability,
    state: &State,
) -> CommandOutcome {
    match receipt {
        Receipt::Created {
            log,
            version,
            existed,
        } => {
            let now = state.describe(log);
            CommandOutcome::LogOpened {
                log: log.0,
                version,
                existed,
                tail: now.as_ref().map_or(0, |now| now.tail.0),
                sealed: now.is_some_and(|now| now.sealed),
            }
        }
        Receipt::Appended {
            log,
            start,
            records,
            timestamp,
            version,
        } => {
            let end = start.0 + u64::from(records);
            CommandOutcome::Appended(client::Receipt {
                log: log.0,
                start: start.0,
                end,
                timestamp: timestamp.0,
                tail: end,
                version,
                durability,
                duplicate,
            })
        }
        Receipt::Trimmed {
            trim_point,
            tail,
            version,
            ..
        } => CommandOutcome::Trimmed {
            trim_point: trim_point.0,
            tail: tail.0,
            version,
            duplicate,
        },
        Receipt::Sealed { tail, version, .. } => CommandOutcome::Sealed {
            tail: tail.0,
            version,
            duplicate,
        },
        Receipt::Altered { version, .. } => CommandOutcome::LogAltered { version, duplicate },
        Receipt::Deleted { version, .. } => CommandOutcome::LogDeleted { version, duplicate },
        Receipt::FenceSet { tail, version, .. } => CommandOutcome::FenceSet {
            tail: tail.0,
            version,
            duplicate,
        },
        Receipt::CursorSet { at, version, .. } => CommandOutcome::CursorSet {
            at: at.0,
            version,
            duplicate,
        },
        Receipt::CursorDeleted { version, .. } => {
            CommandOutcome::CursorDeleted { version, duplicate }
        }
    }
}

/// A refusal at apply as an error.
pub(crate) fn refused(why: &Refusal) -> WireError {
    let plain = |code| WireError::new(code, why.to_string());
    match *why {
        // The epoch tells the two apart: a producer that was opened again elsewhere is over, one that lacks the
        // log's fence is not.
        Refusal::Fenced { epoch } => {
            let mut error = plain(Code::Fenced);
            error.found = Some(epoch.into());
            error
        }
        Refusal::OtherFence => plain(Code::Fenced),
        Refusal::DedupExpired => plain(Code::DedupExpired),
        Refusal::SequenceGap { expected } => {
            let mut error = plain(Code::SequenceGap);
            error.found = Some(expected);
            error
        }
        Refusal::Sealed { tail } => plain(Code::Sealed).with_tail(tail.0),
        Refusal::NotFound | Refusal::NoCursor => plain(Code::NotFound),
        Refusal::CursorMismatch { at } => {
            let mut error = plain(Code::CursorMismatch);
            error.found = at.map(|at| at.0);
            error
        }
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
        Receipt::Altered { log, version } => LastOutcome::Altered {
            log: log.0,
            version,
        },
        Receipt::Deleted { log, version } => LastOutcome::Deleted {
            log: log.0,
            version,
        },
        Receipt::FenceSet { log, tail, version } => LastOutcome::FenceSet {
            log: log.0,
            tail: tail.0,
            version,
        },
        Receipt::CursorSet { log, at, version } => LastOutcome::CursorSet {
            log: log.0,
            at: at.0,
            version,
        },
        Receipt::CursorDeleted { log, version } => LastOutcome::CursorDeleted {
            log: log.0,
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
pub(crate) fn tail_info(log: &Description, stale_ms: Option<u32>) -> TailInfo {
    TailInfo {
        log: log.log.0,
        offset: log.tail.0,
        timestamp: log.last_timestamp.map_or(0, |timestamp| timestamp.0),
        trim_point: log.trim_point.0,
        sealed: log.sealed,
        version: log.version,
        fence: log.fence.as_ref().map(|fence| fence.as_str().to_owned()),
        stale_ms,
    }
}

/// A log, described; `bytes_kept` are those of its batches here.
pub(crate) fn description(
    log: &Description,
    bytes_kept: u64,
    stale_ms: Option<u32>,
) -> LogDescription {
    LogDescription {
        name: log.name.as_str().to_owned(),
        tail: tail_info(log, stale_ms),
        created: log.created.0,
        bytes_appended: log.bytes_appended,
        bytes_kept,
        config: LogConfig {
            retention_age_ns: log.config.retention_age_ns,
            retention_bytes: log.config.retention_bytes,
            batch_bytes_max: log.config.batch_bytes_max,
            append_bytes_per_s: log.config.append_bytes_per_s,
        },
        cursors: log.cursors,
        producers: log.producers,
    }
}

/// A cursor.
pub(crate) fn cursor(name: &str, cursor: &Cursor) -> client::Cursor {
    client::Cursor {
        name: name.to_owned(),
        at: cursor.at.0,
        set: cursor.set.0,
    }
}
