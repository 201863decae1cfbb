//! Following a log as it grows.

use std::collections::VecDeque;

use paxlog_wire::client::ReadFrom;
use paxlog_wire::{Frame, LeaderHint};

use crate::{Effect, Error, LeaderTracker, Machine, Nanos, Piece, StreamId};

/// What to follow, and with how much credit.
#[derive(Clone, Debug)]
pub struct TailConfig {
    /// The log's name.
    pub log: String,
    /// Where to begin.
    pub from: ReadFrom,
    /// Bytes of batches that may be under way or not yet given back with [`Tail::release`].
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
    effects: VecDeque<Effect>,
    outputs: VecDeque<TailOutput>,
}

impl Tail {
    /// Begins at once.
    pub fn new(_now: Nanos, _config: TailConfig, _leader: LeaderTracker) -> Tail {
        Tail {
            effects: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The next output. `Sealed` or `Failed` is the last one.
    pub fn poll_output(&mut self) -> Option<TailOutput> {
        self.outputs.pop_front()
    }

    /// Gives back the credit of records that were dealt with.
    pub fn release(&mut self, _now: Nanos, _bytes: u64) {}

    /// The offset of the next record to come, once it is known.
    pub fn position(&self) -> Option<u64> {
        None
    }
}

impl Machine for Tail {
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
