//! The rules of `apply`, one by one.

use paxlog_log::{
    Body, Command, ConfigChange, Expected, LogId, Offset, Outcome, ProducerId, Receipt, Refusal,
    State, Timestamp,
};

use crate::commands::{
    alter, append, append_if, create, delete, delete_cursor, fence, numbered, open, seal,
    set_cursor, token, trim,
};

/// One producer (id 1, epoch 1) and one log (id 1), sequence 0 used.
fn begun() -> State {
    let mut state = State::new();
    state.apply(0, 0, 100, &open(1, None));
    state.apply(0, 1, 100, &numbered(1, 1, 0, create("a", false)));
    state
}

fn refusal(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Refused { why, .. } => why,
        applied => panic!("not refused: {applied:?}"),
    }
}

#[test]
fn offsets_are_dense_and_the_tail_is_the_end() {
    let mut state = begun();
    let mut tail = 0;
    for sequence in 1..20 {
        let records = 1 + sequence as u32 % 4;
        let outcome = state.apply(
            sequence,
            0,
            100 + sequence,
            &numbered(1, 1, sequence, append(1, records)),
        );
        let end = tail + u64::from(records);
        assert_eq!(
            outcome,
            Outcome::Applied {
                receipt: Receipt::Appended {
                    log: LogId(1),
                    start: Offset(tail),
                    records: 1 + sequence as u32 % 4,
                    timestamp: Timestamp(100 + sequence),
                    version: 1 + sequence,
                },
                duplicate: false,
            }
        );
        tail = end;
    }
}

#[test]
fn timestamps_never_go_back_in_a_group() {
    let mut state = begun();
    for (sequence, clock, stamped) in [(1, 500, 500), (2, 300, 500), (3, 501, 501)] {
        match state.apply(sequence, 0, clock, &numbered(1, 1, sequence, append(1, 1))) {
            Outcome::Applied {
                receipt: Receipt::Appended { timestamp, .. },
                ..
            } => assert_eq!(timestamp, Timestamp(stamped)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_refused_batch_ends_its_epoch_and_leaves_no_hole() {
    let mut state = begun();
    state.apply(1, 0, 0, &numbered(1, 1, 1, append(1, 2)));
    state.apply(2, 0, 0, &open(2, None));
    let missing = Refusal::NotFound;
    assert_eq!(
        refusal(state.apply(3, 0, 0, &numbered(1, 1, 2, append(9, 1)))),
        missing
    );
    // The log exists now; the epoch has ended all the same.
    for (slot, sequence) in [(4, 3), (5, 2), (6, 7)] {
        let outcome = state.apply(slot, 0, 0, &numbered(1, 1, sequence, append(1, 1)));
        assert_eq!(refusal(outcome), missing);
    }
    // What was applied before keeps its receipt.
    let again = state.apply(20, 0, 0, &numbered(1, 1, 1, append(1, 2)));
    assert!(matches!(
        again,
        Outcome::Applied {
            receipt: Receipt::Appended {
                start: Offset(0),
                records: 2,
                ..
            },
            duplicate: true,
        }
    ));
}

#[test]
fn a_gap_is_refused_but_ends_nothing() {
    // A new leader may find the later of two commands and not the earlier; the
    // producer resends both, and both must be taken.
    let mut state = begun();
    assert_eq!(
        refusal(state.apply(1, 0, 0, &numbered(1, 1, 2, append(1, 1)))),
        Refusal::SequenceGap { expected: 1 }
    );
    for sequence in [1, 2] {
        let outcome = state.apply(1 + sequence, 0, 0, &numbered(1, 1, sequence, append(1, 1)));
        assert!(matches!(
            outcome,
            Outcome::Applied {
                duplicate: false,
                ..
            }
        ));
    }
}

#[test]
fn a_name_opened_again_fences_and_says_what_was_last() {
    let mut state = begun();
    state.apply(1, 0, 0, &open(7, Some("mill")));
    for sequence in 0..3 {
        state.apply(2 + sequence, 0, 0, &numbered(2, 1, sequence, append(1, 1)));
    }
    let Outcome::ProducerOpened {
        producer: ProducerId(2),
        epoch: 2,
        last: Some(last),
        duplicate: false,
    } = state.apply(9, 0, 0, &open(8, Some("mill")))
    else {
        panic!("opened again");
    };
    assert_eq!(
        (last.epoch, last.sequence, last.receipt.log()),
        (1, 2, LogId(1))
    );
    // Order: the epoch comes before the duplicate.
    let fenced = Refusal::Fenced { epoch: 2 };
    assert_eq!(
        refusal(state.apply(10, 0, 0, &numbered(2, 1, 2, append(1, 1)))),
        fenced
    );
    // A retry of either opening gets its own first answer and fences nobody.
    for (slot, nonce, expected, last_known) in [(11, 7, 1, false), (12, 8, 2, true)] {
        match state.apply(slot, 0, 0, &open(nonce, Some("mill"))) {
            Outcome::ProducerOpened {
                producer: ProducerId(2),
                epoch,
                last,
                duplicate: true,
            } => {
                assert_eq!((epoch, last.is_some()), (expected, last_known));
            }
            other => panic!("{other:?}"),
        }
    }
    let outcome = state.apply(13, 0, 0, &numbered(2, 2, 0, append(1, 1)));
    assert!(matches!(
        outcome,
        Outcome::Applied {
            duplicate: false,
            ..
        }
    ));
}

#[test]
fn an_epoch_that_numbered_nothing_hands_the_last_receipt_on() {
    let mut state = begun();
    state.apply(1, 0, 0, &open(7, Some("mill")));
    state.apply(2, 0, 0, &numbered(2, 1, 0, append(1, 1)));
    state.apply(3, 0, 0, &open(8, Some("mill")));
    match state.apply(4, 0, 0, &open(9, Some("mill"))) {
        Outcome::ProducerOpened {
            epoch: 3,
            last: Some(last),
            ..
        } => assert_eq!(last.epoch, 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_retried_command_of_any_kind_gets_its_own_first_answer() {
    let mut state = begun();
    let commands = [
        numbered(1, 1, 1, append(1, 5)),
        numbered(1, 1, 2, create("b", false)),
        numbered(1, 1, 3, trim(1, 2)),
        numbered(1, 1, 4, trim(1, 4)),
        numbered(1, 1, 5, seal(1)),
        numbered(1, 1, 6, fence(1, Some("f"), Expected::Absent)),
        numbered(1, 1, 7, set_cursor(1, "c", 3, Expected::Absent)),
        numbered(1, 1, 8, delete_cursor(1, "c")),
        numbered(1, 1, 9, alter(1, ConfigChange::default())),
        numbered(1, 1, 10, delete(2)),
    ];
    let first: Vec<_> = commands
        .iter()
        .zip(1..)
        .map(|(command, slot)| state.apply(slot, 0, 0, command))
        .collect();
    let again: Vec<_> = commands
        .iter()
        .zip(20..)
        .map(|(command, slot)| state.apply(slot, 0, 0, command))
        .collect();
    for (first, again) in first.iter().zip(&again) {
        assert_eq!(&crate::model::as_duplicate(first.clone()), again);
    }
    let described = state.describe(LogId(1)).expect("created");
    assert_eq!(
        (described.version, described.trim_point, described.sealed),
        (9, Offset(4), true)
    );
}

#[test]
fn an_append_under_a_superseded_fence_is_refused_and_one_without_a_fence_too() {
    let mut state = begun();
    state.apply(1, 0, 0, &open(2, None));
    let mut slot = 1;
    let mut first = |body: Body, sequence| {
        slot += 1;
        state.apply(slot, 0, 0, &numbered(1, 1, sequence, body))
    };
    let set = first(fence(1, Some("a"), Expected::Absent), 1);
    assert!(matches!(
        set,
        Outcome::Applied {
            receipt: Receipt::FenceSet {
                tail: Offset(0),
                version: 2,
                ..
            },
            ..
        }
    ));
    first(append_if(1, 2, None, Some("a")), 2);
    first(fence(1, Some("b"), Expected::Is(token("a"))), 3);
    // A refusal ends its epoch, so each has a producer of its own.
    state.apply(10, 0, 0, &open(3, None));
    for (producer, carried) in [(2, Some("a")), (3, None)] {
        let stale = numbered(producer, 1, 0, append_if(1, 1, None, carried));
        let outcome = state.apply(10 + producer, 0, 0, &stale);
        assert_eq!(refusal(outcome), Refusal::OtherFence);
    }
}

#[test]
fn of_two_appends_at_one_tail_one_wins() {
    let mut state = begun();
    state.apply(1, 0, 0, &open(2, None));
    let won = state.apply(2, 0, 0, &numbered(1, 1, 1, append_if(1, 3, Some(0), None)));
    assert!(matches!(won, Outcome::Applied { .. }));
    let lost = state.apply(3, 0, 0, &numbered(2, 1, 0, append_if(1, 1, Some(0), None)));
    assert_eq!(
        lost,
        Outcome::Refused {
            why: Refusal::TailMismatch { tail: Offset(3) },
            version: Some(2)
        }
    );
}

#[test]
fn a_cursor_is_a_register_with_compare_and_set() {
    let mut state = begun();
    state.apply(1, 0, 0, &numbered(1, 1, 1, append(1, 9)));
    let cases = [
        (
            set_cursor(1, "c", 3, Expected::Is(Offset(0))),
            Some(Refusal::CursorMismatch { at: None }),
        ),
        (set_cursor(1, "c", 3, Expected::Absent), None),
        (
            set_cursor(1, "c", 4, Expected::Absent),
            Some(Refusal::CursorMismatch {
                at: Some(Offset(3)),
            }),
        ),
        (set_cursor(1, "c", 5, Expected::Is(Offset(3))), None),
        (set_cursor(1, "c", 2, Expected::Any), None),
        (
            set_cursor(1, "c", 10, Expected::Any),
            Some(Refusal::OffsetOutOfRange { tail: Offset(9) }),
        ),
        (delete_cursor(1, "d"), Some(Refusal::NoCursor)),
    ];
    // A refusal ends its epoch, so each has a producer of its own.
    for (at, (body, refused)) in cases.into_iter().enumerate() {
        let slot = 10 + 2 * at as u64;
        let opened = state.apply(slot, 0, 0, &open(50 + at as u128, None));
        let Outcome::ProducerOpened { producer, .. } = opened else {
            panic!("{opened:?}");
        };
        let outcome = state.apply(slot + 1, 0, 700, &numbered(producer.0, 1, 0, body));
        match refused {
            Some(why) => assert_eq!(refusal(outcome), why),
            None => assert!(matches!(outcome, Outcome::Applied { .. }), "{outcome:?}"),
        }
    }
    let cursor = state.cursor(LogId(1), "c").expect("it was set");
    assert_eq!((cursor.at, cursor.set), (Offset(2), Timestamp(700)));
}

#[test]
fn a_log_made_again_starts_afresh_and_its_old_producers_are_told() {
    let mut state = begun();
    state.apply(1, 0, 0, &numbered(1, 1, 1, append(1, 5)));
    state.apply(
        2,
        0,
        0,
        &numbered(1, 1, 2, set_cursor(1, "c", 3, Expected::Any)),
    );
    state.apply(3, 0, 0, &numbered(1, 1, 3, delete(1)));
    state.apply(4, 0, 0, &open(2, None));
    state.apply(5, 0, 0, &numbered(2, 1, 0, create("a", false)));
    let again = state.by_name("a").expect("made again");
    let described = state.describe(again).expect("it is there");
    assert_eq!(
        (again, described.tail, described.cursors),
        (LogId(2), Offset(0), 0)
    );
    let old = state.apply(6, 0, 0, &numbered(1, 1, 4, append(1, 1)));
    assert_eq!(refusal(old), Refusal::LogDeleted);
    assert!(state.was_deleted(LogId(1)) && !state.was_deleted(LogId(3)));
    let back = State::decode(&state.encode()).expect("just encoded");
    assert_eq!(back.encode(), state.encode());
}

#[test]
fn retention_is_nobodys_command_and_counts_only_where_it_trims() {
    let mut state = begun();
    state.apply(1, 0, 0, &numbered(1, 1, 1, append(1, 5)));
    let keep_bytes = |bytes| ConfigChange {
        retention_bytes: Some(bytes),
        ..ConfigChange::default()
    };
    state.apply(1, 1, 0, &numbered(1, 1, 2, alter(1, keep_bytes(1))));
    let retain = |to| Command {
        origin: None,
        body: Body::Retain {
            log: LogId(1),
            to: Offset(to),
        },
    };
    for (slot, to, trim_point, version) in [(2, 3, 3, 4), (3, 2, 3, 4), (4, 4, 4, 5)] {
        match state.apply(slot, 0, 0, &retain(to)) {
            Outcome::Applied {
                receipt:
                    Receipt::Trimmed {
                        trim_point: kept,
                        version: now,
                        ..
                    },
                ..
            } => assert_eq!((kept, now), (Offset(trim_point), version)),
            other => panic!("{other:?}"),
        }
    }
    // Ordered by a leader that looked before the settings were changed.
    state.apply(5, 0, 0, &numbered(1, 1, 3, alter(1, keep_bytes(0))));
    state.apply(6, 0, 0, &retain(99));
    let described = state.describe(LogId(1)).expect("it is there");
    assert_eq!((described.trim_point, described.version), (Offset(4), 6));
}

#[test]
fn a_log_takes_batches_up_to_its_own_limit() {
    let mut state = begun();
    let change = ConfigChange {
        batch_bytes_max: Some(30),
        ..ConfigChange::default()
    };
    state.apply(1, 0, 0, &numbered(1, 1, 1, alter(1, change)));
    let fits = state.apply(2, 0, 0, &numbered(1, 1, 2, append(1, 3)));
    assert!(matches!(fits, Outcome::Applied { .. }));
    let large = state.apply(3, 0, 0, &numbered(1, 1, 3, append(1, 4)));
    assert_eq!(refusal(large), Refusal::TooLarge { limit: 30 });
}

#[test]
fn trim_keeps_its_offset_and_refuses_beyond_the_tail() {
    let mut state = begun();
    state.apply(1, 0, 0, &numbered(1, 1, 1, append(1, 5)));
    for (sequence, to, trim_point) in [(2, 5, 5), (3, 3, 5)] {
        match state.apply(sequence, 0, 0, &numbered(1, 1, sequence, trim(1, to))) {
            Outcome::Applied {
                receipt:
                    Receipt::Trimmed {
                        trim_point: kept,
                        tail: Offset(5),
                        ..
                    },
                ..
            } => assert_eq!(kept, Offset(trim_point)),
            other => panic!("{other:?}"),
        }
    }
    let outcome = state.apply(4, 0, 0, &numbered(1, 1, 4, trim(1, 6)));
    assert_eq!(
        outcome,
        Outcome::Refused {
            why: Refusal::OffsetOutOfRange { tail: Offset(5) },
            version: Some(4)
        }
    );
}

#[test]
fn a_sealed_log_takes_trims_and_seals_but_no_records() {
    let mut state = begun();
    state.apply(1, 0, 0, &numbered(1, 1, 1, append(1, 5)));
    for (sequence, body) in [(2, seal(1)), (3, seal(1)), (4, trim(1, 1))] {
        let outcome = state.apply(sequence, 0, 0, &numbered(1, 1, sequence, body));
        assert!(!matches!(outcome, Outcome::Refused { .. }));
    }
    let outcome = state.apply(5, 0, 0, &numbered(1, 1, 5, append(1, 1)));
    assert_eq!(
        outcome,
        Outcome::Refused {
            why: Refusal::Sealed { tail: Offset(5) },
            version: Some(5)
        }
    );
}

#[test]
fn a_list_goes_on_after_a_name() {
    let mut state = State::new();
    state.apply(0, 0, 0, &open(1, None));
    for (sequence, name) in ["b/2", "a", "b/1", "c", "b/3"].into_iter().enumerate() {
        state.apply(
            1 + sequence as u64,
            0,
            0,
            &numbered(1, 1, sequence as u64, create(name, false)),
        );
    }
    let names = |prefix: &str, after, limit| {
        let listing = state.list(prefix, after, limit);
        let names: Vec<_> = listing
            .logs
            .iter()
            .map(|log| log.name.to_string())
            .collect();
        (names.join(" "), listing.more)
    };
    assert_eq!(names("", None, 9), ("a b/1 b/2 b/3 c".into(), false));
    assert_eq!(names("b/", None, 2), ("b/1 b/2".into(), true));
    assert_eq!(names("b/", Some("b/2"), 2), ("b/3".into(), false));
    assert_eq!(names("b/", Some("a"), 1), ("b/1".into(), true));
    assert_eq!(names("b/", Some("z"), 9), (String::new(), false));
    assert_eq!(names("", None, 0), (String::new(), true));
}

#[test]
fn describe_counts_the_producers_that_wrote_here_last() {
    let mut state = begun();
    state.apply(1, 0, 0, &numbered(1, 1, 1, create("b", false)));
    state.apply(2, 0, 0, &open(2, None));
    state.apply(3, 0, 0, &numbered(2, 1, 0, append(1, 1)));
    let producers = |state: &State, log| state.describe(LogId(log)).expect("created").producers;
    assert_eq!((producers(&state, 1), producers(&state, 2)), (1, 1));
    state.apply(4, 0, 0, &numbered(1, 1, 2, append(1, 1)));
    assert_eq!((producers(&state, 1), producers(&state, 2)), (2, 0));
    let back = State::decode(&state.encode()).expect("just encoded");
    assert_eq!((producers(&back, 1), producers(&back, 2)), (2, 0));
}

#[test]
#[should_panic(expected = "once and in order")]
fn a_command_is_not_applied_twice() {
    let mut state = begun();
    state.apply(0, 1, 0, &open(9, None));
}
