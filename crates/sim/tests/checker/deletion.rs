//! Logs that are deleted and made again under their names: each is over when it was deleted, and is another one than the
//! next.

use paxlog_sim::check::check;
use paxlog_sim::history::{
    Call, Consistency, Event, History, OpId, Outcome, ReadReply, Receipt, Reply, SessionId,
    Settled, Stored, TailReply,
};

use crate::hand::{Hand, LOG, fails, passes};

/// Writes down who was told what by which log.
#[derive(Default)]
struct Name(Hand);

impl Name {
    fn op(&mut self, time: std::ops::Range<u64>, id: u64, call: Call, outcome: Outcome) -> OpId {
        let op = self.0.op(time, call, outcome);
        self.0.0.about(op, id);
        op
    }

    fn append(&mut self, time: std::ops::Range<u64>, id: u64, payload: &str, version: u64) -> OpId {
        let receipt = Receipt {
            log: Some(id),
            version: Some(version),
            ..Receipt::at(version - 2..version - 1)
        };
        let outcome = Outcome::Ok(Reply::Appended(receipt));
        self.op(time, id, Call::append(LOG, [payload]), outcome)
    }

    fn delete(&mut self, time: std::ops::Range<u64>, id: u64, version: u64) -> OpId {
        let reply = Reply::Deleted {
            version: Some(version),
            duplicate: false,
        };
        self.op(time, id, Call::delete(LOG), Outcome::Ok(reply))
    }

    fn refused(&mut self, time: std::ops::Range<u64>, id: u64, payload: &str) -> OpId {
        let outcome = Outcome::NotApplied {
            code: "LogDeleted".into(),
            seen: None,
        };
        self.op(time, id, Call::append(LOG, [payload]), outcome)
    }

    /// At last that log has the name, and holds that.
    fn ends(mut self, id: u64, payloads: &[&str]) -> History {
        let records = crate::hand::stored(payloads);
        self.0.0.settle(Settled {
            id: Some(id),
            ..Settled::whole(LOG, records)
        });
        self.0.0.finish()
    }

    /// At last nobody has the name.
    fn ends_without(mut self) -> History {
        self.0.0.settle(Settled::whole(LOG, Vec::new()));
        self.0.0.finish()
    }
}

fn read(payloads: &[(u64, &str)], tail: u64) -> Outcome {
    let stored = |(offset, payload): &(u64, &str)| Stored::new(*offset, *payload, None);
    Outcome::Ok(Reply::Read(ReadReply {
        records: payloads.iter().map(stored).collect(),
        tail: Some(tail),
        ..ReadReply::default()
    }))
}

fn reading(consistency: Consistency) -> Call {
    Call::read(LOG, consistency, false)
}

/// Two records in log 3, which is deleted; and one in log 5.
fn good() -> Name {
    let mut name = Name::default();
    name.append(10..20, 3, "a", 2);
    name.append(20..30, 3, "b", 3);
    name.delete(40..50, 3, 4);
    name.refused(45..60, 3, "c");
    name.append(60..70, 5, "d", 2);
    name
}

#[test]
fn a_log_that_is_deleted_and_made_again_begins_anew() {
    passes(&good().ends(5, &["d"]));
    // Nobody knows any more what it held, but what was read there was there.
    let mut name = good();
    let call = reading(Consistency::Linearizable);
    name.op(32..38, 3, call, read(&[(0, "a"), (1, "b")], 2));
    passes(&name.ends(5, &["d"]));
    let mut name = good();
    let call = reading(Consistency::Linearizable);
    let stale = name.op(32..38, 3, call, read(&[(0, "a")], 1));
    fails(&name.ends(5, &["d"]), "order", &[stale]);
    // And it is written and read back alike.
    let history = good().ends(5, &["d"]);
    let mut file = Vec::new();
    history.write(&mut file).expect("written");
    assert_eq!(History::read(&file[..]).expect("read"), history);
}

#[test]
fn nothing_is_done_to_a_log_that_was_deleted() {
    // By the version.
    let mut name = good();
    let receipt = Receipt {
        version: Some(5),
        ..Receipt::at(2..3)
    };
    let outcome = Outcome::Ok(Reply::Appended(receipt));
    let append = name.op(41..52, 3, Call::append(LOG, ["e"]), outcome);
    fails(&name.ends(5, &["d"]), "after_delete", &[OpId(2), append]);
    // By time; by whom it was told that it is deleted; by who has the name since.
    let mut name = Name::default();
    name.append(10..20, 3, "a", 2);
    let delete = name.delete(40..50, 3, 4);
    let append = name.append(51..60, 3, "b", 3);
    fails(&name.ends_without(), "after_delete", &[delete, append]);
    let mut name = Name::default();
    name.append(10..20, 3, "a", 2);
    name.0
        .0
        .begin(20, paxlog_sim::history::ClientId(1), Call::delete(LOG));
    let told = name.refused(30..40, 3, "x");
    let append = name.append(41..60, 3, "b", 3);
    fails(&name.ends_without(), "after_delete", &[told, append]);
    let mut name = good();
    let tail = Outcome::Ok(Reply::Tail(TailReply {
        offset: 2,
        version: Some(3),
        ..TailReply::default()
    }));
    let call = Call::check_tail(LOG, Consistency::Linearizable);
    let check = name.op(75..80, 3, call, tail);
    fails(&name.ends(5, &["d"]), "after_delete", &[OpId(4), check]);
    // And at last it is not there.
    let mut name = Name::default();
    name.append(10..20, 3, "a", 2);
    let delete = name.delete(40..50, 3, 3);
    fails(&name.ends(3, &["a"]), "after_delete", &[delete]);
}

#[test]
fn a_read_after_a_deletion_is_of_the_next_log_unless_it_may_be_old() {
    let with = |consistency| {
        let mut name = good();
        let given = read(&[(0, "a"), (1, "b")], 2);
        let read = name.op(80..90, 3, reading(consistency), given);
        (name.ends(5, &["d"]), read)
    };
    passes(&with(Consistency::Local).0);
    let (history, read) = with(Consistency::Linearizable);
    fails(&history, "after_delete", &[OpId(2), read]);
    // So it is with a tail. But nobody is early.
    let mut name = good();
    let event = Outcome::Ok(Reply::Event(Event::CaughtUp { tail: 2 }));
    name.op(90..90, 3, Call::tail(LOG, SessionId(1)), event);
    passes(&name.ends(5, &["d"]));
    let mut name = good();
    let early = name.op(5..6, 5, reading(Consistency::Local), read_of_nothing());
    fails(&name.ends(5, &["d"]), "after_delete", &[early]);
}

fn read_of_nothing() -> Outcome {
    read(&[], 0)
}

#[test]
fn a_log_goes_only_when_somebody_asked_for_that() {
    let gone = |deleted: Option<u64>| {
        let mut name = Name::default();
        name.append(10..20, 3, "a", 2);
        if let Some(call) = deleted {
            let client = paxlog_sim::history::ClientId(1);
            name.0.0.begin(call, client, Call::delete(LOG));
        }
        name
    };
    // Nobody knows what came of it, and nothing is there.
    passes(&gone(Some(30)).ends_without());
    fails(&gone(None).ends_without(), "delete_unexplained", &[]);
    // Not before it was called, whoever sees it.
    let made_again = |call| {
        let mut name = gone(Some(call));
        let append = name.append(40..50, 5, "b", 2);
        (name.ends(5, &["b"]), append)
    };
    passes(&made_again(50).0);
    let (history, append) = made_again(51);
    fails(&history, "delete_unexplained", &[append]);
    let mut name = gone(Some(70));
    let refused = name.refused(40..50, 3, "b");
    fails(&name.ends_without(), "delete_unexplained", &[refused]);
    // One that was refused did nothing.
    let mut name = gone(None);
    let outcome = crate::hand::refused("Unavailable");
    name.op(25..30, 3, Call::delete(LOG), outcome);
    fails(&name.ends_without(), "delete_unexplained", &[]);
}

#[test]
fn what_an_appender_meant_for_one_log_is_in_no_other() {
    let mut name = good();
    let receipt = Receipt {
        log: Some(5),
        version: Some(3),
        ..Receipt::at(1..2)
    };
    let outcome = Outcome::Ok(Reply::Appended(receipt));
    let append = name.op(44..80, 3, Call::append(LOG, ["e"]), outcome);
    fails(&name.ends(5, &["d", "e"]), "wrong_receipt", &[append]);
    // Whether it is known, or not.
    let mut name = good();
    let client = paxlog_sim::history::ClientId(1);
    let unknown = name.0.0.begin(44, client, Call::append(LOG, ["e"]));
    name.0.0.about(unknown, 3);
    fails(&name.ends(5, &["d", "e"]), "never_appended", &[]);
    // One of which nobody knows which it meant may be in either.
    let mut name = good();
    name.0.0.begin(44, client, Call::append(LOG, ["e"]));
    passes(&name.ends(5, &["d", "e"]));
}

#[test]
fn what_was_acknowledged_stays_until_the_deletion() {
    // Two at one place.
    let mut name = good();
    let other = name.append(31..39, 3, "x", 3);
    fails(&name.ends(5, &["d"]), "same_place", &[OpId(1), other]);
    // Everything is accounted for, as far as it was seen: version 4 was the deletion's.
    let mut name = Name::default();
    name.append(10..20, 3, "a", 2);
    let delete = name.delete(40..50, 3, 4);
    fails(&name.ends_without(), "version_unexplained", &[delete]);
    let mut name = Name::default();
    name.append(10..20, 3, "a", 2);
    let client = paxlog_sim::history::ClientId(1);
    name.0.0.begin(15, client, Call::append(LOG, ["b"]));
    name.delete(40..50, 3, 4);
    let report = check(&name.ends_without());
    assert!(report.clean(), "{:#?}", report.violations);
}

#[test]
fn histories_of_the_format_before_are_judged_still() {
    let text = concat!(
        r#"{"paxlog_history":1,"complete":true}"#,
        "\n",
        r#"{"op":{"client":1,"log":"a","call":1,"ret":2,"kind":{"append":{"records":["x"]}},"outcome":{"ok":{"appended":{"start":0,"end":1}}}}}"#,
        "\n",
        r#"{"settled":{"log":"a","trim_point":0,"tail":1,"records":[[0,null,["x"]]]}}"#,
        "\n"
    );
    passes(&History::read(text.as_bytes()).expect("read"));
}
