//! How a replica is, for people and tools: `/status`, and the status query.

use std::time::Instant;

use paxlog_node::Status as Core;
use paxlog_paxos::Role;
use paxlog_wal::{Health, Lsn, SegmentInfo};
use paxlog_wire::{LeaderHint, client};
use serde::Serialize;

/// How a replica is. Ids of 128 bits are hex strings.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// The cluster.
    pub cluster: String,
    /// This replica.
    pub replica: u16,
    /// The random id of its data directory.
    pub incarnation: String,
    /// The program's version.
    pub version: &'static str,
    /// `leader`, `candidate` or `follower`.
    pub role: &'static str,
    /// The leader it knows.
    pub leader: Option<u16>,
    /// The highest ballot it promised, as `round.replica`.
    pub ballot: String,
    /// Whether it serves.
    pub ready: bool,
    /// Why it does not, or that all is well, in a sentence.
    pub sentence: String,
    /// Slots below are known chosen by the leader.
    pub commit_index: u64,
    /// Slots below are chosen and held here.
    pub chosen_prefix: u64,
    /// Slots below are applied here.
    pub applied_index: u64,
    /// How many logs there are.
    pub logs: u64,
    /// How many producers are known.
    pub producers: u64,
    /// Open read and tail streams.
    pub readers: u64,
    /// The other members.
    pub peers: Vec<PeerStatus>,
    /// The write-ahead log.
    pub wal: WalStatus,
    /// Seconds since the start.
    pub uptime_seconds: u64,
}

/// Another member, as this replica sees it.
#[derive(Clone, Debug, Serialize)]
pub struct PeerStatus {
    /// Its id.
    pub id: u16,
    /// It was heard lately, and hears this replica.
    pub up: bool,
    /// Slots it is behind this replica's commit index.
    pub lag_slots: u64,
    /// The smoothed round trip; none if not known yet.
    pub round_trip_us: Option<u64>,
    /// It says that its disk is well.
    pub disk_well: bool,
}

/// The write-ahead log.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WalStatus {
    /// Everything below is synced.
    pub durable: String,
    /// Segments with frames.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// `well`, `disk full`, `stalled` or `failed: …`.
    pub health: String,
}

/// What does not change while a replica runs.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) cluster: u128,
    pub(crate) replica: u16,
    pub(crate) incarnation: u128,
    /// Every member's id, this one's included, in order.
    pub(crate) members: Vec<u16>,
    /// Where clients reach this replica.
    pub(crate) addresses: Vec<String>,
    pub(crate) begin: Instant,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A look at the replica.
pub(crate) fn of(
    facts: &Facts,
    core: &Core,
    health: &Health,
    segments: &[SegmentInfo],
    durable: Lsn,
) -> Status {
    let role = match core.role {
        Role::Leader { .. } => "leader",
        Role::Candidate => "candidate",
        Role::Follower { .. } => "follower",
    };
    // The disk's word goes before the core's: what a failed disk holds up looks well from inside.
    let (ready, sentence) = match health {
        Health::Failed(failed) => (
            false,
            format!(
                "The write-ahead log failed ({}): nothing is acknowledged here. Restart this replica, so that it \
                 checks what is on its disk.",
                failed.reason
            ),
        ),
        Health::Stalled => (
            false,
            "The disk has stalled: a sync does not return.".to_owned(),
        ),
        Health::DiskFull | Health::Well => (core.ready, core.sentence.clone()),
    };
    Status {
        cluster: format!("{:032x}", facts.cluster),
        replica: facts.replica,
        incarnation: format!("{:032x}", facts.incarnation),
        version: VERSION,
        role,
        leader: core.leader.map(|(_, replica)| replica.0),
        ballot: core.ballot.to_string(),
        ready,
        sentence,
        commit_index: core.chosen_index.0,
        chosen_prefix: core.chosen_prefix.0,
        applied_index: core.applied.0,
        logs: core.logs as u64,
        producers: core.producers as u64,
        readers: core.readers as u64,
        peers: core
            .peers
            .iter()
            .map(|peer| PeerStatus {
                id: peer.id.0,
                up: peer.both_ways,
                lag_slots: peer.lag_slots,
                round_trip_us: (peer.rtt_ns > 0).then_some(peer.rtt_ns / 1_000),
                disk_well: peer.disk_well,
            })
            .collect(),
        wal: WalStatus {
            durable: durable.to_string(),
            segments: segments.len() as u64,
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            health: match health {
                Health::Well => "well".to_owned(),
                Health::DiskFull => "disk full".to_owned(),
                Health::Stalled => "stalled".to_owned(),
                Health::Failed(failed) => format!("failed: {}", failed.reason),
            },
        },
        uptime_seconds: facts.begin.elapsed().as_secs(),
    }
}

/// The same for a client that asks.
pub(crate) fn on_the_wire(
    facts: &Facts,
    core: &Core,
    status: &Status,
    leader: Option<&LeaderHint>,
) -> client::Status {
    let members = facts
        .members
        .iter()
        .map(|id| {
            let peer = status.peers.iter().find(|peer| peer.id == *id);
            let own = *id == facts.replica;
            client::MemberStatus {
                replica: *id,
                addresses: if own {
                    facts.addresses.clone()
                } else {
                    Vec::new()
                },
                linked: own || peer.is_some_and(|peer| peer.up),
                lag_slots: peer.map(|peer| peer.lag_slots),
                round_trip_us: peer.and_then(|peer| peer.round_trip_us),
            }
        })
        .collect();
    client::Status {
        cluster: facts.cluster,
        replica: facts.replica,
        incarnation: facts.incarnation,
        program: VERSION.to_owned(),
        role: match core.role {
            Role::Leader { .. } => client::RoleStatus::Leader,
            Role::Candidate => client::RoleStatus::Candidate,
            Role::Follower { .. } => client::RoleStatus::Follower,
        },
        leader: leader.cloned(),
        ballot: core.ballot.to_u64(),
        chosen_index: status.commit_index,
        chosen_prefix: status.chosen_prefix,
        applied: status.applied_index,
        ready: status.ready,
        standing: status.sentence.clone(),
        disk: status.wal.health.clone(),
        wal_bytes: status.wal.bytes,
        logs: status.logs,
        members,
    }
}
