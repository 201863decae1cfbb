//! One schedule: a few replicas, model disks, a network that does what it likes, and clients.
//!
//! What may break: messages are lost, repeated, delayed and reordered (in *loose* schedules even within a
//! stream); links are cut one way or both; replicas crash and lose what was not durable, all at once too;
//! disks stall; replicas fall behind; frames are damaged, the end of a log or the whole directory is lost, on
//! a minority (the *victims*); checkpoints drop values that others still lack. What must survive it: every
//! check in `checks.rs`, at every step; and once all is well again, progress.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bytes::Bytes;
use paxlog_paxos::{
    Ballot, Class, ClusterId, Config, Counters, DiskHealth, Effect, Effects, Envelope, GroupId,
    Incarnation, LinkEvent, Message, Paxos, Persist, PersistId, ReadId, ReadToken, ReplicaId, Role,
    Slot, Standing, Value,
};

use crate::checks::Checks;
use crate::disk::{Disk, What, value_number};
use crate::rng::Rng;

pub(crate) const MS: u64 = 1_000_000;

/// What this schedule may do, drawn from its seed or set by a test.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) replicas: usize,
    /// Any order within a stream, and no word of broken links.
    pub(crate) loose: bool,
    pub(crate) loss_percent: u64,
    pub(crate) repeat_percent: u64,
    pub(crate) delay_mean: u64,
    pub(crate) sync_mean: u64,
    pub(crate) cuts: bool,
    pub(crate) crashes: bool,
    pub(crate) stalls: bool,
    pub(crate) damage: bool,
    pub(crate) losses: bool,
    pub(crate) wipe_early: bool,
    pub(crate) checkpoints: bool,
    pub(crate) hand_overs: bool,
    pub(crate) fault_gap: u64,
    pub(crate) client_gap: u64,
    pub(crate) value_bytes_max: u64,
    pub(crate) slots_in_flight_max: u64,
    pub(crate) window_bytes_max: u64,
    pub(crate) faults_for: u64,
    pub(crate) stable_after: bool,
}

impl Plan {
    pub(crate) fn draw(rng: &mut Rng) -> Plan {
        let replicas = match rng.below(20) {
            0 => 1,
            1..=13 => 3,
            _ => 5,
        };
        Plan {
            replicas,
            loose: rng.chance(50),
            loss_percent: if rng.chance(50) { rng.below(30) } else { 0 },
            repeat_percent: if rng.chance(50) { rng.below(40) } else { 0 },
            delay_mean: [MS / 10, MS, 4 * MS, 20 * MS][rng.below(4) as usize],
            sync_mean: [MS / 10, MS, 5 * MS, 20 * MS][rng.below(4) as usize],
            cuts: rng.chance(50),
            crashes: rng.chance(70),
            stalls: rng.chance(30),
            damage: rng.chance(40),
            losses: rng.chance(10),
            wipe_early: rng.chance(5),
            checkpoints: rng.chance(40),
            hand_overs: rng.chance(30),
            fault_gap: rng.range(15, 150) * MS,
            client_gap: rng.range(1, 15) * MS,
            value_bytes_max: [8, 64, 2000][rng.below(3) as usize],
            slots_in_flight_max: rng.range(1, 6),
            window_bytes_max: [1000, 16 << 20][rng.below(2) as usize],
            faults_for: rng.range(300, 1500) * MS,
            stable_after: rng.chance(15),
        }
    }

    /// Nothing breaks by itself.
    pub(crate) fn calm(replicas: usize) -> Plan {
        Plan {
            replicas,
            loose: false,
            loss_percent: 0,
            repeat_percent: 0,
            delay_mean: MS / 5,
            sync_mean: MS,
            cuts: false,
            crashes: false,
            stalls: false,
            damage: false,
            losses: false,
            wipe_early: false,
            checkpoints: false,
            hand_overs: false,
            fault_gap: 0,
            client_gap: 3 * MS,
            value_bytes_max: 64,
            slots_in_flight_max: 3,
            window_bytes_max: 16 << 20,
            faults_for: u64::MAX / 4,
            stable_after: false,
        }
    }
}

/// What schedules reached, summed up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Coverage {
    pub(crate) counters: Counters,
    pub(crate) schedules: u64,
    pub(crate) chosen: u64,
    pub(crate) acknowledged: u64,
    pub(crate) reads: u64,
    pub(crate) crashes: u64,
    pub(crate) all_down: u64,
    pub(crate) damaged: u64,
    pub(crate) wiped: u64,
    pub(crate) promises_lost: u64,
    pub(crate) left_out: u64,
    pub(crate) checkpoints_installed: u64,
    pub(crate) outcomes_unknown: u64,
    pub(crate) stalls: u64,
    pub(crate) unread: u64,
}

macro_rules! each_counter {
    ($do:ident) => {
        $do!(
            stood,
            led,
            stepped_down,
            adopted,
            holes_filled,
            decided_despite_unknown,
            blocked_by_unknown,
            promised_unknown,
            takeover_fetched,
            chosen_fetched,
            chosen_served,
            fed_from_log,
            below_chosen,
            rewound,
            handed_over,
            took_over,
            out_of_order,
            prepared_again
        )
    };
}

impl Coverage {
    pub(crate) fn count(&mut self, c: &Counters) {
        macro_rules! add { ($($f:ident),*) => { $( self.counters.$f += c.$f; )* } }
        each_counter!(add);
    }

    pub(crate) fn add(&mut self, other: &Coverage) {
        self.count(&other.counters);
        macro_rules! add { ($($f:ident),*) => { $( self.$f += other.$f; )* } }
        add!(
            schedules,
            chosen,
            acknowledged,
            reads,
            crashes,
            all_down,
            damaged,
            wiped,
            promises_lost,
            left_out,
            checkpoints_installed,
            outcomes_unknown,
            stalls,
            unread
        );
    }

    /// Situations that were never reached.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        macro_rules! see { ($($f:ident),*) => { $( if self.counters.$f == 0 { missing.push(stringify!($f)); } )* } }
        each_counter!(see);
        macro_rules! see_own { ($($f:ident),*) => { $( if self.$f == 0 { missing.push(stringify!($f)); } )* } }
        see_own!(
            chosen,
            acknowledged,
            reads,
            crashes,
            all_down,
            damaged,
            wiped,
            promises_lost,
            left_out,
            checkpoints_installed,
            outcomes_unknown,
            stalls,
            unread
        );
        missing
    }
}

#[derive(Debug)]
enum Event {
    Deliver {
        to: usize,
        envelope: Box<Envelope>,
    },
    Timer {
        replica: usize,
        life: u32,
        at: u64,
    },
    Synced {
        replica: usize,
        life: u32,
        upto: usize,
    },
    StallSeen {
        replica: usize,
        life: u32,
        sync: u64,
    },
    Read {
        replica: usize,
        life: u32,
        id: ReadId,
        slot: Slot,
        ballot: Ballot,
    },
    Restart {
        replica: usize,
    },
    Client,
    Fault,
    Heal,
}

pub(crate) struct Replica {
    pub(crate) paxos: Option<Paxos>,
    pub(crate) disk: Disk,
    pub(crate) incarnation: Incarnation,
    life: u32,
    /// Its clock is that far from the others'.
    offset: u64,
    timer_at: u64,
    syncing: bool,
    sync: u64,
    stalled: bool,
    pub(crate) next_chosen: Slot,
    prefix_checked: Slot,
    acked_checked: (Ballot, Slot),
    promise_sent: Ballot,
    proposed: BTreeMap<(Slot, Ballot), u64>,
    reads: BTreeMap<ReadToken, Slot>,
    /// It has no vote any more.
    pub(crate) out: bool,
    promise_lost: bool,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    number: u64,
    events: BinaryHeap<Reverse<(u64, u64, usize)>>,
    slab: Vec<Option<Event>>,
    free: Vec<usize>,
    pub(crate) replicas: Vec<Replica>,
    /// `cut[from][to]`
    pub(crate) cut: Vec<Vec<bool>>,
    streams: BTreeMap<(usize, usize, Class), u64>,
    pub(crate) checks: Checks,
    pub(crate) coverage: Coverage,
    victims: Vec<bool>,
    values: u64,
    tokens: u64,
    pub(crate) healed: bool,
    pub(crate) clients: bool,
    effects: Effects,
    pub(crate) leader_changes: u64,
    last_leader: Ballot,
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan) -> World {
        let mut rng = Rng::new(seed);
        let n = plan.replicas;
        let mut victims = vec![false; n];
        for _ in 0..n - (n / 2 + 1) {
            victims[rng.below(n as u64) as usize] = true;
        }
        let mut world = World {
            now: 0,
            number: 0,
            events: BinaryHeap::new(),
            slab: Vec::new(),
            free: Vec::new(),
            replicas: Vec::new(),
            cut: vec![vec![false; n]; n],
            streams: BTreeMap::new(),
            checks: Checks::default(),
            coverage: Coverage::default(),
            victims,
            values: 0,
            tokens: 0,
            healed: false,
            clients: true,
            effects: Effects::new(),
            leader_changes: 0,
            last_leader: Ballot::NONE,
            plan,
            rng,
        };
        for at in 0..n {
            world.replicas.push(Replica {
                paxos: None,
                disk: Disk::default(),
                incarnation: Incarnation(u128::from(world.rng.next())),
                life: 0,
                offset: 0,
                timer_at: 0,
                syncing: false,
                sync: 0,
                stalled: false,
                next_chosen: Slot::ZERO,
                prefix_checked: Slot::ZERO,
                acked_checked: (Ballot::NONE, Slot::ZERO),
                promise_sent: Ballot::NONE,
                proposed: BTreeMap::new(),
                reads: BTreeMap::new(),
                out: false,
                promise_lost: false,
            });
            let start = world.rng.below(50 * MS);
            world.schedule(start, Event::Restart { replica: at });
        }
        world.schedule(MS, Event::Client);
        if world.plan.fault_gap > 0 {
            let gap = world.plan.fault_gap;
            world.schedule(gap, Event::Fault);
            let end = world.plan.faults_for;
            world.schedule(end, Event::Heal);
        }
        if world.plan.wipe_early && n > 1 {
            // Somebody loses its disk while the group is being formed.
            if let Some(victim) = world.victims.iter().position(|&v| v) {
                world.run_for(world.plan.fault_gap.min(60 * MS));
                world.wipe(victim);
            }
        }
        world
    }

    fn schedule(&mut self, after: u64, event: Event) {
        let at = match self.free.pop() {
            Some(at) => {
                self.slab[at] = Some(event);
                at
            }
            None => {
                self.slab.push(Some(event));
                self.slab.len() - 1
            }
        };
        self.number += 1;
        self.events
            .push(Reverse((self.now + after, self.number, at)));
    }

    pub(crate) fn run_for(&mut self, ns: u64) {
        let until = self.now + ns;
        while let Some(&Reverse((time, _, _))) = self.events.peek()
            && time <= until
        {
            self.step();
        }
        self.now = until;
    }

    pub(crate) fn step(&mut self) {
        let Some(Reverse((time, _, at))) = self.events.pop() else {
            return;
        };
        self.now = time;
        self.free.push(at);
        match self.slab[at].take().expect("scheduled") {
            Event::Deliver { to, envelope } => {
                let from = usize::from(envelope.from.0) - 1;
                if !self.cut[from][to] {
                    self.drive(to, |paxos, now, fx| {
                        paxos.handle_message(now, *envelope, fx)
                    });
                }
            }
            Event::Timer { replica, life, at } => {
                let r = &self.replicas[replica];
                if r.life == life && r.timer_at == at {
                    self.replicas[replica].timer_at = 0;
                    self.drive(replica, |paxos, now, fx| paxos.handle_tick(now, fx));
                }
            }
            Event::Synced {
                replica,
                life,
                upto,
            } => self.synced(replica, life, upto),
            Event::StallSeen {
                replica,
                life,
                sync,
            } => {
                let r = &mut self.replicas[replica];
                if r.life == life && r.syncing && r.sync == sync && !r.stalled {
                    r.stalled = true;
                    self.coverage.stalls += 1;
                    self.drive(replica, |paxos, now, fx| {
                        paxos.handle_disk(now, DiskHealth::Stalled, fx)
                    });
                }
            }
            Event::Read {
                replica,
                life,
                id,
                slot,
                ballot,
            } => {
                if self.replicas[replica].life == life {
                    let value = self.replicas[replica].disk.read(slot, ballot);
                    self.coverage.unread += u64::from(value.is_none());
                    self.drive(replica, |paxos, now, fx| {
                        paxos.handle_value(now, id, value, fx)
                    });
                }
            }
            Event::Restart { replica } => {
                if self.replicas[replica].paxos.is_none() {
                    self.start(replica);
                }
            }
            Event::Client => {
                if self.clients {
                    self.client();
                }
                let gap = self.rng.exponential(self.plan.client_gap);
                self.schedule(gap.max(MS / 10), Event::Client);
            }
            Event::Fault => {
                if !self.healed {
                    self.fault();
                    let gap = self.rng.exponential(self.plan.fault_gap);
                    self.schedule(gap, Event::Fault);
                }
            }
            Event::Heal => self.heal(),
        }
    }

    /// Opens a replica from what its disk holds.
    pub(crate) fn start(&mut self, at: usize) {
        let n = self.plan.replicas;
        let seed = self.rng.next();
        let offset = self.rng.below(1 << 40);
        let now = self.now;
        let r = &mut self.replicas[at];
        r.life += 1;
        r.offset = offset;
        r.syncing = false;
        r.stalled = false;
        r.timer_at = 0;
        r.reads.clear();
        r.proposed.clear();
        let mut recovered = r.disk.recover();
        recovered.promise_may_be_lost = r.promise_lost;
        let ids = (1..=n as u16).map(ReplicaId).collect();
        let id = ReplicaId(at as u16 + 1);
        let mut config = Config::new(ClusterId(7), GroupId(3), id, r.incarnation, ids, seed);
        config.slots_in_flight_max = self.plan.slots_in_flight_max;
        config.window_bytes_max = self.plan.window_bytes_max;
        let paxos = Paxos::new(config, recovered, now + offset);
        r.next_chosen = paxos.chosen_prefix();
        r.acked_checked = (Ballot::NONE, Slot::ZERO);
        r.paxos = Some(paxos);
        // What recovery reads it first makes durable.
        self.make_durable(at, self.replicas[at].disk.frames.len());
        let r = &mut self.replicas[at];
        let prefix = r.next_chosen;
        self.checks
            .prefix(&r.disk, r.prefix_checked.min(prefix), prefix);
        self.drive(at, |paxos, now, fx| paxos.handle_tick(now, fx));
    }

    pub(crate) fn crash(&mut self, at: usize) {
        let r = &mut self.replicas[at];
        if let Some(paxos) = r.paxos.take() {
            self.coverage.count(&paxos.counters());
            self.coverage.crashes += 1;
            r.disk.crash(&mut self.rng);
            r.prefix_checked = Slot::ZERO;
            let down = self.replicas.iter().all(|r| r.paxos.is_none());
            self.coverage.all_down += u64::from(down);
        }
    }

    fn wipe(&mut self, at: usize) {
        self.crash(at);
        let r = &mut self.replicas[at];
        r.disk = Disk::default();
        r.incarnation = Incarnation(u128::from(self.rng.next()));
        r.promise_sent = Ballot::NONE;
        r.promise_lost = false;
        self.coverage.wiped += 1;
        self.schedule(5 * MS, Event::Restart { replica: at });
    }

    fn heal(&mut self) {
        self.healed = true;
        self.uncut_all();
        self.plan.loss_percent = 0;
        self.plan.repeat_percent = 0;
        self.plan.delay_mean = MS / 5;
        self.plan.sync_mean = MS;
        for at in 0..self.replicas.len() {
            if self.replicas[at].paxos.is_none() {
                self.start(at);
            }
        }
    }

    pub(crate) fn uncut_all(&mut self) {
        for from in 0..self.replicas.len() {
            for to in 0..self.replicas.len() {
                self.uncut(from, to);
            }
        }
    }

    pub(crate) fn uncut(&mut self, from: usize, to: usize) {
        if std::mem::take(&mut self.cut[from][to]) && !self.plan.loose {
            for (at, peer) in [(from, to), (to, from)] {
                let peer = ReplicaId(peer as u16 + 1);
                for event in [LinkEvent::ControlUp, LinkEvent::AcceptsUp] {
                    self.drive(at, |paxos, now, fx| paxos.handle_link(now, peer, event, fx));
                }
            }
        }
    }

    fn fault(&mut self) {
        let n = self.replicas.len() as u64;
        let at = self.rng.below(n) as usize;
        match self.rng.below(9) {
            0 | 1 if self.plan.cuts => {
                let other = self.rng.below(n) as usize;
                match self.rng.below(5) {
                    0 => self.cut[at][other] = at != other,
                    1 => {
                        self.cut[at][other] = at != other;
                        self.cut[other][at] = at != other;
                    }
                    2 => {
                        for other in (0..n as usize).filter(|&o| o != at) {
                            self.cut[at][other] = true;
                            self.cut[other][at] = true;
                        }
                    }
                    _ => self.uncut_all(),
                }
            }
            2 | 3 if self.plan.crashes => {
                let everybody = self.rng.chance(15);
                for at in (0..n as usize).filter(|&a| everybody || a == at) {
                    self.crash(at);
                    if self.plan.damage && self.victims[at] && self.rng.chance(40) {
                        for _ in 0..=self.rng.below(2) {
                            let hit = self.replicas[at].disk.damage(&mut self.rng);
                            self.coverage.damaged += u64::from(hit);
                        }
                    }
                    let down_for = self.rng.exponential(60 * MS);
                    self.schedule(down_for, Event::Restart { replica: at });
                }
            }
            4 if self.plan.losses && self.victims[at] => {
                self.replicas[at].out = true;
                if self.rng.chance(50) {
                    self.wipe(at);
                } else {
                    self.crash(at);
                    let r = &mut self.replicas[at];
                    let len = r.disk.frames.len();
                    let keep = len - self.rng.below(len as u64 / 2 + 1) as usize;
                    // The list was written long before.
                    r.disk.truncate(keep.max(1).min(len));
                    r.promise_lost = true;
                    self.coverage.promises_lost += 1;
                    self.schedule(10 * MS, Event::Restart { replica: at });
                }
            }
            5 | 6 if self.plan.checkpoints => self.checkpoint(at),
            7 if self.plan.hand_overs => {
                let leads = |r: &Replica| {
                    matches!(r.paxos.as_ref().map(Paxos::role), Some(Role::Leader { .. }))
                };
                let leader = self.replicas.iter().position(leads).unwrap_or(at);
                self.drive(leader, |paxos, now, fx| paxos.hand_over(now, fx));
            }
            8 => {
                // One follower falls behind: a long cut from one other only.
                let other = self.rng.below(n) as usize;
                if self.plan.cuts && at != other {
                    self.cut[other][at] = true;
                }
            }
            _ => {}
        }
    }

    /// A checkpoint of what is applied and durable; rarely without regard for who still needs the values.
    fn checkpoint(&mut self, at: usize) {
        let reckless = self.rng.chance(30);
        let r = &mut self.replicas[at];
        let Some(paxos) = &mut r.paxos else { return };
        let durable = |slot: &Slot| {
            r.disk
                .newest
                .get(slot)
                .is_none_or(|&frame| frame < r.disk.durable)
        };
        let mut below = r.disk.checkpoint;
        let limit = if reckless {
            r.next_chosen
        } else {
            r.next_chosen.min(paxos.min_applied_of_all_members())
        };
        while below < limit && durable(&below) {
            below = below.next();
        }
        if below > r.disk.checkpoint {
            r.disk.checkpoint = below;
            paxos.note_checkpoint(below);
        }
    }

    fn client(&mut self) {
        let n = self.replicas.len() as u64;
        for at in 0..n as usize {
            let Some(paxos) = &self.replicas[at].paxos else {
                continue;
            };
            if !matches!(paxos.role(), Role::Leader { .. }) {
                continue;
            }
            for _ in 0..=self.rng.below(3) {
                self.propose(at);
            }
            if self.rng.chance(30) {
                self.read(at);
            }
        }
    }

    pub(crate) fn propose(&mut self, at: usize) -> Option<Slot> {
        self.values += 1;
        let number = self.values;
        let mut parts = vec![Bytes::copy_from_slice(&number.to_le_bytes())];
        let more = self.rng.below(self.plan.value_bytes_max);
        parts.push(Bytes::from(vec![7; more as usize]));
        let value = Value::from_parts(parts);
        let mut slot = None;
        self.drive(at, |paxos, now, fx| {
            let could = paxos.can_propose();
            let ballot = paxos.leader().map(|(b, _)| b);
            let result = paxos.propose(now, value, fx);
            assert!(could || result.is_err(), "proposed though it could not");
            slot = result.ok().map(|slot| (slot, ballot.expect("it leads")));
        });
        let (slot, ballot) = slot?;
        let acked = self.replicas[at].next_chosen > slot;
        assert!(
            !acked || self.plan.replicas == 1,
            "chosen before it was durable anywhere"
        );
        self.replicas[at].proposed.insert((slot, ballot), number);
        Some(slot)
    }

    pub(crate) fn read(&mut self, at: usize) -> Option<ReadToken> {
        self.tokens += 1;
        let token = ReadToken(self.tokens);
        let floor = self.checks.told;
        self.replicas[at].reads.insert(token, floor);
        let mut ok = false;
        self.drive(at, |paxos, now, fx| {
            ok = paxos.read_index(now, token, fx).is_ok()
        });
        if !ok {
            self.replicas[at].reads.remove(&token);
        }
        ok.then_some(token)
    }

    /// Calls one replica and carries out its effects.
    pub(crate) fn drive(&mut self, at: usize, call: impl FnOnce(&mut Paxos, u64, &mut Effects)) {
        let now = self.now + self.replicas[at].offset;
        let Some(paxos) = &mut self.replicas[at].paxos else {
            return;
        };
        let mut fx = std::mem::take(&mut self.effects);
        call(paxos, now, &mut fx);
        assert!(paxos.standing() != Standing::Contradicted, "contradicted");
        while let Some(effect) = fx.pop() {
            self.carry_out(at, effect);
        }
        self.effects = fx;
        let r = &mut self.replicas[at];
        let paxos = r.paxos.as_ref().expect("running");
        assert_eq!(
            paxos.chosen_prefix(),
            r.next_chosen,
            "the prefix is what was handed out"
        );
        let timer = paxos.poll_timer().saturating_sub(r.offset);
        if r.timer_at != timer.max(1) {
            r.timer_at = timer.max(1);
            let (life, at_time) = (r.life, r.timer_at);
            let after = at_time.saturating_sub(self.now);
            self.schedule(
                after,
                Event::Timer {
                    replica: at,
                    life,
                    at: at_time,
                },
            );
        }
    }

    fn carry_out(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Persist { id, what } => self.persist(at, id, what),
            Effect::Send { to, message } => self.send(at, usize::from(to.0) - 1, message),
            Effect::Chosen {
                slot,
                ballot,
                value,
            } => {
                let r = &mut self.replicas[at];
                assert_eq!(slot, r.next_chosen, "chosen slots come in order");
                r.next_chosen = slot.next();
                let Some(&(_, chosen)) = self.checks.chosen.get(&slot) else {
                    panic!(
                        "replica {} hands out slot {slot}, which is not chosen",
                        at + 1
                    );
                };
                let frame = r.disk.newest.get(&slot).map(|&f| &r.disk.frames[f].what);
                let Some(What::Accepted {
                    value: held,
                    ballot: held_in,
                    ..
                }) = frame
                else {
                    panic!("handed out what is not held");
                };
                assert_eq!(
                    *held_in, ballot,
                    "handed out with another ballot than it is held in"
                );
                let value = value.as_ref().unwrap_or(held);
                assert_eq!(
                    value_number(value),
                    chosen,
                    "slot {slot}: another value than the chosen one"
                );
                assert_eq!(
                    value_number(held),
                    chosen,
                    "slot {slot}: holds another value than the chosen one"
                );
                if let Some(number) = r.proposed.remove(&(slot, ballot)) {
                    assert_eq!(number, chosen, "acknowledged another value");
                    self.checks.told = self.checks.told.max(slot.next());
                    self.coverage.acknowledged += 1;
                }
                let paxos = r.paxos.as_mut().expect("running");
                paxos.note_applied(slot.next());
            }
            Effect::ReadValue { id, slot, ballot } => {
                let life = self.replicas[at].life;
                let after = self.rng.below(2 * MS);
                self.schedule(
                    after,
                    Event::Read {
                        replica: at,
                        life,
                        id,
                        slot,
                        ballot,
                    },
                );
            }
            Effect::Role(change) => {
                self.coverage.outcomes_unknown += change.unknown.len() as u64;
                if matches!(change.role, Role::Leader { .. }) && change.ballot > self.last_leader {
                    self.last_leader = change.ballot;
                    self.leader_changes += 1;
                }
                let out = self.replicas[at].promise_lost;
                assert!(
                    !out || matches!(change.role, Role::Follower { .. }),
                    "it may have lost its promise"
                );
            }
            Effect::ReadReady { token, index } => {
                let floor = self.replicas[at]
                    .reads
                    .remove(&token)
                    .expect("asked, and not answered yet");
                assert!(
                    index >= floor,
                    "a read of {index} after {floor} was told to somebody"
                );
                self.checks.told = self.checks.told.max(index);
                self.coverage.reads += 1;
            }
            Effect::ReadFailed { token } => {
                self.replicas[at]
                    .reads
                    .remove(&token)
                    .expect("asked, and not answered yet");
            }
        }
    }

    fn persist(&mut self, at: usize, id: PersistId, what: Persist) {
        let r = &mut self.replicas[at];
        assert_eq!(
            r.disk.base + id.0 as usize - 1,
            r.disk.frames.len(),
            "ids rise by 1"
        );
        let under = r.paxos.as_ref().expect("running").ballot();
        let prefix = match &what {
            Persist::Accepted {
                slot,
                ballot,
                value,
                chosen_prefix,
            } => {
                let number = value_number(value);
                let is_chosen = self.checks.is_chosen(*slot, number);
                if *ballot < r.promise_sent {
                    assert!(
                        is_chosen,
                        "slot {slot}: accepts {ballot}, having promised {}",
                        r.promise_sent
                    );
                }
                assert!(*slot >= r.disk.checkpoint, "stored below its checkpoint");
                if let Some(&frame) = r.disk.newest.get(slot)
                    && let What::Accepted { ballot: before, .. } = &r.disk.frames[frame].what
                {
                    assert!(
                        before <= ballot || is_chosen,
                        "slot {slot}: {ballot} after {before}"
                    );
                }
                self.checks.propose(*slot, *ballot, number);
                if *slot < r.prefix_checked {
                    assert!(is_chosen, "slot {slot} overwritten with what is not chosen");
                }
                *chosen_prefix
            }
            Persist::State(state) => state.chosen_prefix,
        };
        if prefix > r.prefix_checked {
            self.checks.prefix(&r.disk, r.prefix_checked, prefix);
            r.prefix_checked = prefix;
        }
        r.disk.append(what, under);
        self.maybe_sync(at);
    }

    fn maybe_sync(&mut self, at: usize) {
        let stall = !self.healed && self.plan.stalls && self.rng.chance(3);
        let stall = if stall {
            self.rng.range(50, 500) * MS
        } else {
            0
        };
        let after = self.rng.exponential(self.plan.sync_mean) + MS / 20 + stall;
        let r = &mut self.replicas[at];
        if r.syncing || r.disk.durable == r.disk.frames.len() {
            return;
        }
        r.syncing = true;
        r.sync += 1;
        let (life, sync, upto) = (r.life, r.sync, r.disk.frames.len());
        self.schedule(
            after,
            Event::Synced {
                replica: at,
                life,
                upto,
            },
        );
        if stall > 0 {
            self.schedule(
                60 * MS,
                Event::StallSeen {
                    replica: at,
                    life,
                    sync,
                },
            );
        }
    }

    fn synced(&mut self, at: usize, life: u32, upto: usize) {
        if self.replicas[at].life != life || self.replicas[at].paxos.is_none() {
            return;
        }
        self.make_durable(at, upto);
        let r = &mut self.replicas[at];
        r.syncing = false;
        let id = PersistId((upto - r.disk.base) as u64);
        let was_stalled = std::mem::take(&mut r.stalled);
        self.drive(at, |paxos, now, fx| {
            paxos.handle_durable(now, id, fx);
            if was_stalled {
                paxos.handle_disk(now, DiskHealth::Well, fx);
            }
        });
        self.maybe_sync(at);
    }

    fn make_durable(&mut self, at: usize, upto: usize) {
        let r = &mut self.replicas[at];
        let members = r.paxos.as_ref().map_or(&[][..], |p| p.members());
        let mut list = members.to_vec();
        while r.disk.durable < upto {
            let frame = r.disk.sync_one().clone();
            match &frame.what {
                What::State { formed } => {
                    if let Some(formed) = formed {
                        self.checks.formed(r.incarnation, formed);
                        list.clone_from(formed);
                    }
                }
                What::Accepted {
                    slot,
                    ballot,
                    value,
                } => {
                    let voter = list.iter().position(|m| m.incarnation == r.incarnation);
                    if let Some(voter) = voter.filter(|_| !r.promise_lost) {
                        let quorum = list.len() / 2 + 1;
                        self.checks
                            .vote(voter, quorum, *slot, *ballot, value_number(value));
                    }
                }
            }
        }
    }

    /// A message leaves: everything it vouches for must be durable.
    fn send(&mut self, at: usize, to: usize, envelope: Envelope) {
        self.check_send(at, &envelope.message);
        let class = envelope.message.class();
        if self.cut[at][to] || self.rng.chance(self.plan.loss_percent) {
            return;
        }
        let copies = 1 + u64::from(self.rng.chance(self.plan.repeat_percent));
        for _ in 0..copies {
            let mut after = MS / 20 + self.rng.exponential(self.plan.delay_mean);
            if !self.plan.loose {
                let last = self.streams.entry((at, to, class)).or_default();
                *last = (*last).max(self.now + after);
                after = *last - self.now;
            }
            let envelope = Box::new(envelope.clone());
            self.schedule(after, Event::Deliver { to, envelope });
        }
    }

    fn check_send(&mut self, at: usize, message: &Message) {
        let r = &mut self.replicas[at];
        let promised = r.disk.promised_durable;
        let honoured = |ballot: Ballot| {
            assert!(
                promised >= ballot,
                "replica {} sends {ballot}, but only {promised} is durable: {message:?}",
                at + 1
            );
            assert!(!r.promise_lost, "voted though it may have lost its promise");
        };
        match message {
            Message::Prepare(m) => {
                honoured(m.ballot);
                self.checks
                    .prepare(m.ballot, at as u16 + 1, r.life, m.first);
            }
            Message::Promise(m) => {
                honoured(m.ballot);
                r.promise_sent = r.promise_sent.max(m.ballot);
                self.checks.promise(m, &r.disk);
                assert!(m.chosen_below <= r.disk.checkpoint);
            }
            Message::Accept(m) => {
                honoured(m.ballot);
                self.checks
                    .propose(m.slot, m.ballot, value_number(&m.value));
                self.checks.leads(m.ballot, m.first, Some(m.free));
                for slot in m.first.max(r.prefix_checked).0..m.chosen.0 {
                    assert!(
                        self.checks.chosen.contains_key(&Slot(slot)),
                        "chosen index beyond what is chosen"
                    );
                }
            }
            Message::Accepted(m) => {
                honoured(m.ballot);
                self.check_accepted(at, m.ballot, m.upto);
            }
            Message::Heartbeat(m) => {
                assert!(promised >= m.promised);
                if let Some(leading) = m.leading {
                    self.checks.leads(leading.ballot, leading.first, None);
                    for slot in leading.first.max(r.prefix_checked).0..leading.chosen.0 {
                        assert!(
                            self.checks.chosen.contains_key(&Slot(slot)),
                            "chosen index beyond what is chosen"
                        );
                    }
                }
                if let Some(accepted) = &m.accepted {
                    honoured(accepted.ballot);
                    self.check_accepted(at, accepted.ballot, accepted.upto);
                }
            }
            Message::FetchReply(m) => {
                if let paxlog_paxos::FetchAnswer::Chosen { slot, value, .. } = &m.answer {
                    assert!(
                        self.checks.is_chosen(*slot, value_number(value)),
                        "given as chosen, and is not"
                    );
                }
            }
            _ => {}
        }
    }

    fn check_accepted(&mut self, at: usize, ballot: Ballot, upto: Slot) {
        let r = &mut self.replicas[at];
        let first = self
            .checks
            .first
            .get(&ballot)
            .copied()
            .unwrap_or(Slot::ZERO);
        if r.acked_checked.0 != ballot {
            r.acked_checked = (ballot, first);
        }
        for slot in r.acked_checked.1.max(r.disk.checkpoint).0..upto.0 {
            let held = r.disk.newest_durable.get(&Slot(slot)).map(|&(b, _)| b);
            assert_eq!(
                held,
                Some(ballot),
                "acknowledges up to {upto} in {ballot}, but slot {slot} is not durable in it"
            );
        }
        r.acked_checked.1 = r.acked_checked.1.max(upto);
    }

    /// The serving leader, if there is exactly one of the highest ballot.
    pub(crate) fn leader(&self) -> Option<usize> {
        let ready = |r: &Replica| {
            r.paxos
                .as_ref()
                .filter(|p| p.role() == Role::Leader { ready: true })?
                .leader()
        };
        let leaders = self
            .replicas
            .iter()
            .enumerate()
            .filter_map(|(at, r)| Some((ready(r)?.0, at)));
        leaders.max().map(|(_, at)| at)
    }

    fn in_group(&self, at: usize) -> bool {
        let r = &self.replicas[at];
        let standing = r.paxos.as_ref().map(Paxos::standing);
        !matches!(
            standing,
            Some(Standing::NotMember | Standing::PromiseMayBeLost)
        )
    }

    /// Whoever lacks what others dropped gets a checkpoint: the owner's business, some day.
    fn install_checkpoints(&mut self) {
        for at in 0..self.replicas.len() {
            let highest = self
                .replicas
                .iter()
                .map(|r| r.disk.checkpoint)
                .max()
                .unwrap_or_default();
            if self.in_group(at) && self.replicas[at].next_chosen < highest {
                self.crash(at);
                self.replicas[at].disk.checkpoint = highest;
                self.coverage.checkpoints_installed += 1;
                self.start(at);
            }
        }
    }

    /// After healing: a leader serves, everybody holds everything, and it stays so.
    pub(crate) fn must_recover(&mut self, within: u64) {
        let until = self.now + within;
        self.run_for(150 * MS);
        self.install_checkpoints();
        let target = loop {
            assert!(self.now < until, "no serving leader: {}", self.describe());
            self.run_for(20 * MS);
            if let Some(leader) = self.leader()
                && let Some(slot) = self.propose(leader)
            {
                break slot.next();
            }
        };
        loop {
            assert!(
                self.now < until,
                "not everybody has caught up with {target}: {}",
                self.describe()
            );
            let behind = |at: &usize| self.in_group(*at) && self.replicas[*at].next_chosen < target;
            if !(0..self.replicas.len()).any(|at| behind(&at)) {
                break;
            }
            self.run_for(20 * MS);
            self.install_checkpoints();
        }
        let token = loop {
            assert!(self.now < until, "no read: {}", self.describe());
            if let Some(leader) = self.leader()
                && let Some(token) = self.read(leader)
            {
                break (leader, token);
            }
            self.run_for(20 * MS);
        };
        self.run_for(100 * MS);
        assert!(
            !self.replicas[token.0].reads.contains_key(&token.1),
            "a read is not answered"
        );
        if self.plan.stable_after {
            let leader = self.leader();
            self.run_for(500 * MS);
            assert_eq!(
                self.leader(),
                leader,
                "the leader changed though all is well"
            );
        }
    }

    pub(crate) fn describe(&self) -> String {
        let one = |(at, r): (usize, &Replica)| {
            let Some(p) = &r.paxos else {
                return format!("{}: down", at + 1);
            };
            format!(
                "\n{}: {:?} {:?} promised {} prefix {} below {} unknown {:?} peers {:?}",
                at + 1,
                p.role(),
                p.standing(),
                p.ballot(),
                p.chosen_prefix(),
                r.disk.checkpoint,
                p.unknown_slots(),
                p.peers()
                    .iter()
                    .map(|p| (p.id.0, p.both_ways, p.rtt_ns / 1000))
                    .collect::<Vec<_>>()
            )
        };
        self.replicas.iter().enumerate().map(one).collect()
    }

    pub(crate) fn finish(mut self) -> Coverage {
        for at in 0..self.replicas.len() {
            if let Some(paxos) = self.replicas[at].paxos.take() {
                self.coverage.left_out += u64::from(paxos.standing() == Standing::NotMember);
                self.coverage.count(&paxos.counters());
            }
        }
        self.coverage.schedules = 1;
        self.coverage.chosen = self.checks.chosen.len() as u64;
        self.coverage
    }
}
