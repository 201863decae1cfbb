//! One log as the state keeps it, and the table of all of them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::command::{Body, Conditions, Expected};
use crate::config::LogConfig;
use crate::describe::{Cursor, CursorListing, Description, Listing};
use crate::ids::{LogId, Offset, Timestamp};
use crate::limits::{CURSORS_PER_LOG_MAX, LOGS_MAX, Limits};
use crate::names::{CursorName, FenceToken, LogName};
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
    pub(crate) config: LogConfig,
    pub(crate) fence: Option<FenceToken>,
    /// Behind an `Arc` of its own: a clone of the state costs an append no copy of them.
    pub(crate) cursors: Arc<BTreeMap<CursorName, Cursor>>,
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
        match body {
            Body::OpenProducer { .. } | Body::Retain { .. } => {
                Err((Refusal::Invalid(Invalidity::Numbered), None))
            }
            Body::CreateLog {
                name,
                if_absent,
                config,
            } => self.create(name, *if_absent, *config, timestamp),
            Body::Append {
                log,
                records,
                bytes,
                on,
            } => self.append(*log, *records, *bytes, on, timestamp),
            Body::Trim { log, to } => self.trim(*log, *to),
            Body::Seal { log } => {
                let log = *log;
                let kept = self.existing(log)?;
                kept.sealed = true;
                kept.version += 1;
                Ok(Receipt::Sealed {
                    log,
                    tail: kept.tail,
                    version: kept.version,
                })
            }
            Body::AlterLog { log, change } => {
                let log = *log;
                let kept = self.existing(log)?;
                kept.config.change(change);
                kept.version += 1;
                Ok(Receipt::Altered {
                    log,
                    version: kept.version,
                })
            }
            Body::DeleteLog { log } => self.delete(*log),
            Body::Fence { log, token, expect } => self.fence(*log, token.as_ref(), expect),
            Body::SetCursor {
                log,
                name,
                at,
                expect,
            } => self.set_cursor(
                *log,
                name,
                Cursor {
                    at: *at,
                    set: timestamp,
                },
                expect,
            ),
            Body::DeleteCursor { log, name } => self.delete_cursor(*log, name),
        }
    }

    fn create(
        &mut self,
        name: &LogName,
        if_absent: bool,
        config: LogConfig,
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
            config,
            fence: None,
            cursors: Arc::default(),
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
        on: &Conditions,
        timestamp: Timestamp,
    ) -> Result<Receipt, LogRefusal> {
        let kept = self.existing(log)?;
        let version = Some(kept.version);
        if kept.sealed {
            return Err((Refusal::Sealed { tail: kept.tail }, version));
        }
        if on.fence != kept.fence {
            return Err((Refusal::OtherFence, version));
        }
        if on.if_tail.is_some_and(|tail| tail != kept.tail) {
            return Err((Refusal::TailMismatch { tail: kept.tail }, version));
        }
        if records == 0 {
            return Err((Refusal::Invalid(Invalidity::EmptyBatch), version));
        }
        let limit = kept.config.batch_limit();
        if bytes > limit {
            let limit = limit.into();
            return Err((Refusal::TooLarge { limit }, version));
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

    /// Trims as the log's settings say; without effect, and so without a version, where that much is gone already, or
    /// where the settings keep everything by now: the leader may have looked before they were changed.
    pub(crate) fn retain(&mut self, log: LogId, to: Offset) -> Result<Receipt, LogRefusal> {
        let kept = self.existing(log)?;
        let to = to.min(kept.tail);
        if kept.config.retains() && to > kept.trim_point {
            kept.trim_point = to;
            kept.version += 1;
        }
        Ok(Receipt::Trimmed {
            log,
            trim_point: kept.trim_point,
            tail: kept.tail,
            version: kept.version,
        })
    }

    fn delete(&mut self, log: LogId) -> Result<Receipt, LogRefusal> {
        let version = self.existing(log)?.version + 1;
        if let Some(gone) = self.by_id.remove(&log) {
            self.by_name.remove(&gone.name);
        }
        Ok(Receipt::Deleted { log, version })
    }

    fn fence(
        &mut self,
        log: LogId,
        token: Option<&FenceToken>,
        expect: &Expected<FenceToken>,
    ) -> Result<Receipt, LogRefusal> {
        let kept = self.existing(log)?;
        if !expect.holds(kept.fence.as_ref()) {
            return Err((Refusal::OtherFence, Some(kept.version)));
        }
        kept.fence = token.cloned();
        kept.version += 1;
        Ok(Receipt::FenceSet {
            log,
            tail: kept.tail,
            version: kept.version,
        })
    }

    fn set_cursor(
        &mut self,
        log: LogId,
        name: &CursorName,
        cursor: Cursor,
        expect: &Expected<Offset>,
    ) -> Result<Receipt, LogRefusal> {
        let kept = self.existing(log)?;
        let version = Some(kept.version);
        let now = kept.cursors.get(name).map(|cursor| cursor.at);
        if !expect.holds(now.as_ref()) {
            return Err((Refusal::CursorMismatch { at: now }, version));
        }
        if cursor.at > kept.tail {
            return Err((Refusal::OffsetOutOfRange { tail: kept.tail }, version));
        }
        if now.is_none() && kept.cursors.len() >= CURSORS_PER_LOG_MAX {
            let limit = CURSORS_PER_LOG_MAX as u64;
            return Err((Refusal::TooLarge { limit }, version));
        }
        Arc::make_mut(&mut kept.cursors).insert(name.clone(), cursor);
        kept.version += 1;
        Ok(Receipt::CursorSet {
            log,
            at: cursor.at,
            version: kept.version,
        })
    }

    fn delete_cursor(&mut self, log: LogId, name: &CursorName) -> Result<Receipt, LogRefusal> {
        let kept = self.existing(log)?;
        if !kept.cursors.contains_key(name) {
            return Err((Refusal::NoCursor, Some(kept.version)));
        }
        Arc::make_mut(&mut kept.cursors).remove(name);
        kept.version += 1;
        Ok(Receipt::CursorDeleted {
            log,
            version: kept.version,
        })
    }

    pub(crate) fn was_deleted(&self, log: LogId) -> bool {
        log.0 != 0 && log.0 < self.next && !self.by_id.contains_key(&log)
    }

    fn existing(&mut self, log: LogId) -> Result<&mut Log, LogRefusal> {
        let deleted = self.was_deleted(log);
        match self.by_id.get_mut(&log) {
            Some(kept) => Ok(Arc::make_mut(kept)),
            None if deleted => Err((Refusal::LogDeleted, None)),
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
            fence: kept.fence.clone(),
            config: kept.config,
            cursors: kept.cursors.len() as u32,
            limits: Limits::DEFAULT,
        })
    }

    pub(crate) fn cursor(&self, log: LogId, name: &str) -> Option<Cursor> {
        self.by_id.get(&log)?.cursors.get(name).copied()
    }

    pub(crate) fn cursors(
        &self,
        log: LogId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> CursorListing {
        let Some(kept) = self.by_id.get(&log) else {
            return CursorListing {
                cursors: Vec::new(),
                more: false,
            };
        };
        let mut matching = kept
            .cursors
            .range::<str, _>((from(prefix, after), Bound::Unbounded))
            .take_while(|(name, _)| name.as_str().starts_with(prefix));
        let cursors = matching
            .by_ref()
            .take(limit)
            .map(|(name, cursor)| (name.clone(), *cursor))
            .collect();
        CursorListing {
            cursors,
            more: matching.next().is_some(),
        }
    }

    pub(crate) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Listing {
        let mut matching = self
            .by_name
            .range::<str, _>((from(prefix, after), Bound::Unbounded))
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

/// Where a page of names with `prefix` begins that comes behind `after`.
fn from<'a>(prefix: &'a str, after: Option<&'a str>) -> Bound<&'a str> {
    match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    }
}
