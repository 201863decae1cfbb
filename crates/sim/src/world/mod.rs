//! The run: everything in one place, one event after the other.

mod clones;
mod disks;
mod faults;
mod life;
mod links;
mod rot;
mod turns;

use std::collections::{BTreeMap, BTreeSet};

use paxlog_node::Event;
use paxlog_paxos::{DiskHealth, Slot};
use paxlog_wal::Task;
use paxlog_wal::sim::SimDisk;

use crate::clients::Clients;
use crate::coverage::Coverage;
use crate::invariants::{Broken, Invariants};
use crate::network::{Flight, LinkId, Network};
use crate::plan::{MS, Moment, Plan, SECOND, US, What};
use crate::replica::Replica;
use crate::rng::{Draw, stream};
use crate::trace::Trace;

/// The longest runs have about a tenth of this.
const EVENTS_MAX: u64 = 10_000_000;

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
    /// A replica stops, as it was to.
    Die {
        at: usize,
        life: u32,
        power: bool,
        down: u64,
    },
    /// What clients see and do.
    Client(crate::clients::Happening),
    /// Clones of the replicas' disks are looked at.
    Clones,
    /// Something goes wrong: which of the plan's faults.
    Fault(usize),
    /// What a fault took ends, unless all is well already.
    Mend(Mend),
}

/// The end, or the next part, of a fault.
#[derive(Debug)]
pub(crate) enum Mend {
    Cuts(BTreeSet<(usize, usize)>),
    Disk(usize),
    Slow(usize),
    /// Cuts that come again.
    Flap {
        directions: BTreeSet<(usize, usize)>,
        half: u64,
        times: u32,
    },
    /// A rolling restart goes on with this replica.
    Roll {
        at: usize,
        power: bool,
        gap: u64,
        down: u64,
    },
}

/// One run.
pub(crate) struct World {
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
    /// Only a core is well; what is wrong elsewhere stays.
    pub(crate) core_only: bool,
    pub(crate) broken: Option<Broken>,
    /// The highest ballot in which somebody was seen to lead.
    pub(crate) last_leader: u64,
    /// Those that began to lead, and when.
    pub(crate) leaders: Vec<(u64, usize)>,
}

impl World {
    pub(crate) fn new(plan: Plan, trace: Trace) -> World {
        let seed = plan.seed;
        let mut ids = stream(seed, "incarnations", 0);
        let replicas: Vec<Replica> = (1..=plan.replicas)
            .map(|id| {
                let disk = SimDisk::new(stream(seed, "disk", u64::from(id)).next_u64());
                Replica::new(seed, id, u128::from(ids.next_u64()) | 1, disk)
            })
            .collect();
        let mut world = World {
            now: 0,
            queue: crate::queue::Queue::new(),
            replicas,
            network: Network::new(seed, usize::from(plan.replicas)),
            clients: Clients::new(&plan),
            invariants: Invariants::new(seed),
            coverage: Coverage::default(),
            trace,
            events: 0,
            healed: false,
            core_only: false,
            broken: None,
            last_leader: 0,
            leaders: Vec::new(),
            plan,
        };
        let mut first = stream(seed, "first starts", 0);
        for at in 0..world.replicas.len() {
            let after = first.below(50 * MS);
            world.queue.push(after, Happening::Start { at });
        }
        for (number, fault) in world.plan.faults.iter().enumerate() {
            world.queue.push(fault.at, Happening::Fault(number));
        }
        world.schedule_clones();
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

    /// Runs until something holds; gives whether it did before the time was over.
    pub(crate) fn run_while(
        &mut self,
        until: u64,
        mut goes_on: impl FnMut(&mut World) -> bool,
    ) -> Result<bool, Broken> {
        while goes_on(self) {
            if self.now >= until {
                return Ok(false);
            }
            self.run_until(self.now + 50 * MS)?;
        }
        Ok(true)
    }

    fn step(&mut self) -> Result<(), Broken> {
        let Some((at, happening)) = self.queue.pop() else {
            return Ok(());
        };
        self.now = at;
        self.events += 1;
        self.trace.mix(at);
        self.happen(happening);
        self.bury();
        if self.events > EVENTS_MAX {
            self.check(Err(Broken {
                rule: "a run comes to its end",
                what: format!("{EVENTS_MAX} events are too many: something goes round in a circle"),
            }));
        }
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
                    self.input(at, Event::Disk(DiskHealth::Stalled));
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
            Happening::Die {
                at,
                life,
                power,
                down,
            } => {
                if self.replicas[at].life == life && self.replicas[at].running.is_some() {
                    self.crash(at, power);
                    self.start_after(at, down);
                }
            }
            Happening::Client(happening) => self.client_happens(happening),
            Happening::Clones => {
                if !self.healed {
                    self.look_at_clones();
                    self.schedule_clones();
                }
            }
            Happening::Fault(number) => {
                if !self.healed
                    && let Some(fault) = self.plan.faults.get(number).cloned()
                {
                    self.fault(&fault.what);
                }
            }
            Happening::Mend(mend) => self.mend(mend),
        }
    }

    /// Whoever lost its power in the middle of a change of its disk is gone.
    fn bury(&mut self) {
        for at in 0..self.replicas.len() {
            if let Some((Moment::DiskCalls(_), _, down)) = self.replicas[at].dies
                && self.replicas[at].disk.is_dead()
            {
                self.replicas[at].dies = None;
                self.coverage.hit("crash in a change of the disk");
                self.crash(at, true);
                self.start_after(at, down);
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
