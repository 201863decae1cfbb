//! Reads and tails under faults.

use bytes::Bytes;
use paxlog_log::{Body, Command, Offset, Origin, Outcome};
use paxlog_session::{
    AppendEvent, Appender, AppenderConfig, Compression, Piece, Read, ReadConfig, ReadOutput, Tail,
    TailConfig, TailOutput, Token,
};
use paxlog_wire::batch::Record;
use paxlog_wire::client::{EndReason, ReadFrom};

use crate::for_seeds;
use crate::rng::Rng;
use crate::world::{Client, MS, World};

/// What one reader was given.
#[derive(Default)]
struct Given {
    from: u64,
    next: Option<u64>,
    records: Vec<(u64, Bytes)>,
    gaps: Vec<(u64, u64)>,
    ended: Option<Result<(u64, Option<EndReason>), String>>,
    /// Bytes to release yet.
    held: u64,
}

impl Given {
    fn take(&mut self, piece: &Piece) {
        assert!(self.ended.is_none());
        assert!(
            self.next.is_none_or(|next| next == piece.start),
            "{:?} then {}",
            self.next,
            piece.start
        );
        assert!(piece.first <= piece.start && piece.start < piece.end);
        let before = self.records.len();
        self.records.extend(
            piece
                .records()
                .map(|(offset, record)| (offset, record.payload)),
        );
        assert_eq!(
            (self.records.len() - before) as u64,
            piece.end - piece.start
        );
        self.next = Some(piece.end);
    }

    fn gap(&mut self, to: u64) {
        let from = self.next.unwrap_or(self.from);
        assert!(from < to, "a gap leads on");
        self.gaps.push((from, to));
        self.next = Some(to);
    }

    fn check(&self, contents: &[Bytes], trimmed: u64) {
        for (offset, payload) in &self.records {
            assert_eq!(contents.get(*offset as usize), Some(payload));
        }
        for &(_, to) in &self.gaps {
            assert!(to <= trimmed, "a gap is what was trimmed");
        }
    }
}

fn filler(world: &mut World) {
    let config = AppenderConfig {
        batch_records_max: 4,
        batch_bytes_max: 600,
        compression: [Compression::None, Compression::Lz4][world.rng.below(2) as usize],
        ..AppenderConfig::new(
            "a",
            u128::from(world.rng.draw()) << 64 | 5,
            world.rng.draw(),
        )
    };
    let tracker = world.tracker();
    let appender = Appender::new(world.now, config, tracker);
    world.clients.push(Client::Appender(Box::new(appender)));
}

/// Appends now and then; gives how many ended well so far.
fn fill(world: &mut World, load: &mut Rng, taken: &mut u64, most: u64) -> u64 {
    let now = world.now;
    let appender = world.clients[0].appender();
    if load.below(8) == 0 {
        for _ in 0..load.between(1, 8) {
            if *taken < most {
                let mut payload = taken.to_string().into_bytes();
                payload.resize(10 + load.below(200) as usize, b'.');
                if appender
                    .append(
                        now,
                        Token(*taken),
                        &[Record::new(payload)],
                        now + 20_000 * MS,
                    )
                    .is_ok()
                {
                    *taken += 1;
                }
            }
        }
        appender.flush(now);
    }
    let mut acked = 0;
    while let Some(event) = appender.poll_event() {
        if matches!(event, AppendEvent::Done { result: Ok(_), .. }) {
            acked += 1;
        }
    }
    acked
}

/// Trims or seals without a client.
fn meddle(world: &mut World, body: Body) {
    let nonce = u128::from(world.rng.draw()) << 64 | 1;
    let opened = world.cluster.apply_foreign(&Command {
        origin: None,
        body: Body::OpenProducer { nonce, name: None },
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
    world.cluster.apply_foreign(&Command { origin, body });
}

#[test]
fn a_tail_gives_every_record_once_and_in_order() {
    for_seeds(150, |seed| {
        let mut world = World::new(seed);
        filler(&mut world);
        let mut load = Rng::new(world.rng.draw());
        let mut given: Vec<Given> = vec![];
        let (mut taken, mut acked, mut trimmed) = (0, 0, 0);
        let trims = load.half();
        let mut caught_up = 0;
        let mut turn = |world: &mut World, most: u64| {
            acked += fill(world, &mut load, &mut taken, most);
            let log = world.cluster.state.by_name("a");
            if let Some(log) = log
                && trims
                && load.below(400) == 0
            {
                let tail = world.cluster.state.describe(log).expect("it exists").tail.0;
                trimmed = trimmed.max(load.below(tail + 1));
                meddle(
                    world,
                    Body::Trim {
                        log,
                        to: Offset(trimmed),
                    },
                );
            }
            if log.is_some() && given.len() < 4 && load.below(300) == 0 {
                let mut config = TailConfig::new("a", ReadFrom::First, load.draw());
                let mut fresh = Given::default();
                if load.half() {
                    fresh.from = load.below(acked + 1);
                    config.from = ReadFrom::Offset(fresh.from);
                }
                config.credit = [1, 500, 5_000, 1 << 20][load.below(4) as usize];
                config.silence = load.between(700 * MS, 3_000 * MS);
                config.patience = 60_000 * MS;
                let tracker = world.tracker();
                let tail = Tail::new(world.now, config, tracker);
                world.clients.push(Client::Tail(Box::new(tail)));
                given.push(fresh);
            }
            for (at, given) in given.iter_mut().enumerate() {
                let Client::Tail(tail) = &mut world.clients[at + 1] else {
                    panic!("a tail")
                };
                while let Some(output) = tail.poll_output() {
                    match output {
                        TailOutput::Records(piece) => {
                            given.held += piece.bytes();
                            given.take(&piece);
                        }
                        TailOutput::Gap { to } => given.gap(to),
                        TailOutput::CaughtUp { tail } => {
                            assert_eq!(given.next.unwrap_or(tail), tail);
                            caught_up += 1;
                        }
                        TailOutput::Sealed { tail } => given.ended = Some(Ok((tail, None))),
                        TailOutput::Failed(error) => given.ended = Some(Err(error.to_string())),
                    }
                }
                if load.below(5) == 0 && given.held > 0 {
                    let bytes = load.between(1, given.held + 1);
                    given.held -= bytes;
                    tail.release(bytes);
                }
            }
        };
        let end = world.now + 4_000 * MS;
        world.run(end, |world| turn(world, 250));
        world.heal();
        let end = world.now + 20_000 * MS;
        world.run(end, |world| turn(world, 300));
        let log = world
            .cluster
            .state
            .by_name("a")
            .expect("the appender made it");
        meddle(&mut world, Body::Seal { log });
        let end = world.now + 20_000 * MS;
        world.run(end, |world| turn(world, 0));
        let contents = world.cluster.contents("a");
        assert!(contents.len() > 50 && caught_up > 0, "vacuous");
        for given in &given {
            given.check(&contents, trimmed);
            assert_eq!(given.ended, Some(Ok((contents.len() as u64, None))));
            // Who began where all had been trimmed was given nothing at all.
            let next = given.next.unwrap_or(trimmed.max(given.from));
            assert_eq!(next, contents.len() as u64, "to the end");
        }
    });
}

#[test]
fn a_read_ends_at_the_tail_it_began_with() {
    for_seeds(150, |seed| {
        let mut world = World::new(seed);
        filler(&mut world);
        let mut load = Rng::new(world.rng.draw());
        let mut readers: Vec<(Given, ReadConfig, u64)> = vec![];
        let (mut taken, mut acked) = (0, 0);
        let mut turn = |world: &mut World, most: u64| {
            acked += fill(world, &mut load, &mut taken, most);
            if acked > 10 && readers.len() < 12 && load.below(200) == 0 {
                let mut config =
                    ReadConfig::new("a", ReadFrom::First, load.draw(), world.now + 40_000 * MS);
                let mut fresh = Given::default();
                match load.below(3) {
                    0 => {}
                    1 => {
                        fresh.from = load.below(acked);
                        config.from = ReadFrom::Offset(fresh.from);
                    }
                    _ => config.from = ReadFrom::TailMinus(load.below(30)),
                }
                config.records_max = [0, 0, 1 + load.below(40)][load.below(3) as usize];
                config.bytes_max = [0, 0, 1 + load.below(4_000)][load.below(3) as usize];
                config.linearizable = load.half();
                config.silence = load.between(300 * MS, 2_000 * MS);
                let tracker = world.tracker();
                let read = Read::new(world.now, config.clone(), tracker);
                world.clients.push(Client::Read(Box::new(read)));
                readers.push((fresh, config, acked));
            }
            for (at, (given, _, _)) in readers.iter_mut().enumerate() {
                let Client::Read(read) = &mut world.clients[at + 1] else {
                    panic!("a read")
                };
                while let Some(output) = read.poll_output() {
                    match output {
                        ReadOutput::Records(piece) => given.take(&piece),
                        ReadOutput::Gap { to } => given.gap(to),
                        ReadOutput::End { next, tail, reason } => {
                            assert!(next <= tail);
                            assert_eq!(given.next.unwrap_or(next), next);
                            given.ended = Some(Ok((next, Some(reason))));
                        }
                        ReadOutput::Failed(error) => given.ended = Some(Err(error.to_string())),
                    }
                }
            }
        };
        let end = world.now + 4_000 * MS;
        world.run(end, |world| turn(world, 250));
        world.heal();
        let end = world.now + 45_000 * MS;
        world.run(end, |world| turn(world, 300));
        let contents = world.cluster.contents("a");
        assert!(readers.len() > 3, "vacuous");
        for (given, config, acked) in &readers {
            given.check(&contents, 0);
            match &given.ended {
                Some(Ok((next, Some(EndReason::Tail)))) => {
                    assert!(
                        !config.linearizable || next >= acked,
                        "what was acknowledged before is in it"
                    );
                }
                Some(Ok((_, Some(EndReason::Limit)))) => {
                    let records = given.records.len() as u64;
                    assert!(config.records_max > 0 || config.bytes_max > 0);
                    assert!(config.records_max == 0 || records <= config.records_max);
                    assert!(config.bytes_max > 0 || records == config.records_max);
                }
                // A replica that lags may say so of an offset that it does not have yet.
                Some(Err(error)) if !config.linearizable => assert!(
                    error.contains("OffsetOutOfRange") || error.contains("NotFound"),
                    "{error}"
                ),
                other => panic!("{other:?}"),
            }
        }
    });
}
