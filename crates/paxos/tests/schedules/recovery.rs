//! What must hold once all is well again.

use paxlog_paxos::{Paxos, Role, Standing};

use crate::plan::{Coverage, MS};
use crate::world::{Replica, World};

impl World {
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

    pub(crate) fn in_group(&self, at: usize) -> bool {
        let r = &self.replicas[at];
        let standing = r.paxos.as_ref().map(Paxos::standing);
        !matches!(
            standing,
            Some(Standing::NotMember | Standing::PromiseMayBeLost)
        )
    }

    /// Whoever lacks what others dropped gets a checkpoint: the owner's business, some day.
    pub(crate) fn install_checkpoints(&mut self) {
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

    /// Somebody reaches a majority both ways: something is chosen.
    pub(crate) fn core_must_progress(&mut self, within: u64) {
        let until = self.now + within;
        self.run_for(150 * MS);
        // Forming takes all.
        let unformed = |r: &Replica| {
            r.paxos
                .as_ref()
                .is_some_and(|p| p.standing() == Standing::NotFormed)
        };
        if self.replicas.iter().any(unformed) {
            return;
        }
        self.install_checkpoints();
        let before = self.checks.told;
        while self.checks.told <= before {
            assert!(
                self.now < until,
                "a majority makes no progress: {}",
                self.describe()
            );
            self.run_for(20 * MS);
            self.install_checkpoints();
        }
    }

    /// After healing: a leader serves, everybody holds everything, and it stays so.
    pub(crate) fn must_recover(&mut self, within: u64) {
        let until = self.now + within;
        // What clogged links held back comes first.
        self.run_for(if self.plan.clogs { 600 } else { 150 } * MS);
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
        while self.replicas[token.0].reads.contains_key(&token.1) {
            assert!(
                self.now < until,
                "a read is not answered: {}",
                self.describe()
            );
            self.run_for(20 * MS);
        }
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
