//! What must show also where replies carry no versions.

use paxlog_sim::history::{Call, Consistency, Gap, Outcome, ReadReply, Reply, Settled, TailReply};

use crate::hand::{Hand, LOG, fails, passes, refused, session, stored, tail, trimmed};

const LINEARIZABLE: Consistency = Consistency::Linearizable;
const LOCAL: Consistency = Consistency::Local;

/// Two records, trimmed up to there at last.
fn trimmed_to(mut hand: Hand, trim_point: u64) -> paxlog_sim::history::History {
    let mut records = stored(&["a", "b"]);
    let rest = records.split_off(trim_point as usize);
    hand.0.settle(Settled {
        trim_point,
        tail: 2,
        kept: records,
        ..Settled::whole(LOG, rest)
    });
    hand.0.finish()
}

#[test]
fn no_trim_point_lies_beyond_the_tail() {
    // A trim beyond the end, before the append that made it reach so far.
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    let trim = hand.op(30..60, Call::trim(LOG, 2), trimmed(2, 1));
    hand.append(30..60, "b", 1);
    fails(&trimmed_to(hand, 2), "states", &[trim]);
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    hand.op(30..60, Call::trim(LOG, 2), trimmed(2, 2));
    hand.append(30..60, "b", 1);
    let seen = hand.op(30..60, Call::check_tail(LOG, LOCAL), tail(1, 2, false));
    fails(&trimmed_to(hand, 2), "states", &[seen]);
    // With versions as well.
    let mut hand = Hand::default();
    let versioned = |mut outcome: Outcome, is| {
        match &mut outcome {
            Outcome::Ok(Reply::Appended(receipt)) => receipt.version = Some(is),
            Outcome::Ok(Reply::Trimmed { version, .. }) => *version = Some(is),
            other => unreachable!("{other:?}"),
        }
        outcome
    };
    let acked = |offset, is| versioned(crate::hand::acked(offset), is);
    hand.op(10..20, Call::append(LOG, ["a"]), acked(0, 2));
    let trim = hand.op(30..60, Call::trim(LOG, 2), versioned(trimmed(2, 1), 3));
    hand.op(30..60, Call::append(LOG, ["b"]), acked(1, 4));
    fails(&trimmed_to(hand, 2), "states", &[trim]);
    // And at last.
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    hand.append(30..40, "b", 1);
    hand.op(50..60, Call::trim(LOG, 3), Outcome::Unknown { code: None });
    let mut history = trimmed_to(hand, 2);
    history.settled[0].trim_point = 3;
    fails(&history, "states", &[]);
}

#[test]
fn a_trim_reaches_what_it_was_asked_for() {
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    hand.append(20..30, "b", 1);
    hand.op(31..32, Call::trim(LOG, 1), trimmed(1, 2));
    let trim = hand.op(40..50, Call::trim(LOG, 2), trimmed(1, 2));
    fails(&trimmed_to(hand, 1), "states", &[trim]);
}

#[test]
fn states_that_no_one_order_can_show() {
    // One saw the append and not the trim, the other the trim and not the append.
    let crossing = |one: Outcome, two: Outcome| {
        let mut hand = Hand::default();
        hand.append(10..20, "a", 0);
        hand.append(30..90, "b", 1);
        hand.op(30..90, Call::trim(LOG, 1), trimmed(1, 2));
        hand.op(30..90, Call::seal(LOG), crate::hand::sealed(2));
        let one = hand.op(30..90, Call::check_tail(LOG, LINEARIZABLE), one);
        let two = hand.op(30..90, Call::check_tail(LOG, LOCAL), two);
        (trimmed_to(hand, 1), [one, two])
    };
    let (history, both) = crossing(tail(2, 0, false), tail(1, 1, false));
    fails(&history, "states", &both);
    // One the trim and not the seal, the other the seal and not the trim.
    let (history, both) = crossing(tail(2, 0, true), tail(2, 1, false));
    fails(&history, "states", &both);
    passes(&crossing(tail(1, 0, false), tail(2, 1, false)).0);
    passes(&crossing(tail(2, 0, false), tail(2, 1, false)).0);
    passes(&crossing(tail(2, 1, false), tail(2, 1, true)).0);
}

#[test]
fn a_log_is_made_once() {
    let created = |existed| {
        Outcome::Ok(Reply::Created {
            version: None,
            existed,
        })
    };
    for existed in [true, false] {
        let mut hand = Hand::default();
        let one = hand.op(0..9, Call::create(LOG, true), created(false));
        let two = hand.op(0..9, Call::create(LOG, true), created(existed));
        hand.append(10..20, "a", 0);
        let history = hand.holds(&["a"]);
        match existed {
            true => passes(&history),
            false => drop(fails(&history, "states", &[one, two])),
        }
    }
}

#[test]
fn records_that_a_session_was_given_count_as_shown() {
    for (later, rule) in [(2, None), (1, Some("session_back"))] {
        let mut hand = Hand::default();
        hand.append(10..20, "a", 0);
        hand.append(20..30, "b", 1);
        let read = hand.op(
            40..50,
            Call::read(LOG, LOCAL, false)
                .reading_from(0)
                .in_session(session(1), 0),
            Outcome::Ok(Reply::Read(ReadReply {
                records: stored(&["a", "b"]),
                error: Some("Unavailable".into()),
                ..ReadReply::default()
            })),
        );
        let call = Call::check_tail(LOG, LOCAL).in_session(session(1), 0);
        let check = hand.op(60..70, call, tail(later, 0, false));
        let history = hand.holds(&["a", "b"]);
        match rule {
            None => passes(&history),
            Some(rule) => drop(fails(&history, rule, &[read, check])),
        }
    }
}

#[test]
fn a_strict_read_is_refused_only_for_what_was_trimmed() {
    let refuse = |from, called| {
        let mut hand = Hand::default();
        hand.append(10..20, "a", 0);
        hand.append(20..30, "b", 1);
        hand.op(called..60, Call::trim(LOG, 1), trimmed(1, 2));
        let call = Call::read(LOG, LINEARIZABLE, true).reading_from(from);
        let read = hand.op(40..50, call, refused("Trimmed"));
        (trimmed_to(hand, 1), read)
    };
    passes(&refuse(0, 50).0);
    for (from, called) in [(1, 50), (0, 51)] {
        let (history, read) = refuse(from, called);
        fails(&history, "wrong_refusal", &[read]);
    }
}

#[test]
fn an_answer_to_another_question_is_no_answer() {
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    let odd = hand.op(30..40, Call::append(LOG, ["b"]), tail(1, 0, false));
    fails(&hand.holds(&["a"]), "wrong_receipt", &[odd]);
}

#[test]
fn an_acknowledged_append_that_began_with_the_clock_is_no_reader() {
    let mut hand = Hand::default();
    let one = hand.append(0..5, "a", 1);
    let two = hand.append(10..20, "b", 0);
    fails(&hand.holds(&["b", "a"]), "order", &[one, two]);
}

#[test]
fn timestamps_that_only_readers_were_told() {
    let told = |offset, timestamp| {
        Outcome::Ok(Reply::Tail(TailReply {
            offset,
            timestamp: Some(timestamp),
            trim_point: 0,
            sealed: false,
            version: None,
            fence: None,
        }))
    };
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    let one = hand.op(21..22, Call::check_tail(LOG, LINEARIZABLE), told(1, 200));
    let again = hand.op(23..24, Call::check_tail(LOG, LOCAL), told(1, 201));
    fails(&hand.holds(&["a"]), "timestamps_differ", &[one, again]);
}

#[test]
fn a_gap_goes_on_where_the_last_record_was() {
    // The gap says that it begins elsewhere.
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    hand.append(20..30, "b", 1);
    hand.op(31..32, Call::trim(LOG, 2), trimmed(2, 2));
    let read = hand.op(
        40..50,
        Call::read(LOG, LOCAL, false).reading_from(0),
        Outcome::Ok(Reply::Read(ReadReply {
            gaps: vec![Gap { from: 1, to: 2 }],
            next: Some(2),
            ..ReadReply::default()
        })),
    );
    fails(&trimmed_to(hand, 2), "jump", &[read]);
}
