//! Reading a range of a log to its end.

use std::collections::VecDeque;

use bytes::Bytes;
use paxlog_wire::client::{EndReason, LogRef, ReadEvent, ReadFrom, ReadRequest};
use paxlog_wire::{Code, Frame, LeaderHint, WireError};

use crate::attempts::{Attempts, millis};
use crate::link::{Link, Route};
use crate::position::Position;
use crate::{Effect, Error, LeaderTracker, Machine, Message, Nanos, Outgoing, Piece, StreamId};

/// What to read, and until when.
#[derive(Clone, Debug)]
pub struct ReadConfig {
    /// The log's name.
    pub log: String,
    /// Where to begin.
    pub from: ReadFrom,
    /// End after so many records; 0 for no bound.
    pub records_max: u64,
    /// End once so many bytes of batches came, as they are stored; 0 for no bound. At least one batch comes.
    pub bytes_max: u64,
    /// End before the first record with this timestamp or a later one; 0 for no bound.
    pub until_timestamp: u64,
    /// How long to wait at the tail for more; 0: end at the tail as it was when the read began.
    pub wait: Nanos,
    /// Whether to fail with `Trimmed` where records are gone, instead of giving a gap.
    pub strict: bool,
    /// Whether everything acknowledged before the read must be seen: the replica asks the leader first how far that is.
    pub linearizable: bool,
    /// Of all randomness.
    pub seed: u64,
    /// When to give up.
    pub deadline: Nanos,
    /// Silence after which another replica is asked.
    pub silence: Nanos,
}

impl ReadConfig {
    /// Everything there is from `from` on.
    pub fn new(log: impl Into<String>, from: ReadFrom, seed: u64, deadline: Nanos) -> ReadConfig {
        ReadConfig {
            log: log.into(),
            from,
            records_max: 0,
            bytes_max: 0,
            until_timestamp: 0,
            wait: 0,
            strict: false,
            linearizable: false,
            seed,
            deadline,
            silence: 2_000_000_000,
        }
    }
}

/// What a [`Read`] gives.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadOutput {
    /// Records, following on what came before.
    Records(Piece),
    /// Records up to here were trimmed.
    Gap {
        /// The offset of the next record to come.
        to: u64,
    },
    /// The read is over.
    End {
        /// The offset to read on from.
        next: u64,
        /// The tail, as the replica that ended it knew it.
        tail: u64,
        /// Why it is over.
        reason: EndReason,
    },
    /// It failed; what was given before stands.
    Failed(Error),
}

/// One read, over as many replicas as it takes: no record twice, none left out.
#[derive(Debug)]
pub struct Read {
    config: ReadConfig,
    position: Position,
    link: Link,
    attempts: Attempts,
    /// Without a wait: the tail when the read began, where it ends.
    until: Option<u64>,
    /// The highest tail heard of.
    tail: u64,
    records: u64,
    bytes: u64,
    ended: bool,
    streams: u64,
    effects: VecDeque<Effect>,
    outputs: VecDeque<ReadOutput>,
}

impl Read {
    /// Begins at once.
    pub fn new(now: Nanos, config: ReadConfig, leader: LeaderTracker) -> Read {
        let mut read = Read {
            position: Position::new(config.from.clone()),
            link: Link::new(leader, Route::Any, config.seed),
            config,
            attempts: Attempts::default(),
            until: None,
            tail: 0,
            records: 0,
            bytes: 0,
            ended: false,
            streams: 0,
            effects: VecDeque::new(),
            outputs: VecDeque::new(),
        };
        read.drive(now);
        read
    }

    /// The next output. `End` or `Failed` is the last one. Batches are decompressed here, one at a time: those that
    /// wait take no more room than their stored bytes.
    pub fn poll_output(&mut self) -> Option<ReadOutput> {
        let piece = match self.outputs.pop_front()? {
            ReadOutput::Records(piece) => piece,
            other => return Some(other),
        };
        let start = piece.start;
        Some(match piece.open() {
            Ok(piece) => ReadOutput::Records(piece),
            Err(error) => {
                // What came behind it does not follow on what was given.
                self.outputs.clear();
                self.position.back_to(start);
                self.ended = true;
                self.link.close(&mut self.effects);
                ReadOutput::Failed(error)
            }
        })
    }

    /// The id of the log, once a replica has begun to answer. Another log may come to have its name; this reads no other.
    pub fn log(&self) -> Option<u64> {
        self.position.log()
    }

    /// The offset of the next record to come, once it is known.
    pub fn position(&self) -> Option<u64> {
        self.position.next()
    }

    fn drive(&mut self, now: Nanos) {
        if self.ended {
            return;
        }
        if self.config.deadline <= now {
            let error = self.attempts.too_late(&self.link);
            return self.finish(ReadOutput::Failed(error));
        }
        self.link.ensure(now, &mut self.streams, &mut self.effects);
    }

    fn finish(&mut self, output: ReadOutput) {
        if !std::mem::replace(&mut self.ended, true) {
            self.link.close(&mut self.effects);
            self.outputs.push_back(output);
        }
    }

    fn end(&mut self, reason: EndReason) {
        let next = self.position.next().unwrap_or(0);
        self.finish(ReadOutput::End {
            next,
            tail: self.tail.max(next),
            reason,
        });
    }

    fn failed(&mut self, now: Nanos, error: WireError) {
        if self.stale(error.code) {
            return self.again(now, Error::from(error));
        }
        match self
            .attempts
            .failed(now, &mut self.link, &mut self.effects, error)
        {
            Some(error) => self.finish(ReadOutput::Failed(error)),
            None => self.drive(now),
        }
    }

    /// Whether the refusal only shows that this replica lags behind one that answered before.
    fn stale(&self, code: Code) -> bool {
        self.position.started_before() && matches!(code, Code::NotFound | Code::OffsetOutOfRange)
    }

    /// Goes on at another replica, whatever this one said.
    fn again(&mut self, now: Nanos, why: Error) {
        self.link.abandon(&mut self.effects);
        let why = Error {
            code: Code::Unavailable,
            retry: Code::Unavailable.retry(),
            ..why
        };
        match self.attempts.lost(now, &mut self.link, why) {
            Some(error) => self.finish(ReadOutput::Failed(error)),
            None => self.drive(now),
        }
    }

    fn handle_event(&mut self, now: Nanos, event: ReadEvent, body: &[Bytes]) {
        match event {
            ReadEvent::Started(started) => match self.position.started(&started) {
                Ok(gap) => {
                    self.link.worked();
                    self.attempts.worked();
                    self.tail = self.tail.max(started.tail);
                    if self.config.wait == 0 {
                        self.until.get_or_insert(started.tail);
                    }
                    if let Some(to) = gap {
                        self.gap(to);
                    }
                }
                Err(error) => self.finish(ReadOutput::Failed(error.into())),
            },
            ReadEvent::Records(batches) => {
                let (pieces, error) = self.position.records(&batches, body);
                for piece in pieces {
                    self.give(piece);
                }
                if let Some(error) = error
                    && !self.ended
                {
                    self.failed(now, error);
                }
            }
            ReadEvent::Gap { to } => {
                if let Some(to) = self.position.gap(to) {
                    self.gap(to);
                }
            }
            ReadEvent::End { next, tail, reason } => {
                self.tail = self.tail.max(tail);
                let at = self.position.next();
                let short =
                    reason == EndReason::Tail && self.until.is_some_and(|until| at < Some(until));
                if Some(next) > at || (short && self.position.started_before()) {
                    // It lags, or it left records out.
                    self.again(
                        now,
                        Error::new(
                            Code::Unavailable,
                            format!("a replica ended the read at {next}"),
                        ),
                    );
                } else {
                    self.end(reason);
                }
            }
            ReadEvent::Refused(error) => self.failed(now, error),
        }
    }

    fn gap(&mut self, to: u64) {
        if self.config.strict {
            let mut error = Error::new(Code::Trimmed, format!("records below {to} were trimmed"));
            error.trim_point = Some(to);
            return self.finish(ReadOutput::Failed(error));
        }
        self.outputs.push_back(ReadOutput::Gap { to });
        if self.until.is_some_and(|until| until <= to) {
            self.end(EndReason::Tail);
        }
    }

    /// Gives a piece, cut at the bounds of the read.
    fn give(&mut self, mut piece: Piece) {
        if self.ended {
            return;
        }
        let mut end = None;
        if let Some(until) = self.until
            && piece.end >= until
        {
            piece.end = until.max(piece.start);
            end = Some(EndReason::Tail);
        }
        let left = self.config.records_max.saturating_sub(self.records);
        if self.config.records_max > 0 && piece.end - piece.start >= left {
            piece.end = piece.start + left;
            end = Some(EndReason::Limit);
        }
        if self.config.until_timestamp > 0 && piece.timestamp >= self.config.until_timestamp {
            self.position.back_to(piece.start);
            return self.end(EndReason::Until);
        }
        self.position.back_to(piece.end);
        self.records += piece.end - piece.start;
        self.bytes += piece.bytes();
        if piece.end > piece.start {
            self.outputs.push_back(ReadOutput::Records(piece));
        }
        if end.is_none() && self.config.bytes_max > 0 && self.bytes >= self.config.bytes_max {
            end = Some(EndReason::Limit);
        }
        if let Some(reason) = end {
            self.end(reason);
        }
    }
}

impl Machine for Read {
    fn handle_up(&mut self, now: Nanos, stream: StreamId) {
        if !self.link.handle_up(now, stream) {
            return;
        }
        let left = |bound: u64, used: u64| {
            if bound == 0 {
                0
            } else {
                bound.saturating_sub(used).max(1)
            }
        };
        let message = Message::Read(ReadRequest {
            deadline_ms: millis(self.config.deadline.saturating_sub(now)),
            log: LogRef::Name(self.config.log.clone()),
            from: self.position.from(),
            records_max: left(self.config.records_max, self.records),
            bytes_max: left(self.config.bytes_max, self.bytes),
            until_tail: self.config.wait == 0,
            until_timestamp: self.config.until_timestamp,
            wait_ms: (self.config.wait / 1_000_000).min(u32::MAX.into()) as u32,
            strict: self.config.strict,
            linearizable: self.config.linearizable,
        });
        self.effects.push_back(Effect::Send {
            stream,
            frame: Outgoing::new(message),
        });
    }

    fn handle_frame(&mut self, now: Nanos, stream: StreamId, frame: Frame) {
        if !self.link.is_current(stream) || self.ended {
            return;
        }
        self.link.heard(now);
        match paxlog_wire::decode::<ReadEvent>(&frame) {
            Ok(event) => self.handle_event(now, event, &frame.body),
            Err(error) => self.again(now, Error::new(Code::Unavailable, error.to_string())),
        }
    }

    fn handle_down(&mut self, now: Nanos, stream: StreamId, why: Error) {
        if !self.link.is_current(stream) || self.ended {
            return;
        }
        match self.attempts.lost(now, &mut self.link, why) {
            Some(error) => self.finish(ReadOutput::Failed(error)),
            None => self.drive(now),
        }
    }

    fn handle_leader(&mut self, now: Nanos, hint: &LeaderHint) {
        // What was begun is finished where it is; a new leader has nothing that is missing there.
        let started = self.link.up().is_some() && self.position.started_before();
        if self.link.note(hint) && !started {
            self.link.close(&mut self.effects);
        }
        self.drive(now);
    }

    fn handle_tick(&mut self, now: Nanos) {
        // While it waits at the tail, a replica may be silent for as long.
        let silence = self.config.silence.saturating_add(self.config.wait);
        if !self.ended
            && self.link.silent_at(silence).is_some_and(|at| at <= now)
            && let Some(error) = self.attempts.silent(now, &mut self.link, &mut self.effects)
        {
            self.finish(ReadOutput::Failed(error));
        }
        self.drive(now);
    }

    fn poll_timer(&self) -> Option<Nanos> {
        if self.ended {
            return None;
        }
        let silence = self
            .link
            .silent_at(self.config.silence.saturating_add(self.config.wait));
        [Some(self.config.deadline), self.link.hold_until(), silence]
            .into_iter()
            .flatten()
            .min()
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }
}
