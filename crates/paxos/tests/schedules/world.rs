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
    Ballot, Class, ClusterId, Config, DiskHealth, Effects, Envelope, GroupId, Incarnation,
    LinkEvent, Paxos, ReadId, ReadToken, ReplicaId, Role, Slot, Standing, Value,
};

use crate::checks::Checks;
use crate::disk::Disk;
use crate::plan::{Coverage, MS, Plan};
use crate::rng::Rng;

#[derive(Debug)]
pub(crate) enum Event {
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
    pub(crate) life: u32,
    /// Its clock is that far from the others'.
    pub(crate) offset: u64,
    pub(crate) timer_at: u64,
    pub(crate) syncing: bool,
    pub(crate) sync: u64,
    pub(crate) stalled: bool,
    pub(crate) next_chosen: Slot,
    pub(crate) prefix_checked: Slot,
    pub(crate) acked_checked: (Ballot, Slot),
    pub(crate) promise_sent: Ballot,
    pub(crate) proposed: BTreeMap<(Slot, Ballot), u64>,
    pub(crate) reads: BTreeMap<ReadToken, Slot>,
    /// Counted anew in each life, as an owner does.
    tokens: u64,
    /// It has no vote any more.
    pub(crate) out: bool,
    pub(crate) promise_lost: bool,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    pub(crate) number: u64,
    pub(crate) events: BinaryHeap<Reverse<(u64, u64, usize)>>,
    pub(crate) slab: Vec<Option<Event>>,
    pub(crate) free: Vec<usize>,
    pub(crate) replicas: Vec<Replica>,
    /// `cut[from][to]`
    pub(crate) cut: Vec<Vec<bool>>,
    /// `clog[from][to]`: until when it holds back what it carries.
    pub(crate) clog: Vec<Vec<u64>>,
    /// The same for what travels with values alone: accepts, and answers to who is behind.
    pub(crate) clog_values: Vec<Vec<u64>>,
    pub(crate) streams: BTreeMap<(usize, usize, Class), u64>,
    pub(crate) checks: Checks,
    pub(crate) coverage: Coverage,
    pub(crate) victims: Vec<bool>,
    pub(crate) values: u64,
    pub(crate) healed: bool,
    pub(crate) clients: bool,
    /// Whose disk does not answer.
    pub(crate) held_disk: Option<usize>,
    pub(crate) effects: Effects,
    pub(crate) leader_changes: u64,
    pub(crate) last_leader: Ballot,
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
            clog: vec![vec![0; n]; n],
            clog_values: vec![vec![0; n]; n],
            streams: BTreeMap::new(),
            checks: Checks::default(),
            coverage: Coverage::default(),
            victims,
            values: 0,
            healed: false,
            clients: true,
            held_disk: None,
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
                tokens: 0,
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

    pub(crate) fn schedule(&mut self, after: u64, event: Event) {
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
            Event::Heal if self.plan.core_first => self.heal_core(),
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
        r.tokens = 0;
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

    pub(crate) fn wipe(&mut self, at: usize) {
        self.crash(at);
        let r = &mut self.replicas[at];
        r.disk = Disk::default();
        r.incarnation = Incarnation(u128::from(self.rng.next()));
        r.promise_sent = Ballot::NONE;
        r.promise_lost = false;
        self.coverage.wiped += 1;
        self.schedule(5 * MS, Event::Restart { replica: at });
    }

    fn calm_down(&mut self) {
        self.healed = true;
        self.plan.loss_percent = 0;
        self.plan.repeat_percent = 0;
        self.plan.delay_mean = MS / 5;
        self.plan.sync_mean = MS;
    }

    /// Only a majority that holds no damage is well, and it is a star; the others stay as they are, cut off.
    fn heal_core(&mut self) {
        self.calm_down();
        let core: Vec<usize> = (0..self.replicas.len())
            .filter(|&at| !self.victims[at])
            .collect();
        let core = &core[..self.replicas.len() / 2 + 1];
        let hub = core[self.rng.below(core.len() as u64) as usize];
        for from in 0..self.replicas.len() {
            for to in 0..self.replicas.len() {
                let in_star =
                    core.contains(&from) && core.contains(&to) && (from == hub || to == hub);
                if in_star {
                    self.uncut(from, to);
                } else {
                    self.cut[from][to] = from != to;
                }
            }
        }
        for &at in core {
            if self.replicas[at].paxos.is_none() {
                self.start(at);
            }
        }
        self.coverage.cores += 1;
    }

    pub(crate) fn heal(&mut self) {
        self.calm_down();
        self.uncut_all();
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

    fn client(&mut self) {
        let n = self.replicas.len() as u64;
        for at in 0..n as usize {
            let Some(paxos) = &self.replicas[at].paxos else {
                continue;
            };
            if !matches!(paxos.role(), Role::Leader { .. }) {
                // A follower asks the leader.
                if self.rng.chance(15) {
                    self.read(at);
                }
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
        self.replicas[at].tokens += 1;
        let token = ReadToken(self.replicas[at].tokens);
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
}
