//! What must hold for any commands in any order.

use std::collections::BTreeMap;

use bytes::BytesMut;
use paxlog_log::{
    Body, Command, Conditions, ConfigChange, Expected, Invalidity, LogId, Offset, Origin, Outcome,
    ProducerId, Receipt, Refusal, State,
};
use proptest::prelude::*;

use crate::commands::{
    alter, append, append_if, create, delete, delete_cursor, fence, numbered, open, seal,
    set_cursor, token, trim,
};
use crate::model::{Model, as_duplicate};

/// What to try next. Small numbers, so that things meet.
#[derive(Clone, Debug)]
enum Intent {
    /// A producer's next command in its current epoch.
    Next {
        producer: usize,
        body: Body,
    },
    /// Any earlier command once more.
    Resend {
        back: usize,
    },
    Open {
        nonce: u128,
        name: Option<String>,
    },
    /// What the leader does by itself.
    Retain {
        log: u64,
        to: u64,
    },
    /// Numbers from nowhere.
    Wild {
        command: Command,
    },
}

fn bodies() -> impl Strategy<Value = Body> {
    let log = 0u64..5;
    prop_oneof![
        2 => ("[abc]", any::<bool>()).prop_map(|(name, if_absent)| create(&name, if_absent)),
        8 => (log.clone(), 1u32..5).prop_map(|(log, records)| append(log, records)),
        1 => (log.clone(), 0u64..12).prop_map(|(log, to)| trim(log, to)),
        1 => log.clone().prop_map(seal),
        3 => (log.clone(), 1u32..3, prop::option::of(0u64..6), fences())
            .prop_map(|(log, records, tail, fence)| append_if(log, records, tail, fence)),
        2 => (log.clone(), fences(), expected(fences().prop_filter_map("a token", |fence| fence)))
            .prop_map(|(log, to, expect)| fence(log, to, of_tokens(expect))),
        3 => (log.clone(), "[xy]", 0u64..8, expected(0u64..8)).prop_map(|(log, name, at, expect)| {
            set_cursor(log, &name, at, of_offsets(expect))
        }),
        1 => (log.clone(), "[xy]").prop_map(|(log, name)| delete_cursor(log, &name)),
        1 => (log.clone(), changes()).prop_map(|(log, change)| alter(log, change)),
        1 => log.clone().prop_map(delete),
        1 => (log, 0u32..2, 0u32..5_000_000).prop_map(|(log, records, bytes)| Body::Append {
            log: LogId(log), records, bytes, on: Conditions::default(),
        }),
    ]
}

fn fences() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![Just(None), Just(Some("f")), Just(Some("g"))]
}

fn expected<T: std::fmt::Debug>(
    what: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<Option<T>>> {
    prop::option::of(prop::option::of(what))
}

fn of_tokens(expect: Option<Option<&str>>) -> Expected<paxlog_log::FenceToken> {
    match expect {
        None => Expected::Any,
        Some(None) => Expected::Absent,
        Some(Some(fence)) => Expected::Is(token(fence)),
    }
}

fn of_offsets(expect: Option<Option<u64>>) -> Expected<Offset> {
    match expect {
        None => Expected::Any,
        Some(None) => Expected::Absent,
        Some(Some(at)) => Expected::Is(Offset(at)),
    }
}

fn changes() -> impl Strategy<Value = ConfigChange> {
    let (age, bytes) = (prop::option::of(0u64..9), prop::option::of(0u64..9));
    let (batch, rate) = (prop::option::of(0u32..40), prop::option::of(0u64..9));
    (age, bytes, batch, rate).prop_map(|(age, bytes, batch, rate)| ConfigChange {
        retention_age_ns: age,
        retention_bytes: bytes,
        batch_bytes_max: batch,
        append_bytes_per_s: rate,
    })
}

fn intents() -> impl Strategy<Value = Intent> {
    let name = prop_oneof![
        Just(None),
        Just(Some("x".to_owned())),
        Just(Some("y".to_owned()))
    ];
    let origin = (0u64..6, 0u32..4, 0u64..6).prop_map(|(id, epoch, sequence)| Origin {
        producer: ProducerId(id),
        epoch,
        sequence,
    });
    let any_body = prop_oneof![4 => bodies(), 1 => Just(open(3, None).body)];
    prop_oneof![
        12 => (0usize..5, bodies()).prop_map(|(producer, body)| Intent::Next { producer, body }),
        4 => (0usize..30).prop_map(|back| Intent::Resend { back }),
        3 => (0u128..8, name).prop_map(|(nonce, name)| Intent::Open { nonce, name }),
        1 => (0u64..5, 0u64..12).prop_map(|(log, to)| Intent::Retain { log, to }),
        2 => (prop::option::of(origin), any_body).prop_map(|(origin, body)| Intent::Wild { command: Command { origin, body } }),
    ]
}

fn runs() -> impl Strategy<Value = Vec<(Intent, u64)>> {
    prop::collection::vec((intents(), 0u64..1000), 0..150)
}

/// Plays a run against the model, which says what the next numbers are, and
/// gives the commands as they came out, with the model's answers.
fn play(run: &[(Intent, u64)], model: &mut Model) -> Vec<(Command, u64, Outcome)> {
    let mut played: Vec<(Command, u64, Outcome)> = vec![];
    for (intent, clock) in run {
        let command = match intent {
            Intent::Next { producer, body } => match model.producers.get(*producer) {
                Some(known) => {
                    let sequence =
                        known.epochs.last().map_or(0, |epoch| epoch.applied.len()) as u64;
                    numbered(
                        *producer as u64 + 1,
                        known.epochs.len() as u32,
                        sequence,
                        body.clone(),
                    )
                }
                None => open(*producer as u128, None),
            },
            Intent::Resend { back } => match played.len().checked_sub(back + 1) {
                Some(at) => played[at].0.clone(),
                None => continue,
            },
            Intent::Open { nonce, name } => open(*nonce, name.as_deref()),
            Intent::Retain { log, to } => Command {
                origin: None,
                body: Body::Retain {
                    log: LogId(*log),
                    to: Offset(*to),
                },
            },
            Intent::Wild { command } => command.clone(),
        };
        let outcome = model.apply(*clock, &command);
        played.push((command, *clock, outcome));
    }
    played
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_model_agrees(run in runs()) {
        let mut model = Model::default();
        let mut state = State::new();
        for (at, (command, clock, expected)) in play(&run, &mut model).into_iter().enumerate() {
            let known = state.lookup(&command);
            let outcome = state.apply(at as u64 / 3, at as u32 % 3, clock, &command);
            prop_assert_eq!(&outcome, &expected, "{:?}", command);
            if let Some(known) = known {
                prop_assert_eq!(&known, &expected, "what lookup answers is what apply would");
            }
        }
        prop_assert_eq!(state.logs(), model.logs.iter().filter(|log| !log.deleted).count());
        for (at, log) in model.logs.iter().enumerate() {
            let id = LogId(at as u64 + 1);
            prop_assert_eq!(state.was_deleted(id), log.deleted);
            if log.deleted {
                prop_assert_eq!(state.describe(id), None);
                continue;
            }
            prop_assert_eq!(state.by_name(&log.name), Some(id));
            let described = state.describe(id).expect("it has a name");
            prop_assert_eq!(
                (described.tail.0, described.trim_point.0, described.sealed, described.version),
                (log.tail, log.trim_point, log.sealed, log.version)
            );
            let fence = described.fence.map(|fence| fence.to_string());
            prop_assert_eq!((fence, described.config), (log.fence.clone(), log.config));
            let listing = state.cursors(id, "", None, 99);
            let cursors = listing.cursors.iter().map(|(name, cursor)| (name.to_string(), cursor.at.0));
            prop_assert!(cursors.eq(log.cursors.clone()));
        }
    }

    #[test]
    fn a_checkpoint_in_the_middle_changes_nothing(run in runs(), cut in 0usize..150) {
        let played = play(&run, &mut Model::default());
        let mut straight = State::new();
        let mut resumed = State::new();
        for (at, (command, clock, _)) in played.iter().enumerate() {
            if at == cut {
                let bytes = resumed.encode();
                resumed = State::decode(&bytes).expect("just encoded");
                prop_assert_eq!(resumed.encode(), bytes);
            }
            let outcome = straight.apply(at as u64, 0, *clock, command);
            prop_assert_eq!(resumed.apply(at as u64, 0, *clock, command), outcome);
        }
        prop_assert_eq!(straight.digest(), resumed.digest());
        prop_assert_eq!(straight.encode(), resumed.encode());
        prop_assert_eq!(straight.list("", None, 99), resumed.list("", None, 99));
    }

    #[test]
    fn a_clone_keeps_what_it_held(run in runs(), cut in 0usize..150) {
        let mut state = State::new();
        let mut kept = None;
        for (at, (command, clock, _)) in play(&run, &mut Model::default()).iter().enumerate() {
            if at == cut {
                kept = Some((state.clone(), state.encode()));
            }
            state.apply(at as u64, 0, *clock, command);
        }
        if let Some((clone, bytes)) = kept {
            prop_assert_eq!(clone.encode(), bytes);
        }
    }

    /// Every command is sent up to three times, the copies landing anywhere
    /// later: what stands in the logs is as if each had been sent once.
    #[test]
    fn resending_changes_nothing(run in runs(), copies in prop::collection::vec(0usize..40, 0..300)) {
        // What came too early changes nothing then, but its copy may come in time.
        let sent: Vec<_> = play(&run, &mut Model::default())
            .into_iter()
            .filter(|(command, _, outcome)| !too_early(outcome) && command.origin.is_some() | is_open(command))
            .map(|(command, clock, _)| (command, clock))
            .collect();
        let mut order: Vec<usize> = (0..sent.len()).collect();
        for (copy, later) in copies.iter().enumerate() {
            if sent.is_empty() { break; }
            let which = copy % sent.len();
            let first = order.iter().position(|&at| at == which).expect("all were sent");
            order.insert((first + 1 + later).min(order.len()), which);
        }
        // An opening that lands late may be a new one, when sixteen others of
        // its name came between; none of these runs has so many.
        let mut once = State::new();
        for (slot, (command, clock)) in sent.iter().enumerate() {
            once.apply(slot as u64, 0, *clock, command);
        }
        let mut often = State::new();
        let mut answers: BTreeMap<_, Outcome> = BTreeMap::new();
        let mut fresh: BTreeMap<LogId, u64> = BTreeMap::new();
        for (slot, &at) in order.iter().enumerate() {
            let (command, clock) = &sent[at];
            let outcome = often.apply(slot as u64, 0, *clock, command);
            match outcome {
                Outcome::Applied { receipt: Receipt::Appended { log, records, .. }, duplicate: false } => {
                    *fresh.entry(log).or_insert(0) += u64::from(records);
                }
                Outcome::Applied { receipt: Receipt::Deleted { log, .. }, duplicate: false } => {
                    fresh.remove(&log);
                }
                _ => {}
            }
            if is_receipt(&outcome) {
                let as_resent = as_duplicate(outcome);
                let first = answers.entry(key(command)).or_insert_with(|| as_resent.clone());
                prop_assert_eq!(&as_resent, first, "every receipt of one number agrees");
            }
        }
        let tails: u64 = often.ranges().map(|(_, range)| range.end).sum();
        prop_assert_eq!(tails, fresh.values().sum::<u64>(), "offsets are dense: they count the records applied once");
        for (once, often) in once.list("", None, 99).logs.iter().zip(&often.list("", None, 99).logs) {
            prop_assert_eq!((once.tail, once.version, once.sealed), (often.tail, often.version, often.sealed));
        }
    }

    #[test]
    fn a_command_reads_back(origin in prop::option::of((any::<u64>(), any::<u32>(), any::<u64>())), body in bodies()) {
        let origin = origin.map(|(producer, epoch, sequence)| Origin { producer: ProducerId(producer), epoch, sequence });
        let command = Command { origin, body };
        let mut bytes = BytesMut::new();
        command.encode(&mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(b"the batch");
        prop_assert_eq!(Command::decode(&bytes), Ok((command, length)));
    }

    #[test]
    fn any_bytes_are_a_command_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..80), kind in 0u8..13) {
        check_command(&bytes)?;
        if bytes.len() >= 8 {
            bytes[0] = 1;
            bytes[1] = kind;
            bytes[2] &= 7;
            bytes[3] = 0;
            let length = bytes.len() as u32;
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
            check_command(&bytes)?;
        }
    }
}

fn check_command(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok((command, length)) = Command::decode(bytes) {
        let mut again = BytesMut::new();
        command.encode(&mut again);
        prop_assert_eq!(&again[..], &bytes[..length], "one encoding for one command");
        let mut state = State::new();
        state.apply(0, 0, 0, &command);
    }
    Ok(())
}

/// What makes two commands the same one.
fn key(command: &Command) -> (Option<Origin>, Vec<u8>) {
    let mut bytes = BytesMut::new();
    command.encode(&mut bytes);
    (command.origin, bytes.to_vec())
}

fn too_early(outcome: &Outcome) -> bool {
    let Outcome::Refused { why, .. } = outcome else {
        return false;
    };
    matches!(
        why,
        Refusal::SequenceGap { .. }
            | Refusal::Invalid(Invalidity::UnknownProducer | Invalidity::EpochAhead)
    )
}

fn is_open(command: &Command) -> bool {
    matches!(command.body, Body::OpenProducer { .. })
}

fn is_receipt(outcome: &Outcome) -> bool {
    !matches!(
        outcome,
        Outcome::Refused { .. } | Outcome::ProducerOpened { .. }
    )
}
