//! One log as the state keeps it, and the table of all of them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::command::Body;
use crate::describe::{Description, Listing};
use crate::ids::{LogId, Offset, Timestamp};
use crate::limits::{BATCH_BYTES_MAX, LOGS_MAX, Limits};
use crate::names::LogName;
use crate::outcome::Receipt;
use crate::refusal::{Invalidity, Refusal};

/// One log. `trim_point <= tail`, and neither goes back.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) name: LogName,
    pub(crate) trim_point: Offset,
    pub(crate) tail: Offset,
    pub(crate) sealed: bool,
    pub(crate) version: u64,
    pub(crate) created: Timestamp,
    pub(crate) last_timestamp: Option<Timestamp>,
    pub(crate) bytes_appended: u64,
    /// How many known producers have this as their last log. Derived: not in
    /// the checkpoint.
    pub(crate) producers: u32,
}

/// All logs of the group.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    /// The id the next log gets; every id given out is below it.
    pub(crate) next: u64,
    pub(crate) by_id: BTreeMap<LogId, Arc<Log>>,
    pub(crate) by_name: BTreeMap<LogName, LogId>,
}

/// Why a log refused, and the version it had then.
pub(crate) type LogRefusal = (Refusal, Option<u64>);

impl Logs {
    pub(crate) fn new() -> Logs {
        Logs {
            next: 1,
            by_id: BTreeMap::new(),
            by_name: BTreeMap::new(),
        }
    }

    /// Does what `body` says, or says why not; the state is as before then.
    pub(crate) fn apply(
        &mut self,
        body: &Body,
        timestamp: Timestamp,
    ) -> Result<Receipt, LogRefusal> {
        match *body {
            Body::OpenProducer { .. } => Err((Refusal::Invalid(Invalidity::Numbered), None)),
            Body::CreateLog {
                ref name,
                if_absent,
            } => self.create(name, if_absent, timestamp),
            Body::Append {
                log,
                records,
                bytes,
            } => self.append(log, records, bytes, timestamp),
            Body::Trim { log, to } => self.trim(log, to),
            Body::Seal { log } => {
                let kept = self.existing(log)?;
                kept.sealed = true;
                kept.version += 1;
                Ok(Receipt::Sealed {
                    log,
                    tail: kept.tail,
                    version: kept.version,
                })
            }
        }
    }

    fn create(
        &mut self,
        name: &LogName,
        if_absent: bool,
        timestamp: Timestamp,
    ) -> Result<Receipt, LogRefusal> {
        if let Some(&log) = self.by_name.get(name) {
            let version = self.by_id[&log].version;
            return match if_absent {
                true => Ok(Receipt::Created {
                    log,
                    version,
                    existed: true,
                }),
                false => Err((Refusal::AlreadyExists { log }, Some(version))),
            };
        }
        if self.by_id.len() >= LOGS_MAX {
            return Err((
                Refusal::TooLarge {
                    limit: LOGS_MAX as u64,
                },
                None,
            ));
        }
        let log = LogId(self.next);
        self.next += 1;
        self.by_name.insert(name.clone(), log);
        let fresh = Log {
            name: name.clone(),
            trim_point: Offset(0),
            tail: Offset(0),
            sealed: false,
            version: 1,
            created: timestamp,
            last_timestamp: None,
            bytes_appended: 0,
            producers: 0,
        };
        self.by_id.insert(log, Arc::new(fresh));
        Ok(Receipt::Created {
            log,
            version: 1,
            existed: false,
        })
    }

    fn append(
        &mut self,
        log: LogId,
        records: u32,
        bytes: u32,
        timestamp: Timestamp,
    ) -> Result<Receipt, LogRefusal> {
        let kept = self.existing(log)?;
        let version = Some(kept.version);
        if kept.sealed {
            return Err((Refusal::Sealed { tail: kept.tail }, version));
        }
        if records == 0 {
            return Err((Refusal::Invalid(Invalidity::EmptyBatch), version));
        }
        if bytes > BATCH_BYTES_MAX {
            return Err((
                Refusal::TooLarge {
                    limit: BATCH_BYTES_MAX.into(),
                },
                version,
            ));
        }
        let start = kept.tail;
        let Some(end) = start.0.checked_add(records.into()) else {
            return Err((Refusal::TooLarge { limit: u64::MAX }, version));
        };
        kept.tail = Offset(end);
        kept.last_timestamp = Some(timestamp);
        kept.bytes_appended = kept.bytes_appended.saturating_add(bytes.into());
        kept.version += 1;
        Ok(Receipt::Appended {
            log,
            start,
            records,
            timestamp,
            version: kept.version,
        })
    }

    fn trim(&mut self, log: LogId, to: Offset) -> Result<Receipt, LogRefusal> {
        let kept = self.existing(log)?;
        if to > kept.tail {
            return Err((
                Refusal::OffsetOutOfRange { tail: kept.tail },
                Some(kept.version),
            ));
        }
        kept.trim_point = kept.trim_point.max(to);
        kept.version += 1;
        Ok(Receipt::Trimmed {
            log,
            trim_point: kept.trim_point,
            tail: kept.tail,
            version: kept.version,
        })
    }

    fn existing(&mut self, log: LogId) -> Result<&mut Log, LogRefusal> {
        let given_out = log.0 != 0 && log.0 < self.next;
        match self.by_id.get_mut(&log) {
            Some(kept) => Ok(Arc::make_mut(kept)),
            None if given_out => Err((Refusal::LogDeleted, None)),
            None => Err((Refusal::NotFound, None)),
        }
    }

    /// A producer moved from one log to another, or was forgotten.
    pub(crate) fn move_producer(&mut self, from: Option<LogId>, to: Option<LogId>) {
        if from == to {
            return;
        }
        if let Some(kept) = from.and_then(|log| self.by_id.get_mut(&log)) {
            Arc::make_mut(kept).producers -= 1;
        }
        if let Some(kept) = to.and_then(|log| self.by_id.get_mut(&log)) {
            Arc::make_mut(kept).producers += 1;
        }
    }

    pub(crate) fn describe(&self, log: LogId) -> Option<Description> {
        let kept = self.by_id.get(&log)?;
        Some(Description {
            log,
            name: kept.name.clone(),
            trim_point: kept.trim_point,
            tail: kept.tail,
            sealed: kept.sealed,
            version: kept.version,
            created: kept.created,
            last_timestamp: kept.last_timestamp,
            bytes_appended: kept.bytes_appended,
            producers: kept.producers,
            limits: Limits::DEFAULT,
        })
    }

    pub(crate) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Listing {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut matching = self
            .by_name
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.as_str().starts_with(prefix));
        let logs = matching
            .by_ref()
            .take(limit)
            .filter_map(|(_, &log)| self.describe(log))
            .collect();
        Listing {
            logs,
            more: matching.next().is_some(),
        }
    }
}
