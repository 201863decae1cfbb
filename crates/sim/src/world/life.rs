//! A replica's life: it starts, votes that an earlier life left count, and it stops.

use paxlog_node::FoundSegment;
use paxlog_paxos::{Ballot, Incarnation, Standing};

use super::*;
use crate::clock::Clock;
use crate::plan::Moment;
use crate::replica::NoStart;

/// About so many changes of the disk an opening makes.
const OPENING_CALLS: u64 = 12;

impl World {
    pub(crate) fn start(&mut self, at: usize) {
        let replica = &self.replicas[at];
        if replica.running.is_some() || replica.kept_down || replica.refused {
            return;
        }
        let (now, n) = (self.now, at as u64);
        let life = u64::from(self.replicas[at].life);
        let mut rng = stream(self.plan.seed, "life", n << 32 | life);
        let drift = rng.below(2 * self.plan.drift_ppm + 1) as i64 - self.plan.drift_ppm as i64;
        let clock = Clock::new(now, rng.below(1 << 40), drift, self.replicas[at].wall_error);
        let seed = rng.next_u64();
        if let Some((Moment::DiskCalls(n), ..)) = self.replicas[at].dies {
            self.replicas[at].disk.die_in(Some(1 + n % OPENING_CALLS));
        }
        match self.replicas[at].start(&self.plan, clock, now, seed) {
            Ok(found) => {
                self.votes_are_kept(at, &found.segments);
                self.count_found_votes(at, &found.segments);
                self.promise_is_kept(at);
                self.compare_state(at);
                if found.cut {
                    self.coverage.hit("recovered a torn end");
                }
                if !found.damaged.is_empty() {
                    self.coverage.hit("opened with damage");
                    self.only_if_damaged(at, || format!("it found {:?}", found.damaged));
                }
                if found.promise_may_be_lost {
                    self.coverage.hit("a promise may be lost");
                    self.only_if_damaged(at, || "its promise may be lost".into());
                    self.replicas[at].out = true;
                }
            }
            Err(_) if self.replicas[at].disk.is_dead() => {
                self.coverage.hit("crash while it opens");
                let replica = &mut self.replicas[at];
                let down = replica.dies.take().map_or(MS, |(_, _, down)| down);
                let seed = replica.rng.next_u64();
                replica.disk = replica.disk.power_cut(seed);
                self.start_after(at, down);
                return;
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

    /// A replica lost something: something must have been taken from it.
    pub(crate) fn only_if_damaged(&mut self, at: usize, what: impl FnOnce() -> String) {
        if !self.replicas[at].damaged {
            self.check(Err(Broken {
                rule: "an honest crash is no damage",
                what: format!("replica {}: {}", at + 1, what()),
            }));
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
            self.replicas[at].tell(header.slot, header.ballot, value);
            let checked = self.invariants.vote(who, header.slot, header.ballot, value);
            self.check(checked);
        }
    }

    /// What was accepted, and told to be durable, is there; or the replica says that it does not know any more.
    fn votes_are_kept(&mut self, at: usize, segments: &[FoundSegment]) {
        let replica = &self.replicas[at];
        let Some(running) = &replica.running else {
            return;
        };
        let paxos = running.node.paxos();
        if paxos.standing() != Standing::Voter {
            return;
        }
        let mut held: BTreeMap<Slot, Ballot> = BTreeMap::new();
        for frame in segments.iter().flat_map(|segment| &segment.frames) {
            let newest = held.entry(frame.header.slot).or_insert(frame.header.ballot);
            *newest = frame.header.ballot.max(*newest);
        }
        let unknown = |slot: Slot| {
            let mut lost = paxos.unknown_slots().iter();
            lost.any(|lost| lost.slots.contains(&slot))
        };
        let forgotten = replica.told.range(paxos.chosen_prefix()..).find(|told| {
            let (&slot, &(ballot, _)) = *told;
            held.get(&slot).is_none_or(|&newest| newest < ballot) && !unknown(slot)
        });
        if let Some((slot, (ballot, _))) = forgotten {
            let what = format!(
                "replica {} had accepted slot {slot} in {ballot}, and after a restart it neither holds it nor says \
                 that it is unknown",
                replica.id
            );
            self.check(Err(Broken {
                rule: "durable votes",
                what,
            }));
        }
    }

    /// A promise is for all lives; who may have lost it says so, and has no vote.
    fn promise_is_kept(&mut self, at: usize) {
        let replica = &mut self.replicas[at];
        let Some(running) = &replica.running else {
            return;
        };
        let paxos = running.node.paxos();
        let honours = paxos.ballot();
        if honours < replica.promised && paxos.standing() == Standing::Voter {
            let what = format!(
                "replica {} had promised {}, and after a restart honours {honours}",
                replica.id, replica.promised
            );
            self.check(Err(Broken {
                rule: "durable votes",
                what,
            }));
        }
    }

    fn no_start(&mut self, at: usize, error: &NoStart) {
        self.trace.note(self.now, &format!("r{}", at + 1), || {
            format!("does not start: {error}")
        });
        // Only where something was ruined on purpose; then it stays out.
        if !self.replicas[at].damaged {
            self.check(Err(Broken {
                rule: "a sound directory opens",
                what: format!("replica {}: {error}", at + 1),
            }));
        }
        self.coverage.hit("a damaged directory was refused");
        self.replicas[at].out = true;
        self.replicas[at].refused = true;
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
        let seed = replica.rng.next_u64();
        let capacity = replica.disk.capacity();
        replica.disk = if power {
            replica.disk.power_cut(seed)
        } else {
            replica.disk.process_crash(seed)
        };
        // A full disk stays full.
        replica.disk.set_capacity(capacity);
        replica.paused_until = 0;
        // It stopped before that: it may still happen while it opens its directory.
        replica
            .dies
            .take_if(|(when, ..)| !matches!(when, Moment::DiskCalls(_)));
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

    /// It starts again after a while.
    pub(crate) fn start_after(&mut self, at: usize, down: u64) {
        self.queue.push(self.now + down, Happening::Start { at });
    }

    /// It stopped by itself, and whoever minds it starts it again.
    pub(crate) fn start_later(&mut self, at: usize) {
        self.start_after(at, self.replicas[at].restarted_after);
    }
}
