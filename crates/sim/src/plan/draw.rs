//! The plan of a seed. Each seed first draws which kinds of faults exist and how often they come (*swarm
//! testing*: Groce et al., ISSTA 2012), so that rare mixes occur.

use paxlog_wal::sim::Rng;

use crate::plan::{
    Damage, Ending, Fault, FileSort, MS, Moment, Outside, Over, Plan, SECOND, Shape, US, What,
};
use crate::rng::{Draw, stream};

/// A kind of fault that a seed may have or not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Isolate,
    Halves,
    OneWay,
    Graph,
    Star,
    Flap,
    Clog,
    Slow,
    BreakLink,
    Crash,
    CrashAtWork,
    CrashAll,
    Rolling,
    Pause,
    SyncStall,
    SyncFail,
    DiskFull,
    AtRest,
    Wipe,
    ClockStep,
    ClientReset,
    ClientDies,
    HandOver,
}

impl Kind {
    const ALL: [Kind; 23] = [
        Kind::Isolate,
        Kind::Halves,
        Kind::OneWay,
        Kind::Graph,
        Kind::Star,
        Kind::Flap,
        Kind::Clog,
        Kind::Slow,
        Kind::BreakLink,
        Kind::Crash,
        Kind::CrashAtWork,
        Kind::CrashAll,
        Kind::Rolling,
        Kind::Pause,
        Kind::SyncStall,
        Kind::SyncFail,
        Kind::DiskFull,
        Kind::AtRest,
        Kind::Wipe,
        Kind::ClockStep,
        Kind::ClientReset,
        Kind::ClientDies,
        Kind::HandOver,
    ];
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Plan {
        let mut rng = stream(seed, "plan", 0);
        let replicas = rng.one_of(&[1, 3, 3, 3, 3, 3, 5, 5]);
        let loose = rng.half();
        // One command a value: no more of them than round trips allow.
        let single = rng.chance(20);
        let mut plan = Plan {
            version: Plan::VERSION,
            seed,
            replicas,
            clients: rng.between(1, 5),
            logs: rng.between(1, 4),
            loose,
            loss_percent: if loose { rng.below(30) } else { 0 },
            repeat_percent: if loose { rng.below(30) } else { 0 },
            delay_min: rng.one_of(&[20 * US, 100 * US, MS]),
            delay_mean: rng.one_of(&[50 * US, 200 * US, MS, 5 * MS]),
            sync_mean: rng.one_of(&[50 * US, 200 * US, MS, 5 * MS]),
            write_mean: rng.one_of(&[5 * US, 50 * US, 500 * US]),
            drift_ppm: rng.one_of(&[0, 200, 200, 50_000]),
            segment_bytes: rng.one_of(&[64 << 10, 128 << 10, 256 << 10]),
            value_bytes_target: if single {
                1
            } else {
                rng.one_of(&[1_000, 16 << 10])
            },
            slots_in_flight_max: rng.between(1, 6),
            window_bytes_max: rng.one_of(&[4 << 10, 32 << 10, 16 << 20]),
            payload_max: rng.one_of(&[40, 200, 2_000]),
            append_mean: if single {
                100 * MS
            } else {
                rng.one_of(&[2 * MS, 10 * MS, 50 * MS])
            },
            window: if single { 1 } else { rng.one_of(&[1, 4, 64]) },
            keep: rng.one_of(&[10, 100, 1_000]),
            seals: rng.chance(30),
            fences: false,
            conditional_percent: 0,
            cursors: false,
            retention: false,
            deletes: false,
            hasty_percent: rng.one_of(&[0, 1, 1, 10]),
            watchers: rng.one_of(&[0, 0, 0, 1]),
            compressed_percent: 0,
            deadline: rng.one_of(&[10 * SECOND, 10 * SECOND, SECOND]),
            victims: Vec::new(),
            atlas: true,
            faults: Vec::new(),
            faults_until: rng.between(4, 20) * SECOND,
            ending: Ending::Heal,
        };
        plan.append_mean = plan.append_mean.max(bearable(&plan));
        let mut contract = stream(seed, "contract", 0);
        plan.fences = contract.chance(30);
        plan.conditional_percent = contract.one_of(&[0, 0, 5, 20]);
        plan.cursors = contract.half();
        plan.retention = plan.logs > 1 && contract.chance(20);
        plan.deletes = stream(seed, "deletion", 0).chance(15);
        let mut rng = stream(seed, "faults", 0);
        plan.atlas = replicas == 1 || !rng.chance(10);
        let minority = (replicas - 1) / 2;
        let count = if plan.atlas { minority } else { replicas };
        while plan.victims.len() < usize::from(count) {
            let id = 1 + rng.below(replicas.into()) as u16;
            if !plan.victims.contains(&id) {
                plan.victims.push(id);
            }
        }
        plan.faults = faults(&plan, &mut rng);
        let mut late = stream(seed, "late accepts", 0);
        if replicas > 1 && late.chance(3) {
            late_accepts(&mut plan, &mut late);
        }
        let mut forming = stream(seed, "forming", 0);
        if plan.atlas && replicas > 1 && forming.chance(12) {
            loses_lists(&mut plan, &mut forming);
        }
        let mut compression = stream(seed, "compression", 0);
        if compression.chance(10) {
            plan.compressed_percent = compression.one_of(&[30, 100]);
        }
        plan.ending = ending(&plan, &mut rng);
        plan
    }
}

/// The least time between two calls of a client at which the group keeps up: where all slots of a pipeline are
/// taken by round trips and syncs, a queue only grows, and says nothing of liveness.
fn bearable(plan: &Plan) -> u64 {
    let lost = 2 * MS * plan.loss_percent;
    let slot =
        2 * (plan.delay_min + plan.delay_mean) + 2 * plan.sync_mean + 2 * plan.write_mean + lost;
    let append = plan.payload_max + 150;
    let window = plan.window_bytes_max.max(append) / append;
    let of_a_slot = (plan.value_bytes_target as u64 / append).clamp(1, window);
    let together = (of_a_slot * plan.slots_in_flight_max).min(window);
    4 * slot * plan.clients / together
}

fn faults(plan: &Plan, rng: &mut Rng) -> Vec<Fault> {
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| match kind {
            // A lost disk is for good in this release: rarely.
            Kind::Wipe => rng.chance(if plan.atlas { 10 } else { 30 }) && plan.replicas > 1,
            Kind::AtRest => rng.chance(if plan.atlas { 30 } else { 90 }) && plan.replicas > 1,
            _ => rng.half(),
        })
        .collect();
    let mean = rng.between(100, 2_000) * MS;
    let power = rng.one_of(&[0, 80, 100]);
    let mut faults = Vec::new();
    let mut at = MS + rng.exponential(mean);
    while at < plan.faults_until && !kinds.is_empty() {
        let kind = kinds[rng.below(kinds.len() as u64) as usize];
        if let Some(what) = what(plan, kind, power, rng) {
            // A disk that is lost while the group forms is another matter than one that is lost later.
            let early = matches!(what, What::Wipe { .. }) && rng.chance(60);
            match early {
                true => while_it_forms(plan, what, &mut faults, rng),
                false => faults.push(Fault { at, what }),
            }
        }
        at += MS + rng.exponential(mean);
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// What a leader proposes is held back on its way to one follower for so long that the follower, which learns the same
/// from others, has dropped it when it comes. Whoever leads has such a one: each is held back on the way to its next.
fn late_accepts(plan: &mut Plan, rng: &mut Rng) {
    // Segments are filled, and nothing in them is alive, before it comes.
    (plan.segment_bytes, plan.payload_max, plan.keep) = (64 << 10, 2_000, 10);
    plan.append_mean = (10 * MS).max(bearable(plan));
    plan.window = plan.window.max(4);
    let at = rng.between(1, 8) * SECOND;
    let lasts = rng.between(4, 8) * SECOND;
    for from in 1..=plan.replicas {
        let what = What::Clog {
            from,
            to: Some(from % plan.replicas + 1),
            over: Some(Over::Accepts),
            lasts,
        };
        plan.faults.push(Fault { at, what });
    }
    plan.faults_until = plan.faults_until.max(at + lasts);
    plan.faults.sort_by_key(|fault| fault.at);
}

/// The one that makes the list of members loses its disk right after, again and again, and what it had sent may come
/// late.
fn loses_lists(plan: &mut Plan, rng: &mut Rng) {
    plan.loose = true;
    // So slow that what comes late comes in between.
    (plan.delay_mean, plan.sync_mean) = (5 * MS, 5 * MS);
    plan.append_mean = plan.append_mean.max(bearable(plan));
    // Nobody else may be damaged then.
    plan.victims = vec![1];
    let mut faults = std::mem::take(&mut plan.faults);
    faults.retain(|fault| fault.what.ruins().is_none_or(|of| of == 1));
    for _ in 0..rng.between(1, 6) {
        let down = rng.one_of(&[MS, 5 * MS]);
        let what = What::WipeWithList { replica: 1, down };
        faults.push(Fault { at: MS, what });
    }
    faults.sort_by_key(|fault| fault.at);
    plan.faults = faults;
}

/// A disk is lost while the group forms; another one may be slow to hear what was said before.
fn while_it_forms(plan: &Plan, mut wipe: What, faults: &mut Vec<Fault>, rng: &mut Rng) {
    let at = MS + rng.below(120 * MS);
    let soon = rng.half();
    if let What::Wipe { down, .. } = &mut wipe
        && soon
    {
        *down = rng.one_of(&[MS, 5 * MS, 20 * MS]);
    }
    if rng.half() {
        let what = What::Pause {
            replica: 1 + rng.below(plan.replicas.into()) as u16,
            lasts: rng.between(5, 100) * MS,
        };
        let before = rng.below(30 * MS);
        faults.push(Fault {
            at: at.saturating_sub(before).max(MS),
            what,
        });
    }
    faults.push(Fault { at, what: wipe });
}

/// Draws one of a kind; none where it could do nothing.
fn what(plan: &Plan, kind: Kind, power_percent: u64, rng: &mut Rng) -> Option<What> {
    let n = plan.replicas;
    let replica = 1 + rng.below(n.into()) as u16;
    let other = 1 + rng.below(n.into()) as u16;
    let power = rng.chance(power_percent);
    let down = 10 * MS + rng.exponential(SECOND);
    let lasts = 50 * MS + rng.exponential(3 * SECOND);
    let cut = |shape, directions: Vec<(u16, u16)>, lasts| {
        (!directions.is_empty()).then_some(What::Cut {
            shape,
            directions,
            lasts,
        })
    };
    let victim = |rng: &mut Rng| {
        let at = rng.below(plan.victims.len().max(1) as u64) as usize;
        plan.victims.get(at).copied()
    };
    Some(match kind {
        Kind::Isolate => {
            let of = |&(a, b): &(u16, u16)| a == replica || b == replica;
            return cut(Shape::Isolate, pairs(n).filter(of).collect(), lasts);
        }
        Kind::Halves => {
            let side: Vec<bool> = (0..n).map(|_| rng.half()).collect();
            let apart = |&(a, b): &(u16, u16)| side[usize::from(a) - 1] != side[usize::from(b) - 1];
            return cut(Shape::Halves, pairs(n).filter(apart).collect(), lasts);
        }
        Kind::OneWay if replica == other => return None,
        Kind::OneWay => return cut(Shape::OneWay, vec![(replica, other)], lasts),
        Kind::Graph => {
            let directions = pairs(n).filter(|_| rng.chance(40)).collect();
            return cut(Shape::Graph, directions, lasts);
        }
        Kind::Star => {
            let apart = |&(a, b): &(u16, u16)| a != replica && b != replica;
            return cut(Shape::Star, pairs(n).filter(apart).collect(), lasts);
        }
        Kind::Flap => {
            let both = rng.half();
            let of = |&(a, b): &(u16, u16)| {
                a == replica && (n == 1 || b != replica) || both && b == replica
            };
            What::Flap {
                directions: pairs(n).filter(of).collect(),
                half: rng.between(50, 300) * MS,
                times: rng.between(2, 10) as u32,
            }
        }
        Kind::Clog => {
            let mean = rng.one_of(&[500 * MS, 5 * SECOND]);
            What::Clog {
                from: replica,
                to: (rng.half() && other != replica).then_some(other),
                over: rng.one_of(&[None, Some(Over::Control), Some(Over::Accepts)]),
                lasts: rng.exponential(mean),
            }
        }
        Kind::Slow => What::Slow {
            from: replica,
            extra: rng.between(5, 100) * MS,
            lasts,
        },
        Kind::BreakLink if replica == other => return None,
        Kind::BreakLink => What::BreakLink {
            a: replica,
            b: other,
            over: rng.one_of(&[Over::Control, Over::Accepts]),
        },
        Kind::Crash => What::Crash {
            replica,
            power,
            when: Moment::Now,
            down,
        },
        Kind::CrashAtWork => What::Crash {
            replica,
            power,
            when: match rng.below(5) {
                0 => Moment::Syncing(rng.below(10)),
                1 => Moment::Writing(rng.below(10)),
                2 => Moment::Effects(rng.below(40)),
                3 => Moment::Upkeep(rng.below(4)),
                _ => Moment::DiskCalls(rng.below(200)),
            },
            down,
        },
        Kind::CrashAll => What::CrashAll {
            power,
            down: (0..n).map(|_| 10 * MS + rng.exponential(SECOND)).collect(),
        },
        Kind::Rolling => What::Rolling {
            power,
            gap: rng.between(100, 2_000) * MS,
            down: rng.between(10, 500) * MS,
        },
        Kind::Pause => What::Pause {
            replica,
            lasts: 100 * MS + rng.exponential(SECOND),
        },
        Kind::SyncStall => What::SyncStall {
            replica,
            lasts: 100 * MS + rng.exponential(2 * SECOND),
        },
        Kind::SyncFail => What::SyncFail {
            replica,
            nth: rng.below(5),
            down: SECOND + rng.exponential(2 * SECOND),
        },
        Kind::DiskFull => What::DiskFull {
            replica,
            segments: rng.below(4),
            lasts: 200 * MS + rng.exponential(2 * SECOND),
        },
        Kind::AtRest => What::AtRest {
            replica: victim(rng)?,
            file: rng.one_of(&[
                FileSort::Frames,
                FileSort::Frames,
                FileSort::Frames,
                FileSort::Header,
                FileSort::Trailer,
                FileSort::Idx,
                FileSort::Checkpoint,
            ]),
            damage: rng.one_of(&[
                Damage::Flip,
                Damage::Zero,
                Damage::Misdirected,
                Damage::LostWrite,
                Damage::ReadError,
            ]),
            pick: rng.next_u64() >> 11,
        },
        Kind::Wipe => What::Wipe {
            replica: victim(rng)?,
            down,
        },
        Kind::ClockStep => What::ClockStep {
            replica,
            by: rng.below(20 * SECOND) as i64 - 10 * SECOND as i64,
        },
        Kind::ClientReset => What::ClientReset {
            client: rng.below(plan.clients),
        },
        Kind::ClientDies => What::ClientDies {
            client: rng.below(plan.clients),
        },
        Kind::HandOver => What::HandOver { replica, down },
    })
}

fn ending(plan: &Plan, rng: &mut Rng) -> Ending {
    let mut ids: Vec<u16> = (1..=plan.replicas).collect();
    for i in (1..ids.len()).rev() {
        ids.swap(i, rng.below(i as u64 + 1) as usize);
    }
    let majority = usize::from(plan.replicas / 2 + 1);
    match rng.below(3) {
        0 => Ending::Heal,
        1 => Ending::LastMajority {
            away: ids.split_off(majority),
        },
        _ => {
            let outside = ids.split_off(majority);
            let hub = ids.remove(0);
            let wrong = rng.one_of(&[Outside::AsItIs, Outside::DisksStall, Outside::AcceptsStick]);
            // Nothing is cut where something else is wrong. Else who is outside hears nobody, but is heard; all reach the
            // hub alone; or anything.
            let shape = rng.below(4);
            let also_cut = pairs(plan.replicas).filter(|(from, to)| match shape {
                _ if wrong != Outside::AsItIs => false,
                0 => outside.contains(to) && !outside.contains(from),
                1 => *from != hub && *to != hub,
                _ => rng.half(),
            });
            Ending::Core {
                hub,
                also_cut: also_cut.collect(),
                others: ids,
                outside: wrong,
            }
        }
    }
}

/// All directions between two of `n` replicas.
pub(crate) fn pairs(n: u16) -> impl Iterator<Item = (u16, u16)> {
    (1..=n).flat_map(move |a| (1..=n).filter(move |&b| a != b).map(move |b| (a, b)))
}
