//! A core that is its group's only replica, over a log in memory that is durable at once.

use bytes::Bytes;
use paxlog_node::{
    ClientId, Config, Effect, Effects, Event, Found, Node, Now, StreamId, VALUE_BYTES_TARGET,
};
use paxlog_paxos::{ClusterId, GroupId, Incarnation, ReplicaId, Role};
use paxlog_wire::batch::{BatchBuilder, Record};
use paxlog_wire::client::{CommandBody, CommandOutcome, CommandReply, CommandRequest, Origin};

const STREAM: StreamId = StreamId(1);
const MS: u64 = 1_000_000;
/// The first log's id.
pub(crate) const LOG: u64 = 1;
/// As the server's.
const SEGMENT_BYTES: u64 = 64 << 20;

/// See the module.
pub(crate) struct Alone {
    node: Node,
    fx: Effects,
    now: u64,
    /// Where the next frame goes.
    lsn: u64,
    sequence: u64,
    request: u64,
    done: u64,
}

/// A batch of one record.
pub(crate) fn batch_of(payload_bytes: usize) -> Vec<Bytes> {
    let mut builder = BatchBuilder::with_capacity(payload_bytes + 64);
    builder
        .push(&Record::new(vec![7; payload_bytes]))
        .expect("it fits");
    builder.finish().expect("one record").into_parts()
}

impl Alone {
    /// It leads, and has one log.
    pub(crate) fn new() -> Alone {
        let ids = vec![ReplicaId(1)];
        let paxos = paxlog_paxos::Config::new(
            ClusterId(1),
            GroupId(0),
            ReplicaId(1),
            Incarnation(7),
            ids,
            42,
        );
        let config = Config {
            paxos,
            create_on_append: vec![String::new()],
            client_append_bytes_per_s: 0,
            addresses: vec![],
            value_bytes_target: VALUE_BYTES_TARGET,
        };
        let found = Found {
            blank: true,
            durable: 1 << 32,
            ..Found::default()
        };
        let node = Node::recover(config, found, Now { mono: 0, wall: 0 })
            .expect("a blank one always starts");
        let mut alone = Alone {
            node,
            fx: Effects::default(),
            now: 0,
            lsn: (1 << 32) + 4096,
            sequence: 0,
            request: 0,
            done: 0,
        };
        for _ in 0..500 {
            alone.now += MS;
            alone.turn([Event::Tick]);
        }
        assert_eq!(alone.node.status().role, Role::Leader { ready: true });
        let open = CommandBody::OpenProducer {
            nonce: 1,
            name: None,
        };
        let opened = alone.command(open, Vec::new());
        alone.turn([opened]);
        let create = CommandBody::OpenLog {
            origin: Some(alone.origin()),
            name: "log".into(),
            create: true,
        };
        let created = alone.command(create, Vec::new());
        alone.turn([created]);
        alone
    }

    /// The next append's event: what comes off a client's stream.
    pub(crate) fn append(&mut self, batch: Vec<Bytes>) -> Event {
        let command = CommandBody::Append {
            origin: self.origin(),
            log: LOG,
            if_tail: None,
            fence: None,
        };
        self.command(command, batch)
    }

    /// Receipts given, and batches that readers were told of.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// One turn, and everything that follows from it: persisted, durable, chosen, applied, answered.
    pub(crate) fn turn(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.step(event);
        }
        loop {
            self.node.end_turn(self.time(), &mut self.fx);
            if !self.settle() && !self.node.wants_turn() {
                break;
            }
        }
        // As the owner does after each turn.
        self.node.drain_receipt_ns();
    }

    /// One event, and what it wants done.
    pub(crate) fn step(&mut self, event: Event) {
        self.node.step(self.time(), event, &mut self.fx);
        self.settle();
    }

    /// Carries out what is wanted, and tells what became durable, until nothing more is put in the log. Whether anything was.
    fn settle(&mut self) -> bool {
        let mut put = false;
        while self.carry_out() {
            put = true;
            let durable = Event::Durable(self.lsn);
            self.node.step(self.time(), durable, &mut self.fx);
        }
        put
    }

    fn time(&self) -> Now {
        Now {
            mono: self.now,
            wall: self.now,
        }
    }

    fn origin(&mut self) -> Origin {
        self.sequence += 1;
        Origin {
            producer: 1,
            epoch: 1,
            sequence: self.sequence - 1,
        }
    }

    fn command(&mut self, command: CommandBody, batch: Vec<Bytes>) -> Event {
        self.request += 1;
        Event::Command {
            client: ClientId(1),
            stream: STREAM,
            resume: false,
            request: CommandRequest {
                request: self.request,
                deadline_ms: 10_000,
                command,
            },
            batch,
        }
    }

    /// Whether anything was put in the log.
    fn carry_out(&mut self) -> bool {
        let mut put = false;
        let mut effects = std::mem::take(&mut self.fx.list);
        for effect in effects.drain(..) {
            match effect {
                Effect::Append { persist, parts, .. } => {
                    let bytes = 64 + paxlog_wire::parts::len(&parts) as u64;
                    self.place(persist, bytes);
                    put = true;
                }
                Effect::State { persist, bytes } => {
                    self.place(persist, 64 + bytes.len() as u64);
                    put = true;
                }
                Effect::Reply(_, reply) => self.take_reply(&reply),
                Effect::Reader(_, paxlog_node::ReaderEffect::Batches(batches)) => {
                    self.done += batches.len() as u64;
                }
                Effect::Stop(why) => panic!("{why}"),
                // No `.idx` file is ever said to be durable, so all batches stay in memory.
                _ => {}
            }
        }
        self.fx.list = effects;
        put
    }

    fn place(&mut self, persist: paxlog_paxos::PersistId, bytes: u64) {
        let bytes = bytes.next_multiple_of(64);
        if (self.lsn & u64::from(u32::MAX)) + bytes > SEGMENT_BYTES {
            self.lsn = (((self.lsn >> 32) + 1) << 32) + 4096;
        }
        self.node.placed(persist, self.lsn);
        self.lsn += bytes;
    }

    fn take_reply(&mut self, reply: &CommandReply) {
        match reply.result.as_ref().expect("nothing is refused") {
            CommandOutcome::LogOpened { log, .. } => assert_eq!(*log, LOG),
            CommandOutcome::Appended(_) => self.done += 1,
            _ => {}
        }
    }
}
