//! The run: everything in one place, one event after the other.

use std::collections::{BTreeMap, BTreeSet};

use paxlog_node::{ENTRY_HEADER_BYTES, Effect, EntryHeader, Event, FoundSegment};
use paxlog_paxos::{Incarnation, LinkEvent, ReplicaId, Role, Slot, Standing};
use paxlog_wal::sim::{Rng, SimDisk};
use paxlog_wal::{AppendError, FrameMeta, Kind, Task};

use crate::clients::Clients;
use crate::clock::Clock;
use crate::coverage::Coverage;
use crate::invariants::{Broken, Invariants};
use crate::network::{Flight, LinkId, Network, over_accepts, through_the_codec};
use crate::plan::{MS, Plan, SECOND, US};
use crate::replica::{Frame, NoStart, Replica, Running};
use crate::rng::{Draw, stream};
use crate::trace::Trace;

/// A connection that carries nothing for so long is lost.
const IDLE: u64 = 2 * SECOND;
/// The states of replicas are compared after slots of these multiples.
const DIGEST_EVERY: u64 = 16;
/// A sync that takes longer is reported.
const STALL: u64 = SECOND;

/// What may happen next.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A replica's timer.
    Timer { at: usize, life: u32 },
    /// A replica ends a turn.
    Turn { at: usize, life: u32 },
    /// A message arrives.
    Deliver(Box<Flight>),
    /// The disk has done a write or a sync.
    Disk {
        at: usize,
        life: u32,
        task: Task,
        sync: Option<u64>,
    },
    /// A sync has been under way for too long.
    StallSeen { at: usize, life: u32, sync: u64 },
    /// Another thread has something for the core.
    Posted {
        at: usize,
        life: u32,
        event: Box<Event>,
    },
    /// The log's idle work.
    Idle { at: usize, life: u32 },
    /// A connection comes up, if it can.
    Connect { link: LinkId, epoch: u32 },
    /// A connection has been silent for too long, if it still is.
    Silent { link: LinkId, epoch: u32 },
    /// A replica that is down starts.
    Start { at: usize },
    /// What clients see and do.
    Client(crate::clients::Happening),
    /// A replica whose disk failed is stopped, to be started again.
    Replace { at: usize, life: u32 },
    /// Something goes wrong.
    Fault,
    /// What a fault took ends.
    Mend(Mend),
}

/// The end of a fault.
#[derive(Debug)]
pub(crate) enum Mend {
    Cuts(BTreeSet<(usize, usize)>),
    Disk(usize),
}

/// One run.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) plan: Plan,
    pub(crate) now: u64,
    pub(crate) queue: crate::queue::Queue<Happening>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) network: Network,
    pub(crate) clients: Clients,
    pub(crate) invariants: Invariants,
    pub(crate) coverage: Coverage,
    pub(crate) trace: Trace,
    pub(crate) events: u64,
    /// Faults are over.
    pub(crate) healed: bool,
    pub(crate) net_rng: Rng,
    pub(crate) disk_rng: Rng,
    pub(crate) fault_rng: Rng,
    pub(crate) broken: Option<Broken>,
    pub(crate) last_leader: u64,
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan, trace: Trace) -> World {
        let mut ids = stream(seed, "incarnations", 0);
        let mut replicas: Vec<Replica> = (1..=plan.replicas)
            .map(|id| {
                let disk = SimDisk::new(stream(seed, "disk", u64::from(id)).next_u64());
                Replica::new(id, u128::from(ids.next_u64()) | 1, disk)
            })
            .collect();
        let mut fault_rng = stream(seed, "faults", 0);
        for _ in 0..(plan.replicas - 1) / 2 {
            let victim = fault_rng.below(u64::from(plan.replicas)) as usize;
            replicas[victim].victim = true;
        }
        let mut world = World {
            seed,
            now: 0,
            queue: crate::queue::Queue::new(),
            replicas,
            network: Network::default(),
            clients: Clients::new(seed, &plan),
            invariants: Invariants::default(),
            coverage: Coverage::default(),
            trace,
            events: 0,
            healed: false,
            net_rng: stream(seed, "network", 0),
            disk_rng: stream(seed, "disks", 0),
            fault_rng,
            broken: None,
            last_leader: 0,
            plan,
        };
        for at in 0..world.replicas.len() {
            let after = world.fault_rng.below(50 * MS);
            world.queue.push(after, Happening::Start { at });
        }
        if !world.plan.faults.is_empty() {
            world.schedule_fault();
        }
        world.begin_clients();
        world
    }

    /// Runs until a time, or until an invariant breaks.
    pub(crate) fn run_until(&mut self, until: u64) -> Result<(), Broken> {
        while let Some(at) = self.queue.next_at()
            && at <= until
        {
            self.step()?;
        }
        self.now = until;
        Ok(())
    }

    fn step(&mut self) -> Result<(), Broken> {
        let Some((at, happening)) = self.queue.pop() else {
            return Ok(());
        };
        self.now = at;
        self.events += 1;
        self.trace.mix(at);
        self.happen(happening);
        match self.broken.take() {
            Some(broken) => Err(broken),
            None => Ok(()),
        }
    }

    pub(crate) fn check(&mut self, checked: Result<(), Broken>) {
        if let Err(broken) = checked {
            self.trace.note(self.now, "!", || broken.to_string());
            self.broken.get_or_insert(broken);
        }
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.now;
        match happening {
            Happening::Timer { at, life } => {
                if self.alive(at, life, |life| Happening::Timer { at, life }) {
                    if let Some(running) = &mut self.replicas[at].running {
                        if running.timer_at > now {
                            return;
                        }
                        running.timer_at = u64::MAX;
                    }
                    self.input(at, Event::Tick);
                }
            }
            Happening::Turn { at, life } => {
                if self.alive(at, life, |life| Happening::Turn { at, life }) {
                    self.turn(at);
                }
            }
            Happening::Deliver(flight) => self.deliver(flight),
            Happening::Disk {
                at,
                life,
                task,
                sync,
            } => {
                // The disk works on while the process stands still.
                if self.replicas[at].life != life || self.replicas[at].running.is_none() {
                    return;
                }
                task.run();
                self.disk_done(at, sync);
            }
            Happening::StallSeen { at, life, sync } => {
                let replica = &mut self.replicas[at];
                if replica.life == life
                    && let Some(running) = &mut replica.running
                    && running.syncing == Some(sync)
                    && !running.stalled
                {
                    running.stalled = true;
                    self.coverage.hit("disk stalled");
                    self.input(at, Event::Disk(paxlog_paxos::DiskHealth::Stalled));
                }
            }
            Happening::Posted { at, life, event } => {
                let paused = self.replicas[at].paused_until;
                if self.replicas[at].life == life && self.replicas[at].running.is_some() {
                    if paused > now {
                        self.queue
                            .push(paused, Happening::Posted { at, life, event });
                    } else {
                        self.input(at, *event);
                    }
                }
            }
            Happening::Idle { at, life } => {
                if self.replicas[at].life == life
                    && let Some(running) = &mut self.replicas[at].running
                {
                    if running.wal.durable() == running.wal.tail() {
                        running.wal.mark();
                    }
                    running.wal.drive_prepare();
                    self.queue
                        .push(now + 100 * MS, Happening::Idle { at, life });
                    self.kick_disk(at);
                    self.disk_news(at);
                }
            }
            Happening::Connect { link, epoch } => self.connect(link, epoch),
            Happening::Silent { link, epoch } => {
                let (a, b, accepts) = link;
                let cut = self.network.is_cut_either_way(a, b);
                let (_, state) = self.network.link(a, b, accepts);
                if cut && state.up && state.epoch == epoch {
                    self.break_link(a, b, accepts);
                }
            }
            Happening::Start { at } => self.start(at),
            Happening::Replace { at, life } => {
                if self.replicas[at].life == life {
                    self.crash(at, true);
                    self.queue.push(now + 100 * MS, Happening::Start { at });
                }
            }
            Happening::Client(happening) => self.client_happens(happening),
            Happening::Fault => {
                if !self.healed && now < self.plan.faults_until {
                    self.fault();
                    self.schedule_fault();
                }
            }
            Happening::Mend(Mend::Cuts(cuts)) => {
                self.trace.note(now, "net", || format!("mended {cuts:?}"));
                self.network.uncut(&cuts);
                self.reconnect_all();
            }
            Happening::Mend(Mend::Disk(at)) => {
                self.replicas[at].disk.set_capacity(None);
                self.trace
                    .note(now, "disk", || format!("r{} has room again", at + 1));
            }
        }
    }

    /// Whether this life still runs, and moves; else, if it only stands still, it happens later.
    fn alive(&mut self, at: usize, life: u32, again: impl FnOnce(u32) -> Happening) -> bool {
        let replica = &self.replicas[at];
        if replica.life != life || replica.running.is_none() {
            return false;
        }
        if replica.paused_until > self.now {
            self.queue.push(replica.paused_until, again(life));
            return false;
        }
        true
    }

    // ---- a replica's life ----

    pub(crate) fn start(&mut self, at: usize) {
        if self.replicas[at].running.is_some() {
            return;
        }
        let (now, n) = (self.now, at as u64);
        let life = u64::from(self.replicas[at].life);
        let mut rng = stream(self.seed, "life", n << 32 | life);
        let drift = rng.below(2 * self.plan.drift_ppm + 1) as i64 - self.plan.drift_ppm as i64;
        let clock = Clock::new(now, rng.below(1 << 40), drift, self.replicas[at].wall_error);
        let (plan, seed) = (self.plan.clone(), rng.next_u64());
        match self.replicas[at].start(&plan, clock, now, seed) {
            Ok(found) => {
                self.count_found_votes(at, &found.segments);
                if !found.damaged.is_empty() {
                    self.coverage.hit("opened with damage");
                    if !self.replicas[at].victim {
                        self.check(Err(Broken {
                            rule: "an honest crash is no damage",
                            what: format!("replica {} found {:?}", at + 1, found.damaged),
                        }));
                    }
                }
                if found.promise_may_be_lost {
                    self.coverage.hit("a promise may be lost");
                    self.replicas[at].out = true;
                }
            }
            Err(error) if error.is_disk_full() => {
                self.coverage.hit("no room to start");
                self.start_later(at);
                return;
            }
            Err(error) => {
                self.no_start(at, &error);
                return;
            }
        }
        self.trace
            .note(now, &format!("r{}", at + 1), || "starts".into());
        self.coverage.hit("start");
        let life = self.replicas[at].life;
        self.queue
            .push(now + 100 * MS, Happening::Idle { at, life });
        self.input(at, Event::Tick);
        for other in 0..self.replicas.len() {
            if other != at {
                for accepts in [false, true] {
                    self.reconnect(at, other, accepts);
                }
            }
        }
    }

    /// What an earlier life made durable and had no time to tell: it counts.
    fn count_found_votes(&mut self, at: usize, segments: &[FoundSegment]) {
        let Some(running) = &self.replicas[at].running else {
            return;
        };
        if running.node.status().standing != Standing::Voter {
            return;
        }
        let who = Incarnation(self.replicas[at].incarnation);
        for frame in segments.iter().flat_map(|segment| &segment.frames) {
            let header = frame.header;
            let value = (header.len, header.checksum);
            let checked = self.invariants.vote(who, header.slot, header.ballot, value);
            self.check(checked);
        }
    }

    fn no_start(&mut self, at: usize, error: &NoStart) {
        self.trace.note(self.now, &format!("r{}", at + 1), || {
            format!("does not start: {error}")
        });
        // Only where something was ruined on purpose; then it stays out.
        if !self.replicas[at].victim {
            self.check(Err(Broken {
                rule: "a sound directory opens",
                what: format!("replica {}: {error}", at + 1),
            }));
        }
        self.coverage.hit("a damaged directory was refused");
        self.replicas[at].out = true;
    }

    /// It stops at once. With `power`, what was not synced is there or not.
    pub(crate) fn crash(&mut self, at: usize, power: bool) {
        let now = self.now;
        let replica = &mut self.replicas[at];
        let Some(running) = replica.running.take() else {
            return;
        };
        self.coverage.paxos(&running.node.paxos_counters());
        drop(running);
        let seed = self.disk_rng.next_u64();
        replica.disk = if power {
            replica.disk.power_cut(seed)
        } else {
            replica.disk.process_crash(seed)
        };
        replica.paused_until = 0;
        self.trace.note(now, &format!("r{}", at + 1), || {
            if power {
                "loses power".into()
            } else {
                "is killed".into()
            }
        });
        self.coverage
            .hit(if power { "power cut" } else { "process crash" });
        for other in 0..self.replicas.len() {
            if other != at {
                for accepts in [false, true] {
                    self.break_link(at, other, accepts);
                }
            }
        }
        self.server_gone(at);
    }

    /// An event for the core; then its turn is due.
    pub(crate) fn input(&mut self, at: usize, event: Event) {
        let now = self.now;
        let Some(running) = &mut self.replicas[at].running else {
            return;
        };
        let clock = running.clock.now(now);
        running.node.step(clock, event, &mut running.fx);
        self.carry_out(at);
        if let Some(running) = &mut self.replicas[at].running
            && !running.turn_due
        {
            running.turn_due = true;
            let life = self.replicas[at].life;
            self.queue.push(now + 20 * US, Happening::Turn { at, life });
        }
    }

    fn turn(&mut self, at: usize) {
        let now = self.now;
        let Some(running) = &mut self.replicas[at].running else {
            return;
        };
        running.turn_due = false;
        let clock = running.clock.now(now);
        running.node.end_turn(clock, &mut running.fx);
        self.carry_out(at);
        let life = self.replicas[at].life;
        let Some(running) = &mut self.replicas[at].running else {
            return;
        };
        if running.node.wants_turn() && !running.turn_due {
            running.turn_due = true;
            self.queue.push(now + 20 * US, Happening::Turn { at, life });
        }
        let due = running.clock.when(running.node.poll_timer()).max(now + US);
        if due < running.timer_at {
            running.timer_at = due;
            self.queue.push(due, Happening::Timer { at, life });
        }
        self.look(at);
        self.kick_disk(at);
    }

    /// What can be seen of a replica after its turn.
    fn look(&mut self, at: usize) {
        let id = self.replicas[at].id;
        let Some(running) = &mut self.replicas[at].running else {
            return;
        };
        let status = running.node.status();
        let prefix = status.chosen_prefix;
        let seen = running.prefix_seen;
        running.prefix_seen = prefix.max(seen);
        // Of some slots only: it reads the whole state.
        let sampled = prefix > seen && status.applied.0.is_multiple_of(DIGEST_EVERY);
        let digest = sampled.then(|| running.node.state().digest());
        let ready = matches!(status.role, Role::Leader { ready: true });
        if prefix < seen {
            self.check(Err(Broken {
                rule: "nothing goes back",
                what: format!("replica {id}: the chosen prefix fell from {seen} to {prefix}"),
            }));
        }
        if prefix > seen {
            let checked = self.invariants.prefix(id, prefix);
            self.check(checked);
        }
        if let Some(digest) = digest {
            let checked = self.invariants.applied(id, status.applied, digest);
            self.check(checked);
        }
        let ballot = status.ballot.to_u64();
        if ready && ballot > self.last_leader {
            self.last_leader = ballot;
            self.coverage.hit("a leader serves");
            self.trace.note(self.now, &format!("r{id}"), || {
                format!("leads in {}", status.ballot)
            });
        }
        if status.standing == Standing::NotMember || status.standing == Standing::PromiseMayBeLost {
            self.replicas[at].out = true;
        }
        if status.standing == Standing::Contradicted {
            self.check(Err(Broken {
                rule: "agreement",
                what: format!("replica {id} says that it was contradicted"),
            }));
        }
    }

    fn carry_out(&mut self, at: usize) {
        let Some(running) = &mut self.replicas[at].running else {
            return;
        };
        let effects = std::mem::take(&mut running.fx.list);
        for effect in effects {
            if let Some(left) = &mut self.replicas[at].dies_in {
                if *left == 0 {
                    self.replicas[at].dies_in = None;
                    self.coverage.hit("crash between effects");
                    let power = self.fault_rng.chance(self.plan.power_percent);
                    self.crash(at, power);
                    self.start_later(at);
                    return;
                }
                *left -= 1;
            }
            let Some(running) = &mut self.replicas[at].running else {
                return;
            };
            match effect {
                Effect::Append {
                    persist,
                    group,
                    tag,
                    aux,
                    parts,
                } => {
                    let meta = FrameMeta {
                        kind: Kind::Data,
                        group,
                        tag,
                        aux,
                    };
                    let lsn = match running.wal.append(meta, &parts) {
                        Ok(lsn) => lsn,
                        // It takes nothing more; the core is told.
                        Err(AppendError::Failed(_)) => continue,
                        Err(error) => panic!("a frame that the log can't hold: {error}"),
                    };
                    running.node.placed(persist, lsn.0);
                    let head: Vec<u8> = parts
                        .iter()
                        .flatten()
                        .take(ENTRY_HEADER_BYTES)
                        .copied()
                        .collect();
                    let header = EntryHeader::decode(&head).expect("the core's own");
                    let value = (header.len, header.checksum);
                    let (slot, ballot) = (header.slot, header.ballot);
                    running.pending.push_back((
                        lsn.0,
                        Frame::Accepted {
                            slot,
                            ballot,
                            value,
                        },
                    ));
                    let checked = self.invariants.proposed(slot, ballot, value);
                    self.check(checked);
                }
                Effect::State { persist, bytes } => {
                    let Ok(lsn) = running.wal.state(bytes.clone()) else {
                        continue;
                    };
                    running.node.placed(persist, lsn.0);
                    if let Some((_, state)) = paxlog_node::decode_state(&bytes) {
                        running.pending.push_back((lsn.0, Frame::State(state)));
                    }
                }
                Effect::Send(to, envelope) => {
                    let checked =
                        self.invariants
                            .sent(at as u16 + 1, &envelope.message, running.promised);
                    self.check(checked);
                    self.send(at, to, &envelope);
                }
                Effect::Reply(stream, reply) => {
                    if let Some((stream, frame)) = running.desk.reply(stream, &reply) {
                        self.frame_to_client(at, stream, frame);
                    }
                }
                Effect::Answer(query, reply) => {
                    if let Some((stream, frame)) = running.desk.answer(query, &reply) {
                        self.frame_to_client(at, stream, frame);
                    }
                }
                Effect::Reader(id, effect) => {
                    let Running {
                        desk, wal, node, ..
                    } = running;
                    let trim = |log| node.state().describe(log).map(|log| log.trim_point);
                    let out = desk.reader(wal, id, effect, trim);
                    let delay = self.plan.write_mean;
                    for event in out.events {
                        self.post(at, delay, event);
                    }
                    for (stream, frame) in out.frames {
                        self.frame_to_client(at, stream, frame);
                    }
                }
                Effect::ReadEntry(token, place) => {
                    let entry = paxlog_store::entry_at(&running.wal, &place);
                    self.post(at, 50 * US, Event::Entry(token, entry));
                }
                Effect::Annotate { segment, bytes } => {
                    let event = paxlog_store::annotate(&running.wal, segment, &bytes);
                    self.coverage.hit("idx file written");
                    self.post(at, MS, event);
                }
                Effect::Checkpoint(checkpoint) => {
                    let event = paxlog_store::checkpoint(&running.wal, &checkpoint);
                    self.coverage.hit("checkpoint written");
                    self.post(at, MS, event);
                }
                Effect::Retire(below) => {
                    // The frame that names them must be durable first: this log's threads see to it.
                    running.wal.drive();
                    let event = paxlog_store::retire(&running.wal, below);
                    self.coverage.hit("segments retired");
                    self.post(at, MS, event);
                    self.disk_news(at);
                }
                Effect::Leader(hint) => {
                    if let Some(hint) = hint {
                        self.tell_clients(at, &hint);
                    }
                }
                Effect::HandedOver => {
                    running.handed_over = true;
                    self.coverage.hit("handed over");
                    self.crash(at, false);
                    self.start_later(at);
                    return;
                }
                Effect::Stop(why) => {
                    self.trace.note(self.now, &format!("r{}", at + 1), || {
                        format!("stops: {why}")
                    });
                    if !self.replicas[at].victim {
                        self.check(Err(Broken {
                            rule: "no replica stops by itself",
                            what: format!("replica {}: {why}", at + 1),
                        }));
                    }
                    self.crash(at, false);
                    self.start_later(at);
                    return;
                }
            }
        }
    }

    fn post(&mut self, at: usize, after: u64, event: Event) {
        let life = self.replicas[at].life;
        let event = Box::new(event);
        self.queue
            .push(self.now + after, Happening::Posted { at, life, event });
    }

    pub(crate) fn start_later(&mut self, at: usize) {
        let after = 10 * MS + self.fault_rng.exponential(SECOND);
        self.queue.push(self.now + after, Happening::Start { at });
    }

    // ---- its disk ----

    /// Begins what the disk has to do.
    pub(crate) fn kick_disk(&mut self, at: usize) {
        let now = self.now;
        let replica = &mut self.replicas[at];
        let life = replica.life;
        let Some(running) = &mut replica.running else {
            return;
        };
        running.wal.drive_prepare();
        if let Some(task) = running.wal.begin_write() {
            let after = US + self.disk_rng.exponential(self.plan.write_mean);
            let sync = None;
            self.queue.push(
                now + after,
                Happening::Disk {
                    at,
                    life,
                    task,
                    sync,
                },
            );
        }
        if let Some(task) = running.wal.begin_sync() {
            running.syncs += 1;
            let sync = running.syncs;
            running.syncing = Some(sync);
            let drawn = 5 * US + self.disk_rng.exponential(self.plan.sync_mean);
            let after = replica.next_sync.take().unwrap_or(drawn);
            let done = Happening::Disk {
                at,
                life,
                task,
                sync: Some(sync),
            };
            self.queue.push(now + after, done);
            if after > STALL {
                self.queue
                    .push(now + STALL, Happening::StallSeen { at, life, sync });
            }
        }
    }

    fn disk_done(&mut self, at: usize, sync: Option<u64>) {
        let mut well_again = false;
        if let Some(running) = &mut self.replicas[at].running
            && sync.is_some()
        {
            running.syncing = None;
            well_again = std::mem::take(&mut running.stalled);
        }
        self.disk_news(at);
        if well_again {
            self.input(at, Event::Disk(paxlog_paxos::DiskHealth::Well));
        }
        self.kick_disk(at);
    }

    /// Tells the core what became durable, and how the disk is.
    fn disk_news(&mut self, at: usize) {
        let Some(running) = &mut self.replicas[at].running else {
            return;
        };
        let durable = running.wal.durable().0;
        let (full, failed) = (running.disk_is_full(), running.disk_failed());
        let moved = durable > running.durable;
        running.durable = durable;
        let was = (running.full, running.failed);
        (running.full, running.failed) = (full, failed);
        let mut settled = Vec::new();
        while let Some((lsn, _)) = running.pending.front()
            && *lsn < durable
        {
            settled.extend(running.pending.pop_front().map(|(_, frame)| frame));
        }
        let votes = running.node.status().standing == Standing::Voter;
        let who = Incarnation(self.replicas[at].incarnation);
        for frame in settled {
            let checked = match frame {
                Frame::Accepted {
                    slot,
                    ballot,
                    value,
                } if votes => {
                    self.raise_promise(at, ballot);
                    self.invariants.vote(who, slot, ballot, value)
                }
                Frame::Accepted { ballot, .. } => {
                    self.raise_promise(at, ballot);
                    Ok(())
                }
                Frame::State(state) => {
                    self.raise_promise(at, state.promised);
                    match &state.formed {
                        Some(list) => self.invariants.formed(list),
                        None => Ok(()),
                    }
                }
            };
            self.check(checked);
        }
        if moved {
            self.input(at, Event::Durable(durable));
        }
        if full != was.0 {
            self.coverage.hit("disk full");
            self.input(at, Event::DiskFull(full));
        }
        if failed && !was.1 {
            self.coverage.hit("disk failed");
            self.input(at, Event::Disk(paxlog_paxos::DiskHealth::Failed));
            // Its operator starts it again some day.
            let life = self.replicas[at].life;
            let after = SECOND + self.fault_rng.exponential(2 * SECOND);
            self.queue
                .push(self.now + after, Happening::Replace { at, life });
        }
    }

    fn raise_promise(&mut self, at: usize, ballot: paxlog_paxos::Ballot) {
        if let Some(running) = &mut self.replicas[at].running {
            running.promised = running.promised.max(ballot);
        }
    }

    // ---- messages between replicas ----

    fn send(&mut self, from: usize, to: ReplicaId, envelope: &paxlog_paxos::Envelope) {
        let to = usize::from(to.0) - 1;
        let class = envelope.message.class();
        if let paxlog_paxos::Message::Accept(accept) = &envelope.message {
            let value = (accept.value.len(), accept.value.checksum());
            let checked = self.invariants.proposed(accept.slot, accept.ballot, value);
            self.check(checked);
        }
        let accepts = over_accepts(class);
        let (id, link) = self.network.link(from, to, accepts);
        let (up, epoch) = (link.up, link.epoch);
        if !up {
            return;
        }
        let (loose, cut) = (self.plan.loose, self.network.is_cut(from, to));
        let mut copies = 1;
        if loose && !self.healed {
            if cut || self.net_rng.chance(self.plan.loss_percent) {
                return;
            }
            copies += u64::from(self.net_rng.chance(self.plan.repeat_percent));
        }
        let envelope = through_the_codec(envelope);
        for _ in 0..copies {
            let delay = self.plan.delay_min + self.net_rng.exponential(self.plan.delay_mean);
            let in_order = !loose;
            let at = self
                .network
                .arrival(self.now, delay, (from, to, class), in_order);
            let flight = Flight {
                from,
                to,
                link: Some((id, epoch)),
                envelope: envelope.clone(),
            };
            self.queue.push(at, Happening::Deliver(Box::new(flight)));
        }
    }

    fn deliver(&mut self, flight: Box<Flight>) {
        let (from, to) = (flight.from, flight.to);
        if let Some(((a, b, accepts), epoch)) = flight.link {
            let (_, link) = self.network.link(a, b, accepts);
            if link.epoch != epoch {
                return;
            }
        }
        if self.network.is_cut(from, to) {
            // Sent again until it arrives, or the connection is lost.
            if !self.plan.loose {
                self.queue
                    .push(self.now + 20 * MS, Happening::Deliver(flight));
            }
            return;
        }
        let paused = self.replicas[to].paused_until;
        if paused > self.now {
            self.queue.push(paused, Happening::Deliver(flight));
            return;
        }
        self.input(to, Event::Peer(flight.envelope));
    }

    /// Tries to connect, soon.
    pub(crate) fn reconnect(&mut self, a: usize, b: usize, accepts: bool) {
        let (link, state) = self.network.link(a, b, accepts);
        if !state.up {
            let epoch = state.epoch;
            let after = 2 * MS + self.net_rng.below(20 * MS);
            self.queue
                .push(self.now + after, Happening::Connect { link, epoch });
        }
    }

    pub(crate) fn reconnect_all(&mut self) {
        for a in 0..self.replicas.len() {
            for b in a + 1..self.replicas.len() {
                self.reconnect(a, b, false);
                self.reconnect(a, b, true);
            }
        }
    }

    fn connect(&mut self, link: LinkId, epoch: u32) {
        let (a, b, accepts) = link;
        let both = [a, b].iter().all(|&at| self.replicas[at].running.is_some());
        let cut = self.network.is_cut_either_way(a, b);
        let (_, state) = self.network.link(a, b, accepts);
        if state.up || state.epoch != epoch || !both {
            return;
        }
        if cut {
            self.reconnect(a, b, accepts);
            return;
        }
        state.up = true;
        state.epoch += 1;
        let event = if accepts {
            LinkEvent::AcceptsUp
        } else {
            LinkEvent::ControlUp
        };
        for (at, peer) in [(a, b), (b, a)] {
            self.post(at, US, Event::Link(ReplicaId(peer as u16 + 1), event));
            let address = vec![crate::replica::address(peer)];
            self.post(
                at,
                US,
                Event::Addresses(ReplicaId(peer as u16 + 1), address),
            );
        }
    }

    /// A connection breaks: what it carried is lost.
    pub(crate) fn break_link(&mut self, a: usize, b: usize, accepts: bool) {
        let (_, state) = self.network.link(a, b, accepts);
        if !state.up {
            return;
        }
        state.up = false;
        state.epoch += 1;
        let (_, other) = self.network.link(a, b, !accepts);
        let gone = !other.up;
        if gone {
            for (at, peer) in [(a, b), (b, a)] {
                if self.replicas[at].running.is_some() {
                    self.post(
                        at,
                        US,
                        Event::Link(ReplicaId(peer as u16 + 1), LinkEvent::Down),
                    );
                }
            }
        }
        self.reconnect(a, b, accepts);
    }

    /// Directions are cut: connections over them will be lost, unless that ends soon.
    pub(crate) fn cut(&mut self, directions: &BTreeSet<(usize, usize)>) {
        for &(from, to) in directions {
            self.network.cut(self.now, from, to);
            for accepts in [false, true] {
                let (link, state) = self.network.link(from, to, accepts);
                let epoch = state.epoch;
                self.queue
                    .push(self.now + IDLE, Happening::Silent { link, epoch });
            }
        }
    }

    /// Takes down what the machines counted.
    pub(crate) fn collect(&mut self) {
        for replica in &self.replicas {
            if let Some(running) = &replica.running {
                self.coverage.paxos(&running.node.paxos_counters());
            }
        }
    }

    // ---- what is asked at the end ----

    /// One line a replica.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        for replica in &self.replicas {
            text.push_str(&match &replica.running {
                Some(running) => {
                    let s = running.node.status();
                    format!(
                        "\n  r{}: {:?} {:?} ballot {} chosen {} prefix {} applied {} in flight {} queued {} disk {:?} durable {:x} tail {:x}{}",
                        replica.id,
                        s.role,
                        s.standing,
                        s.ballot,
                        s.chosen_index,
                        s.chosen_prefix,
                        s.applied, s.slots_in_flight, s.commands_queued, running.wal.health(), running.wal.durable().0, running.wal.tail().0,
                        if replica.out { " (out)" } else { "" }
                    )
                }
                None => format!(
                    "\n  r{}: down{}",
                    replica.id,
                    if replica.out { " (out)" } else { "" }
                ),
            });
        }
        text
    }

    /// How many slots each that takes part has applied.
    pub(crate) fn applied(&self) -> BTreeMap<u16, Slot> {
        let applied = |replica: &Replica| {
            let running = replica.running.as_ref()?;
            replica
                .in_group()
                .then(|| (replica.id, running.node.applied()))
        };
        self.replicas.iter().filter_map(applied).collect()
    }
}
