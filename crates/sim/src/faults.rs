//! What goes wrong: drawn by the run's own stream, within what a correct system survives.
//!
//! The atlas: bytes at rest change, and directories are lost, only at *victims*, a minority drawn at the start;
//! so every acknowledged record is held, undamaged, by the others. Until this release can readmit a replica,
//! one that lost its directory, or may have lost a promise, stays out.

use std::collections::BTreeSet;

use paxlog_node::Event;

use crate::plan::{FaultKind, MS, SECOND};
use crate::replica::{Replica, Running};
use crate::rng::Draw;
use crate::world::{Happening, Mend, World};

impl World {
    pub(crate) fn schedule_fault(&mut self) {
        let after = MS + self.fault_rng.exponential(self.plan.fault_mean);
        self.queue.push(self.now + after, Happening::Fault);
    }

    pub(crate) fn fault(&mut self) {
        let kind = self.plan.faults[self.fault_rng.below(self.plan.faults.len() as u64) as usize];
        let n = self.replicas.len();
        let at = self.fault_rng.below(n as u64) as usize;
        let what = match self.cause(kind, at) {
            Some(what) => what,
            None => return,
        };
        self.coverage.hit(&format!("fault: {kind:?}"));
        self.trace
            .note(self.now, "fault", || format!("{kind:?} {what}"));
    }

    /// Does it; none where it does not apply now.
    fn cause(&mut self, kind: FaultKind, at: usize) -> Option<String> {
        let n = self.replicas.len();
        let who = format!("r{}", at + 1);
        match kind {
            FaultKind::Isolate => {
                let others = (0..n).filter(|&other| other != at);
                let cuts = others
                    .flat_map(|other| [(at, other), (other, at)])
                    .collect();
                self.cut_for_a_while(cuts)?;
                Some(who)
            }
            FaultKind::Halves => {
                let mut sides = Vec::new();
                for _ in 0..n {
                    sides.push(self.fault_rng.half());
                }
                let cuts = pairs(n).filter(|&(a, b)| sides[a] != sides[b]).collect();
                self.cut_for_a_while(cuts)?;
                Some(format!("{sides:?}"))
            }
            FaultKind::OneWay => {
                let other = self.fault_rng.below(n as u64) as usize;
                self.cut_for_a_while(BTreeSet::from([(at, other)]))?;
                Some(format!("{who} to r{}", other + 1))
            }
            FaultKind::AnyGraph => {
                let mut cuts = BTreeSet::new();
                for pair in pairs(n) {
                    if self.fault_rng.chance(40) {
                        cuts.insert(pair);
                    }
                }
                let text = format!("{cuts:?}");
                self.cut_for_a_while(cuts)?;
                Some(text)
            }
            FaultKind::Clog => {
                let until = self.now + self.fault_rng.exponential(500 * MS);
                for other in (0..n).filter(|&other| other != at) {
                    self.network.clog(at, other, until);
                }
                Some(who)
            }
            FaultKind::BreakLink => {
                let other = self.fault_rng.below(n as u64) as usize;
                let accepts = self.fault_rng.half();
                if other == at {
                    return None;
                }
                self.break_link(at, other, accepts);
                Some(format!("{who} r{} accepts {accepts}", other + 1))
            }
            FaultKind::Crash => {
                let power = self.fault_rng.chance(self.plan.power_percent);
                self.replicas[at].running.as_ref()?;
                self.crash(at, power);
                self.start_later(at);
                Some(who)
            }
            FaultKind::CrashAll => {
                for at in 0..n {
                    let power = self.fault_rng.chance(self.plan.power_percent);
                    self.crash(at, power);
                    self.start_later(at);
                }
                self.coverage.hit("all down");
                Some("all".into())
            }
            FaultKind::CrashInEffects => {
                self.replicas[at].dies_in = Some(self.fault_rng.below(40));
                Some(who)
            }
            FaultKind::Pause => {
                let pause = 100 * MS + self.fault_rng.exponential(SECOND);
                self.replicas[at].paused_until = self.now + pause;
                Some(format!("{who} for {} ms", pause / MS))
            }
            FaultKind::SyncStall => {
                let stall = 100 * MS + self.fault_rng.exponential(2 * SECOND);
                self.replicas[at].next_sync = Some(stall);
                Some(format!("{who} for {} ms", stall / MS))
            }
            FaultKind::SyncFail => {
                self.replicas[at].running.as_ref()?;
                self.replicas[at].disk.fail_sync(0);
                Some(who)
            }
            FaultKind::DiskFull => {
                self.replicas[at].disk.set_capacity(Some(0));
                let after = 200 * MS + self.fault_rng.exponential(2 * SECOND);
                self.queue
                    .push(self.now + after, Happening::Mend(Mend::Disk(at)));
                Some(who)
            }
            FaultKind::Rot => self.rot(at),
            FaultKind::Wipe => {
                if !self.replicas[at].victim || self.replicas[at].out {
                    return None;
                }
                self.crash(at, true);
                let (id, life) = (self.replicas[at].id, self.replicas[at].life);
                let incarnation = u128::from(self.fault_rng.next_u64()) | 1;
                let disk = paxlog_wal::sim::SimDisk::new(self.fault_rng.next_u64());
                let mut blank = Replica::new(id, incarnation, disk);
                (blank.life, blank.victim, blank.out) = (life, true, true);
                self.replicas[at] = blank;
                self.start_later(at);
                Some(who)
            }
            FaultKind::ClockStep => {
                let step = self.fault_rng.below(20 * SECOND) as i64 - 10 * SECOND as i64;
                self.replicas[at].wall_error = step;
                if let Some(running) = &mut self.replicas[at].running {
                    running.clock.set_wall(step);
                }
                Some(format!("{who} by {} ms", step / MS as i64))
            }
            FaultKind::ClientReset => {
                let client = self.fault_rng.below(self.plan.clients) as usize;
                self.reset_client(client);
                Some(format!("client {client}"))
            }
            FaultKind::HandOver => {
                self.replicas[at].running.as_ref()?;
                // Whoever asked does not wait for ever.
                let life = self.replicas[at].life;
                let patience = self.now + 2 * SECOND;
                self.queue.push(patience, Happening::Replace { at, life });
                self.input(at, Event::HandOver);
                Some(who)
            }
        }
    }

    fn cut_for_a_while(&mut self, mut cuts: BTreeSet<(usize, usize)>) -> Option<()> {
        let already = self.network.cuts();
        cuts.retain(|(a, b)| a != b && !already.contains(&(*a, *b)));
        if cuts.is_empty() {
            return None;
        }
        self.cut(&cuts);
        let after = 50 * MS + self.fault_rng.exponential(3 * SECOND);
        self.queue
            .push(self.now + after, Happening::Mend(Mend::Cuts(cuts)));
        Some(())
    }

    /// A bit flips in a file that no frame goes to any more, of a victim that is down or crashes for it: it is
    /// found at the next opening, or when it is read.
    fn rot(&mut self, at: usize) -> Option<String> {
        if !self.replicas[at].victim {
            return None;
        }
        let names = self.replicas[at].disk.names();
        let segments: Vec<&String> = names.iter().filter(|name| name.ends_with(".seg")).collect();
        // The newest take frames, or are not covered by a promise yet.
        let cold = segments.get(..segments.len().saturating_sub(2))?;
        if cold.is_empty() {
            return None;
        }
        let name = cold[self.fault_rng.below(cold.len() as u64) as usize].clone();
        let offset = self.fault_rng.below(self.plan.segment_bytes);
        let mask = 1 << self.fault_rng.below(8);
        self.replicas[at].disk.flip(&name, offset, mask);
        Some(format!("r{} {name} at {offset}", at + 1))
    }

    /// Nothing goes wrong any more; whoever is down comes back.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.plan.loss_percent = 0;
        self.plan.repeat_percent = 0;
        self.network.heal();
        for at in 0..self.replicas.len() {
            let replica = &mut self.replicas[at];
            replica.paused_until = replica.paused_until.min(self.now);
            replica.dies_in = None;
            replica.next_sync = None;
            replica.disk.set_capacity(None);
            let failed = replica.running.as_ref().is_some_and(Running::disk_failed);
            if failed {
                self.crash(at, true);
            }
            if self.replicas[at].running.is_none() {
                self.queue.push(self.now + MS, Happening::Start { at });
            }
        }
        self.reconnect_all();
        self.trace.note(self.now, "all", || "healed".into());
    }
}

fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |a| (0..n).filter(move |&b| a != b).map(move |b| (a, b)))
}
