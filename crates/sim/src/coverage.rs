//! Which situations were reached, and how often.

use std::collections::BTreeMap;

use paxlog_paxos::Counters;
use paxlog_wire::Code;

/// Situations by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    reached: BTreeMap<&'static str, u64>,
}

/// What many seeds together must reach: one that is not is a hole in what they show.
pub const SITUATIONS: &[&str] = &[
    "a compressed batch was read",
    "a damaged directory was refused",
    "a deletion was asked for again",
    "a follower told a reader that its log was deleted",
    "a group could not be formed",
    "a leader serves",
    "a leader that was behind handed over",
    "a leader whose accepts were stuck handed over",
    "a leader stepped down",
    "a log was deleted",
    "a log was deleted with appends under way",
    "a log was made again under its name",
    "a message came after its connection broke",
    "a promise may be lost",
    "a read ended at its bound",
    "a seal was asked for again",
    "a tail heard that its log was deleted",
    "a tail skipped what was trimmed",
    "accepts out of order",
    "an append was refused: deleted",
    "an append was resent and was there",
    "answered an accept below its checkpoint",
    "asked to take over",
    "checkpoint written",
    "clones were recovered",
    "crash after upkeep",
    "crash between effects",
    "crash in a change of the disk",
    "crash while it opens",
    "a list left, and its disk was lost",
    "decided despite an unknown slot",
    "disk failed",
    "disk full",
    "disk stalled",
    "Corrupt",
    "DeadlineExceeded",
    "DiskFull",
    "Electing",
    "LogDeleted",
    "NotFound",
    "NotLeader",
    "OutcomeUnknown",
    "Sealed",
    "Trimmed",
    "Unavailable",
    "fault: all crash",
    "fault: any graph",
    "fault: broken link",
    "fault: client dies",
    "fault: client's streams break",
    "fault: clock step",
    "fault: clog",
    "fault: crash",
    "fault: crash after upkeep",
    "fault: crash between effects",
    "fault: crash in a change of the disk",
    "fault: crash in a sync",
    "fault: crash in a write",
    "fault: failed sync",
    "fault: flapping",
    "fault: flipped bit",
    "fault: full disk",
    "fault: halves",
    "fault: hand-over",
    "fault: isolate",
    "fault: lost disk",
    "fault: lost disk with a list",
    "fault: lost write",
    "fault: misdirected write",
    "fault: one way",
    "fault: pause",
    "fault: read error",
    "fault: rolling restart",
    "fault: slow link",
    "fault: stalled sync",
    "fault: star",
    "fault: zeroed sector",
    "fed a follower from the log",
    "fetched a chosen value",
    "fetched a value for a takeover",
    "gave a chosen value",
    "handed over",
    "idx file written",
    "no room to start",
    "only a core is well",
    "only a core is well, and others hold their accepts back",
    "only a core is well, and others' disks stall",
    "only a majority came back",
    "opened with damage",
    "power cut",
    "prepared again",
    "process crash",
    "promised an unknown slot",
    "recovered a torn end",
    "segments retired",
    "sent a follower again what had not come",
    "start",
    "stopped, and showed nothing wrong",
    "took over a value",
    "took over with a hole",
    "did without those who gave no values",
    "waited because of an unknown slot",
];

impl Coverage {
    pub(crate) fn hit(&mut self, situation: &'static str) {
        self.add(situation, 1);
    }

    pub(crate) fn add(&mut self, situation: &'static str, times: u64) {
        *self.reached.entry(situation).or_default() += times;
    }

    /// A client was told of an error.
    pub(crate) fn error(&mut self, code: Code) {
        self.hit(code.name());
    }

    /// What the machine of Paxos counted over a life.
    pub(crate) fn paxos(&mut self, counters: &Counters) {
        for (name, count) in [
            ("took over with a hole", counters.holes_filled),
            ("took over a value", counters.adopted),
            (
                "decided despite an unknown slot",
                counters.decided_despite_unknown,
            ),
            (
                "waited because of an unknown slot",
                counters.blocked_by_unknown,
            ),
            ("promised an unknown slot", counters.promised_unknown),
            ("fetched a value for a takeover", counters.takeover_fetched),
            ("fetched a chosen value", counters.chosen_fetched),
            ("fed a follower from the log", counters.fed_from_log),
            ("accepts out of order", counters.out_of_order),
            ("a leader stepped down", counters.stepped_down),
            ("prepared again", counters.prepared_again),
            ("gave a chosen value", counters.chosen_served),
            (
                "answered an accept below its checkpoint",
                counters.below_chosen,
            ),
            ("sent a follower again what had not come", counters.rewound),
            ("asked to take over", counters.took_over),
            (
                "a leader whose accepts were stuck handed over",
                counters.stuck,
            ),
            ("a leader that was behind handed over", counters.behind),
            ("did without those who gave no values", counters.left_out),
        ] {
            if count > 0 {
                self.add(name, count);
            }
        }
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: &Coverage) {
        for (name, count) in &other.reached {
            self.add(name, *count);
        }
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.reached.iter().map(|(name, count)| (*name, *count))
    }

    /// Those of [`SITUATIONS`] that were never reached.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        SITUATIONS
            .iter()
            .filter(|name| !self.reached.contains_key(*name))
            .copied()
    }
}
