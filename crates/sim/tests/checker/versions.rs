//! Commands whose callers never learned what came of them take the versions that are left: not before they were called,
//! not after they were seen, and in their order.

use paxlog_sim::history::{Call, Consistency, History, Observed, OpId, Outcome, Reply, Settled};

use crate::hand::{Hand, LOG, acked, fails, passes, stored, tail, trimmed};

/// The same answer with a version.
fn at(is: u64, mut outcome: Outcome) -> Outcome {
    match &mut outcome {
        Outcome::Ok(Reply::Appended(receipt)) => receipt.version = Some(is),
        Outcome::Ok(Reply::Tail(tail)) => tail.version = Some(is),
        Outcome::Ok(Reply::Trimmed { version, .. }) => *version = Some(is),
        other => unreachable!("{other:?} has none"),
    }
    outcome
}

/// An append of version 2, and what comes then.
struct Versions(Hand);

impl Versions {
    fn new() -> Versions {
        let mut hand = Hand::default();
        hand.op(10..20, Call::append(LOG, ["a"]), at(2, acked(0)));
        Versions(hand)
    }

    /// Begun then, and never heard of again.
    fn unknown(&mut self, call: u64, what: Call) -> OpId {
        self.0.0.begin(call, paxlog_sim::history::ClientId(1), what)
    }

    /// Somebody is told that version and nothing else.
    fn told(&mut self, version: u64) {
        let outcome = Outcome::NotApplied {
            code: "Invalid".into(),
            seen: Some(Observed {
                version: Some(version),
                ..Observed::default()
            }),
        };
        self.0.op(30..40, Call::append(LOG, ["refused"]), outcome);
    }

    fn check_tail(&mut self, version: u64, outcome: Outcome) -> OpId {
        let call = Call::check_tail(LOG, Consistency::Linearizable);
        self.0.op(30..40, call, at(version, outcome))
    }

    /// The log holds that and has that version at last, if it is known.
    fn end(mut self, payloads: &[&str], trim_point: u64, version: Option<u64>) -> History {
        let mut kept = stored(payloads);
        let records = kept.split_off(trim_point as usize);
        self.0.0.settle(Settled {
            trim_point,
            tail: payloads.len() as u64,
            version,
            kept,
            ..Settled::whole(LOG, records)
        });
        self.0.0.finish()
    }
}

fn unexplained(history: &History) {
    fails(history, "version_unexplained", &[]);
}

#[test]
fn an_append_takes_none_that_was_over_when_it_was_called() {
    let with = |call| {
        let mut log = Versions::new();
        log.told(3);
        log.unknown(call, Call::append(LOG, ["b"]));
        log.end(&["a", "b"], 0, Some(3))
    };
    passes(&with(40));
    unexplained(&with(41));
}

#[test]
fn appends_take_theirs_in_their_order() {
    let with = |called| {
        let mut log = Versions::new();
        log.told(3);
        log.unknown(called, Call::append(LOG, ["b"]));
        log.unknown(0, Call::append(LOG, ["c"]));
        log.end(&["a", "b", "c"], 0, Some(4))
    };
    passes(&with(40));
    // The second was called early, and stands behind one that can only have had version 4.
    unexplained(&with(41));
}

#[test]
fn an_append_of_a_pipeline_takes_none_before_the_tail_that_it_moved() {
    let mut log = Versions::new();
    log.check_tail(3, tail(1, 0, false));
    for payload in ["b", "c"] {
        let client = paxlog_sim::history::ClientId(1);
        log.0.0.begin_in(0, client, 7, Call::append(LOG, [payload]));
    }
    unexplained(&log.end(&["a", "b", "c"], 0, Some(4)));
}

#[test]
fn a_trim_takes_none_where_it_was_refused_or_not_yet_seen() {
    // Beyond the end.
    let with = |to| {
        let mut log = Versions::new();
        log.unknown(0, Call::trim(LOG, to));
        log.told(3);
        log.end(&["a"], 0, None)
    };
    unexplained(&with(2));
    // Somebody saw at version 4 that nothing had been trimmed.
    let with = |shown, at_last| {
        let mut log = Versions::new();
        log.0.op(10..20, Call::append(LOG, ["b"]), at(4, acked(1)));
        log.unknown(0, Call::trim(LOG, 1));
        log.check_tail(4, tail(2, shown, false));
        log.end(&["a", "b"], at_last, Some(4))
    };
    passes(&with(1, 1));
    unexplained(&with(0, 0));
}

#[test]
fn what_was_seen_has_a_version() {
    // All versions are others'.
    let with = |free: u64, shown, what: Call| {
        let mut log = Versions::new();
        let second = at(3 + free, acked(1));
        log.0.op(10..20, Call::append(LOG, ["b"]), second);
        let id = log.unknown(0, what);
        log.check_tail(3 + free, shown);
        (log, id)
    };
    let trim = |free| with(free, tail(2, 1, false), Call::trim(LOG, 1));
    passes(&trim(1).0.end(&["a", "b"], 1, Some(4)));
    let (log, id) = trim(0);
    let history = log.end(&["a", "b"], 1, Some(3));
    fails(&history, "no_version_left", &[id]);
    let (log, id) = with(0, tail(2, 0, true), Call::seal(LOG));
    let history = log.end(&["a", "b"], 0, Some(3));
    fails(&history, "no_version_left", &[id]);
}

#[test]
fn of_two_trims_to_one_place_the_one_called_first_is_taken_for_the_one_that_was_seen() {
    let mut log = Versions::new();
    log.unknown(50, Call::trim(LOG, 1));
    log.unknown(15, Call::trim(LOG, 1));
    log.check_tail(3, tail(1, 1, false));
    passes(&log.end(&["a"], 1, Some(3)));
}

#[test]
fn a_seal_takes_none_that_was_over_when_it_was_called_nor_one_before_an_append() {
    let with = |call| {
        let mut log = Versions::new();
        log.told(3);
        log.unknown(call, Call::seal(LOG));
        log.end(&["a"], 0, Some(3))
    };
    passes(&with(40));
    unexplained(&with(41));
    let with = |called| {
        let mut log = Versions::new();
        log.told(3);
        log.unknown(0, Call::seal(LOG));
        log.unknown(called, Call::append(LOG, ["b"]));
        log.end(&["a", "b"], 0, Some(4))
    };
    passes(&with(40));
    unexplained(&with(41));
}

#[test]
fn a_higher_version_has_no_lower_trim_point_and_one_version_no_two_tails() {
    let mut log = Versions::new();
    let over = 10..20;
    let two = log
        .0
        .op(over.clone(), Call::trim(LOG, 1), at(3, trimmed(1, 1)));
    let none = log.0.op(over, Call::trim(LOG, 0), at(4, trimmed(0, 1)));
    fails(&log.end(&["a"], 1, Some(4)), "states", &[two, none]);
    let mut log = Versions::new();
    log.unknown(0, Call::append(LOG, ["b"]));
    let check = log.check_tail(2, tail(2, 0, false));
    fails(
        &log.end(&["a", "b"], 0, Some(3)),
        "states",
        &[OpId(0), check],
    );
}
