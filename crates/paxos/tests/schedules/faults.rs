//! What goes wrong, drawn at random.

use paxlog_paxos::{Paxos, Role, Slot};

use crate::plan::MS;
use crate::world::{Event, Replica, World};

impl World {
    pub(crate) fn fault(&mut self) {
        let n = self.replicas.len() as u64;
        let at = self.rng.below(n) as usize;
        match self.rng.below(10) {
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
            9 if self.plan.clogs => {
                // Everything one replica says, or hears, comes late.
                let until = self.now + self.rng.range(50, 600) * MS;
                let says = self.rng.chance(50);
                for other in (0..n as usize).filter(|&o| o != at) {
                    if self.rng.chance(70) {
                        let (from, to) = if says { (at, other) } else { (other, at) };
                        self.clog[from][to] = until;
                    }
                }
            }
            _ => {}
        }
    }

    /// A checkpoint of what is applied and durable; rarely without regard for who still needs the values.
    pub(crate) fn checkpoint(&mut self, at: usize) {
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
}
