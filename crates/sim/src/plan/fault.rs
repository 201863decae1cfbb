//! Faults as data: what goes wrong, where, when and for how long. All times are nanoseconds, and none is longer than
//! [`TIME_MAX`]; nothing is counted beyond [`COUNT_MAX`].

use serde::{Deserialize, Serialize};

use crate::plan::{FOREVER, MS};

/// The longest that anything in a plan lasts, and the latest that it begins: an hour, beyond the end of any run.
pub const TIME_MAX: u64 = FOREVER;
/// The most that anything in a fault is counted (syncs, writes, effects, segments, cuts): more than a run does.
pub const COUNT_MAX: u64 = 1_000_000;

/// Something that goes wrong at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When, after the start.
    pub at: u64,
    /// What.
    pub what: What,
}

/// What goes wrong. Replicas are named by their ids, from 1; clients are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// Directions between replicas carry nothing.
    Cut {
        /// How they were chosen.
        shape: Shape,
        /// From whom to whom.
        directions: Vec<(u16, u16)>,
        /// For how long.
        lasts: u64,
    },
    /// Directions are cut, and mended, again and again.
    Flap {
        /// From whom to whom.
        directions: Vec<(u16, u16)>,
        /// They are cut for so long, then well for so long.
        half: u64,
        /// So often.
        times: u32,
    },
    /// What a replica sends is held back; votes may pass while accepts stall, and the other way round.
    Clog {
        /// The sender.
        from: u16,
        /// To whom; none: to all.
        to: Option<u16>,
        /// Over which connection; none: over both.
        over: Option<Over>,
        /// For how long.
        lasts: u64,
    },
    /// Messages of a replica take longer.
    Slow {
        /// The sender.
        from: u16,
        /// How much longer, each.
        extra: u64,
        /// For how long.
        lasts: u64,
    },
    /// A connection between two replicas breaks; what it carried is lost.
    BreakLink {
        /// One end.
        a: u16,
        /// The other.
        b: u16,
        /// Which of the two.
        over: Over,
    },
    /// A replica stops, and starts again.
    Crash {
        /// Which.
        replica: u16,
        /// The power goes, too: what was not synced is there or not.
        power: bool,
        /// At what.
        when: Moment,
        /// It is down for so long.
        down: u64,
    },
    /// All of them at once.
    CrashAll {
        /// The power goes, too.
        power: bool,
        /// How long each is down, in order of their ids.
        down: Vec<u64>,
    },
    /// One after the other is stopped and started.
    Rolling {
        /// The power goes, too.
        power: bool,
        /// From one to the next.
        gap: u64,
        /// Each is down for so long.
        down: u64,
    },
    /// A replica stands still, and goes on in a world that moved on.
    Pause {
        /// Which.
        replica: u16,
        /// For how long.
        lasts: u64,
    },
    /// A replica's next sync takes so long.
    SyncStall {
        /// Which.
        replica: u16,
        /// How long.
        lasts: u64,
    },
    /// A sync fails: some of what it covered is not on the disk.
    SyncFail {
        /// Whose.
        replica: u16,
        /// Which of its syncs, the next being 0.
        nth: u64,
        /// After how long its operator starts it again.
        down: u64,
    },
    /// A disk has no room for more than some new files.
    DiskFull {
        /// Whose.
        replica: u16,
        /// Segments that still fit.
        segments: u64,
        /// For how long.
        lasts: u64,
    },
    /// Bytes at rest change.
    AtRest {
        /// At whom.
        replica: u16,
        /// In which sort of file.
        file: FileSort,
        /// How.
        damage: Damage,
        /// Which of the files, and where in it, as far as there is a choice.
        pick: u64,
    },
    /// A directory is lost and formatted anew.
    Wipe {
        /// Whose.
        replica: u16,
        /// It is down for so long.
        down: u64,
    },
    /// A directory is lost, and formatted anew, right after a list of members left it. Several are for one list after
    /// the other.
    WipeWithList {
        /// Whose.
        replica: u16,
        /// It is down for so long.
        down: u64,
    },
    /// A wall clock is set.
    ClockStep {
        /// Whose.
        replica: u16,
        /// It is wrong by so much from now on.
        by: i64,
    },
    /// A client's streams break.
    ClientReset {
        /// Whose.
        client: u64,
    },
    /// A client is gone for good in the middle of what it does; another one comes.
    ClientDies {
        /// Which.
        client: u64,
    },
    /// A replica is asked to hand over, then stops and starts again.
    HandOver {
        /// Which.
        replica: u16,
        /// It is down for so long.
        down: u64,
    },
}

/// How the directions of a cut were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// One replica from all others.
    Isolate,
    /// Two parts.
    Halves,
    /// One direction.
    OneWay,
    /// Any directions.
    Graph,
    /// One replica reaches all, the others only it.
    Star,
}

/// One of the two connections that a pair of replicas has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Heartbeats, ballots, acknowledgements.
    Control,
    /// Accepts and catch-up.
    Accepts,
}

/// When a crash comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// At once.
    Now,
    /// Before its nth sync from now on ends; the next one is 0.
    Syncing(u64),
    /// Before its nth write from now on ends.
    Writing(u64),
    /// Once it has carried out so many more effects.
    Effects(u64),
    /// Once it has done its nth piece of upkeep from now on: an `.idx` file or a checkpoint is written, or segments
    /// are retired. The power goes.
    Upkeep(u64),
    /// In the middle of its nth change of the disk from now on (a write, a sync, a file made, named or removed):
    /// also while it opens its directory, or writes a checkpoint. The power goes.
    DiskCalls(u64),
}

/// A sort of file in a replica's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSort {
    /// Frames in a segment.
    Frames,
    /// A segment's header.
    Header,
    /// The trailer of a sealed segment, and the index before it.
    Trailer,
    /// A segment's `.idx` file.
    Idx,
    /// A checkpoint.
    Checkpoint,
}

/// How bytes at rest change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// One bit flips.
    Flip,
    /// A sector reads as zeros.
    Zero,
    /// A sector holds what was written to another one.
    Misdirected,
    /// A sector holds what it held before the last write to it.
    LostWrite,
    /// A sector cannot be read.
    ReadError,
}

impl What {
    /// Its name, by which runs are counted.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            What::Cut { shape, .. } => match shape {
                Shape::Isolate => "fault: isolate",
                Shape::Halves => "fault: halves",
                Shape::OneWay => "fault: one way",
                Shape::Graph => "fault: any graph",
                Shape::Star => "fault: star",
            },
            What::Flap { .. } => "fault: flapping",
            What::Clog { .. } => "fault: clog",
            What::Slow { .. } => "fault: slow link",
            What::BreakLink { .. } => "fault: broken link",
            What::Crash { when, .. } => match when {
                Moment::Now => "fault: crash",
                Moment::Syncing(_) => "fault: crash in a sync",
                Moment::Writing(_) => "fault: crash in a write",
                Moment::Effects(_) => "fault: crash between effects",
                Moment::Upkeep(_) => "fault: crash after upkeep",
                Moment::DiskCalls(_) => "fault: crash in a change of the disk",
            },
            What::CrashAll { .. } => "fault: all crash",
            What::Rolling { .. } => "fault: rolling restart",
            What::Pause { .. } => "fault: pause",
            What::SyncStall { .. } => "fault: stalled sync",
            What::SyncFail { .. } => "fault: failed sync",
            What::DiskFull { .. } => "fault: full disk",
            What::AtRest { damage, .. } => match damage {
                Damage::Flip => "fault: flipped bit",
                Damage::Zero => "fault: zeroed sector",
                Damage::Misdirected => "fault: misdirected write",
                Damage::LostWrite => "fault: lost write",
                Damage::ReadError => "fault: read error",
            },
            What::Wipe { .. } => "fault: lost disk",
            What::WipeWithList { .. } => "fault: lost disk with a list",
            What::ClockStep { .. } => "fault: clock step",
            What::ClientReset { .. } => "fault: client's streams break",
            What::ClientDies { .. } => "fault: client dies",
            What::HandOver { .. } => "fault: hand-over",
        }
    }

    /// Whom it damages for good: only *victims* may be, where the atlas holds.
    #[must_use]
    pub fn ruins(&self) -> Option<u16> {
        match self {
            What::AtRest { replica, .. }
            | What::Wipe { replica, .. }
            | What::WipeWithList { replica, .. } => Some(*replica),
            _ => None,
        }
    }

    /// Its times, with the names of their fields; how far a clock is set, forwards or backwards, is one.
    pub(crate) fn times(&self) -> Vec<(&'static str, u64)> {
        match self {
            What::Cut { lasts, .. }
            | What::Clog { lasts, .. }
            | What::Pause { lasts, .. }
            | What::SyncStall { lasts, .. }
            | What::DiskFull { lasts, .. } => vec![("lasts", *lasts)],
            What::Flap { half, .. } => vec![("half", *half)],
            What::Slow { extra, lasts, .. } => vec![("extra", *extra), ("lasts", *lasts)],
            What::Crash { down, .. }
            | What::SyncFail { down, .. }
            | What::Wipe { down, .. }
            | What::WipeWithList { down, .. }
            | What::HandOver { down, .. } => vec![("down", *down)],
            What::CrashAll { down, .. } => down.iter().map(|down| ("down", *down)).collect(),
            What::Rolling { gap, down, .. } => vec![("gap", *gap), ("down", *down)],
            What::ClockStep { by, .. } => vec![("by", by.unsigned_abs())],
            What::BreakLink { .. }
            | What::AtRest { .. }
            | What::ClientReset { .. }
            | What::ClientDies { .. } => Vec::new(),
        }
    }

    /// What it counts, with the name; `pick` counts nothing, and may be any number.
    pub(crate) fn count(&self) -> Option<(&'static str, u64)> {
        match self {
            What::Flap { times, .. } => Some(("times", u64::from(*times))),
            What::SyncFail { nth, .. } => Some(("nth", *nth)),
            What::DiskFull { segments, .. } => Some(("segments", *segments)),
            What::Crash { when, .. } => match when {
                Moment::Now => None,
                Moment::Syncing(n) => Some(("syncing", *n)),
                Moment::Writing(n) => Some(("writing", *n)),
                Moment::Effects(n) => Some(("effects", *n)),
                Moment::Upkeep(n) => Some(("upkeep", *n)),
                Moment::DiskCalls(n) => Some(("disk_calls", *n)),
            },
            What::Cut { .. }
            | What::Clog { .. }
            | What::Slow { .. }
            | What::BreakLink { .. }
            | What::CrashAll { .. }
            | What::Rolling { .. }
            | What::Pause { .. }
            | What::SyncStall { .. }
            | What::AtRest { .. }
            | What::Wipe { .. }
            | What::WipeWithList { .. }
            | What::ClockStep { .. }
            | What::ClientReset { .. }
            | What::ClientDies { .. }
            | What::HandOver { .. } => None,
        }
    }

    /// The replicas and clients that it names.
    pub(crate) fn names(&self) -> (Vec<u16>, Option<u64>) {
        match self {
            What::Cut { directions, .. } | What::Flap { directions, .. } => {
                (directions.iter().flat_map(|&(a, b)| [a, b]).collect(), None)
            }
            What::Clog { from, to, .. } => ([*from].into_iter().chain(*to).collect(), None),
            What::Slow { from, .. } => (vec![*from], None),
            What::BreakLink { a, b, .. } => (vec![*a, *b], None),
            What::Crash { replica, .. }
            | What::Pause { replica, .. }
            | What::SyncStall { replica, .. }
            | What::SyncFail { replica, .. }
            | What::DiskFull { replica, .. }
            | What::AtRest { replica, .. }
            | What::Wipe { replica, .. }
            | What::WipeWithList { replica, .. }
            | What::ClockStep { replica, .. }
            | What::HandOver { replica, .. } => (vec![*replica], None),
            What::CrashAll { .. } | What::Rolling { .. } => (Vec::new(), None),
            What::ClientReset { client } | What::ClientDies { client } => {
                (Vec::new(), Some(*client))
            }
        }
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.name().trim_start_matches("fault: ");
        let ms = |ns: &u64| format!("{}.{:03} ms", ns / MS, ns % MS / 1_000);
        let power = |power: &bool| if *power { ", power lost" } else { "" };
        let ways = |directions: &[(u16, u16)]| {
            let ways: Vec<String> = directions
                .iter()
                .map(|(a, b)| format!("r{a}>r{b}"))
                .collect();
            ways.join(" ")
        };
        write!(f, "{name} ")?;
        match self {
            What::Cut {
                directions, lasts, ..
            } => write!(f, "{} for {}", ways(directions), ms(lasts)),
            What::Flap {
                directions,
                half,
                times,
            } => write!(f, "{} {times} times {}", ways(directions), ms(half)),
            What::Clog {
                from,
                to,
                over,
                lasts,
            } => {
                let to = to.map_or(String::new(), |to| format!(" to r{to}"));
                let over = over.map_or(String::new(), |over| format!(" ({over:?})"));
                write!(f, "r{from}{to}{over} for {}", ms(lasts))
            }
            What::Slow { from, extra, lasts } => {
                write!(f, "r{from} by {} for {}", ms(extra), ms(lasts))
            }
            What::BreakLink { a, b, over } => write!(f, "r{a} r{b} ({over:?})"),
            What::Crash {
                replica,
                power: lost,
                when,
                down,
            } => {
                let when = match when {
                    Moment::Now => String::new(),
                    Moment::Syncing(n) => format!(", before sync {n} ends"),
                    Moment::Writing(n) => format!(", before write {n} ends"),
                    Moment::Effects(n) => format!(", after {n} effects"),
                    Moment::Upkeep(n) => format!(", after upkeep {n}"),
                    Moment::DiskCalls(n) => format!(", in change {n} of its disk"),
                };
                write!(f, "r{replica}{when}{}, down for {}", power(lost), ms(down))
            }
            What::CrashAll { power: lost, .. } => write!(f, "at once{}", power(lost)),
            What::Rolling {
                power: lost,
                gap,
                down,
            } => write!(f, "every {}, down for {}{}", ms(gap), ms(down), power(lost)),
            What::Pause { replica, lasts } | What::SyncStall { replica, lasts } => {
                write!(f, "r{replica} for {}", ms(lasts))
            }
            What::SyncFail { replica, nth, down } => {
                write!(
                    f,
                    "r{replica}, sync {nth}, started again after {}",
                    ms(down)
                )
            }
            What::DiskFull {
                replica,
                segments,
                lasts,
            } => write!(f, "r{replica}, {segments} segments left, for {}", ms(lasts)),
            What::AtRest {
                replica,
                file,
                pick,
                ..
            } => write!(f, "r{replica} in {file:?} (pick {pick})"),
            What::Wipe { replica, down }
            | What::WipeWithList { replica, down }
            | What::HandOver { replica, down } => {
                write!(f, "r{replica}, down for {}", ms(down))
            }
            What::ClockStep { replica, by } => {
                write!(f, "r{replica}, wrong by {} ms", by / MS as i64)
            }
            What::ClientReset { client } | What::ClientDies { client } => {
                write!(f, "c{client}")
            }
        }
    }
}
