//! Appenders under faults.

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::Bytes;
use paxlog_log::{Body, Command, LogId, Origin, Outcome, ProducerName};
use paxlog_session::{AppendEvent, Appender, AppenderConfig, Compression, Error, NotTaken, Token};
use paxlog_wire::batch::Record;
use paxlog_wire::client::Receipt;
use paxlog_wire::{Code, OutcomeFact};

use crate::for_seeds;
use crate::rng::Rng;
use crate::world::{Client, MS, World};

/// What was appended and what came of it.
#[derive(Default)]
struct Ledger {
    appends: Vec<Append>,
    closed: Option<Error>,
    opened: bool,
}

struct Append {
    payloads: Vec<Bytes>,
    taken: u64,
    deadline: u64,
    ended: Option<(u64, Result<Receipt, Error>)>,
}

/// Appends at random, and notes what is said.
fn drive(world: &mut World, client: usize, ledger: &mut Ledger, load: &mut Rng, wanted: usize) {
    note(world, client, ledger);
    let now = world.now;
    // Takes a step in some turns only.
    let burst = if load.below(30) == 0 {
        load.below(6)
    } else {
        0
    };
    let appender = world.clients[client].appender();
    for _ in 0..burst {
        if ledger.appends.len() >= wanted {
            break;
        }
        let token = ledger.appends.len();
        let payloads: Vec<Bytes> = (0..load.between(1, 4))
            .map(|at| {
                let mut payload = format!("{client}/{token}/{at}").into_bytes();
                payload.resize(payload.len() + load.below(300) as usize, b'.');
                Bytes::from(payload)
            })
            .collect();
        let records: Vec<Record> = payloads.iter().cloned().map(Record::new).collect();
        let deadline = now
            + if load.below(10) == 0 {
                load.below(100 * MS)
            } else {
                load.between(1_000 * MS, 20_000 * MS)
            };
        match appender.append(now, Token(token as u64), &records, deadline) {
            Ok(()) => ledger.appends.push(Append {
                payloads,
                taken: now,
                deadline,
                ended: None,
            }),
            Err(NotTaken::Full) => break,
            Err(NotTaken::Refused(error)) => {
                assert_eq!(
                    Some(&error.code),
                    ledger.closed.as_ref().map(|closed| &closed.code)
                );
                break;
            }
        }
    }
    if load.half() {
        appender.flush(now);
    }
    note(world, client, ledger);
}

fn note(world: &mut World, client: usize, ledger: &mut Ledger) {
    let now = world.now;
    while let Some(event) = world.clients[client].appender().poll_event() {
        match event {
            AppendEvent::Opened(_) => {
                assert!(!ledger.opened && ledger.closed.is_none());
                ledger.opened = true;
            }
            AppendEvent::Done { token, result } => {
                let append = &mut ledger.appends[token.0 as usize];
                assert!(append.ended.is_none(), "append {} ended twice", token.0);
                append.ended = Some((now, result));
            }
            AppendEvent::Closed(error) => {
                assert!(ledger.closed.is_none());
                ledger.closed = Some(error);
            }
        }
    }
}

/// What must hold of a log that only these appended to, each after its own order.
fn check(contents: &[Bytes], ledgers: &[&Ledger]) {
    let mut places: BTreeMap<&Bytes, usize> = BTreeMap::new();
    for (offset, payload) in contents.iter().enumerate() {
        assert!(
            places.insert(payload, offset).is_none(),
            "{payload:?} stands twice"
        );
    }
    let mut explained = 0;
    for ledger in ledgers {
        let mut last = None;
        // The latest end of a failure among the appends that are not in the log.
        let mut failed = 0;
        for append in &ledger.appends {
            let (ended, result) = append.ended.as_ref().expect("every append ends");
            let found = places.get(&append.payloads[0]).copied();
            if let Some(start) = found {
                for (at, payload) in append.payloads.iter().enumerate() {
                    assert_eq!(
                        contents.get(start + at),
                        Some(payload),
                        "an append is whole or absent"
                    );
                }
                assert!(last.is_none_or(|last| last < start), "in the order taken");
                last = Some(start);
                explained += append.payloads.len();
                assert!(append.taken >= failed, "a hole before offset {start}");
            } else {
                failed = failed.max(*ended);
            }
            match result {
                Ok(receipt) => {
                    assert_eq!(
                        found,
                        Some(receipt.start as usize),
                        "its receipt says where it is"
                    );
                    assert_eq!(receipt.end - receipt.start, append.payloads.len() as u64);
                }
                Err(error) => match error.outcome {
                    OutcomeFact::NotApplied => {
                        assert_eq!(found, None, "{error} is there all the same")
                    }
                    OutcomeFact::Unknown => {}
                    OutcomeFact::NotAWrite => panic!("an append is a write: {error}"),
                },
            }
            // The machine is called each millisecond, and joins deadlines within 100 ms.
            assert!(
                *ended <= append.deadline + 2 * MS,
                "{} ms late",
                (ended - append.deadline) / MS
            );
        }
    }
    assert_eq!(
        explained,
        contents.len(),
        "nothing is there that nobody appended"
    );
}

fn config(world: &mut World, log: &str) -> AppenderConfig {
    let nonce = u128::from(world.rng.draw()) << 64 | u128::from(world.rng.draw());
    let seed = world.rng.draw();
    let mut config = AppenderConfig::new(log, nonce, seed);
    config.window = [1, 2, 5, 50, 4096][world.rng.below(5) as usize];
    config.window_bytes = [1, 2_000, 1 << 20][world.rng.below(3) as usize];
    config.batch_bytes_max = [64, 1_000, 1 << 20][world.rng.below(3) as usize];
    config.batch_records_max = [1, 3, u32::MAX][world.rng.below(3) as usize];
    config.linger = [0, 0, 3 * MS][world.rng.below(3) as usize];
    config.silence = world.rng.between(200 * MS, 3_000 * MS);
    config.open_deadline = world.now + 20_000 * MS;
    config.compression = [Compression::None, Compression::Lz4][world.rng.below(2) as usize];
    config
}

/// Runs faults for a while, then none until everything ended.
fn run(
    world: &mut World,
    ledgers: &mut [Ledger],
    wanted: usize,
    mut meddle: impl FnMut(&mut World),
) {
    let mut load = Rng::new(world.rng.draw());
    let end = world.now + 4_000 * MS;
    world.run(end, |world| {
        for (client, ledger) in ledgers.iter_mut().enumerate() {
            drive(world, client, ledger, &mut load, wanted * 3 / 4);
        }
        meddle(world);
    });
    world.heal();
    let end = world.now + 25_000 * MS;
    world.run(end, |world| {
        for (client, ledger) in ledgers.iter_mut().enumerate() {
            drive(world, client, ledger, &mut load, wanted);
            world.clients[client].appender().flush_now(world.now);
        }
    });
    for (client, ledger) in ledgers.iter_mut().enumerate() {
        note(world, client, ledger);
        assert!(world.clients[client].appender().is_idle());
        assert!(ledger.opened || ledger.closed.is_some());
    }
}

fn add(world: &mut World, config: AppenderConfig) {
    let tracker = world.tracker();
    let appender = Appender::new(world.now, config, tracker);
    world.clients.push(Client::Appender(Box::new(appender)));
}

#[test]
fn appends_are_applied_once_and_in_order_whatever_fails() {
    // Too quiet a run proves nothing.
    let (runs, quiet) = (Cell::new(0), Cell::new(0));
    for_seeds(300, |seed| {
        let mut world = World::new(seed);
        let appenders = world.rng.between(1, 4) as usize;
        for _ in 0..appenders {
            let config = config(&mut world, "a");
            add(&mut world, config);
        }
        let mut ledgers: Vec<Ledger> = (0..appenders).map(|_| Ledger::default()).collect();
        run(&mut world, &mut ledgers, 250, |_| {});
        check(
            &world.cluster.contents("a"),
            &ledgers.iter().collect::<Vec<_>>(),
        );
        for ledger in &ledgers {
            assert!(ledger.closed.is_none());
            let acked = ledger
                .appends
                .iter()
                .filter(|append| matches!(append.ended, Some((_, Ok(_)))));
            runs.set(runs.get() + 1);
            quiet.set(quiet.get() + usize::from(acked.count() == 0));
        }
    });
    assert!(
        quiet.get() * 20 < runs.get(),
        "vacuous: {} of {} got nothing through",
        quiet.get(),
        runs.get()
    );
}

#[test]
fn a_seal_under_load_leaves_no_hole() {
    let refusals = Cell::new(0);
    for_seeds(100, |seed| {
        let mut world = World::new(seed);
        let config = config(&mut world, "a");
        add(&mut world, config);
        let mut ledgers = [Ledger::default()];
        let seal_at = world.now + world.rng.below(3_000 * MS);
        let mut sealed = false;
        run(&mut world, &mut ledgers, 250, |world| {
            if world.now >= seal_at
                && !sealed
                && let Some(log) = world.cluster.state.by_name("a")
            {
                sealed = true;
                seal(world, log);
            }
        });
        check(&world.cluster.contents("a"), &[&ledgers[0]]);
        let refused = ledgers[0].appends.iter().filter(
            |append| matches!(&append.ended, Some((_, Err(error))) if error.code == Code::Sealed),
        );
        refusals.set(refusals.get() + refused.count());
    });
    assert!(refusals.get() > 0, "vacuous");
}

fn seal(world: &mut World, log: LogId) {
    let opened = world.cluster.apply_foreign(&Command {
        origin: None,
        body: Body::OpenProducer {
            nonce: 1,
            name: None,
        },
    });
    let Outcome::ProducerOpened {
        producer, epoch, ..
    } = opened
    else {
        panic!("{opened:?}")
    };
    let origin = Some(Origin {
        producer,
        epoch,
        sequence: 0,
    });
    world.cluster.apply_foreign(&Command {
        origin,
        body: Body::Seal { log },
    });
}

#[test]
fn a_forgotten_producer_goes_on_as_another_and_nothing_stands_twice() {
    for_seeds(25, |seed| {
        let mut world = World::new(seed);
        let config = config(&mut world, "a");
        add(&mut world, config);
        let mut ledgers = [Ledger::default()];
        let forget_at = world.now + world.rng.below(3_000 * MS);
        let mut forgotten = false;
        run(&mut world, &mut ledgers, 250, |world| {
            if world.now >= forget_at && !forgotten {
                forgotten = true;
                for nonce in 0..10_001 {
                    let body = Body::OpenProducer { nonce, name: None };
                    world.cluster.apply_foreign(&Command { origin: None, body });
                }
            }
        });
        check(&world.cluster.contents("a"), &[&ledgers[0]]);
        assert!(ledgers[0].closed.is_none());
    });
}

#[test]
fn of_two_with_one_name_the_earlier_is_fenced() {
    for_seeds(50, |seed| {
        let mut world = World::new(seed);
        let mut first = config(&mut world, "a");
        first.producer = Some("mill".into());
        let mut second = config(&mut world, "a");
        second.producer = Some("mill".into());
        add(&mut world, first);
        let mut ledgers = vec![Ledger::default(), Ledger::default()];
        let mut load = Rng::new(world.rng.draw());
        let half = world.now + 2_000 * MS;
        world.run(half, |world| {
            drive(world, 0, &mut ledgers[0], &mut load, 100)
        });
        add(&mut world, second);
        run(&mut world, &mut ledgers, 200, |_| {});
        check(&world.cluster.contents("a"), &[&ledgers[0], &ledgers[1]]);
        // The first may have asked for another epoch of its own in between: then both are out.
        let out: Vec<_> = ledgers
            .iter()
            .filter_map(|ledger| ledger.closed.as_ref())
            .map(|error| error.code)
            .collect();
        assert!(out.iter().all(|&code| code == Code::Fenced), "{out:?}");
    });
}

#[test]
fn who_was_shut_out_does_not_come_back_after_a_refusal_of_its_own() {
    let mut world = World::new(1);
    world.faults = Default::default();
    world.cluster.refuse_ppm = 0;
    let mut named = config(&mut world, "a");
    named.producer = Some("mill".into());
    add(&mut world, named);
    let mut ledger = Ledger::default();
    // No record is at offset 7: this ends the epoch, and the appender asks for the next one.
    let deadline = world.now + 9_000 * MS;
    let payloads = vec![Bytes::from("x")];
    let records = [Record::new("x")];
    let appender = world.clients[0].appender();
    let appended = appender.append_at(world.now, Token(0), &records, Some(7), deadline);
    assert!(appended.is_ok());
    ledger.appends.push(Append {
        payloads,
        taken: world.now,
        deadline,
        ended: None,
    });
    let end = world.now + 2_000 * MS;
    let mut taken_over = false;
    world.run(end, |world| {
        world.clients[0].appender().flush_now(world.now);
        note(world, 0, &mut ledger);
        // Just now it heard of the refusal; another is faster.
        if ledger.appends[0].ended.is_some() && !taken_over {
            taken_over = true;
            let (nonce, name) = (1, ProducerName::new("mill").ok());
            let body = Body::OpenProducer { nonce, name };
            let opened = world.cluster.apply_foreign(&Command { origin: None, body });
            assert!(
                matches!(opened, Outcome::ProducerOpened { .. }),
                "{opened:?}"
            );
        }
    });
    let (_, result) = ledger.appends[0].ended.clone().expect("it ended");
    assert_eq!(result.expect_err("not the tail").code, Code::TailMismatch);
    assert!(taken_over);
    let closed = ledger.closed.expect("it is shut out");
    assert_eq!(closed.code, Code::Fenced, "{closed}");
    assert!(closed.found.is_some(), "{closed}");
}

#[test]
fn without_a_quorum_appends_end_by_their_deadline_and_go_on_afterwards() {
    for_seeds(50, |seed| {
        let mut world = World::new(seed);
        world.faults = Default::default();
        world.cluster.refuse_ppm = 0;
        let config = config(&mut world, "a");
        add(&mut world, config);
        let mut ledgers = [Ledger::default()];
        let mut load = Rng::new(world.rng.draw());
        let begin = world.now + 300 * MS;
        world.run(begin, |world| {
            drive(world, 0, &mut ledgers[0], &mut load, 50)
        });
        world.cluster.stuck = true;
        let stuck = world.now + 21_000 * MS;
        world.run(stuck, |world| {
            drive(world, 0, &mut ledgers[0], &mut load, 150)
        });
        let acked = |ledger: &Ledger| {
            ledger
                .appends
                .iter()
                .filter(|a| matches!(a.ended, Some((_, Ok(_)))))
                .count()
        };
        let before = acked(&ledgers[0]);
        let idle = world.clients[0].appender().is_idle();
        world.heal();
        run(&mut world, &mut ledgers, 300, |_| {});
        check(&world.cluster.contents("a"), &[&ledgers[0]]);
        assert!(
            acked(&ledgers[0]) > before,
            "it goes on; idle in between: {idle}"
        );
    });
}

#[test]
fn a_log_that_may_not_be_made_closes_the_appender() {
    let mut world = World::new(1);
    world.faults = Default::default();
    world.cluster.refuse_ppm = 0;
    let mut config = config(&mut world, "missing");
    config.create = false;
    add(&mut world, config);
    let mut ledgers = [Ledger::default()];
    let token = Token(0);
    let appended = world.clients[0].appender().append(
        world.now,
        token,
        &[Record::new("x")],
        world.now + 9_000 * MS,
    );
    assert!(appended.is_ok());
    let payloads = vec![Bytes::from("x")];
    ledgers[0].appends.push(Append {
        payloads,
        taken: world.now,
        deadline: world.now + 9_000 * MS,
        ended: None,
    });
    run(&mut world, &mut ledgers, 0, |_| {});
    assert_eq!(
        ledgers[0].closed.as_ref().map(|error| error.code),
        Some(Code::NotFound)
    );
    let (_, result) = ledgers[0].appends[0].ended.clone().expect("it ended");
    let error = result.expect_err("there is no such log");
    assert_eq!(
        (error.code, error.outcome),
        (Code::NotFound, OutcomeFact::NotApplied)
    );
}
