//! What one run does: drawn from its seed, or read from a file.
//!
//! A plan names every fault with its time and place, so that it can be kept, edited and made smaller. What is
//! not in it (how long each message and sync takes, what each client does next) comes from its seed, by
//! streams that do not depend on each other.

mod draw;
mod fault;
mod file;

use serde::{Deserialize, Serialize};

pub(crate) use draw::pairs;
pub use fault::{COUNT_MAX, Damage, Fault, FileSort, Moment, Over, Shape, TIME_MAX, What};
pub use file::PlanError;

/// Nanoseconds in a microsecond.
pub(crate) const US: u64 = 1_000;
/// Nanoseconds in a millisecond.
pub(crate) const MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// Longer than any run: what lasts so long ends only when all becomes well.
pub(crate) const FOREVER: u64 = 3_600 * SECOND;

/// What one run does. Times are in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The format's version: [`Plan::VERSION`].
    #[serde(rename = "paxlog_plan")]
    pub version: u32,
    /// What is not said here is drawn from it.
    pub seed: u64,
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
    /// The least time that a message takes.
    pub delay_min: u64,
    /// The mean of what comes on top.
    pub delay_mean: u64,
    /// The mean time of a sync.
    pub sync_mean: u64,
    /// The mean time of a write into the page cache.
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
    /// The mean time between two calls of a client.
    pub append_mean: u64,
    /// Appends that a client has in flight, at most.
    pub window: u64,
    /// Records of a log that a trim leaves.
    pub keep: u64,
    /// Clients seal logs now and then, and go on with others.
    pub seals: bool,
    /// Clients set fences of the first log now and then, and carry them.
    #[serde(default)]
    pub fences: bool,
    /// Appends, of a hundred, that are conditioned on a tail.
    #[serde(default)]
    pub conditional_percent: u64,
    /// Clients keep cursors.
    #[serde(default)]
    pub cursors: bool,
    /// The cluster trims the last log by itself.
    #[serde(default)]
    pub retention: bool,
    /// Clients delete logs now and then, and make them again under their names.
    #[serde(default)]
    pub deletes: bool,
    /// Appends, of a hundred, that are made in haste: with little time.
    #[serde(default)]
    pub hasty_percent: u64,
    /// Clients that do nothing but ask the leader, again and again, where a log ends.
    #[serde(default)]
    pub watchers: u64,
    /// Appenders, of a hundred, that compress their batches.
    #[serde(default)]
    pub compressed_percent: u64,
    /// How long most calls may take.
    pub deadline: u64,
    /// Who may be damaged for good: a minority, where the atlas holds.
    pub victims: Vec<u16>,
    /// What is damaged can be survived. Else the group may stop, and answer that data is corrupt or lost; it
    /// may never show a wrong record.
    pub atlas: bool,
    /// What goes wrong, by time.
    pub faults: Vec<Fault>,
    /// Then nothing more does.
    pub faults_until: u64,
    /// How it becomes well again.
    pub ending: Ending,
}

/// How a run becomes well again. At last everything does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ending {
    /// At once.
    Heal,
    /// The power goes everywhere, and some replicas stay away for a while: a majority holds everything.
    LastMajority {
        /// Who.
        away: Vec<u16>,
    },
    /// First a core does: one replica that reaches a majority, both ways. The rest stays as broken as it is, and
    /// is cut further.
    Core {
        /// The replica that reaches the others.
        hub: u16,
        /// Enough others for a majority; they need not reach each other.
        others: Vec<u16>,
        /// Directions that are cut meanwhile, unless the core needs them.
        also_cut: Vec<(u16, u16)>,
        /// What else is wrong outside.
        #[serde(default)]
        outside: Outside,
    },
}

/// What is wrong with those outside a core that is well, besides what the faults left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// Nothing.
    #[default]
    AsItIs,
    /// Their disks stall: each sync takes for ever.
    DisksStall,
    /// What they send over the connections for accepts is held back; all else passes.
    AcceptsStick,
}

impl Plan {
    /// The version of the format that this release writes and reads.
    pub const VERSION: u32 = 1;

    /// A quiet cluster under a steady load: nothing goes wrong but what is added.
    #[must_use]
    pub fn quiet(seed: u64, replicas: u16) -> Plan {
        Plan {
            version: Plan::VERSION,
            seed,
            replicas,
            clients: 2,
            logs: 1,
            loose: false,
            loss_percent: 0,
            repeat_percent: 0,
            delay_min: 100 * US,
            delay_mean: 100 * US,
            sync_mean: 200 * US,
            write_mean: 20 * US,
            drift_ppm: 200,
            segment_bytes: 256 << 10,
            value_bytes_target: 16 << 10,
            slots_in_flight_max: 3,
            window_bytes_max: 16 << 20,
            payload_max: 100,
            append_mean: 10 * MS,
            window: 16,
            keep: 1_000,
            seals: false,
            fences: false,
            conditional_percent: 0,
            cursors: false,
            retention: false,
            deletes: false,
            hasty_percent: 0,
            watchers: 0,
            compressed_percent: 0,
            deadline: 10 * SECOND,
            victims: Vec::new(),
            atlas: true,
            faults: Vec::new(),
            faults_until: 5 * SECOND,
            ending: Ending::Heal,
        }
    }
}
