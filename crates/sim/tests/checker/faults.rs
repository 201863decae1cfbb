//! The five faults of a log, each in a history as small as can be: the fault is named, and both who contradict.

use paxlog_sim::history::{Call, Consistency, Outcome, ReadReply, Receipt, Reply};

use crate::hand::{Hand, LOG, fails, passes, stored, tail};

/// Who found the log as it is when everything is over.
const WHOLE: &str = "the log, read whole when everything was over";

#[test]
fn a_lost_append_and_what_stands_in_its_place() {
    let mut hand = Hand::default();
    let lost = hand.append(10..20, "a", 0);
    let instead = hand.append(30..40, "b", 1);
    fails(&hand.holds(&["b"]), "misplaced", &[instead]);
    let mut hand = Hand::default();
    assert_eq!(lost, hand.append(10..20, "a", 0));
    let instead = hand.unknown(30, "b");
    fails(&hand.holds(&["b"]), "lost", &[lost, instead]);
}

#[test]
fn a_lost_append_and_who_found_nothing_in_its_place() {
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    let lost = hand.append(30..40, "b", 1);
    let found = fails(&hand.holds(&["a"]), "lost", &[lost]);
    assert!(found.to_string().contains(WHOLE), "{found}");
}

#[test]
fn a_duplicate_and_who_found_it() {
    let mut hand = Hand::default();
    let twice = hand.append(10..20, "a", 0);
    hand.append(30..40, "b", 1);
    let found = fails(&hand.holds(&["a", "b", "a"]), "twice", &[twice]);
    assert!(found.to_string().contains(WHOLE), "{found}");
    // In the place of another it is that one's loss too.
    let mut hand = Hand::default();
    let twice = hand.append(10..20, "a", 0);
    let lost = hand.append(30..40, "b", 1);
    let history = hand.holds(&["a", "a"]);
    fails(&history, "twice", &[twice]);
    fails(&history, "lost", &[lost, twice]);
}

#[test]
fn a_duplicate_that_a_reader_was_given() {
    let mut hand = Hand::default();
    let twice = hand.append(10..20, "a", 0);
    let read = hand.op(
        30..40,
        Call::read(LOG, Consistency::Local, false).reading_from(0),
        Outcome::Ok(Reply::Read(ReadReply {
            records: stored(&["a", "a"]),
            ..ReadReply::default()
        })),
    );
    fails(&hand.holds(&["a"]), "read_differs", &[read, twice]);
}

#[test]
fn a_reordering_and_the_two_that_changed_places() {
    // Against their receipts.
    let mut hand = Hand::default();
    let one = hand.append(10..20, "a", 0);
    let two = hand.append(30..40, "b", 1);
    let history = hand.holds(&["b", "a"]);
    fails(&history, "misplaced", &[one, two]);
    // Against time, and their receipts say it themselves.
    let mut hand = Hand::default();
    let one = hand.append(10..20, "a", 1);
    let two = hand.append(30..40, "b", 0);
    fails(&hand.holds(&["b", "a"]), "order", &[one, two]);
    // Overlapping, either order is one.
    let mut hand = Hand::default();
    hand.append(10..30, "a", 1);
    hand.append(30..40, "b", 0);
    passes(&hand.holds(&["b", "a"]));
}

#[test]
fn a_stale_linearizable_tail_and_the_append_that_it_did_not_see() {
    let mut hand = Hand::default();
    let unseen = hand.append(10..20, "a", 0);
    let stale = hand.op(
        30..40,
        Call::check_tail(LOG, Consistency::Linearizable),
        tail(0, 0, false),
    );
    fails(&hand.holds(&["a"]), "order", &[unseen, stale]);
    // A local one may be; and one that overlaps.
    for (time, consistency) in [
        (30..40, Consistency::Local),
        (20..40, Consistency::Linearizable),
    ] {
        let mut hand = Hand::default();
        hand.append(10..20, "a", 0);
        let call = Call::check_tail(LOG, consistency);
        hand.op(time, call, tail(0, 0, false));
        passes(&hand.holds(&["a"]));
    }
}

#[test]
fn a_timestamp_that_goes_back_and_the_two_appends() {
    for known in [true, false] {
        let mut hand = Hand::default();
        let mut stamped = |time, payload: &str, offset: u64, timestamp| {
            let outcome = Outcome::Ok(Reply::Appended(Receipt {
                timestamp: Some(timestamp),
                ..Receipt::at(offset..offset + 1)
            }));
            hand.op(time, Call::append(LOG, [payload]), outcome)
        };
        let before = stamped(10..20, "a", 0, 200);
        let after = stamped(30..40, "b", 1, 100);
        let mut history = hand.holds(&["a", "b"]);
        // Also where only the receipts know of timestamps.
        if known {
            for (stored, timestamp) in history.settled[0].records.iter_mut().zip([200, 100]) {
                stored.timestamp = Some(timestamp);
            }
        }
        fails(&history, "timestamp_back", &[before, after]);
    }
}
