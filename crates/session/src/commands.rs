//! Single commands: create, trim, seal.

use paxlog_wire::client::CommandOutcome;
use paxlog_wire::{Frame, LeaderHint};

use crate::pipeline::{Pipeline, Policy, Setup, Work};
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
    pipeline: Pipeline<Token>,
}

impl Commands {
    /// Does nothing until the first command.
    pub fn new(config: CommandsConfig, leader: LeaderTracker) -> Commands {
        let setup = Setup {
            policy: Policy::Single,
            window: 1,
            silence: config.silence,
            producer: None,
            nonce: config.nonce,
            seed: config.seed,
            log: None,
        };
        Commands {
            pipeline: Pipeline::new(setup, leader),
        }
    }

    /// Creates a log. Ends with `LogOpened`.
    pub fn create(
        &mut self,
        now: Nanos,
        token: Token,
        log: &str,
        if_absent: bool,
        deadline: Nanos,
    ) {
        self.push(
            now,
            token,
            Work::Create {
                name: log.to_owned(),
                if_absent,
            },
            deadline,
        );
    }

    /// Trims the log of that name; keeps `to`. Ends with `Trimmed`.
    pub fn trim(&mut self, now: Nanos, token: Token, log: &str, to: u64, deadline: Nanos) {
        self.push(
            now,
            token,
            Work::Trim {
                log: log.to_owned(),
                to,
            },
            deadline,
        );
    }

    /// Seals the log of that name. Ends with `Sealed`.
    pub fn seal(&mut self, now: Nanos, token: Token, log: &str, deadline: Nanos) {
        self.push(
            now,
            token,
            Work::Seal {
                log: log.to_owned(),
            },
            deadline,
        );
    }

    /// The next command that ended.
    pub fn poll_done(&mut self) -> Option<CommandDone> {
        let settled = self.pipeline.settled.pop_front()?;
        Some(CommandDone {
            token: settled.owner,
            result: settled.result,
        })
    }

    /// Whether every command taken is settled; one that ended by its deadline goes on until it is.
    pub fn is_idle(&self) -> bool {
        self.pipeline.is_empty() && self.pipeline.settled.is_empty()
    }

    fn push(&mut self, now: Nanos, token: Token, work: Work, deadline: Nanos) {
        self.pipeline.push(token, work, Vec::new(), deadline);
        self.pipeline.drive(now);
    }
}

impl Machine for Commands {
    fn handle_up(&mut self, now: Nanos, stream: StreamId) {
        self.pipeline.handle_up(now, stream);
        self.pipeline.drive(now);
    }

    fn handle_frame(&mut self, now: Nanos, stream: StreamId, frame: Frame) {
        self.pipeline.handle_frame(now, stream, &frame);
        self.pipeline.drive(now);
    }

    fn handle_down(&mut self, now: Nanos, stream: StreamId, why: Error) {
        self.pipeline.handle_down(now, stream, why);
        self.pipeline.drive(now);
    }

    fn handle_leader(&mut self, now: Nanos, hint: &LeaderHint) {
        self.pipeline.handle_leader(hint);
        self.pipeline.drive(now);
    }

    fn handle_tick(&mut self, now: Nanos) {
        self.pipeline.handle_tick(now);
        self.pipeline.drive(now);
    }

    fn poll_timer(&self) -> Option<Nanos> {
        self.pipeline.poll_timer()
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        self.pipeline.effects.pop_front()
    }
}
