//! Partial partitions: a cluster that serves, of which links are cut and stay cut.
//!
//! It must serve on exactly when a replica with a working disk reaches, both ways, a majority of replicas with
//! working disks; and there must be no more changes of leaders than the partition needs (Ng et al., *Omni-Paxos:
//! Breaking the Barriers of Partial Connectivity*, EuroSys 2023, section 2, from which the names of some are).

use std::collections::BTreeSet;

use crate::invariants::Broken;
use crate::plan::{MS, Plan, SECOND, pairs};
use crate::run::{Report, finish, play_out};
use crate::trace::Detail;
use crate::world::World;

/// A cluster is brought so far, then cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// 3 or 5.
    pub replicas: u16,
    /// Who leads before.
    pub leader: u16,
    /// Who alone, with the leader, holds values that are not chosen when the links are cut.
    pub ahead: u16,
    /// Directions that are cut for good.
    pub cut: BTreeSet<(u16, u16)>,
    /// Whose syncs do not return any more.
    pub stalled: Option<u16>,
    /// What is drawn: times of messages and syncs.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Whether an append that began after the cut was acknowledged before it was mended.
    pub served: bool,
    /// How often somebody else began to lead while it lasted.
    pub changes: usize,
    /// Who led last, while it lasted.
    pub leader: u16,
    /// The run, healed in the end, and judged like any other.
    pub report: Report,
}

/// Messages under way, and what is noticed of a cut: until then anything may happen.
const SETTLES: u64 = 300 * MS;
/// A group that can serve does so within this.
const SERVES: u64 = 3 * SECOND;
/// After it serves it is watched for so long: the leader stays.
const WATCHED: u64 = 2 * SECOND;

impl Partition {
    /// All links well: `cut` is to be filled.
    #[must_use]
    pub fn new(replicas: u16, leader: u16, ahead: u16) -> Partition {
        Partition {
            replicas,
            leader,
            ahead,
            cut: BTreeSet::new(),
            stalled: None,
            seed: 1,
        }
    }

    /// Cuts all links but these, both ways.
    #[must_use]
    pub fn only(mut self, links: &[(u16, u16)]) -> Partition {
        let kept = |&(a, b): &(u16, u16)| links.contains(&(a, b)) || links.contains(&(b, a));
        self.cut = pairs(self.replicas).filter(|pair| !kept(pair)).collect();
        self
    }

    /// One of the 1,024 graphs of five replicas: bit n of `graph` keeps the nth link.
    #[must_use]
    pub fn graph(graph: u16, leader: u16, ahead: u16) -> Partition {
        let all: Vec<(u16, u16)> = pairs(5).filter(|(a, b)| a < b).collect();
        let kept: Vec<(u16, u16)> = (0..all.len())
            .filter(|n| graph >> n & 1 == 1)
            .map(|n| all[n])
            .collect();
        Partition::new(5, leader, ahead).only(&kept)
    }

    /// Whether somebody with a working disk reaches a majority, both ways.
    #[must_use]
    pub fn can_serve(&self) -> bool {
        let works = |id: u16| self.stalled != Some(id);
        (1..=self.replicas).filter(|&hub| works(hub)).any(|hub| {
            let reached = (1..=self.replicas).filter(|&other| {
                let both = !self.cut.contains(&(hub, other)) && !self.cut.contains(&(other, hub));
                works(other) && (other == hub || both)
            });
            reached.count() > usize::from(self.replicas / 2)
        })
    }

    /// Whether that can't be said: one whose disk is stalled, and who leads until that is noticed, reaches a
    /// majority without itself.
    #[must_use]
    pub fn may_serve_for_a_while(&self) -> bool {
        self.stalled.is_some_and(|hub| {
            let reached = (1..=self.replicas).filter(|&other| {
                let both = !self.cut.contains(&(hub, other)) && !self.cut.contains(&(other, hub));
                other != hub && both
            });
            reached.count() > usize::from(self.replicas / 2)
        })
    }

    /// Plays it.
    #[must_use]
    pub fn play(&self, detail: Detail) -> Outcome {
        let mut plan = Plan::quiet(self.seed, self.replicas);
        plan.clients = 1;
        let mut seen = (false, 0, 0);
        let report = play_out(plan, detail, |world| {
            seen = self.course(world)?;
            finish(world)
        });
        let (served, changes, leader) = seen;
        Outcome {
            served,
            changes,
            leader,
            report,
        }
    }

    fn course(&self, world: &mut World) -> Result<(bool, usize, u16), Broken> {
        let index = |id: u16| usize::from(id) - 1;
        let indices = |cut: &BTreeSet<(u16, u16)>| -> BTreeSet<(usize, usize)> {
            cut.iter().map(|&(a, b)| (index(a), index(b))).collect()
        };
        let formed = |world: &World| world.replicas.iter().all(|replica| replica.formed);
        if !world.run_while(5 * SECOND, |world| !formed(world))? {
            return fails("the group is not formed although all is well", world);
        }
        // Whoever alone reaches a majority must come to lead: through it all others reach each other, but not the
        // one that leads now.
        world.run_until(world.now + 300 * MS)?;
        let now_leads = world.leaders.last().map_or(0, |(_, at)| *at as u16 + 1);
        let apart = |id: u16| id == now_leads && id != self.leader;
        let star: BTreeSet<(u16, u16)> = pairs(self.replicas)
            .filter(|&(a, b)| a != self.leader && b != self.leader || apart(a) || apart(b))
            .collect();
        world.cut(&indices(&star));
        let led = world.run_while(world.now + 5 * SECOND, |world| {
            world.leaders.last().map(|(_, at)| *at) != Some(index(self.leader))
        })?;
        if !led {
            return fails("the leader that was wanted does not come to lead", world);
        }
        world.network.uncut(&indices(&star));
        world.reconnect_all();
        let led_before = world.leaders.len();
        world.run_until(world.now + 500 * MS)?;
        if world.leaders.len() != led_before {
            return fails("the leader changed although all was well", world);
        }
        // For less time than is noticed, only one other hears the leader.
        let apart: BTreeSet<(u16, u16)> = pairs(self.replicas)
            .filter(|&(a, b)| {
                let of_leader = a == self.leader || b == self.leader;
                let with_ahead = a == self.ahead || b == self.ahead;
                of_leader && (!with_ahead || self.ahead == self.leader)
            })
            .collect();
        world.cut(&indices(&apart));
        world.run_until(world.now + 40 * MS)?;
        world.network.uncut(&indices(&apart));
        world.cut(&indices(&self.cut));
        if let Some(stalled) = self.stalled {
            world.replicas[index(stalled)].next_sync = Some(3_600 * SECOND);
        }
        world.reconnect_all();
        world
            .trace
            .note(world.now, "net", || format!("cut for good: {:?}", self.cut));
        let led_before = world.leaders.len();
        let began = world.now;
        world.run_until(began + SETTLES)?;
        let probe = world.add_probe();
        let until = match self.can_serve() {
            true => began + SERVES,
            false => began + WATCHED,
        };
        let served = world.run_while(until, |world| world.clients.acknowledged_of(probe) == 0)?;
        world.run_until(world.now + WATCHED)?;
        let mut who: Vec<usize> = world.leaders[led_before - 1..]
            .iter()
            .map(|(_, at)| *at)
            .collect();
        who.dedup();
        let changes = who.len() - 1;
        let leader = world.leaders.last().map_or(0, |(_, at)| *at as u16 + 1);
        world.heal();
        Ok((served, changes, leader))
    }
}

fn fails<T>(rule: &'static str, world: &World) -> Result<T, Broken> {
    Err(Broken {
        rule,
        what: world.describe(),
    })
}
