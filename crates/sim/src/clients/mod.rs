//! Simulated clients: the session's own machines, what they ask, and what they are told, written down as a
//! history.

mod acts;
mod contract;
mod deletion;
mod streams;
mod told;

use std::collections::{BTreeMap, BTreeSet};

use paxlog_session::{
    Appender, Commands, CommandsConfig, Error, LeaderTracker, Machine, Queries, QueriesConfig,
    Read, StreamId, Tail, Token,
};
use paxlog_wal::sim::Rng;
use paxlog_wire::{Code, Frame, LeaderHint};

use crate::history::{OpId, ReadReply, Recorder, SessionId, Stored};
use crate::plan::{MS, Plan, SECOND, US};
use crate::replica::address;
use crate::rng::{Draw, stream};
use crate::world::{self, World};

/// Questions that a watcher has under way, at most.
const WATCHER_ASKS_MAX: usize = 4;

/// What happens to clients.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A machine's timer.
    Timer { actor: usize },
    /// A client does something new.
    Act { client: usize },
    /// A probe appends.
    Probe { client: usize },
    /// A watcher asks.
    Watch { client: usize },
    /// Somebody deletes a log.
    Delete,
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
        log: usize,
        /// The log's id, once it is open.
        id: Option<u64>,
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
    /// What it takes for the fence of each log.
    fences: Vec<Option<String>>,
    /// Where it takes cursors to stand, by log and name.
    cursors: BTreeMap<(usize, String), u64>,
    /// It does nothing more.
    gone: bool,
}

/// A log as one replica has it, when all is over.
#[derive(Debug)]
pub(crate) enum Whole {
    /// Nobody ever made it, or it was deleted.
    Absent,
    /// What is in it, its tail, and its id.
    Read(Vec<Stored>, u64, Option<u64>),
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
    /// The highest tail that any client was told, by log.
    tails: Vec<u64>,
    /// Logs that somebody asked to seal: appends to them are rare from then on.
    sealed: BTreeSet<usize>,
    /// Which of them that is, by log: of those that had the name, the newest that anybody was told of.
    ids: Vec<u64>,
    /// When logs that were deleted are appended to again, at the soonest.
    shunned: Vec<u64>,
    deletion: Rng,
    /// Those that the plan's faults mean, by their numbers there: one that is gone has a successor.
    seats: Vec<usize>,
    /// No new calls.
    pub(crate) quiet: bool,
    /// Which copies settling reads were to give: (log, replica).
    pub(crate) asked: BTreeSet<(usize, usize)>,
    /// What settling reads gave: (log, replica) → records, trim point and tail.
    pub(crate) settled: BTreeMap<(usize, usize), Whole>,
}

impl Clients {
    pub(crate) fn new(plan: &Plan) -> Clients {
        Clients {
            rng: stream(plan.seed, "clients", 0),
            actors: Vec::new(),
            clients: Vec::new(),
            conns: BTreeMap::new(),
            next_conn: 0,
            next_token: 0,
            next_session: 0,
            // The last one is for probes only: nobody seals it.
            logs: (0..plan.logs)
                .map(|n| format!("log-{n}"))
                .chain(["probe".to_owned()])
                .collect(),
            sealed: BTreeSet::new(),
            recorder: Recorder::new(),
            acknowledged: 0,
            tails: vec![0; plan.logs as usize + 1],
            ids: vec![0; plan.logs as usize + 1],
            shunned: vec![0; plan.logs as usize + 1],
            deletion: stream(plan.seed, "deletion", 1),
            seats: Vec::new(),
            quiet: false,
            asked: BTreeSet::new(),
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
        let live = |actor: &&Actor| !self.clients[actor.client].gone;
        let open = |actor: &Actor| match &actor.role {
            Role::Append { under_way, .. }
            | Role::Command { under_way, .. }
            | Role::Query { under_way, .. } => under_way.len(),
            Role::Read { over, .. } => usize::from(!over),
            Role::Tail { .. } => 0,
        };
        self.actors.iter().filter(live).map(open).sum()
    }
}

impl Clients {
    /// Tails of logs in which somebody knows that there is something, and which have not come to their end.
    pub(crate) fn open_tails(&self) -> usize {
        let open = |actor: &&Actor| match &actor.role {
            Role::Tail { log, over, .. } => {
                let at = self.logs.iter().position(|name| name == log);
                let holds = at.is_some_and(|at| self.tails[at] > 0);
                !over && holds && !self.clients[actor.client].gone
            }
            _ => false,
        };
        self.actors.iter().filter(open).count()
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
            let client = self.add_client();
            self.clients.seats.push(client);
        }
        for _ in 0..self.plan.watchers {
            let client = self.make_client();
            self.schedule_client(100 * MS, Happening::Watch { client });
        }
        if self.plan.deletes {
            self.schedule_deletion();
        }
    }

    /// A client is gone for good, and nobody will ever learn what came of its calls; another one comes.
    pub(crate) fn replace_client(&mut self, seat: u64) -> bool {
        let Some(&client) = self.clients.seats.get(seat as usize) else {
            return false;
        };
        self.clients.clients[client].gone = true;
        let gone: Vec<u64> = self.conns_of(client);
        for conn in gone {
            let delay = self.client_delay();
            if let Some(open) = self.clients.conns.remove(&conn) {
                let (at, life) = (open.at, open.life);
                self.schedule_client(delay, Happening::Closed { at, life, conn });
            }
        }
        self.clients.seats[seat as usize] = self.add_client();
        true
    }

    fn conns_of(&self, client: usize) -> Vec<u64> {
        let of = |conn: &&Conn| self.clients.actors[conn.actor].client == client;
        let conns = self.clients.conns.iter();
        conns
            .filter(|(_, conn)| of(conn))
            .map(|(number, _)| *number)
            .collect()
    }

    /// One more client; gives its number.
    pub(crate) fn add_client(&mut self) -> usize {
        let client = self.make_client();
        let first = self.clients.clients[client].rng.below(100 * MS);
        self.schedule_client(first, Happening::Act { client });
        client
    }

    /// A client that appends to a log of its own, which nobody seals: whether the group serves, it learns.
    pub(crate) fn add_probe(&mut self) -> usize {
        let client = self.make_client();
        self.schedule_client(US, Happening::Probe { client });
        client
    }

    fn make_client(&mut self) -> usize {
        let client = self.clients.clients.len();
        let mut rng = stream(self.plan.seed, "client", client as u64);
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
        self.clients.clients.push(Client {
            rng,
            appenders: vec![None; logs],
            queries,
            commands,
            next_payload: 0,
            acknowledged: 0,
            tails: 0,
            fences: vec![None; logs],
            cursors: BTreeMap::new(),
            gone: false,
        });
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
                if one.timer_at <= now && !self.clients.clients[one.client].gone {
                    one.timer_at = u64::MAX;
                    one.role.machine().handle_tick(now);
                    self.settle(actor);
                }
            }
            Happening::Act { client } => {
                if !self.clients.quiet && !self.clients.clients[client].gone {
                    self.act(client);
                    let mean = self.plan.append_mean;
                    let after = US + self.clients.clients[client].rng.exponential(mean);
                    self.schedule_client(after, Happening::Act { client });
                }
            }
            Happening::Probe { client } => {
                if !self.clients.quiet && !self.clients.clients[client].gone {
                    let log = self.clients.logs.len() - 1;
                    self.append(client, log);
                    self.schedule_client(20 * MS, Happening::Probe { client });
                }
            }
            Happening::Watch { client } => {
                if !self.clients.quiet {
                    // One that got no answer waits for it.
                    let asks = self.clients.clients[client].queries;
                    let waits = match &self.clients.actors[asks].role {
                        Role::Query { under_way, .. } => under_way.len(),
                        _ => 0,
                    };
                    if waits < WATCHER_ASKS_MAX {
                        self.watch(client);
                    }
                    let after = MS + self.clients.clients[client].rng.exponential(20 * MS);
                    self.schedule_client(after, Happening::Watch { client });
                }
            }
            Happening::Delete => {
                if !self.clients.quiet {
                    self.delete();
                    self.schedule_deletion();
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
                let (client, actor) = (self.clients.actors[open.actor].client, open.actor);
                let parts = [&frame.meta].into_iter().chain(&frame.body);
                self.trace.mix_bytes(parts);
                self.trace
                    .message(self.now, &format!("c{client}>r{}", at + 1), || {
                        format!("{:?} of machine {actor}", frame.kind)
                    });
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
                let (actor, stream, at) = (open.actor, open.stream, open.at);
                let parts = [&frame.meta].into_iter().chain(&frame.body);
                self.trace.mix_bytes(parts);
                let one = &mut self.clients.actors[actor];
                self.trace
                    .message(self.now, &format!("r{}>c{}", at + 1, one.client), || {
                        format!("{:?} to machine {actor}", frame.kind)
                    });
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
}
