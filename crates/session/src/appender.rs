//! Appends to one log.

use std::collections::VecDeque;

use paxlog_wire::batch::Record;
use paxlog_wire::client::{LastReceipt, Receipt};
use paxlog_wire::{Code, Frame, LeaderHint};

use crate::{Effect, Error, LeaderTracker, Machine, Nanos, StreamId, Token};

/// How an [`Appender`] packs, names and numbers what it sends.
#[derive(Clone, Debug)]
pub struct AppenderConfig {
    /// The log's name.
    pub log: String,
    /// Whether to make the log if it does not exist (and the cluster allows it).
    pub create: bool,
    /// The name under which the cluster finds this producer again; opening it shuts out whoever had
    /// it open. None: an anonymous producer.
    pub producer: Option<String>,
    /// Drawn at random by the owner, for this appender alone.
    pub nonce: u128,
    /// Of all other randomness.
    pub seed: u64,
    /// How long opening may take until it fails.
    pub open_deadline: Nanos,
    /// How long a batch that is not full waits for more records. 0: a batch closes when the window
    /// has room and [`Appender::flush`] says that the input is drained.
    pub linger: Nanos,
    /// The largest batch in bytes, its framing included; at most 4 MiB.
    pub batch_bytes_max: usize,
    /// The most records of one batch; of appends of one record each.
    pub batch_records_max: u32,
    /// The most batches in flight, at most 4,096.
    pub window: usize,
    /// The most bytes taken and not yet ended.
    pub window_bytes: usize,
    /// Silence of a replica with something to answer after which another is tried.
    pub silence: Nanos,
}

impl AppenderConfig {
    /// The defaults, for a log of that name.
    pub fn new(log: impl Into<String>, nonce: u128, seed: u64) -> AppenderConfig {
        AppenderConfig {
            log: log.into(),
            create: true,
            producer: None,
            nonce,
            seed,
            open_deadline: 10_000_000_000,
            linger: 0,
            batch_bytes_max: 1 << 20,
            batch_records_max: u32::MAX,
            window: 1024,
            window_bytes: 16 << 20,
            silence: 3_000_000_000,
        }
    }
}

/// What an [`Appender`] has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum AppendEvent {
    /// The producer and the log are open; said once, or [`AppendEvent::Closed`] instead.
    Opened(Opened),
    /// An append ended. In the order in which they were taken, each exactly once.
    Done {
        /// Its token.
        token: Token,
        /// Its receipt: `start..end` are the offsets of this append's records.
        result: Result<Receipt, Error>,
    },
    /// The appender is over: it could not be opened, or another one took its producer over. Every
    /// append taken has ended; every later one is refused with the same error.
    Closed(Error),
}

/// What an appender opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The producer's id.
    pub producer: u64,
    /// Its epoch.
    pub epoch: u32,
    /// The last receipt of the producer's older epochs, for one with a name.
    pub last: Option<LastReceipt>,
    /// The log's id.
    pub log: u64,
}

/// Why an append was not taken. It leaves no trace: nothing of it will be sent or reported.
#[derive(Clone, Debug, PartialEq)]
pub enum NotTaken {
    /// The window is full: try again when an append has ended.
    Full,
    /// It never fits, or the appender is over.
    Refused(Error),
}

/// Appends to one log, in order, many in flight, none twice and none left out.
#[derive(Debug)]
pub struct Appender {
    effects: VecDeque<Effect>,
    events: VecDeque<AppendEvent>,
}

impl Appender {
    /// Begins to open its producer and its log at once.
    pub fn new(_now: Nanos, _config: AppenderConfig, _leader: LeaderTracker) -> Appender {
        Appender {
            effects: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes records to append, all or none and in one batch, after all taken before. It ends by
    /// `deadline`, up to 100 ms early if it shares its batch with an earlier one.
    ///
    /// # Errors
    /// [`NotTaken`]; nothing happened.
    pub fn append(
        &mut self,
        _now: Nanos,
        _token: Token,
        _records: &[Record],
        _deadline: Nanos,
    ) -> Result<(), NotTaken> {
        Err(NotTaken::Refused(Error::new(
            Code::Unavailable,
            "not opened",
        )))
    }

    /// The input is drained: what was taken goes out, as far as the window has room and `linger`
    /// allows. Call it once for all appends of a turn.
    pub fn flush(&mut self, _now: Nanos) {}

    /// As [`Appender::flush`], not waiting for `linger`.
    pub fn flush_now(&mut self, _now: Nanos) {}

    /// Whether every append taken has ended.
    pub fn is_idle(&self) -> bool {
        true
    }

    /// The next thing it has to say.
    pub fn poll_event(&mut self) -> Option<AppendEvent> {
        self.events.pop_front()
    }
}

impl Machine for Appender {
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
