//! A log that is sealed in the midst of its appends: what is refused, retried and told again.

use paxlog_sim::history::{Call, Consistency, Observed, Outcome, Reply};

use crate::hand::{Hand, LOG, acked, fails, passes, refused, sealed, tail};

const LINEARIZABLE: Consistency = Consistency::Linearizable;

#[test]
fn a_refusal_tells_of_a_seal_also_where_nothing_else_is_known_of_it() {
    // Nobody has asked for one.
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    let refusal = hand.op(30..40, Call::append(LOG, ["b"]), refused("Sealed"));
    fails(&hand.holds(&["a"]), "seal_unexplained", &[refusal]);
    // Whatever else it saw; and so does another command's that saw a seal.
    for (call, code, is) in [
        (Call::append(LOG, ["b"]), "Sealed", None),
        (Call::trim(LOG, 9), "OffsetOutOfRange", Some(true)),
    ] {
        let mut hand = Hand::default();
        hand.append(10..20, "a", 0);
        let outcome = Outcome::NotApplied {
            code: code.into(),
            seen: Some(Observed {
                tail: Some(1),
                sealed: is,
                ..Observed::default()
            }),
        };
        let refusal = hand.op(30..40, call, outcome);
        fails(&hand.holds(&["a"]), "seal_unexplained", &[refusal]);
    }
    // Only when the refusal was over.
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    let refusal = hand.op(30..40, Call::append(LOG, ["b"]), refused("Sealed"));
    let seal = hand.op(50..60, Call::seal(LOG), sealed(1));
    fails(&hand.holds(&["a"]), "seal_unexplained", &[refusal]);
    assert_ne!(seal, refusal);
    // A seal whose outcome nobody knows explains it.
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    hand.op(25..26, Call::seal(LOG), Outcome::Unknown { code: None });
    hand.op(30..40, Call::append(LOG, ["b"]), refused("Sealed"));
    passes(&hand.holds(&["a"]));
    // But then the log stays so.
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    hand.op(25..26, Call::seal(LOG), Outcome::Unknown { code: None });
    let refusal = hand.op(30..40, Call::append(LOG, ["b"]), refused("Sealed"));
    let later = hand.op(50..60, Call::append(LOG, ["c"]), acked(1));
    fails(&hand.holds(&["a", "c"]), "order", &[refusal, later]);
}

#[test]
fn what_was_refused_under_a_seal_is_nowhere() {
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    hand.op(25..29, Call::seal(LOG), sealed(1));
    let refusal = hand.op(30..40, Call::append(LOG, ["b"]), refused("Sealed"));
    fails(&hand.holds(&["a", "b"]), "applied_not_applied", &[refusal]);
}

#[test]
fn nothing_lands_behind_a_seal_and_both_are_named() {
    // It overlaps the seal, so that time says nothing.
    for acknowledged in [true, false] {
        let mut hand = Hand::default();
        hand.append(10..20, "a", 0);
        let seal = hand.op(30..50, Call::seal(LOG), sealed(1));
        let after = match acknowledged {
            true => hand.append(35..45, "b", 1),
            false => hand.unknown(35, "b"),
        };
        fails(&hand.holds(&["a", "b"]), "after_seal", &[seal, after]);
    }
    // The seal itself may be unknown, and seen by somebody.
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    hand.op(25..50, Call::seal(LOG), Outcome::Unknown { code: None });
    let seen = hand.op(
        30..50,
        Call::check_tail(LOG, Consistency::Local),
        tail(1, 0, true),
    );
    let after = hand.append(35..45, "b", 1);
    fails(&hand.holds(&["a", "b"]), "after_seal", &[seen, after]);
}

#[test]
fn a_tail_that_does_not_show_an_answered_seal_is_stale() {
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    let seal = hand.op(30..40, Call::seal(LOG), sealed(1));
    let stale = hand.op(
        50..60,
        Call::check_tail(LOG, LINEARIZABLE),
        tail(1, 0, false),
    );
    fails(&hand.holds(&["a"]), "order", &[seal, stale]);
}

#[test]
fn a_seal_that_is_sent_again_gets_its_first_answer() {
    let again = |tail, version| {
        let mut hand = Hand::default();
        hand.append(10..20, "a", 0);
        let answer = |duplicate, tail, version| {
            Outcome::Ok(Reply::Sealed {
                tail,
                version: Some(version),
                duplicate,
            })
        };
        let seal = hand.op(30..40, Call::seal(LOG), answer(false, 1, 3));
        hand.0.end(50, seal, answer(true, tail, version));
        (hand.holds(&["a"]), seal)
    };
    passes(&again(1, 3).0);
    for (tail, version) in [(0, 3), (2, 3), (1, 4)] {
        let (history, seal) = again(tail, version);
        fails(&history, "answers_differ", &[seal]);
    }
    // Only the answer to the second sending came: it counts as any.
    let late = |tail| {
        let mut hand = Hand::default();
        hand.append(10..20, "a", 0);
        let answer = Outcome::Ok(Reply::Sealed {
            tail,
            version: None,
            duplicate: true,
        });
        let seal = hand.op(30..90, Call::seal(LOG), answer);
        let next = hand.append(40..50, "b", 1);
        (hand.holds(&["a", "b"]), seal, next)
    };
    passes(&late(2).0);
    let (history, seal, next) = late(1);
    fails(&history, "after_seal", &[seal, next]);
}

#[test]
fn a_refusal_by_the_log_is_for_good() {
    // Acknowledged, and the same sequence is then refused: its receipt was forgotten.
    let mut hand = Hand::default();
    let append = hand.append(10..20, "a", 0);
    hand.op(30..40, Call::seal(LOG), sealed(1));
    hand.0.end(50, append, refused("Sealed"));
    fails(&hand.holds(&["a"]), "answers_differ", &[append]);
    // Refused, and then acknowledged.
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    let append = hand.op(30..40, Call::append(LOG, ["b"]), refused("TailMismatch"));
    hand.0.end(50, append, acked(1));
    fails(&hand.holds(&["a", "b"]), "answers_differ", &[append]);
    // What only one attempt was told says nothing of the next.
    let mut hand = Hand::default();
    hand.append(10..20, "a", 0);
    let append = hand.op(30..40, Call::append(LOG, ["b"]), refused("Overloaded"));
    hand.0.end(50, append, acked(1));
    hand.0.end(60, append, refused("NotLeader"));
    passes(&hand.holds(&["a", "b"]));
}
