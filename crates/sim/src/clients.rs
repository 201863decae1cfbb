//! Simulated clients: the session's own machines, what they ask, and what they are told, written down as a
//! history.

use std::collections::BTreeMap;

use bytes::Bytes;
use paxlog_session::{
    AppendEvent, Appender, AppenderConfig, Commands, CommandsConfig, Consistency as Whom, Effect,
    Error, LeaderTracker, Machine, NotTaken, Queries, QueriesConfig, Read, ReadConfig, ReadOutput,
    StreamId, Tail, TailConfig, TailOutput, Token,
};
use paxlog_wal::sim::Rng;
use paxlog_wire::batch::Record;
use paxlog_wire::client::{Answer, CommandOutcome, EndReason, LogRef, Query, ReadFrom};
use paxlog_wire::{Code, Frame, FrameEncoder, FrameLimits, LeaderHint, OutcomeFact};

use crate::desk::reread;
use crate::history::{
    Call, ClientId, Consistency, Event as TailEvent, Gap, OpId, Outcome, Payload, ReadReply,
    Receipt, Recorder, Reply, SessionId, Stored, TailReply,
};
use crate::plan::{MS, Plan, SECOND, US};
use crate::replica::address;
use crate::rng::{Draw, stream};
use crate::world::{self, World};

/// How long a call may take.
const DEADLINE: u64 = 10 * SECOND;
/// Tails that a client opens in a run.
const TAILS_MAX: u64 = 2;
/// How long a handshake takes at most, in round trips' worth of noise.
const HANDSHAKE: u64 = 3 * MS;

/// What happens to clients.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A machine's timer.
    Timer { actor: usize },
    /// A client does something new.
    Act { client: usize },
    /// A stream is open.
    Up { conn: u64 },
    /// A stream could not be opened, or broke.
    Down { conn: u64 },
    /// A frame reaches a replica.
    ToServer { conn: u64, frame: Frame },
    /// The client gave a stream up, and the replica learns it.
    Closed { at: usize, life: u32, conn: u64 },
    /// A frame reaches a client.
    ToClient { conn: u64, frame: Frame },
    /// Somebody says who leads.
    Hint { actor: usize, hint: LeaderHint },
}

/// One machine of one client.
struct Actor {
    client: usize,
    role: Role,
    timer_at: u64,
    streams: BTreeMap<StreamId, u64>,
}

enum Role {
    Append {
        machine: Box<Appender>,
        under_way: BTreeMap<u64, OpId>,
        closed: bool,
    },
    Command {
        machine: Box<Commands>,
        under_way: BTreeMap<u64, OpId>,
    },
    Query {
        machine: Box<Queries>,
        under_way: BTreeMap<u64, OpId>,
    },
    Read {
        machine: Box<Read>,
        op: OpId,
        so_far: ReadReply,
        at: u64,
        over: bool,
        for_settling: Option<usize>,
    },
    Tail {
        machine: Box<Tail>,
        log: String,
        session: SessionId,
        over: bool,
    },
}

impl Role {
    fn machine(&mut self) -> &mut dyn Machine {
        match self {
            Role::Append { machine, .. } => &mut **machine,
            Role::Command { machine, .. } => &mut **machine,
            Role::Query { machine, .. } => &mut **machine,
            Role::Read { machine, .. } => &mut **machine,
            Role::Tail { machine, .. } => &mut **machine,
        }
    }
}

/// A stream between a machine and a replica.
struct Conn {
    actor: usize,
    stream: StreamId,
    at: usize,
    life: u32,
    up: bool,
    to_server: u64,
    to_client: u64,
}

struct Client {
    rng: Rng,
    /// Its appender of each log, once it has one.
    appenders: Vec<Option<usize>>,
    queries: usize,
    commands: usize,
    next_payload: u64,
    acknowledged: u64,
    tails: u64,
}

/// All of them.
pub(crate) struct Clients {
    rng: Rng,
    actors: Vec<Actor>,
    clients: Vec<Client>,
    conns: BTreeMap<u64, Conn>,
    next_conn: u64,
    next_token: u64,
    next_session: u64,
    pub(crate) logs: Vec<String>,
    pub(crate) recorder: Recorder,
    pub(crate) acknowledged: u64,
    /// No new calls.
    pub(crate) quiet: bool,
    /// What settling reads gave: (log, replica) → records, trim point and tail.
    pub(crate) settled: BTreeMap<(usize, usize), (Vec<Stored>, u64)>,
}

impl Clients {
    pub(crate) fn new(seed: u64, plan: &Plan) -> Clients {
        Clients {
            rng: stream(seed, "clients", 0),
            actors: Vec::new(),
            clients: Vec::new(),
            conns: BTreeMap::new(),
            next_conn: 0,
            next_token: 0,
            next_session: 0,
            logs: (0..plan.logs).map(|n| format!("log-{n}")).collect(),
            recorder: Recorder::new(),
            acknowledged: 0,
            quiet: false,
            settled: BTreeMap::new(),
        }
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// Records acknowledged to a client.
    pub(crate) fn acknowledged_of(&self, client: usize) -> u64 {
        self.clients[client].acknowledged
    }

    /// Calls that have not ended.
    pub(crate) fn under_way(&self) -> usize {
        let open = |actor: &Actor| match &actor.role {
            Role::Append { under_way, .. }
            | Role::Command { under_way, .. }
            | Role::Query { under_way, .. } => under_way.len(),
            Role::Read { over, .. } => usize::from(!over),
            Role::Tail { .. } => 0,
        };
        self.actors.iter().map(open).sum()
    }
}

impl World {
    fn tracker(&mut self, only: Option<usize>) -> LeaderTracker {
        let servers: Vec<String> = match only {
            Some(at) => vec![address(at)],
            None => (0..self.replicas.len()).map(address).collect(),
        };
        LeaderTracker::new(servers, self.clients.rng.next_u64())
    }

    pub(crate) fn begin_clients(&mut self) {
        for _ in 0..self.plan.clients {
            self.add_client();
        }
    }

    /// One more client; gives its number.
    pub(crate) fn add_client(&mut self) -> usize {
        let client = self.clients.clients.len();
        let mut rng = stream(self.seed, "client", client as u64);
        let commands = CommandsConfig::new(u128::from(rng.next_u64()), rng.next_u64());
        let tracker = self.tracker(None);
        let commands = Role::Command {
            machine: Box::new(Commands::new(commands, tracker)),
            under_way: BTreeMap::new(),
        };
        let tracker = self.tracker(None);
        let queries = Role::Query {
            machine: Box::new(Queries::new(QueriesConfig::new(rng.next_u64()), tracker)),
            under_way: BTreeMap::new(),
        };
        let commands = self.add_actor(client, commands);
        let queries = self.add_actor(client, queries);
        let logs = self.clients.logs.len();
        let first = rng.below(100 * MS);
        self.clients.clients.push(Client {
            rng,
            appenders: vec![None; logs],
            queries,
            commands,
            next_payload: 0,
            acknowledged: 0,
            tails: 0,
        });
        self.schedule_client(first, Happening::Act { client });
        client
    }

    fn schedule_client(&mut self, after: u64, happening: Happening) {
        self.queue
            .push(self.now + after, world::Happening::Client(happening));
    }

    fn add_actor(&mut self, client: usize, role: Role) -> usize {
        self.clients.actors.push(Actor {
            client,
            role,
            timer_at: u64::MAX,
            streams: BTreeMap::new(),
        });
        self.clients.actors.len() - 1
    }

    pub(crate) fn client_happens(&mut self, happening: Happening) {
        match happening {
            Happening::Timer { actor } => {
                let now = self.now;
                let one = &mut self.clients.actors[actor];
                if one.timer_at <= now {
                    one.timer_at = u64::MAX;
                    one.role.machine().handle_tick(now);
                    self.settle(actor);
                }
            }
            Happening::Act { client } => {
                if !self.clients.quiet {
                    self.act(client);
                    let mean = self.plan.append_mean;
                    let after = US + self.clients.clients[client].rng.exponential(mean);
                    self.schedule_client(after, Happening::Act { client });
                }
            }
            Happening::Up { conn } => self.up(conn),
            Happening::Down { conn } => {
                let Some(gone) = self.clients.conns.remove(&conn) else {
                    return;
                };
                if let Some(running) = &mut self.replicas[gone.at].running
                    && let Some(event) = running.desk.close(conn)
                {
                    self.input(gone.at, event);
                }
                let error = Error::new(Code::Unavailable, "the stream broke");
                let actor = &mut self.clients.actors[gone.actor];
                actor.streams.remove(&gone.stream);
                actor
                    .role
                    .machine()
                    .handle_down(self.now, gone.stream, error);
                self.settle(gone.actor);
            }
            Happening::ToServer { conn, frame } => {
                let Some(open) = self.clients.conns.get(&conn) else {
                    return;
                };
                let (at, life) = (open.at, open.life);
                let replica = &mut self.replicas[at];
                if replica.paused_until > self.now {
                    let again = Happening::ToServer { conn, frame };
                    let at = replica.paused_until;
                    self.queue.push(at, world::Happening::Client(again));
                    return;
                }
                if replica.life != life {
                    return;
                }
                let Some(running) = &mut replica.running else {
                    return;
                };
                match running.desk.frame(conn, frame) {
                    Some(event) => self.input(at, event),
                    None => self.schedule_client(MS, Happening::Down { conn }),
                }
            }
            Happening::Closed { at, life, conn } => {
                let replica = &mut self.replicas[at];
                if replica.life == life
                    && let Some(running) = &mut replica.running
                    && let Some(event) = running.desk.close(conn)
                {
                    self.input(at, event);
                }
            }
            Happening::ToClient { conn, frame } => {
                let Some(open) = self.clients.conns.get(&conn) else {
                    return;
                };
                let (actor, stream) = (open.actor, open.stream);
                let one = &mut self.clients.actors[actor];
                one.role.machine().handle_frame(self.now, stream, frame);
                self.settle(actor);
            }
            Happening::Hint { actor, hint } => {
                let one = &mut self.clients.actors[actor];
                one.role.machine().handle_leader(self.now, &hint);
                self.settle(actor);
            }
        }
    }

    fn up(&mut self, conn: u64) {
        let Some(open) = self.clients.conns.get_mut(&conn) else {
            return;
        };
        let replica = &self.replicas[open.at];
        if replica.life != open.life || replica.running.is_none() {
            return self.client_happens(Happening::Down { conn });
        }
        open.up = true;
        let (actor, stream) = (open.actor, open.stream);
        let hint = replica
            .running
            .as_ref()
            .and_then(|r| r.node.leader_hint().cloned());
        let machine = self.clients.actors[actor].role.machine();
        machine.handle_up(self.now, stream);
        if let Some(hint) = hint {
            machine.handle_leader(self.now, &hint);
        }
        self.settle(actor);
    }

    /// A replica stopped: some clients notice at once, others when nothing comes.
    pub(crate) fn server_gone(&mut self, at: usize) {
        let gone: Vec<u64> = self
            .clients
            .conns
            .iter()
            .filter(|(_, conn)| conn.at == at)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in gone {
            let after = match self.clients.rng.half() {
                true => MS + self.clients.rng.below(5 * MS),
                false => SECOND + self.clients.rng.below(9 * SECOND),
            };
            self.schedule_client(after, Happening::Down { conn });
        }
    }

    /// Somebody's streams break.
    pub(crate) fn reset_client(&mut self, client: usize) {
        let gone: Vec<u64> = self
            .clients
            .conns
            .iter()
            .filter(|(_, conn)| self.clients.actors[conn.actor].client == client)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in gone {
            self.schedule_client(US, Happening::Down { conn });
        }
    }

    pub(crate) fn tell_clients(&mut self, at: usize, hint: &LeaderHint) {
        let mut told: Vec<usize> = self
            .clients
            .conns
            .values()
            .filter(|conn| conn.at == at && conn.up)
            .map(|conn| conn.actor)
            .collect();
        told.dedup();
        for actor in told {
            let after = self.client_delay();
            let hint = hint.clone();
            self.schedule_client(after, Happening::Hint { actor, hint });
        }
    }

    fn client_delay(&mut self) -> u64 {
        self.plan.delay_min + self.clients.rng.exponential(self.plan.delay_mean)
    }

    pub(crate) fn frame_to_client(&mut self, at: usize, conn: u64, frame: Frame) {
        let delay = self.client_delay();
        let (now, life) = (self.now, self.replicas[at].life);
        if let Some(open) = self.clients.conns.get_mut(&conn)
            && (open.at, open.life) == (at, life)
        {
            open.to_client = open.to_client.max(now + delay);
            let arrives = open.to_client;
            let happening = Happening::ToClient { conn, frame };
            self.queue
                .push(arrives, world::Happening::Client(happening));
        }
    }

    /// Takes what a machine wants done and has to say, and minds its timer.
    fn settle(&mut self, actor: usize) {
        loop {
            while let Some(effect) = self.clients.actors[actor].role.machine().poll_effect() {
                self.perform(actor, effect);
            }
            if !self.listen(actor) {
                break;
            }
        }
        let one = &mut self.clients.actors[actor];
        if let Some(due) = one.role.machine().poll_timer()
            && due < one.timer_at
        {
            one.timer_at = due.max(self.now + 1);
            let at = one.timer_at;
            self.queue
                .push(at, world::Happening::Client(Happening::Timer { actor }));
        }
    }

    fn perform(&mut self, actor: usize, effect: Effect) {
        match effect {
            Effect::Open { stream, server } => {
                let at = (0..self.replicas.len())
                    .find(|&at| *address(at) == *server.0)
                    .expect("a server of this cluster");
                self.clients.next_conn += 1;
                let conn = self.clients.next_conn;
                let replica = &self.replicas[at];
                let (life, runs) = (replica.life, replica.running.is_some());
                let after = match runs {
                    true => US + self.clients.rng.below(HANDSHAKE) + 2 * self.plan.delay_mean,
                    false => self.clients.rng.one_of(&[MS, SECOND]),
                };
                let open = Conn {
                    actor,
                    stream,
                    at,
                    life,
                    up: false,
                    to_server: 0,
                    to_client: 0,
                };
                self.clients.conns.insert(conn, open);
                self.clients.actors[actor].streams.insert(stream, conn);
                self.schedule_client(
                    after,
                    if runs {
                        Happening::Up { conn }
                    } else {
                        Happening::Down { conn }
                    },
                );
            }
            Effect::Send { stream, frame } => {
                let delay = self.client_delay();
                let Some(&conn) = self.clients.actors[actor].streams.get(&stream) else {
                    return;
                };
                let mut encoder = FrameEncoder::new();
                frame
                    .encode(&mut encoder)
                    .expect("machines stay within the limits");
                let frame = reread(encoder, FrameLimits::FROM_CLIENT);
                if let Some(open) = self.clients.conns.get_mut(&conn) {
                    open.to_server = open.to_server.max(self.now + delay);
                    let arrives = open.to_server;
                    let happening = Happening::ToServer { conn, frame };
                    self.queue
                        .push(arrives, world::Happening::Client(happening));
                }
            }
            Effect::Close { stream } => {
                let Some(conn) = self.clients.actors[actor].streams.remove(&stream) else {
                    return;
                };
                if let Some(open) = self.clients.conns.remove(&conn) {
                    let after = self.client_delay();
                    let (at, life) = (open.at, open.life);
                    self.schedule_client(after, Happening::Closed { at, life, conn });
                }
            }
        }
    }

    /// Takes down what a machine says; whether it said anything.
    fn listen(&mut self, actor: usize) -> bool {
        let now = self.now;
        let Clients {
            actors,
            recorder,
            acknowledged,
            clients,
            settled,
            ..
        } = &mut self.clients;
        let Actor { client, role, .. } = &mut actors[actor];
        let who = ClientId(*client as u64);
        let mut said = false;
        match role {
            Role::Append {
                machine,
                under_way,
                closed,
                ..
            } => {
                while let Some(event) = machine.poll_event() {
                    said = true;
                    match event {
                        AppendEvent::Opened(_) => {}
                        AppendEvent::Closed(_) => *closed = true,
                        AppendEvent::Done { token, result } => {
                            let op = under_way.remove(&token.0).expect("each ends once");
                            let outcome = match result {
                                Ok(receipt) => {
                                    *acknowledged += receipt.end - receipt.start;
                                    clients[*client].acknowledged += receipt.end - receipt.start;
                                    if receipt.duplicate {
                                        self.coverage.hit("an append was resent and was there");
                                    }
                                    Outcome::Ok(Reply::Appended(Receipt {
                                        start: receipt.start,
                                        end: receipt.end,
                                        timestamp: Some(receipt.timestamp),
                                        tail: None,
                                        version: None,
                                        duplicate: receipt.duplicate,
                                    }))
                                }
                                Err(error) => failed(&error),
                            };
                            recorder.end(now, op, outcome);
                        }
                    }
                }
            }
            Role::Command { machine, under_way } => {
                while let Some(done) = machine.poll_done() {
                    said = true;
                    let op = under_way.remove(&done.token.0).expect("each ends once");
                    let outcome = match done.result {
                        Ok(CommandOutcome::Trimmed {
                            trim_point,
                            tail,
                            version,
                            duplicate,
                        }) => Outcome::Ok(Reply::Trimmed {
                            trim_point,
                            tail,
                            version: (!duplicate).then_some(version),
                            duplicate,
                        }),
                        Ok(CommandOutcome::Sealed {
                            tail,
                            version,
                            duplicate,
                        }) => Outcome::Ok(Reply::Sealed {
                            tail,
                            version: (!duplicate).then_some(version),
                            duplicate,
                        }),
                        Ok(_) => Outcome::Unknown { code: None },
                        Err(error) => failed(&error),
                    };
                    recorder.end(now, op, outcome);
                }
            }
            Role::Query { machine, under_way } => {
                while let Some(done) = machine.poll_done() {
                    said = true;
                    let op = under_way.remove(&done.token.0).expect("each ends once");
                    let outcome = match done.result {
                        Ok(Answer::Tail(tail)) => Outcome::Ok(Reply::Tail(TailReply {
                            offset: tail.offset,
                            timestamp: Some(tail.timestamp),
                            trim_point: tail.trim_point,
                            sealed: tail.sealed,
                            version: Some(tail.version),
                        })),
                        Ok(_) => Outcome::Unknown { code: None },
                        Err(error) => Outcome::NotApplied {
                            code: error.code.name().to_owned(),
                            seen: None,
                        },
                    };
                    recorder.end(now, op, outcome);
                }
            }
            Role::Read {
                machine,
                op,
                so_far,
                at,
                over,
                for_settling,
            } => {
                while let Some(output) = machine.poll_output() {
                    said = true;
                    match output {
                        ReadOutput::Records(piece) => {
                            for (offset, record) in piece.records() {
                                so_far.records.push(stored(
                                    offset,
                                    &record.payload,
                                    piece.timestamp,
                                ));
                            }
                            *at = piece.end;
                        }
                        ReadOutput::Gap { to } => {
                            so_far.gaps.push(Gap { from: *at, to });
                            *at = to;
                        }
                        ReadOutput::End { next, tail, reason } => {
                            *over = true;
                            so_far.next = Some(next);
                            // Where it ended in a gap nobody told it the tail.
                            let in_a_gap = so_far.gaps.last().is_some_and(|gap| gap.to == next);
                            let at_the_tail = matches!(reason, EndReason::Tail | EndReason::Sealed);
                            so_far.tail = (at_the_tail && !in_a_gap).then_some(tail);
                            if let Some(key) = for_settling {
                                let (log, replica) = (*key >> 8, *key & 0xff);
                                settled.insert((log, replica), (so_far.records.clone(), tail));
                            }
                            recorder.end(
                                now,
                                *op,
                                Outcome::Ok(Reply::Read(std::mem::take(so_far))),
                            );
                        }
                        ReadOutput::Failed(error) => {
                            *over = true;
                            let mut reply = std::mem::take(so_far);
                            let outcome = if reply.records.is_empty() && reply.gaps.is_empty() {
                                Outcome::NotApplied {
                                    code: error.code.name().to_owned(),
                                    seen: None,
                                }
                            } else {
                                reply.error = Some(error.code.name().to_owned());
                                Outcome::Ok(Reply::Read(reply))
                            };
                            recorder.end(now, *op, outcome);
                        }
                    }
                }
            }
            Role::Tail {
                machine,
                log,
                session,
                over,
            } => {
                while let Some(output) = machine.poll_output() {
                    said = true;
                    let event = match output {
                        TailOutput::Records(piece) => {
                            machine.release(piece.bytes());
                            let records = piece.records();
                            TailEvent::Records(
                                records
                                    .map(|(offset, record)| {
                                        stored(offset, &record.payload, piece.timestamp)
                                    })
                                    .collect(),
                            )
                        }
                        TailOutput::Gap { to } => TailEvent::Gap { to },
                        TailOutput::CaughtUp { tail } => TailEvent::CaughtUp { tail },
                        TailOutput::Sealed { tail } => {
                            *over = true;
                            TailEvent::Sealed { tail }
                        }
                        TailOutput::Failed(_) => {
                            *over = true;
                            continue;
                        }
                    };
                    recorder.event(now, who, log.as_str(), *session, event);
                }
            }
        }
        said
    }

    // ---- what a client does ----

    fn act(&mut self, client: usize) {
        let logs = self.clients.logs.len() as u64;
        let rng = &mut self.clients.clients[client].rng;
        let log = rng.below(logs) as usize;
        match rng.below(100) {
            0..=79 => self.append(client, log),
            80..=86 => self.check_tail(client, log),
            87..=92 => self.read(client, log, None),
            93..=94 => self.tail(client, log),
            95..=98 => self.trim(client, log),
            _ => {}
        }
    }

    fn append(&mut self, client: usize, log: usize) {
        let name = self.clients.logs[log].clone();
        let existing = self.clients.clients[client].appenders[log].filter(|&actor| {
            !matches!(
                self.clients.actors[actor].role,
                Role::Append { closed: true, .. }
            )
        });
        let actor = match existing {
            Some(actor) => actor,
            None => {
                let tracker = self.tracker(None);
                let rng = &mut self.clients.clients[client].rng;
                let nonce = u128::from(rng.next_u64());
                let mut config = AppenderConfig::new(&name, nonce, rng.next_u64());
                config.window = self.plan.window as usize;
                // A frame of the smallest segment holds it.
                config.batch_bytes_max = 8 << 10;
                let machine = Box::new(Appender::new(self.now, config, tracker));
                let actor = self.add_actor(
                    client,
                    Role::Append {
                        machine,
                        under_way: BTreeMap::new(),
                        closed: false,
                    },
                );
                self.clients.clients[client].appenders[log] = Some(actor);
                self.settle(actor);
                actor
            }
        };
        let count = 1 + self.clients.clients[client].rng.below(3);
        let payloads: Vec<Bytes> = (0..count).map(|_| self.payload(client)).collect();
        let records: Vec<Record> = payloads.iter().cloned().map(Record::new).collect();
        let token = self.clients.token();
        // A call that fails takes those behind it with it: whoever is watched for progress is patient.
        let hasty = (client as u64) < self.plan.clients;
        let deadline = match hasty && self.clients.clients[client].rng.chance(1) {
            true => self.now + MS * self.clients.clients[client].rng.between(1, 300),
            false => self.now + DEADLINE,
        };
        let Role::Append {
            machine, under_way, ..
        } = &mut self.clients.actors[actor].role
        else {
            return;
        };
        match machine.append(self.now, token, &records, deadline) {
            Ok(()) => {
                let call = Call::append(name, payloads.iter().map(|p| Payload::id_of(p)));
                let op = self.clients.recorder.begin_in(
                    self.now,
                    ClientId(client as u64),
                    actor as u64,
                    call,
                );
                under_way.insert(token.0, op);
                machine.flush(self.now);
            }
            Err(NotTaken::Full | NotTaken::Refused(_)) => {}
        }
        self.settle(actor);
    }

    fn payload(&mut self, client: usize) -> Bytes {
        let one = &mut self.clients.clients[client];
        one.next_payload += 1;
        let mut payload = format!("{client}/{}", one.next_payload).into_bytes();
        let more = one.rng.below(self.plan.payload_max) as usize;
        payload.resize(payload.len() + more, b'.');
        payload.into()
    }

    fn check_tail(&mut self, client: usize, log: usize) {
        let name = self.clients.logs[log].clone();
        let linearizable = self.clients.clients[client].rng.half();
        let consistency = match linearizable {
            true => Consistency::Linearizable,
            false => Consistency::Local,
        };
        let token = self.clients.token();
        let call = Call::check_tail(&name, consistency);
        let op = self
            .clients
            .recorder
            .begin(self.now, ClientId(client as u64), call);
        let actor = self.clients.clients[client].queries;
        let Role::Query { machine, under_way } = &mut self.clients.actors[actor].role else {
            return;
        };
        under_way.insert(token.0, op);
        let query = Query::CheckTail {
            log: LogRef::Name(name),
            linearizable,
        };
        let whom = if linearizable {
            Whom::Leader
        } else {
            Whom::Any
        };
        machine.ask(self.now, token, query, whom, self.now + DEADLINE);
        self.settle(actor);
    }

    /// A read of everything; of one replica alone where `settling` names it.
    fn read(&mut self, client: usize, log: usize, settling: Option<usize>) {
        let name = self.clients.logs[log].clone();
        let rng = &mut self.clients.clients[client].rng;
        let (linearizable, strict) = match settling {
            Some(_) => (false, false),
            None => (rng.half(), rng.chance(10)),
        };
        let consistency = match linearizable {
            true => Consistency::Linearizable,
            false => Consistency::Local,
        };
        // Most look at the end only, about where it is.
        let about = self.clients.acknowledged / self.clients.logs.len() as u64;
        let rng = &mut self.clients.clients[client].rng;
        let whole = settling.is_some() || about < 100 || rng.chance(5);
        let (from, at) = match whole {
            true => (ReadFrom::First, 0),
            false => {
                let at = about - rng.below(100);
                (ReadFrom::Offset(at), at)
            }
        };
        let mut config = ReadConfig::new(&name, from, rng.next_u64(), self.now + DEADLINE);
        (config.linearizable, config.strict) = (linearizable, strict);
        let tracker = self.tracker(settling);
        let mut call = Call::read(&name, consistency, strict);
        if !whole {
            call = call.reading_from(at);
        }
        let op = self
            .clients
            .recorder
            .begin(self.now, ClientId(client as u64), call);
        let role = Role::Read {
            machine: Box::new(Read::new(self.now, config, tracker)),
            op,
            so_far: ReadReply::default(),
            at,
            over: false,
            for_settling: settling.map(|replica| log << 8 | replica),
        };
        let actor = self.add_actor(client, role);
        self.settle(actor);
    }

    fn tail(&mut self, client: usize, log: usize) {
        // Each hears everything: a few are enough.
        if self.clients.clients[client].tails >= TAILS_MAX {
            return;
        }
        self.clients.clients[client].tails += 1;
        let name = self.clients.logs[log].clone();
        let tracker = self.tracker(None);
        let rng = &mut self.clients.clients[client].rng;
        let mut config = TailConfig::new(&name, ReadFrom::First, rng.next_u64());
        config.credit = rng.one_of(&[2_000, 4 << 20]);
        self.clients.next_session += 1;
        let role = Role::Tail {
            machine: Box::new(Tail::new(self.now, config, tracker)),
            log: name,
            session: SessionId(self.clients.next_session),
            over: false,
        };
        let actor = self.add_actor(client, role);
        self.settle(actor);
    }

    fn trim(&mut self, client: usize, log: usize) {
        // Only one client trims: then what it keeps is known.
        if client != 0 {
            return;
        }
        let name = self.clients.logs[log].clone();
        let appended = self.clients.acknowledged / self.clients.logs.len() as u64;
        let to = appended.saturating_sub(self.plan.keep);
        if to == 0 {
            return;
        }
        let token = self.clients.token();
        let call = Call::trim(&name, to);
        let op = self
            .clients
            .recorder
            .begin(self.now, ClientId(client as u64), call);
        let actor = self.clients.clients[client].commands;
        let Role::Command { machine, under_way } = &mut self.clients.actors[actor].role else {
            return;
        };
        under_way.insert(token.0, op);
        machine.trim(self.now, token, &name, to, self.now + DEADLINE);
        self.settle(actor);
    }

    // ---- the end ----

    /// Gives the tails up, whose machines would go on for ever.
    pub(crate) fn close_tails(&mut self) {
        for actor in 0..self.clients.actors.len() {
            if let Role::Tail { machine, .. } = &mut self.clients.actors[actor].role {
                machine.close();
                self.settle(actor);
            }
        }
    }

    /// Seals every log.
    pub(crate) fn seal_all(&mut self) {
        for log in 0..self.clients.logs.len() {
            let name = self.clients.logs[log].clone();
            let token = self.clients.token();
            let call = Call::seal(&name);
            let op = self.clients.recorder.begin(self.now, ClientId(0), call);
            let actor = self.clients.clients[0].commands;
            let Role::Command { machine, under_way } = &mut self.clients.actors[actor].role else {
                return;
            };
            under_way.insert(token.0, op);
            machine.seal(self.now, token, &name, self.now + DEADLINE);
            self.settle(actor);
        }
    }

    /// Reads every log whole, at every replica that takes part.
    pub(crate) fn read_all(&mut self) {
        for log in 0..self.clients.logs.len() {
            for at in 0..self.replicas.len() {
                if self.replicas[at].in_group() {
                    self.read(0, log, Some(at));
                }
            }
        }
    }
}

fn stored(offset: u64, payload: &Bytes, timestamp: u64) -> Stored {
    Stored {
        offset,
        timestamp: Some(timestamp),
        payload: Payload::id_of(payload),
    }
}

fn failed(error: &Error) -> Outcome {
    let code = error.code.name().to_owned();
    match error.outcome {
        OutcomeFact::Unknown => Outcome::Unknown { code: Some(code) },
        OutcomeFact::NotApplied | OutcomeFact::NotAWrite => {
            Outcome::NotApplied { code, seen: None }
        }
    }
}
