//! What the owner hands in at opening: settings, and what recovery found.

use std::ops::Range;

use crate::message::UnknownSlots;
use crate::types::{
    Ballot, ClusterId, ConfigNumber, GroupId, Incarnation, Member, Nanos, ReplicaId, Slot,
};

/// The settings of one replica of one group.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster.
    pub cluster: ClusterId,
    /// The group.
    pub group: GroupId,
    /// The membership's number; the formed list has 0.
    pub config: ConfigNumber,
    /// This replica.
    pub id: ReplicaId,
    /// Its directory.
    pub incarnation: Incarnation,
    /// The ids with which the group is to be formed, this one among them. Once it is formed only the
    /// formed list counts.
    pub initial_members: Vec<ReplicaId>,
    /// Values proposed and not yet chosen.
    pub slots_in_flight_max: u64,
    /// Bytes of values proposed and not yet chosen and durable here; also what a leader keeps in memory
    /// for followers that are a little behind, and what is under way to one follower.
    pub window_bytes_max: u64,
    /// The heartbeat interval; a replica is silent after about four.
    pub heartbeat_ns: Nanos,
    /// The higher, the sooner this replica stands.
    pub priority: u32,
    /// For jitter, and the number of this life. A new one at each start.
    pub seed: u64,
}

impl Config {
    /// The defaults for a LAN.
    #[must_use]
    pub fn new(
        cluster: ClusterId,
        group: GroupId,
        id: ReplicaId,
        incarnation: Incarnation,
        initial_members: Vec<ReplicaId>,
        seed: u64,
    ) -> Config {
        Config {
            cluster,
            group,
            config: ConfigNumber(0),
            id,
            incarnation,
            initial_members,
            slots_in_flight_max: 3,
            window_bytes_max: 16 << 20,
            heartbeat_ns: 20_000_000,
            priority: 0,
            seed,
        }
    }
}

/// What recovery found in the write-ahead log.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Formatted, and nothing was ever written for this group.
    pub blank: bool,
    /// The highest of all STATE frames and of all accepted frames' ballots.
    pub promised: Ballot,
    /// The newest STATE's list.
    pub formed: Option<Vec<Member>>,
    /// The promise, and whether there is a list, in the STATE that a further opening is sure to find. Where this
    /// is less than `promised` and `formed`, which were found in frames that may be dropped (a STATE beyond the
    /// end of the log, a segment that is retired), a STATE is written before anything is said on their strength.
    pub lasting: (Ballot, bool),
    /// The highest that any valid frame says.
    pub chosen_prefix: Slot,
    /// From the durable checkpoint.
    pub chosen_below: Slot,
    /// Each slot's newest valid frame, from `chosen_below` on; any order. Of several for one slot the
    /// highest ballot counts, of equal ballots the last.
    pub accepted: Vec<AcceptedEntry>,
    /// What damage has taken. Damage of unknown identity makes unknown every slot whose last frame lies
    /// before it (also one below `chosen_prefix`, unless a frame *before* the damage says so high a
    /// prefix: the frame that held the chosen value may be the damaged one), and every slot beyond.
    pub unknown: Vec<UnknownSlots>,
    /// Both copies of a promise may be lost: this incarnation never votes again.
    pub promise_may_be_lost: bool,
}

impl Recovered {
    /// A formatted directory that was never used.
    #[must_use]
    pub fn blank() -> Recovered {
        Recovered {
            blank: true,
            ..Recovered::default()
        }
    }
}

/// One accepted slot, as recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedEntry {
    /// The slot.
    pub slot: Slot,
    /// The ballot.
    pub ballot: Ballot,
    /// The value's length.
    pub len: u32,
    /// The value's CRC32C.
    pub checksum: u32,
}

/// Whether this replica votes, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It votes.
    Voter,
    /// The group is not formed yet, as far as this replica knows.
    NotFormed,
    /// The group was formed without this incarnation.
    NotMember,
    /// The log lost its end, or both copies of a promise.
    PromiseMayBeLost,
    /// A message contradicted what is known to be chosen here.
    Contradicted,
}

impl Standing {
    /// One sentence for whoever looks at this replica.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Standing::Voter => "This replica is a voting member of its group.",
            Standing::NotFormed => {
                "The group is not formed yet: it forms once all its initial members are up, formatted, blank and reach each other."
            }
            Standing::NotMember => {
                "The group was formed with another incarnation of this replica, whose directory and promises are lost: this one has no vote until it is readmitted by the others, which this release can't do yet; put the old directory back if it still exists."
            }
            Standing::PromiseMayBeLost => {
                "The write-ahead log may have lost a promise this replica gave: it has no vote until it is readmitted by the others, which this release can't do yet; keep the directory."
            }
            Standing::Contradicted => {
                "A value was proposed that contradicts one known here to be chosen: this replica has stopped voting; keep all directories and look for a wiped or copied one."
            }
        }
    }
}

/// What this replica knows of another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which.
    pub id: ReplicaId,
    /// The incarnation that the group was formed with; what comes from another one is not listened to.
    pub incarnation: Option<Incarnation>,
    /// It says that it votes; true until it was heard.
    pub voter: bool,
    /// It was heard lately.
    pub heard: bool,
    /// It was heard lately, and said that it hears this replica.
    pub both_ways: bool,
    /// The smoothed round trip over the control connection, waiting included; 0 when not known yet.
    pub rtt_ns: Nanos,
    /// It says its disk is well.
    pub disk_well: bool,
    /// Below: durable there, as far as this replica knows. While it leads: as accepted in its ballot.
    pub durable: Slot,
    /// Slots between this replica's chosen index and `durable`.
    pub lag_slots: u64,
    /// Below: applied there.
    pub applied: Slot,
    /// Below: known chosen there.
    pub chosen_prefix: Slot,
    /// It reported less than it had acknowledged in this ballot: its disk lost something.
    pub lost_its_end: bool,
}

/// The part of `range` that lies in `start..end`.
pub(crate) fn intersect(range: &Range<Slot>, start: Slot, end: Slot) -> Range<Slot> {
    range.start.max(start)..range.end.min(end).max(range.start.max(start))
}
