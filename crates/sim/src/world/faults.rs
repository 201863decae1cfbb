//! What goes wrong, as the plan says.
//!
//! The atlas: bytes at rest change, and directories are lost, only at *victims*, a minority; so every
//! acknowledged record is held, undamaged, by the others. Until this release can readmit a replica, one that
//! lost its directory after the group was formed, or may have lost a promise, stays out. A plan may leave the atlas:
//! then all are victims.

use super::*;
use crate::plan::{Ending, FOREVER, Moment, Outside, Over, pairs};
use crate::replica::Running;

impl World {
    pub(crate) fn fault(&mut self, what: &What) {
        if !self.cause(what) {
            return;
        }
        self.coverage.hit(what.name());
        self.trace.note(self.now, "fault", || what.to_string());
    }

    /// Does it; false where it does not apply now.
    fn cause(&mut self, what: &What) -> bool {
        let now = self.now;
        match what {
            What::Cut {
                directions, lasts, ..
            } => {
                let mut cuts = indices(directions);
                let already = self.network.cuts();
                cuts.retain(|direction| !already.contains(direction));
                if cuts.is_empty() {
                    return false;
                }
                self.cut(&cuts);
                self.mend_later(*lasts, Mend::Cuts(cuts));
            }
            What::Flap { .. } | What::Clog { .. } | What::Slow { .. }
                if self.plan.replicas == 1 =>
            {
                return false;
            }
            What::Flap {
                directions,
                half,
                times,
            } => self.mend(Mend::Flap {
                directions: indices(directions),
                half: *half,
                times: 2 * times,
            }),
            What::Clog {
                from,
                to,
                over,
                lasts,
            } => {
                let until = now + lasts;
                for (a, b) in pairs(self.plan.replicas) {
                    if a == *from && to.is_none_or(|to| to == b) {
                        self.network.clog(index(a), index(b), *over, until);
                    }
                }
            }
            What::Slow { from, extra, lasts } => {
                self.network.slow(index(*from), *extra);
                self.mend_later(*lasts, Mend::Slow(index(*from)));
            }
            What::BreakLink { a, b, over } => {
                let accepts = *over == Over::Accepts;
                if !self.network.link(index(*a), index(*b), accepts).1.up {
                    return false;
                }
                self.break_link(index(*a), index(*b), *over == Over::Accepts);
            }
            What::Crash {
                replica,
                power,
                when,
                down,
            } => {
                let at = index(*replica);
                if self.replicas[at].running.is_none() {
                    return false;
                }
                if *when == Moment::Now {
                    self.crash(at, *power);
                    self.start_after(at, *down);
                } else {
                    if let Moment::DiskCalls(n) = when {
                        self.replicas[at].disk.die_in(Some(n + 1));
                    }
                    self.replicas[at].dies = Some((*when, *power, *down));
                }
            }
            What::CrashAll { power, down } => {
                for (at, down) in down.iter().enumerate() {
                    self.crash(at, *power);
                    self.start_after(at, *down);
                }
            }
            What::Rolling { power, gap, down } => self.mend(Mend::Roll {
                at: 0,
                power: *power,
                gap: *gap,
                down: *down,
            }),
            What::Pause { replica, .. } | What::SyncStall { replica, .. }
                if self.replicas[index(*replica)].running.is_none() =>
            {
                return false;
            }
            What::Pause { replica, lasts } => {
                self.replicas[index(*replica)].paused_until = now + lasts;
            }
            What::SyncStall { replica, lasts } => {
                self.replicas[index(*replica)].next_sync = Some(*lasts);
            }
            What::SyncFail { replica, nth, down } => {
                let replica = &mut self.replicas[index(*replica)];
                if replica.running.is_none() {
                    return false;
                }
                replica.disk.fail_sync(*nth);
                replica.restarted_after = *down;
            }
            What::DiskFull {
                replica,
                segments,
                lasts,
            } => {
                let at = index(*replica);
                let disk = &self.replicas[at].disk;
                disk.set_capacity(Some(disk.used() + segments * self.plan.segment_bytes));
                self.mend_later(*lasts, Mend::Disk(at));
            }
            What::AtRest {
                replica,
                file,
                damage,
                pick,
            } => return self.rot(index(*replica), *file, *damage, *pick),
            What::Wipe { replica, down } => {
                return self.wipe(index(*replica), *down);
            }
            What::WipeWithList { replica, down } => {
                let replica = &mut self.replicas[index(*replica)];
                if replica.formed || replica.out {
                    return false;
                }
                replica.loses_lists.push_back(*down);
            }
            What::ClockStep { replica, by } => {
                let replica = &mut self.replicas[index(*replica)];
                replica.wall_error = *by;
                if let Some(running) = &mut replica.running {
                    running.clock.set_wall(*by);
                }
            }
            What::ClientReset { client } => self.reset_client(*client as usize),
            What::ClientDies { client } => return self.replace_client(*client),
            What::HandOver { replica, down } => {
                let at = index(*replica);
                if self.replicas[at].running.is_none() {
                    return false;
                }
                self.replicas[at].restarted_after = *down;
                // Whoever asked does not wait for ever.
                let die = Happening::Die {
                    at,
                    life: self.replicas[at].life,
                    power: true,
                    down: *down,
                };
                self.queue.push(now + 2 * SECOND, die);
                self.input(at, Event::HandOver);
            }
        }
        true
    }

    /// A directory is lost, if others kept theirs: else nobody could know that there ever was something.
    pub(crate) fn wipe(&mut self, at: usize, down: u64) -> bool {
        let kept = |(other, replica): (usize, &Replica)| other != at && !replica.wiped;
        if self.replicas[at].out || !self.replicas.iter().enumerate().any(kept) {
            return false;
        }
        self.crash(at, true);
        self.replicas[at].lose_disk();
        self.invariants.lost_disk(at as u16 + 1);
        self.start_after(at, down);
        true
    }

    fn mend_later(&mut self, after: u64, mend: Mend) {
        self.queue.push(self.now + after, Happening::Mend(mend));
    }

    /// A fault ends, or goes on; after the faults were over it does nothing.
    pub(crate) fn mend(&mut self, mend: Mend) {
        let now = self.now;
        if self.core_only {
            // What is outside stays as broken as it was, and the core is well already.
            return;
        }
        match mend {
            Mend::Cuts(cuts) => {
                self.trace.note(now, "net", || format!("mended {cuts:?}"));
                self.network.uncut(&cuts);
                self.reconnect_all();
            }
            Mend::Disk(at) => {
                self.replicas[at].disk.set_capacity(None);
                self.trace
                    .note(now, "disk", || format!("r{} has room again", at + 1));
            }
            Mend::Slow(at) => self.network.slow(at, 0),
            Mend::Flap {
                directions,
                half,
                times,
            } => {
                if times % 2 == 0 && times > 0 && !self.healed {
                    self.cut(&directions);
                } else {
                    self.network.uncut(&directions);
                    self.reconnect_all();
                }
                if times > 0 && !self.healed {
                    self.mend_later(
                        half,
                        Mend::Flap {
                            directions,
                            half,
                            times: times - 1,
                        },
                    );
                }
            }
            Mend::Roll {
                at,
                power,
                gap,
                down,
            } => {
                if at < self.replicas.len() && !self.healed {
                    self.crash(at, power);
                    self.start_after(at, down);
                    self.mend_later(
                        gap,
                        Mend::Roll {
                            at: at + 1,
                            power,
                            gap,
                            down,
                        },
                    );
                }
            }
        }
    }

    /// No fault begins any more. A core becomes well at once, and the rest is left as it is, or worse.
    pub(crate) fn heal_core(&mut self) {
        let Ending::Core {
            hub,
            others,
            also_cut,
            outside,
        } = self.plan.ending.clone()
        else {
            return;
        };
        // Whoever is out, or may wait for others because of what damage took, can't be asked for anything; nor can
        // who has no list yet, since all are needed for one. Another one takes its place.
        let sound = |id: &u16| {
            let replica = &self.replicas[index(*id)];
            !replica.out && !replica.damaged && replica.formed
        };
        let mut spare: Vec<u16> = (1..=self.plan.replicas).collect();
        spare.retain(|id| *id != hub && !others.contains(id) && sound(id));
        let mut core = Vec::new();
        for id in [hub].into_iter().chain(others) {
            match sound(&id) {
                true => core.push(index(id)),
                false => core.extend(spare.pop().map(index)),
            }
        }
        if core.len() <= self.replicas.len() / 2 {
            return;
        }
        (self.healed, self.core_only) = (true, true);
        let hub = core[0];
        let well: BTreeSet<(usize, usize)> = core[1..]
            .iter()
            .flat_map(|&other| [(hub, other), (other, hub)])
            .collect();
        self.network.become_well(&well);
        let mut cuts = indices(&also_cut);
        cuts.retain(|direction| !well.contains(direction));
        self.cut(&cuts);
        for &at in &core {
            self.heal_replica(at);
        }
        for at in (0..self.replicas.len()).filter(|at| !core.contains(at)) {
            match outside {
                Outside::AsItIs => {}
                Outside::DisksStall => self.replicas[at].stalls = true,
                Outside::AcceptsStick => {
                    for to in 0..self.replicas.len() {
                        self.network.clog(at, to, Some(Over::Accepts), FOREVER);
                    }
                }
            }
        }
        self.reset_stuck();
        self.reconnect_all();
        self.coverage.hit(match outside {
            Outside::AsItIs => "only a core is well",
            Outside::DisksStall => "only a core is well, and others' disks stall",
            Outside::AcceptsStick => "only a core is well, and others hold their accepts back",
        });
        self.trace.note(self.now, "all", || {
            format!("only a core is well: r{} with {:?}", hub + 1, &core[1..])
        });
    }

    /// Nothing goes wrong any more; whoever is down comes back.
    pub(crate) fn heal(&mut self) {
        (self.healed, self.core_only) = (true, false);
        self.network.heal();
        for at in 0..self.replicas.len() {
            self.heal_replica(at);
        }
        self.reset_stuck();
        self.reconnect_all();
        self.trace.note(self.now, "all", || "healed".into());
    }

    /// What is well again does not wait for what was held back.
    fn reset_stuck(&mut self) {
        for (a, b, accepts) in self.network.stuck(self.now + 100 * MS) {
            self.break_link(a, b, accepts);
        }
    }

    fn heal_replica(&mut self, at: usize) {
        let replica = &mut self.replicas[at];
        // What was put off until the pause ends would come out of order.
        let paused = replica.paused_until > self.now;
        replica.paused_until = 0;
        replica.dies = None;
        (replica.next_sync, replica.stalls) = (None, false);
        replica.loses_lists.clear();
        replica.disk.set_capacity(None);
        replica.disk.spare_syncs();
        replica.disk.die_in(None);
        let soon = self.now + 100 * MS;
        let stuck = |running: &Running| {
            running.disk_failed() || running.syncing.is_some() && running.sync_ends > soon
        };
        if replica.running.as_ref().is_some_and(stuck) {
            self.crash(at, true);
        } else if paused {
            self.crash(at, false);
        }
        if self.replicas[at].running.is_none() && !self.replicas[at].refused {
            self.queue.push(self.now + MS, Happening::Start { at });
        }
    }
}

fn index(id: u16) -> usize {
    usize::from(id) - 1
}

fn indices(directions: &[(u16, u16)]) -> BTreeSet<(usize, usize)> {
    directions
        .iter()
        .filter(|(a, b)| a != b)
        .map(|&(a, b)| (index(a), index(b)))
        .collect()
}
