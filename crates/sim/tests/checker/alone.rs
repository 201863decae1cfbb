//! Each rule where no other would notice: take it away, and one of these passes.

use paxlog_sim::check::check;
use paxlog_sim::history::{
    Call, Consistency, Event, History, Observed, OpId, Outcome, Receipt, Reply, Settled, Stored,
};

use crate::hand::{Hand, LOG, acked, fails, passes, sealed, session, stored, tail, trimmed};

const LINEARIZABLE: Consistency = Consistency::Linearizable;
const LOCAL: Consistency = Consistency::Local;

/// It has violations of that rule, of which one names these, and none of another.
#[track_caller]
fn only(history: &History, rule: &str, named: &[OpId]) {
    fails(history, rule, named);
    let report = check(history);
    let other = report.violations.iter().find(|found| found.rule() != rule);
    assert_eq!(other.map(ToString::to_string), None, "{rule} alone");
}

/// The same answer with a version.
fn at(is: u64, mut outcome: Outcome) -> Outcome {
    match &mut outcome {
        Outcome::Ok(Reply::Appended(receipt)) => receipt.version = Some(is),
        Outcome::Ok(Reply::Tail(tail)) => tail.version = Some(is),
        Outcome::Ok(
            Reply::Trimmed { version, .. }
            | Reply::Sealed { version, .. }
            | Reply::Created { version, .. },
        ) => *version = Some(is),
        other => unreachable!("{other:?} has none"),
    }
    outcome
}

fn unknown() -> Outcome {
    Outcome::Unknown { code: None }
}

fn created() -> Outcome {
    Outcome::Ok(Reply::Created {
        version: None,
        existed: false,
    })
}

/// Two acknowledged appends of one record.
fn two() -> Hand {
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    hand.append(30..40, "b", 1);
    hand
}

fn check_tail(hand: &mut Hand, consistency: Consistency, outcome: Outcome) -> OpId {
    hand.op(50..60, Call::check_tail(LOG, consistency), outcome)
}

#[test]
fn the_log_at_last_is_dense_and_ends_at_its_tail() {
    let mut history = two().holds(&["a", "b"]);
    passes(&history);
    let again = Stored::new(1, "b", None);
    history.settled[0].records.push(again);
    only(&history, "not_dense", &[]);
    let mut history = two().holds(&["a", "b"]);
    history.settled[0].tail = 1;
    only(&history, "not_dense", &[]);
    // And so is what was kept of what was trimmed.
    for kept in [[0, 0], [1, 0]] {
        let mut hand = two();
        hand.op(50..60, Call::trim(LOG, 2), trimmed(2, 2));
        let mut history = hand.holds(&["a", "b"]);
        let settled = &mut history.settled[0];
        let records = std::mem::take(&mut settled.records);
        settled.kept = kept.iter().map(|at| records[*at].clone()).collect();
        settled.trim_point = 2;
        only(&history, "not_dense", &[]);
    }
}

#[test]
fn a_batch_of_unknown_outcome_is_whole_too() {
    let batch = |holds: &[&str]| {
        let mut hand = Hand::default();
        hand.append(10..20, "a", 0);
        let id = hand.op(30..40, Call::append(LOG, ["x", "y"]), unknown());
        (hand.holds(holds), id)
    };
    passes(&batch(&["a", "x", "y"]).0);
    passes(&batch(&["a"]).0);
    // Its end is not there.
    let (history, id) = batch(&["a", "x"]);
    only(&history, "torn", &[id]);
    // What is known of a trimmed one is not together.
    let mut hand = Hand::default();
    let id = hand.op(10..20, Call::append(LOG, ["x", "y"]), unknown());
    hand.op(10..20, Call::append(LOG, ["u"]), unknown());
    hand.append(30..40, "b", 3);
    hand.op(50..60, Call::trim(LOG, 3), trimmed(3, 4));
    hand.0.settle(Settled {
        trim_point: 3,
        kept: vec![Stored::new(0, "x", None), Stored::new(2, "y", None)],
        ..Settled::whole(LOG, vec![Stored::new(3, "b", None)])
    });
    let history = hand.0.finish();
    fails(&history, "torn", &[id]);
}

#[test]
fn the_log_at_last_is_trimmed_and_sealed_as_it_was_asked_and_answered() {
    let trimmed_at_last = |mut hand: Hand, trim_point: u64| {
        let mut kept = stored(&["a", "b"]);
        let records = kept.split_off(trim_point as usize);
        hand.0.settle(Settled {
            trim_point,
            tail: 2,
            kept,
            ..Settled::whole(LOG, records)
        });
        hand.0.finish()
    };
    only(&trimmed_at_last(two(), 1), "trim_unexplained", &[]);
    let mut hand = two();
    hand.op(50..60, Call::trim(LOG, 2), unknown());
    only(&trimmed_at_last(hand, 1), "trim_unexplained", &[]);
    let mut hand = two();
    hand.op(
        50..60,
        Call::trim(LOG, 1),
        crate::hand::refused("Overloaded"),
    );
    only(&trimmed_at_last(hand, 1), "trim_unexplained", &[]);
    let mut hand = two();
    let trim = hand.op(50..60, Call::trim(LOG, 1), trimmed(1, 2));
    only(&trimmed_at_last(hand, 0), "order", &[trim]);
    let sealed_at_last = |hand: Hand, is| {
        let mut history = hand.holds(&["a", "b"]);
        history.settled[0].sealed = Some(is);
        history
    };
    only(&sealed_at_last(two(), true), "seal_unexplained", &[]);
    let mut hand = two();
    hand.op(50..60, Call::seal(LOG), crate::hand::refused("Overloaded"));
    only(&sealed_at_last(hand, true), "seal_unexplained", &[]);
    let mut hand = two();
    let seal = hand.op(50..60, Call::seal(LOG), sealed(2));
    only(&sealed_at_last(hand, false), "order", &[seal]);
}

#[test]
fn a_trim_is_seen_by_all_after_it_and_by_nobody_before_it() {
    let seen = |called, asked: u64, consistency, shown| {
        let mut hand = two();
        let trim = hand.op(called..49, Call::trim(LOG, asked), trimmed(asked, 2));
        let seen = check_tail(&mut hand, consistency, tail(2, shown, false));
        let mut records = stored(&["a", "b"]);
        let rest = records.split_off(asked as usize);
        hand.0.settle(Settled {
            trim_point: asked,
            tail: 2,
            kept: records,
            ..Settled::whole(LOG, rest)
        });
        (hand.0.finish(), trim, seen)
    };
    passes(&seen(45, 1, LINEARIZABLE, 1).0);
    passes(&seen(45, 1, LOCAL, 0).0);
    let (history, trim, check) = seen(45, 1, LINEARIZABLE, 0);
    only(&history, "order", &[trim, check]);
    let (history, _, check) = seen(45, 2, LOCAL, 1);
    only(&history, "trim_unexplained", &[check]);
    // Called when the reader was done.
    let mut hand = two();
    let check = check_tail(&mut hand, LOCAL, tail(2, 2, false));
    hand.op(70..80, Call::trim(LOG, 2), trimmed(2, 2));
    hand.0.settle(Settled {
        trim_point: 2,
        tail: 2,
        kept: stored(&["a", "b"]),
        ..Settled::whole(LOG, Vec::new())
    });
    fails(&hand.0.finish(), "trim_unexplained", &[check]);
}

#[test]
fn the_tails_that_receipts_and_events_tell_are_of_this_log() {
    let mut hand = Hand::default();
    let early = hand.op(
        10..20,
        Call::append(LOG, ["a"]),
        Outcome::Ok(Reply::Appended(Receipt {
            tail: Some(2),
            ..Receipt::at(0..1)
        })),
    );
    let next = hand.append(30..40, "b", 1);
    let history = hand.holds(&["a", "b"]);
    // As it was answered the next was not yet called.
    fails(&history, "order", &[early, next]);
    let event = |event: Event| {
        let mut hand = two();
        hand.op(45..49, Call::seal(LOG), sealed(2));
        let client = paxlog_sim::history::ClientId(1);
        let id = hand.0.event(50, client, LOG, session(1), event);
        (hand.holds(&["a", "b"]), id)
    };
    passes(&event(Event::CaughtUp { tail: 2 }).0);
    passes(&event(Event::Sealed { tail: 2 }).0);
    let (history, id) = event(Event::CaughtUp { tail: 3 });
    only(&history, "no_batch_end", &[id]);
    let (history, id) = event(Event::Sealed { tail: 1 });
    only(&history, "after_seal", &[id]);
}

#[test]
fn the_making_of_a_log_has_the_first_version_and_nothing_has_none() {
    let with = |version, seen| {
        let mut hand = Hand::default();
        let create = hand.op(0..9, Call::create(LOG, false), at(version, created()));
        hand.op(10..20, Call::append(LOG, ["a"]), at(version + 1, acked(0)));
        let check = check_tail(&mut hand, LOCAL, at(seen, tail(0, 0, false)));
        (hand.holds(&["a"]), create, check)
    };
    passes(&with(1, 1).0);
    let (history, create, _) = with(2, 2);
    only(&history, "first_version", &[create]);
    let (history, _, check) = with(1, 0);
    fails(&history, "first_version", &[check]);
}

#[test]
fn what_is_said_of_one_version_agrees() {
    // Three commands: versions 2, 3 and, of the trim, 4. All overlaps, so that only versions tell.
    let with = |one: Outcome, two: Outcome| {
        let mut hand = Hand::default();
        hand.op(10..90, Call::append(LOG, ["a"]), at(2, acked(0)));
        hand.op(10..90, Call::append(LOG, ["b"]), at(3, acked(1)));
        hand.op(10..90, Call::trim(LOG, 1), at(4, trimmed(1, 2)));
        hand.op(10..90, Call::trim(LOG, 2), at(5, trimmed(2, 2)));
        hand.op(10..90, Call::seal(LOG), at(6, sealed(2)));
        let time = || 10..90;
        let call = || Call::check_tail(LOG, LINEARIZABLE);
        let both = [hand.op(time(), call(), one), hand.op(time(), call(), two)];
        hand.0.settle(Settled {
            trim_point: 2,
            tail: 2,
            kept: stored(&["a", "b"]),
            ..Settled::whole(LOG, Vec::new())
        });
        (hand.0.finish(), both)
    };
    let good = || at(5, tail(2, 2, false));
    passes(&with(good(), at(3, tail(2, 0, false))).0);
    // Two tails of one version; a lower one of a higher.
    let (history, [_, two]) = with(good(), at(2, tail(2, 0, false)));
    only(&history, "states", &[two]);
    let (history, [_, two]) = with(good(), at(3, tail(1, 0, false)));
    only(&history, "states", &[two]);
    // Two trim points of one version; a lower one of a higher.
    let (history, [_, two]) = with(good(), at(4, tail(2, 2, false)));
    only(&history, "states", &[two]);
    let (history, [_, two]) = with(good(), at(5, tail(2, 1, false)));
    only(&history, "states", &[two]);
    // Not sealed any more.
    let (history, [_, two]) = with(good(), at(6, tail(2, 2, false)));
    only(&history, "after_seal", &[two]);
    // Sealed already, and a trim point that comes only later.
    let (history, [_, two]) = with(good(), at(5, tail(2, 2, true)));
    only(&history, "seal_unexplained", &[two]);
    let (history, [one, two]) = with(at(2, tail(1, 1, false)), at(3, tail(2, 1, false)));
    let found = fails(&history, "trim_unexplained", &[one]);
    assert!(!found.to_string().contains(&format!("{two} [")), "{found}");
}

#[test]
fn a_sessions_version_does_not_go_back_where_its_tail_stands() {
    let mut hand = Hand::default();
    hand.op(10..20, Call::append(LOG, ["a"]), at(2, acked(0)));
    hand.op(25..30, Call::trim(LOG, 0), at(3, trimmed(0, 1)));
    let shown = |hand: &mut Hand, time, version| {
        let call = Call::check_tail(LOG, LOCAL).in_session(session(1), 0);
        hand.op(time, call, at(version, tail(1, 0, false)))
    };
    let first = shown(&mut hand, 40..50, 3);
    let second = shown(&mut hand, 60..70, 2);
    only(&hand.holds(&["a"]), "session_back", &[first, second]);
}

#[test]
fn the_answers_to_one_command_are_one_answer() {
    let again = |call: Call, one: Outcome, two: Outcome| {
        let mut hand = two_and_made();
        let id = hand.op(50..60, call, one);
        hand.0.end(70, id, two);
        let mut history = hand.holds(&["a", "b"]);
        if let Outcome::Ok(Reply::Trimmed { trim_point, .. }) = history.operations[3].outcome {
            let settled = &mut history.settled[0];
            settled.kept = settled.records.drain(..trim_point as usize).collect();
            settled.trim_point = trim_point;
        }
        (history, id)
    };
    let made = |existed| {
        Outcome::Ok(Reply::Created {
            version: None,
            existed,
        })
    };
    passes(&again(Call::trim(LOG, 1), at(4, trimmed(1, 2)), trimmed(1, 2)).0);
    for (call, one, two) in [
        (Call::trim(LOG, 1), trimmed(1, 2), trimmed(0, 2)),
        (Call::trim(LOG, 1), trimmed(1, 2), trimmed(1, 1)),
        (
            Call::trim(LOG, 1),
            at(4, trimmed(1, 2)),
            at(5, trimmed(1, 2)),
        ),
        (Call::create(LOG, true), made(true), made(false)),
        (
            Call::create(LOG, true),
            at(3, made(true)),
            at(2, made(true)),
        ),
        (Call::trim(LOG, 1), trimmed(1, 2), sealed(2)),
    ] {
        let (history, id) = again(call, one, two);
        only(&history, "answers_differ", &[id]);
    }
}

fn two_and_made() -> Hand {
    let mut hand = Hand::default();
    hand.op(0..9, Call::create(LOG, false), created());
    hand.append(10..20, "a", 0);
    hand.append(30..40, "b", 1);
    hand
}

#[test]
fn a_trim_is_refused_only_beyond_the_end() {
    let refuse = |to, end| {
        let mut hand = two();
        let seen = Some(Observed {
            tail: Some(end),
            ..Observed::default()
        });
        let code = "OffsetOutOfRange".into();
        let id = hand.op(
            50..60,
            Call::trim(LOG, to),
            Outcome::NotApplied { code, seen },
        );
        (hand.holds(&["a", "b"]), id)
    };
    passes(&refuse(3, 2).0);
    let (history, id) = refuse(2, 2);
    only(&history, "wrong_refusal", &[id]);
    let (history, id) = refuse(2, 1);
    only(&history, "order", &[id]);
}

#[test]
fn a_reader_begins_where_it_asked_and_leaves_out_only_what_was_trimmed() {
    use paxlog_sim::history::{Gap, ReadReply};
    let read = |trim: Option<Outcome>, reply: ReadReply| {
        let mut hand = two();
        if let Some(outcome) = trim {
            hand.op(45..49, Call::trim(LOG, 2), outcome);
        }
        let call = Call::read(LOG, LOCAL, false).reading_from(0);
        let id = hand.op(50..60, call, Outcome::Ok(Reply::Read(reply)));
        (hand.holds(&["a", "b"]), id)
    };
    let gives = |from: usize, next| ReadReply {
        records: stored(&["a", "b"]).split_off(from),
        next: Some(next),
        ..ReadReply::default()
    };
    passes(&read(None, gives(0, 2)).0);
    for reply in [gives(0, 3), gives(0, 1), gives(1, 2)] {
        let (history, id) = read(None, reply);
        only(&history, "jump", &[id]);
    }
    // A gap that goes back.
    let back = ReadReply {
        gaps: vec![Gap { from: 2, to: 1 }],
        next: Some(1),
        ..gives(0, 1)
    };
    let (history, id) = read(None, back);
    only(&history, "jump", &[id]);
    // A trim was asked for, and refused; or it is not known what came of it, and at last it had not been.
    for outcome in [crate::hand::refused("Overloaded"), unknown()] {
        let gap = ReadReply {
            gaps: vec![Gap { from: 0, to: 1 }],
            ..gives(1, 2)
        };
        let (mut history, id) = read(Some(outcome.clone()), gap);
        only(&history, "gap_not_trimmed", &[id]);
        // Of a refused one also where something was trimmed later.
        if outcome != unknown() {
            let mut later = Hand::default();
            later.op(70..80, Call::trim(LOG, 1), trimmed(1, 2));
            history.operations.extend(later.0.finish().operations);
            let settled = &mut history.settled[0];
            settled.kept = settled.records.drain(..1).collect();
            settled.trim_point = 1;
            only(&history, "gap_not_trimmed", &[id]);
        }
    }
}

#[test]
fn what_a_tail_told_counts_as_shown_to_its_session() {
    let mut hand = two();
    let client = paxlog_sim::history::ClientId(1);
    let told = hand
        .0
        .event(45, client, LOG, session(1), Event::CaughtUp { tail: 2 });
    let call = Call::check_tail(LOG, LOCAL).in_session(session(1), 0);
    let less = hand.op(50..60, call, tail(1, 0, false));
    only(&hand.holds(&["a", "b"]), "session_back", &[told, less]);
}
