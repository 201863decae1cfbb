//! A replica's disk: writes and syncs take their time, and what they made durable is told.

use paxlog_paxos::{Incarnation, Standing};

use super::*;
use crate::plan::{FOREVER, Moment};
use crate::replica::Frame;

/// A sync that takes longer is reported.
const STALL: u64 = SECOND;

impl World {
    /// Begins what the disk has to do.
    pub(crate) fn kick_disk(&mut self, at: usize) {
        let now = self.now;
        let replica = &mut self.replicas[at];
        let life = replica.life;
        let Some(running) = &mut replica.running else {
            return;
        };
        running.wal.drive_prepare();
        let (write, sync) = (running.wal.begin_write(), running.wal.begin_sync());
        if let Some(task) = write {
            let after = US + replica.rng.exponential(self.plan.write_mean);
            let dies = replica.dies_in(after, |when| match when {
                Moment::Writing(left) => Some(left),
                _ => None,
            });
            if let Some((within, power, down)) = dies {
                let die = Happening::Die {
                    at,
                    life,
                    power,
                    down,
                };
                self.queue.push(now + within, die);
            }
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
        if let Some(task) = sync {
            let drawn = 5 * US + replica.rng.exponential(self.plan.sync_mean);
            let after = match replica.stalls {
                true => FOREVER,
                false => replica.next_sync.take().unwrap_or(drawn),
            };
            let running = replica.running.as_mut().expect("seen above");
            running.syncs += 1;
            let sync = running.syncs;
            running.syncing = Some(sync);
            running.sync_ends = now + after;
            let dies = replica.dies_in(after, |when| match when {
                Moment::Syncing(left) => Some(left),
                _ => None,
            });
            if let Some((within, power, down)) = dies {
                let die = Happening::Die {
                    at,
                    life,
                    power,
                    down,
                };
                self.queue.push(now + within, die);
            }
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

    pub(crate) fn disk_done(&mut self, at: usize, sync: Option<u64>) {
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
    pub(crate) fn disk_news(&mut self, at: usize) {
        let Some(running) = &mut self.replicas[at].running else {
            return;
        };
        let durable = running.wal.durable().0;
        let (full, failed) = (running.disk_is_full(), running.disk_failed());
        let moved = durable > running.durable;
        running.durable = durable;
        let was = (running.full, running.failed);
        (running.full, running.failed) = (full, failed);
        let votes = running.node.paxos().standing() == Standing::Voter;
        let who = Incarnation(self.replicas[at].incarnation);
        while let Some(running) = &mut self.replicas[at].running
            && let Some(pending) = running.pending.pop_front_if(|next| next.lsn < durable)
        {
            let promised = match &pending.frame {
                Frame::Accepted { ballot, .. } => *ballot,
                Frame::State(state) => state.promised,
            };
            running.promised = running.promised.max(promised);
            let replica = &mut self.replicas[at];
            replica.promised = replica.promised.max(promised);
            replica.covered = replica.covered.max(pending.covers);
            let checked = match pending.frame {
                Frame::Accepted {
                    slot,
                    ballot,
                    value,
                } => {
                    replica.tell(slot, ballot, value);
                    match votes {
                        true => self.invariants.vote(who, slot, ballot, value),
                        false => Ok(()),
                    }
                }
                Frame::State(state) => match &state.formed {
                    Some(list) => {
                        replica.formed = true;
                        self.invariants.formed(replica.id, list)
                    }
                    None => Ok(()),
                },
            };
            self.check(checked);
        }
        if moved {
            self.look_at_what_was_told(at);
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
            let die = Happening::Die {
                at,
                life: self.replicas[at].life,
                power: true,
                down: 100 * MS,
            };
            let after = self.replicas[at].restarted_after;
            self.queue.push(self.now + after, die);
        }
    }
}
