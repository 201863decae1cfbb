//! Single commands: whatever changes a log but appends to it.

use paxlog_wire::client::{CommandBody, CommandOutcome, ConfigChange, Expected, LogConfig, Origin};
use paxlog_wire::{Frame, LeaderHint};

use crate::pipeline::{Owner, Pipeline, Policy, Setup, Work};
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

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make a log. Ends with `LogOpened`.
    Create {
        /// Its name.
        log: String,
        /// Whether an existing one is an answer; its settings stay as they are.
        if_absent: bool,
        /// Its settings.
        config: LogConfig,
    },
    /// Change a log.
    On {
        /// Its name.
        log: String,
        /// How.
        what: Change,
    },
}

/// What to do to a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Give up everything below `to`, which is kept. Ends with `Trimmed`.
    Trim {
        /// The first offset to keep.
        to: u64,
    },
    /// Allow no more appends. Ends with `Sealed`.
    Seal,
    /// Change its settings. Ends with `LogAltered`.
    Alter(ConfigChange),
    /// Delete it. Ends with `LogDeleted`.
    Delete,
    /// Set what appends must carry. Ends with `FenceSet`.
    Fence {
        /// The token; none: appends must carry none.
        token: Option<String>,
        /// What the fence must be for this to be done.
        expect: Expected<String>,
    },
    /// Set a cursor. Ends with `CursorSet`.
    SetCursor {
        /// Its name.
        name: String,
        /// Where it is to stand.
        at: u64,
        /// Where it must stand for this to be done.
        expect: Expected<u64>,
    },
    /// Delete a cursor. Ends with `CursorDeleted`.
    DeleteCursor {
        /// Its name.
        name: String,
    },
}

impl Command {
    /// To do that to the log of that name.
    pub fn on(log: impl Into<String>, what: Change) -> Command {
        Command::On {
            log: log.into(),
            what,
        }
    }

    /// To make a log with the cluster's settings.
    pub fn create(log: impl Into<String>, if_absent: bool) -> Command {
        Command::Create {
            log: log.into(),
            if_absent,
            config: LogConfig::default(),
        }
    }

    /// As it is sent; `id` is that of the log, if there has to be one.
    pub(crate) fn body(&self, origin: Option<Origin>, id: u64) -> CommandBody {
        let log = id;
        match self.clone() {
            Command::Create {
                log: name,
                if_absent,
                config,
            } => CommandBody::CreateLog {
                origin,
                name,
                if_absent,
                config,
            },
            Command::On { what, .. } => match what {
                Change::Trim { to } => CommandBody::Trim { origin, log, to },
                Change::Seal => CommandBody::Seal { origin, log },
                Change::Alter(change) => CommandBody::AlterLog {
                    origin,
                    log,
                    change,
                },
                Change::Delete => CommandBody::DeleteLog { origin, log },
                Change::Fence { token, expect } => CommandBody::Fence {
                    origin,
                    log,
                    token,
                    expect,
                },
                Change::SetCursor { name, at, expect } => CommandBody::SetCursor {
                    origin,
                    log,
                    name,
                    at,
                    expect,
                },
                Change::DeleteCursor { name } => CommandBody::DeleteCursor { origin, log, name },
            },
        }
    }
}

/// A command ended.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandDone {
    /// Its token.
    pub token: Token,
    /// The id of the log that it was sent to; none if it was never sent, or makes a log. Another log may have the name
    /// by now.
    pub log: Option<u64>,
    /// What it did; which answer each sort of [`Command`] has, it says.
    pub result: Result<CommandOutcome, Error>,
}

/// Commands that change state, numbered and retried like appends, one at a time in the order taken.
/// The producer is opened with the first command.
#[derive(Debug)]
pub struct Commands {
    pipeline: Pipeline<Sent>,
}

/// Whose command it is, and what it was sent to.
#[derive(Debug)]
struct Sent {
    token: Token,
    log: Option<u64>,
}

impl Owner for Sent {
    fn sent_to(&mut self, log: u64) {
        self.log = Some(log);
    }
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

    /// Takes a command. It ends by `deadline`.
    pub fn push(&mut self, now: Nanos, token: Token, command: Command, deadline: Nanos) {
        let work = Work::Command(command);
        let sent = Sent { token, log: None };
        self.pipeline.push(sent, work, Vec::new(), deadline);
        self.pipeline.drive(now);
    }

    /// Ends every command at once: those that were sent and not answered with an unknown outcome, the others as not
    /// applied, and never to be. `why` is what they end with otherwise. Commands may follow.
    pub fn give_up(&mut self, why: Error) {
        self.pipeline.close(why);
    }

    /// The next command that ended.
    pub fn poll_done(&mut self) -> Option<CommandDone> {
        let settled = self.pipeline.settled.pop_front()?;
        Some(CommandDone {
            token: settled.owner.token,
            log: settled.owner.log,
            result: settled.result,
        })
    }

    /// Whether every command taken is settled; one that ended by its deadline goes on until it is.
    pub fn is_idle(&self) -> bool {
        self.pipeline.is_empty() && self.pipeline.settled.is_empty()
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
