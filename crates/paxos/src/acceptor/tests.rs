use bytes::Bytes;

use super::*;
use crate::config::Config;
use crate::types::{ClusterId, GroupId, Incarnation, ReplicaId};

fn ballot(round: u64) -> Ballot {
    Ballot::new(round, ReplicaId(2))
}

fn value(byte: u8) -> Value {
    Value::from_parts(vec![Bytes::from(vec![byte; 4])])
}

fn entry(slot: u64, round: u64) -> AcceptedEntry {
    AcceptedEntry {
        slot: Slot(slot),
        ballot: ballot(round),
        len: 4,
        checksum: value(round as u8).checksum(),
    }
}

fn lost(start: u64, end: u64, round: Option<u64>) -> UnknownSlots {
    UnknownSlots {
        slots: Slot(start)..Slot(end),
        ballot: round.map(ballot),
    }
}

/// An acceptor with its surroundings.
struct Stand {
    acceptor: Acceptor,
    out: Outbox,
    fx: Effects,
}

impl Stand {
    fn new(recovered: Recovered) -> Stand {
        let ids = vec![ReplicaId(1), ReplicaId(2), ReplicaId(3)];
        let config = Config::new(
            ClusterId(1),
            GroupId(1),
            ReplicaId(1),
            Incarnation(1),
            ids,
            1,
        );
        Stand {
            acceptor: Acceptor::new(recovered, 1 << 20),
            out: Outbox::new(&config),
            fx: Effects::new(),
        }
    }

    fn promise(&mut self, round: u64) {
        self.acceptor
            .promise(ballot(round), &mut self.out, &mut self.fx);
    }

    fn accept(&mut self, slot: u64, byte: u8) -> Stored {
        self.acceptor
            .accept(Slot(slot), value(byte), &mut self.out, &mut self.fx)
    }

    fn durable(&mut self) {
        let last = self.out.last();
        self.out.set_durable(last, &mut self.fx);
        self.acceptor.set_durable(last);
        self.acceptor.settle(last, &mut self.fx);
    }

    fn settle(&mut self) {
        self.acceptor.settle(self.out.durable(), &mut self.fx);
    }

    fn handed_out(&mut self) -> Vec<u64> {
        let chosen = |effect| match effect {
            Effect::Chosen { slot, .. } => Some(slot.0),
            _ => None,
        };
        self.fx.drain().filter_map(chosen).collect()
    }
}

#[test]
fn acknowledgements_count_slots_of_this_ballot_and_not_arrivals() {
    let mut stand = Stand::new(Recovered {
        accepted: vec![entry(0, 1), entry(1, 1)],
        promised: ballot(1),
        ..Recovered::default()
    });
    stand.promise(2);
    stand.acceptor.begin_run(Slot(0));
    stand.accept(1, 7);
    stand.durable();
    // Slot 0 is held in ballot 1 only: it is not acknowledged in ballot 2.
    assert_eq!(stand.acceptor.run(), Some((ballot(2), Slot(0), Slot(0))));
    stand.accept(0, 8);
    stand.settle();
    assert_eq!(stand.acceptor.run(), Some((ballot(2), Slot(0), Slot(2))));
    stand.durable();
    assert_eq!(stand.acceptor.run(), Some((ballot(2), Slot(2), Slot(2))));
}

#[test]
fn what_may_be_dropped_is_written_again_before_it_is_relied_on() {
    // A promise that only a STATE beyond the end of the log holds, or a frame whose segment may be retired.
    let mut stand = Stand::new(Recovered {
        accepted: vec![entry(0, 2)],
        promised: ballot(3),
        lasting: (ballot(1), false),
        ..Recovered::default()
    });
    assert_eq!(stand.acceptor.promised(), ballot(3));
    assert_eq!(stand.acceptor.promised_durable(), ballot(1));
    let (out, fx) = (&mut stand.out, &mut stand.fx);
    stand.acceptor.restate(out, fx);
    stand.acceptor.restate(out, fx);
    let persists: Vec<Effect> = stand.fx.drain().collect();
    assert!(
        matches!(&persists[..], [Effect::Persist { id, what: Persist::State(state) }]
            if state.promised == ballot(3) && *id == stand.acceptor.promise_persist()),
        "{persists:?}"
    );
    stand.durable();
    assert_eq!(stand.acceptor.promised_durable(), ballot(3));
    // Nothing to write where the log keeps what was found.
    let mut stand = Stand::new(Recovered {
        promised: ballot(3),
        lasting: (ballot(3), false),
        ..Recovered::default()
    });
    stand.acceptor.restate(&mut stand.out, &mut stand.fx);
    assert!(stand.fx.drain().next().is_none());
}

#[test]
fn a_chosen_index_says_nothing_about_what_was_accepted_in_another_ballot() {
    let mut stand = Stand::new(Recovered {
        accepted: vec![entry(0, 1), entry(1, 1)],
        promised: ballot(1),
        ..Recovered::default()
    });
    stand.promise(2);
    stand.acceptor.begin_run(Slot(1));
    stand.accept(1, 7);
    stand.acceptor.tell_chosen(ballot(2), Slot(2));
    stand.durable();
    assert_eq!(stand.handed_out(), [], "slot 0 is held from ballot 1");
    // As a chosen value it comes from whoever knows it.
    let stored =
        stand
            .acceptor
            .store_chosen(Slot(0), ballot(1), value(1), &mut stand.out, &mut stand.fx);
    assert_eq!(stored, Stored::Already);
    stand.settle();
    assert_eq!(stand.handed_out(), [0, 1]);
}

#[test]
fn learning_never_lowers_the_ballot_that_is_held() {
    let mut stand = Stand::new(Recovered {
        accepted: vec![entry(0, 5)],
        promised: ballot(5),
        ..Recovered::default()
    });
    let stored =
        stand
            .acceptor
            .store_chosen(Slot(0), ballot(3), value(5), &mut stand.out, &mut stand.fx);
    assert_eq!(stored, Stored::Already);
    stand.settle();
    assert_eq!(
        stand.acceptor.held(Slot(0)).map(|(b, _)| b),
        Some(ballot(5))
    );
}

#[test]
fn what_contradicts_a_chosen_value_is_not_stored() {
    let mut stand = Stand::new(Recovered::default());
    stand
        .acceptor
        .store_chosen(Slot(3), ballot(1), value(1), &mut stand.out, &mut stand.fx);
    stand.promise(2);
    stand.acceptor.begin_run(Slot(0));
    assert_eq!(stand.accept(3, 2), Stored::Contradicts);
    assert_eq!(stand.accept(3, 1), Stored::New);
}

#[test]
fn the_prefix_found_at_opening_ends_at_the_first_slot_not_held() {
    let stand = Stand::new(Recovered {
        accepted: vec![entry(0, 1), entry(1, 1), entry(3, 1), entry(4, 1)],
        unknown: vec![lost(2, 3, Some(1))],
        chosen_prefix: Slot(4),
        promised: ballot(1),
        ..Recovered::default()
    });
    assert_eq!(stand.acceptor.chosen_prefix(), Slot(2));
    let report = stand.acceptor.report(Slot(0));
    assert_eq!(
        report.slots.iter().map(|s| s.slot.0).collect::<Vec<_>>(),
        [3, 4]
    );
    assert_eq!(report.unknown, [lost(2, 3, Some(1))]);
}

#[test]
fn a_surviving_frame_counts_only_if_nothing_newer_can_be_lost() {
    let stand = Stand::new(Recovered {
        accepted: vec![entry(0, 2), entry(1, 1), entry(2, 3)],
        unknown: vec![lost(0, 1, Some(2)), lost(1, u64::MAX, None)],
        promised: ballot(3),
        ..Recovered::default()
    });
    let report = stand.acceptor.report(Slot(0));
    // Slot 0 was lost in the ballot of its survivor, slot 2 survives in the highest that was promised.
    assert_eq!(
        report.slots.iter().map(|s| s.slot.0).collect::<Vec<_>>(),
        [0, 2]
    );
    assert_eq!(
        report.unknown,
        [lost(1, 2, Some(3)), lost(3, u64::MAX, Some(3))]
    );
}

#[test]
fn unknown_slots_are_forgotten_only_where_a_later_ballot_found_nothing() {
    let mut stand = Stand::new(Recovered {
        unknown: vec![lost(2, u64::MAX, None)],
        promised: ballot(1),
        ..Recovered::default()
    });
    stand.promise(2);
    stand.acceptor.begin_run(Slot(0));
    stand.acceptor.forget_unknown(Slot(5));
    assert_eq!(stand.acceptor.unknown_slots(), [lost(2, 5, Some(1))]);
    stand.accept(3, 1);
    assert_eq!(
        stand.acceptor.unknown_slots(),
        [lost(2, 3, Some(1)), lost(4, 5, Some(1))]
    );
}

#[test]
fn a_checkpoint_drops_what_lies_below_and_never_what_is_not_chosen() {
    let mut stand = Stand::new(Recovered {
        accepted: vec![entry(0, 1), entry(1, 1), entry(2, 1)],
        chosen_prefix: Slot(2),
        promised: ballot(1),
        ..Recovered::default()
    });
    stand.acceptor.set_chosen_below(Slot(9));
    assert_eq!(stand.acceptor.chosen_below(), Slot(2));
    assert_eq!(stand.acceptor.held(Slot(1)), None);
    assert_eq!(stand.acceptor.report(Slot(0)).slots.len(), 1);
}

#[test]
fn values_in_memory_are_bounded() {
    let mut stand = Stand::new(Recovered::default());
    stand.acceptor.cached_bytes_max = 10;
    stand.promise(1);
    stand.acceptor.begin_run(Slot(0));
    for slot in 0..5 {
        stand.accept(slot, 1);
    }
    assert!(stand.acceptor.cached_bytes <= 10);
    stand.acceptor.tell_chosen(ballot(1), Slot(5));
    stand.settle();
    let values = stand.fx.drain().filter_map(|effect| match effect {
        Effect::Chosen { value, .. } => Some(value.is_some()),
        _ => None,
    });
    assert_eq!(
        values.collect::<Vec<_>>(),
        [true, true, false, false, false]
    );
    assert_eq!(stand.acceptor.cached_bytes, 0);
}
