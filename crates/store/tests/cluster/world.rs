//! The cluster: replicas, disks, a network, and what moves them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use paxlog_node::{Config, Effect, Effects, Event, Node, Now, ReaderEffect, ReaderId};
use paxlog_paxos::{ClusterId, Envelope, GroupId, Incarnation, ReplicaId};
use paxlog_store::{ColdRange, batches_at};
use paxlog_wal::sim::{Rng, SimDisk};
use paxlog_wal::{Driver, FrameMeta, Identity, Kind, Lsn, Options, Wal};
use paxlog_wire::client::{Answer, LogRef, ReadFrom, ReadRequest};
use paxlog_wire::{Code, batch};

use crate::client::{Client, LOG};

pub(crate) const CLUSTER: u128 = 7;
pub(crate) const GROUP: GroupId = GroupId(0);
pub(crate) const SEGMENT_BYTES: u64 = 64 << 10;
pub(crate) const MS: u64 = 1_000_000;

pub(crate) struct Replica {
    pub(crate) id: u16,
    pub(crate) incarnation: u128,
    pub(crate) disk: SimDisk,
    pub(crate) running: Option<Running>,
    pub(crate) lives: u64,
}

pub(crate) struct Running {
    pub(crate) node: Node,
    pub(crate) wal: Wal,
    pub(crate) durable: u64,
    pub(crate) fx: Effects,
    /// What the disk's threads would post.
    pub(crate) posted: Vec<Event>,
    pub(crate) begin: u64,
}

pub(crate) struct InFlight {
    pub(crate) at: u64,
    pub(crate) to: u16,
    pub(crate) envelope: Envelope,
}
pub(crate) struct Sim {
    pub(crate) seed: u64,
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) net: Vec<InFlight>,
    pub(crate) client: Client,
    pub(crate) loss_percent: u64,
    pub(crate) delay_ns_max: u64,
    pub(crate) crash_per_mille: u64,
    /// One in so many milliseconds all lose power at once; 0 is never.
    pub(crate) blackout_one_in: u64,
    /// A replica that is down comes back in one of so many milliseconds.
    pub(crate) return_one_in: u64,
    /// A sync ends in one of so many milliseconds.
    pub(crate) sync_one_in: u64,
    /// Records kept by a trim.
    pub(crate) keep: usize,
    pub(crate) replies: Vec<(u64, paxlog_wire::client::CommandReply)>,
    pub(crate) reads: BTreeMap<(u16, u64), Vec<(u64, Bytes)>>,
    pub(crate) ended: BTreeMap<(u16, u64), u64>,
    pub(crate) answers: BTreeMap<u64, Result<Answer, Code>>,
    pub(crate) stats: Stats,
}

#[derive(Default, Debug)]
pub(crate) struct Stats {
    pub(crate) crashes: u64,
    pub(crate) annotated: u64,
    pub(crate) checkpoints: u64,
    pub(crate) retired: u64,
    pub(crate) cold: u64,
    pub(crate) leader_changes: u64,
    pub(crate) duplicates: u64,
    pub(crate) from_checkpoint: u64,
}

impl Sim {
    pub(crate) fn new(seed: u64, goal: u64) -> Sim {
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

    pub(crate) fn now_of(&self, i: usize) -> Now {
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

    pub(crate) fn start(&mut self, i: usize) {
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
            create_on_append: vec![String::new()],
            client_append_bytes_per_s: 0,
            addresses: vec![],
            value_bytes_target: 16 << 10,
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

    pub(crate) fn link(&mut self, i: usize, peer: u16) {
        for event in [
            paxlog_paxos::LinkEvent::ControlUp,
            paxlog_paxos::LinkEvent::AcceptsUp,
        ] {
            self.step(i, Event::Link(ReplicaId(peer), event));
        }
    }

    /// Loses power: what was not synced may or may not be there.
    pub(crate) fn crash(&mut self, i: usize) {
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

    pub(crate) fn step(&mut self, i: usize, event: Event) {
        let now = self.now_of(i);
        let Some(running) = &mut self.replicas[i].running else {
            return;
        };
        running.node.step(now, event, &mut running.fx);
        self.carry_out(i);
    }

    pub(crate) fn end_turn(&mut self, i: usize) {
        let now = self.now_of(i);
        let Some(running) = &mut self.replicas[i].running else {
            return;
        };
        running.node.end_turn(now, &mut running.fx);
        self.carry_out(i);
    }

    pub(crate) fn carry_out(&mut self, i: usize) {
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
                    let entry = paxlog_store::entry_at(&running.wal, &place);
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

    pub(crate) fn reader(&mut self, i: usize, reader: ReaderId, effect: ReaderEffect) {
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
            ReaderEffect::FindTime(search) => {
                let found = paxlog_store::find_time(&running.wal, &search);
                running.posted.push(Event::TimeFound(reader, found));
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
    pub(crate) fn tick(&mut self, faults: bool) {
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

    pub(crate) fn leader(&self) -> Option<usize> {
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

    pub(crate) fn until(&mut self, what: &str, ms: u64, faults: bool, done: impl Fn(&Sim) -> bool) {
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

    pub(crate) fn read(&mut self, i: usize, number: u64) {
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

pub(crate) fn records(start: u64, bytes: Bytes) -> Vec<(u64, Bytes)> {
    let parts = [bytes];
    let view = batch::BatchView::parse_parts(&parts).expect("a whole batch, checksum and all");
    view.records()
        .enumerate()
        .map(|(i, record)| (start + i as u64, record.payload))
        .collect()
}
