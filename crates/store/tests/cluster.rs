//! Three cores over real write-ahead logs on simulated disks, in one thread and
//! from one seed: messages are lost, delayed and overtaken, replicas lose power
//! at any moment, segments are small, so that `.idx` files, checkpoints and
//! retirement happen all the time.
//!
//! What must hold: every acknowledged append is there once, at its offset, in
//! the order of its sequence, the same on every replica, also after all lost
//! power; what was trimmed stays trimmed; memory and segments stay bounded.
//!
//! Seeds: `PAXLOG_SEEDS=A..B`, by default a few.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use paxlog_node::{
    Config, Effect, Effects, Event, Node, Now, QueryId, ReaderEffect, ReaderId, StreamId,
};
use paxlog_paxos::{ClusterId, Envelope, GroupId, Incarnation, ReplicaId};
use paxlog_store::{ColdRange, batches_at};
use paxlog_wal::sim::{Rng, SimDisk};
use paxlog_wal::{Driver, FrameMeta, Identity, Kind, Lsn, Options, Wal};
use paxlog_wire::client::{
    Answer, CommandBody, CommandOutcome, CommandRequest, LogRef, Origin, Query, ReadFrom,
    ReadRequest,
};
use paxlog_wire::{Code, batch};

const CLUSTER: u128 = 7;
const GROUP: GroupId = GroupId(0);
const SEGMENT_BYTES: u64 = 64 << 10;
const MS: u64 = 1_000_000;
/// One client's nonce, and the only log's name.
const NONCE: u128 = 99;
const LOG: &str = "log";

struct Replica {
    id: u16,
    incarnation: u128,
    disk: SimDisk,
    running: Option<Running>,
    lives: u64,
}

struct Running {
    node: Node,
    wal: Wal,
    durable: u64,
    fx: Effects,
    /// What the disk's threads would post.
    posted: Vec<Event>,
    begin: u64,
}

struct InFlight {
    at: u64,
    to: u16,
    envelope: Envelope,
}

/// The one client: numbered appends, one stream a leader, resent until settled.
struct Client {
    producer: Option<(u64, u32)>,
    log: Option<u64>,
    /// The first sequence without a receipt.
    next: u64,
    sent_at: u64,
    request: u64,
    stream: u64,
    /// sequence → (offset, payload)
    acked: BTreeMap<u64, u64>,
    trimmed: u64,
    trim_under_way: bool,
    goal: u64,
}

struct Sim {
    seed: u64,
    rng: Rng,
    now: u64,
    replicas: Vec<Replica>,
    net: Vec<InFlight>,
    client: Client,
    loss_percent: u64,
    delay_ns_max: u64,
    crash_per_mille: u64,
    /// One in so many milliseconds all lose power at once; 0 is never.
    blackout_one_in: u64,
    /// A replica that is down comes back in one of so many milliseconds.
    return_one_in: u64,
    /// A sync ends in one of so many milliseconds.
    sync_one_in: u64,
    /// Records kept by a trim.
    keep: usize,
    replies: Vec<(u64, paxlog_wire::client::CommandReply)>,
    reads: BTreeMap<(u16, u64), Vec<(u64, Bytes)>>,
    ended: BTreeMap<(u16, u64), u64>,
    answers: BTreeMap<u64, Result<Answer, Code>>,
    stats: Stats,
}

#[derive(Default, Debug)]
struct Stats {
    crashes: u64,
    annotated: u64,
    checkpoints: u64,
    retired: u64,
    cold: u64,
    leader_changes: u64,
    duplicates: u64,
    from_checkpoint: u64,
}

fn payload(sequence: u64) -> Bytes {
    let mut bytes = format!("record {sequence} ").into_bytes();
    bytes.resize(200 + (sequence % 7) as usize * 150, b'.');
    bytes.into()
}

impl Sim {
    fn new(seed: u64, goal: u64) -> Sim {
        let mut rng = Rng::new(seed);
        let replicas = (1..=3u16)
            .map(|id| {
                let disk = SimDisk::new(rng.next_u64());
                let incarnation = u128::from(rng.next_u64()) | 1;
                let identity = Identity {
                    cluster: CLUSTER,
                    replica: u64::from(id),
                    wal_id: incarnation,
                };
                paxlog_wal::format(&disk, identity).expect("an empty disk");
                Replica {
                    id,
                    incarnation,
                    disk,
                    running: None,
                    lives: 0,
                }
            })
            .collect();
        let mut sim = Sim {
            seed,
            loss_percent: rng.below(15),
            delay_ns_max: MS / 10 + rng.below(8 * MS),
            crash_per_mille: rng.below(3),
            blackout_one_in: [0, 400, 3_000][rng.below(3) as usize],
            return_one_in: [20, 60, 2_000][rng.below(3) as usize],
            sync_one_in: [1, 3, 20][rng.below(3) as usize],
            keep: [30, 300][rng.below(2) as usize],
            rng,
            now: 1_000 * MS,
            replicas,
            net: Vec::new(),
            client: Client {
                producer: None,
                log: None,
                next: 0,
                sent_at: 0,
                request: 0,
                stream: 0,
                acked: BTreeMap::new(),
                trimmed: 0,
                trim_under_way: false,
                goal,
            },
            replies: Vec::new(),
            reads: BTreeMap::new(),
            ended: BTreeMap::new(),
            answers: BTreeMap::new(),
            stats: Stats::default(),
        };
        for i in 0..3 {
            sim.start(i);
        }
        sim
    }

    fn now_of(&self, i: usize) -> Now {
        let begin = self.replicas[i]
            .running
            .as_ref()
            .map_or(0, |running| running.begin);
        // Clocks of the wall differ by seconds.
        Now {
            mono: self.now - begin,
            wall: self.now + i as u64 * 1_000 * MS,
        }
    }

    fn start(&mut self, i: usize) {
        let replica = &mut self.replicas[i];
        replica.lives += 1;
        let identity = Identity {
            cluster: CLUSTER,
            replica: u64::from(replica.id),
            wal_id: replica.incarnation,
        };
        let options = Options {
            segment_bytes: SEGMENT_BYTES,
            driver: Driver::Caller,
            ..Options::new(identity)
        };
        let (wal, found) = paxlog_store::open(Arc::new(replica.disk.clone()), options, GROUP)
            .unwrap_or_else(|error| {
                panic!(
                    "seed {}: replica {} does not open: {error}",
                    self.seed, replica.id
                )
            });
        assert!(
            found.damaged.is_empty(),
            "seed {}: an honest crash was called damage",
            self.seed
        );
        if !found.checkpoints.is_empty() {
            self.stats.from_checkpoint += 1;
        }
        let mut paxos = paxlog_paxos::Config::new(
            ClusterId(CLUSTER),
            GROUP,
            ReplicaId(replica.id),
            Incarnation(replica.incarnation),
            (1..=3).map(ReplicaId).collect(),
            self.rng.next_u64(),
        );
        paxos.window_bytes_max = 32 << 10;
        let config = Config {
            paxos,
            create_on_append: true,
            addresses: vec![],
        };
        let begin = self.now - self.rng.below(1_000 * MS);
        let node = Node::recover(
            config,
            found,
            Now {
                mono: self.now - begin,
                wall: self.now,
            },
        )
        .unwrap_or_else(|error| {
            panic!(
                "seed {}: replica {} can't go on: {error}",
                self.seed, replica.id
            )
        });
        let durable = wal.durable().0;
        replica.running = Some(Running {
            node,
            wal,
            durable,
            fx: Effects::default(),
            posted: Vec::new(),
            begin,
        });
        self.step(i, Event::Tick);
        for peer in 1..=3u16 {
            if usize::from(peer) != i + 1 && self.replicas[usize::from(peer) - 1].running.is_some()
            {
                self.link(i, peer);
                self.link(usize::from(peer) - 1, i as u16 + 1);
            }
        }
    }

    fn link(&mut self, i: usize, peer: u16) {
        for event in [
            paxlog_paxos::LinkEvent::ControlUp,
            paxlog_paxos::LinkEvent::AcceptsUp,
        ] {
            self.step(i, Event::Link(ReplicaId(peer), event));
        }
    }

    /// Loses power: what was not synced may or may not be there.
    fn crash(&mut self, i: usize) {
        self.stats.crashes += 1;
        let replica = &mut self.replicas[i];
        replica.running = None;
        replica.disk = replica.disk.power_cut(self.rng.next_u64());
        let id = replica.id;
        self.net
            .retain(|flight| flight.to != id && flight.envelope.from.0 != id);
        for other in 0..3 {
            if other != i && self.replicas[other].running.is_some() {
                self.step(
                    other,
                    Event::Link(ReplicaId(id), paxlog_paxos::LinkEvent::Down),
                );
            }
        }
    }

    fn step(&mut self, i: usize, event: Event) {
        let now = self.now_of(i);
        let Some(running) = &mut self.replicas[i].running else {
            return;
        };
        running.node.step(now, event, &mut running.fx);
        self.carry_out(i);
    }

    fn end_turn(&mut self, i: usize) {
        let now = self.now_of(i);
        let Some(running) = &mut self.replicas[i].running else {
            return;
        };
        running.node.end_turn(now, &mut running.fx);
        self.carry_out(i);
    }

    fn carry_out(&mut self, i: usize) {
        let Some(running) = &mut self.replicas[i].running else {
            return;
        };
        let effects = std::mem::take(&mut running.fx.list);
        for effect in effects {
            let Some(running) = &mut self.replicas[i].running else {
                return;
            };
            match effect {
                Effect::Append {
                    persist,
                    group,
                    tag,
                    aux,
                    parts,
                } => {
                    let meta = FrameMeta {
                        kind: Kind::Data,
                        group,
                        tag,
                        aux,
                    };
                    let lsn = running.wal.append(meta, &parts).expect("the disk is well");
                    running.node.placed(persist, lsn.0);
                }
                Effect::State { persist, bytes } => {
                    let lsn = running.wal.state(bytes).expect("the disk is well");
                    running.node.placed(persist, lsn.0);
                }
                Effect::Send(to, envelope) => {
                    if self.rng.below(100) < self.loss_percent {
                        continue;
                    }
                    let copies = 1 + u64::from(self.rng.below(50) == 0);
                    for _ in 0..copies {
                        let at = self.now + self.rng.below(self.delay_ns_max);
                        self.net.push(InFlight {
                            at,
                            to: to.0,
                            envelope: envelope.clone(),
                        });
                    }
                }
                Effect::Reply(stream, reply) => self.replies.push((stream.0, reply)),
                Effect::Answer(query, reply) => {
                    self.answers
                        .insert(query.0, reply.result.map_err(|error| error.code));
                }
                Effect::Reader(reader, effect) => self.reader(i, reader, effect),
                Effect::ReadEntry(token, place) => {
                    let entry = paxlog_store::entry_at(&running.wal, place);
                    running.posted.push(Event::Entry(token, entry));
                }
                Effect::Annotate { segment, bytes } => {
                    self.stats.annotated += 1;
                    running
                        .posted
                        .push(paxlog_store::annotate(&running.wal, segment, &bytes));
                }
                Effect::Checkpoint(checkpoint) => {
                    self.stats.checkpoints += 1;
                    running
                        .posted
                        .push(paxlog_store::checkpoint(&running.wal, &checkpoint));
                }
                Effect::Retire(below) => {
                    self.stats.retired += 1;
                    // The RETIRE frame must be durable first; nobody else moves this log.
                    let wal = &running.wal;
                    wal.drive();
                    running.posted.push(paxlog_store::retire(wal, below));
                }
                Effect::Leader(hint) => self.stats.leader_changes += u64::from(hint.is_some()),
                Effect::HandedOver => {}
                Effect::Stop(why) => panic!("seed {}: replica {} stopped: {why}", self.seed, i + 1),
            }
        }
    }

    fn reader(&mut self, i: usize, reader: ReaderId, effect: ReaderEffect) {
        let Some(running) = &mut self.replicas[i].running else {
            return;
        };
        let key = (i as u16 + 1, reader.0);
        match effect {
            ReaderEffect::Started(_) | ReaderEffect::Gap(_) | ReaderEffect::CaughtUp(_) => {}
            ReaderEffect::Batches(batches) => {
                let mut bytes = 0;
                for batch in batches {
                    let payload = match running.wal.read(Lsn(batch.place.lsn)) {
                        Ok(payload) => payload.slice(
                            batch.place.at as usize..(batch.place.at + batch.place.len) as usize,
                        ),
                        // Left the hot window, or not yet in the page cache's published part.
                        Err(_) => {
                            let read = batches_at(&running.wal, vec![batch]).expect("it is there");
                            read[0].1.clone()
                        }
                    };
                    bytes += payload.len() as u64;
                    self.reads
                        .entry(key)
                        .or_default()
                        .extend(records(batch.start.0, payload));
                }
                running.posted.push(Event::Credit(reader, bytes));
            }
            ReaderEffect::Cold {
                log,
                from,
                until,
                until_timestamp,
                bytes_max,
                segments,
            } => {
                self.stats.cold += 1;
                let range = ColdRange {
                    log,
                    from,
                    until,
                    until_timestamp,
                    bytes_max,
                    segments,
                };
                let Some(read) = paxlog_store::cold(&running.wal, &range) else {
                    panic!("seed {}: a cold range can't be read: {range:?}", self.seed)
                };
                let next = read.last().map_or(from, |(batch, _)| batch.end());
                let bytes = read
                    .iter()
                    .map(|(batch, _)| u64::from(batch.place.len))
                    .sum();
                for (batch, payload) in read {
                    self.reads
                        .entry(key)
                        .or_default()
                        .extend(records(batch.start.0, payload));
                }
                running.posted.push(Event::ColdRead {
                    reader,
                    next,
                    bytes,
                });
                running.posted.push(Event::Credit(reader, bytes));
            }
            ReaderEffect::End { next, .. } | ReaderEffect::Sealed(next) => {
                self.ended.insert(key, next.0);
            }
            ReaderEffect::Refused(error) => {
                panic!("seed {}: a read was refused: {error:?}", self.seed)
            }
        }
    }

    /// A millisecond of everybody's life, in random order.
    fn tick(&mut self, faults: bool) {
        self.now += MS;
        let mut due = Vec::new();
        let mut i = 0;
        while i < self.net.len() {
            if self.net[i].at <= self.now {
                due.push(self.net.swap_remove(i));
            } else {
                i += 1;
            }
        }
        while !due.is_empty() {
            let flight = due.swap_remove(self.rng.below(due.len() as u64) as usize);
            self.step(usize::from(flight.to) - 1, Event::Peer(flight.envelope));
        }
        for i in 0..3 {
            let now = self.now_of(i);
            let Some(running) = &mut self.replicas[i].running else {
                if self.rng.below(self.return_one_in) == 0 || !faults {
                    self.start(i);
                }
                continue;
            };
            running.wal.drive_prepare();
            if self.rng.below(3) > 0 {
                running.wal.drive_write();
            }
            if self.rng.below(self.sync_one_in) == 0 {
                running.wal.drive_sync();
            }
            let durable = running.wal.durable().0;
            let tick = running.node.poll_timer() <= now.mono;
            let mut events = std::mem::take(&mut running.posted);
            if durable != running.durable {
                running.durable = durable;
                events.push(Event::Durable(durable));
            }
            if tick {
                events.push(Event::Tick);
            }
            for event in events {
                self.step(i, event);
            }
            self.end_turn(i);
            // Where outages are long, one at a time: two would only be silence.
            let down = self
                .replicas
                .iter()
                .filter(|replica| replica.running.is_none())
                .count();
            let may = self.return_one_in < 1_000 || down == 0;
            if faults && may && self.rng.below(1_000) < self.crash_per_mille {
                self.crash(i);
            }
        }
        if faults
            && self.blackout_one_in > 0
            && self.return_one_in < 1_000
            && self.rng.below(self.blackout_one_in) == 0
        {
            for i in 0..3 {
                if self.replicas[i].running.is_some() {
                    self.crash(i);
                }
            }
        }
        self.client_tick();
    }

    fn leader(&self) -> Option<usize> {
        (0..3).find(|i| {
            let running = self.replicas[*i].running.as_ref();
            running.is_some_and(|running| {
                matches!(
                    running.node.status().role,
                    paxlog_paxos::Role::Leader { .. }
                )
            })
        })
    }

    fn send(&mut self, leader: usize, command: CommandBody, batch: Vec<Bytes>) {
        self.client.request += 1;
        let request = CommandRequest {
            request: self.client.request,
            deadline_ms: 2_000,
            command,
        };
        let stream = StreamId(self.client.stream);
        self.step(
            leader,
            Event::Command {
                stream,
                resume: true,
                request,
                batch,
            },
        );
    }

    fn client_tick(&mut self) {
        for (stream, reply) in std::mem::take(&mut self.replies) {
            self.client_reply(stream, reply);
        }
        if self.client.sent_at + 150 * MS > self.now && self.client.sent_at > 0 {
            return;
        }
        let Some(leader) = self.leader() else { return };
        self.client.sent_at = self.now;
        self.client.stream += 1;
        let Some((producer, epoch)) = self.client.producer else {
            return self.send(
                leader,
                CommandBody::OpenProducer {
                    nonce: NONCE,
                    name: None,
                },
                vec![],
            );
        };
        let origin = |sequence| Origin {
            producer,
            epoch,
            sequence,
        };
        let Some(log) = self.client.log else {
            let command = CommandBody::OpenLog {
                origin: Some(origin(0)),
                name: LOG.into(),
                create: true,
            };
            return self.send(leader, command, vec![]);
        };
        if self.client.next > self.client.goal {
            return;
        }
        // A trim is a numbered command like any other: it goes alone.
        if self.client.next.is_multiple_of(40) && self.client.next > 80 {
            let keep = self
                .client
                .acked
                .values()
                .rev()
                .nth(self.keep)
                .copied()
                .unwrap_or(0);
            self.client.trim_under_way = true;
            self.client.trimmed = self.client.trimmed.max(keep);
            let command = CommandBody::Trim {
                origin: Some(origin(self.client.next)),
                log,
                to: self.client.trimmed,
            };
            return self.send(leader, command, vec![]);
        }
        let until_trim = 40 - self.client.next % 40;
        let count = (1 + self.rng.below(8))
            .min(until_trim)
            .min(self.client.goal + 1 - self.client.next);
        for sequence in self.client.next..self.client.next + count {
            let mut builder = batch::BatchBuilder::new();
            builder
                .push(&batch::Record::new(payload(sequence)))
                .expect("small");
            let parts = builder.finish().expect("not empty").into_parts();
            self.send(
                leader,
                CommandBody::Append {
                    origin: origin(sequence),
                    log,
                },
                parts,
            );
        }
    }

    fn client_reply(&mut self, stream: u64, reply: paxlog_wire::client::CommandReply) {
        match reply.result {
            Ok(CommandOutcome::ProducerOpened {
                producer, epoch, ..
            }) => {
                let opened = (producer, epoch);
                assert!(
                    self.client.producer.is_none_or(|was| was == opened),
                    "seed {}: two answers",
                    self.seed
                );
                self.client.producer = Some(opened);
                self.client.sent_at = 0;
            }
            Ok(CommandOutcome::LogOpened { log, .. }) => {
                if self.client.log.is_none() {
                    self.client.next = 1;
                }
                self.client.log = Some(log);
                self.client.sent_at = 0;
            }
            Ok(CommandOutcome::Appended(receipt)) => {
                self.stats.duplicates += u64::from(receipt.duplicate);
                // Requests say nothing of sequences: the receipt's offset is found by what is there at the end.
                let sequence = self.client.next;
                if stream == self.client.stream {
                    self.client.acked.insert(sequence, receipt.start);
                    self.client.next = sequence + 1;
                    self.client.sent_at = if self.client.next.is_multiple_of(40) {
                        0
                    } else {
                        self.client.sent_at
                    };
                }
            }
            Ok(CommandOutcome::Trimmed { .. }) => {
                if stream == self.client.stream && self.client.trim_under_way {
                    self.client.trim_under_way = false;
                    self.client.next += 1;
                    self.client.sent_at = 0;
                }
            }
            Ok(CommandOutcome::Sealed { .. }) => unreachable!("nobody seals"),
            // Sent again when the time is over, under the same sequence.
            Err(error) => assert!(
                matches!(
                    error.code,
                    Code::NotLeader
                        | Code::Electing
                        | Code::OutcomeUnknown
                        | Code::DeadlineExceeded
                        | Code::SequenceGap
                        | Code::Unavailable
                ),
                "seed {}: {error:?}",
                self.seed
            ),
        }
    }

    fn until(&mut self, what: &str, ms: u64, faults: bool, done: impl Fn(&Sim) -> bool) {
        for _ in 0..ms {
            if done(self) {
                return;
            }
            self.tick(faults);
        }
        let statuses: Vec<_> = self
            .replicas
            .iter()
            .map(|replica| {
                replica
                    .running
                    .as_ref()
                    .map(|running| running.node.status())
            })
            .collect();
        panic!(
            "seed {}: {what}: not within {ms} ms; next {}: {statuses:#?}",
            self.seed, self.client.next
        );
    }

    fn read(&mut self, i: usize, number: u64) {
        let request = ReadRequest {
            deadline_ms: 1_000,
            log: LogRef::Name(LOG.into()),
            from: ReadFrom::First,
            records_max: 0,
            bytes_max: 0,
            until_tail: true,
            until_timestamp: 0,
            wait_ms: 0,
            strict: false,
            linearizable: false,
        };
        self.step(i, Event::Read(ReaderId(number), request));
    }
}

fn records(start: u64, bytes: Bytes) -> Vec<(u64, Bytes)> {
    let parts = [bytes];
    let view = batch::BatchView::parse_parts(&parts).expect("a whole batch, checksum and all");
    view.records()
        .enumerate()
        .map(|(i, record)| (start + i as u64, record.payload))
        .collect()
}

fn run(seed: u64, goal: u64) -> Stats {
    let mut sim = Sim::new(seed, goal);
    sim.until("the load under faults", 600_000, true, |sim| {
        sim.client.next > sim.client.goal
    });
    // All power goes at once, and comes back.
    for i in 0..3 {
        if sim.replicas[i].running.is_some() {
            sim.crash(i);
        }
    }
    sim.loss_percent = 0;
    sim.sync_one_in = 1;
    sim.until("a leader after all healed", 20_000, false, |sim| {
        sim.leader().is_some_and(|leader| {
            sim.replicas[leader]
                .running
                .as_ref()
                .is_some_and(|running| running.node.status().ready)
        })
    });
    // A little more, so that every member says in a durable frame how far it is.
    sim.client.goal += 60;
    sim.until("appends after all healed", 20_000, false, |sim| {
        sim.client.next > sim.client.goal
    });
    let leader = sim.leader().expect("just seen");
    let ask = Query::CheckTail {
        log: LogRef::Name(LOG.into()),
        linearizable: true,
    };
    sim.step(
        leader,
        Event::Query {
            query: QueryId(1),
            deadline_ms: 5_000,
            ask,
        },
    );
    sim.until("a linearizable answer", 10_000, false, |sim| {
        sim.answers.contains_key(&1)
    });
    let Some(Ok(Answer::Tail(tail))) = sim.answers.remove(&1) else {
        panic!("seed {seed}: no tail")
    };
    // Nobody sends anything any more, so all come to the same slot.
    sim.until("all have applied the same", 20_000, false, |sim| {
        let applied: Vec<_> = sim
            .replicas
            .iter()
            .map(|replica| {
                replica
                    .running
                    .as_ref()
                    .map(|running| running.node.applied())
            })
            .collect();
        let tails = |replica: &Replica| {
            replica.running.as_ref().and_then(|running| {
                let state = running.node.state();
                state.describe(state.by_name(LOG)?).map(|log| log.tail.0)
            })
        };
        applied
            .iter()
            .all(|slot| slot.is_some() && *slot == applied[0])
            && sim
                .replicas
                .iter()
                .all(|replica| tails(replica) == Some(tail.offset))
    });
    let digest = |sim: &Sim, i: usize| {
        sim.replicas[i]
            .running
            .as_ref()
            .map(|running| running.node.state().digest())
    };
    assert_eq!(digest(&sim, 0), digest(&sim, 1), "seed {seed}");
    assert_eq!(digest(&sim, 0), digest(&sim, 2), "seed {seed}");
    for i in 0..3 {
        sim.read(i, 1_000);
    }
    sim.until("all reads end", 20_000, false, |sim| sim.ended.len() == 3);
    let trim_point = tail.trim_point;
    let first = sim.reads[&(1, 1_000)].clone();
    for id in 1..=3 {
        let mut read = sim.reads[&(id, 1_000)].clone();
        // The first batch may begin before the trim point.
        read.retain(|(offset, _)| *offset >= trim_point);
        let expected: Vec<_> = first
            .iter()
            .filter(|(offset, _)| *offset >= trim_point)
            .cloned()
            .collect();
        assert_eq!(
            read, expected,
            "seed {seed}: replica {id} reads something else"
        );
        assert_eq!(sim.ended[&(id, 1_000)], tail.offset);
        let offsets: Vec<u64> = read.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(
            offsets,
            (trim_point..tail.offset).collect::<Vec<_>>(),
            "seed {seed}: dense"
        );
    }
    let there: BTreeMap<u64, &Bytes> = first
        .iter()
        .map(|(offset, payload)| (*offset, payload))
        .collect();
    for (sequence, offset) in sim
        .client
        .acked
        .range(..)
        .filter(|(_, offset)| **offset >= trim_point)
    {
        assert_eq!(
            there.get(offset),
            Some(&&payload(*sequence)),
            "seed {seed}: sequence {sequence} at {offset}"
        );
    }
    let offsets: Vec<u64> = sim.client.acked.values().copied().collect();
    assert!(
        offsets.is_sorted_by(|a, b| a < b),
        "seed {seed}: in the order of sequences, each once"
    );
    assert_eq!(
        sim.client.acked.len() as u64,
        tail.offset,
        "seed {seed}: nothing twice, nothing unsent"
    );
    // What was trimmed gives its space back, though nothing is written any more.
    sim.until("the space of what was trimmed", 10_000, false, |sim| {
        let segments = |replica: &Replica| {
            replica
                .running
                .as_ref()
                .map_or(0, |running| running.wal.segments().len())
        };
        sim.replicas
            .iter()
            .all(|replica| segments(replica) < if sim.keep < 100 { 12 } else { 100 })
    });
    sim.stats
}

#[test]
fn what_was_acknowledged_is_there_once_and_in_order_whatever_lost_power() {
    let seeds = std::env::var("PAXLOG_SEEDS").ok();
    let (from, to) = seeds
        .as_deref()
        .and_then(|seeds| seeds.split_once(".."))
        .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)))
        .unwrap_or((0u64, 24));
    let mut total = Stats::default();
    for seed in from..to {
        let stats = run(seed, 1_200);
        total.crashes += stats.crashes;
        total.annotated += stats.annotated;
        total.checkpoints += stats.checkpoints;
        total.retired += stats.retired;
        total.cold += stats.cold;
        total.leader_changes += stats.leader_changes;
        total.duplicates += stats.duplicates;
        total.from_checkpoint += stats.from_checkpoint;
    }
    println!("{total:?}");
    if to - from >= 10 {
        // Else the run was too quiet to prove anything.
        assert!(
            total.crashes > 20 && total.annotated > 20 && total.checkpoints > 20,
            "{total:?}"
        );
        assert!(
            total.retired > 5 && total.from_checkpoint > 20 && total.duplicates > 0,
            "{total:?}"
        );
        assert!(total.cold > 0, "{total:?}");
    }
}
