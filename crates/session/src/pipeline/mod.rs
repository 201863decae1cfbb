//! Numbered commands, in order, each applied at most once: what [`Appender`](crate::Appender) and
//! [`Commands`](crate::Commands) have in common.
//!
//! The queue holds what is not settled, in the order taken. Its first `numbered` items have
//! sequences `next_sequence - numbered ..`, its first `cursor` items were sent on the current
//! stream; to send again is to move the cursor back. Whatever happens to streams and leaders, an
//! item keeps its sequence, so the cluster knows it again; it gets another one only when every
//! attempt of it, and of all behind it, was definitely refused.
//!
//! An item that is refused at apply ends the epoch. The producer is then opened again: under its
//! next epoch if it has a name, as a new producer if not.
//!
//! Whoever owns a pipeline tells it what happened ([`Pipeline::push`], `handle_*`) and then has it do what can be done
//! now ([`Pipeline::drive`]).
//!
//! A log is found by its name before anything is numbered for it. Where it must be made, that is
//! done under an epoch of its own: a leader that makes the log, or finds it there, uses the sequence
//! up, and one that may not make it refuses without doing so. Whoever lost the answer could not tell
//! which sequence is next.

mod asked;
mod class;
mod deadlines;
mod item;
mod replies;
mod sending;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use paxlog_wire::client::{CommandOutcome, CommandReply, LastReceipt};
use paxlog_wire::{Code, Frame, LeaderHint, OutcomeFact, Retry};

use crate::link::{Link, Route};
use crate::{Effect, Error, LeaderTracker, Nanos, Opened, StreamId};

use asked::{Asked, Questions};
use class::{Class, class};
use deadlines::Deadlines;
use item::Item;
pub(crate) use item::Work;

/// What becomes of the others when one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// All taken after it end with the same error: a stream without holes.
    Stream,
    /// They have nothing to do with each other. Goes with a window of 1.
    Single,
}

/// Whoever is told what came of a command.
pub(crate) trait Owner {
    /// It is sent to the log of that id.
    fn sent_to(&mut self, _log: u64) {}
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Pipeline<P> {
    pub(crate) policy: Policy,
    pub(crate) window: usize,
    pub(crate) silence: Nanos,
    pub(crate) link: Link,
    producer: Producer,
    /// The log to open in advance, and to make if need be.
    target: Option<Target>,
    /// Known ids.
    logs: BTreeMap<String, u64>,
    queue: VecDeque<Item<P>>,
    numbered: usize,
    next_sequence: u64,
    cursor: usize,
    /// The next append carries RESUME.
    resume: bool,
    bytes: usize,
    serials: u64,
    streams: u64,
    requests: u64,
    /// What is asked on the current stream and not answered.
    asked: Questions,
    /// Of those not reported.
    deadlines: Deadlines,
    /// How often a leader refused for want of a majority since something worked.
    said_so: u32,
    /// Whoever is asked next may not lead, or not even be there: it is asked for something that changes nothing first,
    /// so that silence leaves no doubt about what was to be done.
    unsure: bool,
    /// The last refusal since something worked: what to tell those that were never sent.
    trouble: Option<Error>,
    /// The producer was forgotten: nothing is sent until all is answered.
    forgotten: bool,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) settled: VecDeque<Settled<P>>,
    /// Of a stream: something ended that was not applied, and so did all behind it; what is not
    /// taken yet ends too.
    pub(crate) broke: Option<Error>,
    pub(crate) closed: Option<Error>,
}

/// Its owner is told.
#[derive(Debug)]
pub(crate) struct Settled<P> {
    pub(crate) owner: P,
    pub(crate) result: Result<CommandOutcome, Error>,
}

#[derive(Debug)]
struct Target {
    name: String,
    create: bool,
    /// It was not found, so it is being made.
    creating: bool,
}

#[derive(Debug)]
struct Producer {
    name: Option<String>,
    /// Of the current or next opening; another for each.
    nonce: u128,
    open: Option<OpenProducer>,
    /// What the first opening said of the time before.
    last: Option<LastReceipt>,
    opened_before: bool,
    /// As it was granted last, and how often it was asked for another epoch since.
    granted: Option<OpenProducer>,
    asked_since: u32,
}

impl Producer {
    /// Whether somebody else opened the name since it was granted to us. Each of our own openings raised it by one at
    /// most: if it rose by more, what was said of the time before ([`Producer::last`]) is not all any more, and we are the
    /// former one. To go on under the new epoch would be to come back after having been shut out.
    fn taken_over(&self, opened: OpenProducer) -> bool {
        self.name.is_some()
            && self.granted.is_some_and(|granted| {
                granted.id == opened.id
                    && opened.epoch.saturating_sub(granted.epoch) > self.asked_since
            })
    }
}

/// A producer as the cluster granted it.
#[derive(Clone, Copy, Debug)]
struct OpenProducer {
    id: u64,
    epoch: u32,
}

/// The settings of a pipeline.
pub(crate) struct Setup {
    pub(crate) policy: Policy,
    pub(crate) window: usize,
    pub(crate) silence: Nanos,
    pub(crate) producer: Option<String>,
    pub(crate) nonce: u128,
    pub(crate) seed: u64,
    /// The log to open in advance, and whether to make it.
    pub(crate) log: Option<(String, bool)>,
}

impl<P: Owner> Pipeline<P> {
    pub(crate) fn new(setup: Setup, tracker: LeaderTracker) -> Self {
        Pipeline {
            policy: setup.policy,
            window: setup.window.clamp(1, WINDOW_MAX),
            silence: setup.silence,
            link: Link::new(tracker, Route::Leader, setup.seed),
            producer: Producer {
                name: setup.producer,
                nonce: setup.nonce,
                open: None,
                last: None,
                opened_before: false,
                granted: None,
                asked_since: 0,
            },
            target: setup.log.map(|(name, create)| Target {
                name,
                create,
                creating: false,
            }),
            logs: BTreeMap::new(),
            queue: VecDeque::new(),
            numbered: 0,
            next_sequence: 0,
            cursor: 0,
            resume: false,
            bytes: 0,
            serials: 0,
            streams: 0,
            requests: 0,
            asked: Questions::default(),
            deadlines: Deadlines::default(),
            said_so: 0,
            unsure: false,
            trouble: None,
            forgotten: false,
            effects: VecDeque::new(),
            settled: VecDeque::new(),
            broke: None,
            closed: None,
        }
    }

    /// Takes a command. Call [`Pipeline::drive`] after it.
    pub(crate) fn push(&mut self, owner: P, work: Work, body: Vec<Bytes>, deadline: Nanos) {
        if let Some(error) = &self.closed {
            self.settled.push_back(Settled {
                owner,
                result: Err(error.clone()),
            });
            return;
        }
        self.serials += 1;
        let item = Item {
            serial: self.serials,
            work,
            body,
            deadline,
            owner: Some(owner),
            sequence: None,
            request: 0,
            pending: 0,
            doubt: false,
            refusal: None,
            result: None,
        };
        self.bytes += item.bytes();
        self.deadlines.insert(deadline, item.serial);
        self.queue.push_back(item);
    }

    /// Whether another command would be sent at once, as far as the window goes.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < self.window
    }

    /// Bytes of bodies that are held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits to be settled.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The producer and the log, once both are open.
    pub(crate) fn opened(&self) -> Option<Opened> {
        let target = self.target.as_ref()?;
        let producer = self.producer.open?;
        let log = *self.logs.get(&target.name)?;
        Some(Opened {
            producer: producer.id,
            epoch: producer.epoch,
            last: self.producer.last,
            log,
        })
    }

    /// Why opening took too long.
    pub(crate) fn not_opened(&self) -> Error {
        self.never_applied(None)
    }

    pub(crate) fn handle_up(&mut self, now: Nanos, stream: StreamId) {
        self.link.handle_up(now, stream);
    }

    pub(crate) fn handle_frame(&mut self, now: Nanos, stream: StreamId, frame: &Frame) {
        if !self.link.is_current(stream) {
            return;
        }
        self.link.heard(now);
        match paxlog_wire::decode::<CommandReply>(frame) {
            Ok(reply) => self.handle_reply(now, reply),
            Err(error) => {
                self.link.abandon(&mut self.effects);
                self.lost(now, Error::new(Code::Unavailable, error.to_string()));
            }
        }
    }

    pub(crate) fn handle_down(&mut self, now: Nanos, stream: StreamId, why: Error) {
        if self.link.is_current(stream) {
            self.lost(now, why);
        }
    }

    pub(crate) fn handle_leader(&mut self, hint: &LeaderHint) {
        if self.link.note(hint) {
            self.link.close(&mut self.effects);
            self.forget_stream();
        }
    }

    /// How long a replica may say nothing.
    fn patience(&self) -> Nanos {
        if self.unsure {
            self.silence.min(UNSURE_SILENCE_NS)
        } else {
            self.silence
        }
    }

    pub(crate) fn handle_tick(&mut self, now: Nanos) {
        let waiting = !self.asked.is_empty() || self.link.up().is_none();
        if waiting
            && self
                .link
                .silent_at(self.patience())
                .is_some_and(|at| at <= now)
        {
            let server = self.link.abandon(&mut self.effects);
            self.lost(
                now,
                Error::new(Code::Unavailable, format!("{server} does not answer")),
            );
        }
    }

    pub(crate) fn poll_timer(&self) -> Option<Nanos> {
        if self.closed.is_some() {
            return None;
        }
        let deadline = self.deadlines.first().map(|(at, _)| at);
        let hold = if self.has_work() {
            self.link.hold_until()
        } else {
            None
        };
        let waiting = !self.asked.is_empty() || self.link.up().is_none();
        let silence = if waiting {
            self.link.silent_at(self.patience())
        } else {
            None
        };
        [deadline, hold, silence].into_iter().flatten().min()
    }

    fn has_work(&self) -> bool {
        !self.queue.is_empty() || (self.target.is_some() && self.opened().is_none())
    }

    /// Does whatever can be done now: reports, expires, opens, sends.
    pub(crate) fn drive(&mut self, now: Nanos) {
        if self.closed.is_some() {
            return;
        }
        debug_assert!(self.is_consistent());
        self.report();
        self.expire(now);
        self.reconsider_forgotten();
        if self.closed.is_none() && self.has_work() {
            self.link.ensure(now, &mut self.streams, &mut self.effects);
            self.send(now);
        }
    }

    /// Reports ends in the order taken, as far as they are known, and drops what is settled.
    fn report(&mut self) {
        for at in 0..self.queue.len() {
            let item = &mut self.queue[at];
            match &item.result {
                Some(Ok(outcome)) => {
                    if let Some(owner) = item.owner.take() {
                        self.deadlines.remove(item.deadline, item.serial);
                        self.settled.push_back(Settled {
                            owner,
                            result: Ok(outcome.clone()),
                        });
                    }
                }
                Some(Err(error)) => {
                    let error = error.clone();
                    self.end_epoch(at, error);
                    break;
                }
                None if item.owner.is_none() => {}
                None => break,
            }
        }
        while self
            .queue
            .front()
            .is_some_and(|item| item.result.is_some() && item.owner.is_none())
        {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(item) = self.queue.pop_front() {
            self.bytes -= item.bytes();
            self.numbered = self.numbered.saturating_sub(1);
            self.cursor = self.cursor.saturating_sub(1);
        }
    }

    /// The item at `at` was refused for good, and all before it were reported. Nothing behind it in
    /// its epoch will be applied; what is before it and unsettled was, or nobody will ever know.
    fn end_epoch(&mut self, at: usize, error: Error) {
        let settles = matches!(class(&error), Class::Final { settles: true });
        let mut kept = VecDeque::new();
        for (index, mut item) in std::mem::take(&mut self.queue).into_iter().enumerate() {
            if index > at && self.policy == Policy::Single && item.sequence.is_none() {
                kept.push_back(item);
                continue;
            }
            self.bytes -= item.bytes();
            self.deadlines.remove(item.deadline, item.serial);
            let outcome = match index == at {
                true => error.outcome,
                false if item.open() && !settles => OutcomeFact::Unknown,
                false => OutcomeFact::NotApplied,
            };
            let result = match item.result.take() {
                Some(result) if index != at => result,
                _ => Err(Error {
                    outcome,
                    ..error.clone()
                }),
            };
            self.settled
                .extend(item.owner.take().map(|owner| Settled { owner, result }));
        }
        self.queue = kept;
        self.break_stream(error);
        self.reopen();
    }

    fn break_stream(&mut self, error: Error) {
        if self.policy == Policy::Stream {
            self.broke = Some(Error {
                outcome: OutcomeFact::NotApplied,
                ..error
            });
        }
    }

    /// The next commands are numbered under another epoch.
    fn reopen(&mut self) {
        self.producer.open = None;
        self.producer.asked_since = self.producer.asked_since.saturating_add(1);
        // Never the nonce of an opening before: that would be its retry. Others' are random.
        self.producer.nonce = self.producer.nonce.wrapping_add(NONCE_STEP);
        self.asked
            .retain(|asked| matches!(asked, Asked::Lookup { .. }));
        self.numbered = 0;
        self.next_sequence = 0;
        self.cursor = 0;
        self.resume = true;
    }

    /// Ends what is over its deadline with what is known of it.
    fn expire(&mut self, now: Nanos) {
        while let Some((deadline, serial)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            let Some(at) = self.position(serial) else {
                continue;
            };
            let item = &mut self.queue[at];
            if let Some(result) = item.result.clone() {
                // It waited for those before it only.
                let owner = item.owner.take();
                self.settled
                    .extend(owner.map(|owner| Settled { owner, result }));
                continue;
            }
            let numbered = item.sequence.is_some();
            if numbered
                && self
                    .queue
                    .range(at..self.numbered)
                    .any(|item| item.open() || item.result.is_some())
            {
                let silent = "no replica said in time whether it was applied";
                let message = match self.link.account() {
                    Some(said) => format!("{silent} ({said})"),
                    None => silent.to_owned(),
                };
                let error = Error::new(Code::OutcomeUnknown, message);
                let owner = self.queue[at].owner.take();
                self.tell(owner, error);
                continue;
            }
            if numbered {
                // Every attempt from here on was refused, so the sequences are free again.
                self.next_sequence -= (self.numbered - at) as u64;
                for item in self.queue.range_mut(at..self.numbered) {
                    item.sequence = None;
                }
                self.numbered = at;
            }
            self.cursor = self.cursor.min(at);
            let error = self.never_applied(self.queue[at].refusal.clone());
            let alone = self.policy == Policy::Single;
            let end = if alone { at + 1 } else { self.queue.len() };
            let ended: Vec<_> = self.queue.drain(at..end).collect();
            for mut item in ended {
                self.bytes -= item.bytes();
                self.deadlines.remove(item.deadline, item.serial);
                self.tell(item.owner.take(), error.clone());
            }
            self.break_stream(error);
        }
        self.report();
    }

    fn tell(&mut self, owner: Option<P>, error: Error) {
        if let Some(owner) = owner {
            self.settled.push_back(Settled {
                owner,
                result: Err(error),
            });
        }
    }

    /// The error of a command that certainly was not applied when its time was over.
    fn never_applied(&self, refusal: Option<Error>) -> Error {
        match refusal.or_else(|| self.trouble.clone()) {
            Some(error) if error.retry != Retry::Never && error.code.exit_code() == 3 => Error {
                outcome: OutcomeFact::NotApplied,
                ..self.link.told(error)
            },
            Some(error) => Error::new(
                Code::DeadlineExceeded,
                format!("not sent in time ({error})"),
            ),
            None => Error::new(Code::DeadlineExceeded, "not sent in time"),
        }
    }

    /// The producer was forgotten. Once every attempt is answered: what was never applied by any is
    /// numbered anew by another producer; if that is not sure of all, all end.
    fn reconsider_forgotten(&mut self) {
        if !self.forgotten
            || self
                .queue
                .range(..self.numbered)
                .any(|item| item.pending > 0)
        {
            return;
        }
        self.forgotten = false;
        let mut numbered = self.queue.range(..self.numbered);
        if numbered.any(|item| item.doubt || item.result.is_some()) {
            let error = Error::new(
                Code::DedupExpired,
                "the cluster forgot this producer: read the log to see whether the records are there",
            );
            let mut numbered = self.queue.range(..self.numbered);
            let owned = numbered.position(|item| item.owner.is_some() && item.result.is_none());
            // Even if only what was reported before is in doubt, nothing behind it may follow it now.
            self.end_epoch(owned.unwrap_or(0), error);
            return;
        }
        for item in self.queue.range_mut(..self.numbered) {
            item.sequence = None;
        }
        self.reopen();
    }

    /// Ends everything, and takes nothing more.
    pub(crate) fn close(&mut self, error: Error) {
        for mut item in std::mem::take(&mut self.queue) {
            let outcome = if item.open() {
                OutcomeFact::Unknown
            } else {
                OutcomeFact::NotApplied
            };
            match item.result.take() {
                Some(result) => self
                    .settled
                    .extend(item.owner.take().map(|owner| Settled { owner, result })),
                None => self.tell(
                    item.owner.take(),
                    Error {
                        outcome,
                        ..error.clone()
                    },
                ),
            }
        }
        self.bytes = 0;
        self.forgotten = false;
        self.deadlines.clear();
        self.link.close(&mut self.effects);
        self.forget_stream();
        match self.policy {
            Policy::Stream => self.closed = Some(error),
            // The next command tries from the beginning.
            Policy::Single => {
                self.reopen();
                self.link.worked();
            }
        }
    }

    /// The first `numbered` items have the sequences before the next one, and no others have any.
    fn is_consistent(&self) -> bool {
        let first = self.next_sequence - self.numbered as u64;
        self.queue
            .iter()
            .enumerate()
            .all(|(at, item)| match item.sequence {
                Some(sequence) => at < self.numbered && sequence == first + at as u64,
                None => at >= self.numbered,
            })
    }

    fn position(&self, serial: u64) -> Option<usize> {
        // Serials rise by one, but for what ended and left before its turn.
        let first = self.queue.front()?.serial;
        let guess = usize::try_from(serial.checked_sub(first)?).ok()?;
        match self.queue.get(guess) {
            Some(item) if item.serial == serial => Some(guess),
            _ => self
                .queue
                .binary_search_by_key(&serial, |item| item.serial)
                .ok(),
        }
    }
}

/// As many receipts as the cluster keeps per producer.
const WINDOW_MAX: usize = paxlog_wire::limits::APPENDS_IN_FLIGHT_MAX as usize;
/// For an answer to a question that costs a replica nothing.
const UNSURE_SILENCE_NS: Nanos = 500_000_000;
/// Odd, so that it comes round to a nonce only after all others.
const NONCE_STEP: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
