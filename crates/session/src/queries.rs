//! Questions that change nothing, asked until somebody answers.

use std::collections::VecDeque;

use paxlog_wire::client::{Answer, Query, QueryReply, QueryRequest};
use paxlog_wire::{Code, Frame, LeaderHint, WireError};

use crate::attempts::{Attempts, millis};
use crate::link::{Link, Route};
use crate::rng::Rng;
use crate::{
    Effect, Error, LeaderTracker, Machine, Message, Nanos, Outgoing, Server, StreamId, Token,
};

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// The leader: what was acknowledged before the question is in the answer.
    Leader,
    /// Whoever answers.
    Any,
    /// This server and no other, for what is about the server itself.
    Only(Server),
}

/// How [`Queries`] are retried.
#[derive(Clone, Debug)]
pub struct QueriesConfig {
    /// Of all randomness.
    pub seed: u64,
    /// Silence after which another replica is asked.
    pub silence: Nanos,
}

impl QueriesConfig {
    /// The defaults.
    pub fn new(seed: u64) -> QueriesConfig {
        QueriesConfig {
            seed,
            silence: 2_000_000_000,
        }
    }
}

/// A query ended.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryDone {
    /// Its token.
    pub token: Token,
    /// The answer.
    pub result: Result<Answer, Error>,
}

/// Queries, any number at a time, each on a stream of its own.
#[derive(Debug)]
pub struct Queries {
    config: QueriesConfig,
    /// Cloned for each query; learns from all of them.
    tracker: LeaderTracker,
    calls: Vec<Call>,
    seeds: Rng,
    streams: u64,
    effects: VecDeque<Effect>,
    done: VecDeque<QueryDone>,
}

#[derive(Debug)]
struct Call {
    token: Token,
    query: Query,
    deadline: Nanos,
    link: Link,
    asked: bool,
    attempts: Attempts,
}

impl Queries {
    /// Does nothing until the first query.
    pub fn new(config: QueriesConfig, leader: LeaderTracker) -> Queries {
        Queries {
            seeds: Rng::new(config.seed),
            config,
            tracker: leader,
            calls: Vec::new(),
            streams: 0,
            effects: VecDeque::new(),
            done: VecDeque::new(),
        }
    }

    /// Asks. `query` says itself whether the answer must be linearizable; `whom` must agree.
    pub fn ask(
        &mut self,
        now: Nanos,
        token: Token,
        query: Query,
        whom: Consistency,
        deadline: Nanos,
    ) {
        let route = match whom {
            Consistency::Leader => Route::Leader,
            Consistency::Any => Route::Any,
            Consistency::Only(server) => Route::Only(server),
        };
        let mut link = Link::new(self.tracker.clone(), route, self.seeds.draw());
        link.ensure(now, &mut self.streams, &mut self.effects);
        self.calls.push(Call {
            token,
            query,
            deadline,
            link,
            asked: false,
            attempts: Attempts::default(),
        });
        // The next one that goes to anybody begins with another server.
        self.tracker.next_in_turn();
    }

    /// The next query that ended.
    pub fn poll_done(&mut self) -> Option<QueryDone> {
        self.done.pop_front()
    }

    /// Whether every query ended.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.done.is_empty()
    }

    fn call(&mut self, stream: StreamId) -> Option<usize> {
        self.calls
            .iter()
            .position(|call| call.link.is_current(stream))
    }

    fn end(&mut self, at: usize, result: Result<Answer, Error>) {
        let mut call = self.calls.remove(at);
        call.link.close(&mut self.effects);
        self.done.push_back(QueryDone {
            token: call.token,
            result,
        });
    }

    /// The attempt failed: asks again, or ends the call.
    fn failed(&mut self, now: Nanos, at: usize, error: WireError) {
        if let Some(hint) = &error.leader {
            self.tracker.note(hint);
        }
        let call = &mut self.calls[at];
        call.asked = false;
        if let Some(error) = call
            .attempts
            .failed(now, &mut call.link, &mut self.effects, error)
        {
            return self.end(at, Err(error));
        }
        self.drive(now);
    }

    fn drive(&mut self, now: Nanos) {
        let mut at = 0;
        while at < self.calls.len() {
            let call = &mut self.calls[at];
            if call.deadline <= now {
                let error = call.attempts.too_late(&call.link);
                self.end(at, Err(error));
                continue;
            }
            call.link.ensure(now, &mut self.streams, &mut self.effects);
            at += 1;
        }
    }
}

impl Machine for Queries {
    fn handle_up(&mut self, now: Nanos, stream: StreamId) {
        let Some(at) = self.call(stream) else { return };
        let call = &mut self.calls[at];
        if call.link.handle_up(now, stream) && !call.asked {
            call.asked = true;
            let deadline_ms = millis(call.deadline.saturating_sub(now));
            let message = Message::Query(QueryRequest {
                deadline_ms,
                query: call.query.clone(),
            });
            self.effects.push_back(Effect::Send {
                stream,
                frame: Outgoing::new(message),
            });
        }
    }

    fn handle_frame(&mut self, now: Nanos, stream: StreamId, frame: Frame) {
        let Some(at) = self.call(stream) else { return };
        match paxlog_wire::decode::<QueryReply>(&frame) {
            Ok(QueryReply { result: Ok(answer) }) if fits(&self.calls[at].query, &answer) => {
                self.end(at, Ok(answer))
            }
            Ok(QueryReply { result: Ok(_) }) => {
                let error = WireError::new(
                    Code::Internal,
                    "a replica answered another question than was asked",
                );
                self.end(at, Err(error.into()));
            }
            Ok(QueryReply { result: Err(error) }) => self.failed(now, at, error),
            Err(error) => self.failed(
                now,
                at,
                WireError::new(Code::Unavailable, error.to_string()),
            ),
        }
    }

    fn handle_down(&mut self, now: Nanos, stream: StreamId, why: Error) {
        let Some(at) = self.call(stream) else { return };
        let call = &mut self.calls[at];
        call.asked = false;
        match call.attempts.lost(now, &mut call.link, why) {
            Some(error) => self.end(at, Err(error)),
            None => self.drive(now),
        }
    }

    fn handle_leader(&mut self, now: Nanos, hint: &LeaderHint) {
        self.tracker.note(hint);
        for call in &mut self.calls {
            if call.link.note(hint) {
                call.link.close(&mut self.effects);
                call.asked = false;
            }
        }
        self.drive(now);
    }

    fn handle_tick(&mut self, now: Nanos) {
        for at in (0..self.calls.len()).rev() {
            let call = &mut self.calls[at];
            if call
                .link
                .silent_at(self.config.silence)
                .is_some_and(|by| by <= now)
            {
                call.asked = false;
                if let Some(error) = call.attempts.silent(now, &mut call.link, &mut self.effects) {
                    self.end(at, Err(error));
                }
            }
        }
        self.drive(now);
    }

    fn poll_timer(&self) -> Option<Nanos> {
        let times = |call: &Call| {
            let silence = call.link.silent_at(self.config.silence);
            [Some(call.deadline), call.link.hold_until(), silence]
                .into_iter()
                .flatten()
                .min()
        };
        self.calls.iter().filter_map(times).min()
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }
}

fn fits(query: &Query, answer: &Answer) -> bool {
    matches!(
        (query, answer),
        (Query::CheckTail { .. }, Answer::Tail(_))
            | (Query::Describe { .. }, Answer::Description(_))
            | (Query::List { .. }, Answer::Logs { .. })
            | (Query::Status, Answer::Status(_))
            | (Query::Cursor { .. }, Answer::Cursor { .. })
            | (Query::Cursors { .. }, Answer::Cursors { .. })
    )
}
