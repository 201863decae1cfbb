//! What one schedule may do, and what all of them reached.

use paxlog_paxos::Counters;

use crate::rng::Rng;

pub(crate) const MS: u64 = 1_000_000;

/// What this schedule may do, drawn from its seed or set by a test.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) replicas: usize,
    /// Any order within a stream, and no word of broken links.
    pub(crate) loose: bool,
    /// Now and then a message comes very late.
    pub(crate) stragglers: bool,
    pub(crate) loss_percent: u64,
    pub(crate) repeat_percent: u64,
    pub(crate) delay_mean: u64,
    pub(crate) sync_mean: u64,
    pub(crate) cuts: bool,
    /// Links hold what they carry back for longer than an election takes.
    pub(crate) clogs: bool,
    pub(crate) crashes: bool,
    pub(crate) stalls: bool,
    pub(crate) damage: bool,
    pub(crate) losses: bool,
    pub(crate) wipe_early: bool,
    pub(crate) checkpoints: bool,
    pub(crate) hand_overs: bool,
    pub(crate) fault_gap: u64,
    pub(crate) client_gap: u64,
    pub(crate) value_bytes_max: u64,
    pub(crate) slots_in_flight_max: u64,
    pub(crate) window_bytes_max: u64,
    pub(crate) faults_for: u64,
    pub(crate) stable_after: bool,
    /// Before all is well, only a majority is, and only one of it reaches the others.
    pub(crate) core_first: bool,
}

impl Plan {
    pub(crate) fn draw(rng: &mut Rng) -> Plan {
        let replicas = match rng.below(20) {
            0 => 1,
            1..=13 => 3,
            _ => 5,
        };
        Plan {
            replicas,
            loose: rng.chance(50),
            stragglers: false,
            loss_percent: if rng.chance(50) { rng.below(30) } else { 0 },
            repeat_percent: if rng.chance(50) { rng.below(40) } else { 0 },
            delay_mean: [MS / 10, MS, 4 * MS, 20 * MS][rng.below(4) as usize],
            sync_mean: [MS / 10, MS, 5 * MS, 20 * MS][rng.below(4) as usize],
            cuts: rng.chance(50),
            clogs: rng.chance(40),
            crashes: rng.chance(70),
            stalls: rng.chance(30),
            damage: rng.chance(40),
            losses: rng.chance(10),
            wipe_early: rng.chance(5),
            checkpoints: rng.chance(40),
            hand_overs: rng.chance(30),
            fault_gap: rng.range(15, 150) * MS,
            client_gap: rng.range(1, 15) * MS,
            value_bytes_max: [8, 64, 2000][rng.below(3) as usize],
            slots_in_flight_max: rng.range(1, 6),
            window_bytes_max: [1000, 16 << 20][rng.below(2) as usize],
            faults_for: rng.range(300, 1500) * MS,
            stable_after: rng.chance(15),
            core_first: rng.chance(25),
        }
    }

    /// Nothing breaks by itself.
    pub(crate) fn calm(replicas: usize) -> Plan {
        Plan {
            replicas,
            loose: false,
            stragglers: false,
            loss_percent: 0,
            repeat_percent: 0,
            delay_mean: MS / 5,
            sync_mean: MS,
            cuts: false,
            clogs: false,
            crashes: false,
            stalls: false,
            damage: false,
            losses: false,
            wipe_early: false,
            checkpoints: false,
            hand_overs: false,
            fault_gap: 0,
            client_gap: 3 * MS,
            value_bytes_max: 64,
            slots_in_flight_max: 3,
            window_bytes_max: 16 << 20,
            faults_for: u64::MAX / 4,
            stable_after: false,
            core_first: false,
        }
    }
}

/// What schedules reached, summed up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Coverage {
    pub(crate) counters: Counters,
    pub(crate) schedules: u64,
    pub(crate) chosen: u64,
    pub(crate) acknowledged: u64,
    pub(crate) reads: u64,
    pub(crate) crashes: u64,
    pub(crate) all_down: u64,
    pub(crate) damaged: u64,
    pub(crate) wiped: u64,
    pub(crate) promises_lost: u64,
    pub(crate) left_out: u64,
    pub(crate) checkpoints_installed: u64,
    pub(crate) outcomes_unknown: u64,
    pub(crate) stalls: u64,
    pub(crate) unread: u64,
    pub(crate) cores: u64,
}

macro_rules! each_counter {
    ($do:ident) => {
        $do!(
            stood,
            led,
            stepped_down,
            adopted,
            holes_filled,
            decided_despite_unknown,
            blocked_by_unknown,
            promised_unknown,
            takeover_fetched,
            chosen_fetched,
            chosen_served,
            fed_from_log,
            below_chosen,
            rewound,
            handed_over,
            took_over,
            out_of_order,
            prepared_again
        )
    };
}

impl Coverage {
    pub(crate) fn count(&mut self, c: &Counters) {
        macro_rules! add { ($($f:ident),*) => { $( self.counters.$f += c.$f; )* } }
        each_counter!(add);
    }

    pub(crate) fn add(&mut self, other: &Coverage) {
        self.count(&other.counters);
        macro_rules! add { ($($f:ident),*) => { $( self.$f += other.$f; )* } }
        add!(
            schedules,
            chosen,
            acknowledged,
            reads,
            crashes,
            all_down,
            damaged,
            wiped,
            promises_lost,
            left_out,
            checkpoints_installed,
            outcomes_unknown,
            stalls,
            unread,
            cores
        );
    }

    /// Situations that were never reached.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        macro_rules! see { ($($f:ident),*) => { $( if self.counters.$f == 0 { missing.push(stringify!($f)); } )* } }
        each_counter!(see);
        macro_rules! see_own { ($($f:ident),*) => { $( if self.$f == 0 { missing.push(stringify!($f)); } )* } }
        see_own!(
            chosen,
            acknowledged,
            reads,
            crashes,
            all_down,
            damaged,
            wiped,
            promises_lost,
            left_out,
            checkpoints_installed,
            outcomes_unknown,
            stalls,
            unread,
            cores
        );
        missing
    }
}
