//! Reading a range of a log to its end.

use std::collections::VecDeque;

use paxlog_wire::client::{EndReason, ReadFrom};
use paxlog_wire::{Frame, LeaderHint};

use crate::{Effect, Error, LeaderTracker, Machine, Nanos, Piece, StreamId};

/// What to read, and until when.
#[derive(Clone, Debug)]
pub struct ReadConfig {
    /// The log's name.
    pub log: String,
    /// Where to begin.
    pub from: ReadFrom,
    /// End after so many records; 0 for no bound.
    pub records_max: u64,
    /// End once so many bytes of batches came; 0 for no bound. At least one batch comes.
    pub bytes_max: u64,
    /// End before the first record with this timestamp or a later one; 0 for no bound.
    pub until_timestamp: u64,
    /// How long to wait at the tail for more; 0: end at the tail as it was when the read began.
    pub wait: Nanos,
    /// Whether to fail with `Trimmed` where records are gone, instead of giving a gap.
    pub strict: bool,
    /// Whether everything acknowledged before the read must be seen (the leader answers first).
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
    effects: VecDeque<Effect>,
    outputs: VecDeque<ReadOutput>,
}

impl Read {
    /// Begins at once.
    pub fn new(_now: Nanos, _config: ReadConfig, _leader: LeaderTracker) -> Read {
        Read {
            effects: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The next output. `End` or `Failed` is the last one.
    pub fn poll_output(&mut self) -> Option<ReadOutput> {
        self.outputs.pop_front()
    }

    /// The offset of the next record to come, once it is known.
    pub fn position(&self) -> Option<u64> {
        None
    }
}

impl Machine for Read {
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
