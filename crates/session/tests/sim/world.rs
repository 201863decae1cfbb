//! Time, streams and faults between clients and servers.

use std::collections::BTreeMap;

use bytes::Bytes;
use paxlog_session::{
    Appender, Commands, Effect, Error, LeaderTracker, Machine, Queries, Read, StreamId, Tail,
};
use paxlog_wire::{Code, Frame, FrameDecoder, FrameEncoder, FrameLimits, LeaderHint};

use crate::cluster::{Cluster, Conn, SERVERS, address};
use crate::rng::Rng;

pub(crate) const MS: u64 = 1_000_000;

pub(crate) enum Client {
    Appender(Box<Appender>),
    Commands(Box<Commands>),
    Queries(Box<Queries>),
    Read(Box<Read>),
    Tail(Box<Tail>),
}

impl Client {
    pub(crate) fn machine(&mut self) -> &mut dyn Machine {
        match self {
            Client::Appender(machine) => &mut **machine,
            Client::Commands(machine) => &mut **machine,
            Client::Queries(machine) => &mut **machine,
            Client::Read(machine) => &mut **machine,
            Client::Tail(machine) => &mut **machine,
        }
    }

    pub(crate) fn appender(&mut self) -> &mut Appender {
        match self {
            Client::Appender(appender) => appender,
            _ => panic!("not an appender"),
        }
    }
}

/// How often what happens, in millionths of a chance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// A frame meets a reset of its stream instead.
    pub(crate) reset: u64,
    /// Each millisecond.
    pub(crate) leader_change: u64,
    /// Each millisecond, some server.
    pub(crate) stall: u64,
    /// A command, query or stream is refused at admission.
    pub(crate) refuse: u64,
    /// A hint does not reach a client.
    pub(crate) deaf: u64,
}

impl Faults {
    pub(crate) fn draw(rng: &mut Rng) -> Faults {
        let mut kind = |most: u64| if rng.half() { 0 } else { rng.below(most) };
        Faults {
            reset: kind(30_000),
            leader_change: kind(20_000),
            stall: kind(5_000),
            refuse: kind(50_000),
            deaf: kind(1_000_000),
        }
    }
}

enum Event {
    Up(Conn),
    Down(Conn),
    ToServer(Conn, Frame),
    ToClient(Conn, Frame),
    Hint(usize, LeaderHint),
}

struct Line {
    server: usize,
    /// Frames of a direction arrive in order.
    to_server: u64,
    to_client: u64,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    pub(crate) cluster: Cluster,
    pub(crate) clients: Vec<Client>,
    pub(crate) faults: Faults,
    pub(crate) resets: u64,
    pub(crate) leader_changes: u64,
    events: BTreeMap<(u64, u64), Event>,
    numbers: u64,
    lines: BTreeMap<Conn, Line>,
    /// Until when each server says nothing and hears nothing.
    stalled: [u64; SERVERS],
    last_step: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let faults = Faults::draw(&mut rng);
        let mut cluster = Cluster::new(Rng::new(rng.draw()));
        cluster.refuse_ppm = faults.refuse;
        World {
            now: 1_000 * MS,
            rng,
            cluster,
            clients: vec![],
            faults,
            resets: 0,
            leader_changes: 0,
            events: BTreeMap::new(),
            numbers: 0,
            lines: BTreeMap::new(),
            stalled: [0; SERVERS],
            last_step: 1_000 * MS,
        }
    }

    pub(crate) fn tracker(&mut self) -> LeaderTracker {
        LeaderTracker::new((0..SERVERS).map(address), self.rng.draw())
    }

    pub(crate) fn heal(&mut self) {
        self.faults = Faults::default();
        self.cluster.refuse_ppm = 0;
        self.cluster.stuck = false;
        self.stalled = [0; SERVERS];
        if self.cluster.leader.is_none() {
            self.elect();
        }
    }

    /// Another server leads from now on, or nobody.
    pub(crate) fn depose(&mut self, to: Option<usize>) {
        self.leader_changes += 1;
        self.cluster.change_leader(to);
        self.tell_leader();
    }

    fn elect(&mut self) {
        let leader = self.rng.below(SERVERS as u64) as usize;
        self.depose(Some(leader));
    }

    fn tell_leader(&mut self) {
        let Some(hint) = self.cluster.hint() else {
            return;
        };
        for client in 0..self.clients.len() {
            if !self.rng.ppm(self.faults.deaf) {
                let at = self.now + self.rng.between(MS / 10, 20 * MS);
                self.schedule(at, Event::Hint(client, hint.clone()));
            }
        }
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.numbers += 1;
        self.events.insert((at, self.numbers), event);
    }

    /// Runs until `until`, a millisecond or an event at a time; `turn` is called after each.
    pub(crate) fn run(&mut self, until: u64, mut turn: impl FnMut(&mut World)) {
        while self.now < until {
            self.turn();
            turn(self);
            self.effects();
            self.deliver_replies();
            let event = self
                .events
                .first_key_value()
                .map_or(u64::MAX, |(&(at, _), _)| at);
            self.now = event
                .min(self.last_step + MS)
                .clamp(self.now + 1, until.max(self.now + 1));
        }
    }

    fn turn(&mut self) {
        while let Some((&(at, number), _)) = self.events.first_key_value()
            && at <= self.now
        {
            let event = self.events.remove(&(at, number)).expect("just seen");
            self.happen(event);
        }
        if self.now >= self.last_step + MS {
            self.last_step = self.now;
            self.step();
        }
        for client in &mut self.clients {
            let machine = client.machine();
            let mut rounds = 0;
            while machine.poll_timer().is_some_and(|at| at <= self.now) {
                machine.handle_tick(self.now);
                rounds += 1;
                assert!(rounds < 100, "a timer that stays in the past");
            }
        }
    }

    /// What happens each millisecond.
    fn step(&mut self) {
        if self.cluster.leader.is_none() && self.rng.ppm(20_000) {
            self.elect();
        } else if self.rng.ppm(self.faults.leader_change) {
            let to = if self.rng.half() {
                None
            } else {
                Some(self.rng.below(SERVERS as u64) as usize)
            };
            self.depose(to);
        }
        if self.rng.ppm(self.faults.stall) {
            let server = self.rng.below(SERVERS as u64) as usize;
            self.stalled[server] = self.now + self.rng.below(5_000 * MS);
        }
        let leader_stalled = self
            .cluster
            .leader
            .is_some_and(|leader| self.stalled[leader] > self.now);
        if !leader_stalled {
            self.cluster.advance(self.faults.leader_change == 0);
        }
        self.cluster.heartbeats(self.now);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Up(conn) => {
                if let Some(line) = self.lines.get(&conn) {
                    self.cluster.opened(conn, line.server);
                    let hint = self.cluster.hint();
                    let machine = self.clients[conn.0].machine();
                    machine.handle_up(self.now, StreamId(conn.1));
                    if let Some(hint) = hint
                        && !self.rng.ppm(self.faults.deaf)
                    {
                        machine.handle_leader(self.now, &hint);
                    }
                }
            }
            Event::Down(conn) => {
                if self.lines.remove(&conn).is_some() {
                    self.cluster.closed(conn);
                    let error = Error::new(Code::Unavailable, "the stream was reset");
                    self.clients[conn.0]
                        .machine()
                        .handle_down(self.now, StreamId(conn.1), error);
                }
            }
            Event::ToServer(conn, frame) => {
                if self.lines.contains_key(&conn) {
                    self.cluster.handle(conn, frame);
                }
            }
            Event::ToClient(conn, frame) => {
                if self.lines.contains_key(&conn) {
                    self.clients[conn.0]
                        .machine()
                        .handle_frame(self.now, StreamId(conn.1), frame);
                }
            }
            Event::Hint(client, hint) => self.clients[client]
                .machine()
                .handle_leader(self.now, &hint),
        }
    }

    fn effects(&mut self) {
        for client in 0..self.clients.len() {
            while let Some(effect) = self.clients[client].machine().poll_effect() {
                self.perform(client, effect);
            }
        }
    }

    fn perform(&mut self, client: usize, effect: Effect) {
        match effect {
            Effect::Open { stream, server } => {
                let conn = (client, stream.0);
                let server = (0..SERVERS)
                    .find(|&at| address(at) == *server.0)
                    .expect("a server of the cluster");
                let line = Line {
                    server,
                    to_server: 0,
                    to_client: 0,
                };
                assert!(
                    self.lines.insert(conn, line).is_none(),
                    "a stream's name is used once"
                );
                let at = self.now.max(self.stalled[server]) + self.rng.between(MS / 10, 3 * MS);
                let event = if self.rng.ppm(self.faults.reset) {
                    Event::Down(conn)
                } else {
                    Event::Up(conn)
                };
                self.schedule(at, event);
            }
            Effect::Close { stream } => {
                self.lines.remove(&(client, stream.0));
                self.cluster.closed((client, stream.0));
            }
            Effect::Send { stream, frame } => {
                let conn = (client, stream.0);
                let mut encoder = FrameEncoder::new();
                frame
                    .encode(&mut encoder)
                    .expect("the machines stay within the limits");
                let frame = decoded(FrameLimits::FROM_CLIENT, encoder.take());
                self.carry(conn, frame, true);
            }
        }
    }

    fn deliver_replies(&mut self) {
        for (conn, chunks) in std::mem::take(&mut self.cluster.out) {
            let frame = decoded(FrameLimits::TO_CLIENT, chunks);
            self.carry(conn, frame, false);
        }
    }

    fn carry(&mut self, conn: Conn, frame: Frame, to_server: bool) {
        let delay = self.rng.between(MS / 20, 2 * MS);
        let reset = self.rng.ppm(self.faults.reset);
        let Some(line) = self.lines.get_mut(&conn) else {
            return;
        };
        let last = if to_server {
            &mut line.to_server
        } else {
            &mut line.to_client
        };
        let at = (self.now + delay).max(*last).max(self.stalled[line.server]);
        *last = at;
        if reset {
            self.resets += 1;
            self.schedule(at, Event::Down(conn));
            return;
        }
        self.schedule(
            at,
            if to_server {
                Event::ToServer(conn, frame)
            } else {
                Event::ToClient(conn, frame)
            },
        );
    }
}

fn decoded(limits: FrameLimits, chunks: Vec<Bytes>) -> Frame {
    let mut decoder = FrameDecoder::new(limits);
    for chunk in chunks {
        decoder.push(chunk);
    }
    decoder
        .next_frame()
        .expect("a whole frame")
        .expect("a whole frame")
}
