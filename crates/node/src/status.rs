//! What the core knows of itself and of the group, for whoever asks.

use paxlog_paxos::{Ballot, Incarnation, PeerStatus, ReplicaId, Role, Slot, Standing};

/// A look at the core.
#[derive(Clone, Debug)]
pub struct Status {
    /// This replica.
    pub replica: ReplicaId,
    /// Its directory.
    pub incarnation: Incarnation,
    /// What it is.
    pub role: Role,
    /// The leader it knows, under which ballot.
    pub leader: Option<(Ballot, ReplicaId)>,
    /// The highest ballot it promised.
    pub ballot: Ballot,
    /// Whether it votes, and if not, why.
    pub standing: Standing,
    /// The highest chosen index it was told of, or reached as leader.
    pub chosen_index: Slot,
    /// Everything below is chosen and held here.
    pub chosen_prefix: Slot,
    /// Everything below is applied here.
    pub applied: Slot,
    /// Whether it leads or follows a leader, and has applied all that it knew
    /// of at its start.
    pub ready: bool,
    /// Why it is not ready, or that it is, in a sentence.
    pub sentence: String,
    /// Slots proposed here and not yet chosen.
    pub slots_in_flight: u64,
    /// Commands waiting for a value.
    pub commands_queued: usize,
    /// The other members.
    pub peers: Vec<PeerStatus>,
    /// How many logs there are.
    pub logs: usize,
    /// How many producers are known.
    pub producers: usize,
    /// How many readers there are.
    pub readers: usize,
    /// Batches held in the index one by one.
    pub recent_batches: usize,
    /// Segments that hold frames of the group.
    pub segments: usize,
}

/// Counts since the start, for metrics; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Appends applied (duplicates not counted).
    pub appends: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of their batches.
    pub bytes: u64,
    /// Appends answered from a kept receipt.
    pub duplicates: u64,
    /// Commands refused, at admission or at apply.
    pub refused: u64,
    /// Values proposed here.
    pub values: u64,
    /// Times that the leader known here changed.
    pub leader_changes: u64,
    /// Bytes of batches handed to readers from the hot window.
    pub read_bytes: u64,
}

#[cfg(test)]
mod tests {
    use paxlog_paxos::{
        ClusterId, Config as PaxosConfig, ConfigNumber, DurableState, Envelope, GroupId, Heartbeat,
        Leading, Member, Message,
    };

    use super::*;
    use crate::{Config, Effects, Event, Found, Node, Now, durable};

    const GROUP: GroupId = GroupId(0);
    const MS: u64 = 1_000_000;

    fn incarnation(id: u16) -> Incarnation {
        Incarnation(u128::from(id))
    }

    /// Replica 1 of a group of three that was formed long ago, and holds nothing.
    fn behind() -> Node {
        let ids = [1, 2, 3].map(ReplicaId).to_vec();
        let state = DurableState {
            promised: Ballot::NONE,
            formed: Some(
                ids.iter()
                    .map(|&id| Member {
                        id,
                        incarnation: incarnation(id.0),
                    })
                    .collect(),
            ),
            chosen_prefix: Slot(0),
        };
        let config = Config {
            paxos: PaxosConfig::new(ClusterId(1), GROUP, ReplicaId(1), incarnation(1), ids, 1),
            create_on_append: Vec::new(),
            client_append_bytes_per_s: 0,
            addresses: vec![],
            value_bytes_target: crate::VALUE_BYTES_TARGET,
        };
        let bytes = durable::encode(GROUP, &state);
        let found = Found {
            states: vec![bytes.clone()],
            state: Some(bytes),
            ..Found::default()
        };
        Node::recover(config, found, Now { mono: 0, wall: 0 }).unwrap()
    }

    /// Replica 2 leads, 3 follows it; both know ten slots, and have dropped the first of them.
    fn hears(node: &mut Node, at: u64, dropped: u64) {
        let mut fx = Effects::default();
        let now = Now { mono: at, wall: at };
        let ballot = Ballot::new(1, ReplicaId(2));
        for from in [2, 3] {
            let beat = Heartbeat {
                life: from.into(),
                round: at / MS,
                echo: None,
                promised: ballot,
                leading: (from == 2).then_some(Leading {
                    ballot,
                    first: Slot(0),
                    chosen: Slot(10),
                }),
                standing: None,
                voter: true,
                reaches_quorum: true,
                disk_well: true,
                follows: (from == 3).then_some(ballot),
                vouches: from == 3,
                priority: 0,
                applied: Slot(10),
                chosen_prefix: Slot(10),
                durable_prefix: Slot(10),
                chosen_below: Slot(dropped),
                accepted: None,
            };
            let envelope = Envelope {
                cluster: ClusterId(1),
                group: GROUP,
                config: ConfigNumber(0),
                from: ReplicaId(from),
                incarnation: incarnation(from),
                message: Message::Heartbeat(Box::new(beat)),
            };
            node.step(now, Event::Peer(envelope), &mut fx);
        }
        node.step(now, Event::Tick, &mut fx);
    }

    #[test]
    fn a_replica_that_nobody_can_bring_up_to_date_is_not_ready_and_says_why() {
        for (dropped, stranded) in [(0, false), (5, true)] {
            let mut node = behind();
            // Long enough not to wait for what an accept may bring.
            for at in (20..2_000).step_by(20) {
                hears(&mut node, at * MS, dropped);
            }
            let status = node.status();
            assert!(matches!(status.role, Role::Follower { .. }));
            assert_eq!(status.ready, !stranded, "{}", status.sentence);
            let says = "lacks what was chosen from slot 0 on";
            assert_eq!(
                status.sentence.contains(says),
                stranded,
                "{}",
                status.sentence
            );
        }
    }
}
