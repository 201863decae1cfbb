use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::command::{Body, Command, Conditions, Expected};
use crate::config::{ConfigChange, LogConfig};
use crate::ids::Origin;
use crate::outcome::Outcome;

fn numbered(producer: u64, epoch: u32, sequence: u64, body: Body) -> Command {
    Command {
        origin: Some(Origin {
            producer: ProducerId(producer),
            epoch,
            sequence,
        }),
        body,
    }
}

fn open(nonce: u128, name: Option<&str>) -> Command {
    let name = name.map(|name| ProducerName::new(name).expect("a name"));
    Command {
        origin: None,
        body: Body::OpenProducer { nonce, name },
    }
}

/// A state that holds one of everything the encoding knows.
fn rich() -> State {
    let name = |name| LogName::new(name).expect("a name");
    let (a, b) = (LogId(1), LogId(2));
    let set_cursor = |log, name| Body::SetCursor {
        log,
        name: CursorName::new(name).expect("a name"),
        at: Offset(3),
        expect: Expected::Any,
    };
    let commands = [
        open(1, None),
        open(2, Some("mill")),
        numbered(
            1,
            1,
            0,
            Body::CreateLog {
                name: name("a"),
                if_absent: false,
                config: LogConfig {
                    retention_bytes: 1 << 30,
                    ..LogConfig::default()
                },
            },
        ),
        numbered(
            1,
            1,
            1,
            Body::CreateLog {
                name: name("b"),
                if_absent: true,
                config: LogConfig::default(),
            },
        ),
        numbered(
            1,
            1,
            2,
            Body::CreateLog {
                name: name("b"),
                if_absent: true,
                config: LogConfig::default(),
            },
        ),
        numbered(
            2,
            1,
            0,
            Body::Append {
                log: a,
                records: 3,
                bytes: 300,
                on: Conditions::default(),
            },
        ),
        numbered(
            2,
            1,
            1,
            Body::Trim {
                log: a,
                to: Offset(2),
            },
        ),
        numbered(1, 1, 3, Body::Seal { log: b }),
        open(3, Some("mill")),
        numbered(
            2,
            2,
            0,
            Body::Append {
                log: a,
                records: 1,
                bytes: 100,
                on: Conditions::default(),
            },
        ),
        numbered(
            1,
            1,
            4,
            Body::Append {
                log: b,
                records: 1,
                bytes: 100,
                on: Conditions::default(),
            },
        ),
        numbered(
            2,
            2,
            1,
            Body::Fence {
                log: a,
                token: FenceToken::new("f").ok(),
                expect: Expected::Absent,
            },
        ),
        numbered(2, 2, 2, set_cursor(a, "x")),
        numbered(2, 2, 3, set_cursor(a, "y")),
        numbered(
            2,
            2,
            4,
            Body::DeleteCursor {
                log: a,
                name: CursorName::new("x").expect("a name"),
            },
        ),
        numbered(
            2,
            2,
            5,
            Body::AlterLog {
                log: a,
                change: ConfigChange {
                    retention_age_ns: Some(5),
                    ..ConfigChange::default()
                },
            },
        ),
        open(4, None),
        open(5, None),
        numbered(
            4,
            1,
            0,
            Body::Trim {
                log: a,
                to: Offset(9),
            },
        ),
    ];
    let mut state = State::new();
    for (slot, command) in commands.iter().enumerate() {
        state.apply(slot as u64, 0, 1000 + slot as u64, command);
    }
    state
}

/// `bytes` with the digest that belongs to them.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(body) = bytes.len().checked_sub(8) {
        let sum = digest(&bytes[..body]);
        bytes[body..].copy_from_slice(&sum.to_le_bytes());
    }
    bytes
}

/// Whatever was decoded can be asked and gone on with.
fn exercise(mut state: State) {
    let again = State::decode(&state.encode()).expect("what was decoded can be encoded");
    assert_eq!(again.encode(), state.encode());
    state.list("", None, 100);
    let ids: Vec<LogId> = state.ranges().map(|(id, _)| id).collect();
    let producers: Vec<(u64, u32, u64)> = state
        .producers
        .by_id
        .iter()
        .map(|(id, p)| (id.0, p.epoch, p.receipts.next()))
        .collect();
    let Some(slot) = state.applied().map_or(Some(0), |at| at.slot.checked_add(1)) else {
        return;
    };
    let mut index = 0;
    for &log in &ids {
        assert!(state.describe(log).is_some());
        for &(producer, epoch, next) in &producers {
            for sequence in next.saturating_sub(2)..next.saturating_add(2) {
                let body = Body::Append {
                    log,
                    records: 2,
                    bytes: 20,
                    on: Conditions::default(),
                };
                state.apply(slot, index, 0, &numbered(producer, epoch, sequence, body));
                index += 1;
            }
        }
    }
    state.apply(slot, index, 0, &open(99, Some("mill")));
}

#[test]
fn a_checkpoint_reads_back_as_the_same_state() {
    let state = rich();
    let bytes = state.encode();
    let back = State::decode(&bytes).expect("just encoded");
    assert_eq!(back.encode(), bytes);
    assert_eq!(back.digest(), state.digest());
    assert_eq!(format!("{:?}", back.logs), format!("{:?}", state.logs));
    exercise(back);
}

#[test]
fn an_old_epoch_says_what_its_last_receipt_was() {
    let mut state = rich();
    let Outcome::ProducerOpened {
        epoch: 3,
        last: Some(last),
        ..
    } = state.apply(99, 0, 0, &open(9, Some("mill")))
    else {
        panic!("the third opening of this name");
    };
    assert_eq!((last.epoch, last.sequence), (2, 5));
    assert!(matches!(
        last.receipt,
        Receipt::Altered {
            log: LogId(1),
            version: 9
        }
    ));
}

#[test]
fn every_flip_and_every_cut_is_noticed() {
    let bytes = rich().encode();
    for end in 0..bytes.len() {
        assert!(State::decode(&bytes[..end]).is_err());
    }
    let mut flipped = bytes.clone();
    for bit in 0..bytes.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(State::decode(&flipped).is_err());
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_forged_checkpoint_is_refused_or_harmless() {
    let bytes = rich().encode();
    let mut accepted = 0;
    for at in 0..bytes.len() - 8 {
        for value in [0, 1, 2, 0x7f, 0x80, 0xff, bytes[at].wrapping_add(1)] {
            let mut forged = bytes.clone();
            forged[at] = value;
            if let Ok(state) = State::decode(&resealed(forged)) {
                accepted += 1;
                exercise(state);
            }
        }
    }
    assert!(
        accepted > 100,
        "most numbers in a checkpoint are free: {accepted}"
    );
}

#[test]
fn a_count_beyond_the_bytes_allocates_nothing() {
    let mut bytes = BytesMut::new();
    let mut w = Writer(&mut bytes);
    w.u32(MAGIC);
    w.u32(VERSION);
    w.opt(None, |w, at| w.position(at));
    w.u64(0);
    w.u64(1);
    w.u64(1);
    w.u32(u32::MAX);
    w.u64(0);
    assert_eq!(
        State::decode(&resealed(bytes.to_vec())).err(),
        Some(DecodeError::Short.into())
    );
}

#[test]
fn every_refusal_has_its_number() {
    for refusal in [
        Refusal::Fenced { epoch: 7 },
        Refusal::DedupExpired,
        Refusal::SequenceGap { expected: 7 },
        Refusal::Sealed { tail: Offset(7) },
        Refusal::NotFound,
        Refusal::AlreadyExists { log: LogId(7) },
        Refusal::LogDeleted,
        Refusal::TooLarge { limit: 7 },
        Refusal::Invalid(Invalidity::EmptyBatch),
        Refusal::TailMismatch { tail: Offset(7) },
        Refusal::OffsetOutOfRange { tail: Offset(7) },
    ] {
        let mut bytes = BytesMut::new();
        Writer(&mut bytes).refusal(refusal);
        assert_eq!(Reader::new(&bytes).refusal(), Ok(refusal));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = State::decode(&bytes);
        let mut begun = [&MAGIC.to_le_bytes()[..], &VERSION.to_le_bytes()[..]].concat();
        begun.extend_from_slice(&bytes);
        if let Ok(state) = State::decode(&resealed(begun)) {
            exercise(state);
        }
    }

    #[test]
    fn any_splice_is_no_panic(
        at in 0usize..2000,
        remove in 0usize..40,
        insert in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = rich().encode();
        let at = at % (bytes.len() - 8);
        let end = (at + remove).min(bytes.len() - 8);
        bytes.splice(at..end, insert);
        if let Ok(state) = State::decode(&resealed(bytes)) {
            exercise(state);
        }
    }
}
