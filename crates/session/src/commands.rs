//! Single commands: create, trim, seal.

use std::collections::VecDeque;

use paxlog_wire::client::CommandOutcome;
use paxlog_wire::{Frame, LeaderHint};

use crate::{Effect, Error, LeaderTracker, Machine, Nanos, StreamId, Token};

/// How [`Commands`] number and retry.
#[derive(Clone, Debug)]
pub struct CommandsConfig {
    /// Drawn at random by the owner, for this machine alone.
    pub nonce: u128,
    /// Of all other randomness.
    pub seed: u64,
    /// Silence of a replica with something to answer after which another is tried.
    pub silence: Nanos,
}

impl CommandsConfig {
    /// The defaults.
    pub fn new(nonce: u128, seed: u64) -> CommandsConfig {
        CommandsConfig {
            nonce,
            seed,
            silence: 3_000_000_000,
        }
    }
}

/// A command ended.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandDone {
    /// Its token.
    pub token: Token,
    /// What it did: `LogOpened` for a create, `Trimmed`, `Sealed`.
    pub result: Result<CommandOutcome, Error>,
}

/// Commands that change state, numbered and retried like appends, one at a time in the order taken.
/// The producer is opened with the first command.
#[derive(Debug)]
pub struct Commands {
    effects: VecDeque<Effect>,
    done: VecDeque<CommandDone>,
}

impl Commands {
    /// Does nothing until the first command.
    pub fn new(_config: CommandsConfig, _leader: LeaderTracker) -> Commands {
        Commands {
            effects: VecDeque::new(),
            done: VecDeque::new(),
        }
    }

    /// Creates a log. Ends with `LogOpened`.
    pub fn create(
        &mut self,
        _now: Nanos,
        _token: Token,
        _log: &str,
        _if_absent: bool,
        _deadline: Nanos,
    ) {
    }

    /// Trims the log of that name; keeps `to`. Ends with `Trimmed`.
    pub fn trim(&mut self, _now: Nanos, _token: Token, _log: &str, _to: u64, _deadline: Nanos) {}

    /// Seals the log of that name. Ends with `Sealed`.
    pub fn seal(&mut self, _now: Nanos, _token: Token, _log: &str, _deadline: Nanos) {}

    /// The next command that ended.
    pub fn poll_done(&mut self) -> Option<CommandDone> {
        self.done.pop_front()
    }

    /// Whether every command taken has ended.
    pub fn is_idle(&self) -> bool {
        true
    }
}

impl Machine for Commands {
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
