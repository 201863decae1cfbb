//! Following a log as it grows.

use std::collections::VecDeque;

use bytes::Bytes;
use paxlog_wire::client::{Credit, LogRef, ReadFrom, TailEvent, TailRequest};
use paxlog_wire::{Code, Frame, LeaderHint, WireError};

use crate::attempts::Attempts;
use crate::link::{Link, Route};
use crate::position::Position;
use crate::{Effect, Error, LeaderTracker, Machine, Message, Nanos, Outgoing, Piece, StreamId};

/// What to follow, and with how much credit.
#[derive(Clone, Debug)]
pub struct TailConfig {
    /// The log's name.
    pub log: String,
    /// Where to begin.
    pub from: ReadFrom,
    /// Bytes of batches, as they are stored, that may be under way or not yet given back with [`Tail::release`].
    pub credit: u64,
    /// Of all randomness.
    pub seed: u64,
    /// Silence, heartbeats included, after which another replica is asked.
    pub silence: Nanos,
    /// How long no replica may answer until it fails.
    pub patience: Nanos,
}

impl TailConfig {
    /// The defaults.
    pub fn new(log: impl Into<String>, from: ReadFrom, seed: u64) -> TailConfig {
        TailConfig {
            log: log.into(),
            from,
            credit: 4 << 20,
            seed,
            silence: 3_000_000_000,
            patience: 10_000_000_000,
        }
    }
}

/// What a [`Tail`] gives.
#[derive(Clone, Debug, PartialEq)]
pub enum TailOutput {
    /// Records, following on what came before. Give their [`Piece::bytes`] back with
    /// [`Tail::release`] once they are dealt with.
    Records(Piece),
    /// Records up to here were trimmed before they came.
    Gap {
        /// The offset of the next record to come.
        to: u64,
    },
    /// Everything up to the tail was given; said each time that it is reached.
    CaughtUp {
        /// The tail.
        tail: u64,
    },
    /// The log is sealed and everything was given; nothing follows.
    Sealed {
        /// The log's end.
        tail: u64,
    },
    /// It failed; nothing follows.
    Failed(Error),
}

/// One tail, over as many replicas as it takes: no record twice, none left out.
#[derive(Debug)]
pub struct Tail {
    config: TailConfig,
    position: Position,
    link: Link,
    attempts: Attempts,
    /// Bytes given out and not released.
    held: u64,
    /// Released, and not yet given to the replica as credit.
    released: u64,
    /// Since when no replica answers.
    troubled: Option<Nanos>,
    ended: bool,
    streams: u64,
    effects: VecDeque<Effect>,
    outputs: VecDeque<TailOutput>,
}

impl Tail {
    /// Begins at once.
    pub fn new(now: Nanos, config: TailConfig, leader: LeaderTracker) -> Tail {
        let mut tail = Tail {
            position: Position::new(config.from.clone()),
            link: Link::new(leader, Route::Freshest, config.seed),
            config,
            attempts: Attempts::default(),
            held: 0,
            released: 0,
            troubled: Some(now),
            ended: false,
            streams: 0,
            effects: VecDeque::new(),
            outputs: VecDeque::new(),
        };
        tail.drive(now);
        tail
    }

    /// The next output. `Sealed` or `Failed` is the last one. Batches are decompressed here, one at a time: those that
    /// wait take no more room than their stored bytes.
    pub fn poll_output(&mut self) -> Option<TailOutput> {
        let piece = match self.outputs.pop_front()? {
            TailOutput::Records(piece) => piece,
            other => return Some(other),
        };
        let start = piece.start;
        Some(match piece.open() {
            Ok(piece) => TailOutput::Records(piece),
            Err(error) => {
                // What came behind it does not follow on what was given.
                self.outputs.clear();
                self.position.back_to(start);
                self.ended = true;
                self.link.close(&mut self.effects);
                TailOutput::Failed(error)
            }
        })
    }

    /// Gives back the credit of records that were dealt with.
    pub fn release(&mut self, bytes: u64) {
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        self.give_credit(bytes);
    }

    /// The id of the log, once a replica has begun to answer. Another log may come to have its name; this reads no other.
    pub fn log(&self) -> Option<u64> {
        self.position.log()
    }

    /// The offset of the next record to come, once it is known.
    pub fn position(&self) -> Option<u64> {
        self.position.next()
    }

    /// Ends it; nothing follows.
    pub fn close(&mut self) {
        self.ended = true;
        self.link.close(&mut self.effects);
    }

    /// A frame a quarter of the credit, not one a batch.
    fn give_credit(&mut self, bytes: u64) {
        self.released += bytes;
        let due = self.released >= (self.config.credit / 4).max(1) || self.held == 0;
        if let Some(stream) = self.link.up()
            && due
            && self.released > 0
            && self.position.started_before()
        {
            let bytes = std::mem::take(&mut self.released);
            let frame = Outgoing::new(Message::Credit(Credit { bytes }));
            self.effects.push_back(Effect::Send { stream, frame });
        }
    }

    fn drive(&mut self, now: Nanos) {
        if self.ended {
            return;
        }
        if self.fails_at().is_some_and(|at| at <= now) {
            let error = self.attempts.too_late(&self.link);
            return self.finish(TailOutput::Failed(error));
        }
        self.link.ensure(now, &mut self.streams, &mut self.effects);
    }

    fn fails_at(&self) -> Option<Nanos> {
        Some(self.troubled?.saturating_add(self.config.patience))
    }

    fn finish(&mut self, output: TailOutput) {
        if !std::mem::replace(&mut self.ended, true) {
            self.link.close(&mut self.effects);
            self.outputs.push_back(output);
        }
    }

    fn failed(&mut self, now: Nanos, error: WireError) {
        let stale = self.position.started_before()
            && matches!(error.code, Code::NotFound | Code::OffsetOutOfRange);
        if stale {
            // This replica lags behind one that answered before.
            return self.again(now, Error::from(error));
        }
        self.troubled.get_or_insert(now);
        match self
            .attempts
            .failed(now, &mut self.link, &mut self.effects, error)
        {
            Some(error) => self.finish(TailOutput::Failed(error)),
            None => self.drive(now),
        }
    }

    /// Goes on at another replica, whatever this one said.
    fn again(&mut self, now: Nanos, why: Error) {
        self.link.abandon(&mut self.effects);
        self.lost(
            now,
            Error {
                code: Code::Unavailable,
                retry: Code::Unavailable.retry(),
                ..why
            },
        );
    }

    fn lost(&mut self, now: Nanos, why: Error) {
        self.troubled.get_or_insert(now);
        match self.attempts.lost(now, &mut self.link, why) {
            Some(error) => self.finish(TailOutput::Failed(error)),
            None => self.drive(now),
        }
    }

    fn handle_event(&mut self, now: Nanos, event: TailEvent, body: &[Bytes]) {
        match event {
            TailEvent::Started(started) => match self.position.started(&started) {
                Ok(gap) => {
                    self.link.worked();
                    self.attempts.worked();
                    self.troubled = None;
                    self.outputs.extend(gap.map(|to| TailOutput::Gap { to }));
                }
                Err(error) => self.finish(TailOutput::Failed(error.into())),
            },
            TailEvent::Records(batches) => {
                let came = paxlog_wire::parts::len(body) as u64;
                let (pieces, error) = self.position.records(&batches, body);
                let due: u64 = pieces.iter().map(Piece::bytes).sum();
                self.held += due;
                self.outputs
                    .extend(pieces.into_iter().map(TailOutput::Records));
                match error {
                    Some(error) => self.failed(now, error),
                    // What was given before takes no room here.
                    None => self.give_credit(came.saturating_sub(due)),
                }
            }
            TailEvent::Gap { to } => {
                self.outputs
                    .extend(self.position.gap(to).map(|to| TailOutput::Gap { to }));
            }
            TailEvent::CaughtUp { tail } => {
                // A replica that lags has caught up with less than was given.
                if self.position.next() == Some(tail) {
                    self.outputs.push_back(TailOutput::CaughtUp { tail });
                }
            }
            TailEvent::Sealed { tail } if self.position.next() == Some(tail) => {
                self.finish(TailOutput::Sealed { tail });
            }
            TailEvent::Sealed { tail } => {
                self.again(
                    now,
                    Error::new(
                        Code::Unavailable,
                        format!("a replica ended the log at {tail}"),
                    ),
                );
            }
            TailEvent::Heartbeat { .. } => {}
            TailEvent::Refused(error) => self.failed(now, error),
        }
    }
}

impl Machine for Tail {
    fn handle_up(&mut self, now: Nanos, stream: StreamId) {
        if !self.link.handle_up(now, stream) {
            return;
        }
        // The new stream's account begins with what is held here; nothing else is under way on it.
        self.released = 0;
        let message = Message::Tail(TailRequest {
            log: LogRef::Name(self.config.log.clone()),
            from: self.position.from(),
            credit_bytes: self.config.credit.saturating_sub(self.held).max(1),
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
        match paxlog_wire::decode::<TailEvent>(&frame) {
            Ok(event) => self.handle_event(now, event, &frame.body),
            Err(error) => self.again(now, Error::new(Code::Unavailable, error.to_string())),
        }
    }

    fn handle_down(&mut self, now: Nanos, stream: StreamId, why: Error) {
        if self.link.is_current(stream) && !self.ended {
            self.lost(now, why);
        }
    }

    fn handle_leader(&mut self, now: Nanos, hint: &LeaderHint) {
        self.link.note(hint);
        self.drive(now);
    }

    fn handle_tick(&mut self, now: Nanos) {
        if !self.ended
            && self
                .link
                .silent_at(self.config.silence)
                .is_some_and(|at| at <= now)
        {
            let server = self.link.abandon(&mut self.effects);
            self.lost(
                now,
                Error::new(Code::Unavailable, format!("{server} does not answer")),
            );
        }
        self.drive(now);
    }

    fn poll_timer(&self) -> Option<Nanos> {
        if self.ended {
            return None;
        }
        let silence = self.link.silent_at(self.config.silence);
        [self.fails_at(), self.link.hold_until(), silence]
            .into_iter()
            .flatten()
            .min()
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }
}
