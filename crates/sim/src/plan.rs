//! What one run may do: drawn from its seed, so that each seed is a world of its own.

use crate::rng::{Draw, stream};

/// Nanoseconds in a microsecond.
pub(crate) const US: u64 = 1_000;
/// Nanoseconds in a millisecond.
pub(crate) const MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// A fault that may be on in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// One replica is cut off from all others.
    Isolate,
    /// The replicas are cut into two parts.
    Halves,
    /// One direction between two replicas is cut.
    OneWay,
    /// Any set of directions is cut.
    AnyGraph,
    /// A direction holds back what it carries.
    Clog,
    /// A connection between two replicas breaks.
    BreakLink,
    /// A replica stops, and starts again later.
    Crash,
    /// All of them at once.
    CrashAll,
    /// A replica stops in the middle of what it carries out.
    CrashInEffects,
    /// A replica stands still, and goes on in a world that moved on.
    Pause,
    /// A sync takes much longer than it should.
    SyncStall,
    /// A sync fails.
    SyncFail,
    /// A disk has no room for new files.
    DiskFull,
    /// Bytes at rest change, on a replica that may be lost.
    Rot,
    /// A directory is lost and formatted anew.
    Wipe,
    /// A wall clock is set.
    ClockStep,
    /// A client's streams break.
    ClientReset,
    /// A replica is asked to hand over, then stops.
    HandOver,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 18] = [
        FaultKind::Isolate,
        FaultKind::Halves,
        FaultKind::OneWay,
        FaultKind::AnyGraph,
        FaultKind::Clog,
        FaultKind::BreakLink,
        FaultKind::Crash,
        FaultKind::CrashAll,
        FaultKind::CrashInEffects,
        FaultKind::Pause,
        FaultKind::SyncStall,
        FaultKind::SyncFail,
        FaultKind::DiskFull,
        FaultKind::Rot,
        FaultKind::Wipe,
        FaultKind::ClockStep,
        FaultKind::ClientReset,
        FaultKind::HandOver,
    ];
}

/// What one run may do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// 1, 3 or 5.
    pub replicas: u16,
    /// Simulated clients that append.
    pub clients: u64,
    /// Logs they append to.
    pub logs: u64,
    /// Messages between replicas are lost, repeated and reordered at will; else they keep their order until a
    /// connection breaks.
    pub loose: bool,
    /// Of a hundred messages, where `loose`.
    pub loss_percent: u64,
    /// Of a hundred messages, where `loose`.
    pub repeat_percent: u64,
    /// The least time that a message takes, ns.
    pub delay_min: u64,
    /// The mean of what comes on top, ns.
    pub delay_mean: u64,
    /// The mean time of a sync, ns.
    pub sync_mean: u64,
    /// The mean time of a write into the page cache, ns.
    pub write_mean: u64,
    /// Clocks run fast or slow by up to so many parts in a million.
    pub drift_ppm: u64,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// A value closes once it is so long.
    pub value_bytes_target: usize,
    /// Values under way at once.
    pub slots_in_flight_max: u64,
    /// Bytes of values under way at once.
    pub window_bytes_max: u64,
    /// Bytes of a record, at most.
    pub payload_max: u64,
    /// The mean time between two appends of a client, ns.
    pub append_mean: u64,
    /// Appends that a client has in flight, at most.
    pub window: u64,
    /// Records of a log that a trim leaves.
    pub keep: u64,
    /// Which faults occur.
    pub faults: Vec<FaultKind>,
    /// The mean time between two faults, ns.
    pub fault_mean: u64,
    /// Faults occur until then, ns after the start.
    pub faults_until: u64,
    /// Of a hundred crashes, those in which the power goes, too.
    pub power_percent: u64,
    /// At the end the power goes everywhere, and only a majority comes back at first.
    pub last_majority: bool,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Plan {
        let mut rng = stream(seed, "plan", 0);
        let replicas = rng.one_of(&[1, 3, 3, 3, 3, 3, 5, 5]);
        let loose = rng.half();
        let faults = FaultKind::ALL
            .into_iter()
            .filter(|kind| match kind {
                // A lost disk is for good in this release: rarely.
                FaultKind::Wipe => rng.chance(10) && replicas > 1,
                FaultKind::Rot => rng.chance(30) && replicas > 1,
                _ => rng.half(),
            })
            .collect();
        // One command a value: no more of them than round trips allow.
        let single = rng.chance(20);
        Plan {
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
            faults,
            fault_mean: rng.between(100, 2_000) * MS,
            faults_until: rng.between(4, 20) * SECOND,
            power_percent: rng.one_of(&[0, 80, 100]),
            last_majority: rng.half(),
        }
    }
}
