//! Commands and queries under faults.

use std::collections::BTreeMap;

use paxlog_session::{
    Change, Command, Commands, CommandsConfig, Consistency, Queries, QueriesConfig, Token,
};
use paxlog_wire::client::{Answer, CommandOutcome, LogRef, Query};
use paxlog_wire::{Code, OutcomeFact};

use crate::for_seeds;
use crate::rng::Rng;
use crate::world::{Client, MS, World};

enum Asked {
    Create { name: String },
    Trim { name: String, to: u64 },
    Seal { name: String },
}

struct Call {
    asked: Asked,
    deadline: u64,
    ended: bool,
}

fn commands(world: &mut World) -> &mut Commands {
    match &mut world.clients[0] {
        Client::Commands(commands) => commands,
        _ => panic!("the first client is the commands"),
    }
}

fn queries(world: &mut World) -> &mut Queries {
    match &mut world.clients[1] {
        Client::Queries(queries) => queries,
        _ => panic!("the second client is the queries"),
    }
}

/// Every name is created once, so that `AlreadyExists` would be a retry taken for another create.
#[test]
fn a_retried_command_gets_its_own_first_answer() {
    for_seeds(150, |seed| {
        let mut world = World::new(seed);
        let mut config = CommandsConfig::new(u128::from(world.rng.draw()) + 7, world.rng.draw());
        config.silence = world.rng.between(200 * MS, 2_000 * MS);
        let machine = Commands::new(config, world.tracker());
        world.clients.push(Client::Commands(Box::new(machine)));
        let mut load = Rng::new(world.rng.draw());
        let mut calls: Vec<Call> = vec![];
        let mut acked = 0;
        let end = world.now + 4_000 * MS;
        world.run(end, |world| {
            step(world, &mut load, &mut calls, &mut acked, 60)
        });
        world.heal();
        let end = world.now + 25_000 * MS;
        world.run(end, |world| {
            step(world, &mut load, &mut calls, &mut acked, 80)
        });
        assert!(calls.iter().all(|call| call.ended), "every command ends");
        assert!(commands(&mut world).is_idle());
        assert!(acked > 0, "vacuous");
    });
}

fn trim(log: &str, to: u64) -> Command {
    Command::on(log, Change::Trim { to })
}

fn step(
    world: &mut World,
    load: &mut Rng,
    calls: &mut Vec<Call>,
    acked: &mut usize,
    wanted: usize,
) {
    let now = world.now;
    if load.below(60) == 0 && calls.len() < wanted {
        let token = Token(calls.len() as u64);
        let short = load.below(8) == 0;
        let deadline = now
            + if short {
                load.below(100 * MS)
            } else {
                load.between(2_000 * MS, 20_000 * MS)
            };
        let older = load.below(calls.len() as u64 + 1);
        let asked = match load.below(4) {
            0 | 1 => Asked::Create {
                name: format!("log-{}", token.0),
            },
            2 => Asked::Trim {
                name: format!("log-{older}"),
                to: load.below(2),
            },
            _ => Asked::Seal {
                name: format!("log-{older}"),
            },
        };
        let machine = commands(world);
        match &asked {
            Asked::Create { name } => {
                machine.push(now, token, Command::create(name, false), deadline)
            }
            Asked::Trim { name, to } => machine.push(now, token, trim(name, *to), deadline),
            Asked::Seal { name } => {
                machine.push(now, token, Command::on(name, Change::Seal), deadline)
            }
        }
        calls.push(Call {
            asked,
            deadline,
            ended: false,
        });
    }
    while let Some(done) = commands(world).poll_done() {
        let call = &mut calls[done.token.0 as usize];
        assert!(!call.ended, "a command ends once");
        call.ended = true;
        assert!(now <= call.deadline + 2 * MS, "by its deadline");
        let exists = |name: &str| world.cluster.state.by_name(name).is_some();
        match (&call.asked, done.result) {
            (Asked::Create { name }, Ok(CommandOutcome::LogOpened { existed: false, .. })) => {
                assert!(exists(name));
                *acked += 1;
            }
            (Asked::Create { name }, Err(error)) => {
                assert_ne!(error.code, Code::AlreadyExists, "{name} was created once");
                if error.outcome == OutcomeFact::NotApplied {
                    assert!(!exists(name), "{error}, but {name} is there");
                }
            }
            (Asked::Trim { to, .. }, Ok(CommandOutcome::Trimmed { tail, .. })) => {
                assert!(*to <= tail)
            }
            (Asked::Trim { to, .. }, Err(error)) if error.code == Code::OffsetOutOfRange => {
                assert!(*to > 0)
            }
            (Asked::Seal { name }, Ok(CommandOutcome::Sealed { .. })) => {
                let log = world.cluster.state.by_name(name).expect("it was sealed");
                assert!(world.cluster.state.describe(log).expect("it exists").sealed);
            }
            (Asked::Trim { .. } | Asked::Seal { .. }, Err(error)) => {
                let known = [Code::NotFound, Code::OutcomeUnknown];
                assert!(
                    known.contains(&error.code) || error.code.exit_code() == 3,
                    "{error}"
                );
            }
            (_, Ok(other)) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_linearizable_tail_counts_what_was_acknowledged_before() {
    for_seeds(100, |seed| {
        let mut world = World::new(seed);
        let config = CommandsConfig::new(u128::from(world.rng.draw()) + 7, world.rng.draw());
        let machine = Commands::new(config, world.tracker());
        world.clients.push(Client::Commands(Box::new(machine)));
        let config = QueriesConfig {
            seed,
            silence: world.rng.between(100 * MS, 2_000 * MS),
        };
        let machine = Queries::new(config, world.tracker());
        world.clients.push(Client::Queries(Box::new(machine)));
        let begin = world.now;
        let created = world.now + 20_000 * MS;
        commands(&mut world).push(begin, Token(0), Command::create("a", true), created);
        let mut load = Rng::new(world.rng.draw());
        let mut trims = 0;
        let mut acked = 0;
        let mut asked: BTreeMap<u64, (u64, u64, bool)> = BTreeMap::new();
        let mut answered = 0;
        let mut turn = |world: &mut World, most: u64| {
            let now = world.now;
            if load.below(20) == 0 && trims < most {
                trims += 1;
                commands(world).push(now, Token(trims), trim("a", 0), now + 20_000 * MS);
            }
            while let Some(done) = commands(world).poll_done() {
                // Every trim counts in the log's version: it stands for the tail here.
                if let Ok(CommandOutcome::Trimmed { version, .. }) = done.result {
                    acked = acked.max(version);
                }
            }
            if load.below(20) == 0 && acked > 0 && answered + (asked.len() as u64) < most {
                let token = now;
                let linearizable = load.half();
                let query = Query::CheckTail {
                    log: LogRef::Name("a".into()),
                    linearizable,
                };
                let whom = if linearizable {
                    Consistency::Leader
                } else {
                    Consistency::Any
                };
                let deadline = now + load.between(500 * MS, 20_000 * MS);
                queries(world).ask(now, Token(token), query, whom, deadline);
                asked.insert(token, (acked, deadline, linearizable));
            }
            while let Some(done) = queries(world).poll_done() {
                let (acked, deadline, linearizable) = asked
                    .remove(&done.token.0)
                    .expect("asked, and not answered");
                assert!(now <= deadline + 2 * MS);
                answered += 1;
                match done.result {
                    Ok(Answer::Tail(tail)) => assert!(!linearizable || tail.version >= acked),
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => assert!(
                        error.code.exit_code() == 3 || error.code == Code::NotFound,
                        "{error}"
                    ),
                }
            }
        };
        let end = world.now + 4_000 * MS;
        world.run(end, |world| turn(world, 60));
        world.heal();
        let end = world.now + 25_000 * MS;
        world.run(end, |world| turn(world, 80));
        assert!(asked.is_empty(), "every query ends");
        assert!(answered > 0, "vacuous");
    });
}

#[test]
fn the_first_answer_of_a_lagging_replica_does_not_end_a_query() {
    let mut world = World::new(3);
    world.faults = Default::default();
    world.cluster.refuse_ppm = 0;
    let config = CommandsConfig::new(9, 9);
    let machine = Commands::new(config, world.tracker());
    world.clients.push(Client::Commands(Box::new(machine)));
    let config = QueriesConfig::new(4);
    let machine = Queries::new(config, world.tracker());
    world.clients.push(Client::Queries(Box::new(machine)));
    let now = world.now;
    for (token, name) in [(1, "there"), (2, "nowhere")] {
        let query = Query::Describe {
            log: LogRef::Name(name.into()),
            linearizable: true,
        };
        queries(&mut world).ask(
            now,
            Token(token),
            query,
            Consistency::Leader,
            now + 5_000 * MS,
        );
    }
    let created = now + 5_000 * MS;
    commands(&mut world).push(now, Token(0), Command::create("there", false), created);
    let mut codes = BTreeMap::new();
    world.run(now + 2_000 * MS, |world| {
        while let Some(done) = queries(world).poll_done() {
            codes.insert(done.token.0, done.result.err().map(|error| error.code));
        }
    });
    // The leader's word ends it.
    assert_eq!(codes.get(&2), Some(&Some(Code::NotFound)));
}

#[test]
fn a_trim_right_behind_the_creation_of_its_log_finds_it_also_where_the_name_was_another_logs() {
    let mut world = World::new(5);
    world.faults = Default::default();
    world.cluster.refuse_ppm = 0;
    let machine = Commands::new(CommandsConfig::new(9, 9), world.tracker());
    world.clients.push(Client::Commands(Box::new(machine)));
    let (now, deadline) = (world.now, world.now + 5_000 * MS);
    commands(&mut world).push(now, Token(0), trim("fresh", 0), deadline);
    commands(&mut world).push(now, Token(1), Command::create("fresh", false), deadline);
    commands(&mut world).push(now, Token(2), trim("fresh", 0), deadline);
    let delete = Command::on("fresh", Change::Delete);
    commands(&mut world).push(now, Token(3), delete, deadline);
    commands(&mut world).push(now, Token(4), Command::create("fresh", false), deadline);
    commands(&mut world).push(now, Token(5), trim("fresh", 0), deadline);
    let mut ends = vec![];
    let mut logs = vec![];
    world.run(now + 2_000 * MS, |world| {
        while let Some(done) = commands(world).poll_done() {
            logs.push(done.log);
            ends.push((done.token.0, done.result.err().map(|error| error.code)));
        }
    });
    // Each says which log it was sent to; what makes one, and what never left, was sent to none.
    let [None, None, Some(first), Some(same), None, Some(second)] = logs[..] else {
        panic!("{logs:?}");
    };
    assert!(first == same && first < second, "{logs:?}");
    let well = (1..=5).map(|token| (token, None));
    let expected: Vec<_> = [(0, Some(Code::NotFound))]
        .into_iter()
        .chain(well)
        .collect();
    assert_eq!(ends, expected);
}
