//! The state of one group, and the one function that changes it.

use crate::checkpoint::{self, CheckpointError};
use crate::command::{Body, Command};
use crate::config::LogConfig;
use crate::describe::{Cursor, CursorListing, Description, Listing};
use crate::digest::digest;
use crate::ids::{LogId, Position, Timestamp};
use crate::log::{Log, Logs};
use crate::outcome::Outcome;
use crate::producer::{self, Producers};

/// Everything that a group's commands have made: its logs and its producers.
///
/// A clone shares what it can: it costs a few words per log and producer, and
/// what changes afterwards is copied then, one log or chunk of receipts at a
/// time. So a checkpoint is a clone here and an [`State::encode`] elsewhere.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) applied: Option<Position>,
    /// The group's last timestamp; never goes back.
    pub(crate) last_timestamp: Timestamp,
    pub(crate) logs: Logs,
    pub(crate) producers: Producers,
}

impl State {
    /// The state before the first command.
    pub fn new() -> State {
        State {
            applied: None,
            last_timestamp: Timestamp(0),
            logs: Logs::new(),
            producers: Producers::new(),
        }
    }

    /// Applies the command at `index` in the value of `slot`, which carries the
    /// proposer's clock `clock_ns` (since 1970). Its timestamp is the clock or
    /// the group's last timestamp, whichever is later.
    ///
    /// # Panics
    /// If (`slot`, `index`) is not above the last one applied: going on would
    /// apply a command twice or out of order.
    pub fn apply(&mut self, slot: u64, index: u32, clock_ns: u64, command: &Command) -> Outcome {
        let at = Position { slot, index };
        assert!(
            self.applied.is_none_or(|last| last < at),
            "commands are applied once and in order: {at:?} after {:?}",
            self.applied
        );
        self.applied = Some(at);
        self.last_timestamp = self.last_timestamp.max(Timestamp(clock_ns));
        let outcome = match (&command.body, &command.origin) {
            (Body::OpenProducer { nonce, name }, None) => {
                self.producers.open(at, *nonce, name.as_ref())
            }
            (Body::Retain { log, to }, None) => match self.logs.retain(*log, *to) {
                Ok(receipt) => receipt.outcome(false),
                Err((why, version)) => Outcome::Refused { why, version },
            },
            _ => self.apply_numbered(at, command),
        };
        while let Some(forgotten) = self.producers.evict() {
            self.logs.move_producer(forgotten.last_log, None);
        }
        outcome
    }

    fn apply_numbered(&mut self, at: Position, command: &Command) -> Outcome {
        if let Some(origin) = &command.origin {
            self.producers.touch_origin(at, origin);
        }
        if let Some(outcome) = producer::settled(&self.producers, command) {
            return outcome;
        }
        let id = command
            .origin
            .expect("settled() answers a command without one")
            .producer;
        match self.logs.apply(&command.body, self.last_timestamp) {
            Ok(receipt) => {
                let before = self.producers.keep(id, receipt);
                self.logs.move_producer(before, Some(receipt.log()));
                receipt.outcome(false)
            }
            Err((why, version)) => {
                self.producers.end_epoch(id, why, version);
                Outcome::Refused { why, version }
            }
        }
    }

    /// The answer that `command` would get now if that does not depend on any
    /// log: a kept receipt, a refusal of its producer's numbering, the answer
    /// to a repeated opening. It may be given at once, since what is applied
    /// here stays so, except a [`crate::Refusal::SequenceGap`], which earlier
    /// commands under way would close: that one gives None.
    pub fn lookup(&self, command: &Command) -> Option<Outcome> {
        producer::settled(&self.producers, command).filter(|outcome| {
            !matches!(
                outcome,
                Outcome::Refused {
                    why: crate::Refusal::SequenceGap { .. } | crate::Refusal::Invalid(_),
                    ..
                }
            )
        })
    }

    /// The id of the log of that name.
    pub fn by_name(&self, name: &str) -> Option<LogId> {
        self.logs.by_name.get(name).copied()
    }

    /// The log as it is now.
    pub fn describe(&self, log: LogId) -> Option<Description> {
        self.logs.describe(log)
    }

    /// Where a cursor of the log stands, if there is one of that name.
    pub fn cursor(&self, log: LogId, name: &str) -> Option<Cursor> {
        self.logs.cursor(log, name)
    }

    /// Cursors of the log whose names begin with `prefix` and come after `after`, in the order of their names, at most
    /// `limit`; none where there is no such log.
    pub fn cursors(
        &self,
        log: LogId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> CursorListing {
        self.logs.cursors(log, prefix, after, limit)
    }

    /// Whether a log of that id was made and deleted.
    pub fn was_deleted(&self, log: LogId) -> bool {
        self.logs.was_deleted(log)
    }

    /// Logs whose settings say that records go by age or by bytes, in the order of ids.
    pub fn retaining(&self) -> impl Iterator<Item = (LogId, LogConfig)> + '_ {
        self.logs
            .by_id
            .iter()
            .map(|(&id, log)| (id, log.config))
            .filter(|(_, config)| config.retains())
    }

    /// The log's settings.
    pub fn config(&self, log: LogId) -> Option<LogConfig> {
        self.logs.by_id.get(&log).map(|log| log.config)
    }

    /// Logs whose names begin with `prefix` and come after `after`, in the
    /// order of their names, at most `limit`.
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Listing {
        self.logs.list(prefix, after, limit)
    }

    /// Every log with its trim point and tail, in the order of ids: what the
    /// owner's index of the write-ahead log asks.
    pub fn ranges(&self) -> impl Iterator<Item = (LogId, std::ops::Range<u64>)> + '_ {
        self.logs
            .by_id
            .iter()
            .map(|(&id, log): (_, &std::sync::Arc<Log>)| (id, log.trim_point.0..log.tail.0))
    }

    /// How many logs there are.
    pub fn logs(&self) -> usize {
        self.logs.by_id.len()
    }

    /// How many producers are known.
    pub fn producers(&self) -> usize {
        self.producers.by_id.len()
    }

    /// How many receipts are kept over all producers.
    pub fn receipts(&self) -> u64 {
        self.producers.receipts()
    }

    /// The place of the last command applied.
    pub fn applied(&self) -> Option<Position> {
        self.applied
    }

    /// The group's last timestamp.
    pub fn last_timestamp(&self) -> Timestamp {
        self.last_timestamp
    }

    /// A digest of the whole state: equal on every replica after the same slot.
    /// It encodes the state; not for every slot of a busy replica.
    pub fn digest(&self) -> u64 {
        digest(&self.encode())
    }

    /// The whole state as a checkpoint: the same bytes for the same state.
    pub fn encode(&self) -> Vec<u8> {
        checkpoint::encode(self)
    }

    /// Reads a checkpoint back.
    ///
    /// # Errors
    /// [`CheckpointError`] if the bytes are no checkpoint of this version, or
    /// contradict themselves.
    pub fn decode(bytes: &[u8]) -> Result<State, CheckpointError> {
        checkpoint::decode(bytes)
    }
}

impl Default for State {
    fn default() -> Self {
        State::new()
    }
}
