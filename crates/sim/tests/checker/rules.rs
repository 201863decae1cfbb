//! Each rule, on a history made by hand: what is wrong is named, with the operations that contradict.

use paxlog_sim::check::check;
use paxlog_sim::history::{
    Call, ClientId, Consistency, Event, Gap, History, Observed, OpId, Operation, Outcome, Payload,
    ReadReply, Receipt, Recorder, Reply, SessionId, Settled, Stored, TailReply,
};

const LOG: &str = "notes";
const LINEARIZABLE: Consistency = Consistency::Linearizable;
const LOCAL: Consistency = Consistency::Local;

/// The operations of [`good`], by what they are.
const A: usize = 1;
const B: usize = 2;
const TAIL: usize = 3;
const UNKNOWN: usize = 4;
const D: usize = 5;
const REFUSED: usize = 6;
const LOCAL_READ: usize = 7;
const TRIM: usize = 8;
const LOCAL_TAIL: usize = 9;
const READ: usize = 10;
const EVENTS: [usize; 4] = [11, 12, 13, 15];
const SEAL: usize = 14;
const NEVER_THERE: usize = 16;
const SEALED: usize = 17;

fn content() -> Vec<Stored> {
    [("a1", 100), ("a2", 100), ("b", 100), ("c", 110), ("d", 120)]
        .into_iter()
        .zip(0..)
        .map(|((payload, time), offset)| Stored::new(offset, payload, Some(time)))
        .collect()
}

fn receipt(offsets: std::ops::Range<u64>, timestamp: u64, version: u64) -> Receipt {
    Receipt {
        timestamp: Some(timestamp),
        tail: Some(offsets.end),
        version: Some(version),
        ..Receipt::at(offsets)
    }
}

fn appended(offsets: std::ops::Range<u64>, timestamp: u64, version: u64) -> Outcome {
    Outcome::Ok(Reply::Appended(receipt(offsets, timestamp, version)))
}

fn tail(offset: u64, trim_point: u64, version: u64) -> Outcome {
    Outcome::Ok(Reply::Tail(TailReply {
        offset,
        timestamp: None,
        trim_point,
        sealed: false,
        version: Some(version),
        fence: None,
    }))
}

fn read(range: std::ops::Range<usize>, tail: u64) -> ReadReply {
    ReadReply {
        records: content()[range.clone()].to_vec(),
        next: Some(range.end as u64),
        tail: Some(tail),
        ..ReadReply::default()
    }
}

/// One of everything, and nothing wrong.
fn good() -> History {
    let mut recorder = Recorder::new();
    let me = ClientId(1);
    let mut op = |call, ret, what: Call, outcome| {
        let id = recorder.begin(call, me, what);
        recorder.end(ret, id, outcome);
    };
    let unknown = || Outcome::Unknown { code: None };
    let created = Outcome::Ok(Reply::Created {
        version: Some(1),
        existed: false,
    });
    op(0, 9, Call::create(LOG, false), created);
    op(
        10,
        30,
        Call::append(LOG, ["a1", "a2"]),
        appended(0..2, 100, 2),
    );
    op(20, 40, Call::append(LOG, ["b"]), appended(2..3, 100, 3));
    op(50, 60, Call::check_tail(LOG, LINEARIZABLE), tail(3, 0, 3));
    op(70, 80, Call::append(LOG, ["c"]), unknown());
    op(100, 110, Call::append(LOG, ["d"]), appended(4..5, 120, 5));
    let refused = Outcome::NotApplied {
        code: "Overloaded".into(),
        seen: None,
    };
    op(120, 130, Call::append(LOG, ["e"]), refused);
    let local = Call::read(LOG, LOCAL, false).reading_from(0);
    let given = Outcome::Ok(Reply::Read(read(0..3, 3)));
    op(140, 150, local.in_session(SessionId(1), 0), given);
    let trimmed = Outcome::Ok(Reply::Trimmed {
        trim_point: 1,
        tail: 5,
        version: Some(6),
        duplicate: false,
    });
    op(160, 170, Call::trim(LOG, 1), trimmed);
    let local = Call::check_tail(LOG, LOCAL).in_session(SessionId(1), 3);
    op(180, 190, local, tail(4, 0, 4));
    let strict = Call::read(LOG, LINEARIZABLE, true).reading_from(1);
    op(200, 210, strict, Outcome::Ok(Reply::Read(read(1..5, 5))));
    let tailing = SessionId(2);
    recorder.event(
        220,
        me,
        LOG,
        tailing,
        Event::Records(content()[..1].to_vec()),
    );
    recorder.event(
        221,
        me,
        LOG,
        tailing,
        Event::Records(content()[1..5].to_vec()),
    );
    recorder.event(222, me, LOG, tailing, Event::CaughtUp { tail: 5 });
    let mut op = |call, ret, what: Call, outcome| {
        let id = recorder.begin(call, me, what);
        recorder.end(ret, id, outcome);
    };
    let sealed = Outcome::Ok(Reply::Sealed {
        tail: 5,
        version: Some(7),
        duplicate: false,
    });
    op(230, 240, Call::seal(LOG), sealed);
    recorder.event(250, me, LOG, tailing, Event::Sealed { tail: 5 });
    recorder.begin(260, me, Call::append(LOG, ["f"]));
    let mut op = |call, ret, what: Call, outcome| {
        let id = recorder.begin(call, me, what);
        recorder.end(ret, id, outcome);
    };
    let refused = Outcome::NotApplied {
        code: "Sealed".into(),
        seen: Some(Observed {
            tail: Some(5),
            version: Some(7),
            sealed: Some(true),
            cursor: None,
        }),
    };
    op(270, 280, Call::append(LOG, ["g"]), refused);
    let mut settled = Settled {
        trim_point: 1,
        tail: 5,
        version: Some(7),
        sealed: Some(true),
        kept: content()[..1].to_vec(),
        ..Settled::whole(LOG, content()[1..].to_vec())
    };
    settled.add_replica(1, content()[1..].to_vec());
    recorder.settle(settled);
    recorder.finish()
}

/// The good history with a change has a violation of that rule, which names these operations, what they said and when.
fn seen(rule: &str, named: &[usize], change: impl FnOnce(&mut History)) {
    let mut history = good();
    change(&mut history);
    let report = check(&history);
    let texts: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
    let found = report
        .violations
        .iter()
        .zip(&texts)
        .find(|(violation, text)| {
            violation.rule() == rule
                && text.starts_with(&format!("{rule}: "))
                && named.iter().all(|at| text.contains(&format!("#{at} [")))
        });
    let Some((violation, text)) = found else {
        panic!("no {rule} that names {named:?}, but: {texts:#?}");
    };
    println!("{text}\n");
    if rule != "vacuous" {
        assert!(text.contains("log notes: "), "{text}");
    }
    for at in named {
        let operation: &Operation = &history.operations[*at];
        let time = format!("0.{:09} s", operation.call);
        assert!(text.contains(&time), "{time} is not in {text}");
    }
    let json = serde_json::to_value(violation).expect("JSON");
    assert_eq!(json["rule"], rule, "one name in both forms");
}

fn said(history: &mut History, at: usize) -> &mut Outcome {
    &mut history.operations[at].outcome
}

fn receipt_of(history: &mut History, at: usize) -> &mut Receipt {
    match said(history, at) {
        Outcome::Ok(Reply::Appended(receipt)) => receipt,
        other => panic!("{other:?}"),
    }
}

fn tail_of(history: &mut History, at: usize) -> &mut TailReply {
    match said(history, at) {
        Outcome::Ok(Reply::Tail(tail)) => tail,
        other => panic!("{other:?}"),
    }
}

fn read_of(history: &mut History, at: usize) -> &mut ReadReply {
    match said(history, at) {
        Outcome::Ok(Reply::Read(read)) => read,
        other => panic!("{other:?}"),
    }
}

/// The log holds these instead.
fn holds(history: &mut History, payloads: &[&str]) {
    let settled = &mut history.settled[0];
    settled.replicas.clear();
    settled.records = payloads
        .iter()
        .zip(1..)
        .map(|(payload, offset)| Stored::new(offset, *payload, Some(100)))
        .collect();
    settled.tail = 1 + payloads.len() as u64;
}

#[test]
fn nothing_is_wrong_with_the_good_one() {
    let report = check(&good());
    assert!(report.clean(), "{:#?}", report.violations);
    let summary = &report.summary;
    assert_eq!(summary.ends("append").ok, 3);
    assert_eq!(summary.ends("append").not_applied, 2);
    assert_eq!(summary.ends("append").unknown, 2);
    assert_eq!((summary.unknown_there, summary.records), (1, 5));
    assert_eq!(summary.records_acknowledged, 4);
    assert_eq!(summary.records_read, 3 + 4 + 5);
    println!("{summary}");
}

#[test]
fn a_lost_append() {
    seen("lost", &[B], |history| {
        holds(history, &["a2", "c", "d"]);
    });
    // Also the one that another stands in place of.
    seen("lost", &[B, UNKNOWN], |history| {
        holds(history, &["a2", "c", "d"])
    });
    seen("lost", &[D], |history| holds(history, &["a2", "b", "c"]));
}

#[test]
fn a_duplicate() {
    seen("twice", &[B], |history| {
        holds(history, &["a2", "b", "c", "d", "b"])
    });
    seen("twice", &[A], |history| {
        holds(history, &["a2", "b", "c", "d", "a1"])
    });
}

#[test]
fn a_reordering() {
    // Where its receipt does not say it is.
    seen("misplaced", &[B, D], |history| {
        holds(history, &["a2", "d", "c", "b"])
    });
    // And against the order of time: the unknown one stands behind what had begun when it was not yet called.
    seen("order", &[D, UNKNOWN], |history| {
        history.operations[UNKNOWN].call = 111
    });
    seen("order", &[A, B], |history| {
        history.operations[A].call = 41;
        history.operations[A].ret = Some(45);
    });
}

#[test]
fn a_pipeline_that_changes_places() {
    // They were under way at once: time alone says nothing.
    seen("pipeline", &[A, B], |history| {
        history.operations.swap(A, B);
        history.operations[A].pipeline = Some(1);
        history.operations[B].pipeline = Some(1);
    });
    let mut history = good();
    history.operations[A].pipeline = Some(1);
    history.operations[B].pipeline = Some(1);
    assert!(check(&history).clean());
}

#[test]
fn appends_of_one_pipeline_may_share_a_batch() {
    let mut history = good();
    for at in [A, B] {
        history.operations[at].pipeline = Some(1);
        let receipt = receipt_of(&mut history, at);
        (receipt.version, receipt.tail) = (Some(3), Some(3));
    }
    // Version 2 was a seal's that was refused, or so: somebody else's.
    history.complete = false;
    assert!(check(&history).clean(), "{:#?}", check(&history).violations);
    // But nobody may see the end of the first.
    tail_of(&mut history, TAIL).offset = 2;
    tail_of(&mut history, TAIL).version = None;
    history.operations[TAIL].call = 25;
    let report = check(&history);
    assert_eq!(report.violations[0].rule(), "no_batch_end", "{report:#?}");
    seen("version_twice", &[A, B], |history| {
        receipt_of(history, A).version = Some(3);
    });
}

#[test]
fn a_torn_batch() {
    seen("torn", &[A], |history| holds(history, &["b", "c", "d"]));
    seen("torn", &[A], |history| {
        holds(history, &["b", "a2", "c", "d"])
    });
    seen("torn", &[A], |history| {
        let settled = &mut history.settled[0];
        settled.kept[0].payload = "a2".into();
        settled.records[0].payload = "a1".into();
    });
}

#[test]
fn a_stale_linearizable_tail() {
    seen("order", &[B, TAIL], |history| {
        *tail_of(history, TAIL) = TailReply {
            offset: 2,
            timestamp: None,
            trim_point: 0,
            sealed: false,
            version: Some(2),
            fence: None,
        };
    });
    // A trim that does not show.
    seen("order", &[TRIM, TAIL], |history| {
        history.operations[TAIL].call = 175;
        history.operations[TAIL].ret = Some(176);
        *tail_of(history, TAIL) = TailReply {
            offset: 5,
            timestamp: None,
            trim_point: 0,
            sealed: false,
            version: Some(5),
            fence: None,
        };
    });
    // A read that is.
    seen("order", &[D, READ], |history| {
        *read_of(history, READ) = read(1..4, 4);
    });
    seen("no_batch_end", &[TAIL, A], |history| {
        tail_of(history, TAIL).offset = 1;
        tail_of(history, TAIL).version = None;
    });
}

#[test]
fn timestamps() {
    // Of the one behind only readers know the timestamp.
    seen("timestamp_back", &[B, UNKNOWN], |history| {
        history.settled[0].records[1].timestamp = Some(125);
        history.settled[0].records[2].timestamp = None;
        receipt_of(history, B).timestamp = Some(125);
    });
    seen("timestamps_differ", &[D], |history| {
        receipt_of(history, D).timestamp = Some(119);
    });
    seen("timestamps_differ", &[READ], |history| {
        read_of(history, READ).records[2].timestamp = Some(111);
    });
    seen("timestamps_differ", &[TAIL], |history| {
        tail_of(history, TAIL).timestamp = Some(101);
    });
}

#[test]
fn what_nobody_appended() {
    seen("never_appended", &[READ], |history| {
        read_of(history, READ).records[0].payload = "what?".into();
    });
    seen("never_appended", &[EVENTS[1]], |history| {
        if let Outcome::Ok(Reply::Event(Event::Records(records))) = said(history, EVENTS[1]) {
            records[1].payload = Payload::id_of(b"what?");
        }
    });
    seen("never_appended", &[], |history| {
        holds(history, &["a2", "b", "c", "d", "what?"])
    });
}

#[test]
fn what_was_called_not_applied_and_is_there() {
    seen("applied_not_applied", &[REFUSED], |history| {
        holds(history, &["a2", "b", "c", "d", "e"]);
    });
}

#[test]
fn an_unknown_one_seen_and_then_unseen() {
    seen("unseen", &[READ, NEVER_THERE], |history| {
        read_of(history, READ)
            .records
            .push(Stored::new(5, "f", None));
        read_of(history, READ).next = Some(6);
    });
    seen("read_differs", &[LOCAL_READ, UNKNOWN], |history| {
        read_of(history, LOCAL_READ).records[2].payload = "c".into();
    });
}

#[test]
fn replicas_that_differ() {
    for change in [
        (|records: &mut Vec<Stored>| records[1].payload = "c".into()) as fn(&mut Vec<Stored>),
        |records| drop(records.pop()),
        |records| drop(records.remove(0)),
        |records| records[2].timestamp = Some(1),
        |records| records.push(Stored::new(5, "f", None)),
    ] {
        seen("replica_differs", &[], |history| {
            let settled = &mut history.settled[0];
            let mut records = settled.records.clone();
            change(&mut records);
            settled.add_replica(2, records);
        });
    }
}

#[test]
fn a_gap_that_was_not_trimmed() {
    let gap = |history: &mut History, to: u64| {
        let read = read_of(history, LOCAL_READ);
        read.records.retain(|stored| stored.offset >= to);
        read.gaps.push(Gap { from: 0, to });
    };
    // Nothing was ever trimmed so far.
    seen("gap_not_trimmed", &[LOCAL_READ], |history| gap(history, 2));
    // It was trimmed only later.
    seen("gap_not_trimmed", &[LOCAL_READ], |history| gap(history, 1));
    seen("gap_not_trimmed", &[EVENTS[0]], |history| {
        *said(history, EVENTS[0]) = Outcome::Ok(Reply::Event(Event::Gap { to: 3 }));
    });
    seen("strict_gap", &[READ], |history| {
        read_of(history, READ).records.remove(0);
        read_of(history, READ).gaps.push(Gap { from: 1, to: 2 });
    });
    // One that was, is not wrong.
    let mut history = good();
    gap(&mut history, 1);
    history.operations[LOCAL_READ].ret = Some(165);
    assert!(check(&history).clean());
}

#[test]
fn a_reader_that_jumps() {
    seen("jump", &[READ], |history| {
        read_of(history, READ).records.remove(1);
    });
    seen("jump", &[READ], |history| {
        let read = read_of(history, READ);
        read.records.swap(0, 1);
    });
    seen("jump", &[EVENTS[1]], |history| {
        if let Outcome::Ok(Reply::Event(Event::Records(records))) = said(history, EVENTS[1]) {
            records.remove(0);
        }
    });
    seen("jump", &[EVENTS[2]], |history| {
        *said(history, EVENTS[2]) = Outcome::Ok(Reply::Event(Event::CaughtUp { tail: 4 }));
    });
}

#[test]
fn a_session_that_goes_back() {
    seen("session_back", &[LOCAL_READ, LOCAL_TAIL], |history| {
        *tail_of(history, LOCAL_TAIL) = TailReply {
            offset: 2,
            timestamp: None,
            trim_point: 0,
            sealed: false,
            version: Some(2),
            fence: None,
        };
    });
    seen("below_floor", &[LOCAL_TAIL], |history| {
        tail_of(history, LOCAL_TAIL).offset = 2;
        tail_of(history, LOCAL_TAIL).version = Some(2);
    });
}

#[test]
fn a_local_read_that_is_early() {
    seen("early", &[LOCAL_READ, D], |history| {
        history.operations[LOCAL_READ].call = 90;
        history.operations[LOCAL_READ].ret = Some(95);
        *said(history, LOCAL_TAIL) = Outcome::Unknown { code: None };
        *read_of(history, LOCAL_READ) = read(0..5, 5);
    });
    // By what it holds alone.
    seen("early", &[LOCAL_READ, D], |history| {
        history.operations[LOCAL_READ].call = 90;
        history.operations[LOCAL_READ].ret = Some(95);
        *said(history, LOCAL_TAIL) = Outcome::Unknown { code: None };
        *read_of(history, LOCAL_READ) = read(0..5, 3);
    });
}

#[test]
fn two_answers_that_differ() {
    for change in [
        (|receipt: &mut Receipt| receipt.start += 1) as fn(&mut Receipt),
        |receipt| receipt.timestamp = Some(1),
        |receipt| receipt.version = Some(9),
    ] {
        seen("answers_differ", &[D], |history| {
            let mut again = *receipt_of(history, D);
            again.duplicate = true;
            change(&mut again);
            history.operations[D]
                .again
                .push((900, Outcome::Ok(Reply::Appended(again))));
        });
    }
    // The tail may have moved.
    let mut history = good();
    let mut again = *receipt_of(&mut history, D);
    again.tail = Some(99);
    history.operations[D]
        .again
        .push((900, Outcome::Ok(Reply::Appended(again))));
    assert!(check(&history).clean());
}

#[test]
fn receipts_and_refusals_that_cannot_be() {
    seen("wrong_receipt", &[A], |history| {
        receipt_of(history, A).end = 3
    });
    seen("wrong_receipt", &[D], |history| {
        receipt_of(history, D).tail = Some(4)
    });
    seen("wrong_refusal", &[SEALED], |history| {
        if let Outcome::NotApplied { seen, .. } = said(history, SEALED) {
            *seen = Some(Observed {
                sealed: Some(false),
                ..Observed::default()
            });
        }
    });
    seen("same_place", &[A, NEVER_THERE], |history| {
        history.settled[0].kept.clear();
        *said(history, NEVER_THERE) = appended(0..1, 100, 8);
        history.operations[NEVER_THERE].ret = Some(300);
    });
}

#[test]
fn holes() {
    seen("not_dense", &[], |history| {
        history.settled[0].records.remove(2);
    });
    seen("not_dense", &[], |history| history.settled[0].tail = 6);
    // Trimmed and read by nobody: one unknown append may have been there, but not two.
    let hole = |history: &mut History| {
        let settled = &mut history.settled[0];
        settled.kept.clear();
        settled.replicas.clear();
        settled.records.retain(|stored| stored.offset == 4);
        settled.trim_point = 4;
        history.operations[UNKNOWN].kind = Call::append(LOG, ["c"]).kind;
        history.operations.retain(|operation| {
            !matches!(
                operation.outcome,
                Outcome::Ok(Reply::Read(_) | Reply::Event(_))
            )
        });
        for operation in &mut history.operations {
            if let Outcome::Ok(Reply::Trimmed { trim_point, .. }) = &mut operation.outcome {
                *trim_point = 4;
                operation.kind = Call::trim(LOG, 4).kind;
            }
        }
    };
    let mut history = good();
    hole(&mut history);
    assert!(check(&history).clean(), "{:#?}", check(&history).violations);
    seen("not_dense", &[], |history| {
        hole(history);
        history.operations.remove(B);
        history
            .operations
            .retain(|operation| operation.ret.is_some());
    });
}

#[test]
fn versions() {
    seen("version_twice", &[B, D], |history| {
        receipt_of(history, D).version = Some(3);
    });
    seen("first_version", &[A], |history| {
        receipt_of(history, A).version = Some(1)
    });
    seen("states", &[TAIL, TRIM], |history| {
        tail_of(history, TAIL).version = Some(6);
        history.operations[TAIL].ret = Some(900);
    });
    // Version 4 is the unknown append's: without it nobody's.
    seen("version_unexplained", &[LOCAL_TAIL], |history| {
        holds(history, &["a2", "b", "d"]);
        for at in [READ, EVENTS[0], EVENTS[1], EVENTS[2], EVENTS[3]] {
            *said(history, at) = Outcome::Unknown { code: None };
        }
        *receipt_of(history, D) = receipt(3..4, 100, 5);
        receipt_of(history, D).timestamp = None;
        *tail_of(history, LOCAL_TAIL) = TailReply {
            offset: 3,
            timestamp: None,
            trim_point: 0,
            sealed: false,
            version: Some(4),
            fence: None,
        };
        for at in [TRIM, SEAL, SEALED] {
            match said(history, at) {
                Outcome::Ok(Reply::Trimmed { tail, .. } | Reply::Sealed { tail, .. }) => *tail = 4,
                Outcome::NotApplied { seen, .. } => *seen = None,
                _ => unreachable!(),
            }
        }
    });
    // Or it is there, and all versions are others'.
    seen("no_version_left", &[UNKNOWN], |history| {
        receipt_of(history, D).version = Some(4);
        *said(history, LOCAL_TAIL) = Outcome::Unknown { code: None };
        for (at, less) in [(TRIM, 5), (SEAL, 6)] {
            match said(history, at) {
                Outcome::Ok(Reply::Trimmed { version, .. } | Reply::Sealed { version, .. }) => {
                    *version = Some(less);
                }
                _ => unreachable!(),
            }
        }
        if let Outcome::NotApplied {
            seen: Some(seen), ..
        } = said(history, SEALED)
        {
            seen.version = Some(6);
        }
        history.settled[0].version = Some(6);
    });
}

/// Two appends, an unknown trim to 1 called then, and a check-tail when all is over.
fn around_an_unknown_trim(
    second: u64,
    called: u64,
    seen: (u64, u64),
    last: u64,
) -> Vec<&'static str> {
    let mut recorder = Recorder::new();
    let me = ClientId(1);
    let one = recorder.begin(0, me, Call::append(LOG, ["a"]));
    recorder.end(10, one, appended(0..1, 100, 2));
    let two = recorder.begin(20, me, Call::append(LOG, ["b"]));
    recorder.end(30, two, appended(1..2, 100, second));
    recorder.begin(called, me, Call::trim(LOG, 1));
    let id = recorder.begin(50, me, Call::check_tail(LOG, LINEARIZABLE));
    recorder.end(60, id, tail(2, seen.0, seen.1));
    recorder.settle(Settled {
        trim_point: 1,
        version: Some(last),
        ..Settled::whole(LOG, vec![Stored::new(1, "b", None)])
    });
    let report = check(&recorder.finish());
    report
        .violations
        .iter()
        .map(|violation| violation.rule())
        .collect()
}

#[test]
fn what_is_unknown_takes_only_a_version_of_its_time() {
    let none: [&str; 0] = [];
    assert_eq!(around_an_unknown_trim(4, 15, (1, 4), 4), none);
    // Version 3 was over before the trim was called.
    assert_eq!(
        around_an_unknown_trim(4, 40, (1, 4), 4),
        ["version_unexplained"]
    );
    assert_eq!(around_an_unknown_trim(3, 40, (1, 4), 4), none);
    assert_eq!(around_an_unknown_trim(3, 40, (0, 3), 4), none);
    // Its effect was seen at version 3, so that it cannot have had 4.
    assert_eq!(
        around_an_unknown_trim(3, 15, (1, 3), 4),
        ["no_version_left"]
    );
}

#[test]
fn trims_and_seals_that_nobody_asked_for_or_that_do_not_hold() {
    seen("trim_unexplained", &[LOCAL_TAIL], |history| {
        tail_of(history, LOCAL_TAIL).trim_point = 2;
        tail_of(history, LOCAL_TAIL).version = None;
    });
    seen("seal_unexplained", &[EVENTS[2]], |history| {
        *said(history, EVENTS[2]) = Outcome::Ok(Reply::Event(Event::Sealed { tail: 5 }));
    });
    seen("after_seal", &[SEAL], |history| {
        if let Outcome::Ok(Reply::Sealed { tail, .. }) = said(history, SEAL) {
            *tail = 4;
        }
    });
    seen("order", &[SEAL, NEVER_THERE], |history| {
        holds(history, &["a2", "b", "c", "d", "f"]);
        for (stored, time) in history.settled[0]
            .records
            .iter_mut()
            .zip([100, 100, 110, 120, 130])
        {
            stored.timestamp = Some(time);
        }
        *said(history, NEVER_THERE) = appended(5..6, 130, 8);
        history.operations[NEVER_THERE].ret = Some(300);
        if let Outcome::Ok(Reply::Sealed { tail, .. }) = said(history, SEAL) {
            *tail = 6;
        }
        history.operations.truncate(NEVER_THERE + 1);
        history.operations[EVENTS[3]].outcome = Outcome::Unknown { code: None };
    });
}

#[test]
fn a_load_that_repeats_itself_and_a_log_that_nobody_read() {
    seen("payload_repeated", &[B, D], |history| {
        history.operations[D].kind = Call::append(LOG, ["b"]).kind;
    });
    seen("not_settled", &[], |history| history.settled.clear());
    seen("vacuous", &[], |history| {
        for operation in &mut history.operations {
            operation.outcome = Outcome::Unknown { code: None };
        }
    });
    assert_eq!(check(&History::default()).violations[0].rule(), "vacuous");
}

#[test]
fn more_of_the_same_is_counted() {
    let mut recorder = Recorder::new();
    for n in 0..40_u64 {
        let id = recorder.begin(n, ClientId(1), Call::append(LOG, [format!("p{n}")]));
        recorder.end(n, id, Outcome::Ok(Reply::Appended(Receipt::at(n..n + 1))));
        assert_eq!(id, OpId(n));
    }
    recorder.settle(Settled::whole(LOG, Vec::new()));
    let report = check(&recorder.finish());
    assert_eq!((report.violations.len(), report.more), (10, 30));
}
