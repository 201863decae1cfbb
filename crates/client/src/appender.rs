//! The pipelined, idempotent appender.
//!
//! Callers put appends into an inbox; one task takes all there are, lets the state machine pack and send
//! them, and hands back all that ended: a wake-up each way for as many appends as came together.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use paxlog_session::{AppendEvent, AppenderConfig, NotTaken, Opened, Token};
use paxlog_wire::batch::{BATCH_HEADER_BYTES, RECORD_HEAD_BYTES, Record};
use paxlog_wire::client::Receipt;
use paxlog_wire::{Code, OutcomeFact, limits};
use tokio::sync::{Notify, Semaphore, oneshot};

use crate::driver::Driver;
use crate::pool::Pool;
use crate::types::{AppenderOptions, Summary};
use crate::{Error, random};

/// Appends to one log, in order, many in flight; retries keep their sequence, so nothing is appended twice and
/// nothing is left out between two receipts. Dropped, it still ends what it took.
#[derive(Debug)]
pub struct Appender {
    opened: Opened,
    shared: Arc<Shared>,
    /// Opens the window's room; bytes.
    window_bytes: usize,
    batch_bytes_max: usize,
}

/// The receipt to come of one [`Appender::append`].
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Receipt, Error>>);

/// The end of one tagged append ([`Appender::append_tagged`]).
#[derive(Clone, Debug)]
pub struct Completion {
    /// The caller's tag.
    pub tag: u64,
    /// What came of it.
    pub result: Result<Receipt, Error>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Bytes of the window that are free.
    room: Semaphore,
    /// Tagged appends ended.
    completed: Notify,
    /// Any appends ended.
    progress: Notify,
    /// How long an append may take, in nanoseconds.
    deadline: u64,
}

#[derive(Debug, Default)]
struct State {
    inbox: VecDeque<Item>,
    /// The task waits for something in the inbox.
    waker: Option<Waker>,
    flush: bool,
    /// The handle is gone: end when idle.
    dropped: bool,
    /// Appends taken and ended.
    taken: u64,
    ended: u64,
    completions: Vec<Completion>,
    first_error: Option<Error>,
    /// The appender is over.
    closed: Option<Error>,
    summary: Summary,
}

#[derive(Debug)]
struct Item {
    records: Vec<Record>,
    /// The tail that it expects.
    if_tail: Option<u64>,
    deadline: u64,
    flight: Flight,
}

/// What is remembered of an append until it ends.
#[derive(Debug)]
struct Flight {
    sink: Sink,
    /// Bytes of the window it holds.
    room: u32,
    records: u32,
    /// Keys, headers and payloads.
    bytes: u64,
}

#[derive(Debug)]
enum Sink {
    One(oneshot::Sender<Result<Receipt, Error>>),
    Tagged(u64),
}

impl Appender {
    pub(crate) async fn open(
        pool: Arc<Pool>,
        log: &str,
        options: AppenderOptions,
    ) -> Result<Appender, Error> {
        let config = AppenderConfig {
            create: options.create,
            producer: options.producer,
            open_deadline: pool.now() + nanos(options.deadline),
            linger: nanos(options.linger),
            // The largest record must fit, whatever was asked for.
            batch_bytes_max: options
                .max_batch_bytes
                .clamp(BATCH_BYTES_MIN, limits::BATCH_BYTES_MAX),
            batch_records_max: options.max_batch_records.max(1),
            // Room is counted here; the machine's own bound is only a second fence.
            window_bytes: options.window_bytes.saturating_mul(2) + 2 * limits::BATCH_BYTES_MAX,
            window: WINDOW_BATCHES,
            fence: options.fence,
            compression: options.compression,
            ..AppenderConfig::new(log, random::nonce(), random::seed())
        };
        let batch_bytes_max = config.batch_bytes_max;
        let machine = paxlog_session::Appender::new(pool.now(), config, pool.tracker());
        let window_bytes = options.window_bytes.clamp(1, u32::MAX as usize >> 1);
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            room: Semaphore::new(window_bytes),
            completed: Notify::new(),
            progress: Notify::new(),
            deadline: nanos(options.deadline),
        });
        let mut task = Task {
            driver: Driver::new(pool, machine),
            shared: shared.clone(),
            flights: VecDeque::new(),
            waiting: VecDeque::new(),
            next_token: 0,
            over: None,
        };
        let opened = poll_fn(|context| task.poll_opened(context)).await;
        let opened = opened.map_err(|error| task.driver.explain(error))?;
        tokio::spawn(task);
        Ok(Appender {
            opened,
            shared,
            window_bytes,
            batch_bytes_max,
        })
    }

    /// Takes records to append, all or none, in order after all taken before; waits while the
    /// window is full.
    ///
    /// # Errors
    /// `TooLarge` or `Invalid` for records that fit no batch; the error that ended this appender, if one did.
    pub async fn append(&self, records: Vec<Record>) -> Result<Pending, Error> {
        let (sender, receiver) = oneshot::channel();
        self.put(records, None, Sink::One(sender)).await?;
        Ok(Pending(receiver))
    }

    /// As [`Appender::append`], on the condition that the log's tail is `tail` when the append is ordered; its receipt
    /// ends with `TailMismatch` if it is not, which ends every append taken after it, too.
    ///
    /// # Errors
    /// As [`Appender::append`].
    pub async fn append_at(&self, records: Vec<Record>, tail: u64) -> Result<Pending, Error> {
        let (sender, receiver) = oneshot::channel();
        self.put(records, Some(tail), Sink::One(sender)).await?;
        Ok(Pending(receiver))
    }

    /// What opening this appender found: its producer's id and epoch, and the last receipt of its older epochs, which
    /// settles what was unknown of them: nothing of them is applied any more.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// As [`Appender::append`], with the end reported through [`Appender::completions`]: one wake-up
    /// for many, where a future each costs too much.
    ///
    /// # Errors
    /// As [`Appender::append`].
    pub async fn append_tagged(&self, records: Vec<Record>, tag: u64) -> Result<(), Error> {
        self.put(records, None, Sink::Tagged(tag)).await
    }

    /// [`Appender::append_tagged`] on the condition of [`Appender::append_at`].
    ///
    /// # Errors
    /// As [`Appender::append`].
    pub async fn append_tagged_at(
        &self,
        records: Vec<Record>,
        tail: u64,
        tag: u64,
    ) -> Result<(), Error> {
        self.put(records, Some(tail), Sink::Tagged(tag)).await
    }

    async fn put(
        &self,
        records: Vec<Record>,
        if_tail: Option<u64>,
        sink: Sink,
    ) -> Result<(), Error> {
        let (mut encoded, mut bytes) = (BATCH_HEADER_BYTES, 0);
        for record in &records {
            let length = record.encoded_len();
            encoded += length;
            bytes += (length - RECORD_HEAD_BYTES) as u64;
            check(record, length)?;
        }
        if records.is_empty() {
            return Err(Error::new(Code::Invalid, "there is nothing to append"));
        }
        if encoded > self.batch_bytes_max {
            return Err(Error::new(
                Code::TooLarge,
                format!(
                    "{} records of {encoded} bytes do not fit into one batch of {} bytes",
                    records.len(),
                    self.batch_bytes_max
                ),
            ));
        }
        let room = encoded.min(self.window_bytes) as u32;
        match self.shared.room.acquire_many(room).await {
            // Given back when the append ends.
            Ok(permit) => permit.forget(),
            Err(_) => return Err(self.closed()),
        }
        let flight = Flight {
            sink,
            room,
            records: records.len() as u32,
            bytes,
        };
        let waker = {
            let mut state = self.shared.lock();
            if let Some(error) = &state.closed {
                return Err(error.clone());
            }
            state.taken += 1;
            state.summary.pending += u64::from(flight.records);
            // The task gives it its deadline: it knows the clock.
            state.inbox.push_back(Item {
                records,
                if_tail,
                deadline: 0,
                flight,
            });
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Waits for ends of tagged appends, and moves all there are behind `into`, in the order of the appends.
    pub async fn completions(&self, into: &mut Vec<Completion>) {
        loop {
            {
                let mut state = self.shared.lock();
                if !state.completions.is_empty() {
                    into.append(&mut state.completions);
                    return;
                }
            }
            self.shared.completed.notified().await;
        }
    }

    /// Waits until everything taken so far has ended; nothing lingers meanwhile.
    ///
    /// # Errors
    /// The first error since the last flush.
    pub async fn flush(&self) -> Result<(), Error> {
        let (taken, waker) = {
            let mut state = self.shared.lock();
            state.flush = true;
            (state.taken, state.waker.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        loop {
            let progress = self.shared.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            {
                let mut state = self.shared.lock();
                if state.ended >= taken {
                    return state.first_error.take().map_or(Ok(()), Err);
                }
            }
            progress.await;
        }
    }

    /// What was done so far.
    pub fn summary(&self) -> Summary {
        self.shared.lock().summary.clone()
    }

    /// Flushes, and says what was done. Errors are in the counts of the summary.
    pub async fn close(self) -> Summary {
        // Each error was given to whoever appended, and is counted.
        let _ = self.flush().await;
        self.summary()
    }

    fn closed(&self) -> Error {
        self.shared
            .lock()
            .closed
            .clone()
            .unwrap_or_else(|| Error::new(Code::Unavailable, "the appender is closed"))
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.shared.lock();
            state.dropped = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Pending {
    type Output = Result<Receipt, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|result| {
            // The task is gone only with its runtime.
            result.unwrap_or_else(|_| {
                Err(Error::new(
                    Code::OutcomeUnknown,
                    "the client was shut down before the receipt came",
                ))
            })
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code in here panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for one record of the largest size.
const BATCH_BYTES_MIN: usize = BATCH_HEADER_BYTES + RECORD_HEAD_BYTES + limits::RECORD_BYTES_MAX;

/// Batches in flight: as many as the cluster keeps receipts for.
const WINDOW_BATCHES: usize = limits::APPENDS_IN_FLIGHT_MAX as usize;

/// Owns the machine; ends when the handle is gone and everything has ended.
struct Task {
    driver: Driver<paxlog_session::Appender>,
    shared: Arc<Shared>,
    /// Given to the machine, in order.
    flights: VecDeque<(Token, Flight)>,
    /// Taken from the inbox, for which the machine has no room yet.
    waiting: VecDeque<Item>,
    next_token: u64,
    over: Option<Error>,
}

impl Task {
    fn poll_opened(&mut self, context: &mut Context<'_>) -> Poll<Result<Opened, Error>> {
        loop {
            while let Some(event) = self.driver.machine.poll_event() {
                match event {
                    AppendEvent::Opened(opened) => return Poll::Ready(Ok(opened)),
                    AppendEvent::Closed(error) => return Poll::Ready(Err(error)),
                    AppendEvent::Done { .. } => {}
                }
            }
            if self.driver.poll_turn(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Gives the machine what it has room for. True if anything was given.
    fn give(&mut self) -> bool {
        let mut given = false;
        let now = self.driver.now();
        while let Some(item) = self.waiting.front() {
            let token = Token(self.next_token);
            match self.driver.machine.append_at(
                now,
                token,
                &item.records,
                item.if_tail,
                item.deadline,
            ) {
                Ok(()) => {
                    let item = self.waiting.pop_front().expect("it was at the front");
                    self.flights.push_back((token, item.flight));
                    self.next_token += 1;
                    given = true;
                }
                Err(NotTaken::Full) => break,
                Err(NotTaken::Refused(error)) => {
                    let item = self.waiting.pop_front().expect("it was at the front");
                    self.end(vec![(item.flight, Err(error))]);
                }
            }
        }
        given
    }

    /// Hands ends back, all at once.
    fn end(&mut self, ends: Vec<(Flight, Result<Receipt, Error>)>) {
        if ends.is_empty() {
            return;
        }
        let (mut room, mut tagged) = (0, false);
        {
            let mut state = self.shared.lock();
            for (flight, result) in ends {
                room += flight.room as usize;
                state.ended += 1;
                count(&mut state.summary, &flight, &result);
                if let Err(error) = &result
                    && state.first_error.is_none()
                {
                    state.first_error = Some(error.clone());
                }
                match flight.sink {
                    Sink::Tagged(tag) => {
                        state.completions.push(Completion { tag, result });
                        tagged = true;
                    }
                    // Whoever asked may have stopped waiting.
                    Sink::One(sender) => drop(sender.send(result)),
                }
            }
        }
        self.shared.room.add_permits(room);
        if tagged {
            self.shared.completed.notify_one();
        }
        self.shared.progress.notify_waiters();
    }

    fn events(&mut self) {
        let mut ends = Vec::new();
        while let Some(event) = self.driver.machine.poll_event() {
            match event {
                AppendEvent::Opened(_) => {}
                AppendEvent::Done { token, result } => {
                    let (expected, flight) =
                        self.flights.pop_front().expect("each append ends once");
                    assert_eq!(
                        expected, token,
                        "appends end in the order in which they were taken"
                    );
                    ends.push((flight, result.map_err(|error| self.driver.explain(error))));
                }
                AppendEvent::Closed(error) => self.over = Some(self.driver.explain(error)),
            }
        }
        self.end(ends);
    }

    /// The appender is over: what is still here ends with its error, which never reached a replica.
    fn close(&mut self, error: &Error) {
        let inbox = {
            let mut state = self.shared.lock();
            state.closed = Some(error.clone());
            std::mem::take(&mut state.inbox)
        };
        self.shared.room.close();
        let rest = std::mem::take(&mut self.waiting);
        self.end(
            rest.into_iter()
                .chain(inbox)
                .map(|item| (item.flight, Err(error.clone())))
                .collect(),
        );
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let task = &mut *self;
        loop {
            task.events();
            if let Some(error) = task.over.clone() {
                task.close(&error);
                return Poll::Ready(());
            }
            let (flush, dropped) = {
                let mut state = task.shared.lock();
                let deadline = task.driver.now() + task.shared.deadline;
                task.waiting
                    .extend(state.inbox.drain(..).map(|item| Item { deadline, ..item }));
                state.waker = Some(context.waker().clone());
                (std::mem::take(&mut state.flush), state.dropped)
            };
            let given = task.give();
            let now = task.driver.now();
            if flush || dropped {
                task.driver.machine.flush_now(now);
            } else if given {
                task.driver.machine.flush(now);
            }
            if dropped && task.waiting.is_empty() && task.flights.is_empty() {
                return Poll::Ready(());
            }
            if task.driver.poll_turn(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

fn count(summary: &mut Summary, flight: &Flight, result: &Result<Receipt, Error>) {
    let records = u64::from(flight.records);
    summary.pending -= records;
    match result {
        Ok(receipt) => {
            summary.start.get_or_insert(receipt.start);
            summary.end = Some(receipt.end);
            summary.timestamp = Some(receipt.timestamp);
            summary.records += records;
            summary.bytes += flight.bytes;
        }
        Err(error) if error.outcome == OutcomeFact::Unknown => summary.unknown += records,
        Err(_) => summary.refused += records,
    }
}

fn check(record: &Record, encoded: usize) -> Result<(), Error> {
    let bytes = encoded - RECORD_HEAD_BYTES;
    if bytes > limits::RECORD_BYTES_MAX {
        return Err(Error::new(
            Code::TooLarge,
            format!(
                "a record of {bytes} bytes is over the limit of {}",
                limits::RECORD_BYTES_MAX
            ),
        ));
    }
    let headers = bytes - record.payload.len() - record.key.as_ref().map_or(0, |key| key.len());
    if headers > limits::HEADERS_BYTES_MAX {
        return Err(Error::new(
            Code::TooLarge,
            format!(
                "record headers of {headers} bytes are over the limit of {}",
                limits::HEADERS_BYTES_MAX
            ),
        ));
    }
    Ok(())
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().min(u128::from(u64::MAX / 4)) as u64
}
