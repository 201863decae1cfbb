use paxlog_paxos::ReplicaId;
use paxlog_wire::Code;
use paxlog_wire::client::Query;

use super::*;
use crate::effect::{Effect, Effects};
use crate::event::{Event, QueryId};
use crate::idx_file::{self, SlotRow};
use paxlog_paxos::Value;

fn entry(lsn: u64) -> Entry {
    Entry {
        ballot: Ballot::new(1, ReplicaId(1)),
        lsn,
        len: 1,
        checksum: 0,
    }
}

#[test]
fn what_is_held_without_a_hole_is_found_from_the_top() {
    assert_eq!(held_down_to(vec![], 7), 7);
    assert_eq!(held_down_to(vec![0..3, 4..9], 7), 4, "3 is missing");
    assert_eq!(held_down_to(vec![0..5, 4..7], 7), 0, "overlapping");
    assert_eq!(
        held_down_to(std::iter::once(0..5).collect(), 7),
        7,
        "nothing reaches the top"
    );
    assert_eq!(held_down_to(vec![2..8, 5..6], 7), 2);
}

#[test]
fn damage_of_a_known_slot_makes_that_slot_unknown_unless_it_was_accepted_again_later() {
    let mut slots = SlotMap::default();
    slots.insert(Slot(4), entry(100));
    let ballot = Ballot::new(2, ReplicaId(1));
    let damaged = |slot| {
        [DamagedFrame {
            lsn: 50,
            identity: Some((Slot(slot), ballot)),
        }]
    };
    assert_eq!(unknown_slots(&damaged(4), &slots, &[], Slot(0)), []);
    assert_eq!(
        unknown_slots(&damaged(5), &slots, &[], Slot(0)),
        [UnknownSlots {
            slots: Slot(5)..Slot(6),
            ballot: Some(ballot)
        }]
    );
    assert_eq!(
        unknown_slots(&damaged(5), &slots, &[], Slot(6)),
        [],
        "the checkpoint has it"
    );
}

#[test]
fn damage_of_nobody_knows_what_makes_everything_unknown_that_it_may_have_held() {
    let mut slots = SlotMap::default();
    slots.insert(Slot(2), entry(10));
    slots.insert(Slot(3), entry(20));
    slots.insert(Slot(5), entry(60));
    let damaged = [DamagedFrame {
        lsn: 50,
        identity: None,
    }];
    let unknown = |prefixes: &[(u64, Slot)]| {
        unknown_slots(&damaged, &slots, prefixes, Slot(1))
            .into_iter()
            .map(|u| u.slots)
            .collect::<Vec<_>>()
    };
    // A prefix vouched for beyond the damage proves nothing about what the damaged frame held.
    assert_eq!(
        unknown(&[(10, Slot(0)), (60, Slot(5))]),
        [Slot(1)..Slot(5), Slot(6)..Slot::MAX]
    );
    assert_eq!(
        unknown(&[(20, Slot(3)), (60, Slot(5))]),
        [Slot(3)..Slot(5), Slot(6)..Slot::MAX]
    );
}

fn config() -> Config {
    let ids = vec![ReplicaId(1)];
    let paxos = paxlog_paxos::Config::new(
        paxlog_paxos::ClusterId(1),
        GROUP,
        ReplicaId(1),
        paxlog_paxos::Incarnation(1),
        ids,
        1,
    );
    Config {
        paxos,
        create_on_append: Vec::new(),
        client_append_bytes_per_s: 0,
        addresses: vec![],
        value_bytes_target: crate::VALUE_BYTES_TARGET,
    }
}

const GROUP: paxlog_paxos::GroupId = paxlog_paxos::GroupId(0);

/// A segment that holds these slots, each an empty value.
fn segment(slots: impl IntoIterator<Item = u64>) -> FoundSegment {
    let frame = |slot: u64| FoundFrame {
        lsn: 5 << 32 | (4096 + slot * 256),
        header: EntryHeader {
            slot: Slot(slot),
            ballot: Ballot::new(1, ReplicaId(1)),
            len: 0,
            checksum: 0,
            chosen_prefix: Slot(0),
            config: paxlog_paxos::ConfigNumber(0),
        },
    };
    FoundSegment {
        number: 5,
        annotation: None,
        annotation_lost: false,
        frames: slots.into_iter().map(frame).collect(),
    }
}

#[test]
fn a_state_beyond_the_end_counts_for_its_promise_and_not_for_its_prefix() {
    let state = |round, prefix| {
        let state = paxlog_paxos::DurableState {
            promised: Ballot::new(round, ReplicaId(1)),
            formed: None,
            chosen_prefix: Slot(prefix),
        };
        durable::encode(GROUP, &state)
    };
    let found = Found {
        states: vec![state(2, 1), state(3, 4)],
        state: Some(state(2, 1)),
        segments: vec![segment(0..3)],
        ..Found::default()
    };
    let node = Node::recover(config(), found, Now { mono: 0, wall: 0 }).unwrap();
    assert_eq!(node.paxos().ballot(), Ballot::new(3, ReplicaId(1)));
    assert_eq!(node.paxos().chosen_prefix(), Slot(1));
}

#[test]
fn checkpoints_that_cannot_be_read_are_not_taken_for_none() {
    // What was below slot 7 is retired: only a checkpoint has it.
    let found = Found {
        checkpoints: vec![Bytes::new()],
        segments: vec![segment([7])],
        ..Found::default()
    };
    let refused = Node::recover(config(), found, Now { mono: 0, wall: 0 });
    assert!(matches!(
        refused,
        Err(RecoverError::NoCheckpoint { from: Slot(7), .. })
    ));
}

/// Slot 9 trimmed what is missing in the file; here its frame is beyond what was found.
#[test]
fn nothing_is_shown_before_everything_is_applied_again_that_was() {
    let rows: Vec<SlotRow> = (0..3)
        .map(|slot| SlotRow {
            slot: Slot(slot),
            ballot: Ballot::new(1, ReplicaId(1)),
            frame: 4096 + slot as u32 * 256,
            len: 0,
        })
        .collect();
    let annotated = |applied| FoundSegment {
        annotation: Some(idx_file::encode(5, Slot(applied), &[], &rows).into()),
        frames: vec![],
        ..segment([])
    };
    let shows = |applied| {
        let found = Found {
            segments: vec![annotated(applied)],
            ..Found::default()
        };
        let mut node = Node::recover(config(), found, Now { mono: 0, wall: 0 }).unwrap();
        assert_eq!(
            node.paxos().chosen_prefix(),
            Slot(3),
            "what is held, and no more"
        );
        for slot in 0..3 {
            let noop = Value::noop();
            node.apply(
                Now { mono: 0, wall: 0 },
                Slot(slot),
                &noop,
                &mut Effects::default(),
            )
            .unwrap();
        }
        let mut fx = Effects::default();
        let ask = Query::List {
            prefix: String::new(),
            after: None,
            limit: 1,
        };
        node.step(
            Now { mono: 0, wall: 0 },
            Event::Query {
                query: QueryId(1),
                deadline_ms: 1,
                ask,
            },
            &mut fx,
        );
        let Some(Effect::Answer(_, reply)) = fx.list.pop() else {
            panic!("no answer")
        };
        reply.result
    };
    assert!(shows(3).is_ok());
    let refused = shows(10).expect_err("seven slots to go");
    assert_eq!(refused.code, Code::Unavailable, "{refused:?}");
}
