//! Three replicas in memory: a network that loses nothing, and disks that are done at once.

use std::collections::VecDeque;

use paxlog_paxos::{
    ClusterId, Config, Effect, Effects, Envelope, GroupId, Incarnation, LinkEvent, Paxos,
    PersistId, Recovered, ReplicaId, Role, Slot, Value,
};

const MS: u64 = 1_000_000;

/// See the module.
pub(crate) struct Three {
    replicas: Vec<Paxos>,
    now: u64,
    fx: Effects,
    under_way: VecDeque<(ReplicaId, Envelope)>,
    leader: usize,
    /// Chosen at the leader.
    chosen: u64,
    /// The newest of each replica's log.
    persisted: [Option<PersistId>; 3],
}

impl Three {
    /// Formed, and led.
    pub(crate) fn new() -> Three {
        let ids: Vec<ReplicaId> = (1..=3).map(ReplicaId).collect();
        let replica = |id: &ReplicaId| {
            let incarnation = Incarnation(u128::from(id.0));
            let seed = u64::from(id.0);
            let config = Config::new(
                ClusterId(1),
                GroupId(0),
                *id,
                incarnation,
                ids.clone(),
                seed,
            );
            Paxos::new(config, Recovered::blank(), 0)
        };
        let mut three = Three {
            replicas: ids.iter().map(replica).collect(),
            now: 0,
            fx: Effects::new(),
            under_way: VecDeque::new(),
            leader: 0,
            chosen: 0,
            persisted: [None; 3],
        };
        for (at, to) in [(0, 2), (0, 3), (1, 1), (1, 3), (2, 1), (2, 2)] {
            for event in [LinkEvent::ControlUp, LinkEvent::AcceptsUp] {
                three.replicas[at].handle_link(0, ReplicaId(to), event, &mut three.fx);
                three.carry_out(at);
            }
        }
        for _ in 0..1_000 {
            three.pass_a_millisecond();
            let leads = |paxos: &Paxos| paxos.role() == Role::Leader { ready: true };
            if let Some(leader) = three.replicas.iter().position(leads) {
                three.leader = leader;
                return three;
            }
        }
        panic!("three replicas that hear each other have a leader within a second");
    }

    /// Proposes a value, and lets everything happen that follows from it: Accepts, acknowledgements, chosen at the leader.
    pub(crate) fn choose(&mut self, value: Value) -> Slot {
        let before = self.chosen;
        let leader = &mut self.replicas[self.leader];
        let slot = leader
            .propose(self.now, value, &mut self.fx)
            .expect("it leads, and nothing else is under way");
        self.carry_out(self.leader);
        self.deliver();
        assert!(self.chosen > before, "three that hear each other choose");
        slot
    }

    fn pass_a_millisecond(&mut self) {
        self.now += MS;
        for at in 0..3 {
            if self.replicas[at].poll_timer() <= self.now {
                self.replicas[at].handle_tick(self.now, &mut self.fx);
                self.carry_out(at);
            }
        }
        self.deliver();
    }

    fn deliver(&mut self) {
        while let Some((to, envelope)) = self.under_way.pop_front() {
            let at = usize::from(to.0) - 1;
            self.replicas[at].handle_message(self.now, envelope, &mut self.fx);
            self.carry_out(at);
        }
    }

    /// Until nothing more follows.
    fn carry_out(&mut self, at: usize) {
        loop {
            let mut applied = None;
            while let Some(effect) = self.fx.pop() {
                match effect {
                    Effect::Persist { id, .. } => self.persisted[at] = Some(id),
                    Effect::Send { to, message } => self.under_way.push_back((to, message)),
                    Effect::Chosen { slot, .. } => {
                        applied = Some(slot.next());
                        self.chosen += u64::from(at == self.leader);
                    }
                    Effect::Role(_) | Effect::ReadReady { .. } | Effect::ReadFailed { .. } => {}
                    Effect::ReadValue { .. } => unreachable!("nobody is behind"),
                }
            }
            if let Some(applied) = applied {
                self.replicas[at].note_applied(applied);
            }
            let Some(upto) = self.persisted[at].take() else {
                return;
            };
            self.replicas[at].handle_durable(self.now, upto, &mut self.fx);
        }
    }
}
