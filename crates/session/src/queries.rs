//! Questions that change nothing, asked until somebody answers.

use std::collections::VecDeque;

use paxlog_wire::client::{Answer, Query};
use paxlog_wire::{Frame, LeaderHint};

use crate::{Effect, Error, LeaderTracker, Machine, Nanos, Server, StreamId, Token};

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
    effects: VecDeque<Effect>,
    done: VecDeque<QueryDone>,
}

impl Queries {
    /// Does nothing until the first query.
    pub fn new(_config: QueriesConfig, _leader: LeaderTracker) -> Queries {
        Queries {
            effects: VecDeque::new(),
            done: VecDeque::new(),
        }
    }

    /// Asks. `query` says itself whether the answer must be linearizable; `whom` must agree.
    pub fn ask(
        &mut self,
        _now: Nanos,
        _token: Token,
        _query: Query,
        _whom: Consistency,
        _deadline: Nanos,
    ) {
    }

    /// The next query that ended.
    pub fn poll_done(&mut self) -> Option<QueryDone> {
        self.done.pop_front()
    }
}

impl Machine for Queries {
    fn handle_up(&mut self, _now: Nanos, _stream: StreamId) {}
    fn handle_frame(&mut self, _now: Nanos, _stream: StreamId, _frame: Frame) {}
    fn handle_down(&mut self, _now: Nanos, _stream: StreamId, _why: Error) {}
    fn handle_leader(&mut self, _now: Nanos, _hint: &LeaderHint) {}
    fn handle_tick(&mut self, _now: Nanos) {}
    fn poll_timer(&self) -> Option<Nanos> {
        None
    }
    fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }
}
