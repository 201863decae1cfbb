//! Appends to one log.

use std::collections::VecDeque;
use std::sync::Arc;

use paxlog_wire::batch::{BATCH_HEADER_BYTES, BatchBuilder, Record};
use paxlog_wire::client::{CommandOutcome, LastReceipt, Receipt};
use paxlog_wire::{Code, Frame, LeaderHint, OutcomeFact, limits};

use crate::codec::Compressor;
use crate::pipeline::{Owner, Pipeline, Policy, Setup, Work};
use crate::{Compression, Effect, Error, LeaderTracker, Machine, Nanos, StreamId, Token};

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
    /// When opening fails, if it has not succeeded; by default never.
    pub open_deadline: Nanos,
    /// How long a batch that is not full waits for more records. 0: a batch closes when the window
    /// has room and [`Appender::flush`] says that the input is drained.
    pub linger: Nanos,
    /// The largest batch in bytes, its framing included, before it is compressed; at most 4 MiB.
    pub batch_bytes_max: usize,
    /// The most records of one batch; of appends of one record each.
    pub batch_records_max: u32,
    /// The most batches in flight, at most 4,096.
    pub window: usize,
    /// The most bytes taken and not yet ended.
    pub window_bytes: usize,
    /// Silence of a replica with something to answer after which another is tried.
    pub silence: Nanos,
    /// The log's fence, if it has one: appends that carry another are refused.
    pub fence: Option<String>,
    /// How batches are compressed when they close. What this build cannot do closes the appender with `Invalid` before
    /// anything is sent.
    pub compression: Compression,
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
            open_deadline: Nanos::MAX,
            linger: 0,
            batch_bytes_max: 1 << 20,
            batch_records_max: u32::MAX,
            window: 1024,
            window_bytes: 16 << 20,
            silence: 3_000_000_000,
            fence: None,
            compression: Compression::None,
        }
    }
}

/// What an [`Appender`] has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum AppendEvent {
    /// The producer and the log are open; said once, or [`AppendEvent::Closed`] instead.
    Opened(Opened),
    /// An append ended. Each does exactly once; in the order in which they were taken, but for one whose deadline passes
    /// before that of an earlier one.
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
///
/// An append that is refused ends, and with it, with the same error, every append taken before that
/// was reported: what is in the log has no holes. The next append begins anew.
#[derive(Debug)]
pub struct Appender {
    config: AppenderConfig,
    /// The log's name, as each batch carries it.
    log: Arc<str>,
    fence: Option<Arc<str>>,
    pipeline: Pipeline<Vec<Waiter>>,
    batch: OpenBatch,
    /// Of batches that close.
    compressor: Option<Compressor>,
    /// To ask what fits an empty batch.
    empty: BatchBuilder,
    /// When opening fails; none once it is decided.
    open_by: Option<Nanos>,
    /// Appends taken and not ended.
    unended: u64,
    closed_reported: bool,
    events: VecDeque<AppendEvent>,
}

/// One append in its batch.
#[derive(Debug)]
struct Waiter {
    token: Token,
    records: u32,
}

/// An appender has one log, and says so when it is open.
impl Owner for Vec<Waiter> {}

/// The batch that still takes records.
#[derive(Debug, Default)]
struct OpenBatch {
    builder: BatchBuilder,
    waiters: Vec<Waiter>,
    /// Of the first append in it.
    deadline: Nanos,
    /// The tail that it expects; such a batch is one append.
    if_tail: Option<u64>,
    opened: Nanos,
    /// The input was drained since it began: it goes as soon as the window has room.
    due: bool,
}

impl Appender {
    /// Begins to open its producer and its log at once.
    pub fn new(now: Nanos, config: AppenderConfig, leader: LeaderTracker) -> Appender {
        let setup = Setup {
            policy: Policy::Stream,
            window: config.window,
            silence: config.silence,
            producer: config.producer.clone(),
            nonce: config.nonce,
            seed: config.seed,
            log: Some((config.log.clone(), config.create)),
        };
        let mut appender = Appender {
            open_by: Some(config.open_deadline),
            log: config.log.as_str().into(),
            fence: config.fence.as_deref().map(Arc::from),
            pipeline: Pipeline::new(setup, leader),
            config,
            batch: OpenBatch::default(),
            compressor: None,
            empty: BatchBuilder::new(),
            unended: 0,
            closed_reported: false,
            events: VecDeque::new(),
        };
        match Compressor::new(appender.config.compression) {
            Ok(compressor) => appender.compressor = compressor,
            Err(error) => {
                appender.pipeline.close(error);
                appender.report();
            }
        }
        appender.pipeline.drive(now);
        appender
    }

    /// Takes records to append, all or none and in one batch, after all taken before. It ends by
    /// `deadline`, up to 100 ms early if it shares its batch with an earlier one.
    ///
    /// # Errors
    /// [`NotTaken`]; nothing happened.
    pub fn append(
        &mut self,
        now: Nanos,
        token: Token,
        records: &[Record],
        deadline: Nanos,
    ) -> Result<(), NotTaken> {
        self.append_at(now, token, records, None, deadline)
    }

    /// As [`Appender::append`], refused with `TailMismatch` unless the log's tail is `if_tail`, if that is given. Such an
    /// append is a batch of its own, and goes at once, as far as the window has room.
    ///
    /// # Errors
    /// [`NotTaken`]; nothing happened.
    pub fn append_at(
        &mut self,
        now: Nanos,
        token: Token,
        records: &[Record],
        if_tail: Option<u64>,
        deadline: Nanos,
    ) -> Result<(), NotTaken> {
        if let Some(error) = &self.pipeline.closed {
            return Err(NotTaken::Refused(error.clone()));
        }
        let bytes = self.check(records)?;
        let held = self.pipeline.bytes() + self.batch.builder.bytes();
        if !self.is_idle() && held + bytes > self.config.window_bytes {
            return Err(NotTaken::Full);
        }
        let fits = if_tail.is_none()
            && self.batch.builder.bytes() + bytes <= self.batch_bytes_max()
            && self.batch.builder.records() as usize + records.len()
                <= self.config.batch_records_max as usize
            && deadline >= self.batch.deadline
            && deadline - self.batch.deadline <= SHARED_NS;
        if !self.batch.builder.is_empty() && !fits {
            self.close_batch(now);
        }
        if self.batch.builder.is_empty() {
            self.batch.deadline = deadline;
            self.batch.if_tail = if_tail;
            self.batch.opened = now;
            self.batch.due = false;
        }
        for record in records {
            if let Err(error) = self.batch.builder.push(record) {
                // check() asked all there is to ask, so this can't be; if it were, the batch would
                // hold half an append.
                unreachable!("a record that was checked does not fit: {error}");
            }
        }
        self.batch.waiters.push(Waiter {
            token,
            records: records.len() as u32,
        });
        self.unended += 1;
        let full = if_tail.is_some()
            || self.batch.builder.bytes() >= self.batch_bytes_max()
            || self.batch.builder.records() >= self.config.batch_records_max;
        if full {
            self.close_batch(now);
        }
        Ok(())
    }

    /// The input is drained: what was taken goes out, as far as the window has room and `linger`
    /// allows. Call it once for all appends of a turn.
    pub fn flush(&mut self, now: Nanos) {
        self.batch.due |= self.config.linger == 0;
        self.advance(now);
    }

    /// As [`Appender::flush`], not waiting for `linger`.
    pub fn flush_now(&mut self, now: Nanos) {
        self.batch.due = true;
        self.advance(now);
    }

    /// Whether every append taken has ended.
    pub fn is_idle(&self) -> bool {
        self.unended == 0
    }

    /// Bytes of appends that are held, those included whose end was reported by their deadline.
    pub fn bytes_held(&self) -> usize {
        self.pipeline.bytes() + self.batch.builder.bytes()
    }

    /// The next thing it has to say.
    pub fn poll_event(&mut self) -> Option<AppendEvent> {
        self.events.pop_front()
    }

    /// Ends everything at once, with what is known of it.
    pub fn close(&mut self, now: Nanos) {
        if self.pipeline.closed.is_none() {
            self.pipeline
                .close(Error::new(Code::Unavailable, "the appender was closed"));
        }
        self.advance(now);
    }

    fn batch_bytes_max(&self) -> usize {
        self.config.batch_bytes_max.min(limits::BATCH_BYTES_MAX)
    }

    /// Whether the records fit a batch at all, and how much they take in one.
    fn check(&self, records: &[Record]) -> Result<usize, NotTaken> {
        let refused = |code, message: String| Err(NotTaken::Refused(Error::new(code, message)));
        if records.is_empty() {
            return refused(Code::Invalid, "an append needs at least one record".into());
        }
        let mut bytes = 0;
        for record in records {
            if let Err(error) = self.empty.fits(record) {
                return refused(Code::TooLarge, error.to_string());
            }
            bytes += record.encoded_len();
        }
        // One append may fill a batch of its own, whatever batch_bytes_max says.
        if bytes > limits::BATCH_BYTES_MAX - BATCH_HEADER_BYTES {
            let message = format!(
                "the records of one append are over the limit of {}",
                limits::BATCH_BYTES_MAX
            );
            return refused(Code::TooLarge, message);
        }
        Ok(bytes)
    }

    fn close_batch(&mut self, now: Nanos) {
        let builder = &mut self.batch.builder;
        let finished = match &mut self.compressor {
            Some(compressor) => compressor.finish(builder),
            None => builder.finish(),
        };
        let Ok(finished) = finished else {
            return;
        };
        let waiters = std::mem::take(&mut self.batch.waiters);
        let work = Work::Append {
            log: Arc::clone(&self.log),
            if_tail: self.batch.if_tail.take(),
            fence: self.fence.clone(),
        };
        self.pipeline
            .push(waiters, work, finished.into_parts(), self.batch.deadline);
        self.pipeline.drive(now);
    }

    /// After anything happened: reports it, and sends what may go.
    fn advance(&mut self, now: Nanos) {
        self.pipeline.drive(now);
        self.report();
        if self.open_by.is_some_and(|by| by <= now) {
            let error = self.pipeline.not_opened();
            self.pipeline.close(error);
            self.report();
        }
        if !self.batch.builder.is_empty() {
            let lingered = self.batch.opened.saturating_add(self.config.linger) <= now
                && self.config.linger > 0;
            self.batch.due |= lingered;
            let late = self.batch.deadline <= now;
            if late
                || (self.batch.due && self.pipeline.has_room())
                || self.pipeline.closed.is_some()
            {
                self.close_batch(now);
                self.report();
            }
        }
    }

    fn report(&mut self) {
        if self.open_by.is_some()
            && let Some(opened) = self.pipeline.opened()
        {
            self.open_by = None;
            self.events.push_back(AppendEvent::Opened(opened));
        }
        while let Some(settled) = self.pipeline.settled.pop_front() {
            self.end(settled.owner, settled.result);
        }
        if let Some(error) = self.pipeline.broke.take() {
            self.end_open_batch(error);
        }
        if let Some(error) = &self.pipeline.closed
            && !self.closed_reported
        {
            let error = error.clone();
            self.closed_reported = true;
            self.open_by = None;
            let never_sent = Error {
                outcome: OutcomeFact::NotApplied,
                ..error.clone()
            };
            self.end_open_batch(never_sent);
            self.events.push_back(AppendEvent::Closed(error));
        }
    }

    /// Ends what was never given to the pipeline.
    fn end_open_batch(&mut self, error: Error) {
        self.batch.builder.clear();
        let waiters = std::mem::take(&mut self.batch.waiters);
        self.end(waiters, Err(error));
    }

    /// Ends the appends of one batch.
    fn end(&mut self, waiters: Vec<Waiter>, result: Result<CommandOutcome, Error>) {
        let records: u64 = waiters.iter().map(|waiter| u64::from(waiter.records)).sum();
        let result = match result {
            Ok(CommandOutcome::Appended(receipt))
                if receipt.end.checked_sub(receipt.start) == Some(records) =>
            {
                Ok(receipt)
            }
            Ok(other) => {
                let message =
                    format!("a replica answered the append of {records} records with {other:?}");
                Err(Error::new(Code::Internal, message))
            }
            Err(error) => Err(error),
        };
        let mut start = result.as_ref().map_or(0, |receipt| receipt.start);
        for waiter in waiters {
            self.unended -= 1;
            let end = start + u64::from(waiter.records);
            let result = match &result {
                Ok(receipt) => Ok(Receipt {
                    start,
                    end,
                    ..*receipt
                }),
                Err(error) => Err(error.clone()),
            };
            start = end;
            self.events.push_back(AppendEvent::Done {
                token: waiter.token,
                result,
            });
        }
    }
}

impl Machine for Appender {
    fn handle_up(&mut self, now: Nanos, stream: StreamId) {
        self.pipeline.handle_up(now, stream);
        self.advance(now);
    }

    fn handle_frame(&mut self, now: Nanos, stream: StreamId, frame: Frame) {
        self.pipeline.handle_frame(now, stream, &frame);
        self.advance(now);
    }

    fn handle_down(&mut self, now: Nanos, stream: StreamId, why: Error) {
        self.pipeline.handle_down(now, stream, why);
        self.advance(now);
    }

    fn handle_leader(&mut self, now: Nanos, hint: &LeaderHint) {
        self.pipeline.handle_leader(hint);
        self.advance(now);
    }

    fn handle_tick(&mut self, now: Nanos) {
        self.pipeline.handle_tick(now);
        self.advance(now);
    }

    fn poll_timer(&self) -> Option<Nanos> {
        let batch = (!self.batch.builder.is_empty()).then(|| {
            let lingered = self.batch.opened.saturating_add(self.config.linger);
            let waits = self.config.linger > 0 && !self.batch.due;
            if waits {
                lingered.min(self.batch.deadline)
            } else {
                self.batch.deadline
            }
        });
        let open_by = self.open_by.filter(|&by| by != Nanos::MAX);
        [self.pipeline.poll_timer(), open_by, batch]
            .into_iter()
            .flatten()
            .min()
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        self.pipeline.effects.pop_front()
    }
}

/// How far the deadlines of appends in one batch may lie apart.
const SHARED_NS: Nanos = 100_000_000;
