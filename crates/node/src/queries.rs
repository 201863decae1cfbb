//! Questions, and the opening of reads: answered from the applied state, at once
//! or, where everything acknowledged before must be seen, after a round that
//! confirms leadership.

use std::collections::BTreeMap;

use paxlog_log::{Description, LogId, Offset, Timestamp};
use paxlog_paxos::{ReadToken, Slot};
use paxlog_wire::client::{
    Answer, EndReason, LogRef, Query, QueryReply, ReadFrom, ReadRequest, Started, TailRequest,
};
use paxlog_wire::{Code, WireError, limits};

use crate::effect::{Effect, Effects, ReaderEffect, TimeSearch};
use crate::event::{Now, QueryId, ReaderId, Unreadable};
use crate::index::AtTime;
use crate::node::Node;
use crate::readers::{CREDIT_BYTES_MAX, Mode, Reader, corrupt};
use crate::replies;

/// What a read stream may be sent before the first of it was written out.
const READ_CREDIT_BYTES: i64 = 1 << 20;

/// When to ask again a replica that replays its log.
const REPLAYING_RETRY_MS: u32 = 50;

/// What waits for a confirmed index.
#[derive(Debug)]
enum Waits {
    Query(QueryId, Query),
    Read(ReaderId, ReadRequest),
}

#[derive(Debug)]
struct Pending {
    waits: Waits,
    deadline: u64,
    /// Confirmed; answered once everything below is applied.
    index: Option<Slot>,
}

/// A stream of records that was asked for.
#[derive(Debug)]
enum Opening {
    Read(ReadRequest),
    Tail(TailRequest),
}

impl Opening {
    fn place(&self) -> (&LogRef, &ReadFrom) {
        match self {
            Opening::Read(request) => (&request.log, &request.from),
            Opening::Tail(request) => (&request.log, &request.from),
        }
    }
}

/// A stream whose beginning is looked for by its time.
#[derive(Debug)]
struct Finding {
    opening: Opening,
    log: LogId,
    /// Where it is if the segments have nothing earlier.
    otherwise: Option<Offset>,
}

/// Questions under way.
#[derive(Debug, Default)]
pub(crate) struct Queries {
    pending: BTreeMap<ReadToken, Pending>,
    finding: BTreeMap<ReaderId, Finding>,
    next: u64,
}

impl Queries {
    /// Whether none is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The reader's stream ended before it was begun.
    pub(crate) fn forget_reader(&mut self, reader: ReaderId) {
        self.finding.remove(&reader);
        self.pending.retain(
            |_, pending| !matches!(pending.waits, Waits::Read(waiting, _) if waiting == reader),
        );
    }
}

impl Node {
    pub(crate) fn handle_query(
        &mut self,
        now: Now,
        query: QueryId,
        deadline_ms: u32,
        ask: Query,
        fx: &mut Effects,
    ) {
        let linearizable = match &ask {
            Query::CheckTail { linearizable, .. }
            | Query::Describe { linearizable, .. }
            | Query::Cursor { linearizable, .. }
            | Query::Cursors { linearizable, .. } => *linearizable,
            Query::List { .. } | Query::Status => false,
        };
        if linearizable {
            self.confirm(now, Waits::Query(query, ask), deadline_ms, fx);
        } else {
            let result = self.answer_to(now, &ask);
            fx.push(Effect::Answer(query, QueryReply { result }));
        }
    }

    pub(crate) fn handle_read(
        &mut self,
        now: Now,
        reader: ReaderId,
        request: ReadRequest,
        fx: &mut Effects,
    ) {
        if request.linearizable {
            let deadline_ms = request.deadline_ms;
            self.confirm(now, Waits::Read(reader, request), deadline_ms, fx);
        } else {
            self.open(now, reader, Opening::Read(request), fx);
        }
    }

    pub(crate) fn handle_tail(
        &mut self,
        now: Now,
        id: ReaderId,
        request: TailRequest,
        fx: &mut Effects,
    ) {
        self.open(now, id, Opening::Tail(request), fx);
    }

    /// What came of looking for a time.
    pub(crate) fn handle_time_found(
        &mut self,
        now: Now,
        id: ReaderId,
        found: Result<Option<Offset>, Unreadable>,
        fx: &mut Effects,
    ) {
        let Some(finding) = self.queries.finding.remove(&id) else {
            return;
        };
        let Ok(found) = found else {
            fx.push(Effect::Reader(id, ReaderEffect::Refused(corrupt())));
            return;
        };
        // None comes later than what memory has; what was trimmed meanwhile is a gap.
        let at = [found, finding.otherwise].into_iter().flatten().min();
        match self.state.describe(finding.log) {
            Some(log) => {
                let at = at.unwrap_or(log.tail);
                self.start(now, id, &finding.opening, &log, at, fx);
            }
            None => fx.push(Effect::Reader(id, ReaderEffect::Refused(deleted()))),
        }
    }

    /// Has it confirmed how far everything acknowledged before reaches, for what
    /// must see all of it: by a round at the leader, which a follower asks for.
    fn confirm(&mut self, now: Now, waits: Waits, deadline_ms: u32, fx: &mut Effects) {
        let token = ReadToken(self.queries.next);
        let mut paxos_fx = paxlog_paxos::Effects::new();
        if self
            .paxos
            .read_index(now.mono, token, &mut paxos_fx)
            .is_err()
        {
            let error = self.not_leading();
            self.queries.fail(waits, error, fx);
            return;
        }
        self.queries.next += 1;
        let deadline = now.mono.saturating_add(u64::from(deadline_ms) * 1_000_000);
        self.queries.pending.insert(
            token,
            Pending {
                waits,
                deadline,
                index: None,
            },
        );
        self.run_effects(now, paxos_fx, fx);
    }

    pub(crate) fn read_ready(&mut self, now: Now, token: ReadToken, index: Slot, fx: &mut Effects) {
        if let Some(pending) = self.queries.pending.get_mut(&token) {
            pending.index = Some(index);
            self.answer_confirmed(now, fx);
        }
    }

    pub(crate) fn read_failed(&mut self, token: ReadToken, fx: &mut Effects) {
        if let Some(pending) = self.queries.pending.remove(&token) {
            let error = self.not_leading();
            self.queries.fail(pending.waits, error, fx);
        }
    }

    /// More was applied: answers what waited for it.
    pub(crate) fn applied_up_to(&mut self, now: Now, fx: &mut Effects) {
        if !self.queries.pending.is_empty() {
            self.answer_confirmed(now, fx);
        }
    }

    fn answer_confirmed(&mut self, now: Now, fx: &mut Effects) {
        let applied = self.applied;
        let ready: Vec<ReadToken> = self
            .queries
            .pending
            .iter()
            .filter(|(_, pending)| pending.index.is_some_and(|index| index <= applied))
            .map(|(token, _)| *token)
            .collect();
        for token in ready {
            match self
                .queries
                .pending
                .remove(&token)
                .map(|pending| pending.waits)
            {
                Some(Waits::Query(query, ask)) => {
                    let result = self.answer_to(now, &ask);
                    fx.push(Effect::Answer(query, QueryReply { result }));
                }
                Some(Waits::Read(reader, request)) => {
                    self.open(now, reader, Opening::Read(request), fx)
                }
                None => {}
            }
        }
    }

    pub(crate) fn sweep_queries(&mut self, now: Now, fx: &mut Effects) {
        let expired: Vec<ReadToken> = self
            .queries
            .pending
            .iter()
            .filter(|(_, pending)| pending.deadline <= now.mono)
            .map(|(token, _)| *token)
            .collect();
        for token in expired {
            if let Some(pending) = self.queries.pending.remove(&token) {
                let error = WireError::new(
                    Code::DeadlineExceeded,
                    "no majority confirmed before the deadline how far the log is acknowledged",
                );
                self.queries.fail(pending.waits, error, fx);
            }
        }
    }

    fn answer_to(&self, now: Now, ask: &Query) -> Result<Answer, WireError> {
        self.shows()?;
        let stale_ms = self.stale_ms(now);
        let description =
            |log: &Description| replies::description(log, self.index.bytes(log.log), stale_ms);
        match ask {
            Query::CheckTail { log, .. } => {
                Ok(Answer::Tail(replies::tail_info(&self.log(log)?, stale_ms)))
            }
            Query::Describe { log, .. } => Ok(Answer::Description(description(&self.log(log)?))),
            Query::Cursor { log, name, .. } => {
                let log = self.log(log)?;
                let cursor = self.state.cursor(log.log, name);
                Ok(Answer::Cursor {
                    cursor: cursor.map(|cursor| replies::cursor(name, &cursor)),
                    version: log.version,
                })
            }
            Query::Cursors {
                log,
                prefix,
                after,
                limit,
                ..
            } => {
                let log = self.log(log)?;
                let limit = (*limit).clamp(1, limits::LIST_LOGS_MAX) as usize;
                let listing = self.state.cursors(log.log, prefix, after.as_deref(), limit);
                let cursors = listing.cursors.iter();
                Ok(Answer::Cursors {
                    cursors: cursors
                        .map(|(name, cursor)| replies::cursor(name.as_str(), cursor))
                        .collect(),
                    more: listing.more,
                    version: log.version,
                })
            }
            Query::List {
                prefix,
                after,
                limit,
            } => {
                let limit = (*limit).clamp(1, limits::LIST_LOGS_MAX) as usize;
                let listing = self.state.list(prefix, after.as_deref(), limit);
                Ok(Answer::Logs {
                    logs: listing.logs.iter().map(description).collect(),
                    more: listing.more,
                })
            }
            Query::Status => Err(WireError::new(
                Code::Internal,
                "the core does not answer for its replica",
            )),
        }
    }

    fn log(&self, log: &LogRef) -> Result<Description, WireError> {
        let (id, name) = match log {
            LogRef::Name(name) => (self.state.by_name(name), format!("{name:?}")),
            LogRef::Id(id) if self.state.was_deleted(LogId(*id)) => return Err(deleted()),
            LogRef::Id(id) => (Some(LogId(*id)), id.to_string()),
        };
        id.and_then(|id| self.state.describe(id)).ok_or_else(|| {
            WireError::new(
                Code::NotFound,
                format!("there is no log {name}, as far as this replica knows"),
            )
        })
    }

    /// How old what this replica shows may be, in milliseconds rounded up; none if it does not know.
    fn stale_ms(&self, now: Now) -> Option<u32> {
        let stale = self.paxos.staleness(now.mono)?;
        u32::try_from(stale.div_ceil(1_000_000)).ok()
    }

    /// Begins a stream of records, or looks for where it begins.
    fn open(&mut self, now: Now, id: ReaderId, opening: Opening, fx: &mut Effects) {
        match self.begin(&opening) {
            Ok((log, Begin::At(from))) => self.start(now, id, &opening, &log, from, fx),
            Ok((log, Begin::Find(search, otherwise))) => {
                let finding = Finding {
                    opening,
                    log: log.log,
                    otherwise,
                };
                self.queries.finding.insert(id, finding);
                fx.push(Effect::Reader(id, ReaderEffect::FindTime(search)));
            }
            Err(error) => fx.push(Effect::Reader(id, ReaderEffect::Refused(error))),
        }
    }

    /// The log of a read or tail, and the offset that `from` turns out to be.
    fn begin(&self, opening: &Opening) -> Result<(Description, Begin), WireError> {
        self.shows()?;
        let (log, from) = opening.place();
        let log = self.log(log)?;
        let from = match from {
            ReadFrom::Offset(offset) => Offset(*offset),
            ReadFrom::First => log.trim_point,
            ReadFrom::Tail => log.tail,
            ReadFrom::TailMinus(n) => Offset(log.tail.0.saturating_sub(*n)).max(log.trim_point),
            ReadFrom::Cursor(name) => match self.state.cursor(log.log, name) {
                Some(cursor) => cursor.at,
                None => {
                    let error = WireError::new(
                        Code::NotFound,
                        format!("the log has no cursor {name:?}: set it with `paxlog cursor set`"),
                    );
                    return Err(error.with_version(Some(log.version)));
                }
            },
            ReadFrom::Timestamp(timestamp) => {
                let timestamp = Timestamp(*timestamp);
                match self.index.at_time(log.log, log.trim_point, timestamp) {
                    AtTime::Known(at) => at.unwrap_or(log.tail),
                    AtTime::Cold(segments, otherwise) => {
                        let search = TimeSearch {
                            log: log.log,
                            from: log.trim_point,
                            timestamp,
                            segments,
                        };
                        return Ok((log, Begin::Find(search, otherwise)));
                    }
                }
            }
        };
        if from > log.tail {
            return Err(WireError::new(
                Code::OffsetOutOfRange,
                format!(
                    "offset {from} lies beyond the tail, which is {} as far as this replica knows",
                    log.tail
                ),
            )
            .with_tail(log.tail.0));
        }
        Ok((log, Begin::At(from)))
    }

    /// A replica that has not come again to where it was before its restart
    /// shows nothing.
    fn shows(&self) -> Result<(), WireError> {
        if self.applied >= self.replay_to {
            return Ok(());
        }
        let left = self.replay_to.since(self.applied);
        Err(WireError::new(
            Code::Unavailable,
            format!("this replica has just started, and has {left} slots of its log to replay: try again, or ask another"),
        )
        .with_retry_after_ms(REPLAYING_RETRY_MS))
    }

    /// Begins a stream of records at an offset.
    fn start(
        &mut self,
        now: Now,
        id: ReaderId,
        opening: &Opening,
        log: &Description,
        from: Offset,
        fx: &mut Effects,
    ) {
        let started = Started {
            log: log.log.0,
            from: from.0,
            tail: log.tail.0,
            trim_point: log.trim_point.0,
            version: log.version,
            stale_ms: self.stale_ms(now),
        };
        fx.push(Effect::Reader(id, ReaderEffect::Started(started)));
        let (credit, mode) = match opening {
            Opening::Tail(request) => (
                request.credit_bytes.min(CREDIT_BYTES_MAX) as i64,
                Mode::Tail { caught_up: None },
            ),
            Opening::Read(request) => (READ_CREDIT_BYTES, mode_of(now, request, log, from)),
        };
        let reader = Reader {
            log: log.log,
            next: from,
            credit,
            outstanding: 0,
            mode,
            cold: false,
        };
        let (readers, view) = self.readers_and_view(now);
        readers.open(id, reader, view, fx);
    }
}

/// Where a stream of records begins.
enum Begin {
    At(Offset),
    /// The search says, unless it is earlier than this.
    Find(TimeSearch, Option<Offset>),
}

fn deleted() -> WireError {
    WireError::new(Code::LogDeleted, "the log was deleted")
}

/// How a read ends.
fn mode_of(now: Now, request: &ReadRequest, log: &Description, from: Offset) -> Mode {
    let first = from.max(log.trim_point);
    let tail = request.until_tail.then_some((log.tail, EndReason::Tail));
    let limit = (request.records_max > 0).then(|| {
        (
            Offset(first.0.saturating_add(request.records_max)),
            EndReason::Limit,
        )
    });
    let until = match (tail, limit) {
        (Some(tail), Some(limit)) => Some(if limit.0 < tail.0 { limit } else { tail }),
        (tail, limit) => tail.or(limit),
    };
    Mode::Read {
        until,
        bytes_left: (request.bytes_max > 0).then_some(request.bytes_max),
        until_timestamp: request.until_timestamp,
        wait_until: now
            .mono
            .saturating_add(u64::from(request.wait_ms) * 1_000_000),
        strict: request.strict,
    }
}

impl Queries {
    fn fail(&self, waits: Waits, error: WireError, fx: &mut Effects) {
        match waits {
            Waits::Query(query, _) => {
                fx.push(Effect::Answer(query, QueryReply { result: Err(error) }))
            }
            Waits::Read(reader, _) => fx.push(Effect::Reader(reader, ReaderEffect::Refused(error))),
        }
    }
}
