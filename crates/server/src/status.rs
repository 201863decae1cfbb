//! How a replica is, for people and tools: `/status`, and the status query.

use std::time::Instant;

use paxlog_node::Status as Core;
use paxlog_paxos::{PeerStatus as Heard, Role};
use paxlog_quic::LinkStatus;
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
    /// It was heard lately, and hears this replica; before the group is formed: there is a link.
    pub up: bool,
    /// Slots it is behind this replica's commit index.
    pub lag_slots: u64,
    /// The smoothed round trip; none if not known yet.
    pub round_trip_us: Option<u64>,
    /// It says that its disk is well.
    pub disk_well: bool,
    /// Why it is not up or does not vote, as far as that is known here, in words; none if all is well.
    pub why: Option<String>,
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
    links: &[LinkStatus],
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
        peers: facts
            .members
            .iter()
            .filter(|id| **id != facts.replica)
            .map(|id| {
                let heard = core.peers.iter().find(|peer| peer.id.0 == *id);
                let link = links.iter().find(|link| link.peer == *id);
                PeerStatus {
                    id: *id,
                    up: heard.map_or(link.is_some_and(|link| link.control), |peer| peer.both_ways),
                    lag_slots: heard.map_or(0, |peer| peer.lag_slots),
                    round_trip_us: heard
                        .filter(|peer| peer.rtt_ns > 0)
                        .map(|peer| peer.rtt_ns / 1_000),
                    disk_well: heard.is_none_or(|peer| peer.disk_well),
                    why: why_out(heard, link),
                }
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

/// Why another member is of no use, or of less; by what its link says first, then by what it says itself.
fn why_out(heard: Option<&Heard>, link: Option<&LinkStatus>) -> Option<String> {
    let Some(link) = link.filter(|link| link.control) else {
        let failure = link.and_then(|link| link.last_failure.as_deref());
        return Some(match failure {
            Some(failure) => format!("no link: {failure}"),
            None => "no link: it has not connected yet".to_owned(),
        });
    };
    // Before the group is formed nobody has said anything.
    let heard = heard?;
    let listed = heard.incarnation.map(|listed| listed.0);
    let why = if listed.is_some() && link.incarnation.is_some() && link.incarnation != listed {
        "it answers under another incarnation: its directory was replaced, so it has no vote"
    } else if !heard.both_ways {
        "it is connected, but its heartbeats do not come: its own status says why"
    } else if !heard.voter {
        "it has no vote: its own status says why"
    } else if !heard.disk_well {
        "it says that its disk is not well"
    } else {
        return None;
    };
    Some(why.to_owned())
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
                why: peer.and_then(|peer| peer.why.clone()),
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

#[cfg(test)]
mod tests {
    use paxlog_paxos::{Incarnation, ReplicaId, Slot};

    use super::*;

    fn heard() -> Heard {
        Heard {
            id: ReplicaId(2),
            incarnation: Some(Incarnation(22)),
            voter: true,
            heard: true,
            both_ways: true,
            rtt_ns: 1,
            disk_well: true,
            durable: Slot(1),
            lag_slots: 0,
            applied: Slot(1),
            chosen_prefix: Slot(1),
            lost_its_end: false,
        }
    }

    fn link() -> LinkStatus {
        LinkStatus {
            peer: 2,
            control: true,
            incarnation: Some(22),
            accepts: true,
            round_trip: None,
            lost_packets: 0,
            last_failure: Some("it fell silent once".into()),
        }
    }

    #[test]
    fn a_member_that_is_out_is_out_for_a_reason() {
        let why = |heard: Heard, link: LinkStatus| why_out(Some(&heard), Some(&link));
        assert_eq!(why(heard(), link()), None, "an old failure is no reason");
        let down = LinkStatus {
            control: false,
            ..link()
        };
        assert_eq!(
            why(heard(), down).as_deref(),
            Some("no link: it fell silent once")
        );
        let replaced = LinkStatus {
            incarnation: Some(23),
            ..link()
        };
        let silent = Heard {
            both_ways: false,
            ..heard()
        };
        let said = why(silent, replaced).unwrap();
        assert!(said.contains("another incarnation"), "{said}");
        assert!(why(silent, link()).unwrap().contains("heartbeats"));
        let voteless = Heard {
            voter: false,
            ..heard()
        };
        assert!(why(voteless, link()).unwrap().contains("no vote"));
        // Not formed, and never connected.
        assert_eq!(why_out(None, Some(&link())), None);
        assert!(why_out(None, None).unwrap().contains("not connected"));
    }
}
