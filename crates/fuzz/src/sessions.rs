//! The client's state machines, against replicas that mean harm.
//!
//! Input: which machine (u8), its options (u8), and steps: see [`Session::step`]. Whatever comes: what a machine sends fits
//! its limits, it does not go round in circles, a reader gets nothing twice and nothing out of order, and an appender ends
//! each append once, in the order in which they were taken unless a deadline says otherwise.

use std::collections::VecDeque;

use bytes::Bytes;
use paxlog_session::{
    AppendEvent, Appender, AppenderConfig, Change, Command, Commands, CommandsConfig, Effect,
    Error, LeaderTracker, Machine, Piece, Read, ReadConfig, ReadOutput, StreamId, Tail, TailConfig,
    TailOutput, Token,
};
use paxlog_wire::batch::{BatchBuilder, Record};
use paxlog_wire::client::{
    BatchMeta, CommandOutcome, CommandReply, Durability, EndReason, Expected, ReadEvent, ReadFrom,
    Receipt, Started, TailEvent,
};
use paxlog_wire::{Code, Flags, Frame, FrameEncoder, Kind, LeaderHint, Message, WireError, encode};

use crate::input::Input;

/// So many effects of one step are a circle.
const EFFECTS_MAX: usize = 1_000;
const DEADLINE: u64 = 1_000_000_000;

enum Machines {
    Read(Box<Read>),
    Tail(Box<Tail>),
    Appender(Box<Appender>),
    Commands(Box<Commands>),
}

struct Session {
    machine: Machines,
    now: u64,
    /// The newest stream that is up.
    stream: Option<StreamId>,
    /// Whether the next stream comes up.
    refuses: bool,
    /// The offset that a reader is at.
    at: Option<u64>,
    over: bool,
    /// What was given to an appender or to commands, and has not ended.
    pending: VecDeque<u64>,
    next: u64,
    /// The latest deadline; and whether a later append had an earlier one, whose end need not wait.
    deadline: u64,
    hurried: bool,
    /// The numbers of the requests that were sent, the newest last.
    requests: Vec<u64>,
}

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let which = input.u8();
    let options = input.u8();
    let mut session = Session {
        machine: machine(which, options),
        now: 0,
        stream: None,
        refuses: false,
        at: None,
        over: false,
        pending: VecDeque::new(),
        next: 0,
        deadline: 0,
        hurried: false,
        requests: Vec::new(),
    };
    session.settle();
    let mut steps = 0;
    while !input.is_empty() && steps < 200 {
        session.step(&mut input);
        session.settle();
        steps += 1;
    }
    if let Machines::Appender(appender) = &mut session.machine {
        appender.close(session.now);
        session.settle();
        assert!(session.pending.is_empty(), "every append ends");
    }
}

fn machine(which: u8, options: u8) -> Machines {
    let tracker = LeaderTracker::new(["a:1", "b:1", "c:1"], 1);
    let is_set = |bit: u8| options & 1 << bit != 0;
    let from = match options >> 5 {
        0 => ReadFrom::First,
        1 => ReadFrom::Tail,
        2 => ReadFrom::Offset(3),
        3 => ReadFrom::Timestamp(3),
        _ => ReadFrom::Cursor("c".into()),
    };
    match which % 4 {
        0 => {
            let config = ReadConfig {
                records_max: if is_set(0) { 3 } else { 0 },
                bytes_max: if is_set(1) { 100 } else { 0 },
                strict: is_set(2),
                wait: if is_set(3) { DEADLINE / 2 } else { 0 },
                until_timestamp: if is_set(4) { 7 } else { 0 },
                ..ReadConfig::new("log", from, 1, DEADLINE)
            };
            Machines::Read(Box::new(Read::new(0, config, tracker)))
        }
        1 => {
            let mut config = TailConfig::new("log", from, 1);
            config.credit = if is_set(0) { 100 } else { config.credit };
            Machines::Tail(Box::new(Tail::new(0, config, tracker)))
        }
        2 => {
            let mut config = AppenderConfig::new("log", 7, 1);
            config.producer = is_set(0).then(|| "name".to_owned());
            config.window = if is_set(1) { 2 } else { config.window };
            config.create = is_set(2);
            config.batch_records_max = if is_set(3) {
                2
            } else {
                config.batch_records_max
            };
            Machines::Appender(Box::new(Appender::new(0, config, tracker)))
        }
        _ => Machines::Commands(Box::new(Commands::new(CommandsConfig::new(7, 1), tracker))),
    }
}

impl Session {
    fn machine(&mut self) -> &mut dyn Machine {
        match &mut self.machine {
            Machines::Read(read) => &mut **read,
            Machines::Tail(tail) => &mut **tail,
            Machines::Appender(appender) => &mut **appender,
            Machines::Commands(commands) => &mut **commands,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 12 {
            // Any frame at all.
            0 => {
                let kind = Kind::from_number(input.u8()).unwrap_or(Kind::ReadEvent);
                let (meta, body) = (input.u8(), input.u8());
                let meta = Bytes::copy_from_slice(input.take(meta.into()));
                let body = Bytes::copy_from_slice(input.take(body.into()));
                self.frame(Frame {
                    kind,
                    flags: Flags::NONE,
                    meta,
                    body: vec![body],
                });
            }
            1 => {
                let code = Code::from_number(input.u8().into()).unwrap_or(Code::Unavailable);
                if let Some(stream) = self.stream.take() {
                    let now = self.now;
                    self.machine()
                        .handle_down(now, stream, Error::new(code, "it broke"));
                }
            }
            2 => {
                self.now += 1 << (input.u8() % 34);
                let now = self.now;
                self.machine().handle_tick(now);
            }
            3 => self.refuses = input.u8() & 1 == 1,
            4 => {
                let hint = LeaderHint {
                    ballot: number(input),
                    replica: input.u8().into(),
                    addresses: vec![
                        ["a:1", "b:1", "z:9", "nowhere"][usize::from(input.u8() % 4)].into(),
                    ],
                };
                let now = self.now;
                self.machine().handle_leader(now, &hint);
            }
            // What replicas say, with numbers that may be wrong.
            5 => {
                let started = Started {
                    log: input.u8().into(),
                    from: number(input),
                    tail: number(input),
                    trim_point: number(input),
                    version: 1,
                    stale_ms: None,
                };
                self.both(
                    &ReadEvent::Started(started),
                    &TailEvent::Started(started),
                    vec![],
                );
            }
            6 => {
                let batches: Vec<BatchMeta> = (0..input.u8() % 4)
                    .map(|_| BatchMeta {
                        start: number(input),
                        records: 2 + u32::from(input.u8() / 250),
                        bytes: batch().len() as u32,
                        timestamp: number(input),
                    })
                    .collect();
                let body = batches.iter().map(|_| batch()).collect();
                self.both(
                    &ReadEvent::Records(batches.clone()),
                    &TailEvent::Records(batches),
                    body,
                );
            }
            7 => {
                let to = number(input);
                self.both(&ReadEvent::Gap { to }, &TailEvent::Gap { to }, vec![]);
            }
            8 => {
                let (next, tail) = (number(input), number(input));
                let reason = [
                    EndReason::Tail,
                    EndReason::Limit,
                    EndReason::Until,
                    EndReason::Sealed,
                ];
                let reason = reason[usize::from(input.u8() % 4)];
                let of_tail = match input.u8() % 3 {
                    0 => TailEvent::CaughtUp { tail },
                    1 => TailEvent::Sealed { tail },
                    _ => TailEvent::Heartbeat { tail },
                };
                self.both(&ReadEvent::End { next, tail, reason }, &of_tail, vec![]);
            }
            9 => {
                let error = error(input);
                let request = self.request(input.u8());
                let refused = ReadEvent::Refused(error.clone());
                self.both(&refused, &TailEvent::Refused(error.clone()), vec![]);
                self.frame(frame(
                    &CommandReply {
                        request,
                        result: Err(error),
                    },
                    vec![],
                ));
            }
            10 => {
                let request = self.request(input.u8());
                let result = Ok(outcome(input));
                self.frame(frame(&CommandReply { request, result }, vec![]));
            }
            _ => self.give(input),
        }
    }

    /// The number of a request that was sent, counted from the newest; or one that was not.
    fn request(&self, back: u8) -> u64 {
        let back = usize::from(back);
        let at = self.requests.len().checked_sub(1 + back);
        at.map_or(back as u64, |at| self.requests[at])
    }

    /// More work.
    fn give(&mut self, input: &mut Input<'_>) {
        let token = self.next;
        let deadline = self.now + (1 << (input.u8() % 34));
        let now = self.now;
        self.hurried |= deadline < self.deadline;
        self.deadline = self.deadline.max(deadline);
        match &mut self.machine {
            Machines::Appender(appender) => {
                let records = vec![Record::new("payload"); usize::from(1 + input.u8() % 3)];
                let if_tail = (input.u8() & 1 == 1).then_some(5);
                let taken = appender.append_at(now, Token(token), &records, if_tail, deadline);
                if taken.is_ok() {
                    self.pending.push_back(token);
                    self.next += 1;
                }
                appender.flush(now);
            }
            Machines::Commands(commands) => {
                let what = match input.u8() % 8 {
                    0 => Change::Seal,
                    1 => Change::Trim { to: 3 },
                    2 => Change::Delete,
                    3 => Change::Fence {
                        token: Some("f".into()),
                        expect: Expected::Absent,
                    },
                    4 => Change::SetCursor {
                        name: "c".into(),
                        at: 1,
                        expect: Expected::Any,
                    },
                    5 => Change::DeleteCursor { name: "c".into() },
                    _ => {
                        return commands.push(
                            now,
                            Token(token),
                            Command::create("log", true),
                            deadline,
                        );
                    }
                };
                commands.push(now, Token(token), Command::on("log", what), deadline);
            }
            Machines::Tail(tail) => tail.release(number(input)),
            Machines::Read(_) => {}
        }
    }

    fn both(&mut self, read: &ReadEvent, tail: &TailEvent, body: Vec<Bytes>) {
        let frame = match self.machine {
            Machines::Tail(_) => frame(tail, body),
            _ => frame(read, body),
        };
        self.frame(frame);
    }

    fn frame(&mut self, frame: Frame) {
        if let Some(stream) = self.stream {
            let now = self.now;
            self.machine().handle_frame(now, stream, frame);
        }
    }

    /// Does what the machine asks for, and takes what it gives.
    fn settle(&mut self) {
        let mut effects = 0;
        let now = self.now;
        while let Some(effect) = self.machine().poll_effect() {
            effects += 1;
            assert!(effects < EFFECTS_MAX, "in circles");
            match effect {
                Effect::Open { stream, .. } if self.refuses => {
                    let why = Error::new(Code::Unavailable, "refused");
                    self.machine().handle_down(now, stream, why);
                }
                Effect::Open { stream, .. } => {
                    self.machine().handle_up(now, stream);
                    self.stream = Some(stream);
                }
                Effect::Send { frame, .. } => {
                    let mut encoder = FrameEncoder::new();
                    frame
                        .encode(&mut encoder)
                        .expect("what is sent fits the limits");
                    if let paxlog_session::Message::Command(request) = &frame.message {
                        self.requests.push(request.request);
                    }
                }
                Effect::Close { stream } => {
                    if self.stream == Some(stream) {
                        self.stream = None;
                    }
                }
            }
        }
        self.take();
    }

    fn take(&mut self) {
        match &mut self.machine {
            Machines::Read(read) => {
                while let Some(output) = read.poll_output() {
                    assert!(!self.over, "nothing follows the end");
                    match output {
                        ReadOutput::Records(piece) => follow(&mut self.at, &piece),
                        ReadOutput::Gap { to } => skip(&mut self.at, to),
                        ReadOutput::End { .. } | ReadOutput::Failed(_) => self.over = true,
                    }
                }
            }
            Machines::Tail(tail) => {
                while let Some(output) = tail.poll_output() {
                    assert!(!self.over, "nothing follows the end");
                    match output {
                        TailOutput::Records(piece) => follow(&mut self.at, &piece),
                        TailOutput::Gap { to } => skip(&mut self.at, to),
                        TailOutput::CaughtUp { .. } => {}
                        TailOutput::Sealed { .. } | TailOutput::Failed(_) => self.over = true,
                    }
                }
            }
            Machines::Appender(appender) => {
                while let Some(event) = appender.poll_event() {
                    if let AppendEvent::Done { token, .. } = event {
                        let place = self.pending.iter().position(|one| *one == token.0);
                        let place = place.expect("each ends once");
                        assert!(place == 0 || self.hurried, "in order");
                        self.pending.remove(place);
                    }
                }
            }
            Machines::Commands(commands) => while commands.poll_done().is_some() {},
        }
    }
}

/// Records follow on what came before, and are all there.
fn follow(at: &mut Option<u64>, piece: &Piece) {
    let (start, end) = (piece.start, piece.end);
    assert!(
        at.is_none_or(|at| at == start) && start < end,
        "{at:?}, then {start}..{end}"
    );
    assert_eq!(piece.records().count() as u64, end - start);
    *at = Some(end);
}

fn skip(at: &mut Option<u64>, to: u64) {
    assert!(at.is_none_or(|at| at < to), "{at:?}, then a gap to {to}");
    *at = Some(to);
}

/// Mostly small, sometimes at the end of what there is.
fn number(input: &mut Input<'_>) -> u64 {
    match input.u8() {
        byte @ 0..240 => u64::from(byte % 16),
        byte => u64::MAX - u64::from(byte - 240),
    }
}

fn error(input: &mut Input<'_>) -> WireError {
    let code = Code::from_number(input.u8().into()).unwrap_or(Code::OutcomeUnknown);
    let mut error = WireError::new(code, "so it says");
    error.tail = (input.u8() & 1 == 1).then(|| number(input));
    error.found = (input.u8() & 1 == 1).then(|| number(input));
    error.retry_after_ms = (input.u8() & 1 == 1).then(|| number(input) as u32);
    error.log = (input.u8() & 1 == 1).then(|| number(input));
    error
}

fn outcome(input: &mut Input<'_>) -> CommandOutcome {
    let version = 1;
    let duplicate = false;
    match input.u8() % 10 {
        0 => CommandOutcome::ProducerOpened {
            producer: 1,
            epoch: number(input) as u32,
            last: None,
        },
        1 => CommandOutcome::LogOpened {
            log: number(input),
            version,
            existed: input.u8() & 1 == 1,
            tail: number(input),
            sealed: input.u8() & 1 == 1,
        },
        2 => CommandOutcome::Appended(Receipt {
            log: number(input),
            start: number(input),
            end: number(input),
            timestamp: 1,
            tail: number(input),
            version,
            durability: Durability::default(),
            duplicate,
        }),
        3 => CommandOutcome::Trimmed {
            trim_point: number(input),
            tail: number(input),
            version,
            duplicate,
        },
        4 => CommandOutcome::Sealed {
            tail: number(input),
            version,
            duplicate,
        },
        5 => CommandOutcome::LogAltered { version, duplicate },
        6 => CommandOutcome::LogDeleted { version, duplicate },
        7 => CommandOutcome::FenceSet {
            tail: number(input),
            version,
            duplicate,
        },
        8 => CommandOutcome::CursorSet {
            at: number(input),
            version,
            duplicate,
        },
        _ => CommandOutcome::CursorDeleted { version, duplicate },
    }
}

fn frame<M: Message>(message: &M, body: Vec<Bytes>) -> Frame {
    Frame {
        kind: M::KIND,
        flags: Flags::NONE,
        meta: encode(message).into(),
        body,
    }
}

/// A batch of two records.
fn batch() -> Bytes {
    let mut builder = BatchBuilder::new();
    for payload in ["one", "two"] {
        builder.push(&Record::new(payload)).expect("a small record");
    }
    builder
        .finish()
        .expect("a batch")
        .into_parts()
        .concat()
        .into()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // As it goes when nothing is wrong: read two batches; tail them; append; seal.
    let started = [5, 1, 0, 4, 0];
    let records = [6, 2, 0, 0, 1, 2, 0, 1];
    let read = [&[0, 0][..], &started, &records, &[8, 4, 4, 0, 0]].concat();
    let tail = [&[1, 0][..], &started, &records, &[8, 4, 4, 0, 0, 11, 0, 9]].concat();
    let opened = [10, 0, 0, 1, 10, 0, 1, 1, 1, 0, 0];
    let append = [11, 30, 0, 0, 10, 0, 2, 1, 0, 1, 1];
    let appends = [&[2, 4][..], &opened, &append, &append, &[2, 30]].concat();
    let commands = [
        &[3, 0][..],
        &[11, 30, 0],
        &opened,
        &[10, 0, 4, 4],
        &[11, 30, 7, 2, 33],
    ]
    .concat();
    let broken = |seed: &[u8]| {
        [
            seed,
            &[1, 3, 2, 28],
            &started,
            &[9, 4, 0, 0, 0, 0, 0],
            &records,
        ]
        .concat()
    };
    let good = [read, tail, appends, commands];
    let bad = good.clone().map(|seed| broken(&seed));
    good.into_iter().chain(bad).collect()
}
