//! What is forgotten, and that every replica forgets the same.

use paxlog_log::{LogId, Outcome, Refusal, State};

use crate::commands::{append, create, numbered, open};

fn refusal(outcome: Outcome) -> Option<Refusal> {
    match outcome {
        Outcome::Refused { why, .. } => Some(why),
        _ => None,
    }
}

#[test]
fn a_receipt_is_kept_for_4096_sequences() {
    let mut state = State::new();
    state.apply(0, 0, 0, &open(1, None));
    state.apply(0, 1, 0, &numbered(1, 1, 0, create("a", true)));
    for sequence in 1..5000 {
        state.apply(sequence, 0, 0, &numbered(1, 1, sequence, append(1, 1)));
    }
    let mut ask =
        |at: u32, sequence| state.apply(9000, at, 0, &numbered(1, 1, sequence, append(1, 1)));
    assert_eq!(refusal(ask(0, 5000 - 4097)), Some(Refusal::DedupExpired));
    assert!(matches!(
        ask(1, 5000 - 4096),
        Outcome::Applied {
            duplicate: true,
            ..
        }
    ));
    // To be forgotten ends no epoch.
    assert!(matches!(
        ask(2, 5000),
        Outcome::Applied {
            duplicate: false,
            ..
        }
    ));
}

#[test]
fn the_least_recently_used_producer_goes_first() {
    let mut state = State::new();
    let mut slot = 0;
    let mut apply = |state: &mut State, command| {
        slot += 1;
        state.apply(slot, 0, 0, &command)
    };
    apply(&mut state, open(1, None));
    apply(&mut state, numbered(1, 1, 0, create("a", true)));
    for nonce in 2..=10_000 {
        apply(&mut state, open(nonce, None));
    }
    assert_eq!(state.producers(), 10_000);
    // The first one is used again, so the second is the oldest now.
    apply(&mut state, numbered(1, 1, 1, append(1, 1)));
    apply(&mut state, open(20_000, Some("new")));
    assert_eq!(state.producers(), 10_000);
    assert_eq!(
        refusal(apply(&mut state, numbered(2, 1, 0, append(1, 1)))),
        Some(Refusal::DedupExpired)
    );
    assert_eq!(
        refusal(apply(&mut state, numbered(1, 1, 2, append(1, 1)))),
        None
    );
    // Its nonce was forgotten with it: the same opening is a new one.
    match apply(&mut state, open(2, None)) {
        Outcome::ProducerOpened {
            producer,
            duplicate,
            ..
        } => {
            assert_eq!((producer.0, duplicate), (10_002, false));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_million_receipts_over_all_and_the_checkpoint_agrees() {
    let producers = 260;
    let mut state = State::new();
    let mut resumed = None;
    for producer in 1..=producers {
        state.apply(
            producer * 10_000,
            0,
            0,
            &open(producer.into(), Some(&format!("p{producer}"))),
        );
        if producer == 1 {
            state.apply(
                producer * 10_000,
                1,
                0,
                &numbered(1, 1, 0, create("a", true)),
            );
        }
        let first = u64::from(producer == 1);
        for sequence in first..4100 {
            state.apply(
                producer * 10_000 + 1 + sequence,
                0,
                7,
                &numbered(producer, 1, sequence, append(1, 1)),
            );
        }
        assert!(state.receipts() <= 1 << 20);
        if producer == producers - 2 {
            resumed = Some(State::decode(&state.encode()).expect("just encoded"));
        } else if let Some(resumed) = &mut resumed {
            let opening = open(producer.into(), Some(&format!("p{producer}")));
            resumed.apply(producer * 10_000, 0, 0, &opening);
            for sequence in first..4100 {
                resumed.apply(
                    producer * 10_000 + 1 + sequence,
                    0,
                    7,
                    &numbered(producer, 1, sequence, append(1, 1)),
                );
            }
        }
    }
    assert_eq!((state.producers(), state.receipts()), (256, 1 << 20));
    assert_eq!(
        resumed.map(|resumed| resumed.digest()),
        Some(state.digest())
    );
    assert_eq!(state.describe(LogId(1)).expect("created").producers, 256);
}
