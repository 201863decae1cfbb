//! The servers: one replicated state, applied by whoever leads, and what each of them has seen of it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use paxlog_log::{Command, LogId, Outcome, State};
use paxlog_wire::batch::BatchView;
use paxlog_wire::client::{
    Answer, BatchMeta, CommandBody, CommandOutcome, CommandReply, CommandRequest, Credit,
    Durability, EndReason, LogConfig, LogDescription, LogRef, Query, QueryReply, QueryRequest,
    ReadEvent, ReadFrom, ReadRequest, Started, TailEvent, TailInfo, TailRequest,
};
use paxlog_wire::{Code, Flags, Frame, FrameEncoder, Kind, LeaderHint, Message, WireError};

use crate::rng::Rng;

pub(crate) const SERVERS: usize = 3;

/// A stream: the client and its name for it.
pub(crate) type Conn = (usize, u64);

pub(crate) struct Cluster {
    pub(crate) rng: Rng,
    pub(crate) state: State,
    slot: u64,
    pub(crate) ballot: u64,
    pub(crate) leader: Option<usize>,
    /// Batches in the order applied, with how many commands had been applied before.
    stored: BTreeMap<u64, Vec<Stored>>,
    /// How many commands each server has seen.
    seen: [u64; SERVERS],
    applied: u64,
    pending: VecDeque<Proposal>,
    conns: BTreeMap<Conn, ServerSide>,
    pub(crate) out: Vec<(Conn, Vec<Bytes>)>,
    pub(crate) refuse_ppm: u64,
    /// No quorum: nothing that is proposed is applied.
    pub(crate) stuck: bool,
}

struct Stored {
    at: u64,
    meta: BatchMeta,
    parts: Vec<Bytes>,
}

struct Proposal {
    conn: Conn,
    request: u64,
    command: Command,
    batch: Vec<Bytes>,
}

struct ServerSide {
    server: usize,
    /// Appends are refused so until a frame says RESUME.
    refusing: Option<Code>,
    tail: Option<Tailing>,
}

struct Tailing {
    log: u64,
    next: u64,
    credit: u64,
    outstanding: u64,
    caught_up: Option<u64>,
    heartbeat: u64,
}

pub(crate) fn address(server: usize) -> String {
    format!("s{server}:7400")
}

impl Cluster {
    pub(crate) fn new(rng: Rng) -> Cluster {
        Cluster {
            rng,
            state: State::new(),
            slot: 0,
            ballot: 1,
            leader: Some(0),
            stored: BTreeMap::new(),
            seen: [0; SERVERS],
            applied: 0,
            pending: VecDeque::new(),
            conns: BTreeMap::new(),
            out: Vec::new(),
            refuse_ppm: 0,
            stuck: false,
        }
    }

    pub(crate) fn hint(&self) -> Option<LeaderHint> {
        let leader = self.leader?;
        Some(LeaderHint {
            ballot: self.ballot,
            replica: leader as u16 + 1,
            addresses: vec![address(leader)],
        })
    }

    pub(crate) fn opened(&mut self, conn: Conn, server: usize) {
        self.conns.insert(
            conn,
            ServerSide {
                server,
                refusing: None,
                tail: None,
            },
        );
    }

    pub(crate) fn closed(&mut self, conn: Conn) {
        self.conns.remove(&conn);
    }

    /// Applies some of what was proposed; followers catch up by some.
    pub(crate) fn advance(&mut self, all: bool) {
        while !self.stuck
            && self.leader.is_some()
            && (all || self.rng.below(4) > 0)
            && let Some(proposal) = self.pending.pop_front()
        {
            let result = self.apply(&proposal.command, proposal.batch);
            self.reply(proposal.conn, proposal.request, result);
        }
        for server in 0..SERVERS {
            let leads = self.leader == Some(server);
            let behind = self.applied - self.seen[server];
            self.seen[server] += if all || leads {
                behind
            } else {
                self.rng.below(behind + 1)
            };
        }
        self.push_tails();
    }

    /// The leader is gone; another one takes over, or nobody for the moment.
    pub(crate) fn change_leader(&mut self, to: Option<usize>) {
        self.leader = None;
        for proposal in std::mem::take(&mut self.pending) {
            if self.rng.half() {
                // Applied all the same, but this leader will not know.
                let _ = self.apply(&proposal.command, proposal.batch);
            }
            if self.rng.half() {
                let error = WireError::new(Code::OutcomeUnknown, "leadership was lost");
                self.reply(proposal.conn, proposal.request, Err(error));
            }
        }
        self.leader = to;
        self.ballot += 1;
        if let Some(leader) = to {
            self.seen[leader] = self.applied;
        }
    }

    /// Applies a command that no client sent here.
    pub(crate) fn apply_foreign(&mut self, command: &Command) -> Outcome {
        self.slot += 1;
        self.state.apply(self.slot, 0, self.slot * 1000, command)
    }

    fn apply(&mut self, command: &Command, batch: Vec<Bytes>) -> Result<CommandOutcome, WireError> {
        let outcome = self.apply_foreign(command);
        self.applied += 1;
        if let Outcome::Applied {
            receipt:
                paxlog_log::Receipt::Appended {
                    log,
                    start,
                    records,
                    timestamp,
                    ..
                },
            duplicate: false,
        } = outcome
        {
            let bytes = paxlog_wire::parts::len(&batch) as u32;
            let meta = BatchMeta {
                start: start.0,
                records,
                bytes,
                timestamp: timestamp.0,
            };
            self.stored.entry(log.0).or_default().push(Stored {
                at: self.applied,
                meta,
                parts: batch,
            });
        }
        self.on_wire(&outcome)
    }

    fn on_wire(&self, outcome: &Outcome) -> Result<CommandOutcome, WireError> {
        paxlog_node::reply(outcome, Durability::MAJORITY, &self.state)
    }

    pub(crate) fn handle(&mut self, conn: Conn, frame: Frame) {
        match frame.kind {
            Kind::CommandRequest => {
                let request =
                    paxlog_wire::decode(&frame).expect("the client encodes what it means");
                self.handle_command(conn, request, frame.flags, frame.body);
            }
            Kind::QueryRequest => {
                let request = paxlog_wire::decode(&frame).expect("a query");
                let result = self.answer(conn, request);
                self.send(conn, &QueryReply { result }, &[]);
            }
            Kind::ReadRequest => self.read(conn, paxlog_wire::decode(&frame).expect("a read")),
            Kind::TailRequest => self.tail(conn, paxlog_wire::decode(&frame).expect("a tail")),
            Kind::Credit => {
                let credit: Credit = paxlog_wire::decode(&frame).expect("credit");
                if let Some(tail) = self
                    .conns
                    .get_mut(&conn)
                    .and_then(|side| side.tail.as_mut())
                {
                    // Some of it may be for what another replica sent.
                    tail.outstanding = tail.outstanding.saturating_sub(credit.bytes);
                    tail.credit += credit.bytes;
                }
            }
            kind => panic!("a client sent {kind:?}"),
        }
        self.push_tails();
    }

    fn handle_command(
        &mut self,
        conn: Conn,
        request: CommandRequest,
        flags: Flags,
        batch: Vec<Bytes>,
    ) {
        let Some(side) = self.conns.get_mut(&conn) else {
            return;
        };
        let is_append = matches!(request.command, CommandBody::Append { .. });
        if is_append && flags.contains(Flags::RESUME) {
            side.refusing = None;
        }
        let server = side.server;
        if let Some(code) = side.refusing
            && is_append
        {
            let error = WireError::new(code, "behind one that was refused");
            return self.reply(conn, request.request, Err(error));
        }
        let refusal = if self.leader != Some(server) {
            let hint = if self.rng.half() {
                self.hint().map(Box::new)
            } else {
                None
            };
            let code = if self.leader.is_some() {
                Code::NotLeader
            } else {
                Code::Electing
            };
            let mut error = WireError::new(code, "not here");
            error.leader = hint;
            Some(error)
        } else if self.rng.ppm(self.refuse_ppm) {
            let codes = [
                Code::Throttled,
                Code::Overloaded,
                Code::DiskFull,
                Code::Unavailable,
                Code::DeadlineExceeded,
            ];
            let code = codes[self.rng.below(5) as usize];
            Some(WireError::new(code, "not now").with_retry_after_ms(self.rng.below(30) as u32))
        } else {
            None
        };
        if let Some(error) = refusal {
            if is_append && let Some(side) = self.conns.get_mut(&conn) {
                side.refusing = Some(error.code);
            }
            return self.reply(conn, request.request, Err(error));
        }
        // A log that is there is found without a command.
        if let CommandBody::OpenLog {
            name,
            create,
            origin,
        } = &request.command
        {
            let found = self.state.by_name(name);
            let opened = match found.and_then(|log| self.state.describe(log)) {
                Some(log) => Some(Ok(CommandOutcome::LogOpened {
                    log: log.log.0,
                    version: log.version,
                    existed: true,
                    tail: log.tail.0,
                    sealed: log.sealed,
                })),
                None if *create && origin.is_some() => None,
                None => Some(Err(WireError::new(Code::NotFound, "no such log"))),
            };
            if let Some(result) = opened {
                return self.reply(conn, request.request, result);
            }
        }
        let command = paxlog_node::command_of(request.command, &batch)
            .expect("the client sends what makes sense");
        if let Some(known) = self.state.lookup(&command) {
            let result = self.on_wire(&known);
            return self.reply(conn, request.request, result);
        }
        self.pending.push_back(Proposal {
            conn,
            request: request.request,
            command,
            batch,
        });
    }

    fn reply(&mut self, conn: Conn, request: u64, result: Result<CommandOutcome, WireError>) {
        self.send(conn, &CommandReply { request, result }, &[]);
    }

    fn send<M: Message>(&mut self, conn: Conn, message: &M, body: &[Bytes]) {
        if self.conns.contains_key(&conn) {
            let mut encoder = FrameEncoder::new();
            encoder
                .push_with(message, Flags::NONE, body)
                .expect("within the limits");
            self.out.push((conn, encoder.take()));
        }
    }

    fn find(&self, log: &LogRef) -> Option<LogId> {
        match log {
            LogRef::Name(name) => self.state.by_name(name),
            LogRef::Id(id) => Some(LogId(*id)),
        }
    }

    /// What a server knows of a log.
    fn view(&self, server: usize, log: &LogRef, linearizable: bool) -> Result<TailInfo, WireError> {
        if linearizable && self.leader != Some(server) {
            let mut error = WireError::new(Code::NotLeader, "ask the leader");
            error.leader = self.hint().map(Box::new);
            return Err(error);
        }
        let described = self.find(log).and_then(|log| self.state.describe(log));
        // A server that has seen nothing does not know the log either.
        let Some(described) = described.filter(|_| self.seen[server] > 0) else {
            return Err(WireError::new(Code::NotFound, "no such log"));
        };
        let current = self.seen[server] == self.applied;
        let batches = self
            .stored
            .get(&described.log.0)
            .map_or(&[][..], |stored| stored);
        let tail = batches
            .iter()
            .take_while(|batch| batch.at <= self.seen[server])
            .last();
        let offset = if current {
            described.tail.0
        } else {
            tail.map_or(0, |batch| batch.meta.end())
        };
        Ok(TailInfo {
            log: described.log.0,
            offset,
            timestamp: tail.map_or(0, |batch| batch.meta.timestamp),
            trim_point: described.trim_point.0.min(offset),
            sealed: described.sealed && current,
            version: described.version,
            fence: None,
            stale_ms: None,
        })
    }

    fn answer(&mut self, conn: Conn, request: QueryRequest) -> Result<Answer, WireError> {
        let server = self.conns[&conn].server;
        if self.rng.ppm(self.refuse_ppm) {
            return Err(WireError::new(Code::Overloaded, "not now"));
        }
        match request.query {
            Query::CheckTail { log, linearizable } => {
                Ok(Answer::Tail(self.view(server, &log, linearizable)?))
            }
            Query::Describe { log, linearizable } => {
                let tail = self.view(server, &log, linearizable)?;
                let name = self
                    .state
                    .describe(LogId(tail.log))
                    .expect("just seen")
                    .name
                    .to_string();
                Ok(Answer::Description(LogDescription {
                    name,
                    tail,
                    created: 0,
                    bytes_appended: 0,
                    bytes_kept: 0,
                    config: LogConfig::default(),
                    cursors: 0,
                    producers: 0,
                }))
            }
            Query::List { .. } => Ok(Answer::Logs {
                logs: vec![],
                more: false,
            }),
            Query::Status | Query::Cursor { .. } | Query::Cursors { .. } => {
                Err(WireError::new(Code::Internal, "not here"))
            }
        }
    }

    /// Where a stream begins.
    fn start(
        &mut self,
        server: usize,
        log: &LogRef,
        from: ReadFrom,
        linearizable: bool,
    ) -> Result<Started, WireError> {
        if self.rng.ppm(self.refuse_ppm) {
            return Err(WireError::new(Code::Unavailable, "not now"));
        }
        let view = self.view(server, log, linearizable)?;
        let from = match from {
            ReadFrom::Offset(offset) if offset > view.offset => {
                return Err(WireError::new(Code::OffsetOutOfRange, "beyond").with_tail(view.offset));
            }
            ReadFrom::Offset(offset) => offset,
            ReadFrom::First => view.trim_point,
            ReadFrom::Tail => view.offset,
            ReadFrom::TailMinus(n) => view.offset.saturating_sub(n).max(view.trim_point),
            ReadFrom::Timestamp(_) | ReadFrom::Cursor(_) => view.trim_point,
        };
        let (log, version) = (view.log, view.version);
        Ok(Started {
            log,
            from,
            tail: view.offset,
            trim_point: view.trim_point,
            version,
            stale_ms: None,
        })
    }

    fn read(&mut self, conn: Conn, request: ReadRequest) {
        let server = self.conns[&conn].server;
        let started = match self.start(server, &request.log, request.from, request.linearizable) {
            Ok(started) => started,
            Err(error) => return self.send(conn, &ReadEvent::Refused(error), &[]),
        };
        self.send(conn, &ReadEvent::Started(started), &[]);
        let mut next = started.from;
        if next < started.trim_point {
            next = started.trim_point;
            self.send(conn, &ReadEvent::Gap { to: next }, &[]);
        }
        let mut left = request.records_max;
        let mut reason = EndReason::Tail;
        while next < started.tail {
            let (metas, body) = self.batches(started.log, next, started.tail, 2000);
            let mut end = metas
                .last()
                .map_or(next, |meta| meta.end())
                .min(started.tail);
            if request.records_max > 0 && end - next >= left {
                end = next + left;
                reason = EndReason::Limit;
            }
            left = left.saturating_sub(end - next);
            next = end;
            self.send(conn, &ReadEvent::Records(metas), &body);
            if reason == EndReason::Limit {
                break;
            }
        }
        self.send(
            conn,
            &ReadEvent::End {
                next,
                tail: started.tail,
                reason,
            },
            &[],
        );
    }

    /// Batches from the one that holds `next` on, some bytes of them but at least one.
    fn batches(&self, log: u64, next: u64, tail: u64, bytes: u64) -> (Vec<BatchMeta>, Vec<Bytes>) {
        let (mut metas, mut body, mut sum) = (vec![], vec![], 0);
        for batch in self.stored.get(&log).into_iter().flatten() {
            if batch.meta.end() <= next {
                continue;
            }
            sum += u64::from(batch.meta.bytes);
            if batch.meta.start >= tail || (!metas.is_empty() && sum > bytes) {
                break;
            }
            metas.push(batch.meta);
            body.extend(batch.parts.iter().cloned());
        }
        (metas, body)
    }

    fn tail(&mut self, conn: Conn, request: TailRequest) {
        let server = self.conns[&conn].server;
        let started = match self.start(server, &request.log, request.from, false) {
            Ok(started) => started,
            Err(error) => return self.send(conn, &TailEvent::Refused(error), &[]),
        };
        self.send(conn, &TailEvent::Started(started), &[]);
        if let Some(side) = self.conns.get_mut(&conn) {
            side.tail = Some(Tailing {
                log: started.log,
                next: started.from,
                credit: request.credit_bytes,
                outstanding: 0,
                caught_up: None,
                heartbeat: 0,
            });
        }
    }

    fn push_tails(&mut self) {
        let conns: Vec<Conn> = self
            .conns
            .iter()
            .filter(|(_, side)| side.tail.is_some())
            .map(|(&conn, _)| conn)
            .collect();
        for conn in conns {
            self.push_tail(conn);
        }
    }

    fn push_tail(&mut self, conn: Conn) {
        loop {
            let side = &self.conns[&conn];
            let tailing = side.tail.as_ref().expect("it tails");
            let (next, credit, outstanding) = (tailing.next, tailing.credit, tailing.outstanding);
            let Ok(view) = self.view(side.server, &LogRef::Id(tailing.log), false) else {
                return;
            };
            let mut metas = vec![];
            let mut body = vec![];
            if next >= view.trim_point && next < view.offset {
                (metas, body) = self.batches(view.log, next, view.offset, credit);
                let bytes: u64 = metas.iter().map(|meta| u64::from(meta.bytes)).sum();
                if bytes > credit && outstanding > 0 {
                    return;
                }
            }
            let tailing = self
                .conns
                .get_mut(&conn)
                .and_then(|side| side.tail.as_mut())
                .expect("as before");
            if next < view.trim_point {
                tailing.next = view.trim_point;
                self.send(
                    conn,
                    &TailEvent::Gap {
                        to: view.trim_point,
                    },
                    &[],
                );
            } else if let Some(last) = metas.last() {
                let bytes: u64 = metas.iter().map(|meta| u64::from(meta.bytes)).sum();
                tailing.next = last.end();
                tailing.credit = tailing.credit.saturating_sub(bytes);
                tailing.outstanding += bytes;
                tailing.caught_up = None;
                self.send(conn, &TailEvent::Records(metas), &body);
            } else {
                if view.sealed {
                    self.conns.get_mut(&conn).expect("as before").tail = None;
                    self.send(conn, &TailEvent::Sealed { tail: view.offset }, &[]);
                } else if tailing.caught_up.replace(view.offset) != Some(view.offset) {
                    self.send(conn, &TailEvent::CaughtUp { tail: view.offset }, &[]);
                }
                return;
            }
        }
    }

    pub(crate) fn heartbeats(&mut self, now: u64) {
        let conns: Vec<Conn> = self.conns.keys().copied().collect();
        for conn in conns {
            let Some(tailing) = self
                .conns
                .get_mut(&conn)
                .and_then(|side| side.tail.as_mut())
            else {
                continue;
            };
            if now >= tailing.heartbeat + 500_000_000 {
                tailing.heartbeat = now;
                let tail = tailing.next;
                self.send(conn, &TailEvent::Heartbeat { tail }, &[]);
            }
        }
    }

    /// Every record of a log in order, first offset 0.
    pub(crate) fn contents(&self, log: &str) -> Vec<Bytes> {
        let Some(id) = self.state.by_name(log) else {
            return vec![];
        };
        let mut contents = vec![];
        for batch in self.stored.get(&id.0).into_iter().flatten() {
            assert_eq!(batch.meta.start, contents.len() as u64, "offsets are dense");
            let info = paxlog_wire::batch::check(&batch.parts).expect("as it was sent");
            let section = [paxlog_session::decompress(info, &batch.parts).expect("as it was made")];
            let view = BatchView::of_section(info, &section).expect("its records");
            contents.extend(view.records().map(|record| record.payload));
        }
        contents
    }
}
